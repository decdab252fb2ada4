/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "checks/names.h"
#include "checks/rows.h"
#include "checks/smoke.h"

/* 6xx: what the canary's travel proves, and what not. */

enum {
	AGE_TEXT_SIZE = 32
};
/* Stages are looked at in turns: earlier than this is no contradiction. */
static const int64_t ORDER_SLACK_MS = 1000;

/* A declared smoke beside what was seen of it. */
struct smoke_look {
	const struct declared_smoke *smoke;
	const struct observed_smoke *seen; /* NULL: it did not run */
	size_t passed, failed, unknown;    /* stages */
	bool has_take, taken; /* a queue stage says that it was taken */
	bool has_effect,
	    dead;        /* stages that read a side effect; a dead letter */
	int64_t last_ms; /* the latest stage that was reached; -1 */
};

static const struct observed_stage *
stage_seen(const struct smoke_look *look, size_t index)
{
	const struct declared_stage *stage = &look->smoke->stages[index];

	for (size_t i = 0; look->seen != NULL && i < look->seen->nstages; i++)
		if (text_equal(look->seen->stages[i].stage, stage->name))
			return &look->seen->stages[i];
	return NULL;
}

static bool
is_take(const struct declared_stage *stage)
{
	return stage->queue != NULL && (text_equal(stage->state, "taken") ||
	                                   text_equal(stage->state, "gone"));
}

static void
count_stages(struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = stage_seen(look, i);
		enum result after = seen == NULL ? RESULT_UNKNOWN : seen->after;

		look->has_take = look->has_take || is_take(stage);
		look->has_effect =
		    look->has_effect || smoke_stage_is_effect(stage);
		look->dead = look->dead || text_equal(stage->state, "dead");
		if (after == RESULT_PASSED) {
			look->passed++;
			look->taken = look->taken || is_take(stage);
			look->last_ms = MAX(look->last_ms, seen->reached_ms);
		} else if (after == RESULT_FAILED) {
			look->failed++;
		} else {
			look->unknown++;
		}
	}
}

typedef void smoke_fn(struct check *check, const struct smoke_look *look);

static void
smokes_each(struct check *check, bool also_not_run, smoke_fn *judge)
{
	for (size_t s = 0; s < check->declared->nsmokes; s++) {
		struct smoke_look look = {
		    .smoke = &check->declared->smokes[s],
		    .last_ms = -1,
		};

		for (size_t i = 0; i < check->observed->nsmokes; i++)
			if (text_equal(check->observed->smokes[i].name,
			        look.smoke->name))
				look.seen = &check->observed->smokes[i];
		count_stages(&look);
		if (also_not_run || (look.seen != NULL && look.seen->submitted))
			judge(check, &look);
	}
}

static struct report_finding *
smoke_begin(struct check *check, const struct smoke_look *look)
{
	const struct subject subject = {.smoke = look->smoke->name};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		finding->confirmed = true;
	return finding;
}

static struct report_finding *
stage_begin(struct check *check, const struct smoke_look *look, size_t index)
{
	const struct subject subject = {
	    .smoke = look->smoke->name,
	    .stage = look->smoke->stages[index].name,
	};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		finding->confirmed = true;
	return finding;
}

/* Each stage: when it was reached, or what was seen instead. */
static void
say_stages(struct check *check, struct report_finding *finding,
    const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = stage_seen(look, i);
		char took[AGE_TEXT_SIZE], within[AGE_TEXT_SIZE];
		const char *text = "not looked at";

		if (seen != NULL && seen->after == RESULT_PASSED)
			text = check_text(check, "reached after %s",
			    text_ms_for_people(
			        seen->reached_ms, took, sizeof(took)));
		else if (seen != NULL)
			text = check_text(check, "not reached%s%s",
			    seen->summary == NULL ? "" : ": ",
			    seen->summary == NULL ? "" : seen->summary);
		check_evidence(check, finding,
		    check_text(check, "stage %s (%s)", stage->name,
		        check_place(check, &stage->place)),
		    text,
		    check_text(check, "within %s",
		        text_ms_for_people(
		            stage->within_ms, within, sizeof(within))));
	}
	check_evidence(check, finding, "canary",
	    look->seen->canary == NULL ? "" : look->seen->canary, NULL);
}

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
		const struct observed_stage *seen = stage_seen(look, i);

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
	say_stages(check, finding, look);
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
		const struct observed_stage *seen = stage_seen(look, i);

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
	say_stages(check, finding, look);
	check_fix(check, finding,
	    "an emptier queue is no success: read what the worker says of "
	    "this canary, and the dead letters",
	    check_text(check, "reeve queue ls %s",
	        shell_quote(check->report->arena, look->smoke->queue->name)),
	    "reeve smoke");
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
	say_stages(check, finding, look);
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
	say_stages(check, finding, look);
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
		const struct observed_stage *seen = stage_seen(look, i);

		if (seen == NULL || seen->after != RESULT_PASSED)
			continue;
		if (is_take(stage))
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
		say_stages(check, finding, look);
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
		const struct observed_stage *seen = stage_seen(look, i);

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
	say_stages(check, finding, look);
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
		const struct observed_stage *seen = stage_seen(look, i);

		if (!smoke_stage_is_effect(stage) || seen == NULL)
			continue;
		struct report_finding *finding = stage_begin(check, look, i);

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
		const struct observed_stage *seen = stage_seen(look, i);

		/* Only side effects (decisions.md 28). */
		if (stage->queue != NULL || seen == NULL ||
		    seen->before == RESULT_SKIPPED)
			continue;
		struct report_finding *finding = stage_begin(check, look, i);

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

/* --- RV619 processed-by-known-worker, RV620 processed-by-producer ----------
 */

/* Is `word` a whole word of `text`? ("17" in "host:17", not in "1170") */
static bool
has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); len > 0 && p != NULL;
	     p = strstr(p + 1, word))
		if ((p == text || !isalnum((unsigned char)p[-1])) &&
		    !isalnum((unsigned char)p[len]))
			return true;
	return false;
}

static const char *
known_instance(struct check *check, const char *by)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;

	for (size_t w = 0; w < supervisor->nworkers; w++) {
		const struct observed_worker *worker = &supervisor->workers[w];

		for (size_t i = 0; i < worker->ninstances; i++) {
			const struct observed_instance *instance =
			    &worker->instances[i];
			const char *pid =
			    check_text(check, "%lld", (long long)instance->pid);
			const char *index = check_text(
			    check, "%lld", (long long)instance->index);

			if (instance->pid <= 0)
				continue;
			if (has_word(by, pid) ||
			    strcmp(by, worker->name) == 0 ||
			    (has_word(by, worker->name) && has_word(by, index)))
				return check_text(check, "%s/%s, pid %s",
				    worker->name, index, pid);
		}
	}
	for (size_t i = 0; i < check->observed->nprocesses; i++) {
		const struct observed_process *process =
		    &check->observed->processes[i];

		if (has_word(
		        by, check_text(check, "%lld", (long long)process->pid)))
			return check_text(check, "worker %s, pid %lld",
			    process->worker, (long long)process->pid);
	}
	return NULL;
}

static const char *
consumer_named(
    struct check *check, const struct smoke_look *look, const char *by)
{
	const struct observation *seen =
	    check_observation(check, "queue %s", look->smoke->queue->name);

	if (seen == NULL || seen->queue == NULL)
		return NULL;
	for (size_t i = 0; i < seen->queue->nwho; i++) {
		const struct queue_consumer *who = &seen->queue->who[i];

		if (who->id[0] != '\0' && strcmp(who->id, by) == 0)
			return check_text(check, "consumer %s", who->id);
	}
	return NULL;
}

/* Nothing to hold the name against: then it is unknown, not wrong. */
static bool
knows_workers(const struct observed *observed)
{
	return observed->supervisor.reached == RESULT_PASSED ||
	       observed->processes_searched == RESULT_PASSED;
}

static void
judge_processor(
    struct check *check, const struct smoke_look *look, size_t index)
{
	const struct declared_stage *stage = &look->smoke->stages[index];
	const struct observed_stage *seen = stage_seen(look, index);
	struct report_finding *finding = stage_begin(check, look, index);

	if (finding == NULL || seen == NULL)
		return;
	if (seen->by == NULL || seen->by[0] == '\0') {
		check_set(check, finding, RESULT_FAILED,
		    "'%s' is empty: nobody says that he did it", stage->by);
		check_evidence(check, finding,
		    check_place(check, &stage->place),
		    check_text(check, "%s is empty", stage->by),
		    "a worker's name");
		check_fix(check, finding,
		    "have the worker write who it is (REEVE_WORKER and "
		    "REEVE_REPLICA are in its environment)",
		    NULL, "reeve smoke");
		return;
	}
	const char *known = known_instance(check, seen->by);

	if (known == NULL)
		known = consumer_named(check, look, seen->by);
	if (known != NULL) {
		check_set(check, finding, RESULT_PASSED, "by '%s' (%s)",
		    seen->by, known);
		return;
	}
	if (!knows_workers(check->observed)) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "by '%s'; which workers live is not known from here",
		    seen->by);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "by '%s', which is no worker that we know to live", seen->by);
	check_evidence(check, finding, check_place(check, &stage->place),
	    check_text(check, "%s = '%s'", stage->by, seen->by),
	    "an instance of a declared worker");
	check_fix(check, finding,
	    "find who that is: an old deployment, another host, a developer's "
	    "machine reads this queue too",
	    NULL, "reeve smoke");
}

static void
judge_processors(struct check *check, const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct observed_stage *seen = stage_seen(look, i);

		if (seen == NULL || seen->after != RESULT_PASSED ||
		    look->smoke->stages[i].queue != NULL)
			continue;
		if (look->smoke->stages[i].by != NULL) {
			judge_processor(check, look, i);
			continue;
		}
		struct report_finding *finding = stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		check_set(check, finding, RESULT_UNKNOWN,
		    "the stage has no `by`: who did the work can't be said");
		report_not_checked(check->report,
		    "smoke %s stage %s: who did the work (no `by`)",
		    look->smoke->name, look->smoke->stages[i].name);
	}
}

void
check_rv619(struct check *check)
{
	smokes_each(check, false, judge_processors);
}

static void
judge_producers(struct check *check, const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = stage_seen(look, i);
		const char *producer = NULL;

		if (stage->queue != NULL || seen == NULL ||
		    seen->after != RESULT_PASSED)
			continue;
		struct report_finding *finding = stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		if (stage->by == NULL || seen->by == NULL ||
		    seen->by[0] == '\0') {
			check_set(check, finding, RESULT_UNKNOWN,
			    stage->by == NULL ? "the stage has no `by`"
			                      : "nobody says that he did it");
			continue;
		}
		for (size_t p = 0; p < check->declared->nproducers; p++)
			if (has_word(
			        seen->by, check->declared->producers[p].name))
				producer = check->declared->producers[p].name;
		if (producer == NULL) {
			check_set(
			    check, finding, RESULT_PASSED, "not by a producer");
			continue;
		}
		check_set(check, finding, RESULT_FAILED,
		    "producer '%s' did the work itself: no worker had a part "
		    "in it",
		    producer);
		check_evidence(check, finding,
		    check_place(check, &stage->place),
		    check_text(check, "%s = '%s'", stage->by, seen->by),
		    "a worker");
		check_fix(check, finding,
		    "have the producer only submit; a job that it does itself "
		    "proves nothing about the workers",
		    NULL, "reeve smoke");
	}
}

void
check_rv620(struct check *check)
{
	smokes_each(check, false, judge_producers);
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
