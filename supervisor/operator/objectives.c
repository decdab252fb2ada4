/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

/*
 * A queue's objectives, judged by its history, so that a new operator knows
 * since when one is missed. What isn't known is neither well nor over: a missed
 * objective stays missed until a look says otherwise, and a queue that can't be
 * read for UNKNOWN_MS is a condition of its own.
 */
enum {
	UNKNOWN_MS = 2 * 60 * 1000,
	EXPRESSION_MAX = 160,
};

/* What `reeve explain` knows of it. */
static const struct {
	const char *objective, *finding;
} findings[] = {
    {"depth", "RV702"},
    {"oldest", "RV702"},
    {"deadLetters", "RV715"},
    {"failureRatio", "RV703"},
    {"leaseExpiryRatio", "RV721"},
};

static const char *
finding_of(const char *objective)
{
	for (size_t i = 0; i < ARRAY_LEN(findings); i++)
		if (text_equal(findings[i].objective, objective))
			return findings[i].finding;
	return NULL;
}

static void
missed(const struct rule_look *look, const char *objective, const char *summary,
    const char *evidence, const char *fix)
{
	struct arena *arena = &look->rules->arena;
	const char *name = look->queue->name;

	rules_say(look->rules, objective, look->subject, RESULT_FAILED, NULL);
	rules_add(look->rules,
	    &(struct alert_condition){
	        .key = arena_format(arena, "objective:%s:%s", name, objective),
	        .kind = "objective",
	        .severity = SEVERITY_ERROR,
	        .subject = look->subject,
	        .summary = summary,
	        .evidence = evidence,
	        .queues = name,
	        .finding = finding_of(objective),
	        .fix = fix,
	    });
}

static const char *
amount(const struct rule_look *look, double value, bool age)
{
	if (age)
		return rules_age(look->rules, (int64_t)value);
	return arena_format(&look->rules->arena, "%.4g", value);
}

/* One that is about what a single look shows; `limit` -1: not declared. */
static void
judge_looks(const struct rule_look *look, const char *objective,
    const struct queue_number *now, const char *expression, double limit)
{
	struct arena *arena = &look->rules->arena;
	struct trend_above above;
	bool age = text_equal(objective, "oldest");

	if (limit < 0)
		return;
	trend_above(
	    look->op->trend, look->queue->name, expression, limit, &above);
	if (above.since_wall_ms != 0 &&
	    above.last_wall_ms - above.since_wall_ms >=
	        look->queue->objectives.hold_ms)
		missed(look, objective,
		    arena_format(arena, "%s is above %s", objective,
		        amount(look, limit, age)),
		    arena_format(arena, "up to %s since %s, last seen %s",
		        amount(look, above.most, age),
		        rules_time(look->rules, above.since_wall_ms),
		        rules_time(look->rules, above.last_wall_ms)),
		    text_equal(objective, "deadLetters")
		        ? arena_format(
		              arena, "reeve queue dead %s", look->queue->name)
		        : "reeve diagnose");
	else if (now->know == KNOW_AT_LEAST && (double)now->value <= limit)
		rules_say(look->rules, objective, look->subject, RESULT_UNKNOWN,
		    arena_format(arena,
		        "at least %" PRId64 ": no more are counted",
		        now->value));
	else if (rules_known(look, objective, now))
		rules_say(
		    look->rules, objective, look->subject, RESULT_PASSED, NULL);
}

/* `part` of `all`, of which there must be enough. */
static void
judge_ratio(const struct rule_look *look, const char *objective,
    const char *what, int64_t part, int64_t all, double limit)
{
	const struct declared_objectives *wanted = &look->queue->objectives;
	struct arena *arena = &look->rules->arena;
	const char *window = rules_age(look->rules, wanted->window_ms);

	if (all < wanted->min_count)
		rules_say(look->rules, objective, look->subject, RESULT_UNKNOWN,
		    arena_format(arena,
		        "%" PRId64 " in the last %s; at least %" PRId64
		        " are needed",
		        all, window, wanted->min_count));
	else if ((double)part <= limit * (double)all)
		rules_say(
		    look->rules, objective, look->subject, RESULT_PASSED, NULL);
	else
		missed(look, objective,
		    arena_format(
		        arena, "more than %.4g%% of %s", 100 * limit, what),
		    arena_format(arena,
		        "%" PRId64 " of %" PRId64 " in the last %s", part, all,
		        window),
		    "reeve diagnose");
}

static void
judge_failures(const struct rule_look *look, const struct trend_counts *counts)
{
	double limit = look->queue->objectives.failure_ratio;
	const struct queue_state *state = look->view.state;

	if (limit < 0)
		return;
	if (counts->completed < 0 || counts->failed < 0) {
		if (rules_known(look, "failureRatio", &state->completed) &&
		    (state->dead.know != KNOW_UNKNOWN ||
		        rules_known(look, "failureRatio", &state->failed)))
			rules_say(look->rules, "failureRatio", look->subject,
			    RESULT_UNKNOWN, "only one look was made");
		return;
	}
	if (state->completed.know == KNOW_AT_LEAST) {
		/* a count that stands still at its end */
		rules_say(look->rules, "failureRatio", look->subject,
		    RESULT_UNKNOWN,
		    arena_format(&look->rules->arena,
		        "at least %" PRId64
		        " are completed: no more are counted",
		        state->completed.value));
		return;
	}
	judge_ratio(look, "failureRatio", "the jobs fail", counts->failed,
	    counts->completed + counts->failed, limit);
}

/* Of the attempts, where they can be counted; else of what is in hand. */
static void
judge_leases(const struct rule_look *look, const struct trend_counts *counts)
{
	const struct declared_objectives *wanted = &look->queue->objectives;
	double limit = wanted->lease_expiry_ratio;
	char expired[EXPRESSION_MAX];

	if (limit < 0)
		return;
	if (counts->completed >= 0 && counts->failed >= 0 &&
	    counts->expired >= 0) {
		judge_ratio(look, "leaseExpiryRatio",
		    "the attempts end with their lease", counts->expired,
		    counts->completed + counts->failed + counts->expired,
		    limit);
		return;
	}
	(void)snprintf(expired, sizeof(expired),
	    "CASE WHEN active >= %" PRId64
	    " THEN 1.0 * lease_expired / active END",
	    MAX(wanted->min_count, (int64_t)1));
	judge_looks(look, "leaseExpiryRatio", &look->view.state->lease_expired,
	    expired, limit);
}

static void
judge_known(const struct rule_look *look)
{
	struct arena *arena = &look->rules->arena;
	const struct queue_view *view = &look->view;

	if (view->trouble_wall_ms == 0 ||
	    look->now_wall_ms - view->trouble_wall_ms < UNKNOWN_MS)
		return;
	rules_add(look->rules,
	    &(struct alert_condition){
	        .key =
	            arena_format(arena, "queue-unknown:%s", look->queue->name),
	        .kind = "queue-unknown",
	        .severity = SEVERITY_WARNING,
	        .subject = look->subject,
	        .summary = "it can't be read: nobody knows whether its "
	                   "objectives are met",
	        .evidence = arena_format(arena, "since %s: %s",
	            rules_time(look->rules, view->trouble_wall_ms),
	            view->trouble),
	        .fix = "reeve diagnose",
	        .hold_ms = UNKNOWN_MS,
	    });
}

void
objectives_judge(const struct rule_look *look)
{
	const struct declared_objectives *wanted = &look->queue->objectives;
	const struct queue_state *state = look->view.state;
	struct trend_counts counts = {-1, -1, -1, -1};

	judge_known(look);
	judge_looks(
	    look, "depth", &state->waiting, "waiting", (double)wanted->depth);
	judge_looks(look, "oldest", &state->oldest_ms, "oldest_ms",
	    (double)wanted->oldest_ms);
	judge_looks(look, "deadLetters", &state->dead, "dead",
	    (double)wanted->dead_letters);
	if (wanted->failure_ratio >= 0 || wanted->lease_expiry_ratio >= 0)
		trend_counts(look->op->trend, look->queue->name,
		    look->now_wall_ms - wanted->window_ms, &counts);
	judge_leases(look, &counts);
	judge_failures(look, &counts);
}
