/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

enum {
	FINISH_OPERATOR_MS = 2000,
	FINISH_SWEEP_MS = 2000,
	FINISH_KILL_MS = 1000,
	FINISH_LOGGER_MS = LOGGER_LAST_MS + 500,
	FINISH_POLL_MS = 20,
	FINISH_NAMES_MAX = 16, /* of those who are left, in the log */
};

/* --- exit codes --- */

void
finish_note_exit(struct core *core, const struct worker_exit *ended, bool final)
{
	int code = exit_shell_code(ended);

	if (!final || code == 0)
		return;
	if (core->first_code == 0)
		core->first_code = code;
	core->worst_code = MAX(core->worst_code, code);
}

int
finish_code(struct core *core)
{
	if (core->exit_code >= 0)
		return core->exit_code;
	switch ((enum plan_exit_code)core->settings.exit_code) {
	case EXIT_CODE_WORST:
		return core->worst_code;
	case EXIT_CODE_FIRST:
		return core->first_code;
	case EXIT_CODE_FIXED:
		return core->worst_code == 0 ? EXIT_PASSED : EXIT_BUG;
	}
	return EXIT_BUG;
}

void
finish_if_complete(struct core *core)
{
	struct worker_spec spec;
	uint32_t finished = 0, wanted = 0;

	if (core->phase != PHASE_RUN || core->alive > 0 ||
	    start_waiting(core) || core->nruns == 0 || !plan_applied(core))
		return;
	for (uint32_t i = 0; i < core->nruns; i++) {
		plan_worker(&core->plans[core->current], i, &spec);
		if (spec.restart == RESTART_ALWAYS || core->runs[i].held ||
		    schedule_is(core, (int32_t)i))
			return;
		wanted += core->runs[i].desired;
	}
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		finished += core->instances[slot].state == INSTANCE_FINISHED;
	if (wanted > 0 && finished == wanted)
		drain_begin(core, "every worker has finished", -1);
}

/* Kubernetes shows this as the container's last message. */
void
finish_termination_log(const char *reason, int code, uint64_t unwritten)
{
	char line[ERR_TEXT_MAX + 160];
	struct stat st;
	int fd = open("/dev/termination-log",
	    O_WRONLY | O_TRUNC | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return;
	int len = snprintf(
	    line, sizeof(line), "reeve: %s; exit code %d\n", reason, code);
	if (unwritten > 0)
		len = snprintf(line, sizeof(line),
		    "reeve: %s; exit code %d; %llu bytes of output not written: "
		    "the file that they go to hangs\n",
		    reason, code, (unsigned long long)unwritten);
	if (len > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		(void)!write(fd, line, MIN((size_t)len, sizeof(line) - 1));
	fd_close(&fd);
}

/* --- whoever is left --- */

struct sweep {
	struct core *core;
	int signo;
	pid_t session; /* 0: of any */
	unsigned count;
};

/* Whoever left its worker behind is named: nothing else tells whose it is. */
static void
name_left(pid_t pid)
{
	char path[64], name[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	ssize_t len = read(fd, name, sizeof(name));
	fd_close(&fd);
	if (len > 1)
		log_warning("drain.left", "pid=%d name='%.*s': TERM", (int)pid,
		    (int)len - 1, name);
}

static void
sweep_child(struct sweep *sweep, pid_t pid)
{
	if (pid <= 1 || pid == sweep->core->logger.pid ||
	    pid == sweep->core->guard.pid || pid == sweep->core->sinks[0].pid ||
	    pid == sweep->core->sinks[1].pid ||
	    (sweep->session != 0 && getsid(pid) != sweep->session))
		return;
	if (sweep->signo == SIGTERM && sweep->count < FINISH_NAMES_MAX)
		name_left(pid);
	sweep->count++;
	if (sweep->signo != 0)
		(void)send_to_process(pid, sweep->signo);
}

/* Our children as the kernel lists them: with what was adopted. */
unsigned
finish_sweep(struct core *core, int signo, pid_t session)
{
	struct sweep sweep = {.core = core, .signo = signo, .session = session};
	char path[64], bytes[4096];
	ssize_t got;
	pid_t pid = 0;

	(void)snprintf(
	    path, sizeof(path), "/proc/self/task/%d/children", (int)core->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			if (bytes[i] >= '0' && bytes[i] <= '9') {
				pid = pid * 10 + (bytes[i] - '0');
				continue;
			}
			sweep_child(&sweep, pid);
			pid = 0;
		}
	sweep_child(&sweep, pid);
	fd_close(&fd);
	return sweep.count;
}

/* --- the phases of the end --- */

static void
wait_at_most(struct core *core, int64_t ms)
{
	core_wake(core, &core->phase_timer, clock_after(core->loop.now_ms, ms));
}

static void
enter_phase(struct core *core, enum phase phase)
{
	core->phase = phase;
	core->swept = 0;
	switch (phase) {
	case PHASE_OPERATOR:
		loop_timer_clear(&core->loop, &core->operate.timer);
		operator_stop(core);
		wait_at_most(core, FINISH_OPERATOR_MS);
		return;
	case PHASE_SWEEP:
		(void)finish_sweep(core, SIGTERM, 0);
		wait_at_most(core, FINISH_POLL_MS);
		return;
	case PHASE_LOGGER:
		loop_timer_clear(&core->loop, &core->logger.timer);
		capture_close(core);
		wait_at_most(core, FINISH_LOGGER_MS);
		return;
	case PHASE_RUN:
	case PHASE_DRAIN:
	case PHASE_DONE:
		return;
	}
}

static bool
phase_over(struct core *core)
{
	switch (core->phase) {
	case PHASE_DRAIN:
		return core->alive == 0;
	case PHASE_OPERATOR:
		return core->operate.pid == 0;
	case PHASE_SWEEP:
		return finish_sweep(core, 0, 0) == 0;
	case PHASE_LOGGER:
		return core->logger.pid == 0;
	case PHASE_RUN:
	case PHASE_DONE:
		return false;
	}
	return false;
}

void
finish_step(struct core *core)
{
	while (phase_over(core))
		enter_phase(core, core->phase + 1);
}

static void
unkillable(struct core *core)
{
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		if (instance_state_alive(
		        (enum instance_state)core->instances[slot].state))
			log_error("drain.unkillable", "worker=%s pid=%d",
			    instance_label(core, (int32_t)slot),
			    (int)core->instances[slot].pid);
}

/* This phase has had its time. */
static void
phase_late(struct core *core)
{
	switch (core->phase) {
	case PHASE_DRAIN:
		unkillable(core);
		enter_phase(core, PHASE_OPERATOR);
		return;
	case PHASE_OPERATOR:
		operator_lost(core);
		if (core->swept++ > 0)
			enter_phase(core, PHASE_SWEEP);
		else
			wait_at_most(core, FINISH_KILL_MS);
		return;
	case PHASE_SWEEP:
		/* not all who are left are ours to hear of: look again */
		core->swept += FINISH_POLL_MS;
		if (core->swept >= FINISH_SWEEP_MS)
			(void)finish_sweep(core, SIGKILL, 0);
		if (core->swept >= FINISH_SWEEP_MS + FINISH_KILL_MS)
			enter_phase(core, PHASE_LOGGER);
		else
			wait_at_most(core, FINISH_POLL_MS);
		return;
	case PHASE_LOGGER:
		if (core->logger.pid != 0)
			(void)send_to_process(core->logger.pid, SIGKILL);
		core->phase = PHASE_DONE;
		return;
	case PHASE_RUN:
	case PHASE_DONE:
		return;
	}
}

void
finish_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	/* its SIGCHLD may have been lost, and not every child has a pidfd */
	reap(core);
	if (!phase_over(core))
		phase_late(core);
	finish_step(core);
}
