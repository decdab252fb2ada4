/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_OPTIONS_H
#define REEVE_SUPERVISOR_INIT_OPTIONS_H

#include "base/base.h"
#include "base/err.h"

struct operate;

/* The command line of `reeve run`, and REEVE_GRACE. */
struct run_options {
	const char *plan; /* of `argv`; NULL: with an operator */
	int64_t max_workers;
	int64_t grace_ms;
	bool allow_exec_changes;
};

/* What isn't given stays as it is in `options`. What isn't for the init goes to
 * `operate`, as the operator's arguments; both point into `argv`. */
int options_parse(struct run_options *options, struct operate *operate,
    int argc, char *argv[], struct err *err) MUST_CHECK;

#endif
