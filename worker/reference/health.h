/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_REFERENCE_HEALTH_H
#define REEVE_WORKER_REFERENCE_HEALTH_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/err.h"

/*
 * GET /health: 200 only while the worker's loop turns and its queue answers.
 * Served by a thread of its own, so that a loop that hangs is answered with
 * 503 and its age instead of with silence.
 */
enum {
	HEALTH_STALE_MS = 10000 /* of a turn: twice the longest call */
};

struct health {
	_Atomic int64_t turned_ms;    /* monotonic, of the last turn */
	_Atomic int64_t reachable_ms; /* when the queue last answered; 0 never
	                               */
	atomic_bool reachable;
	atomic_bool draining;
	atomic_uint running;
	_Atomic uint64_t done, failed, dead, lost;
	struct MHD_Daemon *daemon;
};

/* `address` is "127.0.0.1:8080", "[::1]:8080" or ":8080" (all addresses). */
int health_start(
    struct health *health, const char *address, struct err *err) MUST_CHECK;
void health_stop(struct health *health);

#endif
