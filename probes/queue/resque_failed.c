/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/json_span.h"
#include "probes/queue/digest.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_script.h"
#include "probes/queue/resque.h"
#include "probes/queue/timestamp.h"

/*
 * Resque's failed jobs: one list of all queues, the oldest at the head, of
 * {"failed_at","payload":{"class","args"},"exception","error","worker",
 * "queue"}. An entry has no id, and its place changes: so a job is known by its
 * payload's digest, and goes back as Resque's own Failure.requeue does it: the
 * payload is put into its queue, and the entry stays, marked `retried_at`. The
 * mark is added to the entry's bytes, by a script that finds exactly these: an
 * entry that somebody else marked or removed meanwhile is no longer there.
 */
enum {
	FAILED_LOOKED_AT = 10000,
	FAILED_PAGE = 200
};

/* KEYS: failed, the list, the names of queues  ARGV: the entry, the marked one,
 * the payload, the queue's name */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local no=refused{{'LSET',KEYS[1],'list'},{'SADD',KEYS[3],'set'},\n"
    " {'RPUSH',KEYS[2],'list'}}\n"
    "if no then return no end\n"
    "local at=redis.call('LPOS',KEYS[1],ARGV[1])\n"
    "if not at then return 0 end\n"
    "redis.call('LSET',KEYS[1],at,ARGV[2])\n"
    "redis.call('SADD',KEYS[3],ARGV[4])\n"
    "redis.call('RPUSH',KEYS[2],ARGV[3])\n"
    "return 1\n";

struct failed {
	const char *entry; /* its bytes, NUL-terminated */
	size_t len;
	struct json_span payload;
	char digest[QUEUE_DIGEST_SIZE];
	const cJSON *json;
};
/* False: enough were seen. */
typedef bool failed_fn(const struct failed *failed, void *arg);

/* One of this queue that nobody has retried yet. */
static bool
is_open(const struct queue *queue, const redisReply *entry, struct failed *ret)
{
	const cJSON *name =
	    cJSON_GetObjectItemCaseSensitive(ret->json, "queue");
	const cJSON *retried =
	    cJSON_GetObjectItemCaseSensitive(ret->json, "retried_at");

	ret->entry = entry->str;
	ret->len = (size_t)entry->len;
	if (!cJSON_IsString(name) ||
	    !text_equal(name->valuestring, queue->name) ||
	    cJSON_IsString(retried) ||
	    !json_span_member((struct json_span){ret->entry, ret->len},
	        "payload", &ret->payload) ||
	    ret->payload.at[0] != '{')
		return false;
	queue_digest(ret->payload.at, ret->payload.len, ret->digest);
	return true;
}

/* The oldest first; `*ret_whole`: all of them were seen. */
static int
each_failed(struct queue *queue, const char *key, failed_fn *fn, void *arg,
    bool *ret_whole, struct err *err)
{
	bool more = true;

	*ret_whole = false;
	for (int from = 0; more && from < FAILED_LOOKED_AT;
	     from += FAILED_PAGE) {
		CLEANUP(redis_reply_free) redisReply *page = NULL;
		char first[16];
		char last[16];

		(void)snprintf(first, sizeof(first), "%d", from);
		(void)snprintf(
		    last, sizeof(last), "%d", from + FAILED_PAGE - 1);
		if (redis_ask(queue, "look at the failed jobs", &page, err,
		        "LRANGE", key, first, last) == -1)
			return -1;
		for (size_t i = 0; more && i < library_count(page); i++) {
			cJSON *json = library_json(library_text(page, i));
			struct failed failed = {.json = json};

			if (is_open(queue, page->element[i], &failed))
				more = fn(&failed, arg);
			cJSON_Delete(json);
		}
		if (more && library_count(page) < FAILED_PAGE) {
			*ret_whole = true;
			return 0;
		}
	}
	return 0;
}

/* --- looking ---------------------------------------------------------------
 */

/* "2026/11/22 12:00:00 UTC" of Resque itself. */
static int64_t
failed_ms(struct arena *arena, const char *text)
{
	char *copy = arena_text(arena, text);
	int64_t at_ms = -1;

	for (char *at = copy; *at != '\0'; at++) {
		if (*at == '/')
			*at = '-';
	}
	char *zone = strstr(copy, " UTC");

	if (zone != NULL)
		*zone = '\0';
	return timestamp_parse(copy, &at_ms) == 0 ? at_ms : -1;
}

static const char *
text_of(const struct failed *failed, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(failed->json, key);

	return cJSON_IsString(item) ? item->valuestring : "";
}

static bool
show(const struct failed *failed, void *arg)
{
	struct library_listing *listing = arg;
	struct queue_item *item = library_listing_next(listing);
	const char *error = text_of(failed, "error");

	if (item == NULL)
		return true;
	int64_t at_ms = failed_ms(listing->arena, text_of(failed, "failed_at"));

	*item = (struct queue_item){
	    .id = arena_text(listing->arena, failed->digest),
	    .error = arena_format(listing->arena, "%s%s%s",
	        text_of(failed, "exception"), error[0] != '\0' ? ": " : "",
	        error),
	    .owner = arena_text(listing->arena, text_of(failed, "worker")),
	    .age_ms = at_ms >= 0 ? MAX(listing->now_ms - at_ms, 0) : -1,
	    .attempts = -1};
	library_payload(
	    listing->arena, failed->payload.at, failed->payload.len, item);
	return true;
}

int
resque_list_failed(struct queue *queue, const struct resque_failed *keys,
    size_t limit, struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct library_listing listing;
	bool whole = false;

	if (library_listing_init(&listing, queue, arena, limit, err) == -1 ||
	    each_failed(queue, keys->failed, show, &listing, &whole, err) == -1)
		return -1;
	*ret = library_listing_page(&listing, whole);
	return 0;
}

/* --- moving ----------------------------------------------------------------
 */

struct found {
	const char *entry, *marked, *payload;
	size_t of; /* which of the ids */
};

struct search {
	const struct queue_move *move;
	struct arena *arena;
	bool *taken; /* of each id */
	struct found *found;
	size_t count;
	const char *now; /* as Resque writes it */
};

static bool
take(const struct failed *failed, void *arg)
{
	struct search *search = arg;
	size_t i =
	    queue_move_wanted(search->move, search->taken, failed->digest);

	if (i == search->move->nids)
		return true;
	search->taken[i] = true;
	search->found[search->count++] = (struct found){
	    .entry = arena_bytes(search->arena, failed->entry, failed->len),
	    /* {…} and one member more */
	    .marked = arena_format(search->arena, "{\"retried_at\":\"%s\",%s",
	        search->now, strchr(failed->entry, '{') + 1),
	    .payload = arena_bytes(
	        search->arena, failed->payload.at, failed->payload.len),
	    .of = i};
	return search->count < search->move->nids;
}

static const char *
now_text(struct arena *arena, int64_t now_ms)
{
	char text[32] = "";
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		(void)strftime(
		    text, sizeof(text), "%Y/%m/%d %H:%M:%S UTC", &tm);
	return arena_text(arena, text);
}

int
resque_move_failed(struct queue *queue, const struct resque_failed *keys,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err)
{
	const struct library_queue *library = queue->state;
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	struct search search = {.move = move,
	    .arena = arena,
	    .taken = arena_array(arena, move->nids + 1, sizeof(bool)),
	    .found = arena_array(arena, move->nids + 1, sizeof(struct found))};
	int64_t now_ms = 0;
	bool whole = false;

	if (library_now(queue, &now_ms, err) == -1)
		return -1;
	search.now = now_text(arena, now_ms);
	if (each_failed(queue, keys->failed, take, &search, &whole, err) == -1)
		return -1;
	ret->moved = moved;
	for (size_t i = 0; i < search.count; i++) {
		const struct found *found = &search.found[i];
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "move a job", &reply, err, "EVAL",
		        move_script, "3", keys->failed, library->list,
		        keys->queues, found->entry, found->marked,
		        found->payload, queue->name) == -1)
			return queue_moved_so_far(
			    queue, ret->count, move->nids, err);
		moved[found->of] =
		    reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
		ret->count += moved[found->of];
	}
	return 0;
}
