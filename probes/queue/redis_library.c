/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_near.h"

enum {
	MS_PER_S = 1000,
	US_PER_MS = 1000
};

/* --- near names ---------------------------------------------------------- */

static const char *
near_key(struct queue *queue, struct arena *arena, const char *name)
{
	const struct library_queue *library = queue->state;

	return arena_format(arena, "%s%s", library->prefix, name);
}

static bool
near_name(struct queue *queue, struct arena *arena, const char *key,
    const char **ret_name, const char **ret_where)
{
	const struct library_queue *library = queue->state;

	if (!text_starts(key, library->prefix)) {
		const char *infix =
		    library->infix != NULL ? strstr(key, library->infix) : NULL;

		if (infix == NULL)
			return false;
		*ret_name = arena_text(arena, infix + strlen(library->infix));
		*ret_where = arena_format(arena, "%s%.*s", REDIS_OTHER_PREFIX,
		    (int)(infix - key), key);
		return true;
	}
	*ret_name = arena_text(arena, key + strlen(library->prefix));
	*ret_where = "";
	return true;
}

static const char *
near_waiting(
    struct queue *queue, struct arena *arena, const struct queue_near *found)
{
	const struct library_queue *library = queue->state;

	return text_starts(found->where, REDIS_OTHER_PREFIX)
	           ? arena_format(arena, "%s%s%s",
	                 found->where + strlen(REDIS_OTHER_PREFIX),
	                 library->infix, found->name)
	           : near_key(queue, arena, found->name);
}

/* --- opening ------------------------------------------------------------- */

int
library_open(struct queue *queue, const struct library_layout *layout,
    redis_round_fn *const *rounds, struct err *err)
{
	struct library_queue *library =
	    arena_alloc(&queue->arena, sizeof(*library));

	queue->state = library;
	library->ns = layout->ns;
	library->infix = layout->infix;
	library->prefix = arena_text(&queue->arena, layout->prefix);
	library->list =
	    arena_format(&queue->arena, "%s%s", library->prefix, queue->name);
	library->naming = (struct redis_naming){.key = near_key,
	    .name = near_name,
	    .waiting = near_waiting,
	    .type = arena_format(&queue->arena, "%s queue", queue->spec.kind),
	    .scans = "list",
	    .match = layout->infix != NULL
	                 ? arena_format(&queue->arena, "*%s*", layout->infix)
	                 : arena_format(&queue->arena, "%s*", library->prefix),
	    .index = layout->index,
	    .index_prefix = library->prefix}; /* RQ keeps their keys */
	library->handle.naming = &library->naming;
	library->handle.types =
	    redis_key_types(queue, &queue->arena, layout->base, layout->types);
	return redis_kind_open(queue, NULL,
	    arena_format(
	        &queue->arena, "%s queue %s", queue->spec.kind, queue->name),
	    rounds, err);
}

/* --- answers ------------------------------------------------------------- */

size_t
library_count(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const char *
library_text(const redisReply *reply, size_t at)
{
	if (at >= library_count(reply) ||
	    reply->element[at]->type != REDIS_REPLY_STRING)
		return "";
	return reply->element[at]->str;
}

cJSON *
library_json(const char *text)
{
	cJSON *json = json_read(text, strlen(text), NULL);

	if (cJSON_IsObject(json))
		return json;
	cJSON_Delete(json);
	return NULL;
}

bool
library_is_of(const char *text, const char *queue)
{
	cJSON *job = library_json(text);
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(job, "queue");
	bool is = cJSON_IsString(name) && text_equal(name->valuestring, queue);

	cJSON_Delete(job);
	return is;
}

void
library_consumer(struct redis_look *look, const struct queue_consumer *consumer)
{
	struct queue_state *state = look->state;
	struct queue_consumer *who = NULL;

	if (state->nwho == QUEUE_WHO_MAX)
		return;
	who = arena_array(look->arena, state->nwho + 1, sizeof(*who));
	for (size_t i = 0; i < state->nwho; i++)
		who[i] = state->who[i];
	who[state->nwho++] = *consumer;
	state->who = who;
}

struct queue_number
library_share(int64_t mine, int64_t counted, const struct queue_number *total)
{
	if (total->know != KNOW_EXACT)
		return *total;
	return (struct queue_number){.value = mine,
	    .know = counted >= total->value ? KNOW_EXACT : KNOW_AT_LEAST};
}

/* --- one job ------------------------------------------------------------- */

int
library_find(
    struct queue *queue, const char *text, bool *ret_found, struct err *err)
{
	static const char *const ranks[] = {"1", "-1"};
	const struct library_queue *library = queue->state;

	*ret_found = false;
	for (size_t i = 0; i < ARRAY_LEN(ranks) && !*ret_found; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "look for the job", &reply, err, "LPOS",
		        library->list, text, "RANK", ranks[i], "MAXLEN",
		        "10000") == -1)
			return -1;
		*ret_found = reply->type == REDIS_REPLY_INTEGER;
	}
	return 0;
}

int
library_take_out(
    struct queue *queue, const char *text, bool *ret_removed, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	bool found = false;

	*ret_removed = false;
	/* LREM of what isn't there walks the whole list */
	if (library_find(queue, text, &found, err) == -1)
		return -1;
	if (!found)
		return 0;
	if (redis_ask(queue, "take the job out", &reply, err, "LREM",
	        library->list, "1", text) == -1)
		return -1;
	*ret_removed = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	return 0;
}

void
library_payload(
    struct arena *arena, const char *bytes, size_t len, struct queue_item *ret)
{
	ret->payload_whole = (int64_t)len;
	ret->payload_len = MIN(len, (size_t)QUEUE_PEEK_MAX);
	ret->payload = arena_bytes(arena, bytes, ret->payload_len);
}

int
library_listing_init(struct library_listing *listing, struct queue *queue,
    struct arena *arena, size_t limit, struct err *err)
{
	*listing = (struct library_listing){.arena = arena,
	    .limit = limit,
	    .items = arena_array(arena, limit + 1, sizeof(*listing->items))};
	return library_now(queue, &listing->now_ms, err);
}

struct queue_item *
library_listing_next(struct library_listing *listing)
{
	listing->seen++;
	return listing->count < listing->limit
	           ? &listing->items[listing->count++]
	           : NULL;
}

struct queue_page
library_listing_page(const struct library_listing *listing, bool whole)
{
	return (struct queue_page){.items = listing->items,
	    .count = listing->count,
	    .total = {listing->seen, whole ? KNOW_EXACT : KNOW_AT_LEAST, NULL}};
}

/* Their ids are their places: such a job has none of its own. */
int
library_peek(struct queue *queue, const struct library_peek *peek,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *some = NULL;
	const char *far = arena_format(
	    arena, peek->tail ? "-%zu" : "%zu", peek->limit - !peek->tail);

	if (redis_ask(queue, "look at the jobs", &some, err, "LRANGE",
	        peek->key, peek->tail ? far : "0",
	        peek->tail ? "-1" : far) == -1)
		return -1;
	size_t count = library_count(some);
	struct queue_item *items =
	    arena_array(arena, count + 1, sizeof(*items));

	for (size_t i = 0; i < count; i++) {
		const redisReply *one =
		    some->element[peek->tail ? count - 1 - i : i];

		items[i] =
		    (struct queue_item){.id = arena_format(arena, "#%zu", i),
		        .error = "",
		        .owner = "",
		        .age_ms = -1,
		        .attempts = -1};
		library_payload(arena, one->str, (size_t)one->len, &items[i]);
	}
	*ret = (struct queue_page){
	    .items = items, .count = count, .total = *peek->total};
	return 0;
}

int
library_now(struct queue *queue, int64_t *ret_ms, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	int64_t seconds = 0;
	int64_t micros = 0;

	if (redis_ask(queue, "ask for the time", &reply, err, "TIME") == -1)
		return -1;
	if (text_i64(library_text(reply, 0), 0, INT64_MAX / MS_PER_S, &seconds,
	        err) == -1 ||
	    text_i64(library_text(reply, 1), 0, INT64_MAX, &micros, err) == -1)
		return -1;
	*ret_ms = seconds * MS_PER_S + micros / US_PER_MS;
	return 0;
}
