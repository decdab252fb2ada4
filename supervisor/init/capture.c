/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/table.h"
#include "supervisor/wire/format.h"
#include "worker/send.h"
#include "worker/spawn.h"

enum {
	CAPTURE_SOCKET_FD = 3,
	CAPTURE_COUNTS_FD = 4,
	CAPTURE_LISTEN_FD = 5,
	CAPTURE_BEAT_FD = 6,
	CAPTURE_FIRST_MS = 50,
	CAPTURE_CAP_MS = 2000,
	CAPTURE_STOPPED_MS = 2000, /* a logger that somebody stopped */
};

static const enum logger_stream streams[2] = {LOGGER_STDOUT, LOGGER_STDERR};

/* --- what the plan says --- */

/* As the current plan has it, though the instance may belong to another: what
 * becomes of output may change while a worker runs. */
static struct worker_logs
logs_of(const struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	struct worker_spec spec;

	if (instance->run != CORE_NO_RUN && plan_applied(core))
		plan_worker(&core->plans[core->current],
		    (uint32_t)instance->run, &spec);
	else
		instance_spec(core, slot, &spec);
	return spec.logs;
}

static uint64_t
sum_of(const struct worker_logs *logs)
{
	return plan_checksum(PLAN_CHECKSUM_START, logs, sizeof(*logs));
}

/* --- handing pipes over --- */

static void
describe(const struct core *core, int32_t slot, unsigned stream,
    const struct worker_logs *logs, struct logger_message *ret)
{
	const struct instance *instance = &core->instances[slot];

	memset(ret, 0, sizeof(*ret));
	ret->magic = LOGGER_MAGIC;
	ret->replica = instance->replica;
	ret->stream = streams[stream];
	ret->slot = (uint32_t)slot;
	ret->incarnation = core->tallies->slots[slot].incarnation;
	ret->generation = instance->generation;
	ret->pid = links_of(core, slot)->log_pid;
	ret->logs = *logs;
	(void)snprintf(ret->worker, sizeof(ret->worker), "%s",
	    plan_worker_name(&core->plans[instance->plan], instance->worker));
}

static bool
tell_stream(struct core *core, int32_t slot, unsigned stream,
    enum logger_message_kind kind, const struct worker_logs *logs)
{
	const struct links *links = links_of(core, slot);
	struct logger_message message;

	describe(core, slot, stream, logs, &message);
	message.kind = kind;
	return fd_send(core->logger.socket.fd, &message, sizeof(message),
	           &links->out[stream], kind == LOGGER_ATTACH ? 1 : 0,
	           NULL) == 0;
}

/* False: the logger can take no more now. */
static bool
attach_slot(struct core *core, int32_t slot)
{
	struct links *links = &core->links[slot];

	if (core->instances[slot].state == INSTANCE_NONE ||
	    !instance_has(core, slot, ROW_LINKS) ||
	    (links->out[0] == -1 && links->out[1] == -1))
		return true;
	struct worker_logs logs = logs_of(core, slot);
	uint64_t sum = sum_of(&logs);

	if (logs.format == LOGS_NONE) { /* from its next start on */
		if (links->attached[0] || links->attached[1])
			return true;
		logs.format = LOGS_PLAIN;
	}
	for (unsigned stream = 0; stream < ARRAY_LEN(streams); stream++) {
		bool known = links->attached[stream];
		if (links->out[stream] == -1 ||
		    (known && links->logs_sum == sum))
			continue;
		if (!tell_stream(core, slot, stream,
		        known ? LOGGER_CHANGE : LOGGER_ATTACH, &logs))
			return false;
		links->attached[stream] = true;
	}
	links->logs_sum = sum;
	return true;
}

static void
attach_want(struct core *core, int32_t from)
{
	struct logger *logger = &core->logger;

	if (logger->socket.fd == -1)
		return;
	bool waiting = logger->attach_at != CORE_NO_SLOT;
	logger->attach_at = waiting ? MIN(logger->attach_at, from) : from;
	if (!waiting)
		(void)!loop_change(
		    &core->loop, &logger->socket, EPOLLIN | EPOLLOUT, NULL);
}

static void
attach_more(struct core *core)
{
	struct logger *logger = &core->logger;

	if (!strays_attach(core))
		return;
	while (logger->attach_at != CORE_NO_SLOT &&
	       (uint32_t)logger->attach_at < core->slots_used) {
		if (!attach_slot(core, logger->attach_at))
			return;
		logger->attach_at++;
	}
	logger->attach_at = CORE_NO_SLOT;
	(void)!loop_change(&core->loop, &logger->socket, EPOLLIN, NULL);
}

int
capture_open(struct core *core, int32_t slot, int ret_write[2], struct err *err)
{
	int pipes[2][2] = {{-1, -1}, {-1, -1}};

	capture_release(core, slot);
	if (!core->logger.wanted || logs_of(core, slot).format == LOGS_NONE)
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(streams); i++)
		if (pipe2(pipes[i], O_CLOEXEC) == -1 ||
		    fd_nonblock(pipes[i][0], true, NULL) == -1) {
			(void)err_sys(err, "pipe for the worker's output");
			for (unsigned j = 0; j <= i; j++) {
				fd_close(&pipes[j][0]);
				fd_close(&pipes[j][1]);
			}
			return -1;
		}
	struct links *links = links_make(core, slot);
	for (unsigned i = 0; i < ARRAY_LEN(streams); i++) {
		links->out[i] = pipes[i][0];
		ret_write[i] = pipes[i][1];
	}
	return 0;
}

void
capture_attach(struct core *core, int32_t slot, pid_t pid)
{
	struct links *links = &core->links[slot];

	if (!instance_has(core, slot, ROW_LINKS) || links->out[0] == -1)
		return;
	links->log_pid = (int)pid;
	links->attached[0] = links->attached[1] = false;
	if (core->logger.socket.fd == -1)
		return;
	if (core->logger.attach_at != CORE_NO_SLOT || !attach_slot(core, slot))
		attach_want(core, slot);
}

void
capture_release(struct core *core, int32_t slot)
{
	struct links *links = &core->links[slot];

	if (!instance_has(core, slot, ROW_LINKS))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(streams); i++) {
		struct worker_logs logs;
		struct logger_message who;
		if (links->out[i] == -1)
			continue;
		logs = logs_of(core, slot);
		if (logs.format == LOGS_NONE)
			logs.format = LOGS_PLAIN;
		describe(core, slot, i, &logs, &who);
		stray_add(core, &links->out[i], &who, links->attached[i]);
		links->attached[i] = false;
	}
}

void
capture_forget(struct core *core, int32_t slot)
{
	capture_release(core, slot);
	if (!core->logger.counted) /* untouched, and so without memory */
		return;
	struct tally *tally = &core->tallies->slots[slot];
	*tally = (struct tally){.incarnation = tally->incarnation + 1};
}

/* --- what it says --- */

static void
stream_ended(struct core *core, const struct logger_message *message)
{
	unsigned stream = message->stream == LOGGER_STDOUT ? 0 : 1;
	int32_t slot = (int32_t)message->slot;

	/* its slot may be another instance's by now, its pipe a newer one */
	stray_ended(core, message);
	if (message->slot >= core->slots_used ||
	    !instance_has(core, slot, ROW_LINKS) ||
	    core->tallies->slots[slot].incarnation != message->incarnation ||
	    core->links[slot].log_pid != message->pid)
		return;
	fd_close(&core->links[slot].out[stream]);
}

static void
logger_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	struct logger_message message;

	for (int i = 0; i < CORE_MESSAGE_BUDGET; i++) {
		ssize_t got = fd_receive(
		    source->fd, &message, sizeof(message), NULL, 0, NULL);
		if (got == 0) {
			/* its end comes as SIGCHLD */
			loop_remove(&core->loop, source);
			fd_close(&source->fd);
			return;
		}
		if (got != (ssize_t)sizeof(message))
			break;
		if (message.magic == LOGGER_MAGIC &&
		    message.kind == LOGGER_ENDED)
			stream_ended(core, &message);
	}
	if ((events & EPOLLOUT) != 0)
		attach_more(core);
}

/* --- its process --- */

static int
logger_spawn(struct core *core, int socket_fd, struct err *err)
{
	struct logger *logger = &core->logger;
	char instances[16];
	const char *argv[16] = {"reeve", "--logger", "--socket", "3",
	    "--counts", "4", "--json", logger->json ? "1" : "0", "--instances",
	    instances};
	const struct worker_spec spec = {.envp = core->environment};
	struct spawn_fd fds[SPAWN_FDS_MAX] = {
	    {core->null_fd, STDIN_FILENO},
	    {STDOUT_FILENO, STDOUT_FILENO},
	    {STDERR_FILENO, STDERR_FILENO},
	    {socket_fd, CAPTURE_SOCKET_FD},
	    {core->tally_fd, CAPTURE_COUNTS_FD},
	};
	size_t at = 10, nfds = 5;
	struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = core->self_fd,
	    .plain = true,
	    .die_with_parent = false, /* it ends when its socket closes */
	    .oom_score_adj = SPAWN_OOM_KEEP,
	};
	struct spawned spawned;

	(void)snprintf(instances, sizeof(instances), "%u", core->max_workers);
	if (logger->listen_fd != -1) {
		argv[at++] = "--listen";
		argv[at++] = "5";
		fds[nfds++] =
		    (struct spawn_fd){logger->listen_fd, CAPTURE_LISTEN_FD};
	}
	if (logger->beat.fd != -1) {
		argv[at++] = "--beat";
		argv[at++] = "6";
		fds[nfds++] =
		    (struct spawn_fd){logger->beat.fd, CAPTURE_BEAT_FD};
	}
	request.fds = fds;
	request.nfds = nfds;
	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	fd_close(&spawned.pidfd);
	fd_close(&spawned.report_fd);
	logger->pid = spawned.pid;
	return owner_set(core, spawned.pid, OWNER_LOGGER, 0, err);
}

static int
logger_try(struct core *core, struct err *err)
{
	struct logger *logger = &core->logger;
	int pair[2];

	logger->json = core->settings.logs == LOGS_JSON;
	logger->protocol = LOGGER_MAGIC;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        0, pair) == -1)
		return err_sys(err, "socketpair for the logger");
	int rc = hang_open(core, err);
	if (rc == 0)
		rc = logger_spawn(core, pair[1], err);
	fd_close(&pair[1]);
	logger->socket = (struct loop_source){
	    .fd = pair[0], .ready = logger_ready, .owner = core};
	if (rc == -1 ||
	    loop_add(&core->loop, &logger->socket, EPOLLIN, err) == -1) {
		fd_close(&logger->socket.fd);
		return -1;
	}
	return 0;
}

static void
logger_later(struct core *core, int64_t ran_ms)
{
	struct logger *logger = &core->logger;
	int64_t delay_ms = backoff_next(&logger->backoff, CLASS_CRASH, ran_ms,
	    CAPTURE_FIRST_MS, CAPTURE_CAP_MS, core_noise());

	core_wake(
	    core, &logger->timer, clock_after(core->loop.now_ms, delay_ms));
}

static void
logger_start(struct core *core)
{
	struct logger *logger = &core->logger;
	struct err err = ERR_INIT;

	if (logger->pid != 0)
		return;
	logger->closing = false;
	logger->started_ms = core->loop.now_ms;
	logger->attach_at = CORE_NO_SLOT;
	if (logger_try(core, &err) == -1) {
		log_error("logger.not-started", "%s", err.text);
		if (logger->pid == 0)
			logger_later(core, 0);
		return;
	}
	logger->counted = true;
	log_debug("logger.started", "pid=%d", (int)logger->pid);
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		if (instance_has(core, (int32_t)slot, ROW_LINKS))
			core->links[slot].attached[0] =
			    core->links[slot].attached[1] = false;
	strays_detached(core);
	if (core->slots_used > 0)
		attach_want(core, 0);
}

/* It has ended, or is given up. */
static void
logger_gone(struct core *core)
{
	struct logger *logger = &core->logger;

	logger->pid = 0;
	hang_close(core);
	loop_timer_clear(&core->loop, &logger->timer);
	loop_remove(&core->loop, &logger->socket);
	fd_close(&logger->socket.fd);
	if (core->phase >= PHASE_LOGGER)
		return;
	if (!logger->closing)
		logger_later(core, core->loop.now_ms - logger->started_ms);
	else if (logger->wanted) /* with other settings */
		logger_start(core);
}

void
capture_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;
	struct logger *logger = &core->logger;

	(void)now_ms;
	if (logger->pid != 0 && logger->killed) {
		log_error("logger.unkillable",
		    "pid=%d hangs in a write, and no KILL ends it: another one "
		    "takes its place",
		    (int)logger->pid);
		owner_clear(core, logger->pid); /* an orphan, some day */
		logger_gone(core);
	} else if (logger->pid != 0) { /* it was stopped, and still is */
		log_warning("logger.stopped",
		    "pid=%d doesn't go on: killed; the pipes stay",
		    (int)logger->pid);
		(void)send_to_process(logger->pid, SIGKILL);
	} else if (logger->wanted && core->phase < PHASE_LOGGER) {
		logger_start(core);
	}
}

void
capture_look(struct core *core)
{
	struct logger *logger = &core->logger;
	siginfo_t info = {.si_pid = 0};

	if (logger->pid == 0 || logger->killed ||
	    waitid(P_PID, (id_t)logger->pid, &info,
	        WSTOPPED | WCONTINUED | WNOHANG) == -1 ||
	    info.si_pid == 0)
		return;
	if (info.si_code == CLD_CONTINUED)
		loop_timer_clear(&core->loop, &logger->timer);
	else
		core_wake(core, &logger->timer,
		    clock_after(core->loop.now_ms, CAPTURE_STOPPED_MS));
}

void
capture_close(struct core *core)
{
	struct logger *logger = &core->logger;

	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		if (core->instances[slot].state != INSTANCE_NONE)
			capture_release(core, (int32_t)slot);
	strays_close(core);
	logger->closing = true;
	loop_remove(&core->loop, &logger->socket);
	fd_close(&logger->socket.fd);
}

void
capture_exited(struct core *core, const struct worker_exit *ended)
{
	char text[EXIT_TEXT_SIZE];

	if (core->phase < PHASE_LOGGER && !core->logger.closing)
		log_warning("logger.exited", "%s; the pipes stay",
		    exit_text(ended, text, sizeof(text)));
	logger_gone(core);
}

static bool
is_wanted(const struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		if (spec.logs.format != LOGS_NONE)
			return true;
	}
	return false;
}

void
capture_apply(struct core *core)
{
	struct logger *logger = &core->logger;

	logger->wanted = is_wanted(core);
	if (logger->wanted && core->self_fd == -1) {
		log_warning("logger.none",
		    "our own program can't be executed again: output goes "
		    "through unread");
		logger->wanted = false;
	}
	if (logger->pid == 0) {
		if (logger->wanted)
			logger_start(core);
		return;
	}
	/* who runs already may have other settings now. When nobody is captured
	 * any more, it stays for those that it reads. */
	if (!logger->closing && core->slots_used > 0)
		attach_want(core, 0);
	if (!logger->wanted || logger->closing ||
	    (logger->json == (core->settings.logs == LOGS_JSON) &&
	        logger->protocol == LOGGER_MAGIC))
		return;
	/* its own lines change: it writes out what it has and ends; the next
	 * one gets all pipes */
	logger->closing = true;
	loop_remove(&core->loop, &logger->socket);
	fd_close(&logger->socket.fd);
}

int
capture_map(struct core *core, struct err *err)
{
	off_t bytes = (off_t)tally_bytes(core->max_workers);
	struct stat st;

	/* another build's may be of another size: then we count anew */
	if (core->tally_fd != -1 &&
	    (fstat(core->tally_fd, &st) == -1 || st.st_size != bytes))
		fd_close(&core->tally_fd);
	if (core->tally_fd == -1) {
		core->tally_fd = memfd_create("reeve-counts", MFD_CLOEXEC);
		if (core->tally_fd == -1)
			return err_sys(err, "memfd for the counts of output");
		if (ftruncate(core->tally_fd, bytes) == -1)
			return err_sys(err, "size of the counts of output");
	}
	core->tallies = tally_map(core->tally_fd, core->max_workers, err);
	return core->tallies == NULL ? -1 : 0;
}

void
capture_resume(struct core *core)
{
	struct logger *logger = &core->logger;
	struct err err = ERR_INIT;

	logger->socket.ready = logger_ready;
	logger->socket.owner = core;
	logger->attach_at = CORE_NO_SLOT;
	if (logger->pid == 0)
		fd_close(&logger->socket.fd);
	if (logger->socket.fd != -1 &&
	    loop_add(&core->loop, &logger->socket, EPOLLIN, &err) == -1) {
		log_error("logger.wire", "%s", err.text);
		fd_close(&logger->socket.fd);
	}
	if (core->slots_used > 0)
		attach_want(core, 0);
	if (logger->pid == 0 && logger->wanted && core->phase < PHASE_LOGGER)
		core_wake(core, &logger->timer, core->loop.now_ms);
}
