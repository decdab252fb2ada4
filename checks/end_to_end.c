/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"
#include "checks/smoke.h"
#include "checks/smoke_look.h"

/* 6xx: what the canary's travel proves, and what not. */

enum {
	AGE_TEXT_SIZE = 32
};
/* Stages are looked at in turns: earlier than this is no contradiction. */
static const int64_t ORDER_SLACK_MS = 1000;

/* --- RV601 canary-completes ------------------------------------------------
 */

/* Trouble of our own, or a question that could not be asked, is no failure of
 * the pipeline. */
static bool
is_ours(enum cause cause)
{
	return cause == CAUSE_INTERNAL || cause == CAUSE_DEADLINE ||
	       cause == CAUSE_UNRESOLVED;
}

static void
judge_submission(struct check *check, struct report_finding *finding,
    const struct smoke_look *look)
{
	const struct observed_smoke *seen = look->seen;
	bool ours = is_ours(seen->cause);

	check_set(check, finding, ours ? RESULT_UNKNOWN : RESULT_FAILED,
	    "the canary could not be submitted: %s",
	    seen->summary == NULL ? cause_name(seen->cause) : seen->summary);
	check_evidence(check, finding,
	    check_text(check, "queue %s", look->smoke->queue->name),
	    seen->summary == NULL ? "" : seen->summary, "acknowledged");
	check_fix(
	    check, finding, "see what the broker says", NULL, "reeve smoke");
}

static const char *
first_missing(const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (seen == NULL || seen->after != RESULT_PASSED)
			return look->smoke->stages[i].name;
	}
	return "";
}

static void
judge_completes(struct check *check, const struct smoke_look *look)
{
	struct report_finding *finding = smoke_begin(check, look);
	char took[AGE_TEXT_SIZE];

	if (finding == NULL)
		return;
	if (look->seen == NULL) {
		check_set(check, finding, RESULT_UNKNOWN, "it did not run");
		return;
	}
	if (!look->seen->submitted) {
		judge_submission(check, finding, look);
		return;
	}
	if (look->failed == 0 && look->unknown == 0 && look->passed > 0) {
		check_set(check, finding, RESULT_PASSED,
		    "%zu of %zu stages, the last after %s", look->passed,
		    look->smoke->nstages,
		    text_ms_for_people(look->last_ms, took, sizeof(took)));
		return;
	}
	check_set(check, finding,
	    look->failed > 0 ? RESULT_FAILED : RESULT_UNKNOWN,
	    "%zu of %zu stages; '%s' was not reached", look->passed,
	    look->smoke->nstages, first_missing(look));
	smoke_say_stages(check, finding, look);
	check_fix(check, finding,
	    look->taken ? "a worker took it: read what it says of this canary"
	                : "nobody took it: see who consumes the queue",
	    NULL, "reeve smoke");
}

void
check_rv601(struct check *check)
{
	const struct subject subject = {.other = "smoke"};

	smokes_each(check, true, judge_completes);
	if (check->declared->nsmokes > 0)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_UNKNOWN,
	    "no smoke is declared: nothing proves that a job gets through");
	check_fix(check, finding,
	    "declare one under smoke: what to submit, and how its work shows",
	    NULL, "reeve smoke");
}

/* --- RV602 drained-not-succeeded -------------------------------------------
 */

/* What the effects say together: one that failed, else one that is unknown,
 * else passed. */
static enum result
effects(const struct smoke_look *look)
{
	enum result all = RESULT_PASSED;

	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (!smoke_stage_is_effect(&look->smoke->stages[i]))
			continue;
		if (seen != NULL && seen->after == RESULT_FAILED)
			return RESULT_FAILED;
		if (seen == NULL || seen->after != RESULT_PASSED)
			all = RESULT_UNKNOWN;
	}
	return all;
}

static void
judge_success(struct check *check, const struct smoke_look *look)
{
	/* A canary that is meant to die proves something else. */
	if (look->dead)
		return;
	struct report_finding *finding = smoke_begin(check, look);

	if (finding == NULL)
		return;
	if (!look->has_effect) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "no stage reads a side effect back: that the job was taken, "
		    "or what the worker says of it, does not say that its work "
		    "was done");
		check_fix(check, finding,
		    "add a stage that reads what the job leaves behind: a row, "
		    "a key, an object",
		    NULL, "reeve smoke");
		return;
	}
	enum result done = effects(look);

	if (done != RESULT_FAILED) {
		check_set(check, finding, done, "%s",
		    done == RESULT_PASSED
		        ? "taken, and its work was read back"
		        : "not every stage could be looked at");
		return;
	}
	if (look->has_take && !look->taken) {
		check_set(check, finding, RESULT_BLOCKED,
		    "the job was not taken at all");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "consumed 1, succeeded 0: the job was taken, and '%s' did not "
	    "come",
	    first_missing(look));
	smoke_say_stages(check, finding, look);
	check_fix(check, finding,
	    "an emptier queue is no success: read what the worker says of "
	    "this canary, and the dead letters",
	    queue_command(check, look->smoke->queue, "dead"), "reeve smoke");
}

void
check_rv602(struct check *check)
{
	smokes_each(check, false, judge_success);
}

/* --- RV604 stage-incomplete ------------------------------------------------
 */

static void
judge_stages(struct check *check, const struct smoke_look *look)
{
	struct report_finding *finding;

	/* None at all: RV601 alone says it. */
	if (look->passed == 0)
		return;
	finding = smoke_begin(check, look);
	if (finding == NULL)
		return;
	if (look->passed == look->smoke->nstages) {
		check_set(check, finding, RESULT_PASSED, "%zu of %zu",
		    look->passed, look->smoke->nstages);
		return;
	}
	check_set(check, finding,
	    look->failed > 0 ? RESULT_FAILED : RESULT_UNKNOWN,
	    "%zu of %zu stages, then it stopped before '%s'", look->passed,
	    look->smoke->nstages, first_missing(look));
	smoke_say_stages(check, finding, look);
	check_fix(check, finding,
	    check_text(check,
	        "look at what lies between the last stage that "
	        "was reached and '%s'",
	        first_missing(look)),
	    NULL, "reeve smoke");
}

void
check_rv604(struct check *check)
{
	smokes_each(check, false, judge_stages);
}

/* --- RV607 impossible-duration ---------------------------------------------
 */

static void
judge_duration(struct check *check, const struct smoke_look *look)
{
	char took[AGE_TEXT_SIZE], least[AGE_TEXT_SIZE];
	int64_t floor_ms = look->smoke->floor_ms;

	if (floor_ms <= 0)
		return;
	struct report_finding *finding = smoke_begin(check, look);

	if (finding == NULL)
		return;
	(void)text_ms_for_people(look->last_ms, took, sizeof(took));
	(void)text_ms_for_people(floor_ms, least, sizeof(least));
	if (look->last_ms >= floor_ms) {
		check_set(check, finding, RESULT_PASSED, "%s, the floor is %s",
		    took, least);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "done after %s, which real work can't be (floor %s): the result "
	    "is invalid, not fast",
	    took, least);
	smoke_say_stages(check, finding, look);
	check_fix(check, finding,
	    "see who answered: a mock, a cache, a row from an earlier run; or "
	    "lower the floor if the work is really that quick",
	    NULL, "reeve smoke");
}

void
check_rv607(struct check *check)
{
	smokes_each(check, false, judge_duration);
}

/* --- RV611 timestamp-sanity ------------------------------------------------
 */

static void
judge_times(struct check *check, const struct smoke_look *look)
{
	struct report_finding *finding;
	int64_t taken_ms = -1;

	if (look->passed == 0)
		return;
	finding = smoke_begin(check, look);
	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_PASSED, "in order");
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (seen == NULL || seen->after != RESULT_PASSED)
			continue;
		if (smoke_stage_takes(stage))
			taken_ms = MAX(taken_ms, seen->reached_ms);
		if (seen->reached_ms >= 0 &&
		    (taken_ms < 0 ||
		        seen->reached_ms + ORDER_SLACK_MS >= taken_ms))
			continue;
		check_set(check, finding, RESULT_FAILED,
		    seen->reached_ms < 0
		        ? "stage '%s' was reached before the canary was sent"
		        : "stage '%s' was reached before the job was taken",
		    stage->name);
		smoke_say_stages(check, finding, look);
		check_fix(check, finding,
		    "what was found is not this canary's work: bind the "
		    "expectation to $(CANARY), and compare the clocks",
		    NULL, "reeve smoke");
		return;
	}
}

void
check_rv611(struct check *check)
{
	smokes_each(check, false, judge_times);
}

/* --- RV215 ack-order -------------------------------------------------------
 */

/* Of one queue alone: behind a second one the work is somebody else's. */
static void
judge_ack(struct check *check, const struct smoke_look *look)
{
	int64_t acked_ms = -1, effect_ms = -1;
	char acked[AGE_TEXT_SIZE], effect[AGE_TEXT_SIZE];

	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (stage->queue != NULL && stage->queue != look->smoke->queue)
			return;
		if (seen == NULL || seen->after != RESULT_PASSED)
			continue;
		if (smoke_stage_is_effect(stage))
			effect_ms = MAX(effect_ms, seen->reached_ms);
		else if (text_equal(stage->state, "gone"))
			acked_ms = seen->reached_ms;
	}
	if (acked_ms < 0 || effect_ms < 0)
		return;
	struct report_finding *finding = smoke_begin(check, look);

	if (finding == NULL)
		return;
	if (acked_ms + ORDER_SLACK_MS >= effect_ms) {
		check_set(check, finding, RESULT_PASSED,
		    "its work was there when it was acknowledged");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "acknowledged after %s, its work was there after %s: a worker that "
	    "dies between loses the job",
	    text_ms_for_people(acked_ms, acked, sizeof(acked)),
	    text_ms_for_people(effect_ms, effect, sizeof(effect)));
	smoke_say_stages(check, finding, look);
	check_fix(check, finding,
	    "have the worker acknowledge when the work is done, and do it so "
	    "that twice is harmless",
	    NULL, "reeve smoke");
}

void
check_rv215(struct check *check)
{
	smokes_each(check, false, judge_ack);
}

/* --- RV612 side-effect-count, RV919 assertion-free -------------------------
 */

static void
judge_effects(struct check *check, const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (!smoke_stage_is_effect(stage) || seen == NULL)
			continue;
		struct report_finding *finding =
		    smoke_stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		if (seen->after == RESULT_FAILED && look->has_take &&
		    !look->taken) {
			check_set(check, finding, RESULT_BLOCKED,
			    "the job was not taken at all");
			continue;
		}
		check_set(check, finding, seen->after, "%s",
		    seen->summary == NULL ? "" : seen->summary);
		if (seen->after != RESULT_FAILED)
			continue;
		check_evidence(check, finding,
		    check_text(check, "%s (%s)", stage->request.kind,
		        check_place(check, &stage->place)),
		    seen->summary == NULL ? "not there" : seen->summary,
		    "what the stage declares, for this canary");
		check_fix(check, finding,
		    "the job was taken, but what it should leave behind is "
		    "not there: read what the worker says of this canary",
		    NULL, "reeve smoke");
	}
}

void
check_rv612(struct check *check)
{
	smokes_each(check, false, judge_effects);
}

static void
judge_vacuous(struct check *check, const struct smoke_look *look)
{
	if (look->seen == NULL)
		return;
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		/* Only side effects (decisions.md 28). */
		if (stage->queue != NULL || seen == NULL ||
		    seen->before == RESULT_SKIPPED)
			continue;
		struct report_finding *finding =
		    smoke_stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		if (seen->before != RESULT_PASSED) {
			bool failed = seen->before == RESULT_FAILED;

			check_set(check, finding,
			    failed ? RESULT_PASSED : RESULT_UNKNOWN, "%s",
			    failed ? "it did not hold before the canary"
			           : "it could not be tried before the canary");
			continue;
		}
		check_set(check, finding, RESULT_FAILED,
		    "it held before the canary was sent: it would hold without "
		    "any work");
		check_evidence(check, finding,
		    check_place(check, &stage->place),
		    "already true with a fresh canary id that nobody had seen",
		    "not true before");
		check_fix(check, finding,
		    "bind the expectation to $(CANARY): a row or key of this "
		    "canary, not a count or a status of the whole",
		    NULL, "reeve smoke");
	}
}

void
check_rv919(struct check *check)
{
	smokes_each(check, true, judge_vacuous);
}

/* --- RV908 test-data-pollution ---------------------------------------------
 */

static void
judge_cleanup(struct check *check, const struct smoke_look *look)
{
	struct report_finding *finding = smoke_begin(check, look);

	if (finding == NULL)
		return;
	if (look->seen->cleaned) {
		check_set(check, finding, RESULT_PASSED, "cleaned up");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "what the canary left could not be removed: %s",
	    look->seen->cleanup_summary == NULL ? ""
	                                        : look->seen->cleanup_summary);
	check_evidence(check, finding, "canary",
	    look->seen->canary == NULL ? "" : look->seen->canary, "removed");
	check_fix(check, finding,
	    "remove it by hand; it carries this canary's id", NULL, NULL);
}

void
check_rv908(struct check *check)
{
	smokes_each(check, false, judge_cleanup);
}

/* --- RV624 canary-isolation ------------------------------------------------
 */

static void
say_isolated(struct check *check, struct report_finding *finding,
    const struct declared_smoke *smoke)
{
	check_evidence(check, finding, check_place(check, &smoke->place),
	    check_text(check, "smoke %s: mode: isolated%s%s", smoke->name,
	        smoke->queue->real_name == NULL ? "" : ", into ",
	        smoke->queue->real_name == NULL ? "" : smoke->queue->real_name),
	    "one smoke in-band");
}

void
check_rv624(struct check *check)
{
	const struct declared *declared = check->declared;
	const struct subject subject = {.other = "smoke"};
	size_t isolated = 0;

	for (size_t s = 0; s < declared->nsmokes; s++)
		isolated += declared->smokes[s].isolated;
	if (declared->nsmokes == 0)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (isolated < declared->nsmokes) {
		check_set(check, finding, RESULT_PASSED,
		    "a canary goes through the real queue");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "every smoke uses a queue of its own: nothing shows that the real "
	    "one is consumed");
	for (size_t s = 0; s < declared->nsmokes; s++)
		say_isolated(check, finding, &declared->smokes[s]);
	check_fix(check, finding,
	    "have one smoke go through the real queue: leave out `mode: "
	    "isolated`; the canary carries an id of its own and is cleaned up",
	    NULL, "reeve gate");
}
