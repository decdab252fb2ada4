/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"

/*
 * Workers that run by the calendar. Each knows the time at which it is due
 * next; one timer of the wall clock stands at the earliest of them, and says so
 * too when somebody sets the clock. What was missed meanwhile (a clock set
 * forward, a frozen container) is counted, and made up for once at most.
 */
enum {
	/* A clock that is set back by less is waited for, as cron does: what
	 * ran isn't run again. */
	SCHEDULE_BACK_S = 3 * 3600,
	PLACE_REPLACED = -1, /* that of the run before, which ends for it */
};

static int64_t
wall_s(void)
{
	int64_t now_ms = clock_wall_ms();

	return now_ms / 1000 - (now_ms % 1000 < 0);
}

static void
spec_of(const struct core *core, uint32_t run, struct worker_spec *ret)
{
	plan_worker(&core->plans[core->current], run, ret);
}

/* --- one run --- */

static int32_t
slot_of(const struct core *core, uint32_t run, uint32_t replica)
{
	int32_t slot = core->runs[run].first;

	while (slot != CORE_NO_SLOT && core->instances[slot].replica != replica)
		slot = core->instances[slot].next_in_run;
	return slot;
}

/* It has a process, or is about to have one. */
static bool
is_active(const struct core *core, int32_t slot)
{
	enum instance_state state =
	    (enum instance_state)core->instances[slot].state;

	return instance_state_alive(state) || state == INSTANCE_PENDING ||
	       state == INSTANCE_BACKOFF;
}

static bool
start_replica(struct core *core, uint32_t run, uint32_t replica)
{
	int32_t slot = slot_of(core, run, replica);

	if (slot == CORE_NO_SLOT)
		return run_add(core, (int32_t)run, replica);
	instance_order(core, slot);
	return true;
}

/* The first of its places at which nothing runs; -1: none is left. */
static int32_t
free_replica(const struct core *core, uint32_t run, uint32_t most)
{
	for (uint32_t i = 0; i < most; i++) {
		int32_t slot = slot_of(core, run, i);
		if (slot == CORE_NO_SLOT || !is_active(core, slot))
			return (int32_t)i;
	}
	return -1;
}

/* Some of it is from before it ran by the calendar, and ends: it is no run, but
 * what may not run beside another one may not run beside that either. */
static bool
is_going(const struct core *core, uint32_t run)
{
	int32_t slot = core->runs[run].first;

	while (slot != CORE_NO_SLOT && core->instances[slot].why != WHY_SCALED)
		slot = core->instances[slot].next_in_run;
	return slot != CORE_NO_SLOT;
}

/* The place that a run takes now: its replica + 1, PLACE_REPLACED, or 0: none
 * is left. */
static int32_t
place_of(const struct core *core, uint32_t run,
    const struct worker_schedule *schedule)
{
	bool alone = schedule->concurrency != CONCURRENCY_ALLOW;
	int32_t replica = free_replica(core, run, alone ? 1 : WORKER_RUNS_MAX);

	if (alone && is_going(core, run))
		return 0;
	if (replica < 0 && schedule->concurrency == CONCURRENCY_REPLACE)
		return PLACE_REPLACED;
	return replica + 1;
}

static bool
make_run(struct core *core, uint32_t run, int32_t place)
{
	if (place == 0)
		return false;
	/* ended, with its grace, and started again when it is gone */
	if (place == PLACE_REPLACED)
		instance_stop(core, slot_of(core, run, 0), WHY_ORDER_RESTART);
	else if (!start_replica(core, run, (uint32_t)place - 1))
		return false;
	core->runs[run].last_run_ms = clock_wall_ms();
	peers_run_changed(core, run);
	return true;
}

bool
schedule_run(struct core *core, uint32_t run)
{
	struct worker_spec spec;

	spec_of(core, run, &spec);
	return make_run(core, run, place_of(core, run, &spec.schedule));
}

static void
note_missed(struct core *core, uint32_t run, uint32_t count, const char *why)
{
	if (count == 0)
		return;
	core->runs[run].missed += count;
	log_warning("schedule.missed", "worker=%s %u run%s: %s",
	    plan_worker_name(&core->plans[core->current], run), count,
	    count == 1 ? "" : "s", why);
}

/* What began to be made there has come to be: the place was free, or its
 * instance not asked to end. */
static bool
is_made(const struct core *core, uint32_t run, int32_t place)
{
	bool replaced = place == PLACE_REPLACED;
	int32_t slot = slot_of(core, run, replaced ? 0 : (uint32_t)place - 1);

	if (slot == CORE_NO_SLOT)
		return false;
	return replaced ? core->instances[slot].why == WHY_ORDER_RESTART
	                : is_active(core, slot);
}

void
schedule_resume(struct core *core)
{
	for (uint32_t i = 0; i < core->nruns; i++) {
		struct run *run = &core->runs[i];

		/* one that is still due is made as any other */
		if (run->making != 0 && run->due_s > wall_s() &&
		    core->phase == PHASE_RUN &&
		    !is_made(core, i, run->making) && !schedule_run(core, i))
			note_missed(core, i, 1, "a fault of the init");
		run->making = 0;
	}
}

void
schedule_ended(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	const struct past *past = past_of(core, slot);
	bool passed = past->last_exit.kind == EXIT_CODE &&
	              past->last_exit.value == 0 &&
	              instance->why != WHY_DEADLINE;

	if (instance->run == CORE_NO_RUN || !schedule_is(core, instance->run))
		return;
	struct run *run = &core->runs[instance->run];
	if (passed)
		run->last_success_ms = past->last_exit_wall_ms;
	else
		run->last_failure_ms = past->last_exit_wall_ms;
	peers_run_changed(core, (uint32_t)instance->run);
}

/* --- when --- */

static void
fire(struct core *core, uint32_t run, const struct worker_schedule *schedule,
    int64_t now_s)
{
	struct run *at = &core->runs[run];
	uint32_t count = 0;
	int64_t last_s = calendar_last(
	    &schedule->rule, &schedule->zone, at->due_s - 1, now_s, &count);
	bool late = schedule->starting_deadline_s >= 0 &&
	            now_s - last_s > schedule->starting_deadline_s;

	/* before it is due no more: a fault between makes it (schedule_resume)
	 */
	if (count > 0 && !late)
		at->making = place_of(core, run, schedule);
	at->due_s = calendar_next(&schedule->rule, &schedule->zone, now_s);
	if (count == 0)
		return; /* another schedule than the one that was due */
	at->done_s = last_s;
	note_missed(core, run, count - 1, "the clock or the container stood");
	if (late) {
		note_missed(core, run, 1, "startingDeadlineSeconds are over");
		return;
	}
	RECOVER_POINT(POINT_DUE);
	log_info("schedule.due", "worker=%s",
	    plan_worker_name(&core->plans[core->current], run));
	if (!make_run(core, run, at->making))
		note_missed(core, run, 1,
		    schedule->concurrency == CONCURRENCY_ALLOW
		        ? "too many runs at once"
		        : "the one before still runs");
	at->making = 0;
}

/* The clock was set back: what was run isn't due again, unless it is that far
 * back that waiting would be silence. */
static void
look_again(
    struct run *run, const struct worker_schedule *schedule, int64_t now_s)
{
	if (run->done_s != 0 && now_s < run->done_s - SCHEDULE_BACK_S)
		run->done_s = 0;
	if (run->due_s > now_s)
		run->due_s = calendar_next(
		    &schedule->rule, &schedule->zone, MAX(now_s, run->done_s));
}

/* The timer at the earliest time that anybody waits for. */
static void
arm(struct core *core)
{
	struct itimerspec at = {.it_value = {.tv_sec = 0}};
	int64_t due_s = CALENDAR_NEVER;
	struct worker_spec spec;

	for (uint32_t i = 0; i < core->nruns; i++) {
		const struct run *run = &core->runs[i];
		if (run->due_s == 0 || run->held)
			continue;
		spec_of(core, i, &spec);
		if (!spec.schedule.suspended)
			due_s = MIN(due_s, run->due_s);
	}
	if (due_s != CALENDAR_NEVER)
		at.it_value.tv_sec = (time_t)due_s;
	if (core->calendar.fd != -1 &&
	    timerfd_settime(core->calendar.fd,
	        TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) == -1)
		log_error("schedule.timer", "error %d", errno);
}

static void
look_at_all(struct core *core, bool clock_was_set)
{
	int64_t now_s = wall_s();
	struct worker_spec spec;

	if (core->phase != PHASE_RUN)
		return;
	for (uint32_t i = 0; i < core->nruns; i++) {
		struct run *run = &core->runs[i];
		if (run->due_s == 0)
			continue;
		spec_of(core, i, &spec);
		if (clock_was_set)
			look_again(run, &spec.schedule, now_s);
		if (run->due_s <= now_s && !run->held &&
		    !spec.schedule.suspended)
			fire(core, i, &spec.schedule, now_s);
	}
	arm(core);
	start_pump(core);
}

static void
calendar_ready(struct loop_source *source, uint32_t events)
{
	uint64_t expirations;
	ssize_t got = read(source->fd, &expirations, sizeof(expirations));

	(void)events;
	look_at_all(source->owner, got == -1 && errno == ECANCELED);
}

static void
open_timer(struct core *core)
{
	struct err err = ERR_INIT;
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	core->calendar = (struct loop_source){
	    .fd = fd, .ready = calendar_ready, .owner = core};
	if (fd == -1)
		(void)err_sys(&err, "timerfd");
	if (fd == -1 ||
	    loop_add(&core->loop, &core->calendar, EPOLLIN, &err) == -1) {
		log_error("schedule.timer", "%s", err.text);
		fd_close(&core->calendar.fd);
	}
}

/* --- plans and orders --- */

/* It runs by the calendar now, or no longer: what it was is no run, and what
 * rests would count as one. A run that is under way becomes the worker. */
static void
change_kind(struct core *core, uint32_t run, bool scheduled)
{
	int32_t next;

	for (int32_t slot = core->runs[run].first; slot != CORE_NO_SLOT;
	     slot = next) {
		enum instance_state state =
		    (enum instance_state)core->instances[slot].state;
		next = core->instances[slot].next_in_run;
		if (scheduled || !instance_state_alive(state))
			instance_stop(core, slot, WHY_SCALED);
	}
}

/* Another rule or zone begins anew, from now; the same one goes on. */
static void
take(struct core *core, uint32_t run, const struct worker_schedule *schedule)
{
	struct run *at = &core->runs[run];

	if ((schedule->text != NULL) != schedule_is(core, (int32_t)run))
		change_kind(core, run, schedule->text != NULL);
	if (schedule->text == NULL) {
		at->due_s = 0;
		return;
	}
	struct fingerprint rule =
	    fingerprint_of(&core->key, schedule->text, strlen(schedule->text));
	struct fingerprint zone = fingerprint_of(
	    &core->key, schedule->zone_name, strlen(schedule->zone_name));
	for (size_t i = 0; i < sizeof(rule.bytes); i++)
		rule.bytes[i] ^= zone.bytes[i];
	if (at->due_s != 0 &&
	    memcmp(at->schedule, rule.bytes, sizeof(at->schedule)) == 0)
		return;
	memcpy(at->schedule, rule.bytes, sizeof(at->schedule));
	at->due_s = calendar_next(
	    &schedule->rule, &schedule->zone, MAX(wall_s(), at->done_s));
}

void
schedule_apply(struct core *core)
{
	struct worker_spec spec;
	bool any = false;

	for (uint32_t i = 0; i < core->nruns; i++) {
		spec_of(core, i, &spec);
		take(core, i, &spec.schedule);
		any = any || spec.schedule.text != NULL;
	}
	if (any && core->calendar.fd == -1)
		open_timer(core);
	look_at_all(core, false);
}

bool
schedule_is(const struct core *core, int32_t run)
{
	return core->runs[run].due_s != 0;
}

void
schedule_carry(struct run *to, const struct run *from)
{
	to->due_s = from->due_s;
	to->done_s = from->done_s;
	to->last_run_ms = from->last_run_ms;
	to->last_success_ms = from->last_success_ms;
	to->last_failure_ms = from->last_failure_ms;
	to->missed = from->missed;
	memcpy(to->schedule, from->schedule, sizeof(to->schedule));
}
