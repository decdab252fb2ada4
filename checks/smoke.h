/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_SMOKE_H
#define REEVE_CHECKS_SMOKE_H

#include "base/base.h"
#include "base/err.h"
#include "checks/gather.h"
#include "manifests/declared.h"
#include "probes/observed.h"

/*
 * The smoke: one canary job sent through the real pipeline and followed stage
 * by stage. It records what happened into observed->smokes; what that is worth
 * is judged by the checks of 6xx.
 *
 * Every side effect's expectation is tried before the canary is sent (one that
 * holds already proves nothing); a queue stage counts only after the
 * submission was acknowledged (decisions.md 28). Whatever was left behind is
 * removed on every path, and said where it couldn't be.
 */

/* For progress on stderr: a stage was reached, or is being waited for. */
typedef void smoke_progress_fn(
    void *arg, const char *smoke, const char *stage, const char *what);

struct smoke_options {
	struct gather_options gather;
	smoke_progress_fn *progress; /* may be NULL */
	void *arg;
};

/* Whether a stage reads what the job did. A queue says who has it, a log line
 * and a metric are what a worker says of itself: they prove nothing done. */
bool smoke_stage_is_effect(const struct declared_stage *stage);

/* Runs one smoke, appending to observed->smokes. -1 only for trouble of our
 * own; a canary that fails is an observation. */
int smoke_run(const struct declared_smoke *smoke,
    const struct smoke_options *options, struct observed *observed,
    struct err *err) MUST_CHECK;

#endif
