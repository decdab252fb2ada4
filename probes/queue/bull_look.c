/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/bull.h"

/* What is in a queue of BullMQ or Bull: three rounds. */

enum {
	ACTIVE_MAX = 100, /* whose locks are looked at */
	HEADS = 3         /* of wait, paused and prioritized */
};

struct asked {
	size_t meta, meta_paused, events, id;
	size_t wait, paused, prioritized, active, delayed, children, completed,
	    failed;
	size_t wait_last, heads[HEADS], some_active;
	size_t check; /* PTTL of stalled-check */
	/* of the second round */
	size_t head_jobs[HEADS], head_opts[HEADS], nheads;
	size_t locks[ACTIVE_MAX], jobs[ACTIVE_MAX], nactive;
	int64_t markers; /* entries of `wait` that are no jobs */
	const char *version;
};

/* --- first round -----------------------------------------------------------
 */

static int
ask(struct redis_look *look, struct err *err)
{
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const struct prefixed_question lengths[] = {
	    {&asked->meta_paused, "EXISTS", "meta-paused"},
	    {&asked->events, "EXISTS", "events"},
	    {&asked->id, "EXISTS", "id"},
	    {&asked->wait, "LLEN", "wait"},
	    {&asked->paused, "LLEN", "paused"},
	    {&asked->prioritized, "ZCARD", "prioritized"},
	    {&asked->active, "LLEN", "active"},
	    {&asked->delayed, "ZCARD", "delayed"},
	    {&asked->children, "ZCARD", "waiting-children"},
	    {&asked->completed, "ZCARD", "completed"},
	    {&asked->failed, "ZCARD", "failed"},
	    {&asked->check, "PTTL", "stalled-check"},
	};

	(void)err;
	look->own = asked;
	prefixed_ask(look, lengths, ARRAY_LEN(lengths));
	const char *wait = prefixed_key(look->queue, look->arena, "wait");

	asked->meta = redis_batch_ask(batch, "HMGET",
	    prefixed_key(look->queue, look->arena, "meta"), "version", "paused",
	    "concurrency");
	asked->wait_last = redis_batch_ask(batch, "LINDEX", wait, "-1");
	asked->heads[0] = redis_batch_ask(batch, "LINDEX", wait, "-2");
	asked->heads[1] = redis_batch_ask(batch, "LINDEX",
	    prefixed_key(look->queue, look->arena, "paused"), "-1");
	asked->heads[2] = redis_batch_ask(batch, "ZRANGE",
	    prefixed_key(look->queue, look->arena, "prioritized"), "0", "0");
	asked->some_active = redis_batch_ask(batch, "LRANGE",
	    prefixed_key(look->queue, look->arena, "active"), "0", "99");
	return 0;
}

/* --- second round ----------------------------------------------------------
 */

/* Somebody else's keys under this name are said at once. */
static int
check_protocol(struct redis_look *look, struct err *err)
{
	const struct bull_queue *bull = look->queue->state;
	const struct asked *asked = look->own;
	const redisReply *meta = redis_batch_reply(look->batch, asked->meta);
	bool version = meta->type == REDIS_REPLY_ARRAY && meta->elements > 0 &&
	               meta->element[0]->type == REDIS_REPLY_STRING;
	struct queue_number id = redis_number(look, asked->id);
	struct queue_number events = redis_number(look, asked->events);

	if (redis_check_key(look->queue,
	        redis_batch_reply(look->batch, asked->wait),
	        prefixed_key(look->queue, look->arena, "wait"), "list",
	        err) == -1)
		return -1;
	if (!bull->bullmq && (redis_positive(&events) || version))
		return queue_trouble(look->queue, CAUSE_WRONG_TYPE, "BULLMQ",
		    err, ERR_REFUSED,
		    "'%s%s' is there: a queue of BullMQ, not of Bull",
		    bull->keys.base, version ? "meta" : "events");
	if (bull->bullmq && !version && redis_positive(&id) &&
	    events.know == KNOW_EXACT && events.value == 0)
		return queue_trouble(look->queue, CAUSE_WRONG_TYPE, "BULL", err,
		    ERR_REFUSED,
		    "'%sid' is there, and neither a version in meta nor "
		    "events: a queue of Bull, not of BullMQ",
		    bull->keys.base);
	return 0;
}

static const char *
reply_id(const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1)
		reply = reply->element[0];
	return reply->type == REDIS_REPLY_STRING && reply->str[0] != '\0'
	           ? reply->str
	           : NULL;
}

static size_t
ask_job(struct redis_look *look, const char *id)
{
	return redis_batch_ask(look->batch, "HMGET",
	    prefixed_key(look->queue, look->arena, id), "timestamp", "atm",
	    "attemptsMade");
}

static void
ask_heads(struct redis_look *look)
{
	struct asked *asked = look->own;
	const redisReply *last =
	    redis_batch_reply(look->batch, asked->wait_last);
	const char *id = reply_id(last);

	/* BullMQ up to 4 wakes its workers by an entry "0:TIME" */
	asked->markers = id != NULL && text_starts(id, "0:") ? 1 : 0;
	for (int i = 0; i < HEADS; i++) {
		const redisReply *reply =
		    i == 0 && asked->markers == 0
		        ? last
		        : redis_batch_reply(look->batch, asked->heads[i]);

		id = reply_id(reply);
		if (id == NULL)
			continue;
		if (look->state->head[0] == '\0')
			look->state->head = arena_text(look->arena, id);
		asked->head_opts[asked->nheads] =
		    redis_batch_ask(look->batch, "HMGET",
		        prefixed_key(look->queue, look->arena, id), "opts");
		asked->head_jobs[asked->nheads++] = ask_job(look, id);
	}
}

static int
ask_jobs(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;

	if (check_protocol(look, err) == -1)
		return -1;
	const redisReply *active =
	    redis_batch_reply(look->batch, asked->some_active);

	for (size_t i = 0; i < active->elements && i < ACTIVE_MAX; i++) {
		const char *id = reply_id(active->element[i]);

		if (id == NULL)
			continue;
		asked->locks[asked->nactive] =
		    redis_batch_ask(look->batch, "PTTL",
		        arena_format(look->arena, "%s:lock",
		            prefixed_key(look->queue, look->arena, id)));
		asked->jobs[asked->nactive++] = ask_job(look, id);
	}
	ask_heads(look);
	return 0;
}

/* --- third round -----------------------------------------------------------
 */

static int64_t
field_number(const redisReply *job, size_t field)
{
	int64_t value = -1;

	if (job->type != REDIS_REPLY_ARRAY || field >= job->elements ||
	    job->element[field]->type != REDIS_REPLY_STRING ||
	    text_i64(job->element[field]->str, 0, INT64_MAX, &value, NULL) ==
	        -1)
		return -1;
	return value;
}

/* `atm` of BullMQ 5, `attemptsMade` before it and of Bull. */
static int64_t
attempts_of(const redisReply *job)
{
	return MAX(field_number(job, 1), field_number(job, 2));
}

static struct queue_number
add(struct queue_number a, struct queue_number b)
{
	if (a.know != KNOW_EXACT)
		return a;
	if (b.know == KNOW_EXACT)
		a.value += b.value;
	return b.know == KNOW_EXACT || b.know == KNOW_NOT_APPLICABLE ? a : b;
}

static void
read_meta(struct redis_look *look)
{
	struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const struct bull_queue *bull = look->queue->state;
	const redisReply *meta = redis_batch_reply(look->batch, asked->meta);
	struct queue_number paused = redis_number(look, asked->meta_paused);
	int64_t most = field_number(meta, 2);

	asked->version = "";
	state->paused = redis_positive(&paused) ? 1 : 0;
	if (meta->type == REDIS_REPLY_ARRAY && meta->elements == 3) {
		const char *colon = meta->element[0]->type == REDIS_REPLY_STRING
		                        ? strchr(meta->element[0]->str, ':')
		                        : NULL;

		if (colon != NULL) /* "bullmq:5.81.5" */
			asked->version = arena_text(look->arena, colon + 1);
		if (meta->element[1]->type == REDIS_REPLY_STRING)
			state->paused = 1;
	}
	if (most > 0)
		state->capacity = queue_exact(most);
	state->engine = arena_format(look->arena, "%s, %s%s%s", state->engine,
	    bull->bullmq ? "bullmq" : "bull",
	    asked->version[0] != '\0' ? " " : "", asked->version);
}

static void
read_counts(struct redis_look *look)
{
	const struct asked *asked = look->own;
	const struct bull_queue *bull = look->queue->state;
	struct queue_state *state = look->state;
	struct queue_number id = redis_number(look, asked->id);

	state->waiting = add(
	    redis_number(look, asked->wait), redis_number(look, asked->paused));
	/* of Bull, jobs with a priority are in `wait` too */
	if (bull->bullmq)
		state->waiting =
		    add(state->waiting, redis_number(look, asked->prioritized));
	if (state->waiting.know == KNOW_EXACT)
		state->waiting.value =
		    MAX(state->waiting.value - asked->markers, 0);
	state->active = redis_number(look, asked->active);
	state->delayed = redis_number(look, asked->delayed);
	state->failed = redis_number(look, asked->failed);
	state->completed = redis_number(look, asked->completed);
	state->dead = queue_inapplicable();
	state->dead_kept = redis_flag(look, HOLDS_YES,
	    "failed jobs stay in the set 'failed', but where removeOnFail is "
	    "on");
	state->exists =
	    redis_positive(&id) || redis_positive(&state->waiting) ||
	            redis_positive(&state->active) || asked->version[0] != '\0'
	        ? EXISTS_YES
	        : EXISTS_EMPTY_OR_NOT;
}

static void
read_ages(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	int64_t since_ms = -1;
	int64_t most = -1;

	for (size_t i = 0; i < asked->nheads; i++) {
		const redisReply *job =
		    redis_batch_reply(look->batch, asked->head_jobs[i]);
		int64_t ms = field_number(job, 0);

		most = MAX(most, attempts_of(job));
		if (ms >= 0 && (since_ms < 0 || ms < since_ms))
			since_ms = ms;
	}
	for (size_t i = 0; i < asked->nactive; i++)
		most = MAX(most, attempts_of(redis_batch_reply(
		                     look->batch, asked->jobs[i])));
	state->attempts_max =
	    (struct queue_number){.value = MAX(most, 0), .know = KNOW_AT_LEAST};
	if (since_ms >= 0)
		state->oldest_ms =
		    queue_exact(MAX(look->server->now_ms - since_ms, 0));
	else
		state->oldest_ms = queue_unknown(
		    asked->nheads == 0 ? "nothing waits"
		                       : "the oldest job has no timestamp");
}

/* Whether a job that may be tried more than once waits in between: its own
 * options say so, `backoff` a number of milliseconds or {type, delay}, of
 * which a type of the application's own knows the delay itself. */
static enum holds
backs_off(const redisReply *opts)
{
	int64_t attempts = 0, delay_ms = 0;

	if (opts->type != REDIS_REPLY_ARRAY || opts->elements == 0 ||
	    opts->element[0]->type != REDIS_REPLY_STRING)
		return HOLDS_UNKNOWN;
	CLEANUP(json_free)
	cJSON *json =
	    json_read(opts->element[0]->str, opts->element[0]->len, NULL);
	const cJSON *backoff =
	    cJSON_GetObjectItemCaseSensitive(json, "backoff");
	const char *type = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(backoff, "type"));

	if (!cJSON_IsObject(json) ||
	    json_i64(json, "attempts", 1, &attempts, NULL) == -1 ||
	    attempts <= 1)
		return HOLDS_UNKNOWN;
	if (backoff == NULL || cJSON_IsNull(backoff))
		return HOLDS_NO;
	if (type != NULL && !text_equal(type, "fixed") &&
	    !text_equal(type, "exponential"))
		return HOLDS_YES;
	if (cJSON_IsObject(backoff)
	        ? json_i64(backoff, "delay", 0, &delay_ms, NULL) == -1
	        : json_item_i64(backoff, &delay_ms, NULL) == -1)
		return HOLDS_UNKNOWN;
	return delay_ms > 0 ? HOLDS_YES : HOLDS_NO;
}

static void
read_backoff(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_flag *flag = &look->state->backs_off;

	for (size_t i = 0; i < asked->nheads && flag->is != HOLDS_NO; i++) {
		enum holds holds = backs_off(
		    redis_batch_reply(look->batch, asked->head_opts[i]));

		if (holds == HOLDS_UNKNOWN)
			continue;
		*flag = redis_flag(look, holds,
		    holds == HOLDS_NO
		        ? "the job at the head has 'attempts' and no 'backoff'"
		        : "the jobs at the head have a 'backoff'");
	}
}

/* A job whose lock is gone is stalled: its worker died, or lost it. */
static bool
read_locks(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	int64_t gone = 0;
	int64_t held = 0;

	for (size_t i = 0; i < asked->nactive; i++) {
		const redisReply *ttl =
		    redis_batch_reply(look->batch, asked->locks[i]);

		if (ttl->type != REDIS_REPLY_INTEGER) {
			state->lease_expired =
			    redis_number(look, asked->locks[i]);
			return false;
		}
		gone += ttl->integer == -2;
		held += ttl->integer != -2;
	}
	state->lease_expired = (struct queue_number){.value = gone,
	    .know = state->active.know == KNOW_EXACT &&
	                    state->active.value <= (int64_t)asked->nactive
	                ? KNOW_EXACT
	                : KNOW_AT_LEAST};
	state->lease_missing = queue_inapplicable();
	return held > 0;
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;

	(void)err;
	read_meta(look);
	read_counts(look);
	read_ages(look);
	read_backoff(look);
	bool held = read_locks(look);
	struct queue_number check = redis_number(look, asked->check);

	bull_consumers(look, held || redis_positive(&check));
	return 0;
}

redis_round_fn *const bull_rounds[] = {ask, ask_jobs, read_all, NULL};
