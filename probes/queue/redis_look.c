/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/near.h"
#include "probes/queue/redis.h"
#include "probes/queue/timestamp.h"

enum {
	PEEK_MAX = 64 << 10, /* of a payload that is searched for its time */
	SCAN_CALLS = 200,    /* of 1000 keys each: about 0.2 s of the server */
	SCAN_MS = 1500,
	DATABASES_MAX = 16,
	PATH_PARTS_MAX = 8
};

/* --- numbers ---------------------------------------------------------------
 */

/* An integer, or why there is none. A connection that broke stays broken: what
 * is asked after it says the same. */
static struct queue_number
ask_number(struct queue *queue, struct arena *arena, const char *doing,
    const struct redis_command *command)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;

	if (redis_send(queue, command, doing, &reply, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	if (reply->type != REDIS_REPLY_INTEGER)
		return queue_unknown("the server didn't answer with a number");
	return queue_exact(reply->integer);
}

static struct queue_number
ask_words(struct queue *queue, struct arena *arena, const char *const *words)
{
	struct redis_command command;
	const char *doing = words[0];

	redis_command_init(&command);
	for (; *words != NULL; words++)
		redis_command_text(&command, *words);
	return ask_number(queue, arena, doing, &command);
}

#define ask_count(queue, arena, ...) \
	ask_words((queue), (arena), (const char *const[]){__VA_ARGS__, NULL})

static bool
positive(const struct queue_number *number)
{
	return number->know == KNOW_EXACT && number->value > 0;
}

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
	return positive(leases) || positive(attempts) ||
	       positive(&state->delayed);
}

static void
look_at_leases(struct queue *queue, struct arena *arena, bool reference,
    const struct queue_number *leases, struct queue_state *ret)
{
	const struct redis_queue *redis = queue->state;
	char now[32];

	if (!reference) {
		ret->lease_expired =
		    queue_unknown("a plain list keeps no leases");
		ret->lease_missing = ret->lease_expired;
		return;
	}
	(void)snprintf(now, sizeof(now), "%" PRId64, ret->as_of_wall_ms);
	ret->lease_expired =
	    ask_count(queue, arena, "ZCOUNT", redis->lease, "-inf", now);
	if (ret->active.know == KNOW_EXACT && leases->know == KNOW_EXACT)
		ret->lease_missing =
		    queue_exact(MAX(ret->active.value - leases->value, 0));
	else
		ret->lease_missing = queue_unknown(ret->active.why);
}

/* The highest attempt in hand or waiting again: of the leases, and of the
 * attempts that are kept for the next claim. */
static int64_t
highest_lease_attempt(const redisReply *leases)
{
	int64_t most = 0;

	for (size_t i = 0; i < leases->elements; i++) {
		const char *at = leases->element[i]->str;

		for (int part = 0; part < 2 && at != NULL; part++) {
			at = strchr(at, ':');
			at = at != NULL ? at + 1 : NULL;
		}
		if (at != NULL)
			most = MAX(most, strtoll(at, NULL, 10));
	}
	return most;
}

/* "DIGEST:NONCE:ATTEMPT:OWNER" */
static bool
leases_of(const redisReply *leases, const char *owner)
{
	for (size_t i = 0; i < leases->elements; i++) {
		const char *at = leases->element[i]->str;

		for (int part = 0; part < 3 && at != NULL; part++) {
			at = strchr(at, ':');
			at = at != NULL ? at + 1 : NULL;
		}
		if (text_equal(at, owner))
			return true;
	}
	return false;
}

/* Which of the consumers have a job in hand. */
static void
mark_holders(
    struct arena *arena, const redisReply *leases, struct queue_state *ret)
{
	struct queue_consumer *who =
	    arena_array(arena, ret->nwho + 1, sizeof(*who));

	for (size_t i = 0; i < ret->nwho; i++) {
		who[i] = ret->who[i];
		if (leases_of(leases, who[i].id))
			who[i].proof |= PROOF_HOLDS_LEASE;
	}
	ret->who = who;
}

static struct queue_number
look_at_attempts(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *leases = NULL;
	CLEANUP(redis_reply_free) redisReply *again = NULL;
	struct err err = ERR_INIT;

	if (redis_ask(queue, "attempts", &leases, &err, "ZRANGE", redis->lease,
	        "0", "99") == -1 ||
	    redis_ask(queue, "attempts", &again, &err, "HSCAN", redis->attempts,
	        "0", "COUNT", "100") == -1)
		return queue_unknown(arena_text(arena, err.text));
	int64_t most = highest_lease_attempt(leases);

	mark_holders(arena, leases, ret);

	if (again->type == REDIS_REPLY_ARRAY && again->elements == 2) {
		const redisReply *pairs = again->element[1];

		for (size_t i = 1; i < pairs->elements; i += 2)
			most = MAX(
			    most, strtoll(pairs->element[i]->str, NULL, 10));
	}
	return (struct queue_number){.value = most, .know = KNOW_AT_LEAST};
}

/* --- age -------------------------------------------------------------------
 */

static const cJSON *
walk(const cJSON *json, const char *path, struct arena *arena)
{
	char *part = arena_text(arena, path);

	for (int i = 0; i < PATH_PARTS_MAX && json != NULL && part != NULL;
	     i++) {
		char *dot = strchr(part, '.');

		if (dot != NULL)
			*dot++ = '\0';
		json = cJSON_GetObjectItemCaseSensitive(json, part);
		part = dot;
	}
	return json;
}

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
	const cJSON *item = json != NULL ? walk(json, path, arena) : NULL;

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
look_at_ends(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct redis_queue *redis = queue->state;
	const char *path = queue_option(queue, "ts");
	const char *const ends[] = {
	    redis->consume_left ? "0" : "-1", redis->consume_left ? "-1" : "0"};
	int64_t oldest_ms = -1;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < (path != NULL ? ARRAY_LEN(ends) : 1); i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "peek", &reply, &err, "LINDEX", redis->key,
		        ends[i]) == -1)
			break;
		if (i == 0 && reply->type == REDIS_REPLY_STRING) {
			char digest[REDIS_DIGEST_SIZE];

			redis_digest(reply->str, reply->len, digest);
			ret->head = arena_text(arena, digest);
		}
		int64_t ms =
		    path != NULL ? payload_time_ms(arena, reply, path) : -1;

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
		    arena, "the payload has no time at '%.80s'", path));
	else
		ret->oldest_ms =
		    queue_exact(MAX(ret->as_of_wall_ms - oldest_ms, 0));
}

/* --- the whole -------------------------------------------------------------
 */

static int
look_at_type(struct queue *queue, struct queue_state *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "look at the list", &reply, err, "TYPE",
	        redis->key) == -1)
		return -1;
	const char *type = reply->str != NULL ? reply->str : "";

	if (text_equal(type, "none"))
		ret->exists = EXISTS_EMPTY_OR_NOT;
	else if (text_equal(type, "list"))
		ret->exists = EXISTS_YES;
	else
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "WRONGTYPE", err,
		    ERR_REFUSED,
		    "'%s' is a %s, not a list: somebody else's "
		    "protocol",
		    redis->key, type);
	return 0;
}

/* The server's clock: ages are never told by ours. */
static int
look_at_clock(struct queue *queue, struct queue_state *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	ret->as_of_wall_ms = clock_wall_ms();
	if (redis_ask(queue, "ask the time", &reply, err, "TIME") == -1) {
		/* a user without TIME; anything else is the end of looking */
		return queue->cause == CAUSE_PERMISSION ? 0 : -1;
	}
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
		ret->as_of_wall_ms =
		    strtoll(reply->element[0]->str, NULL, 10) * 1000 +
		    strtoll(reply->element[1]->str, NULL, 10) / 1000;
	return 0;
}

static void
look_at_lists(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct redis_queue *redis = queue->state;
	struct queue_number leases =
	    ask_count(queue, arena, "ZCARD", redis->lease);
	struct queue_number attempts =
	    ask_count(queue, arena, "HLEN", redis->attempts);

	ret->active = ask_count(queue, arena, "LLEN", redis->processing);
	ret->delayed = ask_count(queue, arena, "ZCARD", redis->delayed);
	ret->dead = ask_count(queue, arena, "LLEN", redis->dead);
	bool reference = reference_seen(ret, redis->key, &leases, &attempts);

	/* an absent key means 0 only where somebody is known to use it */
	if (!reference && !redis->processing_declared &&
	    !positive(&ret->active))
		ret->active = queue_unknown(
		    "no 'processing' list is declared: a job that was taken "
		    "can't be seen");
	if (!reference && !positive(&ret->delayed))
		ret->delayed = queue_inapplicable();
	if (!reference && !redis->dead_declared && !positive(&ret->dead))
		ret->dead = queue_unknown("no 'deadLetter' list is declared");
	look_at_leases(queue, arena, reference, &leases, ret);
	ret->attempts_max = reference
	                        ? look_at_attempts(queue, arena, ret)
	                        : queue_unknown("a plain list counts none");
	ret->failed = queue_inapplicable();
	ret->completed = queue_unknown("a list doesn't count what is done");
}

int
redis_list_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct redis_queue *redis = queue->state;

	if (look_at_clock(queue, ret, err) == -1)
		return -1;
	ret->identity =
	    arena_text(arena, redis_connection_run_id(redis->redis));
	ret->engine = arena_format(
	    arena, "redis %s", redis_connection_version(redis->redis));
	if (look_at_type(queue, ret, err) == -1)
		return -1;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "LLEN", &reply, err, "LLEN", redis->key) == -1)
		return -1;
	ret->waiting = queue_exact(reply->integer);
	redis_list_consumers(queue, arena, ret);
	look_at_lists(queue, arena, ret);
	look_at_ends(queue, arena, ret);
	return 0;
}

/* --- near names ------------------------------------------------------------
 */

static struct queue_number
length_of(
    struct queue *queue, struct arena *arena, const char *key, const char *type)
{
	static const struct {
		const char *type, *command;
	} lengths[] = {{"list", "LLEN"}, {"zset", "ZCARD"}, {"set", "SCARD"},
	    {"hash", "HLEN"}, {"stream", "XLEN"}};

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		if (text_equal(lengths[i].type, type))
			return ask_count(queue, arena, lengths[i].command, key);
	}
	return queue_inapplicable();
}

/* One round trip's worth of guesses, O(1) each. */
static int
try_names(struct queue *queue, struct near *near, const char *const *names,
    size_t count, const char *where, struct err *err)
{
	const struct redis_queue *redis = queue->state;

	for (size_t i = 0; i < count; i++) {
		struct redis_command command;

		redis_command_init(&command);
		redis_command_text(&command, "TYPE");
		redis_command_text(&command, names[i]);
		if (redis_connection_append(redis->redis, &command, err) == -1)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		int rc = redis_connection_reply(
		    redis->redis, queue->deadline_ms, &reply, err);

		if (rc == -1)
			return redis_checked(
			    queue, rc, &reply, "look for near names", err);
		/* a refusal (ACL) is no name */
		if (reply->type == REDIS_REPLY_STATUS &&
		    !text_equal(reply->str, "none"))
			near_offer(near, names[i], where,
			    arena_text(near->arena, reply->str));
	}
	return 0;
}

static int
scan(struct queue *queue, struct near *near, struct err *err)
{
	const char *budget = queue_option(queue, "budget");
	int64_t calls = SCAN_CALLS;
	int64_t until_ms = clock_after(clock_ms(), SCAN_MS);
	const char *cursor = "0";

	if (budget != NULL && text_i64(budget, 0, 1000000, &calls, err) == -1)
		return err_wrap(err, "'budget'");
	for (int64_t i = 0; i < calls && clock_ms() < until_ms; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "look through the keys", &reply, err,
		        "SCAN", cursor, "COUNT", "1000", "TYPE", "list") == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
			return 0;
		const redisReply *keys = reply->element[1];

		for (size_t k = 0; k < keys->elements; k++)
			near_offer(near, keys->element[k]->str, "", "list");
		cursor = arena_text(near->arena, reply->element[0]->str);
		if (text_equal(cursor, "0"))
			return 0;
	}
	return 0;
}

static int
select_database(struct queue *queue, int64_t db, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	char number[24];

	(void)snprintf(number, sizeof(number), "%" PRId64, db);
	return redis_ask(
	    queue, "select a database", &reply, err, "SELECT", number);
}

/* The same name, or one like it, in another database of the server. */
static int
try_databases(struct queue *queue, struct near *near, const char *const *names,
    size_t count, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err refused = ERR_INIT;
	int64_t own = redis_connection_db(redis->redis);
	int tried = 0;
	int rc = 0;

	if (redis_ask(queue, "list the databases", &reply, &refused, "INFO",
	        "keyspace") == -1 ||
	    reply->str == NULL)
		return queue->cause == CAUSE_PERMISSION
		           ? 0
		           : err_set(err, refused.kind, "%s", refused.text);
	for (const char *at = strstr(reply->str, "\ndb");
	     at != NULL && tried < DATABASES_MAX && rc == 0;
	     at = strstr(at + 1, "\ndb")) {
		int64_t db = strtoll(at + 3, NULL, 10);

		if (db == own)
			continue;
		tried++;
		if (select_database(queue, db, &refused) == -1)
			break; /* not allowed to: then not looked there */
		const char *where =
		    arena_format(near->arena, "db %" PRId64, db);

		rc = try_names(queue, near, names, count, where, err);
		for (size_t i = 0; rc == 0 && i < near->count; i++) {
			struct queue_near *found = &near->found[i];

			if (text_equal(found->where, where))
				found->waiting = length_of(queue, near->arena,
				    found->name, found->type);
		}
	}
	if (tried > 0 && select_database(queue, own, err) == -1)
		return -1;
	return rc;
}

int
redis_list_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	const char *names[NEAR_CANDIDATES_MAX + 1];
	struct near near;

	near_init(&near, arena, queue->name);
	size_t count = near_candidates(arena, queue->name, names);

	if (try_names(queue, &near, names, count, "", err) == -1 ||
	    scan(queue, &near, err) == -1)
		return -1;
	for (size_t i = 0; i < near.count; i++)
		near.found[i].waiting = length_of(
		    queue, arena, near.found[i].name, near.found[i].type);
	names[count] = queue->name;
	if (try_databases(queue, &near, names, count + 1, err) == -1)
		return -1;
	near_finish(&near, state);
	return 0;
}
