/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_RESQUE_H
#define REEVE_PROBES_QUEUE_RESQUE_H

#include "probes/queue/queue.h"

/* The failed jobs of Resque, by the keys of their lists. */
struct resque_failed {
	const char *failed, *queues;
};

int resque_list_failed(struct queue *queue, const struct resque_failed *keys,
    size_t limit, struct arena *arena, struct queue_page *ret,
    struct err *err) MUST_CHECK;
int resque_move_failed(struct queue *queue, const struct resque_failed *keys,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err) MUST_CHECK;

#endif
