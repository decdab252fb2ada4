/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "probes/redis_connection.h"
#include "probes/redis_login.h"

enum {
	REDIS_READ_BYTES = 16 * 1024,
	REDIS_INFO_MAX = 64,
	/* a list of more can't come whole: an item takes four bytes or more */
	REDIS_ITEMS_MAX = REDIS_REPLY_MAX_BYTES / 4,
};

struct redis_connection {
	struct stream *stream;
	redisReader *reader;
	redisReplyObjectFunctions plain,
	    bounded;   /* what it makes replies with */
	bool too_many; /* a list of more than REDIS_ITEMS_MAX was announced */
	size_t fed_bytes; /* of the reply that is being read */
	char *unsent;     /* appended, not written yet */
	size_t unsent_len, unsent_size;
	int db;
	bool broken;
	enum cause cause;
	bool asked_info;
	char run_id[REDIS_INFO_MAX];
	char version[REDIS_INFO_MAX];
};

void
redis_connection_closep(struct redis_connection **redis)
{
	redis_connection_close(*redis);
	*redis = NULL;
}

void
redis_connection_close(struct redis_connection *redis)
{
	if (redis == NULL)
		return;
	stream_close(redis->stream);
	if (redis->reader != NULL)
		redisReaderFree(redis->reader);
	if (redis->unsent != NULL)
		explicit_bzero(redis->unsent, redis->unsent_len);
	free(redis->unsent);
	free(redis);
}

static int
broken(struct redis_connection *redis, enum cause cause)
{
	redis->broken = true;
	redis->cause = cause;
	return -1;
}

int
redis_connection_append_wire(struct redis_connection *redis, const char *wire,
    size_t len, struct err *err)
{
	if (redis->broken)
		return err_set(err, ERR_SYSTEM,
		    "the connection to %s is broken",
		    redis_connection_address(redis));
	if (redis->unsent_len + len > redis->unsent_size) {
		size_t size = 2 * (redis->unsent_len + len);
		char *grown = malloc(size);

		if (grown == NULL) {
			(void)broken(redis, CAUSE_INTERNAL);
			return err_set(err, ERR_SYSTEM, "out of memory");
		}
		/* not realloc: what is unsent may be an AUTH */
		if (redis->unsent != NULL) {
			memcpy(grown, redis->unsent, redis->unsent_len);
			explicit_bzero(redis->unsent, redis->unsent_len);
			free(redis->unsent);
		}
		redis->unsent = grown;
		redis->unsent_size = size;
	}
	memcpy(redis->unsent + redis->unsent_len, wire, len);
	redis->unsent_len += len;
	return 0;
}

/* A pipeline: append any number (nothing is sent yet), then take one reply for
 * each, in order. */
static int
redis_connection_append(struct redis_connection *redis,
    const struct redis_command *command, struct err *err)
{
	char *wire = NULL;
	size_t len = 0;

	if (redis_command_wire(command, &wire, &len) == -1) {
		(void)broken(redis, CAUSE_INTERNAL);
		return err_set(err, ERR_SYSTEM, "out of memory");
	}
	int rc = redis_connection_append_wire(redis, wire, len, err);

	explicit_bzero(wire, len);
	redisFreeCommand(wire);
	return rc;
}

static int
flush(struct redis_connection *redis, int64_t deadline_ms, struct err *err)
{
	if (redis->unsent_len == 0)
		return 0;
	int rc = stream_write(
	    redis->stream, redis->unsent, redis->unsent_len, deadline_ms, err);
	explicit_bzero(redis->unsent, redis->unsent_len);
	redis->unsent_len = 0;
	if (rc == -1)
		return broken(redis, err != NULL && err->kind == ERR_TIMEOUT
		                         ? CAUSE_SILENT
		                         : CAUSE_UNAVAILABLE);
	return 0;
}

/* More bytes into the reader; -1 when there are none in time or too many. */
static int
feed(struct redis_connection *redis, int64_t deadline_ms, struct err *err)
{
	char bytes[REDIS_READ_BYTES / 4];
	struct err why = ERR_INIT;
	ssize_t n =
	    stream_read(redis->stream, bytes, sizeof(bytes), deadline_ms, &why);

	if (n == -1) {
		if (err != NULL)
			*err = why;
		return broken(redis,
		    why.kind == ERR_TIMEOUT ? CAUSE_SILENT : CAUSE_UNAVAILABLE);
	}
	if (n == 0) {
		(void)broken(redis, CAUSE_UNAVAILABLE);
		return err_set(err, ERR_SYSTEM, "%s closed the connection",
		    stream_address(redis->stream));
	}
	redis->fed_bytes += (size_t)n;
	if (redis->fed_bytes > REDIS_REPLY_MAX_BYTES) {
		(void)broken(redis, CAUSE_MISMATCH);
		return err_set(err, ERR_CAPACITY,
		    "the reply of %s is longer than %d bytes",
		    stream_address(redis->stream), REDIS_REPLY_MAX_BYTES);
	}
	if (redisReaderFeed(redis->reader, bytes, (size_t)n) != REDIS_OK) {
		(void)broken(redis, CAUSE_WRONG_TYPE);
		return err_set(err, ERR_REFUSED,
		    "%s does not speak Redis' protocol",
		    stream_address(redis->stream));
	}
	return 0;
}

/* hiredis makes room for as many items as are announced, before one came. */
static void *
array_create(const redisReadTask *task, int items)
{
	struct redis_connection *redis = task->privdata;

	redis->too_many = items > REDIS_ITEMS_MAX;
	return redis->too_many ? NULL : redis->plain.createArray(task, items);
}

static int
reader_create(struct redis_connection *redis)
{
	redis->reader = redisReaderCreate();
	if (redis->reader == NULL)
		return -1;
	redis->plain = *redis->reader->fn;
	redis->bounded = redis->plain;
	redis->bounded.createArray = array_create;
	redis->reader->fn = &redis->bounded;
	redis->reader->privdata = redis;
	return 0;
}

static int
reader_failed(struct redis_connection *redis, struct err *err)
{
	if (redis->too_many) {
		(void)broken(redis, CAUSE_MISMATCH);
		return err_set(err, ERR_CAPACITY,
		    "the reply of %s announces more than %d items",
		    stream_address(redis->stream), REDIS_ITEMS_MAX);
	}
	(void)broken(redis, CAUSE_WRONG_TYPE);
	return err_set(err, ERR_REFUSED, "%s does not speak Redis' protocol",
	    stream_address(redis->stream));
}

int
redis_connection_reply(struct redis_connection *redis, int64_t deadline_ms,
    redisReply **ret, struct err *err)
{
	void *reply = NULL;

	if (redis->broken)
		return err_set(err, ERR_SYSTEM,
		    "the connection to %s is broken",
		    redis_connection_address(redis));
	if (flush(redis, deadline_ms, err) == -1)
		return -1;
	redis->fed_bytes = 0;
	for (;;) {
		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
			return reader_failed(redis, err);
		if (reply != NULL)
			break;
		if (feed(redis, deadline_ms, err) == -1)
			return -1;
	}
	*ret = reply;
	return 0;
}

int
redis_connection_run(struct redis_connection *redis, int64_t deadline_ms,
    const struct redis_command *command, redisReply **ret, struct err *err)
{
	if (redis_connection_append(redis, command, err) == -1)
		return -1;
	return redis_connection_reply(redis, deadline_ms, ret, err);
}

int
redis_connection_do(struct redis_connection *redis, int64_t deadline_ms,
    redisReply **ret, struct err *err, ...)
{
	struct redis_command command;
	va_list words;

	redis_command_init(&command);
	va_start(words, err);
	for (;;) {
		const char *word = va_arg(words, const char *);
		if (word == NULL)
			break;
		redis_command_text(&command, word);
	}
	va_end(words);
	return redis_connection_run(redis, deadline_ms, &command, ret, err);
}

enum cause
redis_connection_cause(const struct redis_connection *redis)
{
	return redis->cause;
}

int
redis_connection_open_at(const char *url, const struct redis_place *place,
    const char *name, struct ladder *ladder, struct redis_connection **ret)
{
	struct redis_target target = {.db = 0};
	struct err err = ERR_INIT;
	struct redis_connection *redis = NULL;

	if (redis_target_parse(ladder->arena, url, &target, &err) == -1) {
		ladder_begin(ladder, STEP_DNS, "");
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	}
	if (place != NULL)
		redis_target_move(&target, place);
	redis = calloc(1, sizeof(*redis));
	if (redis == NULL || reader_create(redis) == -1) {
		redis_connection_close(redis);
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	}
	redis->db = (int)target.db;
	if (stream_open(&target.endpoint, ladder, &redis->stream) == -1 ||
	    redis_login(redis, &target, name, ladder) == -1) {
		redis_connection_close(redis);
		return -1;
	}
	*ret = redis;
	return 0;
}

int
redis_connection_open(const char *url, const char *name, struct ladder *ladder,
    struct redis_connection **ret)
{
	return redis_connection_open_at(url, NULL, name, ladder, ret);
}

int
redis_connection_db(const struct redis_connection *redis)
{
	return redis->db;
}

const char *
redis_connection_address(const struct redis_connection *redis)
{
	return stream_address(redis->stream);
}

const char *
redis_connection_local(const struct redis_connection *redis)
{
	return stream_local(redis->stream);
}

static void
info_field(const char *info, const char *key, char *dst, size_t size)
{
	const char *at = strstr(info, key);

	if (at == NULL)
		return;
	at += strlen(key);
	(void)snprintf(
	    dst, size, "%.*s", (int)MIN(strcspn(at, "\r\n"), size - 1), at);
}

static void
ask_info(struct redis_connection *redis)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	enum {
		INFO_TIMEOUT_MS = 2000
	};

	if (redis->asked_info || redis->broken)
		return;
	redis->asked_info = true;
	if (redis_connection_do(redis, clock_after(clock_ms(), INFO_TIMEOUT_MS),
	        &reply, NULL, "INFO", "server", NULL) == -1 ||
	    reply->type != REDIS_REPLY_STRING)
		return;
	info_field(
	    reply->str, "\nrun_id:", redis->run_id, sizeof(redis->run_id));
	info_field(reply->str, "\nredis_version:", redis->version,
	    sizeof(redis->version));
}

const char *
redis_connection_run_id(struct redis_connection *redis)
{
	ask_info(redis);
	return redis->run_id;
}

const char *
redis_connection_version(struct redis_connection *redis)
{
	ask_info(redis);
	return redis->version;
}
