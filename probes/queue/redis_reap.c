/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/owner.h"
#include "probes/queue/redis.h"

/*
 * The leases of processes that are over, on a list. ZADD with XX and LT ends a
 * lease that is still there and never lengthens one, so it needs no script, and
 * a claim that was given back in between stays so; the next claim of any worker
 * takes the job back by the rules of the layout (redis_claim.c), attempts and
 * dead letters included.
 */
enum {
	PAGE = 500,
	PAGES_MAX = 20,
	NUMBER_SIZE = 24
};

/* The server's time in unix ms. */
static int
server_now(struct queue *queue, char dst[NUMBER_SIZE], struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	int64_t s = 0;
	int64_t us = 0;

	if (redis_ask(queue, "ask for the time", &reply, err, "TIME") == -1)
		return -1;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    text_i64(reply->element[0]->str, 0, INT64_MAX / 2000, &s, err) ==
	        -1 ||
	    text_i64(reply->element[1]->str, 0, 999999, &us, err) == -1)
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
		    ERR_REFUSED, "the server's time is none");
	(void)snprintf(dst, NUMBER_SIZE, "%" PRId64, s * 1000 + us / 1000);
	return 0;
}

static int
end_lease(struct queue *queue, const redisReply *member, const char *owner,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;
	char now[NUMBER_SIZE];

	if (server_now(queue, now, err) == -1)
		return -1;
	redis_command_init(&command);
	redis_command_text(&command, "ZADD");
	redis_command_text(&command, redis->lease);
	redis_command_text(&command, "XX");
	redis_command_text(&command, "LT");
	redis_command_text(&command, "CH");
	redis_command_text(&command, now);
	redis_command_bytes(&command, member->str, member->len);
	if (redis_send(queue, &command, "end a lease", &reply, err) == -1)
		return -1;
	if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1)
		queue_reaped_add(ret, arena,
		    arena_format(arena, "%.*s", (int)strcspn(member->str, ":"),
		        member->str),
		    owner);
	return 0;
}

int
redis_list_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;

	for (int page = 0; page < PAGES_MAX; page++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		char from[NUMBER_SIZE];
		char to[NUMBER_SIZE];

		/* from the one that lasts longest: those that are over need
		 * nothing, and ending one moves it to the other end */
		(void)snprintf(from, sizeof(from), "%d", page * PAGE);
		(void)snprintf(to, sizeof(to), "%d", page * PAGE + PAGE - 1);
		if (redis_ask(queue, "look at the leases", &reply, err,
		        "ZREVRANGE", redis->lease, from, to) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY)
			return 0;
		for (size_t i = 0; i < reply->elements; i++) {
			const char *owner =
			    redis_lease_part(reply->element[i], 3);

			if (owner != NULL && queue_reap_is_due(reap, owner) &&
			    end_lease(queue, reply->element[i], owner, arena,
			        ret, err) == -1)
				return -1;
		}
		if (reply->elements < PAGE)
			return 0;
	}
	return 0;
}
