/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/redis_sentinel.h"

int64_t
redis_share_of(int64_t deadline_ms, int tries)
{
	int64_t now_ms = clock_ms();

	return deadline_ms <= now_ms ? deadline_ms
	                             : now_ms + (deadline_ms - now_ms) / tries;
}

/* A Sentinel; with the URL's credentials if it wants some. */
static int
open_sentinel(const char *url, const struct redis_place *place,
    struct ladder *ladder, struct redis_connection **ret)
{
	struct redis_place at = *place;
	struct ladder try = *ladder;

	at.no_db = true;
	at.anonymous = true;
	if (redis_connection_open_at(url, &at, NULL, &try, ret) == -1 &&
	    try.cause == CAUSE_AUTH) {
		try = *ladder;
		at.anonymous = false;
		(void)!redis_connection_open_at(url, &at, NULL, &try, ret);
	}
	*ladder = try;
	return *ret != NULL ? 0 : -1;
}

static int
ask_master(struct redis_connection *sentinel, const char *master,
    struct ladder *ladder, struct redis_place *ret)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *at = redis_connection_address(sentinel);
	struct err err = ERR_INIT;
	int64_t port = 0;

	ladder_begin(ladder, STEP_QUERY, "who is the master");
	if (redis_connection_do(sentinel, ladder->deadline_ms, &reply, &err,
	        "SENTINEL", "get-master-addr-by-name", master, NULL) == -1)
		return ladder_unknown(ladder, redis_connection_cause(sentinel),
		    "", "%s", err.text);
	if (reply->type == REDIS_REPLY_NIL)
		return ladder_fail(ladder, CAUSE_NOT_FOUND, "",
		    "the Sentinel %s knows no master '%s': key 'master' of "
		    "the URL",
		    at, master);
	if (reply->type == REDIS_REPLY_ERROR)
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "%s is no Sentinel: %s", at, reply->str);
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING ||
	    text_i64(reply->element[1]->str, 1, 65535, &port, NULL) == -1)
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "%s does not answer as a Sentinel does", at);
	ret->host = arena_text(ladder->arena, reply->element[0]->str);
	ret->port = (int)port;
	ladder_pass(ladder, "the Sentinel %s says that '%s' is %s:%d", at,
	    master, ret->host, ret->port);
	return 0;
}

/* Redis itself knows best: after a failover, a Sentinel may not yet. */
static bool
is_master(struct redis_connection *redis, struct ladder *ladder)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_connection_do(
	        redis, ladder->deadline_ms, &reply, NULL, "ROLE", NULL) == -1)
		return false;
	/* refused: then only the Sentinel's word is there */
	return reply->type == REDIS_REPLY_ERROR ||
	       (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
	           text_equal(reply->element[0]->str, "master"));
}

static int
open_master(const char *url, const char *master,
    const struct redis_place *sentinel, const char *name, struct ladder *ladder,
    struct redis_connection **ret)
{
	CLEANUP(redis_connection_closep)
	struct redis_connection *asked = NULL;
	struct redis_place place = {.host = NULL};

	if (open_sentinel(url, sentinel, ladder, &asked) == -1 ||
	    ask_master(asked, master, ladder, &place) == -1 ||
	    redis_connection_open_at(url, &place, name, ladder, ret) == -1)
		return -1;
	if (is_master(*ret, ladder))
		return 0;
	redis_connection_close(*ret);
	*ret = NULL;
	return ladder_unknown(ladder, CAUSE_UNAVAILABLE, "",
	    "%s:%d is no master (yet): a failover is under way", place.host,
	    place.port);
}

int
redis_sentinel_open(const char *url, const struct redis_sentinels *from,
    const char *name, struct ladder *ladder, struct redis_connection **ret)
{
	int rc = -1;

	for (int i = 0; i < from->count && rc == -1; i++) {
		struct ladder try = *ladder;

		try.deadline_ms =
		    redis_share_of(ladder->deadline_ms, from->count - i);
		rc = open_master(url,
		    from->master != NULL ? from->master : "mymaster",
		    &from->all[i], name, &try, ret);
		/* the first failure is as good as any; a Sentinel that
		 * doesn't know the name is the best */
		if (rc == 0 || i + 1 == from->count ||
		    try.cause == CAUSE_NOT_FOUND) {
			try.deadline_ms = ladder->deadline_ms;
			*ladder = try;
			break;
		}
	}
	return rc;
}
