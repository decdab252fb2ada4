/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/format.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/fsm.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"

void
instance_spec(const struct core *core, int32_t slot, struct worker_spec *ret)
{
	const struct instance *instance = &core->instances[slot];

	plan_worker(&core->plans[instance->plan], instance->worker, ret);
}

const char *
instance_label(const struct core *core, int32_t slot)
{
	static char label[WORKER_NAME_MAX + 16];
	const struct instance *instance = &core->instances[slot];

	(void)format_text(label, sizeof(label), "%s/%u",
	    plan_worker_name(&core->plans[instance->plan], instance->worker),
	    (unsigned)instance->replica);
	return label;
}

void
instance_wake_at(struct core *core, int32_t slot, int64_t at_ms)
{
	struct loop_timer *timer = &core->timers[slot];

	if (!instance_has(core, slot, ROW_TIMER)) {
		*timer =
		    (struct loop_timer){.fire = instance_timer, .owner = core};
		core->instances[slot].rows |= ROW_TIMER;
	}
	core_wake(core, timer, at_ms);
}

void
instance_wake_never(struct core *core, int32_t slot)
{
	if (instance_has(core, slot, ROW_TIMER))
		loop_timer_clear(&core->loop, &core->timers[slot]);
}

void
instance_count(struct core *core, enum instance_state state, int by)
{
	if (instance_state_alive(state))
		core->alive += (uint32_t)by;
	if (state == INSTANCE_STARTING || state == INSTANCE_STOPPING ||
	    state == INSTANCE_ENDING)
		core->hurried += (uint32_t)by;
}

/* What people want to read in a container's log, and what only we do. */
static enum log_level
event_level(enum instance_event event)
{
	switch (event) {
	case EVENT_EXECED:
	case EVENT_READY:
	case EVENT_STOP:
	case EVENT_FINISH:
		return LOG_INFO;
	case EVENT_CLONE_FAILED:
	case EVENT_UNREADY:
	case EVENT_KILL:
		return LOG_WARNING;
	case EVENT_NONE:
	case EVENT_WANTED:
	case EVENT_CLONED:
	case EVENT_EXITED: /* reap.c says it, with how */
	case EVENT_RETRY:
	case EVENT_HELD:
	case EVENT_FORGET:
	case EVENT_COUNT:
		return LOG_DEBUG;
	}
	return LOG_DEBUG;
}

static void
log_change(const struct core *core, int32_t slot, enum instance_event event,
    enum instance_state from, enum instance_state to)
{
	const struct instance *instance = &core->instances[slot];
	const char *why = instance_why_name((enum instance_why)instance->why);
	enum log_level level = event_level(event);

	/* without a probe it only repeats that it was executed */
	if (event == EVENT_READY &&
	    links_of(core, slot)->probers[PROBER_READINESS] == 0)
		level = LOG_DEBUG;
	if (!log_wants(level))
		return;
	log_event(level, "worker.changed",
	    "worker=%s event=%s from=%s to=%s pid=%d%s%s%s",
	    instance_label(core, slot), instance_event_name(event),
	    instance_state_name(from), instance_state_name(to),
	    (int)instance->pid, *why != '\0' ? " why='" : "", why,
	    *why != '\0' ? "'" : "");
}

void
core_look_later(struct core *core)
{
	if (core->safety_timer.slot == 0)
		core_wake(core, &core->safety_timer,
		    clock_after(core->loop.now_ms, CORE_SAFETY_MS));
}

void
instance_change(struct core *core, int32_t slot, enum instance_event event)
{
	struct instance *instance = &core->instances[slot];
	enum instance_state from = (enum instance_state)instance->state;
	enum instance_state to = fsm_next(from, event);

	if (to == INSTANCE_STATES) {
		/* our own bug; the instance stays what it is */
		log_error("worker.impossible", "worker=%s event=%s state=%s",
		    instance_label(core, slot), instance_event_name(event),
		    instance_state_name(from));
		return;
	}
	instance_count(core, from, -1);
	instance_count(core, to, 1);
	instance->state = (uint8_t)to;
	if (core->hurried > 0 && core->alive > core->witnesses)
		core_look_later(core);
	if (from == INSTANCE_READY) {
		struct past *past = past_make(core, slot);
		past->well_ms =
		    MAX(past->well_ms, core->loop.now_ms - instance->ready_ms);
	}
	if (event == EVENT_WANTED && instance_has(core, slot, ROW_PAST))
		core->pasts[slot].well_ms = 0;
	if (to == INSTANCE_READY)
		instance->ready_ms = core->loop.now_ms;
	else if (event == EVENT_UNREADY || event == EVENT_WANTED)
		instance->ready_ms = 0;
	core->order_due = core->order_due || core->ordered;
	log_change(core, slot, event, from, to);
	peers_changed(core, slot, event);
	journal_note(core, slot, event);
}
