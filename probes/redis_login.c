/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/redis_login.h"

enum {
	REDIS_PORT = 6379,
	REDIS_DB_MAX = 1 << 20
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

int
redis_target_parse(struct arena *arena, const char *text,
    struct redis_target *ret, struct err *err)
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

/* A certificate seldom names an address: of a
 * server that was named by its number, it has to be the one of the URL. */
void
redis_target_move(struct redis_target *target, const struct redis_place *place)
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
	if (redis_connection_cause(redis) == CAUSE_SILENT)
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "%s accepts connections but answers nothing",
		    redis_connection_address(redis));
	if (redis_connection_cause(redis) == CAUSE_UNAVAILABLE)
		return ladder_fail(ladder, CAUSE_UNAVAILABLE, "closed",
		    "%s at the first command: it is not Redis, or it wants "
		    "TLS",
		    err->text);
	return ladder_fail(
	    ladder, redis_connection_cause(redis), "", "%s", err->text);
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
		    redis_connection_address(redis));
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

int
redis_login(struct redis_connection *redis, const struct redis_target *target,
    const char *name, struct ladder *ladder)
{
	if (login_auth(redis, target, ladder) == -1)
		return -1;
	ladder_begin(ladder, STEP_PROTOCOL, "PING");
	if (login_ping(redis, ladder) == -1 ||
	    login_select(redis, target->db, ladder) == -1)
		return -1;
	login_name(redis, name != NULL ? name : "reeve:probe", ladder);
	if (redis_connection_cause(redis) != CAUSE_NONE)
		return ladder_unknown(ladder, redis_connection_cause(redis), "",
		    "%s broke off after the login",
		    redis_connection_address(redis));
	ladder_pass(ladder, "PING answered, db %d", redis_connection_db(redis));
	return 0;
}
