/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"

enum {
	ACTIONS_MAX = 256,
	LOOK_AGAIN_MS = 10 * 1000, /* files on disk have no events here */
	SEND_AGAIN_MS = 200,
	DRIFT_BYTES_MAX = 256 << 20,
	VIEWS_BYTES_MAX = 64 << 20,
};

static int64_t
restart_one(
    struct operator_core *op, const char *name, uint32_t index, int64_t now_ms)
{
	struct err err = ERR_INIT;
	struct running_worker *worker = running_find(&op->running, name);
	struct running_instance *instance =
	    worker == NULL ? NULL : running_instance_find(worker, index);

	if (instance == NULL)
		return CLOCK_NEVER;
	if (wire_client_order(
	        &op->init, WIRE_RESTART, name, (int32_t)index, 0, &err) == -1) {
		log_warning("restart.unsent", "worker=%s/%" PRIu32 " %s", name,
		    index, err.text);
		return clock_after(now_ms, SEND_AGAIN_MS);
	}
	log_info("restart.ordered", "worker=%s/%" PRIu32 " pid=%d", name, index,
	    (int)instance->wire.pid);
	events_say(op->events, "restart", name,
	    "replica %" PRIu32 " is replaced", index);
	instance->ordered_ms = now_ms;
	return CLOCK_NEVER;
}

static int64_t
act(struct operator_core *op, const struct reconcile_input *input,
    const struct action *action)
{
	const struct reconcile_worker *worker = &input->workers[action->worker];

	switch (action->kind) {
	case ACTION_NONE:
		break;
	case ACTION_PLAN:
		plans_send(op);
		break;
	case ACTION_RESTART:
		return restart_one(
		    op, worker->name, action->index, input->now_ms);
	case ACTION_ROLLBACK:
		log_error("rollback",
		    "worker=%s the new configuration did not become ready; "
		    "back to the last good one until the declaration changes",
		    worker->name);
		events_say(op->events, "rollback", worker->name,
		    "the new configuration did not become ready");
		op->notes_due = true;
		break;
	case ACTION_GOOD:
		log_info("configuration.good", "worker=%s", worker->name);
		events_say(op->events, "good", worker->name,
		    "every replica is ready with this configuration");
		op->keep_due = true;
		break;
	}
	return CLOCK_NEVER;
}

/* Copies of what nothing runs with and nobody goes back to are wiped. */
static void
forget_old(struct operator_core *op)
{
	for (size_t i = 0; i < op->ntracked; i++)
		if (op->tracked[i].memory.has_good)
			history_want(&op->history, op->tracked[i].name,
			    op->tracked[i].memory.good);
	for (size_t i = 0; i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			history_want(&op->history, worker->wire.name,
			    worker->instances[k].wire.config_digest);
	}
	history_prune(&op->history);
}

/* For `reeve plan`: what was done last. */
static void
keep_last(struct operator_core *op, const struct reconcile_input *input,
    const struct action *actions, size_t count)
{
	struct operator_last *last = &op->last;

	if (count == 0)
		return;
	*last = (struct operator_last){.wall_ms = clock_wall_ms()};
	for (size_t i = 0; i < count && last->count < LAST_MAX; i++) {
		struct last_action *one = &last->actions[last->count++];
		one->kind = actions[i].kind;
		one->replica = actions[i].index;
		if (actions[i].kind != ACTION_PLAN)
			(void)snprintf(one->worker, sizeof(one->worker), "%s",
			    input->workers[actions[i].worker].name);
	}
}

static int64_t
reconcile_all(struct operator_core *op, int64_t now_ms)
{
	struct action actions[ACTIONS_MAX];
	int64_t wake_ms = CLOCK_NEVER;
	struct arena arena; /* the views: of no use after this pass */

	arena_init(&arena, VIEWS_BYTES_MAX);
	consumers_begin(&op->consumers);
	struct reconcile_input input = {
	    .workers =
	        views_make(op, op->intent, false, &arena, &op->drift, now_ms),
	    .nworkers = op->intent->declared->nworkers,
	    .plan_current = plans_current(op),
	    .plan_pending = op->sent.known,
	    .now_ms = now_ms,
	};
	consumers_strangers(op, &op->drift);
	consumers_end(&op->consumers);
	size_t todo = reconcile(&input, actions, ACTIONS_MAX, &wake_ms);

	keep_last(op, &input, actions, todo);
	for (size_t i = 0; i < todo; i++) {
		/* MIN evaluates twice; this acts. */
		int64_t again_ms = act(op, &input, &actions[i]);
		wake_ms = MIN(wake_ms, again_ms);
	}
	if (todo == ACTIONS_MAX)
		wake_ms = now_ms;
	op->plan_under_way = op->sent.known || !input.plan_current;
	for (size_t i = 0; i < input.nworkers; i++)
		operator_track(op, input.workers[i].name)->standing =
		    reconcile_standing(&input.workers[i], now_ms);
	arena_fini(&arena);
	if (op->keep_due) {
		op->keep_due = false;
		plans_keep(op);
	}
	forget_old(op);
	return wake_ms;
}

static void
restart_stalled(struct operator_core *op, int64_t now_ms)
{
	const struct declared *declared = op->intent->declared;

	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *one = &declared->workers[i];
		struct running_worker *worker =
		    running_find(&op->running, one->name);
		const struct running_instance *stalled =
		    worker == NULL ? NULL
		                   : stall_restart(op, one, worker, now_ms);
		if (stalled != NULL)
			(void)restart_one(
			    op, one->name, stalled->wire.replica, now_ms);
	}
}

int64_t
judge_pass(struct operator_core *op)
{
	int64_t now_ms = clock_ms();
	int64_t wake_ms = clock_beat(now_ms, LOOK_AGAIN_MS);

	arena_fini(&op->drift_arena);
	arena_init(&op->drift_arena, DRIFT_BYTES_MAX);
	op->drift = (struct drift_list){.arena = &op->drift_arena};
	if (op->ready)
		leases_judge(op);
	if (!op->ready || op->draining)
		return CLOCK_NEVER;
	if (op->intent != NULL)
		restart_stalled(op, now_ms);
	const int64_t wakes[] = {
	    wake_ms,
	    op->intent == NULL ? CLOCK_NEVER : reconcile_all(op, now_ms),
	    conditions_judge(op, now_ms),
	    alerts_wake_ms(&op->alerts),
	};

	for (size_t i = 0; i < ARRAY_LEN(wakes); i++)
		wake_ms = MIN(wake_ms, wakes[i]);
	op->judged =
	    op->intent != NULL && op->running.known && op->applied.known;
	if (op->intent != NULL)
		events_drift(op->events, &op->drift);
	if (op->notes_due) {
		op->notes_due = false;
		notes_write(op);
	}
	return wake_ms;
}
