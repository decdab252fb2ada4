/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_SMOKE_LOOK_H
#define REEVE_CHECKS_SMOKE_LOOK_H

#include "checks/engine.h"

/*
 * A declared smoke beside what was seen of its canary, for the checks of 6xx.
 * Borrowed from the check's declared and observed.
 */
struct smoke_look {
	const struct declared_smoke *smoke;
	const struct observed_smoke *seen; /* NULL: it did not run */
	size_t passed, failed, unknown;    /* stages */
	bool has_take, taken; /* a queue stage says that it was taken */
	bool has_effect,
	    dead;        /* stages that read a side effect; a dead letter */
	int64_t last_ms; /* the latest stage that was reached; -1 */
};

typedef void smoke_fn(struct check *check, const struct smoke_look *look);
/* Calls `judge` for each smoke whose canary was submitted; `also_not_run`: for
 * the others too. */
void smokes_each(struct check *check, bool also_not_run, smoke_fn *judge);

/* What was seen of the stage with this index; NULL: nothing. */
const struct observed_stage *smoke_stage_seen(
    const struct smoke_look *look, size_t index);
/* Whether a stage says that a consumer took the job. */
bool smoke_stage_takes(const struct declared_stage *stage);

/* As check_begin, of the smoke or of one stage; what a canary showed is
 * confirmed. */
struct report_finding *smoke_begin(
    struct check *check, const struct smoke_look *look);
struct report_finding *smoke_stage_begin(
    struct check *check, const struct smoke_look *look, size_t index);
/* Evidence: each stage with when it was reached, or what was seen instead. */
void smoke_say_stages(struct check *check, struct report_finding *finding,
    const struct smoke_look *look);

#endif
