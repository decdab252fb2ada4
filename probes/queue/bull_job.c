/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/bull.h"
#include "probes/queue/redis_script.h"

/* A canary: put in as the library's own client does, followed by the events
 * that its workers leave. */

enum {
	EVENTS_PAGE = 1000,
	EVENTS_PAGES = 10,
	DATA_MAX = 2 * QUEUE_PAYLOAD_MAX
};

/*
 * Writes what `Queue.add` writes (queues.md 5.3): the job's hash, its id into
 * `wait` (or `paused`), and from BullMQ 5 on the marker that wakes a worker.
 * Which version it is, the queue says itself; where it doesn't (a queue that
 * only workers have opened), the marker is set, which older ones don't look at.
 * KEYS: PREFIX:QUEUE:  ARGV: id, name, data, opts, "bullmq" or "bull"
 */
static const char submit_script[] = REDIS_SCRIPT_REFUSED
    "local p=KEYS[1]\n"
    "local id=ARGV[1]\n"
    "if redis.call('EXISTS',p..id)==1 then\n"
    " return redis.error_reply('ERR job '..id..' is there already') end\n"
    "local bullmq=ARGV[5]=='bullmq'\n"
    "local major,paused=nil,false\n"
    "if bullmq then\n"
    " local m=redis.call('HMGET',p..'meta','version','paused')\n"
    " major=tonumber(string.match(m[1] or '',':(%d+)%.'))\n"
    " paused=m[2]\n"
    "else paused=redis.call('EXISTS',p..'meta-paused')==1 end\n"
    "local t=redis.call('TIME')\n"
    "local now=t[1]*1000+math.floor(t[2]/1000)\n"
    "local list='wait'\n"
    "if paused and not (major and major>=6) then list='paused' end\n"
    "local rows={{'HSET',p..id},{'LPUSH',p..list,'list'}}\n"
    "if bullmq then rows[3]={'ZADD',p..'marker','zset'}\n"
    " rows[4]={'XREVRANGE',p..'events','stream'} end\n"
    "local no=refused(rows)\n"
    "if no then return no end\n"
    "redis.call('HSET',p..id,'name',ARGV[2],'data',ARGV[3],'opts',ARGV[4],\n"
    " 'timestamp',string.format('%.0f',now),'delay','0','priority','0')\n"
    "redis.call('LPUSH',p..list,id)\n"
    "if bullmq and not paused and (not major or major>=5) then\n"
    " redis.call('ZADD',p..'marker',0,'0') end\n"
    "if not bullmq then return '' end\n"
    "local last=redis.call('XREVRANGE',p..'events','+','-','COUNT',1)[1]\n"
    "return last and last[1] or '0-0'\n";

/* KEYS: PREFIX:QUEUE:  ARGV: id. A job that a worker has stays. */
static const char remove_script[] =
    "local p=KEYS[1]\n"
    "local id=ARGV[1]\n"
    "if redis.call('EXISTS',p..id..':lock')==1 then return 0 end\n"
    "local n=0\n"
    "for _,list in ipairs({'wait','paused'}) do\n"
    " for _,rank in ipairs({1,-1}) do\n"
    "  if redis.call('LPOS',p..list,id,'RANK',rank,'MAXLEN',10000) then\n"
    "   n=n+redis.call('LREM',p..list,rank,id) end\n"
    " end\n"
    "end\n"
    "for _,set in ipairs({'prioritized','delayed','completed','failed'}) do\n"
    " n=n+redis.call('ZREM',p..set,id)\n"
    "end\n"
    "if n>0 then redis.call('DEL',p..id,p..id..':logs') end\n"
    "return n\n";

/* A worker parses what it gets: what isn't JSON becomes a JSON text. */
static const char *
as_json(struct arena *arena, const char *payload, size_t len)
{
	CLEANUP(json_free) cJSON *json = json_read(payload, len, NULL);
	struct buffer text;
	struct jsonw out;

	if (json != NULL)
		return arena_bytes(arena, payload, len);
	buffer_init(&text, DATA_MAX);
	jsonw_init(&out, &text, false);
	jsonw_bytes(&out, NULL, payload, len);
	const char *copy = arena_text(arena, text.data);

	buffer_fini(&text);
	return copy;
}

/* The receipt: the job's id, and the last event before it ("" of Bull, which
 * keeps none: there the finished job is kept instead, until it is removed). */
int
bull_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct bull_queue *bull = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *id = arena_format(
	    arena, "reeve-canary-%s", job->canary != NULL ? job->canary : "");
	const char *opts = bull->bullmq
	                       ? "{\"attempts\":1,\"removeOnComplete\":true,"
	                         "\"removeOnFail\":true}"
	                       : "{\"attempts\":1,\"removeOnComplete\":false}";
	const char *const args[] = {id, bull->job_name,
	    as_json(arena, job->payload, job->len), opts,
	    bull->bullmq ? "bullmq" : "bull", NULL};

	if (prefixed_script(
	        queue, submit_script, "put a job in", args, &reply, err) == -1)
		return -1;
	*ret_receipt = arena_format(
	    arena, "%s %s", id, reply->str != NULL ? reply->str : "");
	return 0;
}

static int
read_receipt(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_id, const char **ret_event,
    struct err *err)
{
	char *id = arena_text(arena, job->receipt);
	char *space = id != NULL ? strchr(id, ' ') : NULL;

	if (space == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "the receipt is none of a queue of this kind");
	*space = '\0';
	*ret_id = id;
	*ret_event = space + 1;
	return 0;
}

/* --- events ----------------------------------------------------------------
 */

/* The value of a field of one entry; NULL: it hasn't that. */
static const char *
entry_field(const redisReply *entry, const char *name)
{
	if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
	    entry->element[1]->type != REDIS_REPLY_ARRAY)
		return NULL;
	const redisReply *fields = entry->element[1];

	for (size_t i = 0; i + 1 < fields->elements; i += 2)
		if (text_equal(fields->element[i]->str, name))
			return fields->element[i + 1]->str;
	return NULL;
}

static void
take_event(
    const redisReply *entry, struct arena *arena, struct queue_sighting *ret)
{
	const char *event = entry_field(entry, "event");

	if (text_equal(event, "active")) {
		ret->place = PLACE_TAKEN;
		ret->detail = "a worker took it";
	} else if (text_equal(event, "completed")) {
		const char *value = entry_field(entry, "returnvalue");

		ret->place = PLACE_GONE;
		ret->done = true;
		ret->detail = arena_format(arena, "completed, returned %.200s",
		    value != NULL ? value : "nothing");
	} else if (text_equal(event, "failed")) {
		const char *why = entry_field(entry, "failedReason");

		ret->place = PLACE_DEAD;
		ret->detail = arena_format(
		    arena, "failed: %.200s", why != NULL ? why : "?");
	}
}

/* What the workers said of the job since it was put in. */
static int
read_events(struct queue *queue, const char *id, const char *from,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const char *key = prefixed_key(queue, arena, "events");

	for (int page = 0; page < EVENTS_PAGES; page++) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "read the events", &reply, err, "XRANGE",
		        key, arena_format(arena, "(%s", from), "+", "COUNT",
		        "1000") == -1)
			return -1;
		if (reply->type != REDIS_REPLY_ARRAY)
			return 0;
		for (size_t i = 0; i < reply->elements; i++) {
			const redisReply *entry = reply->element[i];

			if (text_equal(entry_field(entry, "jobId"), id))
				take_event(entry, arena, ret);
			if (entry->type == REDIS_REPLY_ARRAY &&
			    entry->elements > 0 &&
			    entry->element[0]->type == REDIS_REPLY_STRING)
				from =
				    arena_text(arena, entry->element[0]->str);
		}
		if (reply->elements < EVENTS_PAGE)
			return 0;
	}
	return 0;
}

/* --- where it is -----------------------------------------------------------
 */

static const char *
field_text(const redisReply *job, size_t field)
{
	return job->type == REDIS_REPLY_ARRAY && field < job->elements &&
	               job->element[field]->type == REDIS_REPLY_STRING
	           ? job->element[field]->str
	           : NULL;
}

struct whereabouts {
	size_t job, lock, completed, failed, delayed;
};

static void
ask_whereabouts(struct queue *queue, struct arena *arena, const char *id,
    struct redis_batch *batch, struct whereabouts *asked)
{
	const char *key = prefixed_key(queue, arena, id);

	asked->job = redis_batch_ask(batch, "HMGET", key, "timestamp", "pb",
	    "atm", "attemptsMade", "failedReason", "returnvalue");
	asked->lock = redis_batch_ask(
	    batch, "EXISTS", arena_format(arena, "%s:lock", key));
	asked->completed = redis_batch_ask(
	    batch, "ZSCORE", prefixed_key(queue, arena, "completed"), id);
	asked->failed = redis_batch_ask(
	    batch, "ZSCORE", prefixed_key(queue, arena, "failed"), id);
	asked->delayed = redis_batch_ask(
	    batch, "ZSCORE", prefixed_key(queue, arena, "delayed"), id);
}

static bool
is_member(const struct redis_batch *batch, size_t asked)
{
	return redis_batch_reply(batch, asked)->type == REDIS_REPLY_STRING;
}

/* The keys know better than the events, as long as the job is there. */
static void
judge_keys(const struct redis_batch *batch, const struct whereabouts *asked,
    struct arena *arena, struct queue_sighting *ret)
{
	const redisReply *job = redis_batch_reply(batch, asked->job);
	const redisReply *lock = redis_batch_reply(batch, asked->lock);
	const char *by = field_text(job, 1);
	const char *made = field_text(job, 2);

	if (made == NULL)
		made = field_text(job, 3);
	if (by != NULL)
		ret->by = arena_text(arena, by);
	if (made == NULL ||
	    text_i64(made, 0, INT64_MAX, &ret->attempts, NULL) == -1)
		ret->attempts = -1;
	if (is_member(batch, asked->completed)) {
		const char *value = field_text(job, 5);

		ret->place = PLACE_GONE;
		ret->done = true;
		ret->detail = arena_format(arena, "completed, returned %.200s",
		    value != NULL ? value : "nothing");
	} else if (is_member(batch, asked->failed)) {
		const char *why = field_text(job, 4);

		ret->place = PLACE_DEAD;
		ret->detail = arena_format(
		    arena, "failed: %.200s", why != NULL ? why : "?");
	} else if (lock->type == REDIS_REPLY_INTEGER && lock->integer == 1) {
		ret->place = PLACE_TAKEN;
		ret->detail = "a worker holds its lock";
	} else if (is_member(batch, asked->delayed)) {
		ret->place = PLACE_TAKEN;
		ret->detail = "waits for its next attempt";
	} else if (field_text(job, 0) != NULL && ret->place != PLACE_TAKEN) {
		ret->place = PLACE_VISIBLE;
		ret->detail = "waits";
	} else if (field_text(job, 0) == NULL && ret->place != PLACE_DEAD &&
	           !ret->done) {
		ret->place = PLACE_GONE;
		ret->detail = "its hash is gone, and no event says that it "
		              "was completed";
	}
}

int
bull_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct redis_batch batch;
	struct whereabouts asked;
	const char *id = NULL;
	const char *event = "";

	if (read_receipt(queue, job, arena, &id, &event, err) == -1)
		return -1;
	redis_batch_init(&batch, redis_handle_of(queue)->server);
	ask_whereabouts(queue, arena, id, &batch, &asked);
	int rc = redis_batch_send(queue, &batch, "look for the job", err);

	if (rc == 0)
		rc = redis_checked(queue, redis_batch_reply(&batch, asked.job),
		    "look for the job", err);
	/* after the keys: what was gone there is told here */
	if (rc == 0 && event[0] != '\0')
		rc = read_events(queue, id, event, arena, ret, err);
	if (rc == 0)
		judge_keys(&batch, &asked, arena, ret);
	redis_batch_fini(&batch);
	return rc;
}

int
bull_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct arena arena;
	const char *id = NULL;
	const char *event = "";

	arena_init(&arena, 1 << 20);
	int rc = read_receipt(queue, job, &arena, &id, &event, err);

	if (rc == 0) {
		const char *const args[] = {id, NULL};

		rc = prefixed_script(
		    queue, remove_script, "remove the job", args, &reply, err);
	}
	if (rc == 0)
		*ret_removed =
		    reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	arena_fini(&arena);
	return rc;
}
