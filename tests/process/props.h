/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_PROCESS_PROPS_H
#define REEVE_TESTS_PROCESS_PROPS_H

#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * What the static programs of the process tests share. Each is a table of
 * modes; whatever goes wrong in one ends it with exit code 99.
 */

struct mode {
	const char *name;
	int args; /* at least */
	int (*run)(char *argv[]);
};

NORETURN static inline void
die(const char *what)
{
	perror(what);
	_exit(99);
}

static inline int
number(const char *text)
{
	char *end = NULL;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0')
		die(text);
	return (int)value;
}

/* The file appears whole or not at all. */
static inline void
mark_bytes(const char *path, const char *bytes, size_t size)
{
	char temporary[512];
	int len = snprintf(
	    temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(temporary))
		die("path");
	int fd =
	    open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd == -1)
		die(temporary);
	for (size_t done = 0; done < size;) {
		ssize_t wrote = write(fd, bytes + done, size - done);
		if (wrote == -1)
			die(temporary);
		done += (size_t)wrote;
	}
	(void)close(fd);
	if (rename(temporary, path) == -1)
		die(path);
}

static inline void
mark(const char *path, const char *text)
{
	mark_bytes(path, text, strlen(text));
}

static inline void
mark_pid(const char *path)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	mark(path, text);
}

static inline void
handle(int signo, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	if (sigaction(signo, &action, NULL) == -1)
		die("sigaction");
}

NORETURN static inline void
wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

static inline void
fork_or_die(pid_t *ret)
{
	*ret = fork();
	if (*ret == -1)
		die("fork");
}

static inline int
run_mode(const struct mode *modes, size_t count, int argc, char *argv[])
{
	for (size_t i = 0; argc > 1 && i < count; i++)
		if (strcmp(argv[1], modes[i].name) == 0 &&
		    argc - 2 >= modes[i].args)
			return modes[i].run(argv + 2);
	(void)fprintf(
	    stderr, "%s: no such mode, or arguments missing\n", argv[0]);
	return 99;
}

#endif
