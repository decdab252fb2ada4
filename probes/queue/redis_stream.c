/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_near.h"
#include "probes/queue/redis_stream.h"

/*
 * A Redis stream with a consumer group (queues.md 5.2). What waits is the
 * group's lag; what is in work, its pending entries. A listed consumer isn't
 * alive: it stays listed for ever, so only its idle time says something.
 */
enum {
	PENDING_MAX = 100,
	WAITING_MAX = 10001, /* counted where the lag isn't known */
	GROUPS_MAX = 64
};

struct asked {
	size_t info, groups, consumers, pending, over, dead, next;
	bool any_next;
};

static int
ask(struct redis_look *look, struct err *err)
{
	const struct stream_queue *queue = look->queue->state;
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;

	(void)err;
	look->own = asked;
	asked->info = redis_batch_ask(batch, "TYPE", queue->stream);
	asked->groups =
	    redis_batch_ask(batch, "XINFO", "GROUPS", queue->stream);
	asked->consumers = redis_batch_ask(
	    batch, "XINFO", "CONSUMERS", queue->stream, queue->group);
	asked->pending = redis_batch_ask(
	    batch, "XPENDING", queue->stream, queue->group, "-", "+", "100");
	asked->over = redis_batch_ask(batch, "XPENDING", queue->stream,
	    queue->group, "IDLE", queue->min_idle, "-", "+", "100");
	if (queue->dead != NULL)
		asked->dead = redis_batch_ask(batch, "XLEN", queue->dead);
	return 0;
}

const redisReply *
stream_row_field(const redisReply *row, const char *name)
{
	for (size_t i = 0;
	     row->type == REDIS_REPLY_ARRAY && i + 1 < row->elements; i += 2)
		if (row->element[i]->type == REDIS_REPLY_STRING &&
		    text_equal(row->element[i]->str, name))
			return row->element[i + 1];
	return NULL;
}

static int64_t
row_number(const redisReply *row, const char *name)
{
	const redisReply *value = stream_row_field(row, name);

	return value != NULL && value->type == REDIS_REPLY_INTEGER
	           ? value->integer
	           : -1;
}

static const redisReply *
find_group(const struct redis_look *look)
{
	const struct stream_queue *queue = look->queue->state;
	const struct asked *asked = look->own;
	const redisReply *groups =
	    redis_batch_reply(look->batch, asked->groups);

	for (size_t i = 0; groups->type == REDIS_REPLY_ARRAY &&
	                   i < groups->elements && i < GROUPS_MAX;
	     i++) {
		const redisReply *name =
		    stream_row_field(groups->element[i], "name");

		if (name != NULL && name->type == REDIS_REPLY_STRING &&
		    text_equal(name->str, queue->group))
			return groups->element[i];
	}
	return NULL;
}

/* Which entry is next, and, where the lag isn't known (an undelivered entry was
 * deleted), how many there are up to a limit. */
static int
ask_next(struct redis_look *look, struct err *err)
{
	const struct stream_queue *queue = look->queue->state;
	struct asked *asked = look->own;
	const char *type = redis_text(look, asked->info);

	if (type != NULL && !text_equal(type, "none") &&
	    !text_equal(type, "stream"))
		return redis_wrong_type(
		    look->queue, queue->stream, type, "stream", err);
	if (redis_checked(look->queue,
	        redis_batch_reply(look->batch, asked->info),
	        "look at the stream", err) == -1)
		return -1;
	look->state->exists = text_equal(type, "none") ? EXISTS_NO : EXISTS_YES;
	if (look->state->exists == EXISTS_NO)
		return 0;
	const redisReply *group = find_group(look);

	if (group == NULL) {
		const redisReply *groups =
		    redis_batch_reply(look->batch, asked->groups);

		if (redis_checked(
		        look->queue, groups, "look at the groups", err) == -1)
			return -1;
		return queue_trouble(look->queue, CAUSE_NOT_FOUND, "NOGROUP",
		    err, ERR_REFUSED,
		    "stream '%s' has no group '%s' (it has %zu)", queue->stream,
		    queue->group, groups->elements);
	}
	const redisReply *last = stream_row_field(group, "last-delivered-id");

	if (last == NULL || last->type != REDIS_REPLY_STRING)
		return 0;
	asked->any_next = true;
	asked->next = redis_batch_ask(look->batch, "XRANGE", queue->stream,
	    arena_format(look->arena, "(%s", last->str), "+", "COUNT",
	    row_number(group, "lag") >= 0 ? "1" : "10001");
	return 0;
}

static void
read_waiting(struct redis_look *look, const redisReply *group)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	int64_t lag = row_number(group, "lag");
	const redisReply *next =
	    asked->any_next ? redis_batch_reply(look->batch, asked->next)
	                    : NULL;

	state->oldest_ms = queue_unknown("nothing waits");
	if (lag >= 0)
		state->waiting = queue_exact(lag);
	else
		state->waiting = queue_unknown("the group tells no lag");
	if (next == NULL || next->type != REDIS_REPLY_ARRAY)
		return;
	if (lag < 0)
		state->waiting =
		    (struct queue_number){.value = (int64_t)next->elements,
		        .know = next->elements < WAITING_MAX ? KNOW_EXACT
		                                             : KNOW_AT_LEAST};
	if (next->elements > 0 && next->element[0]->type == REDIS_REPLY_ARRAY &&
	    next->element[0]->elements > 0 &&
	    next->element[0]->element[0]->type == REDIS_REPLY_STRING) {
		const char *id = next->element[0]->element[0]->str;

		/* an id begins with the ms at which it was put in */
		state->head = arena_text(look->arena, id);
		state->oldest_ms = queue_exact(
		    MAX(look->server->now_ms - strtoll(id, NULL, 10), 0));
	}
}

static int64_t
deliveries_of(const redisReply *row)
{
	return row->type == REDIS_REPLY_ARRAY && row->elements == 4 &&
	               row->element[3]->type == REDIS_REPLY_INTEGER
	           ? row->element[3]->integer
	           : 0;
}

/* Those that are idle: delivered too often, they are dead; else their lease is
 * over. */
static void
read_idle(struct redis_look *look)
{
	const struct stream_queue *queue = look->queue->state;
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *over = redis_batch_reply(look->batch, asked->over);
	int64_t dead = 0;

	if (over->type != REDIS_REPLY_ARRAY) {
		state->lease_expired = redis_number(look, asked->over);
		if (queue->deliveries > 0)
			state->dead = state->lease_expired;
		return;
	}
	const enum know know =
	    over->elements < PENDING_MAX ? KNOW_EXACT : KNOW_AT_LEAST;

	for (size_t i = 0; queue->deliveries > 0 && i < over->elements; i++)
		dead += deliveries_of(over->element[i]) >= queue->deliveries;
	state->lease_expired =
	    (struct queue_number){(int64_t)over->elements - dead, know, NULL};
	if (queue->deliveries == 0 || state->dead.know == KNOW_UNKNOWN)
		return;
	state->dead =
	    (struct queue_number){state->dead.value + dead, know, NULL};
	state->attempts_limit = queue_exact(queue->deliveries);
}

/* Of the pending entries: the highest number of deliveries. */
static void
read_pending(struct redis_look *look)
{
	const struct asked *asked = look->own;
	const redisReply *pending =
	    redis_batch_reply(look->batch, asked->pending);
	int64_t most = 0;

	for (size_t i = 0;
	     pending->type == REDIS_REPLY_ARRAY && i < pending->elements; i++)
		most = MAX(most, deliveries_of(pending->element[i]));
	look->state->attempts_max =
	    (struct queue_number){.value = most, .know = KNOW_AT_LEAST};
	read_idle(look);
}

/* A consumer counts when it was heard of within the time after which its
 * entries are given to others. */
static void
read_consumers(struct redis_look *look)
{
	const struct stream_queue *queue = look->queue->state;
	const struct asked *asked = look->own;
	const redisReply *rows =
	    redis_batch_reply(look->batch, asked->consumers);
	int64_t limit_ms = strtoll(queue->min_idle, NULL, 10);
	int64_t live = 0;

	if (rows->type != REDIS_REPLY_ARRAY) {
		look->state->consumers = redis_number(look, asked->consumers);
		return;
	}
	struct queue_consumer *who = arena_array(
	    look->arena, MIN(rows->elements, QUEUE_WHO_MAX) + 1, sizeof(*who));

	for (size_t i = 0; i < rows->elements; i++) {
		const redisReply *name =
		    stream_row_field(rows->element[i], "name");
		int64_t idle_ms = row_number(rows->element[i], "idle");
		int64_t held = row_number(rows->element[i], "pending");
		bool alive = idle_ms >= 0 && idle_ms <= limit_ms;

		live += alive;
		if (name == NULL || name->type != REDIS_REPLY_STRING ||
		    look->state->nwho == QUEUE_WHO_MAX)
			continue;
		who[look->state->nwho++] = (struct queue_consumer){
		    .id = arena_text(look->arena, name->str),
		    .address = "",
		    .reads = queue->group,
		    .worker = "",
		    .pid = -1,
		    .proof = (alive ? (unsigned)PROOF_HEARTBEAT : 0U) |
		             (held > 0 ? (unsigned)PROOF_HOLDS_LEASE : 0U),
		    .held = held >= 0
		                ? queue_exact(held)
		                : queue_unknown("XINFO CONSUMERS says none")};
	}
	look->state->who = who;
	look->state->consumers = queue_exact(live);
}

static int
read_all(struct redis_look *look, struct err *err)
{
	struct queue_state *state = look->state;
	const struct stream_queue *queue = look->queue->state;
	const struct asked *asked = look->own;
	const redisReply *group =
	    state->exists == EXISTS_NO ? NULL : find_group(look);

	(void)err;
	state->delayed = state->failed = queue_inapplicable();
	state->dead = queue->dead != NULL     ? redis_number(look, asked->dead)
	              : queue->deliveries > 0 ? queue_exact(0)
	                                      : queue_inapplicable();
	state->lease_missing = queue_inapplicable();
	state->completed = queue_unknown("a stream doesn't count what is done");
	if (group == NULL)
		return 0;
	int64_t pending = row_number(group, "pending");

	state->active = pending >= 0 ? queue_exact(pending)
	                             : queue_unknown("the group tells no "
	                                             "number");
	read_waiting(look, group);
	read_pending(look);
	read_consumers(look);
	return 0;
}

static const struct redis_naming naming = {.scans = "stream"};

static redis_round_fn *const rounds[] = {ask, ask_next, read_all, NULL};

static int
stream_open(struct queue *queue, struct err *err)
{
	struct stream_queue *stream =
	    arena_alloc(&queue->arena, sizeof(*stream));
	const char *group = queue_option(queue, "group");
	const char *min_idle = queue_option(queue, "idle");
	const char *limit = queue_option(queue, "max_attempts");
	int64_t ms = INT64_C(60) * 1000;

	queue->state = stream;
	if (group == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of kind 'redisstream' needs the key 'group'");
	if (min_idle != NULL && text_duration_ms(min_idle, &ms, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'idle'");
	}
	if (limit != NULL &&
	    text_i64(limit, 1, INT32_MAX, &stream->deliveries, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'max_attempts'");
	}
	stream->idle_declared = min_idle != NULL;
	stream->dead = queue_option(queue, "dlq");
	if (stream->dead == NULL)
		stream->dead = queue_option(queue, "deadLetter");
	stream->handle.naming = &naming;
	stream->stream = queue->name;
	stream->group = group;
	stream->min_idle = arena_format(&queue->arena, "%" PRId64, ms);
	return redis_kind_open(queue, NULL,
	    arena_format(
	        &queue->arena, "stream %s group %s", queue->name, group),
	    rounds, err);
}

static const char *const schemes[] = {"redisstream+redis", "redisstream+rediss",
    "redisstream+redis+unix", "redisstream+unix", "redisstream+redis+sentinel",
    "redisstream+rediss+sentinel", NULL};
static const char *const keys[] = {"stream", "group", "idle", "max_attempts",
    "dlq", "deadLetter", "test", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_redis_stream = {
    .kind = "redisstream",
    .schemes = schemes,
    .name_key = "stream",
    .keys = keys,
    .open = stream_open,
    REDIS_KIND_CALLS,
    .submit = stream_submit,
    .follow = stream_follow,
    .remove = stream_remove,
    .list = stream_list,
    .newest = NEWEST_ALL,
    .move = stream_move,
};
