/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine itself allows: fork, exec and wait in a loop, and nothing
 * else. Every other figure is a ratio to this one's.
 *
 *     limit [-s] COUNT CMD ARG… [+ CMD ARG…]
 *
 * -s: each in a session of its own, as a supervisor needs it that signals a
 * worker with all that it started. The kernel then schedules it in a group of
 * its own (autogroup), which on a busy machine waits for its turn.
 *
 * +: beside these one other process, started again 20 ms after its end, which
 * is looked for before any other: how late that is among thousands of ends is
 * the kernel's own.
 *
 * Starts CMD COUNT times, each again as soon as it ends, until SIGTERM: sends
 * it to all and waits for the last.
 */
#include "base/base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	COUNT_MAX = 20000,
	BESIDE_NS = 20 * 1000 * 1000
};

static pid_t pids[COUNT_MAX];
static size_t count;
static sigset_t signals;
static bool sessions;

/* The one beside them: ends, and starts again at `due_ns`. */
static struct {
	char **argv; /* NULL: there is none */
	pid_t pid;   /* 0: it doesn't run */
	int64_t due_ns;
} beside;

NORETURN static void
die(const char *what)
{
	perror(what);
	_exit(99);
}

static pid_t
start(char *argv[])
{
	pid_t pid = fork();

	if (pid == -1)
		die("fork");
	if (pid != 0)
		return pid;
	(void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
	if (sessions)
		(void)setsid();
	if (argv[0] != NULL)
		(void)execv(argv[0], argv);
	die("exec");
}

static int64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
look_beside(void)
{
	if (beside.argv == NULL)
		return;
	if (beside.pid != 0 && waitpid(beside.pid, NULL, WNOHANG) > 0) {
		beside.pid = 0;
		beside.due_ns = now_ns() + BESIDE_NS;
	}
	if (beside.pid == 0 && now_ns() >= beside.due_ns)
		beside.pid = start(beside.argv);
}

static void
ended(pid_t pid, char *argv[])
{
	if (pid == beside.pid) {
		beside.pid = 0;
		beside.due_ns = now_ns() + BESIDE_NS;
	}
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == pid) {
			pids[i] = start(argv);
			return;
		}
	}
}

NORETURN static void
stop(void)
{
	for (size_t i = 0; i < count; i++)
		(void)kill(pids[i], SIGTERM);
	while (waitpid(-1, NULL, 0) > 0)
		;
	_exit(0);
}

/* The next signal; 0: the one beside is due. */
static int
next_signal(void)
{
	if (beside.argv == NULL || beside.pid != 0)
		return sigwaitinfo(&signals, NULL);
	int64_t left = MAX(beside.due_ns - now_ns(), INT64_C(0));
	struct timespec wait = {.tv_nsec = left};
	return MAX(sigtimedwait(&signals, NULL, &wait), 0);
}

int
main(int argc, char *argv[])
{
	sessions = argc > 1 && strcmp(argv[1], "-s") == 0;
	argv += sessions;
	argc -= sessions;
	long wanted = argc > 2 ? strtol(argv[1], NULL, 10) : 0;

	if (wanted < 1 || wanted > COUNT_MAX)
		return 64;
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "+") == 0) {
			argv[i] = NULL;
			beside.argv = argv + i + 1;
			break;
		}
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	for (; count < (size_t)wanted; count++)
		pids[count] = start(argv + 2);
	look_beside();
	for (;;) {
		pid_t pid;

		if (next_signal() == SIGTERM)
			stop();
		look_beside();
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
			ended(pid, argv + 2);
			look_beside();
		}
	}
}
