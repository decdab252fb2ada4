/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/text.h"
#include "probes/json_span.h"
#include "probes/queue/celery.h"
#include "probes/queue/redis_script.h"

/*
 * What Celery's workers have: kombu keeps each message in the hash `unacked`,
 * as [message, exchange, routing key] by its delivery tag, and when it was
 * taken in the sorted set `unacked_index`, of all queues together. A living
 * worker puts back what is older than the visibility timeout; where none lives,
 * `reclaim` does what that does (kombu 5, restore_by_tag): out of both, the
 * message to the right end of its list, told that it is delivered again. The
 * bytes stay as they are but for that.
 */
enum {
	LOOKED_AT = 10000,
	PAGE = 50, /* tags asked for at once */
	MS_PER_S = 1000
};

/* KEYS: unacked_index, unacked, the list  ARGV: the tag, its entry as it was,
 * the message, the latest time */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local no=refused{{'ZREM',KEYS[1],'zset'},{'HDEL',KEYS[2],'hash'},\n"
    " {'RPUSH',KEYS[3],'list'}}\n"
    "if no then return no end\n"
    "local at=redis.call('ZSCORE',KEYS[1],ARGV[1])\n"
    "if not at or tonumber(at)>tonumber(ARGV[4]) or\n"
    " redis.call('HGET',KEYS[2],ARGV[1])~=ARGV[2] then return 0 end\n"
    "redis.call('ZREM',KEYS[1],ARGV[1])\n"
    "redis.call('HDEL',KEYS[2],ARGV[1])\n"
    "redis.call('RPUSH',KEYS[3],ARGV[3])\n"
    "return 1\n";

struct unacked {
	const char *tag, *entry;
	size_t len;
	struct json_span message;
	const cJSON *json; /* of the message */
	int64_t since_ms;
};
/* What is done with each of them. */
struct visit {
	void (*fn)(const struct unacked *unacked, void *arg);
	void *arg;
	bool whole; /* all were looked at */
};

/* The entries of one page that are of this queue. */
static int
each_of_page(struct queue *queue, const struct celery_keys *keys,
    const redisReply *tags, size_t from, const struct visit *visit,
    struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *entries = NULL;
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "HMGET");
	redis_command_text(&command, keys->unacked);
	for (size_t i = from; i < MIN(from + 2UL * PAGE, library_count(tags));
	     i += 2)
		redis_command_text(&command, library_text(tags, i));
	if (redis_send(queue, &command, "look at the tasks", &entries, err) ==
	    -1)
		return -1;
	for (size_t i = 0; i < library_count(entries); i++) {
		const char *text = library_text(entries, i);
		struct unacked unacked = {
		    .tag = library_text(tags, from + 2 * i),
		    .entry = text,
		    .len = strlen(text)};
		const struct json_span whole = {text, unacked.len};
		double since_s =
		    strtod(library_text(tags, from + 2 * i + 1), NULL);
		cJSON *json = cJSON_Parse(text);

		unacked.json = cJSON_GetArrayItem(json, 0);
		unacked.since_ms = (int64_t)(since_s * MS_PER_S);
		if (cJSON_IsObject(unacked.json) &&
		    celery_is_of(json, queue->name) &&
		    json_span_element(whole, 0, &unacked.message))
			visit->fn(&unacked, visit->arg);
		cJSON_Delete(json);
	}
	return 0;
}

/* Those that were taken until `latest` ("+inf": all), the oldest first. */
static int
each_unacked(struct queue *queue, const struct celery_keys *keys,
    const char *latest, struct visit *visit, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *tags = NULL;
	char most[16];

	(void)snprintf(most, sizeof(most), "%d", LOOKED_AT);
	if (redis_ask(queue, "look at the tasks", &tags, err, "ZRANGEBYSCORE",
	        keys->index, "-inf", latest, "WITHSCORES", "LIMIT", "0",
	        most) == -1)
		return -1;
	visit->whole = library_count(tags) < 2UL * LOOKED_AT;
	for (size_t at = 0; at < library_count(tags); at += 2UL * PAGE) {
		if (each_of_page(queue, keys, tags, at, visit, err) == -1)
			return -1;
	}
	return 0;
}

/* --- looking ---------------------------------------------------------------
 */

static void
show(const struct unacked *unacked, void *arg)
{
	struct library_listing *listing = arg;
	struct queue_item *item = library_listing_next(listing);
	const cJSON *headers =
	    cJSON_GetObjectItemCaseSensitive(unacked->json, "headers");
	const cJSON *retries =
	    cJSON_GetObjectItemCaseSensitive(headers, "retries");

	if (item == NULL)
		return;
	*item =
	    (struct queue_item){.id = arena_text(listing->arena, unacked->tag),
	        .error = "",
	        .owner = "",
	        /* since it was taken: Celery keeps no time of a task */
	        .age_ms = MAX(listing->now_ms - unacked->since_ms, (int64_t)0),
	        .attempts = cJSON_IsNumber(retries)
	                        ? (int64_t)retries->valuedouble + 1
	                        : -1};
	library_payload(
	    listing->arena, unacked->message.at, unacked->message.len, item);
}

static const char *
latest_of(struct arena *arena, const struct celery_keys *keys, int64_t now_ms)
{
	return arena_format(
	    arena, "%" PRId64, now_ms / MS_PER_S - keys->visibility_s);
}

int
celery_list_unacked(struct queue *queue, const struct celery_keys *keys,
    const struct celery_page *page, struct arena *arena, struct queue_page *ret,
    struct err *err)
{
	struct library_listing listing;
	struct visit visit = {show, &listing, false};

	if (library_listing_init(&listing, queue, arena, page->limit, err) ==
	        -1 ||
	    each_unacked(queue, keys,
	        page->expired ? latest_of(arena, keys, listing.now_ms) : "+inf",
	        &visit, err) == -1)
		return -1;
	*ret = library_listing_page(&listing, visit.whole);
	return 0;
}

/* --- moving ----------------------------------------------------------------
 */

/* Adds `"redelivered": true` to the object at `span` of `text`, unless
 * `object`, which is the same, has it already. */
static const char *
marked(struct arena *arena, const char *text, struct json_span span,
    const cJSON *object)
{
	size_t head = (size_t)(span.at + 1 - text);
	struct buffer out;

	if (cJSON_GetObjectItemCaseSensitive(object, "redelivered") != NULL)
		return text;
	buffer_init(&out, (size_t)2 * QUEUE_PAYLOAD_MAX);
	buffer_append(&out, text, head);
	buffer_text(&out, object->child == NULL ? "\"redelivered\": true"
	                                        : "\"redelivered\": true, ");
	buffer_text(&out, text + head);
	const char *made =
	    out.overflow ? text : arena_bytes(arena, out.data, out.len);

	buffer_wipe(&out);
	return made;
}

/* In `headers` and in `properties.delivery_info`, as kombu does. */
static const char *
redelivered(struct arena *arena, const struct unacked *unacked)
{
	const cJSON *headers =
	    cJSON_GetObjectItemCaseSensitive(unacked->json, "headers");
	const cJSON *info = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(unacked->json, "properties"),
	    "delivery_info");
	const char *text =
	    arena_bytes(arena, unacked->message.at, unacked->message.len);
	struct json_span span = {text, unacked->message.len};
	struct json_span inner;

	if (cJSON_IsObject(headers) &&
	    json_span_member(span, "headers", &inner))
		text = marked(arena, text, inner, headers);
	span = (struct json_span){text, strlen(text)};
	if (cJSON_IsObject(info) &&
	    json_span_member(span, "properties", &inner) &&
	    json_span_member(inner, "delivery_info", &inner))
		text = marked(arena, text, inner, info);
	return text;
}

struct found {
	const char *tag, *entry, *message;
	size_t of; /* which of the ids */
};

struct search {
	const struct queue_move *move;
	struct arena *arena;
	struct found *found;
	size_t count;
};

static void
take(const struct unacked *unacked, void *arg)
{
	struct search *search = arg;
	size_t i = 0;

	while (i < search->move->nids &&
	       !text_equal(search->move->ids[i], unacked->tag))
		i++;
	if (i == search->move->nids || search->count == search->move->nids)
		return;
	search->found[search->count++] = (struct found){
	    .tag = search->move->ids[i],
	    .entry = arena_bytes(search->arena, unacked->entry, unacked->len),
	    .message = redelivered(search->arena, unacked),
	    .of = i};
}

int
celery_move_unacked(struct queue *queue, const struct celery_keys *keys,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err)
{
	const struct library_queue *library = queue->state;
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	struct search search = {.move = move,
	    .arena = arena,
	    .found = arena_array(arena, move->nids + 1, sizeof(struct found))};
	int64_t now_ms = 0;
	struct visit visit = {take, &search, false};

	if (library_now(queue, &now_ms, err) == -1)
		return -1;
	const char *latest = latest_of(arena, keys, now_ms);

	if (each_unacked(queue, keys, latest, &visit, err) == -1)
		return -1;
	ret->moved = moved;
	for (size_t i = 0; i < search.count; i++) {
		const struct found *found = &search.found[i];
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "move a task", &reply, err, "EVAL",
		        move_script, "3", keys->index, keys->unacked,
		        library->list, found->tag, found->entry, found->message,
		        latest) == -1)
			return queue_moved_so_far(
			    queue, ret->count, move->nids, err);
		moved[found->of] =
		    reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
		ret->count += moved[found->of];
	}
	return 0;
}
