/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/redis_jobs.h"

enum {
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

const char *
redis_number_text(struct arena *arena, int64_t value)
{
	return arena_format(arena, "%" PRId64, value);
}

bool
redis_is_forbidden(const struct queue *queue, const struct err *err)
{
	return queue->cause == CAUSE_PERMISSION ||
	       strstr(err->text, "unknown command") != NULL;
}

int
redis_bad_answer(struct queue *queue, struct err *err)
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
		return redis_bad_answer(queue, err);
	for (size_t i = 0; i < 4; i++) {
		if (reply->element[i]->type != REDIS_REPLY_STRING)
			return redis_bad_answer(queue, err);
	}
	const char *attempts = reply->element[2]->str;

	ret->attempts = -1;
	if (text_copy(ret->digest, sizeof(ret->digest), reply->element[0]->str,
	        err) == -1 ||
	    text_i64(reply->element[1]->str, 0, INT64_MAX, &ret->whole, err) ==
	        -1 ||
	    (attempts[0] != '\0' &&
	        text_i64(attempts, 0, INT64_MAX, &ret->attempts, err) == -1))
		return redis_bad_answer(queue, err);
	ret->len = MIN((size_t)reply->element[3]->len, (size_t)QUEUE_PEEK_MAX);
	ret->bytes = arena_bytes(arena, reply->element[3]->str, ret->len);
	return 0;
}

/* By script, in stretches of what may be hashed at once. */
static int
fetch_by_script(struct queue *queue, const struct redis_source *source,
    size_t limit, struct arena *arena, struct elements *ret, struct err *err)
{
	while (ret->count < limit) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "look at jobs", &reply, err, "EVAL",
		        list_script, "1", source->key, source->type,
		        redis_number_text(arena, (int64_t)ret->count),
		        redis_number_text(arena, (int64_t)(limit - ret->count)),
		        redis_number_text(arena, QUEUE_PEEK_MAX),
		        redis_number_text(arena, REDIS_HASHED_MAX)) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY ||
		    reply->elements > limit - ret->count)
			return redis_bad_answer(queue, err);
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

int
redis_fetch_one(struct queue *queue, const struct redis_source *source,
    size_t index, struct arena *arena, redisReply **ret, struct err *err)
{
	int64_t at = (int64_t)index;

	if (text_equal(source->type, "zset"))
		return redis_ask(queue, "look at a job", ret, err, "ZRANGE",
		    source->key, redis_number_text(arena, at),
		    redis_number_text(arena, at));
	return redis_ask(queue, "look at a job", ret, err, "LINDEX",
	    source->key,
	    redis_number_text(
	        arena, text_equal(source->type, "left") ? at : -1 - at));
}

static int
fetch_one_by_one(struct queue *queue, const struct redis_source *source,
    size_t limit, struct arena *arena, struct elements *ret, struct err *err)
{
	for (; ret->count < limit; ret->count++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct element *element = &ret->list[ret->count];

		if (redis_fetch_one(
		        queue, source, ret->count, arena, &reply, err) == -1)
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
fetch(struct queue *queue, const struct redis_source *source, size_t limit,
    struct arena *arena, struct elements *ret, struct err *err)
{
	if (fetch_by_script(queue, source, limit, arena, ret, err) == 0)
		return 0;
	if (!redis_is_forbidden(queue, err))
		return -1;
	ret->count = 0;
	return fetch_one_by_one(queue, source, limit, arena, ret, err);
}

/* --- claims ----------------------------------------------------------------
 */

static bool
claim_parse(
    struct arena *arena, const redisReply *member, struct redis_claim *ret)
{
	const char *text = arena_bytes(arena, member->str, member->len);
	const char *nonce = strchr(text, ':');
	const char *attempt = nonce != NULL ? strchr(nonce + 1, ':') : NULL;
	const char *owner = attempt != NULL ? strchr(attempt + 1, ':') : NULL;

	if (owner == NULL || nonce - text != QUEUE_DIGEST_SIZE - 1)
		return false;
	*ret = (struct redis_claim){.member = {text, member->len},
	    .attempts = strtoll(attempt + 1, NULL, 10),
	    .owner = owner + 1};
	memcpy(ret->digest, text, QUEUE_DIGEST_SIZE - 1);
	return true;
}

int
redis_ask_claims(struct queue *queue, bool expired, struct arena *arena,
    struct redis_claim **ret, size_t *ret_count, struct err *err)
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
			return redis_bad_answer(queue, err);
		/* whole seconds: a lease that is just over is soon enough
		 * next time */
		until = arena_format(arena, "%s000", clock->element[0]->str);
	}
	if (redis_ask(queue, "look at the leases", &reply, err, "ZRANGEBYSCORE",
	        redis->lease, "-inf", until, "LIMIT", "0",
	        redis_number_text(arena, LEASES_MAX)) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_ARRAY)
		return redis_bad_answer(queue, err);
	struct redis_claim *claims =
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

struct redis_claim *
redis_unused_claim(struct redis_claim *claims, size_t count, const char *digest)
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
	const struct redis_source source = {redis->processing, "right"};
	size_t most = part == PART_EXPIRED ? (size_t)LEASES_MAX : limit;
	struct elements elements = {
	    arena_array(arena, most, sizeof(struct element)), 0};
	struct queue_item *items = arena_array(arena, most, sizeof(*items));
	struct redis_claim *claims = NULL;
	size_t nclaims = 0;

	if (redis_ask_claims(queue, part == PART_EXPIRED, arena, &claims,
	        &nclaims, err) == -1 ||
	    fetch(queue, &source, most, arena, &elements, err) == -1)
		return -1;
	ret->items = items;
	for (size_t i = 0; i < elements.count && ret->count < limit; i++) {
		const struct redis_claim *claim = redis_unused_claim(
		    claims, nclaims, elements.list[i].digest);

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
	bool left = redis->consume_left != (part == PART_NEWEST);
	struct redis_source source = {redis->key, left ? "left" : "right"};
	struct elements elements = {NULL, 0};

	if (part == PART_ACTIVE || part == PART_EXPIRED)
		return list_claimed(queue, part, limit, arena, ret, err);
	if (part == PART_DELAYED)
		source = (struct redis_source){redis->delayed, "zset"};
	if (part == PART_DEAD)
		source = (struct redis_source){redis->dead, "right"};
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
