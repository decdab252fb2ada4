/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_BEE_H
#define REEVE_PROBES_QUEUE_BEE_H

#include "probes/queue/queue.h"
#include "probes/queue/redis_prefixed.h"

/*
 * Bee-Queue (2) on Redis, prefixed (redis_prefixed.h). `waiting` and
 * `active` are lists of ids that are filled at the head and emptied at the
 * tail, `delayed` is a zset by ms, `succeeded` and `failed` are sets; the jobs
 * themselves are JSON in the one hash `jobs`. A worker that has a job takes it
 * out of the set `stalling` every half stallInterval; whoever looks for stalled
 * jobs puts back what is still in there, and puts all active ones in
 * (lib/lua/checkStalledJobs.lua; `stallBlock` keeps two such looks an interval
 * apart). queues.md part 5.5.
 */
enum {
	BEE_WHOLE_MAX = 64 << 10 /* larger jobs are only measured */
};

/* A job as `jobs` holds it; texts in the arena. */
struct bee_job {
	int64_t created_ms;   /* -1: not said */
	int64_t failures;     /* attempts that failed; -1: not said */
	const char *error;    /* of the last one, its first line; "" */
	enum holds backs_off; /* unknown: it is tried once */
};
/* -1: the text is no such job. */
int bee_job_read(struct arena *arena, const char *text, size_t len,
    struct bee_job *ret, struct err *err) MUST_CHECK;

int bee_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int bee_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int bee_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);

int bee_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int bee_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
