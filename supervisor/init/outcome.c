/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"

/* What comes after an end: another start and when, or none. */

static void
leave_run(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	if (instance->run == CORE_NO_RUN)
		return;
	int32_t *at = &core->runs[instance->run].first;
	while (*at != slot && *at != CORE_NO_SLOT)
		at = &core->instances[*at].next_in_run;
	if (*at == slot)
		*at = instance->next_in_run;
	instance->run = CORE_NO_RUN;
	instance->next_in_run = CORE_NO_SLOT;
}

void
instance_forget(struct core *core, int32_t slot)
{
	start_dequeue(core, slot);
	leave_run(core, slot);
	capture_forget(core, slot);
	instance_change(core, slot, EVENT_FORGET);
	plan_unbind(core, slot);
	table_release(core, slot);
}

/* It ended, and nobody had asked for that. */
static bool
was_unordered(const struct instance *instance)
{
	return instance->why == WHY_ENDED || instance->why == WHY_EXEC ||
	       instance->why == WHY_LIVENESS || instance->why == WHY_STARTUP ||
	       instance->why == WHY_WATCHDOG || instance->why == WHY_MEMORY;
}

/* A start of who has ended before, or was to. */
static void
count_start(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	struct past *past = past_make(core, slot);

	if (was_unordered(instance)) {
		past->restarts = past->restarts_before + 1;
	} else if (instance->why != WHY_RESOURCES) {
		past->failures = 0;
		instance->active_ms = 0;
	}
	past->restarted[instance->ended_as]++;
	past->next_start_ms = 0;
}

void
instance_want(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	int32_t run = instance->run;

	instance_wake_never(core, slot);
	if (instance->state == INSTANCE_PENDING || core->phase != PHASE_RUN)
		return;
	if (!plan_rebind(core, slot)) {
		instance_forget(core, slot);
		if (run != CORE_NO_RUN)
			run_reconcile(core, run);
		return;
	}
	if (instance_has(core, slot, ROW_PAST))
		count_start(core, slot);
	instance->ended_as = CLASS_NONE;
	instance->has_turn = 0;
	instance->why = order_waits(core, slot) ? WHY_WAITS : WHY_NONE;
	instance_change(core, slot, EVENT_WANTED);
	if (instance->why == WHY_NONE)
		start_queue(core, slot);
}

void
instance_order(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	backoff_reset(&past_make(core, slot)->backoff);
	/* it starts as soon as it may, and `why` says what it waits for */
	if (instance->state == INSTANCE_PENDING)
		return;
	instance->why = WHY_ORDER_RESTART;
	instance->ended_as = CLASS_ORDERED;
	instance_want(core, slot);
}

static void
start_later(struct core *core, int32_t slot, int64_t at_ms)
{
	const struct instance *instance = &core->instances[slot];

	past_make(core, slot)->next_start_ms = at_ms;
	if (instance->state == INSTANCE_BACKOFF)
		peers_changed(core, slot, EVENT_RETRY);
	else
		instance_change(core, slot, EVENT_RETRY);
	instance_wake_at(core, slot, at_ms);
}

void
instance_due(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	int64_t now_ms = core->loop.now_ms, at_ms = now_ms;
	struct worker_spec spec;

	/* a start that was none (no process could be made) had its turn */
	if (instance->run != CORE_NO_RUN && instance->has_turn == 0 &&
	    instance->ended_as != CLASS_NONE) {
		plan_worker(&core->plans[core->current],
		    (uint32_t)instance->run, &spec);
		at_ms = limit_take(&core->runs[instance->run].limit,
		    &spec.start_limit, now_ms);
	}
	if (at_ms <= now_ms) {
		instance_want(core, slot);
		return;
	}
	instance->has_turn = 1;
	log_debug("worker.turn", "worker=%s: many restarts: in %lld ms",
	    instance_label(core, slot), (long long)(at_ms - now_ms));
	start_later(core, slot, at_ms);
}

static enum exit_class
class_of(const struct core *core, int32_t slot)
{
	switch ((enum instance_why)core->instances[slot].why) {
	case WHY_ORDER_RESTART:
		return CLASS_ORDERED;
	case WHY_LIVENESS:
	case WHY_STARTUP:
	case WHY_WATCHDOG:
		return CLASS_PROBE;
	case WHY_MEMORY:
		return CLASS_OOM;
	case WHY_NONE:
	case WHY_ORDER_STOP:
	case WHY_SCALED:
	case WHY_REMOVED:
	case WHY_DRAIN:
	case WHY_ENDED:
	case WHY_EXEC:
	case WHY_RESOURCES:
	case WHY_WAITS:
	case WHY_DEADLINE:
	case WHY_COUNT:
		return exit_classify(&past_of(core, slot)->last_exit);
	}
	return CLASS_NONE;
}

/* It has failed so often, or so long, that it is given up. */
static bool
gives_up(const struct core *core, int32_t slot, const struct worker_spec *spec)
{
	const struct instance *instance = &core->instances[slot];

	if (instance->why == WHY_DEADLINE)
		return true;
	if (spec->deadline_ms > 0 &&
	    clock_after(instance->active_ms, spec->deadline_ms) <=
	        core->loop.now_ms)
		return true;
	return spec->failures_max > 0 &&
	       past_of(core, slot)->failures >= spec->failures_max;
}

static bool
is_final(struct core *core, int32_t slot, const struct worker_spec *spec,
    enum exit_class kind)
{
	if (kind == CLASS_ORDERED)
		return false;
	past_make(core, slot)->failures += kind != CLASS_CLEAN;
	if (gives_up(core, slot, spec))
		return true;
	return spec->restart == RESTART_NEVER ||
	       (spec->restart == RESTART_ON_FAILURE && kind == CLASS_CLEAN);
}

static void
start_again(struct core *core, int32_t slot, const struct worker_spec *spec,
    enum exit_class kind)
{
	struct instance *instance = &core->instances[slot];
	struct past *past = past_make(core, slot);
	struct backoff backoff = past->backoff;
	int64_t delay_ms = backoff_next(&backoff, kind, past->well_ms,
	    spec->backoff_first_ms, spec->backoff_cap_ms, core_noise());

	/* one store: nothing is counted before it, and little left after it */
	past->backoff = backoff;
	if (instance->why == WHY_NONE)
		instance->why =
		    past->last_exit.kind == EXIT_EXEC ? WHY_EXEC : WHY_ENDED;
	if (kind == CLASS_ORDERED) {
		instance_want(core, slot);
		return;
	}
	if (delay_ms == 0) {
		instance_due(core, slot);
		return;
	}
	log_debug("worker.backoff", "worker=%s class=%s: again in %lld ms",
	    instance_label(core, slot), exit_class_name(kind),
	    (long long)delay_ms);
	start_later(core, slot, clock_after(core->loop.now_ms, delay_ms));
}

/* Nothing can start without it. */
static void
init_worker_failed(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	char reason[sizeof(core->end_reason)], text[EXIT_TEXT_SIZE];

	(void)snprintf(reason, sizeof(reason), "init worker '%s' gave up: %s",
	    plan_worker_name(&core->plans[instance->plan], instance->worker),
	    instance->why == WHY_DEADLINE
	        ? "its deadline passed"
	        : exit_text(
	              &past_of(core, slot)->last_exit, text, sizeof(text)));
	drain_begin(core, reason, EXIT_AGAIN);
}

static void
hold(struct core *core, int32_t slot)
{
	instance_wake_never(core, slot);
	instance_change(core, slot, EVENT_HELD);
}

void
instance_ended(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	int32_t run = instance->run;
	struct worker_spec spec;

	instance_wake_never(core, slot);
	enum exit_class kind = class_of(core, slot);
	if (core->phase != PHASE_RUN) {
		hold(core, slot);
		return;
	}
	if (instance->why == WHY_REMOVED || instance->why == WHY_SCALED ||
	    !plan_rebind(core, slot)) {
		instance_forget(core, slot);
		if (run != CORE_NO_RUN)
			run_reconcile(core, run);
		return;
	}
	if (instance->why == WHY_ORDER_STOP || core->runs[run].held) {
		instance->why = WHY_ORDER_STOP;
		hold(core, slot);
		return;
	}
	instance->ended_as = (uint8_t)kind;
	instance_spec(core, slot, &spec);
	if (!is_final(core, slot, &spec, kind)) {
		start_again(core, slot, &spec, kind);
		return;
	}
	if (instance->why != WHY_DEADLINE)
		instance->why = WHY_ENDED;
	finish_note_exit(core, &past_of(core, slot)->last_exit, true);
	instance_change(core, slot, EVENT_FINISH);
	schedule_ended(core, slot);
	if (spec.init && (kind != CLASS_CLEAN || instance->why == WHY_DEADLINE))
		init_worker_failed(core, slot);
}
