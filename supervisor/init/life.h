/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LIFE_H
#define REEVE_SUPERVISOR_INIT_LIFE_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"
#include "worker/spawn.h"

/*
 * An instance's life, from the plan that wants it to what comes after its end.
 */

/* --- change.c --- */

/* The only way to another state: looks it up, keeps the counts, logs from,
 * event and to, tells the peers. */
void instance_change(
    struct core *core, int32_t slot, enum instance_event event);
/* `by` (1, -1) more instances that are in that state. */
void instance_count(struct core *core, enum instance_state state, int by);
/* The instance's own worker, in the plan that it belongs to. */
void instance_spec(
    const struct core *core, int32_t slot, struct worker_spec *ret);
/* "name/replica" in a buffer that the next call overwrites. */
const char *instance_label(const struct core *core, int32_t slot);
/* Sets its timer; there is a heap slot for every instance. */
void instance_wake_at(struct core *core, int32_t slot, int64_t at_ms);
void instance_wake_never(struct core *core, int32_t slot);
/* Looks for ends in a second, whether or not a signal says so. */
void core_look_later(struct core *core);

/* --- queue.c --- */

/* Puts it at the end of its lane of those that wait to start. */
void start_queue(struct core *core, int32_t slot);
/* Takes it out again, if it is there. */
void start_dequeue(struct core *core, int32_t slot);
/* Somebody waits to start. */
bool start_waiting(const struct core *core);
/* Who may start now, or CORE_NO_SLOT. */
int32_t start_next(struct core *core);
/* It has just been started. */
void start_note_young(struct core *core, int32_t slot);
void young_timer_fired(struct loop_timer *timer, int64_t now_ms);

/* --- start.c --- */

/* What a process for a worker has in its environment beside the worker's own;
 * false: no room. */
bool start_extra(const struct core *core, struct spawn_extra *extra,
    const struct worker_spec *spec, uint32_t replica);
/* Starts as many as may start now. */
void start_pump(struct core *core);
/* The news of an exec, if there is any; called by the pipe and by the reaper.
 */
void start_collect(struct core *core, int32_t slot);
void start_forget(struct core *core, int32_t slot);
/* After a fault: it has a process; whether it executes isn't known, or is. */
void start_resume(struct core *core, int32_t slot);
/* After a fault: was cloned, but nothing was noted but the process. */
void start_adopt(struct core *core, int32_t slot);
/* Waits for the end of the process that `pidfd` stands for; takes it. */
void start_watch(struct core *core, int32_t slot, int pidfd);

/* When its activeDeadlineSeconds are over, or CLOCK_NEVER. */
int64_t start_deadline(const struct core *core, int32_t slot);
/* It is up: wakes it at that time, or at its watchdog's, if there is one. */
void start_limits(struct core *core, int32_t slot);

/* --- order.c --- */

/* A plan was applied. */
void order_apply(struct core *core);
/* It is to start: true when it has somebody to wait for first. */
bool order_waits(struct core *core, int32_t slot);
/* After each turn: starts what need wait no longer, or goes on draining. */
void order_step(struct core *core);
/* What it waits for, for people; "" when for nothing. */
void order_text(const struct core *core, int32_t slot, char *dst, size_t size);
/* A drain begins: the graces that follow one another. */
void order_drain(struct core *core);
/* Of `budget_ms`, what is kept for whom the instance depends on. */
int64_t order_reserve_ms(
    const struct core *core, int32_t slot, int64_t budget_ms);
/* In a drain: notes who is needed by somebody that still lives. */
void order_note_needed(struct core *core);
bool order_is_needed(const struct core *core, int32_t slot);

/* --- room.c --- */

/* What limits the number of processes, to go behind "clone: no more": ": …", or
 * nothing when that can't be read. */
/* ": pids.current=… of pids.max=…, N zombies", as far as it is known. */
void room_for_processes(char *dst, size_t size);

/* --- schedule.c --- */

/* A plan was applied, or this is the image after a fault: what is due, and
 * when the next is. */
void schedule_apply(struct core *core);
/* After a fault, before that: a run that it may have been in the way of is
 * made, if it isn't there. */
void schedule_resume(struct core *core);
/* Runs by the calendar. */
bool schedule_is(const struct core *core, int32_t run);
/* A run now, whatever the time is; false: there is one too many. */
bool schedule_run(struct core *core, uint32_t run);
/* A run of it is over. */
void schedule_ended(struct core *core, int32_t slot);
/* The same worker in another plan. */
void schedule_carry(struct run *to, const struct run *from);

/* --- stop.c --- */

/* Asks a living instance to end, or takes one that isn't alive out of the race.
 * Idempotent; the first reason stays unless the new one is final. */
void instance_stop(struct core *core, int32_t slot, enum instance_why why);
void instance_kill(struct core *core, int32_t slot);
/* When KILL comes to one that is asked to end now: its grace, within what is
 * left of the container's budget. */
int64_t instance_kill_at(const struct core *core, int32_t slot);
/* It asks for so much more time to end, from now. */
void instance_extend(struct core *core, int32_t slot, int64_t ms);
/* What its main process is told to end with. */
int instance_stop_signal(const struct core *core, int32_t slot);
/* Its state's timer fired. */
void instance_timer(struct loop_timer *timer, int64_t now_ms);
/* The preStop hook is over, or there is none: the drain signal. */
void stop_hooked(struct core *core, int32_t slot);
/* Asks everybody to end whom nobody needs any more. */
void drain_tell(struct core *core);
/* All workers, then everything else, then exit. */
void drain_begin(struct core *core, const char *reason, int exit_code);
/* After a fault: asks whom the drain had not asked yet. */
void drain_resume(struct core *core);
/* TERM, INT or QUIT came. */
void drain_signal(struct core *core, int signo);

/* --- reap.c --- */

/* Reaps whoever has ended, as many as a turn has room and time for, however
 * often it is called; sets core->reap_again when there may be more. */
void reap(struct core *core);
/* The worker's own pidfd says that it has ended: it need not wait until all
 * orphans are reaped that the kernel tells before it. */
void reap_witnessed(struct core *core, int32_t slot);
/* Looks whether groups without main process have become empty. */
void reap_endings(struct core *core);
void ending_timer_fired(struct loop_timer *timer, int64_t now_ms);
/* After a fault: is it still our child? Its end is noted where it isn't:
 * `taken` says how it ended if that was not noted before; else NULL. */
void reap_resume(struct core *core, int32_t slot, const siginfo_t *taken);

/* --- outcome.c --- */

/* Its whole group has ended: what now? */
void instance_ended(struct core *core, int32_t slot);
/* It has no process, and its slot is given back. */
void instance_forget(struct core *core, int32_t slot);
/* It has no process: it is to start now. */
void instance_want(struct core *core, int32_t slot);
/* Its backoff is over: it is to start now, or in its turn (run.limit). */
void instance_due(struct core *core, int32_t slot);
/* It is to start, because somebody says so: no failure of the past counts. */
void instance_order(struct core *core, int32_t slot);

/* --- limits.c --- */

/* Before the first child: makes cgroups where they can be made. */
void limits_open(struct core *core);
/* At the end: leaves the cgroup as it was found. */
void limits_close(struct core *core);
/* A plan came: says which of its limits don't hold. */
void limits_judge(struct core *core);
/* The cgroup for a start: `ret_dir` is its directory, 0 none. -1: an old one
 * isn't empty, so it would run twice. */
int limits_prepare(struct core *core, int32_t slot,
    const struct worker_spec *spec, int *ret_dir, struct err *err) MUST_CHECK;
/* Its main process has ended: adds to the exit what the kernel did to it. */
void limits_note_exit(
    struct core *core, int32_t slot, struct worker_exit *ended);
/* SIGTERM: to those who left its group and are ours to reach; how many they
 * are. SIGKILL: to everybody in its cgroup. */
uint32_t limits_signal(struct core *core, int32_t slot, int signo);
/* Somebody is left in its cgroup. */
bool limits_populated(const struct core *core, int32_t slot);
/* ... or of its group. */
bool limits_left(const struct core *core, int32_t slot);
/* Nobody is left. */
void limits_gone(struct core *core, int32_t slot);

/* --- prober.c --- */

/* The instance executes: begins its probes; it is ready at once without. */
void probers_begin(struct core *core, int32_t slot);
void probers_end(struct core *core, int32_t slot);
/* Runs its preStop hook; false: it has none. */
bool prober_hook(struct core *core, int32_t slot);
/* Gives up its hook; false: none runs. */
bool prober_hook_end(struct core *core, int32_t slot);
/* Ready, when nothing is missing any more: neither a probe nor its own word. */
void instance_check_ready(struct core *core, int32_t slot);
/* After a fault: takes over those that instances still name, ends what was
 * under way, which says nothing. */
void probers_take(struct core *core, uint32_t used);
/* ... and goes on with the instance's, or begins them. */
void probers_resume(struct core *core, int32_t slot);
void prober_exited(
    struct core *core, int32_t index, const struct worker_exit *ended);
const char *prober_text(const struct core *core, int32_t slot);

/* --- notify.c --- */

/* Before a start: what it needs to speak; `ret_write`: the worker's end of the
 * pipe for its descriptor of readiness, or -1. */
int notify_open(struct core *core, int32_t slot, struct spawn_extra *extra,
    int *ret_write, struct err *err) MUST_CHECK;
/* It executes. */
void notify_begin(struct core *core, int32_t slot);
/* Its main process is gone. */
void notify_end(struct core *core, int32_t slot);
/* It has to say that it is ready, and hasn't. */
bool notify_awaited(const struct core *core, int32_t slot);
/* The watchdog's time begins (again), or is over. */
void notify_watch(struct core *core, int32_t slot);
void notify_due(struct core *core, int32_t slot, int64_t now_ms);
/* What has come, up to a budget: before processes are reaped, so that the last
 * words of one still have a sender. */
void notify_read(struct core *core);
void notify_reset(struct core *core);
void notify_resume(struct core *core); /* after a fault */
void notify_resume_slot(struct core *core, int32_t slot);

/* --- apply.c --- */

/* Takes the plan in `fd` (which stays the caller's). On failure the old one
 * goes on. */
int apply_plan(
    struct core *core, int fd, bool sealed, struct err *err) MUST_CHECK;
/* An instance of it, which is to start. */
bool run_add(struct core *core, int32_t run, uint32_t replica);
/* Starts what is missing and stops what is too much of one worker. */
void run_reconcile(struct core *core, int32_t run);
/* The instance belongs to no plan any more, or to another. */
void plan_bind(struct core *core, int32_t slot, uint8_t plan, uint16_t worker);
void plan_unbind(struct core *core, int32_t slot);
/* Moves an instance without process to the current plan; false: its worker is
 * gone from it, or it is one replica too many. */
bool plan_rebind(struct core *core, int32_t slot);
bool plan_applied(const struct core *core);
/* After a fault: opens the plans that `old` had, settings and runs. */
int apply_resume(
    struct core *core, const struct core *old, struct err *err) MUST_CHECK;

#endif
