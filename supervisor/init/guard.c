/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/core.h"
#include "supervisor/init/guard.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

/* The process: it sleeps in one system call until the init is gone. */

enum {
	GUARD_PIDS_MAX = 4 * 1024 * 1024, /* the kernel's own limit */
	GUARD_PAUSE_MS = 5,
	GUARD_CHUNK = 16 * 1024,
};

/* Of sessions, and of processes that belong to them; untouched pages of these
 * cost nothing. */
static uint64_t sessions[GUARD_PIDS_MAX / 64], members[GUARD_PIDS_MAX / 64];
static char run_entry[64]; /* "REEVE_RUN=…" */

static bool
marked(const uint64_t *set, pid_t pid)
{
	return pid > 1 && pid < GUARD_PIDS_MAX &&
	       (set[pid / 64] >> (pid % 64) & 1) != 0;
}

static void
mark(uint64_t *set, pid_t pid)
{
	if (pid > 1 && pid < GUARD_PIDS_MAX)
		set[pid / 64] |= UINT64_C(1) << (pid % 64);
}

/* --- what the init knew --- */

/* Everything that it starts for a worker leads a session of its own. */
static int
mark_known(struct err *err)
{
	static struct core core;

	if (table_look(&core, GUARD_STATE_FD, err) == -1)
		return -1;
	for (uint32_t i = 0; i < core.max_workers; i++) {
		mark(sessions, core.instances[i].pid);
		mark(sessions, core.instances[i].pgid);
	}
	for (uint32_t i = 0; i < core.probers_max; i++)
		mark(sessions, core.probers[i].pid);
	mark(sessions, core.kept->operator_pid);
	(void)snprintf(run_entry, sizeof(run_entry), "REEVE_RUN=%llu",
	    (unsigned long long)core.kept->run_id);
	return 0;
}

/* --- what there is --- */

struct process {
	pid_t pid, parent, session;
	char state;
};

/* "PID (name) STATE PPID PGRP SESSION …"; a name may hold anything. */
static bool
read_process(pid_t pid, struct process *ret)
{
	char path[32], text[512];
	int64_t numbers[3] = {0};

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	const char *at = strrchr(text, ')');
	if (at == NULL || at[1] != ' ' || at[2] == '\0')
		return false;
	*ret = (struct process){.pid = pid, .state = at[2]};
	at += 3;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		at += strspn(at, " ");
		for (; *at >= '0' && *at <= '9'; at++)
			numbers[i] = numbers[i] * 10 + (*at - '0');
	}
	ret->parent = (pid_t)numbers[0];
	ret->session = (pid_t)numbers[2];
	return true;
}

/* Whether it was started by this run: a daemon that left its session, and whose
 * parents have ended, has nothing else that says so. Not of processes that we
 * may not look into. */
static bool
has_run(pid_t pid)
{
	static char bytes[GUARD_CHUNK];
	size_t want = strlen(run_entry) + 1, kept = 0;
	char path[32];
	bool found = false;
	ssize_t got;

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	while (!found &&
	       (got = read(fd, bytes + kept, sizeof(bytes) - kept)) > 0) {
		size_t len = kept + (size_t)got;
		found = memmem(bytes, len, run_entry, want) != NULL;
		kept = MIN(len, want - 1);
		memmove(bytes, bytes + len - kept, kept);
	}
	fd_close(&fd);
	return found;
}

static bool
is_ours(const struct process *process)
{
	if (process->pid == (pid_t)getpid())
		return false;
	if (marked(members, process->pid))
		return true;
	return marked(sessions, process->session) ||
	       marked(members, process->parent) || has_run(process->pid);
}

struct pass {
	unsigned alive;  /* of ours, not yet zombies */
	unsigned joined; /* that weren't known before */
};

static void
look_at(pid_t pid, bool ends, struct pass *pass)
{
	struct process process;

	if (pid <= 1 || !read_process(pid, &process) || !is_ours(&process))
		return;
	pass->joined += !marked(members, pid);
	mark(members, pid);
	mark(sessions, process.session);
	if (process.state == 'Z' || process.state == 'X')
		return;
	pass->alive++;
	if (ends)
		(void)send_to_process(pid, SIGKILL);
}

/* Every process that there is. */
static int
look_around(bool ends, struct pass *ret)
{
	static char bytes[GUARD_CHUNK] __attribute__((aligned(8)));
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t got;

	*ret = (struct pass){0};
	if (fd == -1)
		return -1;
	while ((got = getdents64(fd, (void *)bytes, sizeof(bytes))) > 0)
		for (ssize_t at = 0; at < got;) {
			const struct dirent64 *entry =
			    (const void *)(bytes + at);
			int64_t pid = 0;
			if (text_i64(entry->d_name, 2, GUARD_PIDS_MAX - 1, &pid,
			        NULL) == 0)
				look_at((pid_t)pid, ends, ret);
			at += entry->d_reclen;
		}
	fd_close(&fd);
	return 0;
}

/* Without /proc: the groups that the init knew. */
static void
kill_blindly(void)
{
	for (pid_t pid = 2; pid < GUARD_PIDS_MAX; pid++)
		if (marked(sessions, pid))
			(void)send_to_group(pid, -1, SIGKILL);
}

/* --- its work --- */

static void
a_moment(void)
{
	const struct timespec moment = {0, GUARD_PAUSE_MS * 1000000L};

	(void)nanosleep(&moment, NULL);
}

/* First who belongs to it, then the end of all: a process whose parent was
 * killed first couldn't be told any more. */
static int
end_all(pid_t init)
{
	int64_t until_ms = clock_after(clock_ms(), GUARD_KILL_MS);
	struct pass pass;

	do {
		if (look_around(false, &pass) == -1) {
			kill_blindly();
			return EXIT_PASSED;
		}
	} while (pass.joined > 0);
	if (pass.alive == 0)
		return EXIT_PASSED;
	log_warning("guard.ends",
	    "the init (pid %d) is gone, %u processes of its workers are not: "
	    "KILL",
	    (int)init, pass.alive);
	while (look_around(true, &pass) == 0 && pass.alive > 0) {
		if (clock_ms() >= until_ms) {
			log_error("guard.unkillable", "%u processes are left",
			    pass.alive);
			return EXIT_BUG;
		}
		a_moment();
	}
	return EXIT_PASSED;
}

int
guard_main(int argc, char *argv[])
{
	struct err err = ERR_INIT;
	int64_t init = 0;
	sigset_t all;

	(void)prctl(PR_SET_NAME, "guard");
	log_open(STDERR_FILENO, LOG_TEXT, LOG_INFO, "guard");
	if (argc < 1 || text_i64(argv[0], 2, INT32_MAX, &init, &err) == -1)
		return EXIT_USAGE;
	/* all signals are blocked: the kernel's word that the parent has ended
	 * is one of them; anybody else's means nothing */
	signals_all(&all);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1)
		return EXIT_BUG;
	while (getppid() == (pid_t)init)
		(void)sigtimedwait(&all, NULL, NULL);
	if (mark_known(&err) == -1) {
		log_error("guard.blind", "%s", err.text);
		return EXIT_BUG;
	}
	return end_all((pid_t)init);
}
