/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/guard.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"
#include "worker/spawn.h"

/* The guard's process as the init has it: started before the first worker,
 * restarted, ended last. */

enum {
	GUARD_FIRST_MS = 50,
	GUARD_CAP_MS = 5000,
	GUARD_ASK_MS = 20, /* whether the one before has gone */
};

static int
guard_spawn(struct core *core, int socket_fd, struct err *err)
{
	char pid[16];
	const char *const argv[] = {"reeve", "--guard", pid, NULL};
	static const char *const envp[] = {NULL};
	const struct worker_spec spec = {.envp = envp};
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {core->null_fd, STDOUT_FILENO},
	    {STDERR_FILENO, STDERR_FILENO},
	    {core->state_fd, GUARD_STATE_FD},
	    {socket_fd, GUARD_SOCKET_FD},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = core->self_fd,
	    .plain = true,
	    .die_with_parent = false,
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds) - (socket_fd == -1 ? 1 : 0),
	};
	struct spawned spawned = {.pidfd = -1, .report_fd = -1};

	(void)snprintf(pid, sizeof(pid), "%d", (int)core->pid);
	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	fd_close(&spawned.pidfd);
	fd_close(&spawned.report_fd);
	core->guard.pid = spawned.pid;
	return owner_set(core, spawned.pid, OWNER_GUARD, 0, err);
}

/* True: that of a killed init of this name is still ending what it left. */
static bool
must_wait(struct core *core, int *ret_fd)
{
	struct err err = ERR_INIT;

	*ret_fd = peers_listen_guard(core, &err);
	return *ret_fd == -1 && err.sys == EADDRINUSE;
}

void
guard_start(struct core *core)
{
	struct guard *guard = &core->guard;
	struct err err = ERR_INIT;
	int fd = -1;

	if (core->pid1 || core->self_fd == -1 || guard->pid != 0)
		return;
	if (must_wait(core, &fd)) {
		if (!guard->waits)
			log_info("guard.waits",
			    "the workers of a supervisor that was killed are "
			    "being ended: none is started before");
		guard->waits = true;
		core_wake(core, &guard->timer,
		    clock_after(core->loop.now_ms, GUARD_ASK_MS));
		return;
	}
	guard->waits = false;
	guard->started_ms = core->loop.now_ms;
	if (guard_spawn(core, fd, &err) == -1) {
		log_error("guard.not-started", "%s", err.text);
		if (guard->pid == 0)
			core_wake(core, &guard->timer,
			    clock_after(core->loop.now_ms, GUARD_CAP_MS));
	}
	fd_close(&fd);
}

void
guard_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	if (core->phase == PHASE_DONE)
		return;
	guard_start(core);
	start_pump(core);
}

void
guard_exited(struct core *core)
{
	struct guard *guard = &core->guard;
	int64_t ran_ms = core->loop.now_ms - guard->started_ms;

	guard->pid = 0;
	core_wake(core, &guard->timer,
	    clock_after(core->loop.now_ms,
	        backoff_next(&guard->backoff, CLASS_CRASH, ran_ms,
	            GUARD_FIRST_MS, GUARD_CAP_MS, core_noise())));
}

void
guard_resume(struct core *core)
{
	if (core->guard.pid == 0 && plan_applied(core))
		core_wake(core, &core->guard.timer, core->loop.now_ms);
}

void
guard_end(struct core *core)
{
	if (core->guard.pid != 0)
		(void)send_to_process(core->guard.pid, SIGKILL);
}
