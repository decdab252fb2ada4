/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is started while reeve and its peers are measured: says through a named
 * pipe when it got to run, then waits for a signal.
 *
 *     worker report FIFO       report.h: pid and CLOCK_MONOTONIC; then waits
 *     worker /FIFO SCRIPT      the same, as the first line of a run script
 *     worker wait              waits
 *     worker once FIFO         says so, and ends
 *     worker born FIFO         says also when it was made, and ends
 *     worker consume PORT LIST  waits for a job in a Redis list, as workers do
 *     worker drift      changes its own environment at SIGUSR1
 *     worker storm COUNT FIFO  makes COUNT orphans that end together when the
 *                              last writer of FIFO.end goes; reports; waits
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

static int64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) == -1)
		die("clock_gettime");
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* When this process was cloned, to the kernel's hundredth of a second: the end
 * of that. */
static int64_t
born_ns(void)
{
	char text[1024];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

	if (got <= 0)
		die("/proc/self/stat");
	(void)close(fd);
	text[got] = '\0';
	const char *at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		die("/proc/self/stat");
	int64_t boot_ns = (strtoll(at, NULL, 10) + 1) *
	                  (INT64_C(1000000000) / sysconf(_SC_CLK_TCK));
	return boot_ns - clock_ns(CLOCK_BOOTTIME) + clock_ns(CLOCK_MONOTONIC);
}

/* One write that small is whole (PIPE_BUF). */
static void
report(const char *path, int64_t born)
{
	struct bench_report out = {.pid = getpid(), .born_ns = born};
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		die(path);
	out.ns = clock_ns(CLOCK_MONOTONIC);
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
	report(path, 0);
	wait_for_ever();
}

/* Blocked in BLPOP, which nobody answers. */
static void
consume(const char *port, const char *list)
{
	char request[512];
	struct sockaddr_in at = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(request, sizeof(request),
	    "*3\r\n$5\r\nBLPOP\r\n$%zu\r\n%s\r\n$1\r\n0\r\n", strlen(list),
	    list);

	if (fd == -1 ||
	    connect(fd, (const struct sockaddr *)&at, sizeof(at)) == -1 ||
	    write(fd, request, (size_t)len) != len)
		die("redis");
}

/* A value of it, where the kernel shows it. */
static void
change_environment(int number)
{
	char *last = NULL;

	(void)number;
	for (char **entry = environ; *entry != NULL; entry++)
		if (strncmp(*entry, "LABEL=", 6) == 0)
			last = *entry;
	if (last != NULL)
		last[6]++;
}

int
main(int argc, char *argv[])
{
	if (argc == 3 && strcmp(argv[1], "once") == 0) {
		report(argv[2], 0);
		return 1;
	}
	if (argc == 3 && strcmp(argv[1], "born") == 0) {
		report(argv[2], born_ns());
		return 1;
	}
	if (argc == 3 && strcmp(argv[1], "report") == 0)
		report(argv[2], 0);
	else if (argc > 2 && argv[1][0] == '/')
		report(argv[1], 0);
	else if (argc == 2 && strcmp(argv[1], "drift") == 0)
		(void)sigaction(SIGUSR1,
		    &(struct sigaction){.sa_handler = change_environment},
		    NULL);
	else if (argc == 4 && strcmp(argv[1], "consume") == 0)
		consume(argv[2], argv[3]);
	else if (argc == 4 && strcmp(argv[1], "storm") == 0)
		storm(argv[2], argv[3]);
	else if (argc != 2 || strcmp(argv[1], "wait") != 0)
		return 64;
	wait_for_ever();
}
