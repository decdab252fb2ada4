/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_JOBS_H
#define REEVE_PROBES_QUEUE_REDIS_JOBS_H

#include "probes/queue/redis.h"

/*
 * For redis_jobs.c and redis_move.c: jobs of a list as people look at them, and
 * the way back of dead letters and expired claims. A list has no ids: a
 * payload's digest is one, and equal payloads have the same, so an id stands
 * for as many jobs as it is given.
 *
 * Payloads may be large and lists long. A script hashes at most
 * REDIS_HASHED_MAX bytes, so that the server is never held up; what is seen of
 * a payload is its beginning. Where scripts are forbidden, elements are fetched
 * one by one, and a job is moved by MULTI under WATCH.
 */
enum {
	REDIS_HASHED_MAX = 4 << 20, /* bytes of one script's run */
};

/* A list or a zset of jobs, and how its oldest is found. */
struct redis_source {
	const char *key, *type; /* "left", "right", "zset" */
};

/* A claim, taken apart: DIGEST:NONCE:ATTEMPT:OWNER. */
struct redis_claim {
	struct redis_lease member;
	char digest[QUEUE_DIGEST_SIZE];
	int64_t attempts;
	const char *owner;
	bool used;
};

/* For a command's words. */
const char *redis_number_text(struct arena *arena, int64_t value);
/* ACLs and managed servers take scripts away. */
bool redis_is_forbidden(const struct queue *queue, const struct err *err);
/* The server answered something else than it should have. Returns -1. */
int redis_bad_answer(struct queue *queue, struct err *err);
/* The element that far from the oldest; a reply of another type than a string
 * (of a zset: than an array of one): there is none. */
int redis_fetch_one(struct queue *queue, const struct redis_source *source,
    size_t index, struct arena *arena, redisReply **ret,
    struct err *err) MUST_CHECK;
/* Those whose lease is over (`expired`), or all; the soonest to end first. */
int redis_ask_claims(struct queue *queue, bool expired, struct arena *arena,
    struct redis_claim **ret, size_t *ret_count, struct err *err) MUST_CHECK;
/* One of that payload, each of them once; NULL: there is none left. */
struct redis_claim *redis_unused_claim(
    struct redis_claim *claims, size_t count, const char *digest);

#endif
