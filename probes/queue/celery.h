/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_CELERY_H
#define REEVE_PROBES_QUEUE_CELERY_H

#include "probes/queue/redis_library.h"

/* What Celery's workers have in hand, by the keys that kombu keeps it under. */
struct celery_keys {
	const char *unacked, *index;
	int64_t visibility_s; /* then a living worker puts it back */
};
struct celery_page {
	size_t limit;
	bool expired; /* those alone whose visibility timeout is over */
};

/* Whether [message, exchange, routing key] is of this queue. */
bool celery_is_of(const cJSON *entry, const char *queue);
int celery_list_unacked(struct queue *queue, const struct celery_keys *keys,
    const struct celery_page *page, struct arena *arena, struct queue_page *ret,
    struct err *err) MUST_CHECK;
int celery_move_unacked(struct queue *queue, const struct celery_keys *keys,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err) MUST_CHECK;

#endif
