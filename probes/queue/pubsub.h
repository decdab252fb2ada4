/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_PUBSUB_H
#define REEVE_PROBES_QUEUE_PUBSUB_H

#include "base/base.h"
#include "probes/queue/cloud_letters.h"

/* A subscription has this for a topic that was deleted. */
#define PUBSUB_DELETED "_deleted-topic_"

struct pubsub {
	const char *project, *subscription;
	const char *topic; /* NULL: not declared */
	const char *endpoint;
	const char *authorization; /* "Authorization: Bearer …"; NULL: emulator
	                            */
	const char *monitoring;    /* NULL: none */
	const char *way_back;      /* during a move: the subscription's topic */
};

/* One request, with `body` a POST. Also of a refusal `ret->status` is said, but
 * then there is nothing to clean up. */
int pubsub_ask(struct queue *queue, struct arena *arena, const char *url,
    const char *body, struct cloud_reply *ret, struct err *err) MUST_CHECK;
/* The URL of the queue's own subscription. */
const char *pubsub_subscription(
    const struct pubsub *pubsub, struct arena *arena);
/* "projects/P/topics/T" -> "T" */
const char *pubsub_short_name(struct arena *arena, const char *name);

int pubsub_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int pubsub_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
