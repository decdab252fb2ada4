/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

enum {
	STOP_KILL_AGAIN_MS = 1000,
	STOP_HOOK_EXTRA_MS = 2000,
	/* an extension ends so long before the platform's deadline, and the
	 * group hears TERM so long before its end */
	STOP_MARGIN_MS = 2000,
	STOP_REAP_MS = 1000,
	/* of the container's budget (pid1.md 5.4 rule 10) */
	STOP_GROUP_PCT = 70,
	STOP_KILL_PCT = 90,
	STOP_LEAVE_PCT = 96,
	/* without a budget: what KILL may need to act */
	STOP_LAST_MS = 10000,
};

static int64_t
budget_at(const struct core *core, int64_t pct)
{
	if (core->phase == PHASE_RUN || core->budget_ms < 0)
		return CLOCK_NEVER;
	return clock_after(core->drain_started_ms,
	    core->budget_ms / 100 * pct + core->budget_ms % 100 * pct / 100);
}

/* When the budget ends for it: sooner where workers that it depends on are to
 * end after it. */
static int64_t
budget_kill_at(const struct core *core, int32_t slot)
{
	int64_t kill_ms = budget_at(core, STOP_KILL_PCT);

	if (kill_ms == CLOCK_NEVER)
		return kill_ms;
	return kill_ms -
	       order_reserve_ms(core, slot, kill_ms - core->drain_started_ms);
}

/* What a second TERM halves, it halves for those too who are told later. */
static int64_t
grace_ms(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	int64_t left_ms = spec.grace_ms;
	if (core->settings.second_term == SECOND_TERM_HASTEN)
		for (uint32_t i = 1; i < core->terms && left_ms > 0; i++)
			left_ms /= 2;
	return left_ms;
}

int64_t
instance_kill_at(const struct core *core, int32_t slot)
{
	return MIN(clock_after(core->loop.now_ms, grace_ms(core, slot)),
	    budget_kill_at(core, slot));
}

/* The container's budget counts only where it is shorter than the worker's own
 * grace (decisions.md 13). */
static int64_t
group_term_at(const struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	int64_t kill_ms = budget_kill_at(core, slot);
	int64_t own_ms = past_of(core, slot)->kill_at_ms;

	if (instance->group_told != 0)
		return CLOCK_NEVER;
	if (instance->extended != 0)
		return own_ms - STOP_MARGIN_MS;
	if (kill_ms > own_ms)
		return CLOCK_NEVER;
	return core->drain_started_ms + (kill_ms - core->drain_started_ms) *
	                                    STOP_GROUP_PCT / STOP_KILL_PCT;
}

static void
plan_escalation(struct core *core, int32_t slot)
{
	instance_wake_at(core, slot,
	    MIN(group_term_at(core, slot), past_of(core, slot)->kill_at_ms));
}

static void
signal_main(struct core *core, int32_t slot, int signo)
{
	struct instance *instance = &core->instances[slot];

	instance->last_signal = (uint8_t)signo;
	if (send_to_process(instance->pid, signo) == -1 && errno != ESRCH)
		log_error("signal.failed", "worker=%s: error %d",
		    instance_label(core, slot), errno);
	/* a stopped process (SIGSTOP, ^Z) takes no signal but this one and
	 * KILL: it is asked to end, so it must be able to hear it */
	(void)send_to_process(instance->pid, SIGCONT);
}

static void
signal_group(struct core *core, int32_t slot, int signo)
{
	struct instance *instance = &core->instances[slot];

	instance->last_signal = (uint8_t)signo;
	if (instance->pgid > 0 &&
	    send_to_group(instance->pgid, pidfd_of(core, slot), signo) == -1 &&
	    errno != ESRCH)
		log_error("signal.failed", "worker=%s: error %d",
		    instance_label(core, slot), errno);
	if (signo != SIGKILL)
		(void)send_to_group(
		    instance->pgid, pidfd_of(core, slot), SIGCONT);
}

/* systemd's WatchdogSignal=: where it hangs is what its core says. */
int
instance_stop_signal(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	if (core->instances[slot].why == WHY_WATCHDOG)
		return SIGABRT;
	instance_spec(core, slot, &spec);
	return spec.drain_signal;
}

static void
stop_living(struct core *core, int32_t slot, enum instance_why why)
{
	struct instance *instance = &core->instances[slot];

	instance->why = (uint8_t)why;
	instance->group_told = instance->extended = 0;
	past_make(core, slot)->kill_at_ms = instance_kill_at(core, slot);
	probers_end(core, slot);
	instance_change(core, slot, EVENT_STOP);
	/* between clone and exec: start.c hands it on when it executes */
	if (core->wires[slot].start < 0 &&
	    (why == WHY_WATCHDOG || !prober_hook(core, slot)))
		stop_hooked(core, slot);
	plan_escalation(core, slot);
}

void
stop_hooked(struct core *core, int32_t slot)
{
	signal_main(core, slot, instance_stop_signal(core, slot));
}

/* It is ending already: a reason that decides what comes after wins. */
static void
stop_ending(struct core *core, int32_t slot, enum instance_why why)
{
	struct instance *instance = &core->instances[slot];
	int64_t kill_ms = budget_kill_at(core, slot);

	if (why == WHY_DRAIN || why == WHY_REMOVED || why == WHY_SCALED ||
	    why == WHY_ORDER_STOP ||
	    (why == WHY_ORDER_RESTART && instance->why != WHY_ORDER_STOP &&
	        instance->why != WHY_REMOVED && instance->why != WHY_SCALED))
		instance->why = (uint8_t)why;
	if (instance->state != INSTANCE_KILLING) {
		struct past *past = past_make(core, slot);
		past->kill_at_ms = MIN(past->kill_at_ms, kill_ms);
		plan_escalation(core, slot);
	}
}

static void
stop_resting(struct core *core, int32_t slot, enum instance_why why)
{
	struct instance *instance = &core->instances[slot];

	if (why == WHY_ORDER_RESTART) {
		if (instance->state != INSTANCE_STOPPED)
			instance_order(core, slot);
		return;
	}
	start_dequeue(core, slot);
	instance_wake_never(core, slot);
	instance->why = (uint8_t)why;
	if (why == WHY_REMOVED || why == WHY_SCALED)
		instance_forget(core, slot);
	else if (instance->state != INSTANCE_STOPPED &&
	         (why != WHY_DRAIN || instance->state != INSTANCE_FINISHED))
		instance_change(core, slot, EVENT_HELD);
}

void
instance_stop(struct core *core, int32_t slot, enum instance_why why)
{
	switch ((enum instance_state)core->instances[slot].state) {
	case INSTANCE_NONE:
	case INSTANCE_STATES:
		return;
	case INSTANCE_STARTING:
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
		stop_living(core, slot, why);
		return;
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
		stop_ending(core, slot, why);
		return;
	case INSTANCE_PENDING:
	case INSTANCE_BACKOFF:
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
		stop_resting(core, slot, why);
		return;
	}
}

void
instance_kill(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	if (!instance_state_alive((enum instance_state)instance->state))
		return;
	if (instance->state != INSTANCE_KILLING) {
		probers_end(core, slot);
		instance_change(core, slot, EVENT_KILL);
	}
	signal_group(core, slot, SIGKILL);
	(void)limits_signal(core, slot, SIGKILL);
	/* it may not have its own group yet */
	if (instance->pid > 0)
		signal_main(core, slot, SIGKILL);
	instance_wake_at(
	    core, slot, clock_after(core->loop.now_ms, STOP_KILL_AGAIN_MS));
}

/* The grace is over and its preStop hook is not: the worker has not been told
 * yet. As in Kubernetes it gets a little more, within the budget. */
static bool
grant_after_hook(struct core *core, int32_t slot, int64_t now_ms)
{
	struct past *past = past_make(core, slot);

	if (!prober_hook_end(core, slot))
		return false;
	stop_hooked(core, slot);
	past->kill_at_ms = MIN(clock_after(now_ms, STOP_HOOK_EXTRA_MS),
	    budget_kill_at(core, slot));
	return now_ms < past->kill_at_ms;
}

static void
escalate(struct core *core, int32_t slot, int64_t now_ms)
{
	if (now_ms >= past_of(core, slot)->kill_at_ms &&
	    !grant_after_hook(core, slot, now_ms)) {
		instance_kill(core, slot);
		return;
	}
	if (now_ms >= group_term_at(core, slot)) {
		if (prober_hook_end(core, slot))
			stop_hooked(core, slot);
		signal_group(core, slot, SIGTERM);
		core->instances[slot].group_told = 1;
	}
	plan_escalation(core, slot);
}

/* What it is up for may be limited, and it may have to say that it lives. */
static void
limit_over(struct core *core, int32_t slot, int64_t now_ms)
{
	const struct instance *instance = &core->instances[slot];

	notify_due(core, slot, now_ms);
	if (instance->state != INSTANCE_RUNNING &&
	    instance->state != INSTANCE_READY)
		return;
	if (now_ms < start_deadline(core, slot)) {
		start_limits(core, slot);
		return;
	}
	log_warning("worker.deadline", "worker=%s", instance_label(core, slot));
	instance_stop(core, slot, WHY_DEADLINE);
}

void
instance_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;
	int32_t slot = (int32_t)(timer - core->timers);

	switch ((enum instance_state)core->instances[slot].state) {
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
		escalate(core, slot, now_ms);
		return;
	case INSTANCE_KILLING:
		instance_kill(core, slot);
		return;
	case INSTANCE_BACKOFF:
		instance_due(core, slot);
		start_pump(core);
		return;
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
		limit_over(core, slot, now_ms);
		return;
	case INSTANCE_NONE:
	case INSTANCE_PENDING:
	case INSTANCE_STARTING: /* start.c has a timer of its own */
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
	case INSTANCE_STATES:
		return;
	}
}

/* Somebody wants the end sooner than the workers do. */
static bool
is_hurried(const struct core *core)
{
	return core->terms > 1 &&
	       core->settings.second_term != SECOND_TERM_IGNORE;
}

void
instance_extend(struct core *core, int32_t slot, int64_t ms)
{
	struct instance *instance = &core->instances[slot];
	int64_t at_ms = clock_after(core->loop.now_ms, ms);

	if (instance->state != INSTANCE_STOPPING || is_hurried(core))
		return;
	/* the platform doesn't wait: what is left then is for everybody else */
	if (core->phase != PHASE_RUN && core->budget_ms >= 0)
		at_ms = MIN(at_ms, budget_at(core, 100) - STOP_MARGIN_MS);
	if (at_ms <= past_of(core, slot)->kill_at_ms)
		return;
	past_make(core, slot)->kill_at_ms = at_ms;
	instance->extended = 1;
	log_info("worker.extended", "worker=%s: %lld ms more to end",
	    instance_label(core, slot), (long long)(at_ms - core->loop.now_ms));
	plan_escalation(core, slot);
	if (core->phase != PHASE_DRAIN ||
	    clock_after(at_ms, STOP_REAP_MS) <= core->drain_deadline_ms)
		return;
	core->drain_deadline_ms = clock_after(at_ms, STOP_REAP_MS);
	core_wake(core, &core->phase_timer, core->drain_deadline_ms);
}

/* --- the drain --- */

static void
drain_limit(struct core *core)
{
	int64_t last_ms = 0;

	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		last_ms =
		    MAX(last_ms, past_of(core, (int32_t)slot)->kill_at_ms);
	last_ms =
	    MAX(last_ms, clock_after(core->drain_started_ms, core->chain_ms));
	core->drain_deadline_ms = MIN(clock_after(last_ms, STOP_LAST_MS),
	    budget_at(core, STOP_LEAVE_PCT));
}

void
drain_tell(struct core *core)
{
	order_note_needed(core);
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		if (order_is_needed(core, (int32_t)slot))
			continue;
		instance_stop(core, (int32_t)slot, WHY_DRAIN);
		RECOVER_POINT(POINT_DRAIN);
	}
}

void
drain_begin(struct core *core, const char *reason, int exit_code)
{
	if (core->phase != PHASE_RUN)
		return;
	log_info("drain.began", "%s: %u processes to end", reason, core->alive);
	core->drain_started_ms = core->loop.now_ms;
	core->exit_code = exit_code;
	(void)snprintf(
	    core->end_reason, sizeof(core->end_reason), "%s", reason);
	if (core->budget_ms < 0)
		core->budget_ms = core->settings.grace_ms;
	core->phase = PHASE_DRAIN;
	/* whoever asked for it: a TERM that comes now is the second */
	core->terms = MAX(core->terms, 1U);
	peers_text(core, WIRE_DRAINING, LOG_INFO, "drain.began", reason);
	order_drain(core);
	drain_tell(core);
	drain_limit(core);
	core_wake(core, &core->phase_timer, core->drain_deadline_ms);
	finish_step(core);
}

void
drain_resume(struct core *core)
{
	order_drain(core);
	drain_tell(core);
	if (core->drain_deadline_ms == 0)
		drain_limit(core);
}

static void
hasten(struct core *core)
{
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		const struct instance *instance = &core->instances[slot];
		int64_t left_ms = past_of(core, (int32_t)slot)->kill_at_ms -
		                  core->loop.now_ms;
		if ((instance->state != INSTANCE_STOPPING &&
		        instance->state != INSTANCE_ENDING) ||
		    left_ms <= 0)
			continue;
		past_make(core, (int32_t)slot)->kill_at_ms =
		    core->loop.now_ms + left_ms / 2;
		plan_escalation(core, (int32_t)slot);
	}
}

void
drain_signal(struct core *core, int signo)
{
	char name[16], reason[64];
	const char *text = exit_signal_name(signo, name, sizeof(name));

	core->terms++;
	if (core->phase == PHASE_RUN) {
		(void)snprintf(reason, sizeof(reason), "%s received", text);
		drain_begin(core, reason, core->settings.exit_on_term);
		return;
	}
	switch ((enum plan_second_term)core->settings.second_term) {
	case SECOND_TERM_IGNORE:
		log_info("drain.again", "%s: the drain goes on", text);
		return;
	case SECOND_TERM_HASTEN:
		log_info("drain.hastened", "%s", text);
		hasten(core);
		return;
	case SECOND_TERM_KILL:
		log_warning("drain.killed", "%s", text);
		for (uint32_t slot = 0; slot < core->slots_used; slot++)
			instance_kill(core, (int32_t)slot);
		return;
	}
}
