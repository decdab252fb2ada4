/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_H
#define REEVE_PROBES_QUEUE_REDIS_H

#include "probes/queue/digest.h"
#include "probes/queue/queue.h"
#include "probes/queue/redis_kind.h"

/*
 * What the files of the Redis list driver share: the keys of the layout
 * (docs/reference-worker.md).
 */
struct redis_queue {
	struct redis_handle handle;
	const char *key, *processing, *lease, *attempts, *delayed, *dead;
	bool processing_declared, dead_declared;
	bool consume_left; /* BLPOP; the default takes from the right */
};

/* "reeve:QUEUE|OWNER" with what a client's name may not hold percent-encoded.
 */
const char *redis_client_name(
    struct arena *arena, const char *key, const char *owner);
/* The other way round; false when the name isn't a reference worker's. */
bool redis_client_name_parse(struct arena *arena, const char *name,
    const char **ret_key, const char **ret_owner);

/* Whether a client that last sent this command may be waiting for the list
 * `key`: it pops, and its arguments are long enough to hold the key
 * (queues.md part 5, "who is blocked"). */
bool redis_client_may_wait(const struct redis_client *client, const char *key);

/* The rounds of a look. */
extern redis_round_fn *const redis_list_rounds[];
void redis_list_consumers(struct redis_look *look);
extern const struct redis_naming redis_list_naming;

/* The N-th part of "DIGEST:NONCE:ATTEMPT:OWNER"; NULL: it has none. */
const char *redis_lease_part(const redisReply *member, int n);
/* A member of the lease's zset, any bytes. */
struct redis_lease {
	const char *text;
	size_t len;
};
/* Takes back a claim whose lease is over, back to the waiting ones or, after so
 * many attempts, to the dead letters; `ret_back` says whether it waits again.
 */
int redis_list_take_back(struct queue *queue, const struct redis_lease *member,
    int64_t max_attempts, bool *ret_back, struct err *err) MUST_CHECK;

int redis_list_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int redis_list_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

int redis_list_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err);

int redis_list_claim(struct queue *queue, int64_t wait_ms,
    struct queue_job *ret, bool *ret_got, struct err *err);
int redis_list_extend(struct queue *queue, struct queue_job *job,
    bool *ret_held, struct err *err);
int redis_list_finish(struct queue *queue, struct queue_job *job,
    bool *ret_held, struct err *err);
int redis_list_fail(struct queue *queue, struct queue_job *job,
    int64_t retry_ms, bool *ret_held, struct err *err);
int redis_list_bury(struct queue *queue, struct queue_job *job,
    const char *reason, bool *ret_held, struct err *err);
int redis_list_release(struct queue *queue, struct queue_job *job,
    bool *ret_held, struct err *err);
int redis_list_heartbeat(struct queue *queue, bool leaving, struct err *err);

#endif
