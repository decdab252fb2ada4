/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

enum {
	ENDING_FIRST_MS = 10,
	ENDING_MOST_MS = 250,
	/* All ends of a turn, after which timers are served; a few are reaped
	 * even where something else took so long. */
	REAP_TURN_MS = 5,
	REAP_LEAST = 16,
};

/* --- groups that outlive their leader --- */

static void
group_gone(struct core *core, int32_t slot)
{
	pidfd_forget(core, slot);
	limits_gone(core, slot);
	core->instances[slot].pgid = 0;
	instance_ended(core, slot);
}

static void
ending_add(struct core *core, int32_t slot)
{
	core->instances[slot].next_queued = core->ending_first;
	core->ending_first = slot;
	core->ending_poll_ms = ENDING_FIRST_MS;
	core_wake(core, &core->ending_timer,
	    clock_after(core->loop.now_ms, core->ending_poll_ms));
}

void
reap_endings(struct core *core)
{
	int32_t slot = core->ending_first;

	core->ending_first = CORE_NO_SLOT;
	while (slot != CORE_NO_SLOT) {
		struct instance *instance = &core->instances[slot];
		int32_t next = instance->next_queued;
		instance->next_queued = CORE_NO_SLOT;
		if (limits_left(core, slot)) {
			instance->next_queued = core->ending_first;
			core->ending_first = slot;
		} else {
			group_gone(core, slot);
		}
		slot = next;
	}
	if (core->ending_first == CORE_NO_SLOT)
		loop_timer_clear(&core->loop, &core->ending_timer);
}

/* Members whose parent isn't us end without telling us: look, less and less
 * often. */
void
ending_timer_fired(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	reap_endings(core);
	start_pump(core);
	finish_step(core);
	if (core->ending_first == CORE_NO_SLOT)
		return;
	core->ending_poll_ms = MIN(core->ending_poll_ms * 2, ENDING_MOST_MS);
	core_wake(core, timer, clock_after(now_ms, core->ending_poll_ms));
}

/* --- the end of a worker --- */

/* What is left of its group is told; whether anybody was there to hear it. By
 * number while the zombie of its leader pins that, or, once it was `reaped`, by
 * its pidfd. */
static bool
tell_group(struct core *core, int32_t slot, bool reaped)
{
	struct instance *instance = &core->instances[slot];
	struct past *past = past_make(core, slot);

	int signo = instance->state == INSTANCE_KILLING ? SIGKILL : SIGTERM;
	int pidfd = pidfd_of(core, slot);
	int rc = reaped ? send_to_led(pidfd, signo)
	                : send_to_group(instance->pgid, pidfd, signo);
	bool heard = rc == 0 || errno == EPERM;
	past->last_exit.escaped = limits_signal(core, slot, signo);
	instance->group_told = 1;
	if (past->kill_at_ms == 0)
		past->kill_at_ms = instance_kill_at(core, slot);
	return heard;
}

static void
log_exit(const struct core *core, int32_t slot, pid_t pid)
{
	const struct instance *instance = &core->instances[slot];
	const struct past *past = past_of(core, slot);
	const struct worker_exit *ended = &past->last_exit;
	char text[EXIT_TEXT_SIZE];
	bool expected = instance->why != WHY_NONE ||
	                (ended->kind == EXIT_CODE && ended->value == 0);
	const char *executable = "";
	struct worker_spec spec;

	if (ended->kind == EXIT_EXEC) {
		instance_spec(core, slot, &spec);
		executable = spec.executable;
	}
	log_event(expected ? LOG_INFO : LOG_WARNING, "worker.exited",
	    "worker=%s pid=%d ran_ms=%lld: %s%s%s", instance_label(core, slot),
	    (int)pid, (long long)past->last_ran_ms,
	    exit_text(ended, text, sizeof(text)),
	    *executable == '\0' ? "" : ": ", executable);
}

/* The news of its exec first: without them, a failed one looks like an exit. */
static void
note_exit(struct core *core, int32_t slot, const siginfo_t *info)
{
	const struct instance *instance = &core->instances[slot];
	struct past *past = past_make(core, slot);
	struct worker_exit ended = {.kind = EXIT_UNKNOWN};

	start_collect(core, slot);
	int16_t start = core->wires[slot].start;
	exit_from_wait(info->si_code, info->si_status, &ended);
	if (start >= 0 && core->starts[start].failed)
		ended = core->starts[start].exit;
	ended.by_us = instance->last_signal;
	limits_note_exit(core, slot, &ended);
	past->last_exit = ended;
	past->last_exit_wall_ms = clock_wall_ms();
	past->last_ran_ms = core->loop.now_ms - instance->started_ms;
	past->total_exits = past->exits_before + 1;
	finish_note_exit(core, &ended, false);
	start_forget(core, slot);
	probers_end(core, slot);
	notify_end(core, slot);
}

/* It is reaped, noted, and its group told: of which some have `survived`. */
static void
main_gone(struct core *core, int32_t slot, bool survived)
{
	struct instance *instance = &core->instances[slot];
	pid_t pid = instance->pid;

	if (instance_has(core, slot, ROW_PIDFD)) {
		core->witnesses -= (uint32_t)core->pidfds[slot].added;
		loop_remove(&core->loop, &core->pidfds[slot]);
	}
	owner_clear(core, pid);
	instance->pid = 0;
	log_exit(core, slot, pid);
	past_make(core, slot)->last_exit.group_survivors = survived ? 1 : 0;
	bool left = survived || limits_populated(core, slot);
	instance_change(core, slot, EVENT_EXITED);
	if (!left) {
		group_gone(core, slot);
		return;
	}
	if (instance->state != INSTANCE_KILLING)
		instance_wake_at(core, slot, past_of(core, slot)->kill_at_ms);
	ending_add(core, slot);
}

/* It is only seen so far, and pins the number of its group. */
static void
pinned_ended(struct core *core, int32_t slot, const siginfo_t *seen)
{
	siginfo_t info;

	note_exit(core, slot, seen);
	(void)tell_group(core, slot, false);
	(void)waitid(P_PID, (id_t)seen->si_pid, &info, WEXITED | WNOHANG);
	RECOVER_POINT(POINT_REAPED);
	main_gone(core, slot, send_group_exists(core->instances[slot].pgid));
}

void
reap_resume(struct core *core, int32_t slot, const siginfo_t *taken)
{
	const struct instance *instance = &core->instances[slot];

	if (instance->pid > 0) /* seen by resume.c: it is our child */
		return;
	if (taken != NULL) {
		note_exit(core, slot, taken);
		(void)tell_group(core, slot, true);
		log_exit(core, slot, taken->si_pid);
		core->kept->taken.si_pid = 0;
	}
	/* otherwise how it ended was noted before it was reaped */
	if (instance->state != INSTANCE_ENDING &&
	    instance->state != INSTANCE_KILLING) {
		start_forget(core, slot);
		probers_end(core, slot);
		notify_end(core, slot);
		instance_change(core, slot, EVENT_EXITED);
	}
	struct past *past = past_make(core, slot);
	if (past->kill_at_ms == 0)
		past->kill_at_ms = instance_kill_at(core, slot);
	ending_add(core, slot);
}

/* --- one end --- */

/*
 * Who ends is reaped at once where nothing is lost by that: the kernel writes
 * how into the state memfd, where the image after a fault finds what this one
 * had not noted yet. A worker's group is told afterwards: its pidfd names the
 * group of that leader and no other, whoever has got its number meanwhile
 * (Linux 6.9). Without such a pidfd it has to be told while the zombie pins the
 * number. So where some worker has none, each end is looked at before.
 */
static bool
is_led(const struct core *core, int32_t slot)
{
	return core->led && instance_has(core, slot, ROW_PIDFD);
}

static bool
has_to_look(const struct core *core)
{
	return !core->led || core->alive != core->witnesses;
}

static bool
take(struct core *core, idtype_t which, pid_t pid)
{
	siginfo_t *taken = &core->kept->taken;

	taken->si_pid = 0;
	if (waitid(which, (id_t)pid, taken, WEXITED | WNOHANG) == -1 ||
	    taken->si_pid == 0)
		return false;
	RECOVER_POINT(POINT_REAPED);
	return true;
}

/* Of one that was taken; no worker. */
static void
other_ended(struct core *core, struct owner owner)
{
	siginfo_t *taken = &core->kept->taken;
	struct worker_exit ended = {.kind = EXIT_UNKNOWN};

	exit_from_wait(taken->si_code, taken->si_status, &ended);
	owner_clear(core, taken->si_pid);
	taken->si_pid = 0;
	switch ((enum owner_kind)owner.kind) {
	case OWNER_PROBER:
		prober_exited(core, (int32_t)owner.index, &ended);
		return;
	case OWNER_OPERATOR:
		operator_exited(core, &ended);
		return;
	case OWNER_LOGGER:
		capture_exited(core, &ended);
		return;
	case OWNER_ANSWER:
		answer_exited(core);
		return;
	case OWNER_UPGRADE:
		upgrade_exited(core, &ended);
		return;
	case OWNER_GUARD:
		guard_exited(core);
		return;
	case OWNER_SINK:
		sink_exited(core, (int32_t)owner.index, &ended);
		return;
	case OWNER_NONE:
	case OWNER_INSTANCE:
		core->orphans_reaped++;
		return;
	}
}

static void
taken_ended(struct core *core)
{
	siginfo_t *taken = &core->kept->taken;
	struct owner owner = owner_of(core, taken->si_pid);
	int32_t slot = (int32_t)owner.index;

	if (owner.kind != OWNER_INSTANCE) {
		other_ended(core, owner);
		return;
	}
	note_exit(core, slot, taken);
	bool survived = tell_group(core, slot, true);
	taken->si_pid = 0;
	main_gone(core, slot, survived);
}

/* False: nobody (of those that are asked for) has ended. */
static bool
reap_one(struct core *core, idtype_t which, pid_t pid, bool look)
{
	siginfo_t seen = {.si_pid = 0};

	if (!look) {
		if (!take(core, which, pid))
			return false;
		taken_ended(core);
		return true;
	}
	if (waitid(which, (id_t)pid, &seen, WEXITED | WNOHANG | WNOWAIT) ==
	        -1 ||
	    seen.si_pid == 0)
		return false;
	struct owner owner = owner_of(core, seen.si_pid);
	if (owner.kind == OWNER_INSTANCE &&
	    !is_led(core, (int32_t)owner.index)) {
		pinned_ended(core, (int32_t)owner.index, &seen);
		return true;
	}
	if (!take(core, P_PID, seen.si_pid))
		return false;
	taken_ended(core);
	return true;
}

/* What may follow from ends. */
static void
after_ends(struct core *core, bool any)
{
	if (any)
		operator_sweep(core);
	if (core->ending_first != CORE_NO_SLOT)
		reap_endings(core);
	start_pump(core);
	finish_if_complete(core);
	finish_step(core);
}

static bool
turn_is_over(const struct core *core)
{
	return core->reaped >= CORE_REAP_SHARE ||
	       (core->reaped >= REAP_LEAST &&
	           clock_ms() - core->loop.now_ms >= REAP_TURN_MS);
}

void
reap(struct core *core)
{
	unsigned before = core->reaped;
	bool more = true;

	core->reap_again = true;
	if (turn_is_over(core))
		return;
	capture_look(core);
	notify_read(core);
	while (more && !turn_is_over(core)) {
		more = reap_one(core, P_ALL, 0, has_to_look(core));
		core->reaped += more;
	}
	core->reap_again = more;
	after_ends(core, core->reaped > before);
}

void
reap_witnessed(struct core *core, int32_t slot)
{
	notify_read(core);
	bool any = reap_one(
	    core, P_PID, core->instances[slot].pid, !is_led(core, slot));
	core->reaped += any;
	after_ends(core, any);
}
