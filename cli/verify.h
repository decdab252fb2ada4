/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_VERIFY_H
#define REEVE_CLI_VERIFY_H

#include "base/base.h"
#include "checks/gather.h"
#include "checks/report.h"
#include "checks/smoke.h"
#include "cli/cli.h"
#include "cli/progress.h"

/*
 * What check, smoke, gate, diagnose and lint have in common: the report, its
 * options, progress, and the outputs at the end.
 */
struct verify {
	struct cli *cli;
	struct declared *declared;
	struct observed observed;
	struct report report;
	struct progress progress;
	struct smoke_options smoke; /* with the options of gathering */
	const char *phase;
};

/* Checks the outputs that were asked for (before anything is looked at) and
 * sets up the report. `own_timeout_ms` is the command's default for --timeout.
 * 0, or an exit code. */
int verify_begin(
    struct verify *verify, struct cli *cli, int64_t own_timeout_ms) MUST_CHECK;
/* Loads the manifest and lets the report speak of it. 0, or an exit code: then
 * what is wrong is in the report. */
int verify_read(struct verify *verify) MUST_CHECK;
/* The same, and a refused manifest's report is written. */
int verify_load(struct verify *verify) MUST_CHECK;
/* The report of what was refused, to the outputs that were asked for: people
 * have read it on stderr already. Returns `code`, which the report says too. */
int verify_refused(struct verify *verify, int code);
/* Concludes, writes every output, and gives the exit code. */
int verify_end(struct verify *verify) MUST_CHECK;

#endif
