/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/redis_connection.h"
#include "probes/stream.h"

enum {
	REDIS_PORT = 6379,
	REDIS_READ_BYTES = 16 * 1024,
	REDIS_INFO_MAX = 64,
	/* a list of more can't come whole: an item takes four bytes or more */
	REDIS_ITEMS_MAX = REDIS_REPLY_MAX_BYTES / 4,
	REDIS_DB_MAX = 1 << 20
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
redis_reply_free(redisReply **reply)
{
	if (*reply != NULL)
		freeReplyObject(*reply);
	*reply = NULL;
}

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

void
redis_command_init(struct redis_command *command)
{
	command->argc = 0;
}

void
redis_command_bytes(
    struct redis_command *command, const void *bytes, size_t len)
{
	assert(command->argc < REDIS_ARGV_MAX);
	command->argv[command->argc] = bytes;
	command->len[command->argc++] = len;
}

void
redis_command_text(struct redis_command *command, const char *word)
{
	redis_command_bytes(command, word, strlen(word));
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

int
redis_command_wire(
    const struct redis_command *command, char **ret, size_t *ret_len)
{
	const char *argv[REDIS_ARGV_MAX];
	char *wire = NULL;

	/* hiredis wants an array that it could change */
	memcpy(argv, command->argv, (size_t)command->argc * sizeof(*argv));
	int len =
	    redisFormatCommandArgv(&wire, command->argc, argv, command->len);

	if (len < 0 || wire == NULL)
		return -1;
	*ret = wire;
	*ret_len = (size_t)len;
	return 0;
}

int
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

/* queues.md part 5: matched at the beginning, the words behind differ between
 * versions. */
static const struct {
	const char *prefix;
	enum cause cause;
} error_causes[] = {
    {"NOAUTH", CAUSE_AUTH},
    {"WRONGPASS", CAUSE_AUTH},
    {"ERR AUTH <password> called without any password configured", CAUSE_AUTH},
    {"ERR Client sent AUTH, but no password is set", CAUSE_AUTH},
    {"ERR invalid password", CAUSE_AUTH},
    {"NOPERM", CAUSE_PERMISSION},
    {"DENIED", CAUSE_PERMISSION},
    {"ERR unknown command", CAUSE_PERMISSION}, /* renamed away, managed */
    {"ERR DB index is out of range", CAUSE_WRONG_DATABASE},
    {"ERR invalid DB index", CAUSE_WRONG_DATABASE},
    {"ERR SELECT is not allowed in cluster mode", CAUSE_WRONG_DATABASE},
    {"WRONGTYPE", CAUSE_WRONG_TYPE},
    {"READONLY", CAUSE_UNAVAILABLE},
    {"MISCONF", CAUSE_UNAVAILABLE},
    {"OOM", CAUSE_UNAVAILABLE},
    {"LOADING", CAUSE_UNAVAILABLE},
    {"BUSY", CAUSE_UNAVAILABLE},
    {"MASTERDOWN", CAUSE_UNAVAILABLE},
    {"CLUSTERDOWN", CAUSE_UNAVAILABLE},
    {"TRYAGAIN", CAUSE_UNAVAILABLE},
    {"NOREPLICAS", CAUSE_UNAVAILABLE},
    {"ERR max number of clients reached", CAUSE_UNAVAILABLE},
    {"MOVED", CAUSE_MISMATCH},
    {"ASK", CAUSE_MISMATCH},
    {"CROSSSLOT", CAUSE_MISMATCH},
    {"NOSCRIPT", CAUSE_NOT_FOUND},
};

enum cause
redis_error_cause(
    const redisReply *reply, struct arena *arena, const char **ret_code)
{
	const char *text = reply->str != NULL ? reply->str : "";

	if (ret_code != NULL)
		*ret_code = arena_bytes(arena, text, strcspn(text, " "));
	for (size_t i = 0; i < ARRAY_LEN(error_causes); i++)
		if (text_starts(text, error_causes[i].prefix))
			return error_causes[i].cause;
	return CAUSE_MISMATCH;
}

/* What the URL says. */
struct redis_target {
	struct endpoint endpoint;
	const char *user, *password;
	int64_t db;
};

static int
target_db(const char *text, int64_t *ret, struct err *err)
{
	if (text == NULL || text[0] == '\0')
		return 0;
	if (text_i64(text, 0, REDIS_DB_MAX, ret, err) == -1)
		return err_wrap(err, "database");
	return 0;
}

static int
target_parse(struct arena *arena, const char *text, struct redis_target *ret,
    struct err *err)
{
	struct url url = {.port = -1};

	if (url_parse(arena, text, &url, err) == -1)
		return -1;
	*ret = (struct redis_target){.user = url.user,
	    .password = url.password,
	    .endpoint.host = url.host,
	    .endpoint.port = url.port == -1 ? REDIS_PORT : url.port,
	    .endpoint.ca = url_query(&url, "tls.ca")};
	if (text_equal(url.scheme, "unix") ||
	    text_equal(url.scheme, "redis+unix")) {
		ret->endpoint.unix_path = url.path;
		return target_db(url_query(&url, "db"), &ret->db, err);
	}
	if (!text_equal(url.scheme, "redis") &&
	    !text_equal(url.scheme, "rediss"))
		return err_set(err, ERR_INPUT,
		    "'%s' is no scheme of a Redis URL: redis, rediss, redis+unix "
		    "or redis+sentinel",
		    url.scheme);
	ret->endpoint.tls = text_equal(url.scheme, "rediss");
	if (url.host[0] == '\0')
		return err_set(err, ERR_INPUT, "the URL names no host");
	const char *path = url.path[0] == '/' ? url.path + 1 : url.path;
	if (path[0] == '\0')
		path = url_query(&url, "db");
	return target_db(path, &ret->db, err);
}

/* Another server of the same URL. A certificate seldom names an address: of a
 * server that was named by its number, it has to be the one of the URL. */
static void
target_move(struct redis_target *target, const struct redis_place *place)
{
	struct in6_addr address;
	bool number = inet_pton(AF_INET, place->host, &address) == 1 ||
	              inet_pton(AF_INET6, place->host, &address) == 1;

	target->endpoint.server_name = number ? target->endpoint.host : NULL;
	target->endpoint.host = place->host;
	target->endpoint.port = place->port;
	target->endpoint.unix_path = NULL;
	if (place->anonymous)
		target->user = target->password = NULL;
	if (place->no_db)
		target->db = 0;
}

/* A call of ours failed: the first failure of the ladder. */
static int
login_broken(struct redis_connection *redis, struct ladder *ladder,
    const struct err *err)
{
	if (redis->cause == CAUSE_SILENT)
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "%s accepts connections but answers nothing",
		    stream_address(redis->stream));
	if (redis->cause == CAUSE_UNAVAILABLE)
		return ladder_fail(ladder, CAUSE_UNAVAILABLE, "closed",
		    "%s at the first command: it is not Redis, or it wants "
		    "TLS",
		    err->text);
	return ladder_fail(ladder, redis->cause, "", "%s", err->text);
}

static int
login_refused(const redisReply *reply, struct ladder *ladder, const char *doing)
{
	const char *code = "";
	enum cause cause = redis_error_cause(reply, ladder->arena, &code);

	return ladder_fail(ladder, cause, code, "%s: %s", doing, reply->str);
}

static int
login_auth(struct redis_connection *redis, const struct redis_target *target,
    struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;
	struct redis_command command;

	if (target->password == NULL)
		return 0;
	ladder_begin(ladder, STEP_AUTH, target->user);
	redis_command_init(&command);
	redis_command_text(&command, "AUTH");
	if (target->user != NULL && target->user[0] != '\0')
		redis_command_text(&command, target->user);
	redis_command_text(&command, target->password);
	if (redis_connection_run(
	        redis, ladder->deadline_ms, &command, &reply, &err) == -1)
		return login_broken(redis, ladder, &err);
	assert(reply != NULL);
	if (reply->type == REDIS_REPLY_ERROR)
		return login_refused(reply, ladder, "log in");
	ladder_pass(ladder, "logged in as %s",
	    target->user != NULL && target->user[0] != '\0' ? target->user
	                                                    : "default");
	return 0;
}

/* " (keys are in db0, db1)": what may have been meant; "" when that isn't
 * told. */
static const char *
databases_with_keys(struct redis_connection *redis, struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err ignored = ERR_INIT;
	const char *list = "";

	if (redis_connection_do(redis, ladder->deadline_ms, &reply, &ignored,
	        "INFO", "keyspace", NULL) == -1 ||
	    reply->type != REDIS_REPLY_STRING)
		return "";
	for (const char *at = strstr(reply->str, "\ndb"); at != NULL;
	     at = strstr(at + 1, "\ndb"))
		list = arena_format(ladder->arena, "%s%s%.*s", list,
		    list[0] == '\0' ? "" : ", ", (int)strcspn(at + 1, ":\r\n"),
		    at + 1);
	return list[0] == '\0'
	           ? ""
	           : arena_format(ladder->arena, " (keys are in %s)", list);
}

static int
login_select(struct redis_connection *redis, int64_t db, struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;
	char text[24];

	redis->db = (int)db;
	if (db == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%" PRId64, db);
	if (redis_connection_do(redis, ladder->deadline_ms, &reply, &err,
	        "SELECT", text, NULL) == -1)
		return login_broken(redis, ladder, &err);
	if (reply->type != REDIS_REPLY_ERROR)
		return 0;
	return login_refused(reply, ladder,
	    arena_format(ladder->arena, "select db %s%s", text,
	        databases_with_keys(redis, ladder)));
}

/* PING says whether it is Redis at all, and whether we are let in: NOAUTH comes
 * here when the URL holds no password. NOPERM of PING is still a login. */
static int
login_ping(struct redis_connection *redis, struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;

	if (redis_connection_do(
	        redis, ladder->deadline_ms, &reply, &err, "PING", NULL) == -1)
		return login_broken(redis, ladder, &err);
	if (reply->type == REDIS_REPLY_ERROR &&
	    !text_starts(reply->str, "NOPERM"))
		return login_refused(reply, ladder, "PING");
	if (reply->type != REDIS_REPLY_ERROR &&
	    reply->type != REDIS_REPLY_STATUS)
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "%s does not answer PING as Redis does",
		    stream_address(redis->stream));
	return 0;
}

static void
login_name(
    struct redis_connection *redis, const char *name, struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	/* refused where CLIENT is renamed or not allowed: no matter */
	(void)!redis_connection_do(redis, ladder->deadline_ms, &reply, NULL,
	    "CLIENT", "SETNAME", name, NULL);
}

static int
login(struct redis_connection *redis, const struct redis_target *target,
    const char *name, struct ladder *ladder)
{
	if (login_auth(redis, target, ladder) == -1)
		return -1;
	ladder_begin(ladder, STEP_PROTOCOL, "PING");
	if (login_ping(redis, ladder) == -1 ||
	    login_select(redis, target->db, ladder) == -1)
		return -1;
	login_name(redis, name != NULL ? name : "reeve:probe", ladder);
	if (redis->broken)
		return ladder_unknown(ladder, redis->cause, "",
		    "%s broke off after the login",
		    stream_address(redis->stream));
	ladder_pass(ladder, "PING answered, db %d", redis->db);
	return 0;
}

int
redis_connection_open_at(const char *url, const struct redis_place *place,
    const char *name, struct ladder *ladder, struct redis_connection **ret)
{
	struct redis_target target = {.db = 0};
	struct err err = ERR_INIT;
	struct redis_connection *redis = NULL;

	if (target_parse(ladder->arena, url, &target, &err) == -1) {
		ladder_begin(ladder, STEP_DNS, "");
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	}
	if (place != NULL)
		target_move(&target, place);
	redis = calloc(1, sizeof(*redis));
	if (redis == NULL || reader_create(redis) == -1) {
		redis_connection_close(redis);
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	}
	if (stream_open(&target.endpoint, ladder, &redis->stream) == -1 ||
	    login(redis, &target, name, ladder) == -1) {
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
