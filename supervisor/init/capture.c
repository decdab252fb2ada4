/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/logger.h"
#include "worker/send.h"

enum {
	CAPTURE_SOCKET_FD = 3,
	CAPTURE_LISTEN_FD = 4,
	CAPTURE_FIRST_MS = 50,
	CAPTURE_CAP_MS = 5000,
};

static const enum logger_stream streams[2] = {LOGGER_STDOUT, LOGGER_STDERR};

/* --- handing pipes over --- */

static bool
attach_stream(struct core *core, int32_t slot, unsigned stream)
{
	const struct instance *instance = &core->instances[slot];
	struct wires *wires = &core->wires[slot];
	struct logger_message message;

	memset(&message, 0, sizeof(message));
	message.magic = LOGGER_MAGIC;
	message.kind = LOGGER_ATTACH;
	message.replica = instance->replica;
	message.stream = streams[stream];
	message.generation = instance->generation;
	message.pid = wires->log_pid;
	(void)snprintf(message.worker, sizeof(message.worker), "%s",
	    plan_worker_name(&core->plans[instance->plan], instance->worker));
	return fd_send(core->logger.socket.fd, &message, sizeof(message),
	           &wires->out[stream], 1, NULL) == 0;
}

/* False: the logger can take no more now. */
static bool
attach_slot(struct core *core, int32_t slot)
{
	struct wires *wires = &core->wires[slot];

	if (core->instances[slot].state == INSTANCE_NONE)
		return true;
	for (unsigned stream = 0; stream < ARRAY_LEN(streams); stream++) {
		if (wires->out[stream] == -1 || wires->attached[stream])
			continue;
		if (!attach_stream(core, slot, stream))
			return false;
		wires->attached[stream] = true;
	}
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
	struct wires *wires = &core->wires[slot];
	int pipes[2][2] = {{-1, -1}, {-1, -1}};

	capture_release(core, slot);
	if (!core->logger.wanted)
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
	for (unsigned i = 0; i < ARRAY_LEN(streams); i++) {
		wires->out[i] = pipes[i][0];
		ret_write[i] = pipes[i][1];
	}
	return 0;
}

void
capture_attach(struct core *core, int32_t slot, pid_t pid)
{
	struct wires *wires = &core->wires[slot];

	wires->log_pid = (int)pid;
	wires->attached[0] = wires->attached[1] = false;
	if (core->logger.socket.fd == -1 || wires->out[0] == -1)
		return;
	if (core->logger.attach_at != CORE_NO_SLOT || !attach_slot(core, slot))
		attach_want(core, slot);
}

void
capture_release(struct core *core, int32_t slot)
{
	struct wires *wires = &core->wires[slot];

	fd_close(&wires->out[0]);
	fd_close(&wires->out[1]);
	wires->attached[0] = wires->attached[1] = false;
}

/* --- what it says --- */

static void
stream_ended(struct core *core, const struct logger_message *message)
{
	unsigned stream = message->stream == LOGGER_STDOUT ? 0 : 1;
	int32_t run =
	    plan_worker_find(&core->plans[core->current], message->worker);

	if (run == -1)
		return; /* released with its instance */
	for (int32_t slot = core->runs[run].first; slot != CORE_NO_SLOT;
	     slot = core->instances[slot].next_in_run) {
		struct wires *wires = &core->wires[slot];
		if (core->instances[slot].replica == message->replica &&
		    wires->log_pid == message->pid)
			fd_close(&wires->out[stream]);
	}
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
		message.worker[sizeof(message.worker) - 1] = '\0';
		if (message.magic == LOGGER_MAGIC &&
		    message.kind == LOGGER_ENDED)
			stream_ended(core, &message);
	}
	if ((events & EPOLLOUT) != 0)
		attach_more(core);
}

/* --- its process --- */

static const char *
format_word(uint32_t format)
{
	if (format == LOGS_PREFIX)
		return "prefix";
	return format == LOGS_JSON ? "json" : "plain";
}

static int
logger_spawn(struct core *core, int socket_fd, struct err *err)
{
	struct logger *logger = &core->logger;
	char keep[16], instances[16];
	const char *argv[16] = {"reeve", "--logger", "--socket", "3",
	    "--format", format_word(logger->format), "--keep-lines", keep,
	    "--instances", instances};
	const struct worker_spec spec = {.envp = core->environment};
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {STDOUT_FILENO, STDOUT_FILENO},
	    {STDERR_FILENO, STDERR_FILENO},
	    {socket_fd, CAPTURE_SOCKET_FD},
	    {logger->listen_fd, CAPTURE_LISTEN_FD},
	};
	bool listens = logger->listen_fd != -1;
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = core->self_fd,
	    .plain = true,
	    .die_with_parent = false, /* it ends when its socket closes */
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds) - (listens ? 0 : 1),
	};
	struct spawned spawned;

	(void)snprintf(keep, sizeof(keep), "%u", logger->keep);
	(void)snprintf(instances, sizeof(instances), "%u", core->max_workers);
	if (listens) {
		argv[10] = "--listen";
		argv[11] = "4";
	}
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

	logger->format = core->settings.logs;
	logger->keep = core->settings.logs_keep;
	logger->protocol = LOGGER_MAGIC;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        0, pair) == -1)
		return err_sys(err, "socketpair for the logger");
	int rc = logger_spawn(core, pair[1], err);
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
	log_debug("logger.started", "pid=%d", (int)logger->pid);
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		core->wires[slot].attached[0] = core->wires[slot].attached[1] =
		    false;
	if (core->slots_used > 0)
		attach_want(core, 0);
}

void
capture_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	if (core->logger.wanted && core->phase < PHASE_LOGGER)
		logger_start(core);
}

void
capture_close(struct core *core)
{
	struct logger *logger = &core->logger;

	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		if (core->instances[slot].state != INSTANCE_NONE)
			capture_release(core, (int32_t)slot);
	logger->closing = true;
	loop_remove(&core->loop, &logger->socket);
	fd_close(&logger->socket.fd);
}

void
capture_exited(struct core *core, const struct worker_exit *ended)
{
	struct logger *logger = &core->logger;
	char text[EXIT_TEXT_SIZE];

	logger->pid = 0;
	loop_remove(&core->loop, &logger->socket);
	fd_close(&logger->socket.fd);
	if (core->phase >= PHASE_LOGGER)
		return;
	if (logger->closing) { /* for other settings */
		if (logger->wanted)
			logger_start(core);
		return;
	}
	log_warning("logger.exited", "%s; the pipes stay",
	    exit_text(ended, text, sizeof(text)));
	logger_later(core, core->loop.now_ms - logger->started_ms);
}

void
capture_apply(struct core *core)
{
	struct logger *logger = &core->logger;

	logger->wanted = core->settings.logs != LOGS_NONE;
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
	bool as_before = logger->format == core->settings.logs &&
	                 logger->protocol == LOGGER_MAGIC;

	as_before = as_before && logger->keep == core->settings.logs_keep;
	if (logger->wanted && as_before)
		return;
	/* it writes out what it has and ends; the next one gets all pipes. When
	 * none is wanted any more, it stays for those that it reads. */
	if (logger->wanted && !logger->closing) {
		logger->closing = true;
		loop_remove(&core->loop, &logger->socket);
		fd_close(&logger->socket.fd);
	}
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
