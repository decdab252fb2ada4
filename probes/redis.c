/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/look.h"
#include "probes/redis_connection.h"

/*
 * Kind "redis": connect, log in, PING; with "key" (and "field" for a hash)
 * whether it exists or what it holds. Facts: server, run-id, db, type, value,
 * by.
 */

static void
trouble(struct look *look, struct redis_connection *redis,
    const redisReply *reply, const struct err *err)
{
	const char *code = "";

	if (reply == NULL) {
		enum cause cause = redis_connection_cause(redis);
		if (cause == CAUSE_WRONG_TYPE)
			look_failed(look, cause, "", "%s", err->text);
		else
			look_unknown(look, cause, "", "%s", err->text);
		return;
	}
	enum cause cause = redis_error_cause(reply, look->arena, &code);
	look_failed(look, cause, code, "%s", reply->str);
}

/* What a reply holds as text; NULL for nil. */
static const char *
reply_text(struct look *look, const redisReply *reply)
{
	switch (reply->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return arena_bytes(look->arena, reply->str, (size_t)reply->len);
	case REDIS_REPLY_INTEGER:
		return arena_format(look->arena, "%lld", reply->integer);
	default:
		return NULL;
	}
}

/* -1 with the answer set. */
static int
ask(struct look *look, struct redis_connection *redis,
    const struct redis_command *command, const char **ret)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;

	if (redis_connection_run(
	        redis, look->ladder.deadline_ms, command, &reply, &err) == -1 ||
	    reply->type == REDIS_REPLY_ERROR) {
		trouble(look, redis, reply, &err);
		return -1;
	}
	*ret = reply_text(look, reply);
	return 0;
}

static int
ask_words(struct look *look, struct redis_connection *redis,
    const char *const *words, const char **ret)
{
	struct redis_command command;

	redis_command_init(&command);
	for (; *words != NULL; words++)
		redis_command_text(&command, *words);
	return ask(look, redis, &command, ret);
}

/* The value of a key, or how long what it names is. */
static int
read_key(struct look *look, struct redis_connection *redis, const char *key,
    const char *type, const char **ret)
{
	static const struct {
		const char *type, *command;
	} lengths[] = {{"list", "LLEN"}, {"set", "SCARD"}, {"zset", "ZCARD"},
	    {"stream", "XLEN"}, {"hash", "HLEN"}};
	const char *field = NULL;

	if (look_text(look, "field", NULL, &field) == -1)
		return -1;
	if (field != NULL) {
		const char *words[] = {"HGET", key, field, NULL};
		return ask_words(look, redis, words, ret);
	}
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		if (text_equal(lengths[i].type, type)) {
			const char *words[] = {lengths[i].command, key, NULL};
			return ask_words(look, redis, words, ret);
		}
	const char *words[] = {"GET", key, NULL};
	return ask_words(look, redis, words, ret);
}

static void
who_processed(struct look *look, struct redis_connection *redis,
    const char *key, const char *type)
{
	const char *by = NULL;
	const char *value = NULL;
	struct observation before = look->out;

	if (look_text(look, "by", NULL, &by) == -1 || by == NULL)
		return;
	if (text_equal(type, "hash")) {
		const char *words[] = {"HGET", key, by, NULL};
		if (ask_words(look, redis, words, &value) == 0 && value != NULL)
			look_note(look, "by", "%s", value);
	}
	/* the answer is about the key; facts stay */
	before.nfacts = look->out.nfacts;
	look->out = before;
}

static void
look_at_key(struct look *look, struct redis_connection *redis, const char *key)
{
	const char *type_words[] = {"TYPE", key, NULL};
	const char *type = NULL;
	const char *value = NULL;
	bool wanted = true;
	bool compares =
	    cJSON_GetObjectItemCaseSensitive(look->request, "equals") != NULL ||
	    cJSON_GetObjectItemCaseSensitive(look->request, "atLeast") != NULL;

	if (look_bool(look, "exists", true, &wanted) == -1 ||
	    ask_words(look, redis, type_words, &type) == -1)
		return;
	bool exists = type != NULL && !text_equal(type, "none");
	look_note(look, "type", "%s", type != NULL ? type : "none");
	if (exists != wanted) {
		look_failed(look, exists ? CAUSE_MISMATCH : CAUSE_NOT_FOUND, "",
		    exists ? "key %s exists" : "there is no key %s", key);
		return;
	}
	if (!exists || !compares) {
		look_passed(
		    look, exists ? "key %s exists" : "there is no key %s", key);
	} else {
		if (read_key(look, redis, key, type, &value) == -1)
			return;
		look_expect(
		    look, arena_format(look->arena, "key %s", key), value);
	}
	if (exists)
		who_processed(look, redis, key, type);
}

static void
close_redis(void *redis)
{
	redis_connection_close(redis);
}

/* A kept connection may have died meanwhile: PING decides. */
static struct redis_connection *
take_kept(struct look *look, const char *url)
{
	struct redis_connection *redis = look_take(look, "redis", url);
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis == NULL)
		return NULL;
	if (redis_connection_do(redis, look->ladder.deadline_ms, &reply, NULL,
	        "PING", NULL) == 0)
		return redis;
	redis_connection_close(redis);
	return NULL;
}

void
probe_redis(struct look *look)
{
	struct redis_connection *redis = NULL;
	const char *url = NULL;
	const char *key = NULL;

	if (look_need(look, "url", &url) == -1 ||
	    look_text(look, "key", NULL, &key) == -1)
		return;
	look_url(look, url);
	redis = take_kept(look, url);
	if (redis == NULL &&
	    redis_connection_open(url, NULL, &look->ladder, &redis) == -1) {
		look_ladder_failed(look);
		return;
	}
	look->out.identity =
	    arena_text(look->arena, redis_connection_run_id(redis));
	look_note(look, "server", "%s", redis_connection_version(redis));
	look_note(look, "db", "%d", redis_connection_db(redis));
	look_passed(look, "PING answered by %s, db %d",
	    redis_connection_address(redis), redis_connection_db(redis));
	if (key != NULL) {
		ladder_begin(&look->ladder, STEP_QUERY, "");
		look_at_key(look, redis, look_canary(look, key, false));
	}
	if (redis_connection_cause(redis) == CAUSE_NONE)
		look_keep(look, "redis", url, redis, close_redis);
	else
		redis_connection_close(redis);
}
