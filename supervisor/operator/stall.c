/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

/*
 * Alive, ready, and of no use: jobs wait in a queue that a worker consumes, and
 * for `stallAfter` nothing of them moved. Not so while the queue is paused,
 * while somebody holds a job by a lease that hasn't run out, or while no
 * replica has been ready for that long.
 */
enum {
	HOUR_MS = 60 * 60 * 1000,
};

static bool
has_some(const struct queue_number *number)
{
	return (number->know == KNOW_EXACT || number->know == KNOW_AT_LEAST) &&
	       number->value > 0;
}

/* A job is in hand, as far as can be known rightly so. */
static bool
is_worked_on(const struct queue_state *state)
{
	return has_some(&state->active) &&
	       (state->lease_expired.know != KNOW_EXACT ||
	           state->lease_expired.value < state->active.value);
}

/* The replica that has been ready the longest, and for `stallAfter`. */
static struct running_instance *
ready_longest(struct running_worker *worker, int64_t before_ms)
{
	struct running_instance *longest = NULL;

	for (size_t i = 0; i < worker->ninstances; i++) {
		struct running_instance *one = &worker->instances[i];
		if (one->wire.state == INSTANCE_READY &&
		    one->since_ms <= before_ms &&
		    (longest == NULL || one->since_ms < longest->since_ms))
			longest = one;
	}
	return longest;
}

/* The queue at which the worker stalls; false: it doesn't. */
static bool
stalls(const struct operator_core *op, const struct declared_worker *declared,
    struct running_worker *worker, int64_t now_ms, struct queue_view *ret)
{
	int64_t before_ms = now_ms - declared->stall_after_ms;

	if (declared->on_stall == DRIFT_IGNORE ||
	    ready_longest(worker, before_ms) == NULL)
		return false;
	for (size_t i = 0; i < declared->nconsumes; i++)
		if (queues_view_find(
		        op->queues, declared->consumes[i].queue->name, ret) &&
		    ret->still_ms != 0 && ret->still_ms <= before_ms &&
		    ret->state->paused != 1 && !is_worked_on(ret->state))
			return true;
	return false;
}

/* Connected, and the store says that nobody has a job: a restart may help. */
static bool
may_restart(const struct queue_view *view)
{
	const struct queue_state *state = view->state;

	return has_some(&state->consumers) && state->active.know == KNOW_EXACT;
}

static unsigned
restarts_within(const struct tracked *tracked, int64_t now_ms)
{
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_LEN(tracked->stall_ms); i++)
		count += tracked->stall_ms[i] != 0 &&
		         now_ms - tracked->stall_ms[i] < HOUR_MS;
	return count;
}

void
stall_judge(
    struct operator_core *op, int64_t now_ms, condition_fn *fn, void *arg)
{
	const struct declared *declared = op->intent->declared;
	struct arena *arena = &op->drift_arena;
	struct queue_view view;
	char text[32];

	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *one = &declared->workers[i];
		struct running_worker *worker =
		    running_find(&op->running, one->name);
		if (worker == NULL || !stalls(op, one, worker, now_ms, &view))
			continue;
		bool connected = has_some(&view.state->consumers) ||
		                 view.state->consumers.know == KNOW_UNKNOWN;
		const struct tracked *tracked = operator_track(op, one->name);
		fn(arg,
		    &(struct alert_condition){
		        .key = arena_format(
		            arena, "stalled:%s:%s", one->name, view.name),
		        .kind = "stalled",
		        .severity = SEVERITY_ERROR,
		        .subject = arena_format(arena, "worker %s", one->name),
		        .summary =
		            connected
		                ? "it is ready, jobs wait, and none is taken"
		                : "it is ready, jobs wait, and nobody is "
		                  "connected to the queue",
		        .evidence = arena_format(arena,
		            "queue %s: %" PRId64 " waiting, nothing moved for "
		            "%s; restarted %u times for it in the last hour",
		            view.name, view.state->waiting.value,
		            text_ms_for_people(
		                now_ms - view.still_ms, text, sizeof(text)),
		            restarts_within(tracked, now_ms)),
		        .fix =
		            arena_format(arena, "reeve restart %s", one->name),
		        .hold_ms = one->stall_after_ms,
		    });
	}
}

struct running_instance *
stall_restart(struct operator_core *op, const struct declared_worker *declared,
    struct running_worker *worker, int64_t now_ms)
{
	struct tracked *tracked = operator_track(op, declared->name);
	struct queue_view view;
	int64_t before_ms = now_ms - declared->stall_after_ms;
	size_t slot = 0;

	if (declared->on_stall != DRIFT_RESTART ||
	    !stalls(op, declared, worker, now_ms, &view) || !may_restart(&view))
		return NULL;
	/* One at a time, and what was restarted gets its chance. */
	for (size_t i = 0; i < ARRAY_LEN(tracked->stall_ms); i++) {
		if (tracked->stall_ms[i] > before_ms)
			return NULL;
		if (tracked->stall_ms[i] < tracked->stall_ms[slot])
			slot = i;
	}
	for (size_t i = 0; i < worker->ninstances; i++)
		if (worker->instances[i].wire.replica < worker->wire.desired &&
		    worker->instances[i].wire.state != INSTANCE_READY)
			return NULL;
	if (restarts_within(tracked, now_ms) == ARRAY_LEN(tracked->stall_ms))
		return NULL;
	tracked->stall_ms[slot] = now_ms;
	op->notes_due = true;
	log_warning("stalled", "worker=%s queue=%s waiting=%" PRId64,
	    declared->name, view.name, view.state->waiting.value);
	return ready_longest(worker, before_ms);
}
