/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"
#include "worker/spawn.h"

enum {
	OPERATOR_PING_MS = 10 * 1000,
	OPERATOR_HUNG_MS = 30 * 1000,
	/* until its first word: it resolves secrets by commands, perhaps */
	OPERATOR_SILENT_MS = 120 * 1000,
	/* between the end of its wire and its own: it has an exit code to give
	 */
	OPERATOR_LEAVE_MS = 5 * 1000,
	OPERATOR_FIRST_MS = 200,
	OPERATOR_CAP_MS = 15 * 1000,
	/* it goes before a worker does when memory is short */
	OPERATOR_OOM_ADJ = 500,
	/* of a program whose libraries aren't all there */
	EXIT_LOADER = 127,
};

static int
operator_spawn(struct core *core, int socket_fd, struct err *err)
{
	struct operate *operate = &core->operate;
	const struct worker_spec spec = {.envp = core->environment,
	    .cwd = core->cwd[0] == '\0' ? NULL : core->cwd};
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {STDOUT_FILENO, STDOUT_FILENO},
	    {STDERR_FILENO, STDERR_FILENO},
	    {socket_fd, WIRE_OPERATOR_FD},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = operate->argv,
	    .exec_fd = operate->exec_fd,
	    .plain = true,
	    .die_with_parent = core->die_with_parent,
	    .oom_score_adj = OPERATOR_OOM_ADJ,
	    .nofile_soft = core->nofile_soft,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds),
	};
	struct spawned spawned;

	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	fd_close(&spawned.pidfd);
	fd_close(&operate->report_fd);
	operate->report_fd = spawned.report_fd;
	operate->pid = core->kept->operator_pid = spawned.pid;
	return owner_set(core, spawned.pid, OWNER_OPERATOR, 0, err);
}

static int
operator_try(struct core *core, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        0, pair) == -1)
		return err_sys(err, "socketpair for the operator");
	int rc = operator_spawn(core, pair[1], err);
	fd_close(&pair[1]);
	if (rc == -1 ||
	    peer_open(core, &core->operate.peer, pair[0], err) == -1) {
		fd_close(&pair[0]);
		if (core->operate.pid != 0)
			(void)send_to_process(core->operate.pid, SIGKILL);
		return -1;
	}
	return 0;
}

static void
operator_later(struct core *core, int64_t ran_ms)
{
	struct operate *operate = &core->operate;
	int64_t delay_ms = backoff_next(&operate->backoff, CLASS_CRASH, ran_ms,
	    OPERATOR_FIRST_MS, OPERATOR_CAP_MS, core_noise());

#ifdef REEVE_TEST_FAULTS
	/* a test that kills it a thousand times */
	if (getenv("REEVE_TEST_OPERATOR_SOON") != NULL)
		delay_ms = 1;
#endif
	operate->state = OPERATOR_BACKOFF;
	core_wake(
	    core, &operate->timer, clock_after(core->loop.now_ms, delay_ms));
}

void
operator_start(struct core *core)
{
	struct operate *operate = &core->operate;
	struct err err = ERR_INIT;

	if (operate->exec_fd == -1 || operate->pid != 0)
		return;
	if (operator_try(core, &err) == -1) {
		log_error("operator.not-started", "%s", err.text);
		if (operate->pid == 0)
			operator_later(core, 0);
		return;
	}
	operate->state = OPERATOR_STARTING;
	operate->started_ms = operate->heard_ms = core->loop.now_ms;
	operate->text[0] = '\0';
	log_info("operator.started", "pid=%d", (int)operate->pid);
	core_wake(core, &operate->timer,
	    clock_after(core->loop.now_ms, OPERATOR_PING_MS));
}

void
operator_heard(struct core *core)
{
	core->operate.heard_ms = core->loop.now_ms;
	if (core->operate.state == OPERATOR_STARTING)
		core->operate.state = OPERATOR_RUNNING;
}

static void
operator_ping(struct core *core, int64_t now_ms)
{
	struct operate *operate = &core->operate;
	union wire_message message;
	int64_t limit_ms = operate->state == OPERATOR_STARTING
	                       ? OPERATOR_SILENT_MS
	                       : OPERATOR_HUNG_MS;

	if (now_ms - operate->heard_ms > limit_ms) {
		log_error("operator.hung", "pid=%d: no word for %lld ms",
		    (int)operate->pid, (long long)(now_ms - operate->heard_ms));
		operate->state = OPERATOR_HUNG;
		operator_lost(core);
		return;
	}
	wire_prepare(&message, WIRE_PING, 0);
	(void)peer_send(core, &operate->peer, &message, -1);
}

void
operator_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	if (core->operate.pid == 0) {
		if (core->phase == PHASE_RUN) {
			core->operate.restarts++;
			operator_start(core);
		}
		return;
	}
	if (core->operate.peer.source.fd == -1) {
		operator_lost(core);
		return;
	}
	operator_ping(core, now_ms);
	core_wake(core, timer, clock_after(now_ms, OPERATOR_PING_MS));
}

void
operator_lost(struct core *core)
{
	if (core->operate.pid == 0)
		return;
	(void)send_to_group(core->operate.pid, -1, SIGKILL);
	(void)send_to_process(core->operate.pid, SIGKILL);
}

void
operator_unwired(struct core *core)
{
	if (core->operate.pid != 0)
		core_wake(core, &core->operate.timer,
		    clock_after(core->loop.now_ms, OPERATOR_LEAVE_MS));
}

void
operator_stop(struct core *core)
{
	if (core->operate.pid == 0)
		return;
	if (send_to_group(core->operate.pid, -1, SIGTERM) == -1)
		(void)send_to_process(core->operate.pid, SIGTERM);
}

/* What its end says for good, or NULL: it can't be executed here, or it has
 * given a verdict on the manifest. *ret is the exit code that follows. */
static const char *
operator_verdict(const struct worker_exit *ended, int *ret)
{
	*ret = EXIT_BUG;
	if (ended->kind == EXIT_EXEC)
		return "reeve-tool can't be executed here";
	if (ended->kind != EXIT_CODE)
		return NULL;
	/* the dynamic loader's: it never came to main() */
	if (ended->value == EXIT_LOADER)
		return "a library of reeve-tool is missing here: run "
		       "'ldd reeve-tool', see docs/container.md";
	*ret = ended->value;
	switch (ended->value) {
	case EXIT_USAGE:
		return "wrong usage: the log says what";
	case EXIT_DATA:
		return "it can't be read: the log says what";
	case EXIT_MANIFEST:
		return "manifest refused: the log says why";
	default:
		return NULL;
	}
}

void
operator_sweep(struct core *core)
{
	struct operate *operate = &core->operate;

	if (operate->left_session != 0 &&
	    finish_sweep(core, SIGKILL, operate->left_session) == 0)
		operate->left_session = 0;
}

void
operator_exited(struct core *core, const struct worker_exit *ended)
{
	struct operate *operate = &core->operate;
	struct worker_exit result = *ended, report;
	char text[EXIT_TEXT_SIZE], reason[EXIT_TEXT_SIZE + 128];
	pid_t pid = operate->pid;
	int code = 0;

	if (spawn_report(operate->report_fd, &report) == -1)
		result = report;
	fd_close(&operate->report_fd);
	operate->pid = core->kept->operator_pid = 0;
	peer_close(core, &operate->peer);
	/* its probers go with it, wherever in its session they are */
	(void)send_to_group(pid, -1, SIGKILL);
	operate->left_session = pid;
	operator_sweep(core);
	(void)exit_text(&result, text, sizeof(text));
	if (core->phase != PHASE_RUN)
		return;
	if (operate->replaced) {
		operate->replaced = false;
		operator_start(core);
		return;
	}
	bool none = !plan_applied(core);
	log_warning("operator.exited", "pid=%d: %s; %s", (int)pid, text,
	    none ? "nothing runs yet" : "the workers go on");
	const char *verdict = operator_verdict(&result, &code);
	if (none && verdict != NULL) {
		(void)snprintf(
		    reason, sizeof(reason), "operator: %s: %s", text, verdict);
		drain_begin(core, reason, code);
		return;
	}
	(void)snprintf(
	    operate->text, sizeof(operate->text), "degraded: %.100s", text);
	operator_later(core, core->loop.now_ms - operate->started_ms);
}

void
operator_replace(struct core *core)
{
	struct operate *operate = &core->operate;

	if (operate->pid == 0 || core->phase != PHASE_RUN)
		return;
	operate->replaced = true;
	peer_close(core, &operate->peer);
	operator_unwired(core);
}

void
operator_resume(struct core *core, int64_t timer_ms)
{
	struct operate *operate = &core->operate;
	int fd = operate->peer.source.fd;
	struct err err = ERR_INIT;

	if (operate->exec_fd == -1)
		return;
	operate->peer =
	    (struct peer){.source = {.fd = -1}, .is_operator = true};
	if (operate->pid == 0)
		fd_close(&fd);
	if (fd != -1 && peer_open(core, &operate->peer, fd, &err) == -1) {
		log_error("operator.wire", "%s", err.text);
		fd_close(&fd);
	}
	/* the time that it wasn't heard is ours */
	operate->heard_ms = core->loop.now_ms;
	if (core->phase < PHASE_OPERATOR)
		core_wake(core, &operate->timer, timer_ms);
}
