/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/redis.h"

/*
 * Jobs of a list as people look at them, and the way back of dead letters and
 * expired claims. A list has no ids: a payload's digest is one, and equal
 * payloads have the same, so an id stands for as many jobs as it is given.
 *
 * Payloads may be large and lists long. A script hashes at most BUDGET bytes,
 * so that the server is never held up; what is seen of a payload is its
 * beginning. Where scripts are forbidden, elements are fetched one by one, and
 * a job is moved by MULTI under WATCH.
 */
enum {
	BUDGET = 4 << 20,
	SEARCHED_MAX = 10000, /* dead letters looked through for ids */
	WATCH_TRIES = 50,
	NUMBER_SIZE = 24,
	LEASES_MAX = 1000
};

/* KEYS: the list or zset; ARGV: type, from, how many, bytes shown, budget. The
 * oldest of a list is at its right unless the type says left. */
static const char list_script[] =
    "local out={}\n"
    "local used=0\n"
    "for i=ARGV[2],ARGV[2]+ARGV[3]-1 do\n"
    " local p\n"
    " if ARGV[1]=='zset' then p=redis.call('ZRANGE',KEYS[1],i,i)[1]\n"
    " else p=redis.call('LINDEX',KEYS[1],ARGV[1]=='left' and i or -1-i) end\n"
    " if not p then break end\n"
    " local attempt=''\n"
    " if ARGV[1]=='zset' then\n"
    "  local a,rest=string.match(p,'^(%d+):%x+:(.*)$')\n"
    "  if a then attempt=a p=rest end\n"
    " end\n"
    " out[#out+1]={redis.sha1hex(p),tostring(#p),attempt,\n"
    "  string.sub(p,1,tonumber(ARGV[4]))}\n"
    " used=used+#p\n"
    " if used>tonumber(ARGV[5]) then break end\n"
    "end\n"
    "return out\n";

/* KEYS: dead letters, the queue; ARGV: side, from, budget, wanted digests.
 * Looks at a stretch from the oldest on and moves what is wanted to where
 * producers put theirs. Answers: how many it looked at and left there, then the
 * digests of those moved. */
static const char move_script[] =
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
    "  redis.call(ARGV[1]=='LEFT' and 'RPUSH' or 'LPUSH',KEYS[2],p)\n"
    "  redis.call('LREM',KEYS[1],-1,p)\n"
    "  out[#out+1]=d\n"
    " else\n"
    "  at=at+1\n"
    " end\n"
    "end\n"
    "out[1]=at-from\n"
    "return out\n";

/* One element, as a script or a fetch gives it. */
struct element {
	char digest[QUEUE_DIGEST_SIZE];
	const char *bytes;
	size_t len;
	int64_t whole, attempts;
};

struct elements {
	struct element *list; /* room for as many as are asked for */
	size_t count;
};

/* A list or a zset of jobs, and how its oldest is found. */
struct source {
	const char *key, *type; /* "left", "right", "zset" */
};

static const char *
number_text(struct arena *arena, int64_t value)
{
	return arena_format(arena, "%" PRId64, value);
}

/* ACLs and managed servers take scripts away. */
static bool
is_forbidden(const struct queue *queue, const struct err *err)
{
	return queue->cause == CAUSE_PERMISSION ||
	       strstr(err->text, "unknown command") != NULL;
}

static int
bad_answer(struct queue *queue, struct err *err)
{
	return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err, ERR_REFUSED,
	    "the server's answer is not what was asked for");
}

/* --- elements --------------------------------------------------------------
 */

static int
read_element(struct queue *queue, const redisReply *reply, struct arena *arena,
    struct element *ret, struct err *err)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
		return bad_answer(queue, err);
	for (size_t i = 0; i < 4; i++) {
		if (reply->element[i]->type != REDIS_REPLY_STRING)
			return bad_answer(queue, err);
	}
	const char *attempts = reply->element[2]->str;

	ret->attempts = -1;
	if (text_copy(ret->digest, sizeof(ret->digest), reply->element[0]->str,
	        err) == -1 ||
	    text_i64(reply->element[1]->str, 0, INT64_MAX, &ret->whole, err) ==
	        -1 ||
	    (attempts[0] != '\0' &&
	        text_i64(attempts, 0, INT64_MAX, &ret->attempts, err) == -1))
		return bad_answer(queue, err);
	ret->len = MIN((size_t)reply->element[3]->len, (size_t)QUEUE_PEEK_MAX);
	ret->bytes = arena_bytes(arena, reply->element[3]->str, ret->len);
	return 0;
}

/* By script, in stretches of what may be hashed at once. */
static int
fetch_by_script(struct queue *queue, const struct source *source, size_t limit,
    struct arena *arena, struct elements *ret, struct err *err)
{
	while (ret->count < limit) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "look at jobs", &reply, err, "EVAL",
		        list_script, "1", source->key, source->type,
		        number_text(arena, (int64_t)ret->count),
		        number_text(arena, (int64_t)(limit - ret->count)),
		        number_text(arena, QUEUE_PEEK_MAX),
		        number_text(arena, BUDGET)) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY ||
		    reply->elements > limit - ret->count)
			return bad_answer(queue, err);
		if (reply->elements == 0)
			break;
		for (size_t i = 0; i < reply->elements; i++) {
			if (read_element(queue, reply->element[i], arena,
			        &ret->list[ret->count++], err) == -1)
				return -1;
		}
	}
	return 0;
}

/* ATTEMPT:NONCE:PAYLOAD */
static void
split_delayed(const char **bytes, size_t *len, int64_t *ret_attempts)
{
	const char *nonce = memchr(*bytes, ':', *len);
	const char *end = *bytes + *len;
	const char *payload =
	    nonce != NULL ? memchr(nonce + 1, ':', (size_t)(end - nonce - 1))
	                  : NULL;

	if (payload == NULL)
		return;
	*ret_attempts = strtoll(*bytes, NULL, 10);
	*bytes = payload + 1;
	*len = (size_t)(end - payload - 1);
}

static int
fetch_one(struct queue *queue, const struct source *source, size_t index,
    struct arena *arena, redisReply **ret, struct err *err)
{
	int64_t at = (int64_t)index;

	if (text_equal(source->type, "zset"))
		return redis_ask(queue, "look at a job", ret, err, "ZRANGE",
		    source->key, number_text(arena, at),
		    number_text(arena, at));
	return redis_ask(queue, "look at a job", ret, err, "LINDEX",
	    source->key,
	    number_text(
	        arena, text_equal(source->type, "left") ? at : -1 - at));
}

static int
fetch_one_by_one(struct queue *queue, const struct source *source, size_t limit,
    struct arena *arena, struct elements *ret, struct err *err)
{
	for (; ret->count < limit; ret->count++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct element *element = &ret->list[ret->count];

		if (fetch_one(queue, source, ret->count, arena, &reply, err) ==
		    -1)
			return -1;
		const redisReply *one = reply;

		if (reply->type == REDIS_REPLY_ARRAY)
			one = reply->elements == 1 ? reply->element[0] : NULL;
		if (one == NULL || one->type != REDIS_REPLY_STRING)
			break;
		const char *bytes = one->str;
		size_t len = one->len;

		element->attempts = -1;
		if (text_equal(source->type, "zset"))
			split_delayed(&bytes, &len, &element->attempts);
		queue_digest(bytes, len, element->digest);
		element->whole = (int64_t)len;
		element->len = MIN(len, (size_t)QUEUE_PEEK_MAX);
		element->bytes = arena_bytes(arena, bytes, element->len);
	}
	return 0;
}

static int
fetch(struct queue *queue, const struct source *source, size_t limit,
    struct arena *arena, struct elements *ret, struct err *err)
{
	if (fetch_by_script(queue, source, limit, arena, ret, err) == 0)
		return 0;
	if (!is_forbidden(queue, err))
		return -1;
	ret->count = 0;
	return fetch_one_by_one(queue, source, limit, arena, ret, err);
}

/* --- claims ----------------------------------------------------------------
 */

/* A claim, taken apart: DIGEST:NONCE:ATTEMPT:OWNER. */
struct claim {
	struct redis_lease member;
	char digest[QUEUE_DIGEST_SIZE];
	int64_t attempts;
	const char *owner;
	bool used;
};

static bool
claim_parse(struct arena *arena, const redisReply *member, struct claim *ret)
{
	const char *text = arena_bytes(arena, member->str, member->len);
	const char *nonce = strchr(text, ':');
	const char *attempt = nonce != NULL ? strchr(nonce + 1, ':') : NULL;
	const char *owner = attempt != NULL ? strchr(attempt + 1, ':') : NULL;

	if (owner == NULL || nonce - text != QUEUE_DIGEST_SIZE - 1)
		return false;
	*ret = (struct claim){.member = {text, member->len},
	    .attempts = strtoll(attempt + 1, NULL, 10),
	    .owner = owner + 1};
	memcpy(ret->digest, text, QUEUE_DIGEST_SIZE - 1);
	return true;
}

/* Those whose lease is over (`expired`), or all; the soonest to end first. */
static int
ask_claims(struct queue *queue, bool expired, struct arena *arena,
    struct claim **ret, size_t *ret_count, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *clock = NULL;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *until = "+inf";

	if (expired) {
		if (redis_ask(queue, "ask for the time", &clock, err, "TIME") ==
		    -1)
			return -1;
		if (clock->type != REDIS_REPLY_ARRAY || clock->elements != 2 ||
		    clock->element[0]->type != REDIS_REPLY_STRING)
			return bad_answer(queue, err);
		/* whole seconds: a lease that is just over is soon enough
		 * next time */
		until = arena_format(arena, "%s000", clock->element[0]->str);
	}
	if (redis_ask(queue, "look at the leases", &reply, err, "ZRANGEBYSCORE",
	        redis->lease, "-inf", until, "LIMIT", "0",
	        number_text(arena, LEASES_MAX)) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_ARRAY)
		return bad_answer(queue, err);
	struct claim *claims =
	    arena_array(arena, reply->elements + 1, sizeof(*claims));
	size_t count = 0;

	for (size_t i = 0; i < reply->elements; i++) {
		if (reply->element[i]->type == REDIS_REPLY_STRING &&
		    claim_parse(arena, reply->element[i], &claims[count]))
			count++;
	}
	*ret = claims;
	*ret_count = count;
	return 0;
}

static struct claim *
unused_claim(struct claim *claims, size_t count, const char *digest)
{
	for (size_t i = 0; i < count; i++) {
		if (!claims[i].used && text_equal(claims[i].digest, digest)) {
			claims[i].used = true;
			return &claims[i];
		}
	}
	return NULL;
}

/* --- list ------------------------------------------------------------------
 */

static struct queue_number
ask_total(struct queue *queue, struct arena *arena, const char *command,
    const char *key)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;

	if (redis_ask(queue, "count jobs", &reply, &err, command, key) == -1)
		return queue_unknown(arena_text(arena, err.text));
	return reply->type == REDIS_REPLY_INTEGER
	           ? queue_exact(reply->integer)
	           : queue_unknown("the server didn't answer with a number");
}

static struct queue_item
item_of(struct arena *arena, const struct element *element)
{
	return (struct queue_item){.id = arena_text(arena, element->digest),
	    .error = "",
	    .owner = "",
	    .payload = element->bytes,
	    .payload_len = element->len,
	    .payload_whole = element->whole,
	    .age_ms = -1,
	    .attempts = element->attempts};
}

static int
list_claimed(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	const struct source source = {redis->processing, "right"};
	size_t most = part == PART_EXPIRED ? (size_t)LEASES_MAX : limit;
	struct elements elements = {
	    arena_array(arena, most, sizeof(struct element)), 0};
	struct queue_item *items = arena_array(arena, most, sizeof(*items));
	struct claim *claims = NULL;
	size_t nclaims = 0;

	if (ask_claims(queue, part == PART_EXPIRED, arena, &claims, &nclaims,
	        err) == -1 ||
	    fetch(queue, &source, most, arena, &elements, err) == -1)
		return -1;
	ret->items = items;
	for (size_t i = 0; i < elements.count && ret->count < limit; i++) {
		const struct claim *claim =
		    unused_claim(claims, nclaims, elements.list[i].digest);

		if (claim == NULL && part == PART_EXPIRED)
			continue;
		items[ret->count] = item_of(arena, &elements.list[i]);
		if (claim != NULL) {
			items[ret->count].attempts = claim->attempts;
			items[ret->count].owner = claim->owner;
		}
		ret->count++;
	}
	ret->total = part == PART_EXPIRED
	                 ? queue_exact((int64_t)nclaims)
	                 : ask_total(queue, arena, "LLEN", redis->processing);
	return 0;
}

int
redis_list_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	struct source source = {
	    redis->key, redis->consume_left ? "left" : "right"};
	struct elements elements = {NULL, 0};

	if (part == PART_ACTIVE || part == PART_EXPIRED)
		return list_claimed(queue, part, limit, arena, ret, err);
	if (part == PART_DELAYED)
		source = (struct source){redis->delayed, "zset"};
	if (part == PART_DEAD)
		source = (struct source){redis->dead, "right"};
	elements.list = arena_array(arena, limit, sizeof(struct element));
	if (fetch(queue, &source, limit, arena, &elements, err) == -1)
		return -1;
	struct queue_item *items =
	    arena_array(arena, elements.count + 1, sizeof(*items));

	for (size_t i = 0; i < elements.count; i++)
		items[i] = item_of(arena, &elements.list[i]);
	ret->items = items;
	ret->count = elements.count;
	ret->total = ask_total(
	    queue, arena, part == PART_DELAYED ? "ZCARD" : "LLEN", source.key);
	return 0;
}

/* --- move ------------------------------------------------------------------
 */

/* Marks one of those that are asked for and not moved yet. */
static bool
mark_moved(const struct queue_move *move, bool *moved, size_t *count,
    const char *digest)
{
	for (size_t i = 0; i < move->nids; i++) {
		if (!moved[i] && text_equal(move->ids[i], digest)) {
			moved[i] = true;
			(*count)++;
			return true;
		}
	}
	return false;
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

static int
far_as(struct err *err, size_t count)
{
	return count == 0 ? -1 : err_wrap(err, "after %zu were moved", count);
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
		        number_text(arena, from), number_text(arena, BUDGET),
		        wanted_text(arena, move, moved)) == -1)
			return far_as(err, *ret_count);
		if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
		    reply->element[0]->type != REDIS_REPLY_INTEGER)
			return bad_answer(queue, err);
		for (size_t i = 1; i < reply->elements; i++) {
			if (reply->element[i]->type != REDIS_REPLY_STRING ||
			    !mark_moved(
			        move, moved, ret_count, reply->element[i]->str))
				return bad_answer(queue, err);
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
	const struct source source = {redis->dead, "right"};

	for (; search->index < SEARCHED_MAX; search->index++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		char digest[QUEUE_DIGEST_SIZE];

		if (fetch_one(queue, &source, search->index, arena, &reply,
		        err) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_STRING)
			return 0;
		queue_digest(reply->str, reply->len, digest);
		for (size_t i = 0; i < search->move->nids; i++) {
			if (search->moved[i] ||
			    !text_equal(search->move->ids[i], digest))
				continue;
			*ret = reply;
			reply = NULL;
			return 0;
		}
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
		return bad_answer(queue, err);
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
			return far_as(err, *ret_count);
		if (job == NULL) {
			CLEANUP(redis_reply_free) redisReply *reply = NULL;

			return redis_ask(
			    queue, "move jobs", &reply, err, "UNWATCH");
		}
		if (move_one(queue, job, &done, err) == -1)
			return far_as(err, *ret_count);
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
	struct claim *claims = NULL;
	size_t count = 0;

	if (ask_claims(queue, true, arena, &claims, &count, err) == -1)
		return -1;
	for (size_t i = 0; i < move->nids; i++) {
		const struct claim *claim =
		    unused_claim(claims, count, move->ids[i]);

		if (claim == NULL)
			continue;
		if (redis_list_take_back(
		        queue, &claim->member, INT64_MAX, &moved[i], err) == -1)
			return far_as(err, *ret_count);
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
	    is_forbidden(queue, err))
		rc = move_watched(queue, move, arena, moved, &ret->count, err);
	ret->moved = moved;
	return rc;
}
