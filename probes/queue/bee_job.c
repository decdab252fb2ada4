/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "probes/json_read.h"
#include "probes/queue/bee.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_script.h"

/* A canary: put in as Bee-Queue's own client does, then looked for in the sets
 * that its workers fill. */

enum {
	JOB_MAX = 2 * QUEUE_PAYLOAD_MAX
};

/* lib/lua/addJob.lua, for an id of our own. KEYS: PREFIX:QUEUE:
 * ARGV: id, job */
static const char submit_script[] = REDIS_SCRIPT_REFUSED
    "local p=KEYS[1]\n"
    "local no=refused{{'HSETNX',p..'jobs','hash'},{'LPUSH',p..'waiting','list'}}\n"
    "if no then return no end\n"
    "if redis.call('HSETNX',p..'jobs',ARGV[1],ARGV[2])==0 then\n"
    " return redis.error_reply('ERR job '..ARGV[1]..' is there already') end\n"
    "redis.call('LPUSH',p..'waiting',ARGV[1])\n"
    "return 1\n";

/* lib/lua/removeJob.lua, but for a job that a worker has, and without walking
 * through all of a long list. KEYS: PREFIX:QUEUE:  ARGV: id */
static const char remove_script[] =
    "local p=KEYS[1]\n"
    "local id=ARGV[1]\n"
    "if redis.call('LPOS',p..'active',id,'MAXLEN',10000) then return 0 end\n"
    "for _,rank in ipairs({1,-1}) do\n"
    " if redis.call('LPOS',p..'waiting',id,'RANK',rank,'MAXLEN',10000) then\n"
    "  redis.call('LREM',p..'waiting',rank,id) end\n"
    "end\n"
    "for _,set in ipairs({'succeeded','failed','stalling'}) do\n"
    " redis.call('SREM',p..set,id)\n"
    "end\n"
    "redis.call('ZREM',p..'delayed',id)\n"
    "return redis.call('HDEL',p..'jobs',id)\n";

/* As Job#toData writes it; what isn't JSON becomes a JSON text. NULL: it is too
 * long. */
static const char *
job_of(struct arena *arena, const struct queue_submission *job)
{
	CLEANUP(json_free)
	cJSON *data = json_read(job->payload, job->len, NULL);
	struct buffer text;
	struct jsonw out;

	buffer_init(&text, JOB_MAX);
	jsonw_init(&out, &text, false);
	jsonw_object(&out, NULL);
	if (data != NULL)
		jsonw_raw(
		    &out, "data", arena_bytes(arena, job->payload, job->len));
	else
		jsonw_bytes(&out, "data", job->payload, job->len);
	jsonw_object(&out, "options");
	jsonw_i64(&out, "timestamp", clock_wall_ms());
	jsonw_array(&out, "stacktraces");
	jsonw_end(&out);
	jsonw_end(&out);
	jsonw_text(&out, "status", "created");
	jsonw_i64(&out, "progress", 0);
	jsonw_end(&out);
	const char *copy =
	    text.overflow ? NULL : arena_bytes(arena, text.data, text.len);

	buffer_wipe(&text);
	return copy;
}

static void
id_of(const struct queue_submission *job, char dst[QUEUE_ID_SIZE])
{
	(void)snprintf(dst, QUEUE_ID_SIZE, "reeve-canary-%s",
	    job->canary != NULL ? job->canary : "");
}

int
bee_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	char id[QUEUE_ID_SIZE];
	const char *text = job_of(arena, job);
	const char *const args[] = {id, text, NULL};

	id_of(job, id);
	if (text == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_CAPACITY,
		    "the job is too long");
	if (prefixed_script(
	        queue, submit_script, "put a job in", args, &reply, err) == -1)
		return -1;
	*ret_receipt = arena_text(arena, id);
	return 0;
}

/* --- where it is ---------------------------------------------------------- */

struct whereabouts {
	size_t job, succeeded, failed, active, delayed;
};

static void
ask_whereabouts(struct queue *queue, struct arena *arena, const char *id,
    struct redis_batch *batch, struct whereabouts *asked)
{
	asked->succeeded = redis_batch_ask(
	    batch, "SISMEMBER", prefixed_key(queue, arena, "succeeded"), id);
	asked->failed = redis_batch_ask(
	    batch, "SISMEMBER", prefixed_key(queue, arena, "failed"), id);
	asked->active = redis_batch_ask(batch, "LPOS",
	    prefixed_key(queue, arena, "active"), id, "MAXLEN", "10000");
	asked->delayed = redis_batch_ask(
	    batch, "ZSCORE", prefixed_key(queue, arena, "delayed"), id);
	asked->job = redis_batch_ask(
	    batch, "HGET", prefixed_key(queue, arena, "jobs"), id);
}

static bool
yes(const struct redis_batch *batch, size_t asked)
{
	const redisReply *reply = redis_batch_reply(batch, asked);

	return reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
}

static void
judge(const struct redis_batch *batch, const struct whereabouts *asked,
    struct arena *arena, struct queue_sighting *ret)
{
	const redisReply *text = redis_batch_reply(batch, asked->job);
	struct bee_job job = {.failures = -1, .error = ""};
	bool there = text->type == REDIS_REPLY_STRING;

	if (there &&
	    bee_job_read(arena, text->str, (size_t)text->len, &job, NULL) == 0)
		ret->attempts = job.failures;
	if (yes(batch, asked->succeeded)) {
		ret->place = PLACE_GONE;
		ret->done = true;
		ret->attempts += job.failures >= 0;
		ret->detail = "in the set 'succeeded'; what it returned isn't "
		              "kept";
	} else if (yes(batch, asked->failed)) {
		ret->place = PLACE_DEAD;
		ret->detail = arena_format(arena, "failed: %.200s", job.error);
	} else if (redis_batch_reply(batch, asked->active)->type ==
	           REDIS_REPLY_INTEGER) {
		ret->place = PLACE_TAKEN;
		ret->detail = "in the list 'active'";
	} else if (redis_batch_reply(batch, asked->delayed)->type ==
	           REDIS_REPLY_STRING) {
		ret->place = PLACE_TAKEN;
		ret->detail = "waits for its next attempt";
	} else if (there) {
		ret->place = job.failures > 0 ? PLACE_TAKEN : PLACE_VISIBLE;
		ret->detail =
		    job.failures > 0 ? "waits for its next attempt" : "waits";
	} else {
		ret->place = PLACE_GONE;
		ret->detail = "its data is gone: removed, or the workers keep "
		              "no job that ended (removeOnSuccess, "
		              "removeOnFailure)";
	}
}

int
bee_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct redis_batch batch;
	struct whereabouts asked;
	char id[QUEUE_ID_SIZE];

	id_of(job, id);
	redis_batch_init(&batch, redis_handle_of(queue)->server);
	ask_whereabouts(queue, arena, id, &batch, &asked);
	int rc = redis_batch_send(queue, &batch, "look for the job", err);

	if (rc == 0)
		rc = redis_checked(queue, redis_batch_reply(&batch, asked.job),
		    "look for the job", err);
	if (rc == 0)
		rc = redis_checked(queue,
		    redis_batch_reply(&batch, asked.active), "look for the job",
		    err);
	if (rc == 0)
		judge(&batch, &asked, arena, ret);
	redis_batch_fini(&batch);
	return rc;
}

int
bee_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	char id[QUEUE_ID_SIZE];
	const char *const args[] = {id, NULL};

	id_of(job, id);
	if (prefixed_script(queue, remove_script, "remove the job", args,
	        &reply, err) == -1)
		return -1;
	*ret_removed = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	return 0;
}
