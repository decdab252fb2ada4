/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"

/*
 * Who waits for whom: starts that are held back until the workers that they
 * depend on have come so far, and a drain in the reverse order. Looked at as a
 * whole, once after each turn in which something changed.
 */

/* --- how far the workers are --- */

static bool
has_completed(const struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	const struct worker_exit *ended = &past_of(core, slot)->last_exit;

	return instance->state == INSTANCE_FINISHED &&
	       instance->why != WHY_DEADLINE && ended->kind == EXIT_CODE &&
	       ended->value == 0;
}

static void
count_instance(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	struct run *run = &core->runs[instance->run];
	uint8_t state = instance->state;

	run->alive +=
	    (uint32_t)instance_state_alive((enum instance_state)state);
	if (instance->replica >= run->desired)
		return;
	run->ready += state == INSTANCE_READY;
	run->started += state == INSTANCE_READY || state == INSTANCE_RUNNING ||
	                state == INSTANCE_FINISHED;
	run->completed += has_completed(core, slot);
}

static void
count_all(struct core *core)
{
	for (uint32_t i = 0; i < core->nruns; i++) {
		struct run *run = &core->runs[i];
		run->alive = run->started = run->ready = run->completed = 0;
	}
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		const struct instance *instance = &core->instances[slot];
		if (instance->state != INSTANCE_NONE &&
		    instance->run != CORE_NO_RUN)
			count_instance(core, (int32_t)slot);
	}
}

/* --- starts --- */

/* A first start waits for all replicas, another one for any: what crashes is
 * not kept down by one of many that does too. */
static bool
is_met(const struct core *core, const struct instance *instance,
    const struct worker_dependency *dependency)
{
	int32_t on =
	    plan_worker_find(&core->plans[core->current], dependency->worker);

	if (on < 0)
		return false;
	const struct run *run = &core->runs[on];
	uint32_t wanted = instance->started_ms == 0 ? run->desired : 1;
	if (run->desired == 0)
		return false;
	switch ((enum worker_condition)dependency->condition) {
	case CONDITION_STARTED:
		return run->started >= wanted;
	case CONDITION_READY:
		return run->ready >= wanted;
	case CONDITION_COMPLETED:
		return run->completed == run->desired;
	case CONDITION_COUNT:
		break;
	}
	return false;
}

/* NULL: it may start. */
static const struct worker_dependency *
first_unmet(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	for (uint32_t i = 0; i < spec.ndependencies; i++)
		if (!is_met(
		        core, &core->instances[slot], &spec.dependencies[i]))
			return spec.dependencies + i;
	return NULL;
}

/* What keeps the worker that is waited for from coming so far, if anything is
 * known to. */
static const char *
obstacle(const struct core *core, int32_t on, char *dst, size_t size)
{
	char text[EXIT_TEXT_SIZE];

	if (on < 0)
		return "; it isn't in the plan";
	if (core->runs[on].held)
		return "; it is stopped by order";
	if (core->runs[on].desired == 0)
		return "; it has 0 replicas";
	for (int32_t slot = core->runs[on].first; slot != CORE_NO_SLOT;
	     slot = core->instances[slot].next_in_run) {
		const struct instance *instance = &core->instances[slot];
		bool over = instance->state == INSTANCE_FINISHED &&
		            !has_completed(core, slot);
		if (!over && instance->state != INSTANCE_BACKOFF)
			continue;
		(void)snprintf(dst, size, "; %s: %s",
		    over ? "it has failed" : "its last end",
		    exit_text(
		        &past_of(core, slot)->last_exit, text, sizeof(text)));
		return dst;
	}
	return "";
}

void
order_text(const struct core *core, int32_t slot, char *dst, size_t size)
{
	static const char *const to_do[CONDITION_COUNT] = {
	    [CONDITION_STARTED] = "start",
	    [CONDITION_READY] = "be ready",
	    [CONDITION_COMPLETED] = "complete",
	};
	const struct instance *instance = &core->instances[slot];
	char why[96];

	dst[0] = '\0';
	if (instance->state != INSTANCE_PENDING || instance->why != WHY_WAITS)
		return;
	const struct worker_dependency *on = first_unmet(core, slot);
	if (on == NULL)
		return;
	int32_t run = plan_worker_find(&core->plans[core->current], on->worker);
	(void)snprintf(dst, size, "waits for worker '%s' to %s%s", on->worker,
	    to_do[on->condition], obstacle(core, run, why, sizeof(why)));
}

bool
order_waits(struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	if (spec.ndependencies == 0)
		return false;
	core->instances[slot].wait_told = 0;
	core->order_due = true;
	return true;
}

static void
tell_wait(struct core *core, int32_t slot)
{
	char text[WIRE_WAIT_MAX];

	order_text(core, slot, text, sizeof(text));
	if (core->instances[slot].wait_told == 0)
		log_info("worker.waits", "worker=%s %s",
		    instance_label(core, slot), text);
	core->instances[slot].wait_told = 1;
}

static void
release(struct core *core)
{
	for (uint32_t i = 0; i < core->slots_used; i++) {
		struct instance *instance = &core->instances[i];
		int32_t slot = (int32_t)i;
		if (instance->state != INSTANCE_PENDING ||
		    instance->why != WHY_WAITS)
			continue;
		if (first_unmet(core, slot) != NULL) {
			tell_wait(core, slot);
			continue;
		}
		instance->why = WHY_NONE;
		peers_changed(core, slot, EVENT_WANTED);
		start_queue(core, slot);
	}
	start_pump(core);
}

void
order_step(struct core *core)
{
	if (!core->order_due)
		return;
	core->order_due = false;
	count_all(core);
	if (core->phase == PHASE_RUN)
		release(core);
	else if (core->phase == PHASE_DRAIN)
		drain_tell(core);
}

void
order_apply(struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;

	core->ordered = false;
	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		core->ordered = core->ordered || spec.ndependencies > 0;
	}
	core->order_due = true;
}

/* --- the drain --- */

/* What a worker's dependencies may need after it, one after another. */
static int64_t
after_ms(const struct core *core, const struct worker_spec *spec)
{
	const struct plan *plan = &core->plans[core->current];
	int64_t longest_ms = 0;
	struct worker_spec on;

	for (uint32_t i = 0; i < spec->ndependencies; i++) {
		int32_t run =
		    plan_worker_find(plan, spec->dependencies[i].worker);
		if (run < 0)
			continue;
		plan_worker(plan, (uint32_t)run, &on);
		longest_ms = MAX(longest_ms,
		    clock_after(on.grace_ms, core->runs[run].after_ms));
	}
	return longest_ms;
}

void
order_drain(struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;

	core->chain_ms = 0;
	core->chain_steps = 1;
	if (!core->ordered)
		return;
	/* what it depends on has a lower rank: its time is known by then */
	for (uint32_t rank = 0; rank <= PLAN_RANK_MAX; rank++)
		for (uint32_t i = 0; i < core->nruns; i++) {
			plan_worker(plan, i, &spec);
			if (spec.rank != rank)
				continue;
			core->chain_steps = rank + 1;
			core->runs[i].after_ms = after_ms(core, &spec);
			core->chain_ms = MAX(core->chain_ms,
			    clock_after(spec.grace_ms, core->runs[i].after_ms));
		}
}

/* Those who end later get what they may need, but where the budget is too short
 * for all no more than their share of the steps. */
int64_t
order_reserve_ms(const struct core *core, int32_t slot, int64_t budget_ms)
{
	int32_t run = core->instances[slot].run;
	struct worker_spec spec;

	if (!core->ordered || run == CORE_NO_RUN ||
	    core->runs[run].after_ms == 0)
		return 0;
	plan_worker(&core->plans[core->current], (uint32_t)run, &spec);
	return MIN(core->runs[run].after_ms,
	    budget_ms / core->chain_steps * spec.rank);
}

static void
block_dependencies(struct core *core, uint32_t run)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;

	plan_worker(plan, run, &spec);
	for (uint32_t i = 0; i < spec.ndependencies; i++) {
		int32_t on =
		    plan_worker_find(plan, spec.dependencies[i].worker);
		if (on >= 0)
			core->runs[on].needed = true;
	}
}

void
order_note_needed(struct core *core)
{
	count_all(core);
	for (uint32_t i = 0; i < core->nruns; i++)
		core->runs[i].needed = false;
	for (uint32_t i = 0; core->ordered && i < core->nruns; i++)
		if (core->runs[i].alive > 0)
			block_dependencies(core, i);
}

bool
order_is_needed(const struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];

	return instance_state_alive((enum instance_state)instance->state) &&
	       instance->run != CORE_NO_RUN && core->runs[instance->run].needed;
}
