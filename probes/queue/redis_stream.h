/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_STREAM_H
#define REEVE_PROBES_QUEUE_REDIS_STREAM_H

#include "probes/queue/queue.h"
#include "probes/queue/redis_kind.h"

/* What the files of the driver of Redis streams share. */
struct stream_queue {
	struct redis_handle handle;
	const char *stream, *group;
	const char *min_idle; /* ms: a pending entry idle for longer is lost */
	bool idle_declared;   /* else that is a guess, to look by only */
	const char *dead;     /* the stream of dead letters; NULL: none */
	int64_t deliveries;   /* that an entry may have; then it is dead; 0: no
	                         limit */
};

/* A field of an XINFO row: name, value, name, value… NULL: it has none. */
const redisReply *stream_row_field(const redisReply *row, const char *name);

int stream_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int stream_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int stream_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);
int stream_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int stream_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
