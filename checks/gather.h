/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_GATHER_H
#define REEVE_CHECKS_GATHER_H

#include "base/base.h"
#include "base/err.h"
#include "manifests/declared.h"
#include "probes/observed.h"
#include "probes/request.h"

/*
 * From what is declared to what is observed: which looks a declared system
 * asks for, all run side by side in probers, each with its own deadline. It
 * decides what to look at, never what it means.
 *
 * Subjects, by which checks/ find the answers:
 *   "check NAME"        a declared check
 *   "queue NAME"        a queue's state and near names
 *   "queue NAME rows"   whether its jobs come before their rows, where the
 *                       manifest says which these are
 *   "queue NAME later"  its state GATHER_TWICE_MS later: is its head moving?
 *                       Also unasked, where what was seen is normal for an
 *                       instant
 *   "env WORKER NAME"   what a worker's URL-valued variable points at, with the
 *                       worker's own effective value
 *   "supervisor"        the running supervisor's status
 *   "processes"         processes that look like a declared worker
 */
enum {
	/* two turns of whoever takes expired leases back, and a little */
	GATHER_TWICE_MS = 2200
};

struct gather_place { /* sockets; "@…": abstract */
	const char *operator_socket, *init_socket;
};

struct gather_options {
	struct probe_pool_options pool;
	int64_t deadline_ms;     /* monotonic; nothing is waited for longer */
	int64_t look_timeout_ms; /* of one look; 0: 5 s */
	const char *status_url;  /* --status; NULL: the places */
	/* where a supervisor of that name would listen on this host, in order;
	 * the caller's, because only cli/ knows the wire */
	const struct gather_place *places;
	size_t nplaces;
	/* The command that prints the workers' kept lines as JSON, one a line
	 * (a worker's name may follow). NULL: they can't be read from here */
	const char *const *log_reader;
	bool queues_twice; /* the second sample, for `diagnose` */
	bool only_queues;  /* bare URLs: nothing else is declared */
};

/* Everything that `declared` asks to look at. Every look leaves an observation,
 * also the one that couldn't be made (result unknown, with the cause). -1 only
 * when nothing could be looked at for a reason of our own. */
int gather(const struct declared *declared,
    const struct gather_options *options, struct observed *observed,
    struct err *err) MUST_CHECK;

/* Only the supervisor's status, replacing what `observed` had. */
int gather_supervisor(const struct declared *declared,
    const struct gather_options *options, struct observed *observed,
    struct err *err) MUST_CHECK;

#endif
