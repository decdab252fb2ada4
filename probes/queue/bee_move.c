/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/bee.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_script.h"

/* Jobs as people look at them, and moved back to the waiting ones. */

enum {
	STALLED_LOOKED_AT = 10000,
	SCANS_MAX = 100 /* of one set */
};

struct found {
	const char *id;
	size_t marked, size, job;
};

struct listing {
	struct queue *queue;
	struct arena *arena;
	struct redis_batch batch;
	struct found *found;
	size_t count, most;
	int64_t now_ms;
};

static void
take_id(struct listing *listing, const redisReply *id)
{
	if (id->type != REDIS_REPLY_STRING || listing->count >= listing->most)
		return;
	/* SSCAN may tell one twice */
	for (size_t i = 0; i < listing->count; i++)
		if (text_equal(listing->found[i].id, id->str))
			return;
	listing->found[listing->count++].id =
	    arena_bytes(listing->arena, id->str, (size_t)id->len);
}

/* Of a list, whose tail is the oldest, or of a zset. */
static int
find_ordered(struct listing *listing, const char *word, enum queue_part part,
    struct err *err)
{
	/* of a list the tail is the oldest */
	bool list = part != PART_DELAYED;
	bool tail = list && part != PART_NEWEST;
	CLEANUP(redis_reply_free) redisReply *ids = NULL;
	const char *key = prefixed_key(listing->queue, listing->arena, word);
	const char *first = arena_format(listing->arena, "-%zu", listing->most);
	const char *last =
	    arena_format(listing->arena, "%zu", listing->most - 1);

	if (redis_ask(listing->queue, "look at the jobs", &ids, err,
	        list ? "LRANGE" : "ZRANGE", key, tail ? first : "0",
	        tail ? "-1" : last) == -1)
		return -1;
	size_t count = library_count(ids);

	for (size_t i = 0; i < count; i++)
		take_id(listing, ids->element[tail ? count - 1 - i : i]);
	return 0;
}

/* Of a set, which has no order. */
static int
find_some(struct listing *listing, const char *word, struct err *err)
{
	const char *key = prefixed_key(listing->queue, listing->arena, word);
	const char *cursor = "0";

	for (int i = 0; i < SCANS_MAX && listing->count < listing->most; i++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(listing->queue, "look at the jobs", &reply, err,
		        "SSCAN", key, cursor, "COUNT", "100") == -1)
			return -1;
		if (library_count(reply) != 2 ||
		    reply->element[1]->type != REDIS_REPLY_ARRAY)
			return 0;
		for (size_t k = 0; k < reply->element[1]->elements; k++)
			take_id(listing, reply->element[1]->element[k]);
		cursor = arena_text(listing->arena, library_text(reply, 0));
		if (text_equal(cursor, "0") || cursor[0] == '\0')
			return 0;
	}
	return 0;
}

/* Keeps those that no worker has spoken for since the last look for stalled
 * jobs. */
static int
keep_marked(struct listing *listing, struct err *err)
{
	const char *stalling =
	    prefixed_key(listing->queue, listing->arena, "stalling");
	size_t kept = 0;

	for (size_t i = 0; i < listing->count; i++)
		listing->found[i].marked = redis_batch_ask(&listing->batch,
		    "SISMEMBER", stalling, listing->found[i].id);
	if (redis_batch_send(listing->queue, &listing->batch,
	        "look at the stalled jobs", err) == -1)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		const redisReply *marked = redis_batch_reply(
		    &listing->batch, listing->found[i].marked);

		if (marked->type == REDIS_REPLY_INTEGER && marked->integer == 1)
			listing->found[kept++] = listing->found[i];
	}
	listing->count = kept;
	return 0;
}

/* Two round trips: how long each job is, then those that aren't too long. */
static int
read_jobs(struct listing *listing, struct err *err)
{
	struct redis_batch *batch = &listing->batch;
	const char *jobs = prefixed_key(listing->queue, listing->arena, "jobs");

	for (size_t i = 0; i < listing->count; i++)
		listing->found[i].size = redis_batch_ask(
		    batch, "HSTRLEN", jobs, listing->found[i].id);
	if (redis_batch_send(listing->queue, batch, "look at the jobs", err) ==
	    -1)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		struct found *found = &listing->found[i];
		const redisReply *size = redis_batch_reply(batch, found->size);

		found->job = found->size;
		if (size->type == REDIS_REPLY_INTEGER &&
		    size->integer <= BEE_WHOLE_MAX)
			found->job =
			    redis_batch_ask(batch, "HGET", jobs, found->id);
	}
	return redis_batch_send(listing->queue, batch, "look at the jobs", err);
}

static struct queue_item
item_of(const struct listing *listing, const struct found *found)
{
	const redisReply *text = redis_batch_reply(&listing->batch, found->job);
	struct queue_item item = {.id = found->id,
	    .error = "",
	    .owner = "",
	    .payload = "",
	    .payload_whole = -1,
	    .age_ms = -1,
	    .attempts = -1};
	struct bee_job job;

	if (text->type == REDIS_REPLY_INTEGER)
		item.payload_whole = text->integer;
	if (text->type != REDIS_REPLY_STRING)
		return item;
	library_payload(listing->arena, text->str, (size_t)text->len, &item);
	if (bee_job_read(
	        listing->arena, text->str, (size_t)text->len, &job, NULL) == -1)
		return item;
	item.error = job.error;
	item.attempts = job.failures;
	if (job.created_ms >= 0)
		item.age_ms = MAX(listing->now_ms - job.created_ms, 0);
	return item;
}

/* All active jobs are lost where nobody is connected who could have them. */
static bool
nobody_works(const struct queue_state *state)
{
	return state->consumers.know == KNOW_EXACT &&
	       state->consumers.value == 0;
}

static int
find_part(struct listing *listing, enum queue_part part, size_t limit,
    const struct queue_state *state, struct err *err)
{
	static const char *const words[] = {[PART_WAITING] = "waiting",
	    [PART_ACTIVE] = "active",
	    [PART_DELAYED] = "delayed",
	    [PART_DEAD] = "failed",
	    [PART_EXPIRED] = "active",
	    [PART_NEWEST] = "waiting"};
	bool some = part == PART_EXPIRED && !nobody_works(state);
	int rc = 0;

	/* of the active ones all that can be stalled have to be looked at */
	listing->most = some ? STALLED_LOOKED_AT : limit;
	listing->found = arena_array(
	    listing->arena, listing->most + 1, sizeof(*listing->found));
	if (part == PART_EXPIRED && state->lease_expired.know == KNOW_EXACT &&
	    state->lease_expired.value == 0)
		return 0;
	rc = part == PART_DEAD ? find_some(listing, words[part], err)
	                       : find_ordered(listing, words[part], part, err);
	if (rc == 0 && some)
		rc = keep_marked(listing, err);
	return rc;
}

int
bee_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct listing listing = {.queue = queue, .arena = arena};
	struct queue_state state = {.head = ""};
	const struct queue_number *const totals[] = {
	    [PART_WAITING] = &state.waiting,
	    [PART_ACTIVE] = &state.active,
	    [PART_DELAYED] = &state.delayed,
	    [PART_DEAD] = &state.failed,
	    [PART_EXPIRED] = &state.lease_expired,
	    [PART_NEWEST] = &state.waiting};

	if (redis_kind_observe(queue, arena, &state, err) == -1 ||
	    library_now(queue, &listing.now_ms, err) == -1)
		return -1;
	redis_batch_init(&listing.batch, redis_handle_of(queue)->server);
	int rc = find_part(&listing, part, limit, &state, err);

	listing.count = MIN(listing.count, limit);
	if (rc == 0)
		rc = read_jobs(&listing, err);
	if (rc == 0) {
		struct queue_item *items =
		    arena_array(arena, listing.count + 1, sizeof(*items));

		for (size_t i = 0; i < listing.count; i++)
			items[i] = item_of(&listing, &listing.found[i]);
		*ret = (struct queue_page){.items = items,
		    .count = listing.count,
		    .total = *totals[part]};
	}
	redis_batch_fini(&listing.batch);
	return rc;
}

/* --- moving ----------------------------------------------------------------
 *
 * One script for all jobs of a call, which writes what the library writes: each
 * is taken out of where it is, and only who takes it out puts it back.
 *
 * KEYS: PREFIX:QUEUE:  ARGV: "nobody" or "", ids…; answers 1 or 0 for each.
 */

/* Job#retry. */
static const char requeue_script[] = REDIS_SCRIPT_REFUSED
    "local p=KEYS[1]\n"
    "local no=refused{{'HEXISTS',p..'jobs','hash'},{'SREM',p..'failed','set'},\n"
    " {'LPUSH',p..'waiting','list'}}\n"
    "if no then return no end\n"
    "local ret={}\n"
    "for i=2,#ARGV do\n"
    " ret[i-1]=0\n"
    " if redis.call('HEXISTS',p..'jobs',ARGV[i])==1 and\n"
    "  redis.call('SREM',p..'failed',ARGV[i])==1 then\n"
    "  redis.call('LPUSH',p..'waiting',ARGV[i])\n"
    "  ret[i-1]=1\n"
    " end\n"
    "end\n"
    "return ret\n";

/* The half of lib/lua/checkStalledJobs.lua that puts back. While stallBlock is
 * there, workers have not had their time to speak for what they have; and a
 * worker that was started since somebody saw that there is none has left it. */
static const char reclaim_script[] = REDIS_SCRIPT_REFUSED
    "local p=KEYS[1]\n"
    "local no=refused{{'LREM',p..'active','list'},\n"
    " {'SISMEMBER',p..'stalling','set'},{'SREM',p..'stalling'},\n"
    " {'LPUSH',p..'waiting','list'}}\n"
    "if no then return no end\n"
    "local ret={}\n"
    "local blocked=redis.call('EXISTS',p..'stallBlock')==1\n"
    "for i=2,#ARGV do\n"
    " ret[i-1]=0\n"
    " if not blocked and (ARGV[1]=='nobody' or\n"
    "  redis.call('SISMEMBER',p..'stalling',ARGV[i])==1) and\n"
    "  redis.call('LREM',p..'active',0,ARGV[i])>0 then\n"
    "  redis.call('LPUSH',p..'waiting',ARGV[i])\n"
    "  redis.call('SREM',p..'stalling',ARGV[i])\n"
    "  ret[i-1]=1\n"
    " end\n"
    "end\n"
    "return ret\n";

int
bee_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct prefixed_queue *bee = queue->state;
	struct redis_mover mover = {
	    .script = requeue_script, .key = bee->base, .arg = ""};

	if (move->from == PART_EXPIRED) {
		struct queue_state state = {.head = ""};

		if (redis_kind_observe(queue, arena, &state, err) == -1)
			return -1;
		mover.script = reclaim_script;
		mover.arg = nobody_works(&state) ? "nobody" : "";
	}
	return redis_move(queue, &mover, move, arena, ret, err);
}
