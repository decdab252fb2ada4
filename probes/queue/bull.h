/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_BULL_H
#define REEVE_PROBES_QUEUE_BULL_H

#include "probes/queue/queue.h"
#include "probes/queue/redis_prefixed.h"

/*
 * BullMQ (1 to 6) and Bull (3, 4) on Redis: two generations of one layout.
 * Prefixed (redis_prefixed.h); `wait` and `active` are lists of ids that are
 * filled at the head and emptied at the tail, a job is the hash
 * PREFIX:QUEUE:ID, and a worker that has it keeps ID:lock alive. What differs
 * is in queues.md parts 5.3 and 5.4, and, where code depends on it, below.
 */
struct bull_queue {
	struct prefixed_queue keys;
	bool bullmq;          /* else Bull */
	const char *job_name; /* of a canary */
};

extern redis_round_fn *const bull_rounds[];
/* Who reads the queue; `alive`: some worker looked for stalled jobs just now,
 * or holds a job. */
void bull_consumers(struct redis_look *look, bool alive);

int bull_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int bull_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int bull_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);

int bull_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int bull_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
