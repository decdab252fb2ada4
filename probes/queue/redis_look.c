/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/redis.h"
#include "probes/queue/redis_near.h"
#include "probes/queue/timestamp.h"

enum {
	PEEK_MAX = 64 << 10, /* of a payload that is searched for its time */
	ENDS = 2
};

/* What was asked for; each a number of the batch. */
struct asked {
	size_t waiting, active, delayed, dead;
	size_t leases, attempts;  /* how many */
	size_t held, again;       /* some of each */
	size_t ends[ENDS], nends; /* the oldest first */
	size_t expired;
};

/* --- first round: everything that needs no other answer --------------------
 */

static int
ask(struct redis_look *look, struct err *err)
{
	const struct redis_queue *redis = look->queue->state;
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const char *const ends[ENDS] = {
	    redis->consume_left ? "0" : "-1", redis->consume_left ? "-1" : "0"};

	(void)err;
	look->own = asked;
	asked->waiting = redis_batch_ask(batch, "LLEN", redis->key);
	asked->active = redis_batch_ask(batch, "LLEN", redis->processing);
	asked->delayed = redis_batch_ask(batch, "ZCARD", redis->delayed);
	asked->dead = redis_batch_ask(batch, "LLEN", redis->dead);
	asked->leases = redis_batch_ask(batch, "ZCARD", redis->lease);
	asked->attempts = redis_batch_ask(batch, "HLEN", redis->attempts);
	asked->held = redis_batch_ask(batch, "ZRANGE", redis->lease, "0", "99");
	asked->again = redis_batch_ask(
	    batch, "HSCAN", redis->attempts, "0", "COUNT", "100");
	asked->nends = queue_option(look->queue, "ts") != NULL ? ENDS : 1;
	for (size_t i = 0; i < asked->nends; i++)
		asked->ends[i] =
		    redis_batch_ask(batch, "LINDEX", redis->key, ends[i]);
	return 0;
}

/* --- second: what is over by the server's clock ----------------------------
 */

static int
ask_expired(struct redis_look *look, struct err *err)
{
	const struct redis_queue *redis = look->queue->state;
	struct asked *asked = look->own;
	char now[32];

	if (redis_check_key(look->queue,
	        redis_batch_reply(look->batch, asked->waiting), redis->key,
	        "list", err) == -1)
		return -1;
	struct queue_number waiting = redis_number(look, asked->waiting);

	look->state->exists =
	    redis_positive(&waiting) ? EXISTS_YES : EXISTS_EMPTY_OR_NOT;
	(void)snprintf(now, sizeof(now), "%" PRId64, look->server->now_ms);
	asked->expired =
	    redis_batch_ask(look->batch, "ZCOUNT", redis->lease, "-inf", now);
	return 0;
}

/* --- third: what it comes to -----------------------------------------------
 */

/* Does a reference worker use this list, or did one? Its traces: the sidecar
 * keys, or a client of its name. */
static bool
reference_seen(const struct queue_state *state, const char *key,
    const struct queue_number *leases, const struct queue_number *attempts)
{
	for (size_t i = 0; i < state->nwho; i++) {
		if (text_equal(state->who[i].reads, key))
			return true;
	}
	return redis_positive(leases) || redis_positive(attempts) ||
	       redis_positive(&state->delayed);
}

static void
read_leases(
    struct redis_look *look, bool reference, const struct queue_number *leases)
{
	struct queue_state *ret = look->state;
	const struct asked *asked = look->own;

	if (!reference) {
		ret->lease_expired =
		    queue_unknown("a plain list keeps no leases");
		ret->lease_missing = ret->lease_expired;
		return;
	}
	ret->lease_expired = redis_number(look, asked->expired);
	if (ret->active.know == KNOW_EXACT && leases->know == KNOW_EXACT)
		ret->lease_missing =
		    queue_exact(MAX(ret->active.value - leases->value, 0));
	else
		ret->lease_missing = queue_unknown(ret->active.why);
}

const char *
redis_lease_part(const redisReply *member, int n)
{
	const char *at =
	    member->type == REDIS_REPLY_STRING ? member->str : NULL;

	for (int part = 0; part < n && at != NULL; part++) {
		at = strchr(at, ':');
		at = at != NULL ? at + 1 : NULL;
	}
	return at;
}

static bool
leases_of(const redisReply *leases, const char *owner)
{
	for (size_t i = 0; i < leases->elements; i++)
		if (text_equal(redis_lease_part(leases->element[i], 3), owner))
			return true;
	return false;
}

/* Which of the consumers have a job in hand. */
static void
mark_holders(struct redis_look *look, const redisReply *leases)
{
	struct queue_state *ret = look->state;
	struct queue_consumer *who =
	    arena_array(look->arena, ret->nwho + 1, sizeof(*who));

	for (size_t i = 0; i < ret->nwho; i++) {
		who[i] = ret->who[i];
		if (leases_of(leases, who[i].id))
			who[i].proof |= PROOF_HOLDS_LEASE;
	}
	ret->who = who;
}

/* The highest attempt in hand or waiting again: of the leases, and of the
 * attempts that are kept for the next claim. */
static struct queue_number
read_attempts(struct redis_look *look)
{
	const struct asked *asked = look->own;
	const redisReply *held = redis_batch_reply(look->batch, asked->held);
	const redisReply *again = redis_batch_reply(look->batch, asked->again);
	int64_t most = 0;

	if (held->type != REDIS_REPLY_ARRAY)
		return redis_number(look, asked->held);
	if (again->type == REDIS_REPLY_ERROR)
		return redis_number(look, asked->again);
	mark_holders(look, held);
	for (size_t i = 0; i < held->elements; i++) {
		const char *attempt = redis_lease_part(held->element[i], 2);

		if (attempt != NULL)
			most = MAX(most, strtoll(attempt, NULL, 10));
	}
	if (again->type == REDIS_REPLY_ARRAY && again->elements == 2) {
		const redisReply *pairs = again->element[1];

		for (size_t i = 1; i < pairs->elements; i += 2)
			if (pairs->element[i]->type == REDIS_REPLY_STRING)
				most = MAX(most,
				    strtoll(pairs->element[i]->str, NULL, 10));
	}
	return (struct queue_number){.value = most, .know = KNOW_AT_LEAST};
}

static void
read_lists(struct redis_look *look)
{
	const struct redis_queue *redis = look->queue->state;
	const struct asked *asked = look->own;
	struct queue_state *ret = look->state;
	struct queue_number leases = redis_number(look, asked->leases);
	struct queue_number attempts = redis_number(look, asked->attempts);

	ret->waiting = redis_number(look, asked->waiting);
	ret->active = redis_number(look, asked->active);
	ret->delayed = redis_number(look, asked->delayed);
	ret->dead = redis_number(look, asked->dead);
	bool reference = reference_seen(ret, redis->key, &leases, &attempts);

	/* an absent key means 0 only where somebody is known to use it */
	if (!reference && !redis->processing_declared &&
	    !redis_positive(&ret->active))
		ret->active = queue_unknown(
		    "no 'processing' list is declared: a job that was taken "
		    "can't be seen");
	if (!reference && !redis_positive(&ret->delayed))
		ret->delayed = queue_inapplicable();
	if (!reference && !redis->dead_declared && !redis_positive(&ret->dead))
		ret->dead = queue_unknown("no 'deadLetter' list is declared");
	read_leases(look, reference, &leases);
	ret->attempts_max = reference
	                        ? read_attempts(look)
	                        : queue_unknown("a plain list counts none");
	ret->failed = queue_inapplicable();
	ret->completed = queue_unknown("a list doesn't count what is done");
}

/* --- age -------------------------------------------------------------------
 */

/* When the payload says that it was put in; -1 if it doesn't. */
static int64_t
payload_time_ms(
    struct arena *arena, const redisReply *payload, const char *path)
{
	int64_t ms = -1;

	if (payload->type != REDIS_REPLY_STRING || payload->len > PEEK_MAX)
		return -1;
	CLEANUP(json_free)
	cJSON *json = json_read(payload->str, payload->len, NULL);
	const cJSON *item = json != NULL ? json_at(json, path, arena) : NULL;

	if (item == NULL) {
		ms = -1;
	} else if (cJSON_IsString(item)) {
		if (timestamp_parse(item->valuestring, &ms) == -1)
			ms = -1;
	} else if (cJSON_IsNumber(item)) {
		ms = timestamp_of_number(item->valuedouble);
	}
	return ms;
}

static void
read_ends(struct redis_look *look)
{
	const struct asked *asked = look->own;
	const char *path = queue_option(look->queue, "ts");
	struct queue_state *ret = look->state;
	int64_t oldest_ms = -1;

	for (size_t i = 0; i < asked->nends; i++) {
		const redisReply *reply =
		    redis_batch_reply(look->batch, asked->ends[i]);

		if (i == 0 && reply->type == REDIS_REPLY_STRING) {
			char digest[QUEUE_DIGEST_SIZE];

			queue_digest(reply->str, reply->len, digest);
			ret->head = arena_text(look->arena, digest);
		}
		int64_t ms = path != NULL
		                 ? payload_time_ms(look->arena, reply, path)
		                 : -1;

		if (ms >= 0 && (oldest_ms < 0 || ms < oldest_ms))
			oldest_ms = ms;
	}
	if (ret->waiting.value == 0)
		ret->oldest_ms = queue_unknown("nothing waits");
	else if (path == NULL)
		ret->oldest_ms = queue_unknown(
		    "a list keeps no times; 'ts' may say where the payload has "
		    "one");
	else if (oldest_ms < 0)
		ret->oldest_ms = queue_unknown(arena_format(
		    look->arena, "the payload has no time at '%.80s'", path));
	else
		ret->oldest_ms =
		    queue_exact(MAX(look->server->now_ms - oldest_ms, 0));
}

static int
read_all(struct redis_look *look, struct err *err)
{
	(void)err;
	redis_list_consumers(look);
	read_lists(look);
	read_ends(look);
	return 0;
}

redis_round_fn *const redis_list_rounds[] = {ask, ask_expired, read_all, NULL};

const struct redis_naming redis_list_naming = {.scans = "list"};
