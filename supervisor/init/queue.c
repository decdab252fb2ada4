/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/table.h"

/*
 * Who starts next. Each lane is first come, first started; an instance that
 * ended by itself soon after its last start takes the second one. Of that lane
 * only a few are young at once, so that a crash loop without any delay fills
 * neither the queue nor the processors in front of a worker that ran well.
 */
enum {
	QUEUE_QUICK_MS = 1000, /* it ran for less: the second lane */
	QUEUE_YOUNG_MS = 5,    /* then the next one may start beside it */
	QUEUE_SHARE = 16,      /* of so many starts one is of the second lane */
};

static enum lane
lane_of(const struct core *core, int32_t slot)
{
	/* active_ms is 0 before a first start, and one that was ordered */
	return core->instances[slot].active_ms != 0 &&
	               past_of(core, slot)->last_ran_ms < QUEUE_QUICK_MS
	           ? LANE_QUICK
	           : LANE_FIRST;
}

void
start_queue(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	struct wires *wires = &core->wires[slot];

	if (wires->queued)
		return;
	wires->queued = true;
	wires->lane = (uint8_t)lane_of(core, slot);
	struct lane_queue *queue = &core->lanes[wires->lane];
	instance->next_queued = CORE_NO_SLOT;
	if (queue->last == CORE_NO_SLOT)
		queue->first = slot;
	else
		core->instances[queue->last].next_queued = slot;
	queue->last = slot;
}

void
start_dequeue(struct core *core, int32_t slot)
{
	int32_t before = CORE_NO_SLOT;

	if (!core->wires[slot].queued)
		return;
	struct lane_queue *queue = &core->lanes[core->wires[slot].lane];
	for (int32_t at = queue->first; at != slot;
	     at = core->instances[at].next_queued)
		before = at;
	int32_t after = core->instances[slot].next_queued;
	if (before == CORE_NO_SLOT)
		queue->first = after;
	else
		core->instances[before].next_queued = after;
	if (queue->last == slot)
		queue->last = before;
	core->wires[slot].queued = false;
	core->instances[slot].next_queued = CORE_NO_SLOT;
}

bool
start_waiting(const struct core *core)
{
	return core->lanes[LANE_FIRST].first != CORE_NO_SLOT ||
	       core->lanes[LANE_QUICK].first != CORE_NO_SLOT;
}

/* --- the second lane --- */

static bool
is_young(const struct core *core, const struct young *young)
{
	return young->pid != 0 && core->loop.now_ms < young->until_ms &&
	       core->instances[young->slot].pid == young->pid;
}

static bool
may_be_young(struct core *core)
{
	int64_t next_ms = CLOCK_NEVER;

	for (size_t i = 0; i < CORE_YOUNG_MAX; i++) {
		if (!is_young(core, &core->young[i]))
			return true;
		next_ms = MIN(next_ms, core->young[i].until_ms);
	}
	core_wake(core, &core->young_timer, next_ms);
	return false;
}

void
young_timer_fired(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	start_pump(timer->owner);
}

int32_t
start_next(struct core *core)
{
	int32_t first = core->lanes[LANE_FIRST].first;
	int32_t quick = core->lanes[LANE_QUICK].first;

	if (quick == CORE_NO_SLOT ||
	    (first != CORE_NO_SLOT && core->passed < QUEUE_SHARE) ||
	    !may_be_young(core)) {
		core->passed += quick != CORE_NO_SLOT;
		return first;
	}
	core->passed = 0;
	return quick;
}

void
start_note_young(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];

	if (core->wires[slot].lane != LANE_QUICK)
		return;
	for (size_t i = 0; i < CORE_YOUNG_MAX; i++) {
		struct young *young = &core->young[i];
		if (is_young(core, young))
			continue;
		*young = (struct young){.slot = slot,
		    .pid = instance->pid,
		    .until_ms = clock_after(core->loop.now_ms, QUEUE_YOUNG_MS)};
		return;
	}
}
