/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ENDPOINT_H
#define REEVE_SUPERVISOR_OPERATOR_ENDPOINT_H

#include "base/base.h"
#include "supervisor/operator/queue_seen.h"

/*
 * One server (or file) and the queues on it, asked in rounds by one prober.
 *
 * A round asks each of its queues once, a few at a time ahead of the answers.
 * What ends a round early (a prober that hangs, a server that can't be reached)
 * counts for every queue that had no answer yet. The next round begins behind
 * the queue at which this one ended, so one that can't be asked in time hides
 * no other; after a round without any answer it is put off, longer each time.
 */
struct operator_core;
struct endpoint;

/* What all endpoints share. */
struct endpoint_plan {
	struct operator_core *op;
	int64_t every_ms; /* between looks */
	size_t nqueues;   /* on all of them */
};

/* Its first round begins at once. `plan` is borrowed and may change, but for
 * `nqueues`. NULL: no memory. */
struct endpoint *endpoint_new(
    const struct endpoint_plan *plan, const char *url);
void endpoint_free(struct endpoint *endpoint); /* ends its prober */
bool endpoint_is(const struct endpoint *endpoint, const char *url);
/* `queue` is borrowed, and asked with the others from the next round on. */
void endpoint_add(struct endpoint *endpoint, struct queue_seen *queue);
/* A step on the way to a prober's answer: it matters only to who watches. */
bool endpoint_is_step(const char *line, size_t len);

#endif
