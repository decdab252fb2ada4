/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_DRAINING_H
#define REEVE_CHECKS_DRAINING_H

#include "probes/observed.h"
#include "probes/queue/state.h"

/*
 * How a queue goes on from one look to the next: whether nothing is left in it,
 * how fast it grows or shrinks, and whether its head moves. Pure: a state and
 * the moment of the look in.
 */
enum {
	DRAINING_HEAD_MAX = 256, /* bytes of the oldest job, to know it again */
	/* How long estimates must say that nothing is left. RabbitMQ's lag by 5
	 * s; SQS' are right a minute after the last message was sent (AWS,
	 * GetQueueAttributes). */
	DRAINING_REST_MS = 60 * 1000,
};

struct draining { /* zero: not looked at yet */
	/* Passed: nothing waits and nothing is in hand, exactly, or by
	 * estimates for DRAINING_REST_MS. Failed: there is something. Unknown:
	 * neither is known, and `why` says why, for as long as the state lives.
	 */
	enum result drained;
	const char *why;
	/* Jobs a second, of all that aren't done and of those that are; NAN:
	 * not known. */
	double net, out;
	int head_moving;       /* -1: not known, 0, 1 */
	int64_t head_since_ms; /* when the head was first this one */

	/* what the next look is held against */
	bool known;
	int64_t at_ms;
	int64_t none_since_ms; /* -1: there was something, or it isn't known */
	struct queue_number jobs, completed;
	char head[DRAINING_HEAD_MAX];
};

/* `state` NULL: the look failed. `now_ms` is CLOCK_MONOTONIC. */
void draining_look(
    struct draining *draining, const struct queue_state *state, int64_t now_ms);

#endif
