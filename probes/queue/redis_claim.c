/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/redis.h"
#include "probes/queue/redis_script.h"

/*
 * Consuming from a list. Each step is one script, so that it is whole or not
 * at all; all of them get the same keys in the same order, and the time from
 * the server. A claim is a member DIGEST:NONCE:ATTEMPT:OWNER of KEY:reeve:lease
 * with the lease's end as score: whoever can take it out ends the job, and only
 * one can.
 *
 * Equal payloads can't be told apart, so attempts are kept as the multiset that
 * they are: KEY:reeve:attempts holds for a digest the attempts of each copy
 * that waits again ("1,3"), and a claim takes one of them.
 */
#define PROLOGUE                                                          \
	REDIS_SCRIPT_REFUSED                                              \
	"local key,processing,lease,attempts,delayed,dead="               \
	"KEYS[1],KEYS[2],KEYS[3],KEYS[4],KEYS[5],KEYS[6]\n"               \
	"local side=ARGV[1]\n"                                            \
	"local no=refused{{'LMOVE',key,'list'},{'LPUSH',key},"            \
	"{'RPUSH',key},{'LREM',processing,'list'},{'ZADD',lease,'zset'}," \
	"{'ZREM',lease},{'HGET',attempts,'hash'},{'HSET',attempts},"      \
	"{'HDEL',attempts},{'ZADD',delayed,'zset'},{'ZREM',delayed},"     \
	"{'LPUSH',dead,'list'}}\n"                                        \
	"if no then return no end\n"                                      \
	"local t=redis.call('TIME')\n"                                    \
	"local now=tonumber(t[1])*1000+math.floor(tonumber(t[2])/1000)\n" \
	"local function remember(d,a)\n"                                  \
	" if tonumber(a)<1 then return end\n"                             \
	" local s=redis.call('HGET',attempts,d)\n"                        \
	" redis.call('HSET',attempts,d,s and (s..','..a) or a)\n"         \
	"end\n"                                                           \
	"local function requeue(p)\n" /* where it is taken next */        \
	" redis.call(side=='RIGHT' and 'RPUSH' or 'LPUSH',key,p)\n"       \
	"end\n"                                                           \
	"local function bury(p)\n"                                        \
	" redis.call('LPUSH',dead,p)\n"                                   \
	"end\n"                                                           \
	"local function take_back(member,p)\n"                            \
	" if redis.call('ZREM',lease,member)==0 then return false end\n"  \
	" redis.call('LREM',processing,1,p)\n"                            \
	" return true\n"                                                  \
	"end\n"

/* ARGV: side, nonce, owner, lease, largest payload */
static const char claim_script[] = PROLOGUE
    "local due=redis.call('ZRANGEBYSCORE',delayed,'-inf',now,'LIMIT',0,100)\n"
    "for _,m in ipairs(due) do\n"
    " local a=string.find(m,':',1,true)\n"
    " local b=string.find(m,':',a+1,true)\n"
    " local p=string.sub(m,b+1)\n"
    " redis.call('ZREM',delayed,m)\n"
    " remember(redis.sha1hex(p),string.sub(m,1,a-1))\n"
    " requeue(p)\n"
    "end\n"
    "local over=redis.call('ZRANGEBYSCORE',lease,'-inf',now,'LIMIT',0,1)[1]\n"
    "if over then return {'expired',over} end\n"
    "local p=redis.call('LMOVE',key,processing,side,'LEFT')\n"
    "if not p then return {'none'} end\n"
    "if #p>tonumber(ARGV[5]) then\n"
    " redis.call('LREM',processing,1,p)\n"
    " bury(p)\n"
    " return {'large',tostring(#p)}\n"
    "end\n"
    "local d=redis.sha1hex(p)\n"
    "local n=0\n"
    "local s=redis.call('HGET',attempts,d)\n"
    "if s then\n"
    " local first,rest=string.match(s,'^(%d+),?(.*)$')\n"
    " n=tonumber(first)\n"
    " if rest=='' then redis.call('HDEL',attempts,d)\n"
    " else redis.call('HSET',attempts,d,rest) end\n"
    "end\n"
    "n=n+1\n"
    "redis.call('ZADD',lease,now+ARGV[4],d..':'..ARGV[2]..':'..n..':'..ARGV[3])\n"
    "return {'job',p,d,tostring(n)}\n";

/* ARGV: side, member, most attempts, from, to. Looks through a stretch of the
 * processing list for the payload of a lease that is over. */
static const char reclaim_script[] = PROLOGUE
    "local member=ARGV[2]\n"
    "local score=redis.call('ZSCORE',lease,member)\n"
    "if not score or tonumber(score)>now then return 'gone' end\n"
    "local d,n=string.match(member,'^(%x+):%x+:(%d+):')\n"
    "if not d then redis.call('ZREM',lease,member) return 'gone' end\n"
    "local some=redis.call('LRANGE',processing,ARGV[4],ARGV[5])\n"
    "for _,p in ipairs(some) do\n"
    " if redis.sha1hex(p)==d then\n"
    "  take_back(member,p)\n"
    "  if tonumber(n)>=tonumber(ARGV[3]) then bury(p) return 'dead' end\n"
    "  remember(d,n)\n"
    "  requeue(p)\n"
    "  return 'back'\n"
    " end\n"
    "end\n"
    "if #some==0 then redis.call('ZREM',lease,member) return 'gone' end\n"
    "return 'further'\n";

/* ARGV: side, member, lease */
static const char extend_script[] =
    PROLOGUE "if not redis.call('ZSCORE',lease,ARGV[2]) then return 0 end\n"
             "redis.call('ZADD',lease,now+ARGV[3],ARGV[2])\n"
             "return 1\n";

/* ARGV: side, member, payload */
static const char finish_script[] =
    PROLOGUE "if take_back(ARGV[2],ARGV[3]) then return 1 end\n"
             "return 0\n";

static const char bury_script[] =
    PROLOGUE "if not take_back(ARGV[2],ARGV[3]) then return 0 end\n"
             "bury(ARGV[3])\n"
             "return 1\n";

/* ARGV: side, member, payload, retry, attempt, nonce */
static const char fail_script[] = PROLOGUE
    "if not take_back(ARGV[2],ARGV[3]) then return 0 end\n"
    "redis.call('ZADD',delayed,now+ARGV[4],ARGV[5]..':'..ARGV[6]..':'..ARGV[3])\n"
    "return 1\n";

/* ARGV: side, member, payload, attempts before this one, digest */
static const char release_script[] =
    PROLOGUE "if not take_back(ARGV[2],ARGV[3]) then return 0 end\n"
             "remember(ARGV[5],ARGV[4])\n"
             "requeue(ARGV[3])\n"
             "return 1\n";

enum {
	RECLAIM_STRETCH = 16, /* payloads hashed by one script */
	RECLAIM_MAX = 10,     /* leases taken back by one claim */
	WAIT_TEXT_SIZE = 32
};

static void
begin_script(const struct redis_queue *redis, const char *script,
    struct redis_command *command)
{
	redis_command_init(command);
	redis_command_text(command, "EVAL");
	redis_command_text(command, script);
	redis_command_text(command, "6");
	redis_command_text(command, redis->key);
	redis_command_text(command, redis->processing);
	redis_command_text(command, redis->lease);
	redis_command_text(command, redis->attempts);
	redis_command_text(command, redis->delayed);
	redis_command_text(command, redis->dead);
	redis_command_text(command, redis->consume_left ? "LEFT" : "RIGHT");
}

/* A number as a word that lives as long as the command. */
struct word {
	char text[24];
};

static const char *
number_word(struct word *word, int64_t value)
{
	(void)snprintf(word->text, sizeof(word->text), "%" PRId64, value);
	return word->text;
}

int
redis_list_take_back(struct queue *queue, const struct redis_lease *member,
    int64_t max_attempts, bool *ret_back, struct err *err)
{
	const struct redis_queue *redis = queue->state;

	/* from the right: what has been there for longest */
	for (int64_t end = -1;; end -= RECLAIM_STRETCH) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct redis_command command;
		struct word most = {""};
		struct word from = {""};
		struct word to = {""};

		begin_script(redis, reclaim_script, &command);
		redis_command_bytes(&command, member->text, member->len);
		redis_command_text(&command, number_word(&most, max_attempts));
		redis_command_text(
		    &command, number_word(&from, end - RECLAIM_STRETCH + 1));
		redis_command_text(&command, number_word(&to, end));
		if (redis_send(queue, &command, "take back a lease", &reply,
		        err) == -1)
			return -1;
		const char *word =
		    reply->type == REDIS_REPLY_STRING ? reply->str : "";

		*ret_back = text_equal(word, "back");
		if (!text_equal(word, "further"))
			return 0;
	}
}

static int
bad_answer(struct queue *queue, struct err *err)
{
	return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err, ERR_REFUSED,
	    "the server's answer to a script is not what the script returns");
}

static int
read_job(struct queue *queue, const redisReply *reply, struct queue_job *ret,
    struct err *err)
{
	if (reply->elements < 4)
		return bad_answer(queue, err);
	const redisReply *payload = reply->element[1];
	const char *digest = reply->element[2]->str;
	const char *attempt = reply->element[3]->str;

	buffer_append(&ret->payload, payload->str, payload->len);
	if (text_i64(attempt, 1, INT64_MAX, &ret->attempt, err) == -1)
		return bad_answer(queue, err);
	if (text_copy(ret->id, sizeof(ret->id), digest, err) == -1 ||
	    text_format(ret->token, sizeof(ret->token), err, "%s:%s:%s:%s",
	        digest, ret->nonce, attempt, queue->consuming.owner) == -1)
		return -1;
	return 0;
}

/* What one run of the claim's script came to. */
enum claimed {
	CLAIMED_NONE,
	CLAIMED_JOB,
	CLAIMED_AGAIN, /* something was put right first */
};

static int
claim_once(struct queue *queue, struct queue_job *ret,
    enum claimed *ret_claimed, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;
	struct word lease = {""};
	struct word most = {""};

	begin_script(redis, claim_script, &command);
	redis_command_text(&command, ret->nonce);
	redis_command_text(&command, queue->consuming.owner);
	redis_command_text(
	    &command, number_word(&lease, queue->consuming.lease_ms));
	redis_command_text(&command, number_word(&most, QUEUE_PAYLOAD_MAX));
	if (redis_send(queue, &command, "claim a job", &reply, err) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
	    reply->element[0]->type != REDIS_REPLY_STRING)
		return bad_answer(queue, err);
	const char *word = reply->element[0]->str;

	*ret_claimed = CLAIMED_AGAIN;
	if (text_equal(word, "none")) {
		*ret_claimed = CLAIMED_NONE;
	} else if (text_equal(word, "job")) {
		*ret_claimed = CLAIMED_JOB;
		return read_job(queue, reply, ret, err);
	} else if (text_equal(word, "expired") && reply->elements == 2) {
		const struct redis_lease over = {
		    reply->element[1]->str, reply->element[1]->len};
		bool back = false;

		return redis_list_take_back(
		    queue, &over, queue->consuming.max_attempts, &back, err);
	}
	return 0; /* "large": it is among the dead letters */
}

/*
 * Waits until the list has an element, and takes none: it is moved from an end
 * to the same end. So a claim is one script, with no moment in which a crash
 * leaves a job without its lease, and an idle worker is seen as blocked.
 */
static int
wait_for_job(
    struct queue *queue, int64_t wait_ms, bool *ret_any, struct err *err)
{
	const struct redis_queue *redis = queue->state;
	const char *side = redis->consume_left ? "LEFT" : "RIGHT";
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	char seconds[WAIT_TEXT_SIZE];

	(void)snprintf(seconds, sizeof(seconds), "%" PRId64 ".%03" PRId64,
	    wait_ms / 1000, wait_ms % 1000);
	if (redis_ask(queue, "wait for a job", &reply, err, "BLMOVE",
	        redis->key, redis->key, side, side, seconds) == -1)
		return -1;
	*ret_any = reply->type == REDIS_REPLY_STRING;
	return 0;
}

int
redis_list_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	enum claimed claimed = CLAIMED_AGAIN;

	for (int i = 0; i < RECLAIM_MAX && claimed == CLAIMED_AGAIN; i++) {
		if (claim_once(queue, ret, &claimed, err) == -1)
			return -1;
	}
	if (claimed == CLAIMED_NONE && wait_ms > 0) {
		bool any = false;

		if (wait_for_job(queue, wait_ms, &any, err) == -1)
			return -1;
		if (any && claim_once(queue, ret, &claimed, err) == -1)
			return -1;
	}
	*ret_got = claimed == CLAIMED_JOB;
	return 0;
}

static int
run_held(struct queue *queue, const struct redis_command *command,
    const char *doing, bool *ret_held, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_send(queue, command, doing, &reply, err) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_INTEGER)
		return bad_answer(queue, err);
	*ret_held = reply->integer == 1;
	return 0;
}

static void
begin_ending(const struct queue *queue, const char *script,
    const struct queue_job *job, struct redis_command *command)
{
	begin_script(queue->state, script, command);
	redis_command_text(command, job->token);
	redis_command_bytes(command,
	    job->payload.data != NULL ? job->payload.data : "",
	    job->payload.len);
}

int
redis_list_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	struct redis_command command;
	struct word lease = {""};

	begin_script(queue->state, extend_script, &command);
	redis_command_text(&command, job->token);
	redis_command_text(
	    &command, number_word(&lease, queue->consuming.lease_ms));
	return run_held(queue, &command, "extend a lease", ret_held, err);
}

int
redis_list_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	struct redis_command command;

	begin_ending(queue, finish_script, job, &command);
	return run_held(queue, &command, "finish a job", ret_held, err);
}

int
redis_list_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	struct redis_command command;

	(void)reason; /* a list of payloads has no place for it */
	begin_ending(queue, bury_script, job, &command);
	return run_held(queue, &command, "bury a job", ret_held, err);
}

int
redis_list_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	struct redis_command command;
	struct word retry = {""};
	struct word attempt = {""};

	begin_ending(queue, fail_script, job, &command);
	redis_command_text(&command, number_word(&retry, retry_ms));
	redis_command_text(&command, number_word(&attempt, job->attempt));
	redis_command_text(&command, job->nonce);
	return run_held(queue, &command, "put a job back", ret_held, err);
}

int
redis_list_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	struct redis_command command;
	struct word before = {""};

	begin_ending(queue, release_script, job, &command);
	redis_command_text(&command, number_word(&before, job->attempt - 1));
	redis_command_text(&command, job->id);
	return run_held(queue, &command, "give a job back", ret_held, err);
}

/* The connection itself is the sign of life; this shows that it works. */
int
redis_list_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (leaving)
		return 0;
	return redis_ask(queue, "reach the server", &reply, err, "PING");
}
