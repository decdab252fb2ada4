/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is started while reeve and its peers are measured: says through a named
 * pipe when it got to run, then waits for a signal.
 *
 *     worker report FIFO       16 bytes: pid and CLOCK_MONOTONIC; then waits
 *     worker /FIFO SCRIPT      the same, as the first line of a run script
 *     worker wait              waits
 *     worker once FIFO         says so, and ends
 *     worker storm COUNT FIFO  makes COUNT orphans that end together when the
 *                              last writer of FIFO.end goes; reports; waits
 */
#include "base/base.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/report.h"

NORETURN static void
die(const char *what)
{
	perror(what);
	_exit(99);
}

/* One write that small is whole (PIPE_BUF). */
static void
report(const char *path)
{
	struct timespec now;
	struct bench_report out = {.pid = getpid()};
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1 || clock_gettime(CLOCK_MONOTONIC, &now) == -1)
		die(path);
	out.ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	if (write(fd, &out, sizeof(out)) != (ssize_t)sizeof(out))
		die(path);
	(void)close(fd);
}

NORETURN static void
wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

/* The middle process that makes the orphans and leaves them. */
NORETURN static void
orphans(long count, int end)
{
	char byte;

	for (long i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid == -1)
			die("fork");
		if (pid == 0)
			_exit(read(end, &byte, 1) == 0 ? 0 : 1);
	}
	_exit(0);
}

NORETURN static void
storm(const char *count, const char *path)
{
	char name[PATH_MAX];
	int status = 0;

	(void)snprintf(name, sizeof(name), "%s.end", path);
	int end = open(name, O_RDONLY | O_CLOEXEC);
	if (end == -1)
		die(name);
	pid_t pid = fork();
	if (pid == -1)
		die("fork");
	if (pid == 0)
		orphans(strtol(count, NULL, 10), end);
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		die("storm");
	(void)close(end);
	report(path);
	wait_for_ever();
}

int
main(int argc, char *argv[])
{
	if (argc == 3 && strcmp(argv[1], "once") == 0) {
		report(argv[2]);
		return 1;
	}
	if (argc == 3 && strcmp(argv[1], "report") == 0)
		report(argv[2]);
	else if (argc > 2 && argv[1][0] == '/')
		report(argv[1]);
	else if (argc == 4 && strcmp(argv[1], "storm") == 0)
		storm(argv[2], argv[3]);
	else if (argc != 2 || strcmp(argv[1], "wait") != 0)
		return 64;
	wait_for_ever();
}
