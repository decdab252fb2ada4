/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"
#include "worker/spawn.h"

enum {
	START_RETRY_MS = 1000, /* no process could be made */
	START_LOOK_MS = 500,   /* nothing is looked at more often */
	START_LOOKS = 8,       /* within a watchdog's time */
};

/* --- news of the exec --- */

static void
report_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	const struct start *start = CONTAINER_OF(source, struct start, report);

	(void)events;
	if (start->slot != CORE_NO_SLOT)
		start_collect(core, start->slot);
	start_pump(core);
}

void
start_forget(struct core *core, int32_t slot)
{
	struct wires *wires = &core->wires[slot];

	if (wires->start < 0)
		return;
	struct start *start = &core->starts[wires->start];
	loop_timer_clear(&core->loop, &start->deadline);
	loop_remove(&core->loop, &start->report);
	fd_close(&start->report.fd);
	start->slot = CORE_NO_SLOT;
	wires->start = -1;
}

int64_t
start_deadline(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	if (spec.deadline_ms == 0)
		return CLOCK_NEVER;
	return clock_after(core->instances[slot].active_ms, spec.deadline_ms);
}

/* A wait that ends with the deadline doesn't show how much of it was a freeze
 * (init.c): so there are some within it. It ends sooner anyhow where the worker
 * says that it lives. */
static int64_t
watchdog_look_at(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	int64_t look_ms =
	    MAX(spec.notify.watchdog_ms / START_LOOKS, (int64_t)START_LOOK_MS);
	return MIN(past_of(core, slot)->watchdog_at_ms,
	    clock_after(core->loop.now_ms, look_ms));
}

void
start_limits(struct core *core, int32_t slot)
{
	int64_t at_ms = start_deadline(core, slot);

	if (past_of(core, slot)->watchdog_at_ms != 0)
		at_ms = MIN(at_ms, watchdog_look_at(core, slot));
	if (at_ms != CLOCK_NEVER)
		instance_wake_at(core, slot, at_ms);
}

/* It executes; a stop that came before is handed on now: a signal before the
 * child had its own session would have been lost (pid1.md M1). */
static void
execed(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	bool stopping = instance->state != INSTANCE_STARTING;

	start_forget(core, slot);
	instance_change(core, slot, EVENT_EXECED);
	if (!stopping) {
		start_limits(core, slot);
		probers_begin(core, slot);
		notify_begin(core, slot);
		return;
	}
	int signo = instance->state == INSTANCE_KILLING
	                ? SIGKILL
	                : instance_stop_signal(core, slot);
	instance->last_signal = (uint8_t)signo;
	/* it has ended meanwhile, and its number may be another's */
	if (instance->pid == 0 || instance->pid == core->kept->taken.si_pid)
		return;
	if (send_to_process(instance->pid, signo) == -1 && errno != ESRCH)
		log_error("signal.failed", "worker=%s: error %d",
		    instance_label(core, slot), errno);
}

void
start_collect(struct core *core, int32_t slot)
{
	struct wires *wires = &core->wires[slot];

	if (wires->start < 0 || core->starts[wires->start].failed)
		return;
	struct start *start = &core->starts[wires->start];
	int rc = spawn_report(start->report.fd, &start->exit);
	if (rc == 1) {
		execed(core, slot);
	} else if (rc == -1) {
		/* the child ends next: the reaper has the rest */
		start->failed = true;
		loop_remove(&core->loop, &start->report);
	}
}

static void
exec_late(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;
	struct start *start = CONTAINER_OF(timer, struct start, deadline);
	int32_t slot = start->slot;

	(void)now_ms;
	/* the news may be there, and nobody told us */
	start_collect(core, slot);
	/* of one that is to end meanwhile, its own timer is the deadline */
	if (start->slot != slot ||
	    core->instances[slot].state != INSTANCE_STARTING)
		return;
	start->failed = true;
	start->exit = (struct worker_exit){
	    .kind = EXIT_EXEC, .stage = STAGE_TIMEOUT, .value = ETIMEDOUT};
	loop_remove(&core->loop, &start->report);
	instance_kill(core, slot);
}

/* --- starting --- */

static int
free_start(const struct core *core)
{
	for (int i = 0; i < CORE_STARTS_MAX; i++)
		if (core->starts[i].slot == CORE_NO_SLOT)
			return i;
	return -1;
}

bool
start_extra(const struct core *core, struct spawn_extra *extra,
    const struct worker_spec *spec, uint32_t replica)
{
	if (!spawn_extra_worker(extra, spec, replica))
		return false;
	/* as PID 1 everything ends with us: nobody has to be found */
	return core->pid1 ||
	       spawn_extra_add_number(extra, "REEVE_RUN", core->kept->run_id);
}

static int
spawn_worker(
    struct core *core, int32_t slot, struct spawned *ret, struct err *err)
{
	static struct spawn_extra extra;
	const struct instance *instance = &core->instances[slot];
	struct worker_spec spec;
	int out[2] = {-1, -1}, newline = -1;

	instance_spec(core, slot, &spec);
	extra.count = extra.used = 0;
	if (!start_extra(core, &extra, &spec, instance->replica))
		return err_set(err, ERR_CAPACITY, "too many ports");
	if (notify_open(core, slot, &extra, &newline, err) == -1)
		return -1;
	if (capture_open(core, slot, out, err) == -1) {
		fd_close(&newline);
		notify_end(core, slot);
		return -1;
	}
	int cgroup = 0;
	int rc = limits_prepare(core, slot, &spec, &cgroup, err);
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {out[0] >= 0 ? out[0] : STDOUT_FILENO, STDOUT_FILENO},
	    {out[1] >= 0 ? out[1] : STDERR_FILENO, STDERR_FILENO},
	    {newline, (int)spec.notify.fd},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .exec_fd = -1,
	    .cgroup_fd = cgroup,
	    .cgroup_clone = (core->cgroup.have & CGROUP_CLONE) != 0,
	    .die_with_parent = core->die_with_parent,
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .nofile_soft = core->nofile_soft,
	    .extra = &extra,
	    .pid_note = &core->instances[slot].pid,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds) - (newline < 0),
	};
	if (rc == 0)
		rc = spawn_start(&request, ret, err);
	fd_close(&out[0]);
	fd_close(&out[1]);
	if (cgroup > 0)
		fd_close(&cgroup);
	fd_close(&newline);
	if (rc == -1) {
		notify_end(core, slot);
		limits_gone(core, slot);
		capture_release(core, slot);
	}
	return rc;
}

/* Not the worker's fault: no counter, and another try soon (pid1.md case 13).
 */
static void
clone_failed(struct core *core, int32_t slot, const struct err *err)
{
	int64_t delay_ms = START_RETRY_MS / 2 + core_noise() % START_RETRY_MS;

	if (core->room_ms == 0 ||
	    core->loop.now_ms - core->room_ms >= START_LOOK_MS) {
		core->room_ms = core->loop.now_ms;
		size_t used = (size_t)snprintf(
		    core->room, sizeof(core->room), "%.80s", err->text);
		if (err->sys == EAGAIN || err->sys == ENOMEM)
			room_for_processes(
			    core->room + used, sizeof(core->room) - used);
	}
	log_error("worker.not-made", "worker=%s: %s: again in %lld ms",
	    instance_label(core, slot), core->room, (long long)delay_ms);
	int64_t at_ms = clock_after(core->loop.now_ms, delay_ms);
	core->instances[slot].why = WHY_RESOURCES;
	past_make(core, slot)->next_start_ms = at_ms;
	instance_change(core, slot, EVENT_CLONE_FAILED);
	instance_wake_at(core, slot, at_ms);
}

static void
pidfd_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;

	(void)events;
	reap_witnessed(core, (int32_t)(source - core->pidfds));
}

void
start_watch(struct core *core, int32_t slot, int pidfd)
{
	struct loop_source *source = &core->pidfds[slot];
	struct err err = ERR_INIT;

	if (pidfd != -1 && core->witnesses < CORE_PIDFDS_MAX) {
		*source = (struct loop_source){
		    .fd = pidfd, .ready = pidfd_ready, .owner = core};
		if (loop_add(&core->loop, source, EPOLLIN, &err) == 0) {
			core->instances[slot].rows |= ROW_PIDFD;
			core->witnesses++;
			return;
		}
	}
	fd_close(&pidfd);
}

static void
watch_report(struct core *core, int32_t slot, int index, int report_fd)
{
	struct start *start = &core->starts[index];
	struct err err = ERR_INIT;

	*start = (struct start){.slot = slot,
	    .deadline = {.fire = exec_late, .owner = core},
	    .report = {.fd = report_fd, .ready = report_ready, .owner = core}};
	core->wires[slot].start = (int16_t)index;
	core_wake(core, &start->deadline,
	    clock_after(core->loop.now_ms, CORE_EXEC_DEADLINE_MS));
	if (loop_add(&core->loop, &start->report, EPOLLIN, &err) == -1)
		log_error("worker.report", "%s", err.text);
}

/* The facts of a process that was just made. */
static void
note_process(struct core *core, int32_t slot, pid_t pid)
{
	struct instance *instance = &core->instances[slot];
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	instance->pid = instance->pgid = (int32_t)pid;
	if (instance_has(core, slot, ROW_PAST)) {
		struct past *past = &core->pasts[slot];
		past->restarts_before = past->restarts;
		past->exits_before = past->total_exits;
		past->kill_at_ms = past->next_start_ms = 0;
	}
	instance->why = WHY_NONE;
	instance->last_signal = instance->group_told = instance->extended = 0;
	instance->started_ms = core->loop.now_ms;
	if (instance->active_ms == 0)
		instance->active_ms = instance->started_ms;
	instance->generation = spec.generation;
	instance->plan_number = core->plans[instance->plan].number;
	memcpy(instance->config_digest, spec.config_digest,
	    sizeof(instance->config_digest));
}

static void
start_one(struct core *core, int32_t slot, int index)
{
	struct instance *instance = &core->instances[slot];
	struct spawned spawned = {.pidfd = -1};
	struct err err = ERR_INIT;

	instance->cloning = 1;
	if (spawn_worker(core, slot, &spawned, &err) == -1) {
		instance->cloning = 0;
		clone_failed(core, slot, &err);
		return;
	}
	RECOVER_POINT(POINT_CLONED);
	core->no_pidfd = spawned.pidfd == -1;
	note_process(core, slot, spawned.pid);
	start_note_young(core, slot);
	if (owner_set(core, spawned.pid, OWNER_INSTANCE, slot, &err) == -1)
		log_error("owners.full", "%s", err.text);
	start_watch(core, slot, spawned.pidfd);
	watch_report(core, slot, index, spawned.report_fd);
	instance_change(core, slot, EVENT_CLONED);
	instance->cloning = 0;
	capture_attach(core, slot, spawned.pid);
}

void
start_adopt(struct core *core, int32_t slot)
{
	note_process(core, slot, core->instances[slot].pid);
	instance_change(core, slot, EVENT_CLONED);
	core->instances[slot].cloning = 0;
}

void
start_resume(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	const struct wires *wires = &core->wires[slot];
	struct err err = ERR_INIT;

	if (wires->start < 0) {
		/* an exec that failed ends the child: the reaper hears of it */
		if (instance->state == INSTANCE_STARTING)
			execed(core, slot);
		return;
	}
	struct start *start = &core->starts[wires->start];
	start->report.ready = report_ready;
	start->report.owner = core;
	if (!start->failed &&
	    loop_add(&core->loop, &start->report, EPOLLIN, &err) == -1)
		log_error("worker.report", "%s", err.text);
	start->deadline = (struct loop_timer){.fire = exec_late, .owner = core};
	core_wake(core, &start->deadline,
	    clock_after(instance->started_ms, CORE_EXEC_DEADLINE_MS));
}

void
start_pump(struct core *core)
{
	while (core->phase == PHASE_RUN && !core->guard.waits) {
		int index = free_start(core);
		int32_t slot = index == -1 ? CORE_NO_SLOT : start_next(core);
		if (slot == CORE_NO_SLOT)
			return; /* goes on when an exec is over */
		start_dequeue(core, slot);
		start_one(core, slot, index);
	}
}
