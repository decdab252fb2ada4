/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_PROCESSES_H
#define REEVE_PROBES_PROCESSES_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/observed.h"
#include "probes/pids.h"

/*
 * What runs on this host, read from /proc: processes that look like a declared
 * worker's command, and which process holds a connection. Other arguments than
 * the program and its script are never shown: they may hold secrets. What can't
 * be seen (another pid namespace, hidepid) is said in the scope.
 */
struct processes_command {
	const char *worker;
	const char *const *argv; /* NULL-terminated */
};

struct processes_found {
	struct observed_process *all;
	size_t count;
	enum result searched; /* PASSED: every process could be seen */
	const char *scope;    /* "212 processes of pid namespace 4026531836" */
};

/*
 * A process matches when its program has the command's name and its first
 * argument that is no option is the command's (a script's folder doesn't
 * matter); where several workers' commands are alike up to there, all arguments
 * must be equal. Zombies don't count, nor does the caller.
 */
int processes_find(const struct processes_command *commands, size_t count,
    struct arena *arena, struct processes_found *ret,
    struct err *err) MUST_CHECK;
/* The same, without those that the caller knows already. */
int processes_find_others(const struct processes_command *commands,
    size_t count, const struct pids *known, struct arena *arena,
    struct processes_found *ret, struct err *err) MUST_CHECK;

/*
 * Who holds the connection whose own end is `address` ("10.0.0.7:51234",
 * "[::1]:51234"; a server's client list says so). PASSED with the pid; FAILED:
 * no socket of this network namespace has that address; UNKNOWN: there is one,
 * but whose it is can't be seen. What was found is kept for the next call
 * (processes_match.c).
 */
struct consumer_match {
	const char *address;
	enum result result;
	int64_t pid;     /* -1 unless PASSED */
	int64_t session; /* of that process, likewise */
	const char *why; /* unless PASSED */
};
int processes_match_consumers(struct consumer_match *matches, size_t count,
    struct arena *arena, struct err *err) MUST_CHECK;
/* For one. */
int processes_match_consumer(const char *address, struct arena *arena,
    struct consumer_match *ret, struct err *err) MUST_CHECK;

/* Whether a process with `argv` is the command; 0 no, 1 by
 * program and script, 2 with all arguments. */
int processes_alike(const char *const *declared, const char *const *argv);

#endif
