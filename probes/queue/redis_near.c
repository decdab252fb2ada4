/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/redis_near.h"

enum {
	SCAN_CALLS = 200, /* of 1000 keys each: about 0.2 s of the server */
	SCAN_MS = 1500,
	DATABASES_MAX = 16
};

static const char AS_A_KEY[] = "a key of its own";

static const char OTHER_PREFIX[] = "prefix ";

bool
redis_near_prefixed(struct arena *arena, const char *prefix, const char *trace,
    const char *key, const char **ret_name, const char **ret_where)
{
	size_t skip = strlen(prefix);

	if (!text_ends(key, trace))
		return false;
	size_t len = strlen(key) - strlen(trace);

	*ret_where = "";
	if (!text_starts(key, prefix) || key[skip] != ':') {
		skip = strcspn(key, ":");
		*ret_where =
		    arena_format(arena, "%s%.*s", OTHER_PREFIX, (int)skip, key);
	}
	if (skip >= len)
		return false;
	*ret_name =
	    arena_format(arena, "%.*s", (int)(len - skip - 1), key + skip + 1);
	return true;
}

const char *
redis_near_prefix_of(const struct queue_near *found, const char *own)
{
	return text_starts(found->where, OTHER_PREFIX)
	           ? found->where + strlen(OTHER_PREFIX)
	           : own;
}

/* What is looked for, and where. */
struct search {
	struct queue *queue;
	const struct redis_naming *naming;
	struct near near;
	const char *names[NEAR_CANDIDATES_MAX + 1]; /* the name itself last */
	const char *keys[NEAR_CANDIDATES_MAX + 1];
	size_t count;
};

static const char *
type_of(const struct search *search, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_STATUS || text_equal(reply->str, "none"))
		return NULL; /* a refusal (ACL) is no name */
	return search->naming->type != NULL
	           ? search->naming->type
	           : arena_text(search->near.arena, reply->str);
}

static size_t
ask_types(struct search *search, struct redis_batch *batch, size_t count)
{
	size_t first = batch->count;

	for (size_t i = 0; i < count; i++)
		(void)redis_batch_ask(batch, "TYPE", search->keys[i]);
	return first;
}

static void
take_types(struct search *search, const struct redis_batch *batch, size_t first,
    size_t count, const char *where)
{
	for (size_t i = 0; i < count; i++) {
		const char *type =
		    type_of(search, redis_batch_reply(batch, first + i));

		if (type != NULL)
			near_offer(
			    &search->near, search->names[i], where, type);
	}
}

/* Somebody else's queue under the very name: a plain list. */
static void
take_plain(struct search *search, const struct redis_batch *batch, size_t plain)
{
	const redisReply *reply = redis_batch_reply(batch, plain);

	if (reply->type == REDIS_REPLY_STATUS &&
	    !text_equal(reply->str, "none"))
		near_offer(&search->near, search->queue->name, AS_A_KEY,
		    arena_text(search->near.arena, reply->str));
}

/* All guesses but the name itself, beside it. */
static int
guess_here(struct search *search, struct err *err)
{
	struct redis_batch batch;

	redis_batch_init(&batch, redis_handle_of(search->queue)->server);
	size_t first = ask_types(search, &batch, search->count - 1);
	size_t plain = redis_batch_ask(&batch, "TYPE", search->queue->name);
	int rc =
	    redis_batch_send(search->queue, &batch, "look for near names", err);

	if (rc == 0)
		take_types(search, &batch, first, search->count - 1, "");
	if (rc == 0 && search->naming->plain)
		take_plain(search, &batch, plain);
	redis_batch_fini(&batch);
	return rc;
}

static void
scan_command(const struct redis_naming *naming, const char *cursor,
    struct redis_command *command)
{
	redis_command_init(command);
	redis_command_text(command, "SCAN");
	redis_command_text(command, cursor);
	redis_command_text(command, "COUNT");
	redis_command_text(command, "1000");
	if (naming->match != NULL) {
		redis_command_text(command, "MATCH");
		redis_command_text(command, naming->match);
	}
	if (naming->scans != NULL) {
		redis_command_text(command, "TYPE");
		redis_command_text(command, naming->scans);
	}
}

static void
offer_keys(struct search *search, const redisReply *keys)
{
	const struct redis_naming *naming = search->naming;

	for (size_t i = 0; i < keys->elements; i++) {
		const char *name = NULL;
		const char *where = "";

		if (keys->element[i]->type == REDIS_REPLY_STRING &&
		    naming->name(search->queue, search->near.arena,
		        keys->element[i]->str, &name, &where))
			near_offer(&search->near, name, where,
			    naming->type != NULL ? naming->type
			                         : naming->scans);
	}
}

static int
scan(struct search *search, struct err *err)
{
	const char *budget = queue_option(search->queue, "budget");
	int64_t calls = SCAN_CALLS;
	int64_t until_ms = clock_after(clock_ms(), SCAN_MS);
	const char *cursor = "0";

	if (budget != NULL && text_i64(budget, 0, 1000000, &calls, err) == -1)
		return err_wrap(err, "'budget'");
	for (int64_t i = 0; i < calls && clock_ms() < until_ms; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct redis_command command;

		scan_command(search->naming, cursor, &command);
		if (redis_send(search->queue, &command, "look through the keys",
		        &reply, err) == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		    reply->element[0]->type != REDIS_REPLY_STRING ||
		    reply->element[1]->type != REDIS_REPLY_ARRAY)
			return 0;
		offer_keys(search, reply->element[1]);
		cursor = arena_text(search->near.arena, reply->element[0]->str);
		if (text_equal(cursor, "0"))
			return 0;
	}
	return 0;
}

/* --- how much waits there --------------------------------------------------
 */

static const char *
length_command(const char *type)
{
	static const struct {
		const char *type, *command;
	} lengths[] = {{"list", "LLEN"}, {"zset", "ZCARD"}, {"set", "SCARD"},
	    {"hash", "HLEN"}, {"stream", "XLEN"}};

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		if (text_equal(lengths[i].type, type))
			return lengths[i].command;
	return NULL;
}

/* Of those at `where`, in one go: the numbers go to `asked`, SIZE_MAX for what
 * has no length. */
static void
ask_lengths(struct search *search, struct redis_batch *batch, const char *where,
    size_t *asked)
{
	const struct redis_naming *naming = search->naming;

	for (size_t i = 0; i < search->near.count; i++) {
		const struct queue_near *found = &search->near.found[i];
		bool counted = naming->waiting != NULL &&
		               !text_equal(found->where, AS_A_KEY);
		const char *command =
		    counted ? "LLEN" : length_command(found->type);
		bool here = where == NULL ? !text_starts(found->where, "db ")
		                          : text_equal(found->where, where);

		if (!here)
			continue;
		asked[i] = SIZE_MAX;
		if (command != NULL)
			asked[i] = redis_batch_ask(batch, command,
			    counted ? naming->waiting(search->queue,
			                  search->near.arena, found)
			            : found->name);
	}
}

static struct queue_number
length_of(const struct redis_batch *batch, size_t asked, struct arena *arena)
{
	if (asked == SIZE_MAX)
		return queue_inapplicable();
	const redisReply *reply = redis_batch_reply(batch, asked);

	if (reply->type == REDIS_REPLY_INTEGER)
		return queue_exact(reply->integer);
	return queue_unknown(reply->type == REDIS_REPLY_ERROR
	                         ? arena_text(arena, reply->str)
	                         : "the server didn't answer with a number");
}

/* --- other databases -------------------------------------------------------
 */

static size_t
other_databases(const char *keyspace, int64_t own, int64_t dbs[DATABASES_MAX])
{
	size_t count = 0;

	for (const char *at = strstr(keyspace, "\ndb");
	     at != NULL && count < DATABASES_MAX; at = strstr(at + 1, "\ndb")) {
		int64_t db = strtoll(at + 3, NULL, 10);

		if (db != own)
			dbs[count++] = db;
	}
	return count;
}

static size_t
ask_select(struct search *search, struct redis_batch *batch, int64_t db)
{
	return redis_batch_ask(
	    batch, "SELECT", arena_format(search->near.arena, "%" PRId64, db));
}

static const char *
place_of(struct search *search, int64_t db)
{
	return arena_format(search->near.arena, "db %" PRId64, db);
}

/* The same name, or one like it, in the others: each is selected in turn within
 * one batch, our own again at its end. */
static int
guess_databases(struct search *search, const int64_t *dbs, size_t count,
    int64_t own, struct err *err)
{
	struct redis_batch batch;
	size_t first[DATABASES_MAX];

	redis_batch_init(&batch, redis_handle_of(search->queue)->server);
	for (size_t i = 0; i < count; i++) {
		first[i] = ask_select(search, &batch, dbs[i]);
		(void)ask_types(search, &batch, search->count);
	}
	(void)ask_select(search, &batch, own);
	int rc = redis_batch_send(
	    search->queue, &batch, "look into the databases", err);

	for (size_t i = 0; rc == 0 && i < count; i++)
		/* not allowed to select it: then not looked there */
		if (redis_batch_reply(&batch, first[i])->type !=
		    REDIS_REPLY_ERROR)
			take_types(search, &batch, first[i] + 1, search->count,
			    place_of(search, dbs[i]));
	redis_batch_fini(&batch);
	return rc;
}

/* Everything found, here and there. */
static int
count_found(struct search *search, const int64_t *dbs, size_t count,
    int64_t own, struct err *err)
{
	struct redis_batch batch;
	size_t asked[QUEUE_NEAR_MAX] = {0};

	if (search->near.count == 0)
		return 0;
	redis_batch_init(&batch, redis_handle_of(search->queue)->server);
	ask_lengths(search, &batch, NULL, asked);
	for (size_t i = 0; i < count; i++) {
		(void)ask_select(search, &batch, dbs[i]);
		ask_lengths(search, &batch, place_of(search, dbs[i]), asked);
	}
	if (count > 0)
		(void)ask_select(search, &batch, own);
	int rc = redis_batch_send(
	    search->queue, &batch, "count what waits there", err);

	for (size_t i = 0; rc == 0 && i < search->near.count; i++)
		search->near.found[i].waiting =
		    length_of(&batch, asked[i], search->near.arena);
	redis_batch_fini(&batch);
	return rc;
}

static int
look_elsewhere(struct search *search, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	int64_t dbs[DATABASES_MAX];
	int64_t own = redis_connection_db(
	    redis_server_main(redis_handle_of(search->queue)->server));
	struct err refused = ERR_INIT;
	size_t count = 0;

	if (redis_ask(search->queue, "list the databases", &reply, &refused,
	        "INFO", "keyspace") == 0) {
		if (reply->type == REDIS_REPLY_STRING)
			count = other_databases(reply->str, own, dbs);
	} else if (search->queue->cause != CAUSE_PERMISSION) {
		return err_set(err, refused.kind, "%s", refused.text);
	}
	if (count > 0 && guess_databases(search, dbs, count, own, err) == -1)
		return -1;
	return count_found(search, dbs, count, own, err);
}

int
redis_near(struct queue *queue, const struct redis_naming *naming,
    struct arena *arena, struct queue_state *state, struct err *err)
{
	struct search search = {.queue = queue, .naming = naming};
	struct err refused = ERR_INIT;

	near_init(&search.near, arena, queue->name);
	search.count = near_candidates(arena, queue->name, search.names);
	search.names[search.count++] = queue->name;
	for (size_t i = 0; i < search.count; i++)
		search.keys[i] = naming->key(queue, arena, search.names[i]);
	if (guess_here(&search, err) == -1)
		return -1;
	/* a server without SCAN: then only what was guessed */
	if (scan(&search, &refused) == -1 && queue->cause != CAUSE_PERMISSION)
		return err_set(err, refused.kind, "%s", refused.text);
	if (look_elsewhere(&search, err) == -1)
		return -1;
	near_finish(&search.near, state);
	return 0;
}
