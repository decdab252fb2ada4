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

struct judging {
	struct operator_core *op;
	struct arena *arena;
	condition_fn *fn;
	void *arg;
	const struct declared_queue *queue;
	int64_t now_wall_ms;
};

static const char *
since_text(const struct judging *judging, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	return arena_text(judging->arena, clock_text(wall_ms, text));
}

static void
missed(const struct judging *judging, const char *objective,
    const char *summary, const char *evidence)
{
	const char *name = judging->queue->name;

	judging->fn(judging->arg,
	    &(struct alert_condition){
	        .key = arena_format(
	            judging->arena, "objective:%s:%s", name, objective),
	        .kind = "objective",
	        .severity = SEVERITY_ERROR,
	        .subject = arena_format(judging->arena, "queue %s", name),
	        .summary = summary,
	        .evidence = evidence,
	    });
}

static const char *
amount(const struct judging *judging, double value, bool age)
{
	char text[32];

	if (!age)
		return arena_format(judging->arena, "%.4g", value);
	return arena_text(judging->arena,
	    text_ms_for_people((int64_t)value, text, sizeof(text)));
}

/* One that is about what a single look shows; `limit` -1: not declared. */
static void
judge_looks(const struct judging *judging, const char *objective,
    const char *expression, double limit, bool age)
{
	struct trend_above above;

	if (limit < 0)
		return;
	trend_above(judging->op->trend, judging->queue->name, expression, limit,
	    &above);
	if (above.since_wall_ms == 0 ||
	    above.last_wall_ms - above.since_wall_ms <
	        judging->queue->objectives.hold_ms)
		return;
	missed(judging, objective,
	    arena_format(judging->arena, "%s is above %s", objective,
	        amount(judging, limit, age)),
	    arena_format(judging->arena, "at most %s since %s, last seen %s",
	        amount(judging, above.most, age),
	        since_text(judging, above.since_wall_ms),
	        since_text(judging, above.last_wall_ms)));
}

static void
judge_failures(const struct judging *judging)
{
	const struct declared_objectives *objectives =
	    &judging->queue->objectives;
	struct trend_counts counts;
	char window[32];

	if (objectives->failure_ratio < 0)
		return;
	trend_counts(judging->op->trend, judging->queue->name,
	    judging->now_wall_ms - objectives->window_ms, &counts);
	int64_t all = counts.completed + counts.failed;

	if (counts.completed < 0 || counts.failed < 0 ||
	    all < objectives->min_count ||
	    (double)counts.failed <= objectives->failure_ratio * (double)all)
		return;
	missed(judging, "failureRatio",
	    arena_format(judging->arena, "more than %.4g%% of the jobs fail",
	        100 * objectives->failure_ratio),
	    arena_format(judging->arena,
	        "%" PRId64 " of %" PRId64 " failed in the last %s",
	        counts.failed, all,
	        text_ms_for_people(
	            objectives->window_ms, window, sizeof(window))));
}

static void
judge_known(const struct judging *judging)
{
	struct queue_view view;
	const char *name = judging->queue->name;

	if (!queues_view_find(judging->op->queues, name, &view) ||
	    view.trouble_wall_ms == 0 ||
	    judging->now_wall_ms - view.trouble_wall_ms < UNKNOWN_MS)
		return;
	judging->fn(judging->arg,
	    &(struct alert_condition){
	        .key = arena_format(judging->arena, "queue-unknown:%s", name),
	        .kind = "queue-unknown",
	        .severity = SEVERITY_WARNING,
	        .subject = arena_format(judging->arena, "queue %s", name),
	        .summary = "it can't be read: nobody knows whether its "
	                   "objectives are met",
	        .evidence = arena_format(judging->arena, "since %s: %s",
	            since_text(judging, view.trouble_wall_ms), view.trouble),
	        .hold_ms = UNKNOWN_MS,
	    });
}

void
objectives_judge(struct operator_core *op, condition_fn *fn, void *arg)
{
	const struct declared *declared = op->intent->declared;
	char expired[EXPRESSION_MAX];

	for (size_t i = 0; i < declared->nqueues; i++) {
		const struct declared_queue *queue = &declared->queues[i];
		const struct declared_objectives *wanted = &queue->objectives;
		struct judging judging = {
		    .op = op,
		    .arena = &op->drift_arena,
		    .fn = fn,
		    .arg = arg,
		    .queue = queue,
		    .now_wall_ms = clock_wall_ms(),
		};
		(void)snprintf(expired, sizeof(expired),
		    "CASE WHEN active >= %" PRId64
		    " THEN 1.0 * lease_expired / active END",
		    MAX(wanted->min_count, (int64_t)1));
		judge_known(&judging);
		judge_looks(
		    &judging, "depth", "waiting", (double)wanted->depth, false);
		judge_looks(&judging, "oldest", "oldest_ms",
		    (double)wanted->oldest_ms, true);
		judge_looks(&judging, "deadLetters", "dead",
		    (double)wanted->dead_letters, false);
		judge_looks(&judging, "leaseExpiryRatio", expired,
		    wanted->lease_expiry_ratio, false);
		judge_failures(&judging);
	}
}
