/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_ENGINE_H
#define REEVE_CHECKS_ENGINE_H

#include "base/base.h"
#include "checks/report.h"
#include "manifests/declared.h"
#include "probes/observed.h"

/*
 * Judging: runs the rows of the table over what was declared and what was
 * observed. Pure: no input or output, no clock but the report's. A row that
 * could not look says so; one whose precondition didn't pass is blocked.
 */

/*
 * Adds the findings of all rows of `stages` (a set of STAGE_…) to `report`,
 * applies the waivers, fills targets, queues and what was not checked.
 * `declared` may be made by hand (bare queue URLs: only queues). Then call
 * report_conclude().
 */
void checks_run(const struct declared *declared,
    const struct observed *observed, unsigned stages, struct report *report);

/* --- for the rows' functions (checks/ only) --------------------------------
 */
struct check {
	const struct declared *declared;
	const struct observed *observed;
	struct report *report;
	const struct finding_row *row;
	unsigned stages;
	struct fingerprint_key key; /* drawn once a run */
};

/* A finding of the row for this subject, or NULL when it is blocked (it is in
 * the report already, saying by what). Labels of what belongs to the subject
 * are added: a worker's queues, a queue's workers, a smoke's both. */
struct report_finding *check_begin(
    struct check *check, const struct subject *subject);
void check_set(struct check *check, struct report_finding *finding,
    enum result result, const char *fmt, ...) PRINTF_LIKE(4, 5);
void check_evidence(struct check *check, struct report_finding *finding,
    const char *source, const char *observed, const char *expected);
/* Evidence from an observation: its target, time and summary. */
void check_evidence_of(struct check *check, struct report_finding *finding,
    const struct observation *observation, const char *expected);
void check_fix(struct check *check, struct report_finding *finding,
    const char *fix, const char *command, const char *verify);
/* "reeve.yaml:31", or the file alone. */
const char *check_place(struct check *check, const struct place *place);
const char *check_text(struct check *check, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
const struct observation *check_observation(
    struct check *check, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
