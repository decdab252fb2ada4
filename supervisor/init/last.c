/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/recover.h"
#include "worker/send.h"

/* The last resort after a second fault: no plan, no probes, no operator. */

enum {
	RECOVER_GRACE_MS = 10 * 1000, /* when the state can't be read */
	RECOVER_POLL_MS = 50,
	RECOVER_KILL_MS = 5 * 1000,
	RECOVER_LOGGER_MS = 2500,
};

struct last {
	pid_t pid, logger, guard, writers[2];
	int logger_fd;
	int64_t until_ms;
};

static struct kept last_kept;

static void
last_read(const char *fd_text, struct last *ret)
{
	struct kept *kept = &last_kept;
	int64_t fd = -1;

	*ret = (struct last){.pid = getpid(), .logger_fd = -1};
	ret->until_ms = clock_ms() + RECOVER_GRACE_MS;
	if (text_i64(fd_text, 3, INT32_MAX, &fd, NULL) == -1 ||
	    pread((int)fd, kept, sizeof(*kept), 0) != (ssize_t)sizeof(*kept) ||
	    kept->head.magic != STATE_MAGIC ||
	    kept->core_bytes != sizeof(kept->core))
		return;
	ret->logger = kept->core.logger.pid;
	ret->guard = kept->core.guard.pid;
	for (size_t i = 0; i < ARRAY_LEN(ret->writers); i++)
		ret->writers[i] = kept->core.sinks[i].pid;
	ret->logger_fd = kept->core.logger.socket.fd;
	ret->until_ms = clock_ms() + kept->grace_ms;
	if (kept->core.phase != PHASE_RUN)
		ret->until_ms = MIN(ret->until_ms,
		    clock_after(kept->core.drain_started_ms, kept->grace_ms));
	log_error("init.crashed",
	    "fault %u of this init: signal %d, code %d, address 0x%llx%s%s; "
	    "it is not tried again: every process ends now",
	    kept->crashes, kept->signo, kept->code,
	    (unsigned long long)kept->address,
	    kept->what[0] == '\0' ? "" : ", ", kept->what);
}

static unsigned
last_tell(const struct last *last, pid_t pid, int signo)
{
	if (pid <= 1 || pid == last->logger || pid == last->guard ||
	    pid == last->writers[0] || pid == last->writers[1])
		return 0;
	if (signo != 0 && send_to_group(pid, -1, signo) == -1)
		(void)send_to_process(pid, signo);
	return 1;
}

/* Without /proc: as PID 1 everybody, else those that this image knows. */
static void
last_blind(const struct last *last, int signo)
{
	const struct core *core = recover_known();

	if (signo == 0)
		return;
	if (last->pid == 1) {
		(void)kill(-1, signo);
		return;
	}
	for (uint32_t i = 0; core != NULL && core->instances != NULL &&
	                     i < MIN(core->slots_used, core->kept->max_workers);
	     i++) {
		const struct instance *instance = &core->instances[i];
		/* just cloned: its child has written `pid`, nobody `pgid` */
		(void)last_tell(last,
		    instance->pgid > 0 ? instance->pgid : instance->pid, signo);
	}
}

/* Our children, but the logger; how many. */
static unsigned
last_each(const struct last *last, int signo)
{
	char path[64], bytes[4096];
	unsigned count = 0;
	ssize_t got;
	pid_t pid = 0;

	(void)snprintf(
	    path, sizeof(path), "/proc/self/task/%d/children", (int)last->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		last_blind(last, signo);
		return 1;
	}
	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			if (bytes[i] >= '0' && bytes[i] <= '9') {
				pid = pid * 10 + (bytes[i] - '0');
				continue;
			}
			count += last_tell(last, pid, signo);
			pid = 0;
		}
	count += last_tell(last, pid, signo);
	fd_close(&fd);
	return count;
}

/* False: no children are left at all. */
static bool
last_reap(struct last *last)
{
	siginfo_t info = {.si_pid = 0};
	int rc;

	while ((rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG)) == 0 &&
	       info.si_pid != 0) {
		if (info.si_pid == last->logger)
			last->logger = 0;
		info.si_pid = 0;
	}
	return rc == 0;
}

/* Until all but the logger are gone (with it: all), or the time is over. */
static bool
last_wait(struct last *last, int64_t until_ms, bool logger_too, int signo)
{
	const struct timespec a_while = {0, RECOVER_POLL_MS * 1000000L};
	sigset_t ended;

	(void)sigemptyset(&ended);
	(void)sigaddset(&ended, SIGCHLD);
	while (last_reap(last)) {
		if (logger_too ? last->logger == 0
		               : last_each(last, signo) == 0)
			return true;
		if (clock_ms() >= until_ms)
			return false;
		(void)sigtimedwait(&ended, NULL, &a_while);
	}
	return true;
}

int
recover_drain(const char *fd_text)
{
	struct last last;
	sigset_t all;

	signals_all(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	last_read(fd_text, &last);
	(void)last_each(&last, SIGTERM);
	if (!last_wait(&last, last.until_ms, false, 0)) {
		log_warning("init.drain", "their grace is over: KILL");
		(void)last_wait(
		    &last, clock_ms() + RECOVER_KILL_MS, false, SIGKILL);
	}
	/* the logger writes out what it has when its wire ends */
	if (last.logger > 0 && last.logger_fd >= 0) {
		fd_close(&last.logger_fd);
		(void)last_wait(&last, clock_ms() + RECOVER_LOGGER_MS, true, 0);
	}
	(void)snprintf(last_kept.core.end_reason,
	    sizeof(last_kept.core.end_reason), "a fault of the init");
	log_error("init.ends", "%s; exit code %d", last_kept.core.end_reason,
	    EXIT_BUG);
	finish_termination_log(last_kept.core.end_reason, EXIT_BUG, 0);
	return EXIT_BUG;
}
