/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 7xx: symptoms in a queue's own numbers. */

enum {
	/* Fewer outcomes than this are no ratio (verifying.md 5.3, rule 13). */
	RATIO_LEAST = 5,
	AGE_TEXT_SIZE = 32
};
/* Where no objective is declared: half of the work in vain is too much for
 * anybody. */
static const double RATIO_DEFAULT = 0.5;

/* --- RV701 no-consumer-with-backlog ----------------------------------------
 */

static void
say_movement(struct check *check, struct report_finding *finding,
    const struct queue_look *look)
{
	const char *head = look->state->head;

	if (look->later == NULL || head == NULL || head[0] == '\0')
		return;
	queue_evidence(check, finding, look,
	    text_equal(head, look->later->head)
	        ? "the same job is at the head in the second sample"
	        : "another job is at the head in the second sample: somebody "
	          "takes them",
	    NULL);
}

/* Whether those who are declared to consume it have no replicas, and nothing
 * that would give them any; adds which. */
static bool
say_none_declared(struct check *check, struct report_finding *finding,
    const struct declared_queue *queue)
{
	size_t idle = 0, others = 0;

	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (size_t i = 0; i < worker->nconsumes; i++) {
			if (worker->consumes[i].queue != queue)
				continue;
			if (worker->replicas > 0 || worker->scale.max > 0) {
				others++;
				continue;
			}
			idle++;
			check_evidence(check, finding,
			    check_place(check, &worker->place),
			    check_text(check,
			        "worker %s has 0 replicas, and nothing scales "
			        "it",
			        worker->name),
			    NULL);
		}
	}
	return idle > 0 && others == 0;
}

static void
judge_backlog(struct check *check, const struct queue_look *look)
{
	const struct queue_number *waiting = &look->state->waiting;
	const struct queue_number *consumers = queue_consumers(look);
	struct report_finding *finding = queue_begin(check, look, waiting);
	char age[AGE_TEXT_SIZE];

	if (finding == NULL)
		return;
	if (waiting->value == 0) {
		check_set(check, finding, RESULT_PASSED, "no job waits");
		return;
	}
	if (!queue_number_known(consumers)) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "%s, and who consumes is not known: %s",
		    queue_number_text(check, "waiting", waiting),
		    consumers->why == NULL ? "" : consumers->why);
		return;
	}
	if (consumers->value > 0) {
		check_set(check, finding, RESULT_PASSED, "%s, %s",
		    queue_number_text(check, "waiting", waiting),
		    queue_number_text(check, "consuming", consumers));
		return;
	}
	check_set(check, finding, RESULT_FAILED, "%s%s%s, 0 consumers",
	    queue_number_text(check, "waiting", waiting),
	    look->state->oldest_ms.know == KNOW_EXACT ? ", oldest " : "",
	    look->state->oldest_ms.know == KNOW_EXACT
	        ? text_ms_for_people(
	              look->state->oldest_ms.value, age, sizeof(age))
	        : "");
	queue_evidence(check, finding, look,
	    queue_number_text(check, "waiting", waiting), NULL);
	queue_evidence(check, finding, look, "0 consumers", "at least one");
	say_movement(check, finding, look);
	check_fix(check, finding,
	    say_none_declared(check, finding, look->queue)
	        ? "give it replicas, or let it be scaled by this queue "
	          "(`scale`)"
	        : "start what consumes it",
	    NULL, "reeve diagnose");
}

void
check_rv701(struct check *check)
{
	queues_each(check, judge_backlog);
}

/* --- RV702 oldest-age ------------------------------------------------------
 */

/* True when it fails; adds its evidence. */
static bool
beyond_age(struct check *check, struct report_finding *finding,
    const struct queue_look *look)
{
	int64_t allowed_ms = look->queue->objectives.oldest_ms;
	const struct queue_number *oldest = &look->state->oldest_ms;
	char is[AGE_TEXT_SIZE], may[AGE_TEXT_SIZE];

	if (allowed_ms < 0 || !queue_number_known(oldest) ||
	    oldest->value <= allowed_ms)
		return false;
	queue_evidence(check, finding, look,
	    check_text(check, "the oldest job waits for %s",
	        text_ms_for_people(oldest->value, is, sizeof(is))),
	    check_text(check, "at most %s (%s)",
	        text_ms_for_people(allowed_ms, may, sizeof(may)),
	        check_place(check, &look->queue->place)));
	check_set(check, finding, RESULT_FAILED,
	    "the oldest job waits for %s, the objective is %s", is, may);
	return true;
}

static bool
beyond_depth(struct check *check, struct report_finding *finding,
    const struct queue_look *look)
{
	int64_t allowed = look->queue->objectives.depth;
	const struct queue_number *waiting = &look->state->waiting;

	if (allowed < 0 || !queue_number_known(waiting) ||
	    waiting->value <= allowed)
		return false;
	queue_evidence(check, finding, look,
	    queue_number_text(check, "waiting", waiting),
	    check_text(check, "at most %lld (%s)", (long long)allowed,
	        check_place(check, &look->queue->place)));
	check_set(check, finding, RESULT_FAILED, "%s, the objective is %lld",
	    queue_number_text(check, "waiting", waiting), (long long)allowed);
	return true;
}

/* Whether counting ended before it could be said that more are there than may
 * be. */
static bool
ended_before(const struct queue_number *number, int64_t allowed)
{
	return number->know == KNOW_AT_LEAST && number->value <= allowed;
}

/* What is missing to say that both objectives are met; NULL: nothing. */
static const char *
why_not_within(struct check *check, const struct queue_look *look)
{
	const struct declared_objectives *o = &look->queue->objectives;
	const struct queue_number *waiting = &look->state->waiting;
	const struct queue_number *oldest = &look->state->oldest_ms;
	bool none = queue_number_known(waiting) && waiting->value == 0;

	if (o->depth >= 0 && !queue_number_known(waiting))
		return queue_number_text(check, "waiting", waiting);
	if (o->depth >= 0 && ended_before(waiting, o->depth))
		return check_text(check,
		    "%s: no more are counted, the objective is %lld",
		    queue_number_text(check, "waiting", waiting),
		    (long long)o->depth);
	if (o->oldest_ms < 0 || none)
		return NULL;
	if (!queue_number_known(oldest))
		return check_text(check,
		    "the age of the oldest job is not known: %s",
		    oldest->why == NULL ? "this kind of queue does not keep it"
		                        : oldest->why);
	if (ended_before(oldest, o->oldest_ms))
		return "the oldest job is older than what is known of it";
	return NULL;
}

static void
judge_age(struct check *check, const struct queue_look *look)
{
	const struct declared_objectives *o = &look->queue->objectives;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (o->oldest_ms < 0 && o->depth < 0) {
		check_set(check, finding, RESULT_SKIPPED,
		    "no objective for age or depth is declared");
		return;
	}
	bool deep = beyond_depth(check, finding, look);
	bool old = beyond_age(check, finding, look);

	if (deep || old) {
		check_fix(check, finding,
		    "see what the causes above it say; if all is well there, "
		    "more replicas",
		    NULL, "reeve diagnose");
		return;
	}
	const char *unknown = why_not_within(check, look);

	if (unknown != NULL)
		check_set(check, finding, RESULT_UNKNOWN, "%s", unknown);
	else
		check_set(
		    check, finding, RESULT_PASSED, "within its objectives");
}

void
check_rv702(struct check *check)
{
	queues_each(check, judge_age);
}

/* --- RV703 failure-ratio ---------------------------------------------------
 */

static int64_t
known_or_zero(const struct queue_number *number)
{
	return queue_number_known(number) ? number->value : 0;
}

/* What is missing for the ratio to be sure; NULL: nothing. */
static const char *
why_no_ratio(struct check *check, const struct queue_state *s, int64_t bad,
    int64_t all, bool fails)
{
	if (!queue_number_known(&s->completed))
		return "how many jobs succeeded is not known";
	if (!fails &&
	    (s->failed.know == KNOW_UNKNOWN || s->dead.know == KNOW_UNKNOWN))
		return "how many jobs failed is not known";
	if (all < RATIO_LEAST)
		return "too few jobs have ended to say";
	if (fails ? s->completed.know == KNOW_AT_LEAST
	          : s->failed.know == KNOW_AT_LEAST ||
	                s->dead.know == KNOW_AT_LEAST)
		return check_text(check,
		    "%s: no more are counted, so the ratio isn't known",
		    fails ? queue_number_text(check, "completed", &s->completed)
		          : check_text(check, "at least %lld failed or dead",
		                (long long)bad));
	return NULL;
}

static void
judge_failures(struct check *check, const struct queue_look *look)
{
	const struct queue_state *s = look->state;
	double declared = look->queue->objectives.failure_ratio;
	double allowed = declared < 0 ? RATIO_DEFAULT : declared;
	int64_t bad = known_or_zero(&s->failed) + known_or_zero(&s->dead);
	int64_t all = bad + known_or_zero(&s->completed);
	const struct subject subject = {.queue = look->queue->name};

	/* Without the successes there is no ratio. */
	if (s->completed.know == KNOW_NOT_APPLICABLE)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	bool fails = (double)bad > allowed * (double)all;
	const char *unknown = why_no_ratio(check, s, bad, all, fails);

	if (unknown != NULL) {
		check_set(check, finding, RESULT_UNKNOWN, "%s", unknown);
		return;
	}
	check_set(check, finding, fails ? RESULT_FAILED : RESULT_PASSED,
	    "%lld of %lld that ended have failed (%.0f %%)", (long long)bad,
	    (long long)all, 100.0 * (double)bad / (double)all);
	if (!fails)
		return;
	queue_evidence(check, finding, look,
	    check_text(check, "%lld completed, %lld failed or dead",
	        (long long)(all - bad), (long long)bad),
	    check_text(check, "at most %.0f %% (%s)", allowed * 100,
	        declared < 0 ? "no objective is declared"
	                     : check_place(check, &look->queue->place)));
	check_fix(check, finding, "read why the last ones failed",
	    queue_command(check, look->queue, "dead"), "reeve diagnose");
}

void
check_rv703(struct check *check)
{
	queues_each(check, judge_failures);
}

/* --- RV715 dlq-depth -------------------------------------------------------
 */

static void
judge_dead(struct check *check, const struct queue_look *look)
{
	int64_t allowed = look->queue->objectives.dead_letters;
	const struct queue_number *dead = &look->state->dead;

	if (allowed < 0)
		return;
	struct report_finding *finding = queue_begin(check, look, dead);

	if (finding == NULL)
		return;
	if (ended_before(dead, allowed)) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "%s: no more are counted, the objective is %lld",
		    queue_number_text(check, "dead", dead), (long long)allowed);
		return;
	}
	if (dead->value <= allowed) {
		check_set(check, finding, RESULT_PASSED, "%s",
		    queue_number_text(check, "dead", dead));
		return;
	}
	check_set(check, finding, RESULT_FAILED, "%s, the objective is %lld",
	    queue_number_text(check, "dead letters", dead), (long long)allowed);
	queue_evidence(check, finding, look,
	    queue_number_text(check, "dead", dead),
	    check_text(check, "at most %lld (%s)", (long long)allowed,
	        check_place(check, &look->queue->place)));
	check_fix(check, finding,
	    "read them, mend the cause, then put them back",
	    queue_command(check, look->queue, "dead"), NULL);
}

void
check_rv715(struct check *check)
{
	queues_each(check, judge_dead);
}
