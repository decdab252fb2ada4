/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/state.h"
#include "supervisor/init/table.h"
#include "supervisor/init/tool.h"
#include "worker/send.h"
#include "worker/spawn.h"

/*
 * Another build takes over, in this process. It is asked first what states it
 * can take: by a child, with a deadline, so that nothing that isn't a reeve of
 * the right age gets as far as the exec. The exec itself comes when the turn is
 * over, and takes the way of recover.c.
 */
enum {
	UPGRADE_SAY_MS = 10 * 1000,
};

static void refuse(struct core *core, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* It doesn't come to that; whoever asked hears why, and everything is as it
 * was. */
static void
refuse(struct core *core, const char *fmt, ...)
{
	struct upgrade *upgrade = &core->upgrade;
	struct err text = ERR_INIT;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	log_warning("upgrade.refused", "%s", text.text);
	if (upgrade->client != -1)
		order_answer(core, &core->clients[upgrade->client],
		    upgrade->sequence, EXIT_DATA, text.text);
	loop_timer_clear(&core->loop, &upgrade->timer);
	fd_close(&upgrade->exec_fd);
	fd_close(&upgrade->report_fd);
	fd_close(&upgrade->said_fd);
	upgrade->client = -1;
	upgrade->ready = upgrade->late = false;
}

/* --- which program --- */

static int
take_program(struct core *core, int fd, struct err *err)
{
	struct upgrade *upgrade = &core->upgrade;
	struct stat what;

	upgrade->exec_fd = fd == -1
	                       ? tool_open_installed(err)
	                       : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (upgrade->exec_fd == -1)
		return fd == -1 ? -1 : err_sys(err, "the program");
	if (fstat(upgrade->exec_fd, &what) == -1)
		return err_sys(err, "the program");
	if (!S_ISREG(what.st_mode) || (what.st_mode & 0111) == 0)
		return err_set(
		    err, ERR_INPUT, "that is no program that can be executed");
	return 0;
}

/* --- what it says of itself --- */

static int
ask_program(struct core *core, struct err *err)
{
	static const char *const argv[] = {"reeve", "--state", NULL};
	struct upgrade *upgrade = &core->upgrade;
	const struct worker_spec spec = {.envp = core->environment};
	struct spawned spawned;
	int said[2];

	if (pipe2(said, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_sys(err, "pipe");
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {said[1], STDOUT_FILENO},
	    {core->null_fd, STDERR_FILENO},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = upgrade->exec_fd,
	    .plain = true,
	    .die_with_parent = core->die_with_parent,
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds),
	};
	int rc = spawn_start(&request, &spawned, err);
	fd_close(&said[1]);
	if (rc == -1) {
		fd_close(&said[0]);
		return -1;
	}
	fd_close(&spawned.pidfd);
	upgrade->said_fd = said[0];
	upgrade->report_fd = spawned.report_fd;
	upgrade->pid = spawned.pid;
	core_wake(core, &upgrade->timer,
	    clock_after(core->loop.now_ms, UPGRADE_SAY_MS));
	return owner_set(core, spawned.pid, OWNER_UPGRADE, 0, err);
}

/* Why not, before anything is begun; NULL: nothing is in the way. */
static const char *
in_the_way(const struct core *core, const struct peer *peer)
{
	if (!peer->full_control)
		return "only root and the same user may upgrade";
	if (core->phase != PHASE_RUN)
		return "the container is ending";
	if (core->upgrade.exec_fd != -1)
		return "an upgrade is under way";
	if (core->self_fd == -1)
		return "without /proc at the start there is no way back: "
		       "restart the container instead";
	if (!recover_possible())
		return "the command line of this init is too long to be "
		       "handed on";
	return NULL;
}

void
upgrade_begin(struct core *core, struct peer *peer, uint32_t sequence, int fd)
{
	struct upgrade *upgrade = &core->upgrade;
	const char *why = in_the_way(core, peer);
	struct err err = ERR_INIT;

	if (why != NULL || peer->is_operator) {
		order_answer(core, peer, sequence, EXIT_AGAIN,
		    why != NULL ? why : "not for the operator");
		return;
	}
	upgrade->client = (int32_t)(peer - core->clients);
	upgrade->sequence = sequence;
	if (take_program(core, fd, &err) == -1 || ask_program(core, &err) == -1)
		refuse(core, "%s", err.text);
}

void
upgrade_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	core->upgrade.late = true;
	if (core->upgrade.pid != 0 &&
	    send_to_group(core->upgrade.pid, -1, SIGKILL) == -1)
		(void)send_to_process(core->upgrade.pid, SIGKILL);
}

void
upgrade_exited(struct core *core, const struct worker_exit *ended)
{
	struct upgrade *upgrade = &core->upgrade;
	char said[STATE_SAID_MAX], text[EXIT_TEXT_SIZE];
	struct worker_exit result = *ended, report;
	struct err err = ERR_INIT;

	if (spawn_report(upgrade->report_fd, &report) == -1)
		result = report;
	ssize_t len = read(upgrade->said_fd, said, sizeof(said) - 1);
	said[MAX(len, (ssize_t)0)] = '\0';
	fd_close(&upgrade->report_fd);
	fd_close(&upgrade->said_fd);
	loop_timer_clear(&core->loop, &upgrade->timer);
	upgrade->pid = 0;
	if (upgrade->late)
		refuse(core, "the program didn't say what it is within %d s",
		    UPGRADE_SAY_MS / 1000);
	else if (result.kind != EXIT_CODE || result.value != EXIT_PASSED)
		refuse(core,
		    "the program asked with --state: %s: not a reeve, "
		    "or one from before upgrades",
		    exit_text(&result, text, sizeof(text)));
	else if (state_read_said(said, upgrade->version,
	             sizeof(upgrade->version), &err) == -1)
		refuse(core, "%s", err.text);
	else
		upgrade->ready = true;
}

/* --- becoming it --- */

void
upgrade_step(struct core *core)
{
	struct upgrade *upgrade = &core->upgrade;
	char text[EXIT_TEXT_SIZE];

	if (!upgrade->ready)
		return;
	if (core->phase != PHASE_RUN) {
		refuse(core, "the container is ending");
		return;
	}
	log_info("upgrade.begins", "from=%s to=%s: %u processes are kept",
	    REEVE_VERSION, upgrade->version, core->alive);
	recover_take_over(core, upgrade->exec_fd);
	const struct worker_exit failed = {
	    .kind = EXIT_EXEC, .stage = STAGE_EXEC, .value = errno};
	refuse(core, "reeve %s: %s", upgrade->version,
	    exit_text(&failed, text, sizeof(text)));
}

void
upgrade_forget(struct core *core, const struct peer *peer)
{
	if (core->upgrade.client != -1 &&
	    peer == &core->clients[core->upgrade.client])
		core->upgrade.client = -1;
}
