/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_near.h"

/*
 * A Redis stream with a consumer group (queues.md 5.2). What waits is the
 * group's lag; what is in work, its pending entries. A listed consumer isn't
 * alive: it stays listed for ever, so only its idle time says something.
 */
struct stream_queue {
	struct redis_handle handle;
	const char *stream, *group;
	const char *min_idle; /* ms: a pending entry idle for longer is lost */
};

enum {
	PENDING_MAX = 100,
	WAITING_MAX = 10001, /* counted where the lag isn't known */
	GROUPS_MAX = 64
};

struct asked {
	size_t info, groups, consumers, pending, over, next;
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
	return 0;
}

/* A field of an XINFO row: name, value, name, value… */
static const redisReply *
row_field(const redisReply *row, const char *name)
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
	const redisReply *value = row_field(row, name);

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
		const redisReply *name = row_field(groups->element[i], "name");

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
		return queue_trouble(look->queue, CAUSE_WRONG_TYPE, "WRONGTYPE",
		    err, ERR_REFUSED,
		    "'%s' is a %s, not a stream: somebody else's protocol",
		    queue->stream, type);
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
	const redisReply *last = row_field(group, "last-delivered-id");

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

/* Of the pending entries: the highest number of deliveries. */
static void
read_pending(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *pending =
	    redis_batch_reply(look->batch, asked->pending);
	const redisReply *over = redis_batch_reply(look->batch, asked->over);
	int64_t most = 0;

	for (size_t i = 0;
	     pending->type == REDIS_REPLY_ARRAY && i < pending->elements; i++) {
		const redisReply *row = pending->element[i];

		if (row->type == REDIS_REPLY_ARRAY && row->elements == 4 &&
		    row->element[3]->type == REDIS_REPLY_INTEGER)
			most = MAX(most, row->element[3]->integer);
	}
	state->attempts_max =
	    (struct queue_number){.value = most, .know = KNOW_AT_LEAST};
	if (over->type != REDIS_REPLY_ARRAY)
		state->lease_expired = redis_number(look, asked->over);
	else
		state->lease_expired =
		    (struct queue_number){.value = (int64_t)over->elements,
		        .know = over->elements < PENDING_MAX ? KNOW_EXACT
		                                             : KNOW_AT_LEAST};
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
		const redisReply *name = row_field(rows->element[i], "name");
		int64_t idle_ms = row_number(rows->element[i], "idle");
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
		             (row_number(rows->element[i], "pending") > 0
		                     ? (unsigned)PROOF_HOLDS_LEASE
		                     : 0U)};
	}
	look->state->who = who;
	look->state->consumers = queue_exact(live);
}

static int
read_all(struct redis_look *look, struct err *err)
{
	struct queue_state *state = look->state;
	const redisReply *group =
	    state->exists == EXISTS_NO ? NULL : find_group(look);

	(void)err;
	state->delayed = state->failed = state->dead = queue_inapplicable();
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

static redis_round_fn *const rounds[] = {ask, ask_next, read_all, NULL};

static int
stream_open(struct queue *queue, struct err *err)
{
	struct stream_queue *stream =
	    arena_alloc(&queue->arena, sizeof(*stream));
	const char *group = queue_option(queue, "group");
	const char *min_idle = queue_option(queue, "idle");
	int64_t ms = INT64_C(60) * 1000;

	queue->state = stream;
	if (group == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of kind 'redisstream' needs the key 'group'");
	if (min_idle != NULL && text_duration_ms(min_idle, &ms, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'idle'");
	}
	stream->stream = queue->name;
	stream->group = group;
	stream->min_idle = arena_format(&queue->arena, "%" PRId64, ms);
	return redis_kind_open(queue, NULL,
	    arena_format(
	        &queue->arena, "stream %s group %s", queue->name, group),
	    rounds, err);
}

/* --- a canary: one entry ---------------------------------------------------
 */

static int
stream_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "XADD");
	redis_command_text(&command, stream->stream);
	/* nobody's stream is made by a canary */
	redis_command_text(&command, "NOMKSTREAM");
	redis_command_text(&command, "*");
	redis_command_text(&command, "payload");
	redis_command_bytes(&command, job->payload, job->len);
	if (redis_send(queue, &command, "put a job in", &reply, err) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_STRING)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED, "there is no stream '%s'", stream->stream);
	*ret_receipt = arena_text(arena, reply->str);
	return 0;
}

/* "MS-SEQ" after "MS-SEQ"? */
static bool
id_after(const char *a, const char *b)
{
	char *rest_a = NULL;
	char *rest_b = NULL;
	unsigned long long ms_a = strtoull(a, &rest_a, 10);
	unsigned long long ms_b = strtoull(b, &rest_b, 10);

	if (ms_a != ms_b || *rest_a != '-' || *rest_b != '-')
		return ms_a > ms_b;
	return strtoull(rest_a + 1, NULL, 10) > strtoull(rest_b + 1, NULL, 10);
}

static int
judge_entry(struct queue *queue, const char *id, const redisReply *groups,
    const redisReply *pending, struct queue_sighting *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	const redisReply *last = NULL;

	for (size_t i = 0; i < groups->elements; i++) {
		const redisReply *name = row_field(groups->element[i], "name");

		if (name != NULL && text_equal(name->str, stream->group))
			last =
			    row_field(groups->element[i], "last-delivered-id");
	}
	if (last == NULL || last->type != REDIS_REPLY_STRING)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "NOGROUP", err,
		    ERR_REFUSED, "stream '%s' has no group '%s'",
		    stream->stream, stream->group);
	if (pending->elements > 0 &&
	    pending->element[0]->type == REDIS_REPLY_ARRAY &&
	    pending->element[0]->elements == 4 &&
	    pending->element[0]->element[1]->type == REDIS_REPLY_STRING) {
		const redisReply *row = pending->element[0];

		ret->place = PLACE_TAKEN;
		ret->by = arena_text(&queue->arena, row->element[1]->str);
		ret->attempts = row->element[3]->integer;
		ret->detail = "delivered, not acknowledged";
	} else if (id_after(id, last->str)) {
		ret->place = PLACE_VISIBLE;
		ret->detail = arena_format(
		    &queue->arena, "the group is at %s", last->str);
	} else {
		/* only an acknowledgement takes it out of the pending ones */
		ret->place = PLACE_GONE;
		ret->done = true;
		ret->detail = "delivered and acknowledged";
	}
	return 0;
}

static int
stream_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	struct redis_batch batch;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "there is no receipt");
	redis_batch_init(&batch, redis_handle_of(queue)->server);
	/* in this order: what was delivered before is pending after, until it
	 * is acknowledged */
	size_t groups =
	    redis_batch_ask(&batch, "XINFO", "GROUPS", stream->stream);
	size_t entry = redis_batch_ask(
	    &batch, "XRANGE", stream->stream, job->receipt, job->receipt);
	size_t pending = redis_batch_ask(&batch, "XPENDING", stream->stream,
	    stream->group, job->receipt, job->receipt, "1");
	int rc = redis_batch_send(queue, &batch, "look for the job", err);

	for (size_t i = groups; rc == 0 && i <= pending; i++)
		rc = redis_checked(queue, redis_batch_reply(&batch, i),
		    "look for the job", err);
	if (rc == 0 && redis_batch_reply(&batch, entry)->elements == 0 &&
	    redis_batch_reply(&batch, pending)->elements == 0) {
		ret->place = PLACE_GONE;
		ret->detail = "it was deleted from the stream";
	} else if (rc == 0) {
		rc = judge_entry(queue, job->receipt,
		    redis_batch_reply(&batch, groups),
		    redis_batch_reply(&batch, pending), ret, err);
	}
	/* an answer outlives the handle */
	ret->by = arena_text(arena, ret->by);
	ret->detail = arena_text(arena, ret->detail);
	redis_batch_fini(&batch);
	return rc;
}

static int
stream_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	static const char script[] =
	    "local p=redis.call('XPENDING',KEYS[1],ARGV[1],ARGV[2],ARGV[2],1)\n"
	    "if #p>0 then return 0 end\n"
	    "return redis.call('XDEL',KEYS[1],ARGV[2])\n";
	const struct stream_queue *stream = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "there is no receipt");
	if (redis_ask(queue, "remove the job", &reply, err, "EVAL", script, "1",
	        stream->stream, stream->group, job->receipt) == -1)
		return -1;
	*ret_removed = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	return 0;
}

/* --- near names ------------------------------------------------------------
 */

static const char *
near_key(struct queue *queue, struct arena *arena, const char *name)
{
	(void)queue;
	(void)arena;
	return name;
}

static bool
near_name(struct queue *queue, struct arena *arena, const char *key,
    const char **ret_name, const char **ret_where)
{
	(void)queue;
	(void)arena;
	*ret_name = key;
	*ret_where = "";
	return true;
}

static int
stream_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	static const struct redis_naming naming = {
	    .key = near_key, .name = near_name, .scans = "stream"};

	return redis_near(queue, &naming, arena, state, err);
}

static const char *const schemes[] = {"redisstream+redis", "redisstream+rediss",
    "redisstream+redis+unix", "redisstream+unix", "redisstream+redis+sentinel",
    "redisstream+rediss+sentinel", NULL};
static const char *const keys[] = {"stream", "group", "idle", "dlq",
    "deadLetter", "test", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_redis_stream = {
    .kind = "redisstream",
    .schemes = schemes,
    .name_key = "stream",
    .keys = keys,
    .client_keys = redis_client_keys,
    .open = stream_open,
    .close = redis_kind_close,
    .observe = redis_kind_observe,
    .observe_many = redis_kind_observe_many,
    .near = stream_near,
    .submit = stream_submit,
    .follow = stream_follow,
    .remove = stream_remove,
};
