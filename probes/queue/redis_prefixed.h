/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_PREFIXED_H
#define REEVE_PROBES_QUEUE_REDIS_PREFIXED_H

#include "probes/queue/queue.h"
#include "probes/queue/redis_kind.h"
#include "probes/queue/redis_near.h"

/*
 * What BullMQ, Bull and Bee-Queue have in common: PREFIX:QUEUE: begins every
 * key of a queue, and is all that a script is given. A prefix holds no colon;
 * queues of other prefixes are another application's (queues.md parts 5.3 to
 * 5.5).
 */
struct prefixed_layout {
	const char *prefix;  /* where none is declared: "bull" */
	const char *waiting; /* the list of what waits: "wait" */
	const char *trace;   /* the key that a queue leaves behind: "meta" */
	const char *scans;   /* its type, for SCAN */
	const struct redis_key_type *types; /* behind PREFIX:QUEUE: */
};

/* The first member of the driver's state. Texts live as long as the queue. */
struct prefixed_queue {
	struct redis_handle handle;
	const struct prefixed_layout *layout;
	const char *prefix; /* "bull" */
	const char *base;   /* "bull:fileprocess:" */
	struct redis_naming naming;
};

/* Opens `queue->spec`; `queue->state` is set before. `layout` stays the
 * caller's. -1: as of redis_kind_open(). */
int prefixed_open(struct queue *queue, const struct prefixed_layout *layout,
    redis_round_fn *const *rounds, struct err *err) MUST_CHECK;

/* PREFIX:QUEUE:WORD, in the arena. */
const char *prefixed_key(
    const struct queue *queue, struct arena *arena, const char *word);
/* A script; its one key is PREFIX:QUEUE:. `args` end with NULL. -1: it was
 * refused, or not answered; the queue's cause is set. */
int prefixed_script(struct queue *queue, const char *script, const char *doing,
    const char *const *args, redisReply **ret, struct err *err) MUST_CHECK;

/* A command of a key and nothing more; `*ret`: where its answer will be. */
struct prefixed_question {
	size_t *ret;
	const char *command, *word;
};
void prefixed_ask(struct redis_look *look,
    const struct prefixed_question *questions, size_t count);

#endif
