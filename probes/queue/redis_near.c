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
	DATABASES_MAX = 16,
	INDEX_ASKED = 1000, /* members of a technology's own index */
	HUNT_BYTES_MAX = 64 << 20,
	SCAN_BYTES_MAX = 64 << 20 /* a reply has 8 MiB at most */
};

static const char AS_A_KEY[] = "a key of its own";

/* What is looked for, and where. */
struct search {
	struct queue_pass *item;
	struct queue *queue;
	const struct redis_naming *naming;
	struct near near;
	const char *names[NEAR_CANDIDATES_MAX + 1]; /* the name itself last */
	const char *keys[NEAR_CANDIDATES_MAX + 1];
	size_t count;
	size_t first;                 /* the number of the first answer */
	size_t asked[QUEUE_NEAR_MAX]; /* SIZE_MAX: it has no length */
	bool over, scanned;
};

/* All searches on one server. */
struct hunt {
	struct arena arena;
	struct redis_server *server;
	struct search *all;
	size_t count;
	int64_t own_db;
	int64_t dbs[DATABASES_MAX]; /* the others */
	size_t ndbs;
};

/* --- one answer for all ----------------------------------------------------
 */

/* What ends one search doesn't end the others. */
static void
search_failed(struct search *search, const struct err *err)
{
	search->item->rc = -1;
	search->item->err = *err;
	search->over = true;
}

static void
hunt_failed(struct hunt *hunt, const struct err *err)
{
	for (size_t i = 0; i < hunt->count; i++)
		if (!hunt->all[i].over)
			search_failed(&hunt->all[i], err);
}

/* Sends what all of them have put in; false: it is over for all. */
static bool
hunt_send(struct hunt *hunt, struct redis_batch *batch, const char *doing)
{
	struct err err = ERR_INIT;

	if (batch->count == 0 ||
	    redis_batch_send(hunt->all[0].queue, batch, doing, &err) == 0)
		return true;
	hunt_failed(hunt, &err);
	return false;
}

static void
search_done(struct search *search)
{
	near_finish(&search->near, &search->item->state);
	search->over = true;
}

/* --- the technology's own index --------------------------------------------
 */

static void
offer_index(struct search *search, const redisReply *members)
{
	const struct redis_naming *naming = search->naming;

	for (size_t i = 0; i < members->elements; i++) {
		const redisReply *member = members->element[i];

		if (member->type != REDIS_REPLY_STRING)
			continue;
		const char *name = member->str;

		if (text_starts(name, naming->index_prefix))
			name += strlen(naming->index_prefix);
		near_offer(&search->near, arena_text(search->near.arena, name),
		    "", naming->type);
	}
}

static void
take_index(struct search *search, const redisReply *reply)
{
	struct err err = ERR_INIT;

	if (redis_checked(
	        search->queue, reply, "look at the queues' names", &err) == -1)
		search_failed(search, &err);
	else if (reply->type == REDIS_REPLY_ARRAY)
		offer_index(search, reply);
	if (!search->over && search->near.count > 0)
		search_done(search);
}

static void
look_into_index(struct hunt *hunt)
{
	struct redis_batch batch;

	redis_batch_init(&batch, hunt->server);
	for (size_t i = 0; i < hunt->count; i++)
		if (hunt->all[i].naming->index != NULL)
			hunt->all[i].first = redis_batch_ask(&batch,
			    "SRANDMEMBER", hunt->all[i].naming->index,
			    arena_format(&hunt->arena, "%d", INDEX_ASKED));
	if (hunt_send(hunt, &batch, "look at the queues' names"))
		for (size_t i = 0; i < hunt->count; i++)
			if (hunt->all[i].naming->index != NULL)
				take_index(
				    &hunt->all[i], redis_batch_reply(&batch,
				                       hunt->all[i].first));
	redis_batch_fini(&batch);
}

/* --- guesses ---------------------------------------------------------------
 */

static const char *
type_of(const struct search *search, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_STATUS || text_equal(reply->str, "none"))
		return NULL; /* a refusal (ACL) is no name */
	return search->naming->type != NULL
	           ? search->naming->type
	           : arena_text(search->near.arena, reply->str);
}

static void
ask_types(struct search *search, struct redis_batch *batch)
{
	search->first = batch->count;
	for (size_t i = 0; i < search->count; i++)
		(void)redis_batch_ask(batch, "TYPE", search->keys[i]);
}

static void
take_types(struct search *search, const struct redis_batch *batch, size_t count,
    const char *where)
{
	for (size_t i = 0; i < count; i++) {
		const char *type = type_of(
		    search, redis_batch_reply(batch, search->first + i));

		if (type != NULL)
			near_offer(
			    &search->near, search->names[i], where, type);
	}
}

/* Somebody else's queue under the very name: a plain list. */
static void
take_plain(struct search *search, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_STATUS &&
	    !text_equal(reply->str, "none"))
		near_offer(&search->near, search->queue->name, AS_A_KEY,
		    arena_text(search->near.arena, reply->str));
}

/* All guesses but the name itself, beside it. */
static void
guess_here(struct hunt *hunt)
{
	struct redis_batch batch;

	redis_batch_init(&batch, hunt->server);
	for (size_t i = 0; i < hunt->count; i++) {
		struct search *search = &hunt->all[i];

		if (search->over)
			continue;
		ask_types(search, &batch);
		(void)redis_batch_ask(&batch, "TYPE", search->queue->name);
	}
	bool sent = hunt_send(hunt, &batch, "look for near names");

	for (size_t i = 0; sent && i < hunt->count; i++) {
		struct search *search = &hunt->all[i];

		if (search->over)
			continue;
		take_types(search, &batch, search->count - 1, "");
		if (search->naming->plain)
			take_plain(search, redis_batch_reply(&batch,
			                       search->first + search->count));
	}
	redis_batch_fini(&batch);
}

/* --- the keys --------------------------------------------------------------
 */

static bool
same_scan(const struct search *a, const struct search *b)
{
	return text_equal(a->naming->scans, b->naming->scans) &&
	       text_equal(a->naming->match, b->naming->match) &&
	       text_equal(queue_option(a->queue, "budget"),
	           queue_option(b->queue, "budget"));
}

static size_t
ask_scan(const struct redis_naming *naming, const char *cursor,
    struct redis_batch *batch)
{
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "SCAN");
	redis_command_text(&command, cursor);
	redis_command_text(&command, "COUNT");
	redis_command_text(&command, "1000");
	if (naming->match != NULL) {
		redis_command_text(&command, "MATCH");
		redis_command_text(&command, naming->match);
	}
	if (naming->scans != NULL) {
		redis_command_text(&command, "TYPE");
		redis_command_text(&command, naming->scans);
	}
	return redis_batch_add(batch, &command);
}

static void
offer_keys(struct search *search, const redisReply *keys)
{
	const struct redis_naming *naming = search->naming;
	struct arena names; /* near_offer copies what it takes */

	arena_init(&names, SCAN_BYTES_MAX);
	for (size_t i = 0; i < keys->elements; i++) {
		const char *name = NULL;
		const char *where = "";

		if (keys->element[i]->type != REDIS_REPLY_STRING)
			continue;
		name = keys->element[i]->str;
		if (naming->name == NULL ||
		    naming->name(search->queue, &names, name, &name, &where))
			near_offer(&search->near, name, where,
			    naming->type != NULL ? naming->type
			                         : naming->scans);
	}
	arena_fini(&names);
}

/* To everybody who looks through the same keys as `one`. */
static void
offer_all(struct hunt *hunt, const struct search *one, const redisReply *keys)
{
	for (size_t i = 0; i < hunt->count; i++)
		if (!hunt->all[i].over && same_scan(one, &hunt->all[i]))
			offer_keys(&hunt->all[i], keys);
}

/* One part of a node's keys; the next cursor, NULL: that was all, or the node
 * has no SCAN for us (then only what was guessed). */
static const char *
scan_some(struct hunt *hunt, const struct search *one, uint8_t node,
    const char *cursor)
{
	struct redis_batch batch;
	const char *next = NULL;

	redis_batch_init(&batch, hunt->server);
	size_t asked = ask_scan(one->naming, cursor, &batch);

	redis_batch_to(&batch, asked, node);
	if (hunt_send(hunt, &batch, "look through the keys")) {
		const redisReply *reply = redis_batch_reply(&batch, asked);

		if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
		    reply->element[0]->type == REDIS_REPLY_STRING &&
		    reply->element[1]->type == REDIS_REPLY_ARRAY) {
			offer_all(hunt, one, reply->element[1]);
			next = text_equal(reply->element[0]->str, "0")
			           ? NULL
			           : arena_text(
			                 &hunt->arena, reply->element[0]->str);
		}
	}
	redis_batch_fini(&batch);
	return next;
}

/* Every master has its share of the calls and of the time. */
static void
scan(struct hunt *hunt, const struct search *one, const uint8_t *nodes,
    size_t nnodes)
{
	const char *budget = queue_option(one->queue, "budget");
	int64_t calls = SCAN_CALLS;
	int64_t until_ms = clock_after(clock_ms(), SCAN_MS);
	struct err err = ERR_INIT;

	if (budget != NULL &&
	    text_i64(budget, 0, 1000000, &calls, &err) == -1) {
		(void)err_wrap(&err, "'budget'");
		for (size_t i = 0; i < hunt->count; i++)
			if (!hunt->all[i].over && same_scan(one, &hunt->all[i]))
				search_failed(&hunt->all[i], &err);
		return;
	}
	for (size_t i = 0; i < nnodes && !one->over; i++) {
		int64_t left = (int64_t)(nnodes - i);
		int64_t node_calls = (calls + left - 1) / left;
		int64_t now_ms = clock_ms();
		int64_t node_until_ms =
		    clock_after(now_ms, MAX(until_ms - now_ms, 0) / left);
		const char *cursor = "0";

		for (; cursor != NULL && node_calls > 0 &&
		       clock_ms() < node_until_ms;
		     node_calls--, calls--)
			cursor = scan_some(hunt, one, nodes[i], cursor);
	}
}

static void
look_through_keys(struct hunt *hunt)
{
	uint8_t nodes[REDIS_NODES_MAX];
	size_t nnodes = 0;

	for (size_t i = 0; i < hunt->count; i++) {
		struct search *one = &hunt->all[i];

		if (one->over || one->scanned)
			continue;
		if (nnodes == 0)
			nnodes = redis_server_masters(
			    hunt->server, one->queue->deadline_ms, nodes);
		scan(hunt, one, nodes, nnodes);
		for (size_t k = i; k < hunt->count; k++)
			hunt->all[k].scanned |= same_scan(one, &hunt->all[k]);
	}
}

/* --- other databases -------------------------------------------------------
 */

static void
read_databases(struct hunt *hunt, const char *keyspace)
{
	for (const char *at = strstr(keyspace, "\ndb");
	     at != NULL && hunt->ndbs < DATABASES_MAX;
	     at = strstr(at + 1, "\ndb")) {
		int64_t db = strtoll(at + 3, NULL, 10);

		if (db != hunt->own_db)
			hunt->dbs[hunt->ndbs++] = db;
	}
}

static size_t
ask_select(struct hunt *hunt, struct redis_batch *batch, int64_t db)
{
	return redis_batch_ask(
	    batch, "SELECT", arena_format(&hunt->arena, "%" PRId64, db));
}

static const char *
place_of(struct hunt *hunt, int64_t db)
{
	return arena_format(&hunt->arena, "db %" PRId64, db);
}

/* The same names, or ones like them, in another database: selected and left
 * again within one batch. */
static void
guess_there(struct hunt *hunt, int64_t db)
{
	struct redis_batch batch;

	redis_batch_init(&batch, hunt->server);
	size_t selected = ask_select(hunt, &batch, db);

	for (size_t i = 0; i < hunt->count; i++)
		if (!hunt->all[i].over)
			ask_types(&hunt->all[i], &batch);
	(void)ask_select(hunt, &batch, hunt->own_db);
	bool sent = hunt_send(hunt, &batch, "look into the databases");

	/* not allowed to select it: then not looked there */
	if (sent &&
	    redis_batch_reply(&batch, selected)->type != REDIS_REPLY_ERROR)
		for (size_t i = 0; i < hunt->count; i++)
			if (!hunt->all[i].over)
				take_types(&hunt->all[i], &batch,
				    hunt->all[i].count, place_of(hunt, db));
	redis_batch_fini(&batch);
}

static void
look_into_databases(struct hunt *hunt)
{
	struct redis_batch batch;
	struct err err = ERR_INIT;

	redis_batch_init(&batch, hunt->server);
	size_t asked = redis_batch_ask(&batch, "INFO", "keyspace");

	if (hunt_send(hunt, &batch, "list the databases")) {
		struct queue *queue = hunt->all[0].queue;
		const redisReply *reply = redis_batch_reply(&batch, asked);

		if (redis_checked(queue, reply, "list the databases", &err) ==
		        -1 &&
		    queue->cause != CAUSE_PERMISSION)
			hunt_failed(hunt, &err);
		else if (reply->type == REDIS_REPLY_STRING)
			read_databases(hunt, reply->str);
	}
	redis_batch_fini(&batch);
	for (size_t i = 0; i < hunt->ndbs; i++)
		guess_there(hunt, hunt->dbs[i]);
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

/* Of those at `where`; NULL: in our own database. */
static void
ask_lengths(struct search *search, struct redis_batch *batch, const char *where)
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
		search->asked[i] = SIZE_MAX;
		if (command != NULL)
			search->asked[i] = redis_batch_ask(batch, command,
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

static void
take_lengths(struct search *search, const struct redis_batch *batch)
{
	for (size_t i = 0; i < search->near.count; i++)
		search->near.found[i].waiting =
		    length_of(batch, search->asked[i], search->near.arena);
	search_done(search);
}

static void
ask_all_lengths(struct hunt *hunt, struct redis_batch *batch, const char *where)
{
	for (size_t i = 0; i < hunt->count; i++)
		if (!hunt->all[i].over)
			ask_lengths(&hunt->all[i], batch, where);
}

/* Everything found, here and there. */
static void
count_found(struct hunt *hunt)
{
	struct redis_batch batch;

	redis_batch_init(&batch, hunt->server);
	ask_all_lengths(hunt, &batch, NULL);
	for (size_t i = 0; i < hunt->ndbs; i++) {
		(void)ask_select(hunt, &batch, hunt->dbs[i]);
		ask_all_lengths(hunt, &batch, place_of(hunt, hunt->dbs[i]));
	}
	if (hunt->ndbs > 0)
		(void)ask_select(hunt, &batch, hunt->own_db);
	if (hunt_send(hunt, &batch, "count what waits there"))
		for (size_t i = 0; i < hunt->count; i++)
			if (!hunt->all[i].over)
				take_lengths(&hunt->all[i], &batch);
	redis_batch_fini(&batch);
}

/* --- all of a server -------------------------------------------------------
 */

static void
hunt_add(struct hunt *hunt, struct queue_pass *item)
{
	struct search *search = &hunt->all[hunt->count++];
	struct queue *queue = item->queue;

	search->item = item;
	search->queue = queue;
	search->naming = redis_handle_of(queue)->naming;
	near_init(&search->near, item->arena, queue->name);
	search->count =
	    near_candidates(item->arena, queue->name, search->names);
	search->names[search->count++] = queue->name;
	for (size_t i = 0; i < search->count; i++)
		search->keys[i] = search->naming->key == NULL
		                      ? search->names[i]
		                      : search->naming->key(queue, item->arena,
		                            search->names[i]);
}

static bool
anybody_searches(const struct hunt *hunt)
{
	for (size_t i = 0; i < hunt->count; i++)
		if (!hunt->all[i].over)
			return true;
	return false;
}

static void
hunt_run(struct hunt *hunt)
{
	static void (*const steps[])(struct hunt * hunt) = {look_into_index,
	    guess_here, look_through_keys, look_into_databases, count_found};

	hunt->own_db = redis_connection_db(redis_server_main(hunt->server));
	for (size_t i = 0; i < ARRAY_LEN(steps) && anybody_searches(hunt); i++)
		steps[i](hunt);
}

void
redis_near_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		all[i].done = false;
	for (size_t i = 0; i < count; i++) {
		struct hunt hunt = {
		    .server = redis_handle_of(all[i].queue)->server};

		if (all[i].done)
			continue;
		arena_init(&hunt.arena, HUNT_BYTES_MAX);
		hunt.all =
		    arena_array(&hunt.arena, count - i, sizeof(*hunt.all));
		for (size_t k = i; k < count; k++) {
			if (redis_handle_of(all[k].queue)->server !=
			    hunt.server)
				continue;
			all[k].done = true;
			hunt_add(&hunt, &all[k]);
		}
		hunt_run(&hunt);
		arena_fini(&hunt.arena);
	}
}

int
redis_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	struct queue_pass item = {
	    .queue = queue, .arena = arena, .state = *state};

	redis_near_many(&item, 1);
	*state = item.state;
	if (item.rc == -1 && err != NULL)
		*err = item.err;
	return item.rc;
}
