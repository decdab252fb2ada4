/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_NEAR_H
#define REEVE_PROBES_QUEUE_REDIS_NEAR_H

#include "probes/queue/near.h"
#include "probes/queue/redis_kind.h"

/*
 * Near names on a Redis, cheap ones first: the index that a technology keeps of
 * its queues, guesses, SCAN within a budget of calls and of time (of a cluster:
 * through all of its masters), the same guesses in the other databases. Queues
 * of one server share each of these round trips. A technology says what its
 * keys are called.
 */
struct redis_naming {
	/* The key that exists where a queue of that name does; NULL: the name.
	 */
	const char *(*key)(
	    struct queue *queue, struct arena *arena, const char *name);
	/* The queue of such a key that SCAN came by, and where it is if not
	 * beside ours ("prefix app"); false: it is no such key. NULL: the key.
	 */
	bool (*name)(struct queue *queue, struct arena *arena, const char *key,
	    const char **ret_name, const char **ret_where);
	/* The key whose length is what waits, of a queue found; its type. */
	const char *(*waiting)(struct queue *queue, struct arena *arena,
	    const struct queue_near *found);
	const char *type;  /* what people call it; NULL: the key's own type */
	bool plain;        /* a key of just that name is another technology's */
	const char *scans; /* SCAN's TYPE; NULL: any */
	const char *match; /* SCAN's MATCH; NULL: all */
	/* A set of all queues' names, each with `index_prefix` or without:
	 * where it knows near ones, nothing else is looked through. NULL: none.
	 */
	const char *index, *index_prefix;
};

/* "prefix app": where a queue is that lies beside ours under another prefix. */
#define REDIS_OTHER_PREFIX "prefix "

/* For the table of drivers; the handle's `naming` is set. The key `budget`
 * (calls of SCAN) may be declared. */
int redis_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err);
void redis_near_many(struct queue_pass *all, size_t count);

/* What the rows of all kinds on Redis have alike. */
#define REDIS_KIND_CALLS                                             \
	.client_keys = redis_client_keys, .close = redis_kind_close, \
	.observe = redis_kind_observe,                               \
	.observe_many = redis_kind_observe_many, .near = redis_near, \
	.near_many = redis_near_many

#endif
