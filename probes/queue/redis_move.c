/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "probes/queue/redis_jobs.h"
#include "probes/queue/redis_script.h"

enum {
	SEARCHED_MAX = 10000, /* dead letters looked through for ids */
	WATCH_TRIES = 50,
};

/* KEYS: dead letters, the queue; ARGV: side, from, budget, wanted digests.
 * Looks at a stretch from the oldest on and moves what is wanted to where
 * producers put theirs. Answers: how many it looked at and left there, then the
 * digests of those moved. */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local push=ARGV[1]=='LEFT' and 'RPUSH' or 'LPUSH'\n"
    "local no=refused{{'LREM',KEYS[1],'list'},{push,KEYS[2],'list'}}\n"
    "if no then return no end\n"
    "local want={}\n"
    "for d in string.gmatch(ARGV[4],'%x+') do want[d]=(want[d] or 0)+1 end\n"
    "local from=tonumber(ARGV[2])\n"
    "local at=from\n"
    "local used=0\n"
    "local out={0}\n"
    "while used<=tonumber(ARGV[3]) and at-from<1000 do\n"
    " local p=redis.call('LINDEX',KEYS[1],-1-at)\n"
    " if not p then break end\n"
    " used=used+#p\n"
    " local d=redis.sha1hex(p)\n"
    " if (want[d] or 0)>0 then\n"
    "  want[d]=want[d]-1\n"
    "  redis.call(push,KEYS[2],p)\n"
    "  redis.call('LREM',KEYS[1],-1,p)\n"
    "  out[#out+1]=d\n"
    " else\n"
    "  at=at+1\n"
    " end\n"
    "end\n"
    "out[1]=at-from\n"
    "return out\n";

/* Marks one of those that are asked for and not moved yet. */
static bool
mark_moved(const struct queue_move *move, bool *moved, size_t *count,
    const char *digest)
{
	size_t i = queue_move_wanted(move, moved, digest);

	if (i == move->nids)
		return false;
	moved[i] = true;
	(*count)++;
	return true;
}

static const char *
wanted_text(
    struct arena *arena, const struct queue_move *move, const bool *moved)
{
	char *text = arena_alloc(arena, move->nids * QUEUE_DIGEST_SIZE + 1);
	size_t len = 0;

	for (size_t i = 0; i < move->nids; i++) {
		/* another technology's id is nobody's digest */
		if (moved[i] || strlen(move->ids[i]) != QUEUE_DIGEST_SIZE - 1)
			continue;
		memcpy(text + len, move->ids[i], QUEUE_DIGEST_SIZE - 1);
		len += QUEUE_DIGEST_SIZE - 1;
		text[len++] = ' ';
	}
	return text;
}

/* From the oldest on. Others may take from the same end meanwhile, so what is
 * still missing at the end is looked for once more from the beginning. */
static int
move_dead(struct queue *queue, const struct queue_move *move,
    struct arena *arena, bool *moved, size_t *ret_count, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	int64_t from = 0;
	int passes = 0;

	while (*ret_count < move->nids && passes < 2) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "move jobs", &reply, err, "EVAL",
		        move_script, "2", redis->dead, redis->key,
		        redis->consume_left ? "LEFT" : "RIGHT",
		        redis_number_text(arena, from),
		        redis_number_text(arena, REDIS_HASHED_MAX),
		        wanted_text(arena, move, moved)) == -1)
			return queue_moved_so_far(
			    queue, *ret_count, move->nids, err);
		if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
		    reply->element[0]->type != REDIS_REPLY_INTEGER)
			return redis_bad_answer(queue, err);
		for (size_t i = 1; i < reply->elements; i++) {
			if (reply->element[i]->type != REDIS_REPLY_STRING ||
			    !mark_moved(
			        move, moved, ret_count, reply->element[i]->str))
				return redis_bad_answer(queue, err);
		}
		from += reply->element[0]->integer;
		if (from >= SEARCHED_MAX ||
		    (reply->element[0]->integer == 0 && reply->elements == 1)) {
			passes++;
			from = 0;
		}
	}
	return 0;
}

/* Where a search for what is still wanted has come to. */
struct search {
	const struct queue_move *move;
	const bool *moved;
	size_t index; /* from the oldest */
};

/* The next dead letter that is wanted; `*ret` stays NULL when there is none. */
static int
find_wanted(struct queue *queue, struct search *search, struct arena *arena,
    redisReply **ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	const struct redis_source source = {redis->dead, "right"};

	for (; search->index < SEARCHED_MAX; search->index++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		char digest[QUEUE_DIGEST_SIZE];

		if (redis_fetch_one(queue, &source, search->index, arena,
		        &reply, err) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_STRING)
			return 0;
		queue_digest(reply->str, reply->len, digest);
		if (queue_move_wanted(search->move, search->moved, digest) ==
		    search->move->nids)
			continue;
		*ret = reply;
		reply = NULL;
		return 0;
	}
	return 0;
}

/* In a transaction a command that fails doesn't keep the next from being done:
 * that the job can be put must be known before it is taken. */
static int
check_target(struct queue *queue, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "move jobs", &reply, err, "TYPE", redis->key) ==
	    -1)
		return -1;
	if (reply->type != REDIS_REPLY_STATUS)
		return redis_bad_answer(queue, err);
	return text_equal(reply->str, "list") || text_equal(reply->str, "none")
	           ? 0
	           : redis_wrong_type(
	                 queue, redis->key, reply->str, "list", err);
}

/* Both writes together, or none because somebody else changed the list. */
static int
move_one(struct queue *queue, const redisReply *payload, bool *ret_moved,
    struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *begun = NULL;
	CLEANUP(redis_reply_free) redisReply *taken = NULL;
	CLEANUP(redis_reply_free) redisReply *put = NULL;
	CLEANUP(redis_reply_free) redisReply *done = NULL;
	struct redis_command take;
	struct redis_command back;

	redis_command_init(&take);
	redis_command_text(&take, "LREM");
	redis_command_text(&take, redis->dead);
	redis_command_text(&take, "-1");
	redis_command_bytes(&take, payload->str, payload->len);
	redis_command_init(&back);
	redis_command_text(&back, redis->consume_left ? "RPUSH" : "LPUSH");
	redis_command_text(&back, redis->key);
	redis_command_bytes(&back, payload->str, payload->len);
	if (redis_ask(queue, "move a job", &begun, err, "MULTI") == -1 ||
	    redis_send(queue, &take, "move a job", &taken, err) == -1 ||
	    redis_send(queue, &back, "move a job", &put, err) == -1 ||
	    redis_ask(queue, "move a job", &done, err, "EXEC") == -1)
		return -1;
	*ret_moved = done->type == REDIS_REPLY_ARRAY;
	if (*ret_moved && done->elements == 2 &&
	    done->element[0]->type == REDIS_REPLY_ERROR)
		return redis_checked(
		    queue, done->element[0], "move a job", err);
	if (*ret_moved && done->elements == 2 &&
	    done->element[1]->type == REDIS_REPLY_ERROR)
		return redis_checked(
		    queue, done->element[1], "put a job back", err);
	return 0;
}

/* Without scripts: the list is watched while a job is looked at. */
static int
move_watched(struct queue *queue, const struct queue_move *move,
    struct arena *arena, bool *moved, size_t *ret_count, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	struct search search = {.move = move, .moved = moved};
	int tries = 0;

	if (check_target(queue, err) == -1)
		return -1;
	while (*ret_count < move->nids && tries < WATCH_TRIES) {
		CLEANUP(redis_reply_free) redisReply *watched = NULL;
		CLEANUP(redis_reply_free) redisReply *job = NULL;
		char digest[QUEUE_DIGEST_SIZE];
		bool done = false;

		if (redis_ask(queue, "move jobs", &watched, err, "WATCH",
		        redis->dead) == -1 ||
		    find_wanted(queue, &search, arena, &job, err) == -1)
			return queue_moved_so_far(
			    queue, *ret_count, move->nids, err);
		if (job == NULL) {
			CLEANUP(redis_reply_free) redisReply *reply = NULL;

			return redis_ask(
			    queue, "move jobs", &reply, err, "UNWATCH");
		}
		if (move_one(queue, job, &done, err) == -1)
			return queue_moved_so_far(
			    queue, *ret_count, move->nids, err);
		queue_digest(job->str, job->len, digest);
		if (done)
			(void)mark_moved(move, moved, ret_count, digest);
		tries = done ? 0 : tries + 1;
	}
	if (tries == WATCH_TRIES)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED,
		    "%s changes faster than a job can be moved without scripts; "
		    "%zu were moved",
		    redis->dead, *ret_count);
	return 0;
}

static int
move_expired(struct queue *queue, const struct queue_move *move,
    struct arena *arena, bool *moved, size_t *ret_count, struct err *err)
{
	struct redis_claim *claims = NULL;
	size_t count = 0;

	if (redis_ask_claims(queue, true, arena, &claims, &count, err) == -1)
		return -1;
	for (size_t i = 0; i < move->nids; i++) {
		const struct redis_claim *claim =
		    redis_unused_claim(claims, count, move->ids[i]);

		if (claim == NULL)
			continue;
		if (redis_list_take_back(
		        queue, &claim->member, INT64_MAX, &moved[i], err) == -1)
			return queue_moved_so_far(
			    queue, *ret_count, move->nids, err);
		*ret_count += moved[i];
	}
	return 0;
}

int
redis_list_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	int rc = move->from == PART_EXPIRED
	             ? move_expired(queue, move, arena, moved, &ret->count, err)
	             : move_dead(queue, move, arena, moved, &ret->count, err);

	if (rc == -1 && move->from == PART_DEAD && ret->count == 0 &&
	    redis_is_forbidden(queue, err))
		rc = move_watched(queue, move, arena, moved, &ret->count, err);
	ret->moved = moved;
	return rc;
}
