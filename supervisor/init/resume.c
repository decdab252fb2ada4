/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

/*
 * The image after a fault. The one before may have stopped between any two
 * instructions: only facts are taken from it (counts, times, process numbers,
 * descriptors), every list, heap and table of this image is made anew from
 * them, and what was half done is done again where that is harmless.
 */

enum {
	RESUME_CLONE_POLLS = 100, /* of a millisecond */
};

/* What the faulted image knew. */
static struct core old;

/* Of its workers, the one that it had reaped and not noted. */
static int32_t taken_slot = CORE_NO_SLOT;

/* --- facts --- */

/* A descriptor that came with us, or -1. (Close-on-exec again: all of them at
 * once, init.c.) */
static int
take(int fd)
{
	return fd > STDERR_FILENO && fcntl(fd, F_GETFD) != -1 ? fd : -1;
}

static void
take_descriptors(struct core *core)
{
	core->null_fd = take(old.null_fd);
	core->self_fd = take(old.self_fd);
	core->kept_fd = take(old.kept_fd);
	core->tally_fd = take(old.tally_fd);
	core->control.fd = take(old.control.fd);
	core->operate.exec_fd = take(old.operate.exec_fd);
	core->operate.report_fd = take(old.operate.report_fd);
	core->operate.peer.source.fd = take(old.operate.peer.source.fd);
	core->logger.listen_fd = take(old.logger.listen_fd);
	core->logger.socket.fd = take(old.logger.socket.fd);
	core->logger.beat.fd = take(old.logger.beat.fd);
	core->outputs = old.outputs;
	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++) {
		core->sinks[i] = old.sinks[i];
		core->sinks[i].file_fd = take(old.sinks[i].file_fd);
		core->sinks[i].pipe_fd = take(old.sinks[i].pipe_fd);
	}
	core->answer.listen_fd = take(old.answer.listen_fd);
	core->cgroup = old.cgroup;
	core->cgroup.dir = take(old.cgroup.dir);
	core->cgroup.oom_file = take(old.cgroup.oom_file);
	core->limits_told = old.limits_told;
	core->notify.socket.fd = take(old.notify.socket.fd);
	for (size_t i = 0; i < ARRAY_LEN(old.plans); i++)
		old.plans[i].fd = take(old.plans[i].fd);
}

static void
take_process(struct core *core)
{
	core->pid = old.pid;
	core->pid1 = old.pid1;
	core->started_wall_ms = old.started_wall_ms;
	core->nofile_soft = old.nofile_soft;
	core->key = old.key;
	core->no_pidfd = old.no_pidfd;
	core->die_with_parent = old.die_with_parent;
	core->allow_exec_changes = old.allow_exec_changes;
	core->nallowed = old.nallowed;
	core->placed = old.placed;
	core->place = old.place;
	core->current = old.current;
	core->plan_number = old.plan_number;
	core->orphans_reaped = old.orphans_reaped;
	core->notify.dropped = old.notify.dropped;
	core->notify.gone = old.notify.gone;
	core->snapshots = old.snapshots;
	core->journalled = old.journalled;
	core->came = old.came;
	memcpy(core->name, old.name, sizeof(core->name));
	memcpy(core->cwd, old.cwd, sizeof(core->cwd));
	core->slots_used = MIN(old.slots_used, core->max_workers);
}

static void
take_drain(struct core *core)
{
	core->phase = old.phase;
	core->swept = old.swept;
	core->budget_ms = old.budget_ms;
	core->drain_started_ms = old.drain_started_ms;
	core->drain_deadline_ms = old.drain_deadline_ms;
	core->terms = old.terms;
	core->exit_code = old.exit_code;
	core->first_code = old.first_code;
	core->worst_code = old.worst_code;
	memcpy(core->end_reason, old.end_reason, sizeof(core->end_reason));
}

static int32_t
take_child(struct core *core, int32_t pid, enum owner_kind kind, int32_t index)
{
	if (!exit_is_child(pid))
		return 0;
	if (owner_set(core, pid, kind, index, NULL) == -1)
		log_error("owners.full", "pid=%d", (int)pid);
	return pid;
}

static void
take_children(struct core *core)
{
	struct operate *operate = &core->operate;
	struct logger *logger = &core->logger;
	struct answer *answer = &core->answer;

	operate->pid = take_child(core, old.operate.pid, OWNER_OPERATOR, 0);
	operate->state = old.operate.state;
	operate->restarts = old.operate.restarts;
	operate->replaced = old.operate.replaced;
	operate->started_ms = old.operate.started_ms;
	operate->backoff = old.operate.backoff;
	memcpy(operate->text, old.operate.text, sizeof(operate->text));
	logger->pid = take_child(core, old.logger.pid, OWNER_LOGGER, 0);
	logger->backoff = old.logger.backoff;
	logger->started_ms = old.logger.started_ms;
	logger->protocol = old.logger.protocol;
	logger->wanted = old.logger.wanted;
	logger->closing = old.logger.closing;
	logger->json = old.logger.json;
	logger->counted = old.logger.counted;
	logger->killed = old.logger.killed;
	answer->pid = take_child(core, old.answer.pid, OWNER_ANSWER, 0);
	core->guard.pid = take_child(core, old.guard.pid, OWNER_GUARD, 0);
	for (int32_t i = 0; i < (int32_t)ARRAY_LEN(core->sinks); i++)
		core->sinks[i].pid =
		    take_child(core, old.sinks[i].pid, OWNER_SINK, i);
	core->guard.waits = old.guard.waits;
	core->guard.started_ms = old.guard.started_ms;
	core->guard.backoff = old.guard.backoff;
	answer->port = old.answer.port;
	answer->started_ms = old.answer.started_ms;
	answer->backoff = old.answer.backoff;
}

static int
read_old(int fd, struct err *err)
{
	static struct kept kept;

	if (pread(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept))
		return err_sys(err, "read the state");
	if (kept.head.magic != STATE_MAGIC ||
	    kept.core_bytes != sizeof(struct core) ||
	    kept.instance_bytes != sizeof(struct instance) ||
	    kept.max_workers != kept.core.max_workers)
		return err_set(err, ERR_SYSTEM, "the state isn't one of ours");
	old = kept.core;
	return 0;
}

/* Numbers that are indexes, or sizes of tables. */
static int
check_old(const struct core *core, struct err *err)
{
	if (old.pid != (int32_t)getpid() || old.current >= CORE_PLANS_MAX ||
	    old.nruns > PLAN_WORKERS_MAX || old.nallowed > PLAN_WORKERS_MAX ||
	    old.phase > PHASE_DONE || old.max_workers != core->max_workers ||
	    memchr(old.name, '\0', sizeof(old.name)) == NULL ||
	    memchr(old.cwd, '\0', sizeof(old.cwd)) == NULL ||
	    memchr(old.end_reason, '\0', sizeof(old.end_reason)) == NULL)
		return err_set(err, ERR_INPUT, "the state contradicts itself");
	old.place.dir[sizeof(old.place.dir) - 1] = '\0';
	old.place.name[sizeof(old.place.name) - 1] = '\0';
	old.operate.text[sizeof(old.operate.text) - 1] = '\0';
	return 0;
}

static int
take_all(struct core *core, struct err *err)
{
	if (check_old(core, err) == -1)
		return -1;
	take_process(core);
	take_drain(core);
	take_descriptors(core);
	take_children(core);
	if (capture_map(core, err) == -1)
		return -1;
	if (apply_resume(core, &old, err) == -1)
		return -1;
	if (!plan_applied(core) && core->operate.exec_fd == -1)
		return err_set(err, ERR_SYSTEM, "there was no plan yet");
	return 0;
}

int
resume_state(struct core *core, int fd, struct err *err)
{
	if (read_old(fd, err) == -1)
		return -1;
	if (old.max_workers > UINT32_C(10) * WORKER_REPLICAS_MAX)
		return err_set(err, ERR_INPUT, "the state is too large");
	core_reset(core, old.max_workers);
	if (table_remap(core, fd, &old, err) == -1)
		return -1;
	return take_all(core, err);
}

int
resume_other(struct core *core, int fd, int self_fd, struct err *err)
{
	core_reset(core, 1); /* how many there were is in the state */
	if (table_convert(core, fd, err) == -1)
		return -1;
	old = core->kept->core;
	table_take_turns(core, &old);
	recover_back_to(take(old.self_fd));
	if (take_all(core, err) == -1)
		return -1;
	core->self_fd = self_fd;
	return 0;
}

void
resume_commit(struct core *core, int fd)
{
	char from[sizeof(core->kept->version)];

	recover_back_to(-1);
	fd_close(&fd);
	fd_close(&old.self_fd);
	(void)snprintf(from, sizeof(from), "%.*s", (int)sizeof(from) - 1,
	    core->kept->version);
	(void)snprintf(core->kept->version, sizeof(core->kept->version), "%s",
	    REEVE_VERSION);
	/* it reads the other's state: another one comes */
	guard_end(core);
	log_info("init.upgraded", "from=%s to=%s", from, REEVE_VERSION);
}

/* --- one instance --- */

/* It was cloned and the number wasn't noted: the child does that first thing,
 * but it may not have had its turn yet. */
static void
find_clone(struct core *core, int32_t slot)
{
	const struct timespec a_while = {0, 1000000};
	volatile struct instance *instance = &core->instances[slot];

	for (int i = 0; i < RESUME_CLONE_POLLS && instance->pid == 0; i++)
		(void)nanosleep(&a_while, NULL);
}

/* Memory of another image: a flag there may hold any byte. */
static bool
is_set(const bool *flag)
{
	uint8_t byte;

	memcpy(&byte, flag, sizeof(byte));
	return byte != 0;
}

static void
take_links(struct core *core, int32_t slot)
{
	struct links *links = &core->links[slot];

	if (!instance_has(core, slot, ROW_LINKS))
		return;
	links->newline = (struct loop_source){.fd = take(links->newline.fd)};
	for (size_t i = 0; i < ARRAY_LEN(links->out); i++) {
		links->out[i] = take(links->out[i]);
		links->attached[i] = is_set(&links->attached[i]);
	}
}

static void
take_start(struct core *core, int32_t slot, int16_t was)
{
	if (was < 0 || was >= CORE_STARTS_MAX || old.starts[was].slot != slot)
		return;
	struct start *start = &core->starts[was];
	*start = (struct start){.slot = slot,
	    .failed = is_set(&old.starts[was].failed),
	    .exit = old.starts[was].exit,
	    .report = {.fd = take(old.starts[was].report.fd)}};
	if (start->report.fd == -1)
		start->slot = CORE_NO_SLOT;
	else
		core->wires[slot].start = was;
}

/* Into the run of its worker as the current plan has it. */
static void
take_run(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	const struct plan *plan = &core->plans[instance->plan];
	int32_t run = CORE_NO_RUN;

	core->plan_users[instance->plan]++;
	instance->next_in_run = CORE_NO_SLOT;
	if (instance->run != CORE_NO_RUN)
		run = plan_worker_find(&core->plans[core->current],
		    plan_worker_name(plan, instance->worker));
	instance->run = run < 0 ? CORE_NO_RUN : run;
	if (run < 0)
		return;
	instance->next_in_run = core->runs[run].first;
	core->runs[run].first = slot;
}

/* Of a group whose leader is gone: for signals, no witness any more. */
static void
keep_pidfd(struct core *core, int32_t slot, int pidfd)
{
	if (pidfd == -1)
		return;
	core->pidfds[slot] = (struct loop_source){.fd = pidfd};
	core->instances[slot].rows |= ROW_PIDFD;
}

static void
take_pid(struct core *core, int32_t slot, int pidfd)
{
	struct instance *instance = &core->instances[slot];
	bool alive = instance_state_alive((enum instance_state)instance->state);

	if (instance->cloning && !alive)
		find_clone(core, slot);
	if (instance->pid != 0 && !exit_is_child(instance->pid)) {
		if (instance->pid == core->kept->taken.si_pid)
			taken_slot = slot;
		instance->pid = 0;
	}
	if (instance->pid == 0) {
		keep_pidfd(core, slot, alive ? pidfd : -1);
		if (!alive)
			fd_close(&pidfd);
		instance->cloning = 0;
		return;
	}
	if (owner_set(core, instance->pid, OWNER_INSTANCE, slot, NULL) == -1)
		log_error("owners.full", "pid=%d", (int)instance->pid);
	start_watch(core, slot, pidfd);
	if (instance->cloning && !alive)
		start_adopt(core, slot);
	instance->cloning = 0;
}

static bool
is_sound(const struct core *core, const struct instance *instance)
{
	return instance->state != INSTANCE_NONE &&
	       instance->state < INSTANCE_STATES && instance->why < WHY_COUNT &&
	       instance->ended_as < CLASS_COUNT &&
	       instance->replica < WORKER_REPLICAS_MAX &&
	       instance->plan < CORE_PLANS_MAX &&
	       core->plans[instance->plan].bytes != NULL &&
	       instance->worker < core->plans[instance->plan].nworkers;
}

static void
take_instance(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	int pidfd = take(pidfd_of(core, slot));
	int16_t start = core->wires[slot].start;

	table_reset_wires(core, slot);
	/* these are made anew */
	instance->rows &= (uint8_t) ~(ROW_PIDFD | ROW_TIMER);
	if (!is_sound(core, instance)) {
		/* nothing is known of it but that it must not run twice */
		if (instance->state != INSTANCE_NONE &&
		    exit_is_child(instance->pid)) {
			(void)send_to_group(instance->pid, -1, SIGKILL);
			(void)send_to_process(instance->pid, SIGKILL);
		}
		table_release(core, slot);
		fd_close(&pidfd);
		return;
	}
	take_run(core, slot);
	instance->next_queued = CORE_NO_SLOT;
	instance_count(core, (enum instance_state)instance->state, 1);
	take_links(core, slot);
	take_start(core, slot, start);
	take_pid(core, slot, pidfd);
}

/* --- and on --- */

static void
resume_instance(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	switch ((enum instance_state)instance->state) {
	case INSTANCE_NONE:
	case INSTANCE_STATES:
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
		return;
	case INSTANCE_PENDING:
		/* who waits for others is looked at after this turn */
		if (instance->why != WHY_WAITS)
			start_queue(core, slot);
		return;
	case INSTANCE_BACKOFF:
		instance_wake_at(
		    core, slot, past_of(core, slot)->next_start_ms);
		return;
	case INSTANCE_STARTING:
		if (instance->pid > 0) {
			notify_resume_slot(core, slot);
			start_resume(core, slot);
		}
		break;
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
		if (instance->pid > 0) {
			probers_resume(core, slot);
			notify_resume_slot(core, slot);
			start_limits(core, slot);
		}
		break;
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
		start_resume(core, slot);
		instance_wake_at(core, slot, core->loop.now_ms);
		break;
	}
	reap_resume(core, slot, slot == taken_slot ? &core->kept->taken : NULL);
	/* asked to end, and not told yet */
	if (instance->state == INSTANCE_STOPPING && instance->pid > 0 &&
	    instance->last_signal == 0 && core->wires[slot].start < 0) {
		int signo = instance_stop_signal(core, slot);
		instance->last_signal = (uint8_t)signo;
		(void)send_to_process(instance->pid, signo);
	}
}

/* The plan took its worker away, and the fault came before it was told. */
static void
resume_removed(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];

	if (instance->state != INSTANCE_NONE && instance->run == CORE_NO_RUN)
		instance_stop(core, slot, WHY_REMOVED);
}

/* A TERM that was read and not acted on. */
static void
resume_signals(struct core *core)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGQUIT};
	uint64_t came = core->came;

	core->came = 0;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if ((came >> ends[i] & 1) != 0 && core->phase == PHASE_RUN)
			drain_signal(core, ends[i]);
}

static void
resume_timers(struct core *core)
{
	operator_resume(core, old.operate.timer.at_ms);
	answer_resume(core);
	notify_resume(core);
	capture_resume(core);
	hang_resume(core);
	sinks_resume(core);
	guard_resume(core);
	if (core->ending_first != CORE_NO_SLOT)
		core_wake(core, &core->ending_timer, core->loop.now_ms);
	if (core->alive > core->witnesses)
		core_wake(core, &core->safety_timer, core->loop.now_ms);
	/* in a drain it is always set; a fault while it fired fires it again */
	if (core->phase != PHASE_RUN)
		core_wake(core, &core->phase_timer,
		    old.phase_timer.at_ms == 0 ? core->drain_deadline_ms
		                               : old.phase_timer.at_ms);
}

void
resume_tell(const struct core *core)
{
	const struct kept *kept = core->kept;

	log_error("init.recovered",
	    "fault %u of this init: signal %d, code %d, address 0x%llx%s%s; "
	    "%u processes are kept",
	    kept->crashes, kept->signo, kept->code,
	    (unsigned long long)kept->address,
	    kept->what[0] == '\0' ? "" : ", ", kept->what, old.alive);
	core->kept->what[0] = '\0';
}

void
resume_work(struct core *core)
{
	int32_t slots = (int32_t)core->slots_used;

	for (int32_t slot = 0; slot < slots; slot++)
		take_instance(core, slot);
	peers_resume(core);
	strays_take(core, old.nstrays);
	probers_take(core, old.probers_used);
	for (int32_t slot = 0; slot < slots; slot++)
		resume_instance(core, slot);
	if (core->phase != PHASE_RUN)
		drain_resume(core);
	for (int32_t slot = 0; core->phase == PHASE_RUN && slot < slots; slot++)
		resume_removed(core, slot);
	resume_timers(core);
	resume_signals(core);
	/* what is no ordinary worker, before those are counted */
	schedule_resume(core);
	schedule_apply(core);
	for (uint32_t run = 0; run < core->nruns; run++)
		run_reconcile(core, (int32_t)run);
	start_pump(core);
	/* ends that came meanwhile: their SIGCHLD may have been read */
	core->reap_again = true;
}
