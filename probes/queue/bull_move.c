/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/bull.h"
#include "probes/queue/redis_script.h"

/* Jobs as people look at them, and moved back to the waiting ones. */

enum {
	WHOLE_MAX = 64 << 10, /* larger payloads are only measured */
	STALLED_LOOKED_AT = 10000
};

/* --- looking ---------------------------------------------------------------
 */

/* What holds a part, and how to take some of it, the oldest first. */
struct place {
	const char *word;  /* of the key */
	const char *count; /* its command */
	bool tail;         /* a list whose tail is the oldest */
	bool head;         /* of such a list the other end, the newest */
};
static const struct place places[][3] = {
    [PART_WAITING] = {{"wait", "LLEN", true, false},
        {"paused", "LLEN", true, false},
        {"prioritized", "ZCARD", false, false}},
    [PART_ACTIVE] = {{"active", "LLEN", true, false}},
    [PART_DELAYED] = {{"delayed", "ZCARD", false, false}},
    [PART_DEAD] = {{"failed", "ZCARD", false, false}},
    [PART_EXPIRED] = {{"active", "LLEN", true, false}},
    /* of those with a priority the newest can't be told from the others */
    [PART_NEWEST] = {{"wait", "LLEN", true, true},
        {"paused", "LLEN", true, true}},
};

struct found {
	const char *id;
	size_t job, lock, data;
};

struct listing {
	struct queue *queue;
	struct arena *arena;
	struct redis_batch batch;
	struct found *found;
	size_t count;
	int64_t total, now_ms;
};

static void
take_ids(
    struct listing *listing, const redisReply *reply, bool tail, size_t limit)
{
	for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY &&
	                   i < reply->elements && listing->count < limit;
	     i++) {
		const redisReply *id =
		    reply->element[tail ? reply->elements - 1 - i : i];

		if (id->type != REDIS_REPLY_STRING ||
		    text_starts(id->str, "0:")) /* a marker of BullMQ 4 */
			continue;
		listing->found[listing->count++].id =
		    arena_bytes(listing->arena, id->str, (size_t)id->len);
	}
}

/* One round trip: how many there are, and the ids of some. */
static int
find_ids(struct listing *listing, enum queue_part part, size_t limit,
    struct err *err)
{
	struct queue *queue = listing->queue;
	size_t counts[ARRAY_LEN(places[0])] = {0};
	size_t ids[ARRAY_LEN(places[0])] = {0};
	size_t n = 0;
	/* of the active ones all that can be stalled have to be looked at */
	size_t most = part == PART_EXPIRED ? STALLED_LOOKED_AT : limit;
	size_t time = redis_batch_ask(&listing->batch, "TIME");

	for (; n < ARRAY_LEN(places[0]) && places[part][n].word != NULL; n++) {
		const struct place *place = &places[part][n];
		const char *key =
		    prefixed_key(queue, listing->arena, place->word);
		const char *last =
		    arena_format(listing->arena, "%zu", most - 1);

		counts[n] = redis_batch_ask(&listing->batch, place->count, key);
		ids[n] =
		    place->tail && !place->head
		        ? redis_batch_ask(&listing->batch, "LRANGE", key,
		              arena_format(listing->arena, "-%zu", most), "-1")
		        : redis_batch_ask(&listing->batch,
		              place->tail ? "LRANGE" : "ZRANGE", key, "0",
		              last);
	}
	if (redis_batch_send(queue, &listing->batch, "look at the jobs", err) ==
	    -1)
		return -1;
	listing->found =
	    arena_array(listing->arena, n * most + 1, sizeof(*listing->found));
	listing->now_ms =
	    redis_time_ms(redis_batch_reply(&listing->batch, time));
	for (size_t i = 0; i < n; i++) {
		const redisReply *count =
		    redis_batch_reply(&listing->batch, counts[i]);

		if (redis_check_key(queue, count,
		        prefixed_key(
		            queue, listing->arena, places[part][i].word),
		        places[part][i].tail ? "list" : "sorted set",
		        err) == -1)
			return -1;
		listing->total += count->integer;
		take_ids(listing, redis_batch_reply(&listing->batch, ids[i]),
		    places[part][i].tail && !places[part][i].head, most);
	}
	return 0;
}

/* Keeps those whose lock is gone. */
static int
keep_stalled(struct listing *listing, size_t limit, struct err *err)
{
	size_t kept = 0;
	int64_t stalled = 0;

	for (size_t i = 0; i < listing->count; i++)
		listing->found[i].lock =
		    redis_batch_ask(&listing->batch, "EXISTS",
		        arena_format(listing->arena, "%s:lock",
		            prefixed_key(listing->queue, listing->arena,
		                listing->found[i].id)));
	if (redis_batch_send(listing->queue, &listing->batch,
	        "look at the locks", err) == -1)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		const redisReply *lock =
		    redis_batch_reply(&listing->batch, listing->found[i].lock);

		if (lock->type != REDIS_REPLY_INTEGER || lock->integer != 0)
			continue;
		stalled++;
		if (kept < limit)
			listing->found[kept++] = listing->found[i];
	}
	listing->total = stalled;
	listing->count = kept;
	return 0;
}

/* Two more round trips: what each job is, then its payload if that isn't too
 * long to be sent whole. */
static int
read_jobs(struct listing *listing, struct err *err)
{
	struct queue *queue = listing->queue;
	struct redis_batch *batch = &listing->batch;
	size_t *sizes =
	    arena_array(listing->arena, listing->count + 1, sizeof(*sizes));

	for (size_t i = 0; i < listing->count; i++) {
		struct found *found = &listing->found[i];
		const char *key =
		    prefixed_key(queue, listing->arena, found->id);

		found->job = redis_batch_ask(batch, "HMGET", key, "timestamp",
		    "failedReason", "pb", "atm", "attemptsMade");
		sizes[i] = redis_batch_ask(batch, "HSTRLEN", key, "data");
	}
	if (redis_batch_send(queue, batch, "look at the jobs", err) == -1)
		return -1;
	for (size_t i = 0; i < listing->count; i++) {
		struct found *found = &listing->found[i];
		const redisReply *size = redis_batch_reply(batch, sizes[i]);
		const char *key =
		    prefixed_key(queue, listing->arena, found->id);

		found->data = sizes[i];
		if (size->type == REDIS_REPLY_INTEGER &&
		    size->integer <= WHOLE_MAX)
			found->data =
			    redis_batch_ask(batch, "HGET", key, "data");
	}
	return redis_batch_send(queue, batch, "look at the jobs", err);
}

static const char *
field(const struct listing *listing, const redisReply *job, size_t at)
{
	if (job->type != REDIS_REPLY_ARRAY || at >= job->elements ||
	    job->element[at]->type != REDIS_REPLY_STRING)
		return "";
	return arena_text(listing->arena, job->element[at]->str);
}

static struct queue_item
item_of(const struct listing *listing, const struct found *found)
{
	const redisReply *job = redis_batch_reply(&listing->batch, found->job);
	const redisReply *data =
	    redis_batch_reply(&listing->batch, found->data);
	struct queue_item item = {.id = found->id,
	    .error = field(listing, job, 1),
	    .owner = field(listing, job, 2),
	    .payload = "",
	    .payload_whole = -1,
	    .age_ms = -1,
	    .attempts = -1};
	const char *made = field(listing, job, 3);
	int64_t since_ms = -1;

	if (made[0] == '\0')
		made = field(listing, job, 4);
	if (text_i64(made, 0, INT64_MAX, &item.attempts, NULL) == -1)
		item.attempts = -1;
	if (text_i64(field(listing, job, 0), 0, INT64_MAX, &since_ms, NULL) ==
	    0)
		item.age_ms = MAX(listing->now_ms - since_ms, 0);
	if (data->type == REDIS_REPLY_STRING) {
		item.payload_whole = (int64_t)data->len;
		item.payload_len = MIN((size_t)data->len, QUEUE_PEEK_MAX);
		item.payload =
		    arena_bytes(listing->arena, data->str, item.payload_len);
	} else if (data->type == REDIS_REPLY_INTEGER) {
		item.payload_whole = data->integer;
	}
	return item;
}

int
bull_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct listing listing = {.queue = queue, .arena = arena};

	redis_batch_init(&listing.batch, redis_handle_of(queue)->server);
	int rc = find_ids(&listing, part, limit, err);

	if (rc == 0 && part == PART_EXPIRED)
		rc = keep_stalled(&listing, limit, err);
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
		    .total = queue_exact(listing.total)};
	}
	redis_batch_fini(&listing.batch);
	return rc;
}

/* --- moving ----------------------------------------------------------------
 *
 * One script for all jobs of a call: each is taken out of where it is, and only
 * who takes it out puts it back, so that none is there twice. What else is
 * written is what the library's own scripts write: of BullMQ 4, 5 and 6
 * reprocessJob and moveStalledJobsToWait, of Bull the same two. A version that
 * isn't told by `meta` is taken for BullMQ 5, whose marker others ignore.
 *
 * KEYS: PREFIX:QUEUE:  ARGV: "bullmq" or "bull", ids…; answers 1 or 0 for each.
 */
#define MOVE_PROLOGUE                                                         \
	REDIS_SCRIPT_REFUSED                                                  \
	"local p=KEYS[1]\n"                                                   \
	"local bullmq=ARGV[1]=='bullmq'\n"                                    \
	"local t=redis.call('TIME')\n"                                        \
	"local now=string.format('%.0f',t[1]*1000+math.floor(t[2]/1000))\n"   \
	"local meta=redis.call('HMGET',p..'meta','version','paused',"         \
	"'concurrency','opts.maxLenEvents')\n"                                \
	"local major=tonumber(string.match(meta[1] or '',':(%d+)%.')) or 5\n" \
	"local paused\n"                                                      \
	"if bullmq then paused=meta[2] and true or false\n"                   \
	"else paused=redis.call('EXISTS',p..'meta-paused')==1 end\n"          \
	"local wait=p..'wait'\n"                                              \
	"if paused and (not bullmq or major<6) then wait=p..'paused' end\n"   \
	"local function wake()\n"                                             \
	" if not bullmq or major<5 or paused then return end\n"               \
	" local most=tonumber(meta[3] or '')\n"                               \
	" if most and redis.call('LLEN',p..'active')>=most then return end\n" \
	" redis.call('ZADD',p..'marker',0,'0')\n"                             \
	"end\n"                                                               \
	"local function say(event,id,prev)\n"                                 \
	" if not bullmq then return end\n"                                    \
	" if prev then redis.call('XADD',p..'events','MAXLEN','~',"           \
	"meta[4] or 10000,'*','event',event,'jobId',id,'prev',prev)\n"        \
	" else redis.call('XADD',p..'events','MAXLEN','~',meta[4] or 10000,"  \
	"'*','event',event,'jobId',id) end\n"                                 \
	"end\n" /* what putting any job back writes */                        \
	"local rows={{'LPUSH',wait,'list'},{'RPUSH',wait},{'EXISTS',p}}\n"    \
	"local function also(...)\n"                                          \
	" for _,row in ipairs({...}) do rows[#rows+1]=row end\n"              \
	"end\n"                                                               \
	"if bullmq then also({'LLEN',p..'active','list'},"                    \
	"{'ZADD',p..'marker','zset'},{'XADD',p..'events','stream'})\n"        \
	"end\n"                                                               \
	"local ret={}\n"

static const char requeue_script[] = MOVE_PROLOGUE
    "local function lifo(id)\n"
    " local ok,opts=pcall(cjson.decode,redis.call('HGET',p..id,'opts') or "
    "'{}')\n"
    " return ok and type(opts)=='table' and opts['lifo']==true\n"
    "end\n"
    "local function parent(id)\n" /* a flow: its parent waits for it again */
    " local key=redis.call('HGET',p..id,'parentKey')\n"
    " if not key or redis.call('EXISTS',key)==0 then return end\n"
    " local was=redis.call('ZREM',key..':unsuccessful',p..id)\n"
    "  +redis.call('HDEL',key..':failed',p..id)\n"
    " if was>0 then redis.call('SADD',key..':dependencies',p..id) end\n"
    "end\n"
    "also({'ZREM',p..'failed','zset'})\n"
    "if bullmq then also({'INCR',p..'pc','string'},\n"
    " {'ZADD',p..'prioritized','zset'})\n"
    "else also({'PUBLISH',p..'waiting@reeve'}) end\n"
    "for i=2,#ARGV do\n"
    " local job=p..ARGV[i]\n"
    " also({'HDEL',job,'hash'},{'HGET',job})\n"
    " if not bullmq then also({'HSET',job}) end\n"
    " local key=bullmq and not refused({{'HGET',job,'hash'}}) and\n"
    "  redis.call('HGET',job,'parentKey')\n"
    " if key then also({'ZREM',key..':unsuccessful','zset'},\n"
    "  {'HDEL',key..':failed','hash'},{'SADD',key..':dependencies','set'})\n"
    " end\n"
    "end\n"
    "local no=refused(rows)\n"
    "if no then return no end\n"
    "for i=2,#ARGV do\n"
    " local id=ARGV[i]\n"
    " ret[i-1]=0\n"
    " if redis.call('EXISTS',p..id)==1 and\n"
    "  redis.call('EXISTS',p..id..':lock')==0 and\n"
    "  redis.call('ZREM',p..'failed',id)==1 then\n"
    "  redis.call('HDEL',p..id,'finishedOn','processedOn','failedReason',\n"
    "   'atm','ats','attemptsMade')\n"
    "  local priority=tonumber(redis.call('HGET',p..id,'priority')) or 0\n"
    "  if bullmq and major>=6 and priority>0 then\n"
    "   local n=redis.call('INCR',p..'pc')\n"
    "   redis.call('ZADD',p..'prioritized',\n"
    "    priority*0x100000000+n%0x100000000,id)\n"
    "  else redis.call(lifo(id) and 'RPUSH' or 'LPUSH',wait,id) end\n"
    "  if bullmq then wake() parent(id) say('waiting',id,'failed')\n"
    "  else redis.call('HSET',p..id,'retriedOn',now)\n"
    "   redis.call('PUBLISH',p..'waiting@reeve',id) end\n"
    "  ret[i-1]=1\n"
    " end\n"
    "end\n"
    "return ret\n";

/* A job without a lock that no worker has begun, and that no worker has marked
 * as stalling, may be on its way from `wait` to its lock right now. */
static const char reclaim_script[] = MOVE_PROLOGUE
    "also({'LREM',p..'active','list'},{'SREM',p..'stalled','set'})\n"
    "if not bullmq then also({'PUBLISH',p..'stalled@'}) end\n"
    "for i=2,#ARGV do also({'HINCRBY',p..ARGV[i],'hash'}) end\n"
    "local no=refused(rows)\n"
    "if no then return no end\n"
    "for i=2,#ARGV do\n"
    " local id=ARGV[i]\n"
    " ret[i-1]=0\n"
    " if redis.call('EXISTS',p..id..':lock')==0 and\n"
    "  (redis.call('HEXISTS',p..id,'processedOn')==1 or\n"
    "   redis.call('SISMEMBER',p..'stalled',id)==1) and\n"
    "  redis.call('LREM',p..'active',1,id)>0 then\n"
    "  redis.call('SREM',p..'stalled',id)\n"
    "  redis.call('HINCRBY',p..id,\n"
    "   bullmq and major>=5 and 'stc' or 'stalledCounter',1)\n"
    "  redis.call('RPUSH',wait,id)\n"
    "  wake()\n"
    "  say('waiting',id,'active')\n"
    "  say('stalled',id)\n"
    "  if not bullmq then redis.call('PUBLISH',p..'stalled@',id) end\n"
    "  ret[i-1]=1\n"
    " end\n"
    "end\n"
    "return ret\n";

int
bull_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct bull_queue *bull = queue->state;

	return redis_move(queue,
	    &(struct redis_mover){.script = move->from == PART_DEAD
	                                        ? requeue_script
	                                        : reclaim_script,
	        .key = bull->keys.base,
	        .arg = bull->bullmq ? "bullmq" : "bull"},
	    move, arena, ret, err);
}
