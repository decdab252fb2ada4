/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis.h"
#include "probes/queue/redis_near.h"

enum {
	SEARCH_MAX = 10000, /* elements looked through from each end */
	LEASES_MAX = 1000
};

static const char *
option_of(struct queue *queue, const char *a, const char *b)
{
	const char *value = queue_option(queue, a);

	return value != NULL ? value : queue_option(queue, b);
}

static int
read_keys(struct queue *queue, struct redis_queue *redis, struct err *err)
{
	struct arena *arena = &queue->arena;
	const char *key = queue->name;
	const char *processing = queue_option(queue, "processing");
	const char *dead = option_of(queue, "deadLetter", "dlq");
	const char *consume = queue_option(queue, "consume");

	redis->key = key;
	redis->processing = processing != NULL
	                        ? processing
	                        : arena_format(arena, "%s:processing", key);
	redis->processing_declared = processing != NULL;
	redis->lease = arena_format(arena, "%s:reeve:lease", key);
	redis->attempts = arena_format(arena, "%s:reeve:attempts", key);
	redis->delayed = arena_format(arena, "%s:reeve:delayed", key);
	redis->dead = dead != NULL ? dead : arena_format(arena, "%s:dead", key);
	redis->dead_declared = dead != NULL;
	const struct redis_key_type types[] = {{key, "list"},
	    {redis->processing, "list"}, {redis->dead, "list"},
	    {redis->lease, "zset"}, {redis->attempts, "hash"},
	    {redis->delayed, "zset"}, {NULL, NULL}};
	struct redis_key_type *kept =
	    arena_array(arena, ARRAY_LEN(types), sizeof(*kept));

	memcpy(kept, types, sizeof(types));
	redis->handle.types = kept;
	redis->consume_left = text_equal(consume, "left");
	if (consume != NULL && !redis->consume_left &&
	    !text_equal(consume, "right"))
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'consume' is left or right, not '%.40s'", consume);
	return 0;
}

static int
redis_list_open(struct queue *queue, struct err *err)
{
	struct redis_queue *redis = arena_alloc(&queue->arena, sizeof(*redis));
	const char *name = NULL;

	queue->state = redis;
	redis->handle.naming = &redis_list_naming;
	if (read_keys(queue, redis, err) == -1)
		return -1;
	if (queue->consuming.owner != NULL)
		name = redis_client_name(
		    &queue->arena, redis->key, queue->consuming.owner);
	return redis_kind_open(queue, name,
	    arena_format(&queue->arena, "list %s", redis->key),
	    redis_list_rounds, err);
}

/* --- one job ---------------------------------------------------------------
 */

static int
redis_list_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;
	char digest[QUEUE_DIGEST_SIZE];

	redis_command_init(&command);
	redis_command_text(&command, redis->consume_left ? "RPUSH" : "LPUSH");
	redis_command_text(&command, redis->key);
	redis_command_bytes(&command, job->payload, job->len);
	if (redis_send(queue, &command, "put a job in", &reply, err) == -1)
		return -1;
	queue_digest(job->payload, job->len, digest);
	*ret_receipt = arena_text(arena, digest);
	return 0;
}

/* Is the payload in the list? Looked for from both ends, so that a list of any
 * size costs the same; `ret_whole` says whether that was all of it. */
static int
find_in_list(struct queue *queue, const char *key,
    const struct queue_submission *job, bool *ret_found, bool *ret_whole,
    struct err *err)
{
	static const char *const ranks[] = {"1", "-1"};
	CLEANUP(redis_reply_free) redisReply *length = NULL;

	if (redis_ask(queue, "look for the job", &length, err, "LLEN", key) ==
	    -1)
		return -1;
	*ret_whole = length->integer <= 2LL * SEARCH_MAX;
	*ret_found = false;
	for (size_t i = 0; i < ARRAY_LEN(ranks) && !*ret_found; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct redis_command command;

		redis_command_init(&command);
		redis_command_text(&command, "LPOS");
		redis_command_text(&command, key);
		redis_command_bytes(&command, job->payload, job->len);
		redis_command_text(&command, "RANK");
		redis_command_text(&command, ranks[i]);
		redis_command_text(&command, "MAXLEN");
		redis_command_text(&command, "10000"); /* SEARCH_MAX */
		if (redis_send(
		        queue, &command, "look for the job", &reply, err) == -1)
			return -1;
		*ret_found = reply->type == REDIS_REPLY_INTEGER;
	}
	return 0;
}

/* DIGEST:NONCE:ATTEMPT:OWNER, a member of KEY:reeve:lease. */
static int
find_lease(struct queue *queue, const char *digest, struct arena *arena,
    struct queue_sighting *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "look at the leases", &reply, err, "ZRANGE",
	        redis->lease, "0", "999") == -1)
		return -1;
	for (size_t i = 0; i < reply->elements; i++) {
		const char *member = reply->element[i]->str;
		const char *nonce = strchr(member, ':');
		const char *attempt =
		    nonce != NULL ? strchr(nonce + 1, ':') : NULL;
		const char *owner =
		    attempt != NULL ? strchr(attempt + 1, ':') : NULL;

		if (owner == NULL || !text_starts(member, digest))
			continue;
		ret->by = arena_text(arena, owner + 1);
		ret->attempts = strtoll(attempt + 1, NULL, 10);
	}
	return 0;
}

/* Waiting for its next attempt: ATTEMPT:NONCE:PAYLOAD in KEY:reeve:delayed. */
static int
find_delayed(struct queue *queue, const struct queue_submission *job,
    struct queue_sighting *ret, bool *ret_found, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "look at the delayed jobs", &reply, err, "ZRANGE",
	        redis->delayed, "0", "99") == -1)
		return -1;
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *member = reply->element[i];
		const char *nonce = strchr(member->str, ':');
		const char *payload =
		    nonce != NULL ? strchr(nonce + 1, ':') : NULL;

		if (payload == NULL)
			continue;
		payload++;
		size_t len = member->len - (size_t)(payload - member->str);

		if (len == job->len &&
		    memcmp(payload, job->payload, len) == 0) {
			*ret_found = true;
			ret->attempts = strtoll(member->str, NULL, 10);
		}
	}
	return 0;
}

static int
find_taken(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	char digest[QUEUE_DIGEST_SIZE];
	bool found = false;
	bool whole = false;
	bool delayed = false;

	queue_digest(job->payload, job->len, digest);
	if (find_in_list(queue, redis->processing, job, &found, &whole, err) ==
	    -1)
		return -1;
	if (found) {
		ret->place = PLACE_TAKEN;
		ret->detail =
		    arena_format(arena, "in list %s", redis->processing);
		return find_lease(queue, digest, arena, ret, err);
	}
	if (find_delayed(queue, job, ret, &delayed, err) == -1)
		return -1;
	if (delayed) {
		ret->place = PLACE_TAKEN;
		ret->detail = arena_format(arena,
		    "failed attempt %" PRId64 ", waits for the next",
		    ret->attempts);
	}
	return 0;
}

static int
redis_list_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	bool found = false;
	bool whole = false;
	bool whole_dead = false;

	if (find_in_list(queue, redis->key, job, &found, &whole, err) == -1)
		return -1;
	if (found) {
		ret->place = PLACE_VISIBLE;
		ret->detail = arena_format(arena, "in list %s", redis->key);
		return 0;
	}
	if (find_taken(queue, job, arena, ret, err) == -1)
		return -1;
	if (ret->place != PLACE_UNKNOWN)
		return 0;
	if (find_in_list(queue, redis->dead, job, &found, &whole_dead, err) ==
	    -1)
		return -1;
	if (found) {
		ret->place = PLACE_DEAD;
		ret->detail = arena_format(arena, "in list %s", redis->dead);
	} else if (whole && whole_dead) {
		ret->place = PLACE_GONE;
		ret->detail = arena_format(arena,
		    "neither in %s nor in %s, %s or %s", redis->key,
		    redis->processing, redis->delayed, redis->dead);
	} else {
		ret->detail = arena_format(arena,
		    "the list is too long to be searched: only %d elements at "
		    "each end were",
		    SEARCH_MAX);
	}
	return 0;
}

static int
redis_list_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	const char *const lists[] = {redis->key, redis->dead};

	*ret_removed = false;
	for (size_t i = 0; i < ARRAY_LEN(lists) && !*ret_removed; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct redis_command command;
		bool found = false;
		bool whole = false;

		/* LREM that misses reads the whole list: look first */
		if (find_in_list(queue, lists[i], job, &found, &whole, err) ==
		    -1)
			return -1;
		if (!found)
			continue;
		redis_command_init(&command);
		redis_command_text(&command, "LREM");
		redis_command_text(&command, lists[i]);
		redis_command_text(&command, redis->consume_left ? "-1" : "1");
		redis_command_bytes(&command, job->payload, job->len);
		if (redis_send(
		        queue, &command, "remove the job", &reply, err) == -1)
			return -1;
		*ret_removed =
		    reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	}
	return 0;
}

static const char *const schemes[] = {
    "redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel", NULL};
static const char *const keys[] = {"list", "processing", "consume",
    "deadLetter", "dlq", "test", "ts", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_redis_list = {
    .kind = "redis",
    .schemes = schemes,
    .name_key = "list",
    .keys = keys,
    .consumes = true,
    .open = redis_list_open,
    REDIS_KIND_CALLS,
    .submit = redis_list_submit,
    .follow = redis_list_follow,
    .remove = redis_list_remove,
    .list = redis_list_list,
    .newest = NEWEST_WAITING,
    .move = redis_list_move,
    .reap = redis_list_reap,
    .claim = redis_list_claim,
    .extend = redis_list_extend,
    .finish = redis_list_finish,
    .fail = redis_list_fail,
    .bury = redis_list_bury,
    .release = redis_list_release,
    .heartbeat = redis_list_heartbeat,
};
