/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine itself allows: fork, exec and wait in a loop, and nothing
 * else. Every other figure is a ratio to this one's.
 *
 *     limit [-s] COUNT CMD ARG…
 *
 * -s: each in a session of its own, as a supervisor needs it that signals a
 * worker with all that it started. The kernel then schedules it in a group of
 * its own (autogroup), which on a busy machine waits for its turn.
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
#include <unistd.h>

enum {
	COUNT_MAX = 20000
};

static pid_t pids[COUNT_MAX];
static size_t count;
static sigset_t signals;
static bool sessions;

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
	(void)execv(argv[0], argv);
	die(argv[0]);
}

static void
ended(pid_t pid, char *argv[])
{
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

int
main(int argc, char *argv[])
{
	sessions = argc > 1 && strcmp(argv[1], "-s") == 0;
	argv += sessions;
	argc -= sessions;
	long wanted = argc > 2 ? strtol(argv[1], NULL, 10) : 0;

	if (wanted < 1 || wanted > COUNT_MAX)
		return 64;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	for (; count < (size_t)wanted; count++)
		pids[count] = start(argv + 2);
	for (;;) {
		pid_t pid;

		if (sigwaitinfo(&signals, NULL) == SIGTERM)
			stop();
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			ended(pid, argv + 2);
	}
}
