/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include <zlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/base64.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_script.h"
#include "probes/queue/timestamp.h"

/*
 * RQ (1 and 2) on Redis: `rq:queue:NAME` is a list of ids whose oldest is at
 * the head, `rq:job:ID` the job, and `rq:wip:NAME` holds those that a worker
 * has, scored by when it must have been heard of again. queues.md part 5.6.
 */
enum {
	WORKERS_MAX = 100,
	ERROR_MAX = 4096, /* a longer traceback is shown packed */
	MS_PER_S = 1000,
	JOB_FIELDS = 5
};
/* A worker that waits says so every 405 s at least. */
static const int64_t SILENT_MS = 480000;
static const char QUEUES[] = "rq:queues";
/* Protocol 0 of pickle: time.time(), which every worker can import. */
static const char HARMLESS[] = "(Vtime.time\np0\nN(t(dp1\ntp2\n.";

struct asked {
	size_t waiting, active, delayed, failed, known, suspended, head,
	    workers;
	size_t expired, head_job, worker[WORKERS_MAX], nworkers;
	const char *names[WORKERS_MAX];
};

static const char *
key_of(struct arena *arena, const struct queue *queue, const char *what)
{
	return arena_format(arena, "rq:%s:%s", what, queue->name);
}

static int
ask(struct redis_look *look, struct err *err)
{
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const struct queue *queue = look->queue;
	const struct library_queue *library = queue->state;
	struct arena *arena = look->arena;

	(void)err;
	*asked = (struct asked){.nworkers = 0};
	look->own = asked;
	asked->waiting = redis_batch_ask(batch, "LLEN", library->list);
	asked->active =
	    redis_batch_ask(batch, "ZCARD", key_of(arena, queue, "wip"));
	asked->delayed =
	    redis_batch_ask(batch, "ZCARD", key_of(arena, queue, "scheduled"));
	asked->failed =
	    redis_batch_ask(batch, "ZCARD", key_of(arena, queue, "failed"));
	asked->known =
	    redis_batch_ask(batch, "SISMEMBER", QUEUES, library->list);
	asked->suspended = redis_batch_ask(batch, "EXISTS", "rq:suspended");
	asked->head = redis_batch_ask(batch, "LINDEX", library->list, "0");
	asked->workers = redis_batch_ask(
	    batch, "SRANDMEMBER", key_of(arena, queue, "workers"), "100");
	return 0;
}

static int
ask_jobs(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;
	struct redis_batch *batch = look->batch;
	const redisReply *workers = redis_batch_reply(batch, asked->workers);
	const char *head = redis_text(look, asked->head);

	const struct library_queue *library = look->queue->state;

	if (redis_check_key(look->queue,
	        redis_batch_reply(batch, asked->waiting), library->list, "list",
	        err) == -1)
		return -1;
	asked->expired = redis_batch_ask(batch, "ZCOUNT",
	    key_of(look->arena, look->queue, "wip"), "-inf",
	    arena_format(
	        look->arena, "%" PRId64, look->server->now_ms / MS_PER_S));
	asked->head_job = redis_batch_ask(batch, "HMGET",
	    arena_format(look->arena, "rq:job:%s", head != NULL ? head : ""),
	    "enqueued_at", "created_at", "retries_left", "retry_intervals");
	for (size_t i = 0; i < library_count(workers) && i < WORKERS_MAX; i++) {
		const char *name =
		    arena_text(look->arena, library_text(workers, i));

		asked->names[asked->nworkers] = name;
		asked->worker[asked->nworkers++] =
		    redis_batch_ask(batch, "HMGET", name, "last_heartbeat",
		        "hostname", "pid", "queues", "state");
	}
	return 0;
}

/* A worker that was killed stays listed for minutes: what counts is when it
 * was last heard of. */
static void
read_workers(struct redis_look *look)
{
	const struct asked *asked = look->own;
	int64_t live = 0;

	for (size_t i = 0; i < asked->nworkers; i++) {
		const redisReply *worker =
		    redis_batch_reply(look->batch, asked->worker[i]);
		int64_t seen_ms = 0;

		if (timestamp_parse(library_text(worker, 0), &seen_ms) == -1 ||
		    look->server->now_ms - seen_ms > SILENT_MS)
			continue;
		live++;
		const struct queue_consumer consumer = {.id = asked->names[i],
		    .address = "",
		    .reads = arena_text(look->arena, library_text(worker, 3)),
		    .worker = "",
		    .pid = -1,
		    .proof = PROOF_HEARTBEAT |
		             (text_equal(library_text(worker, 4), "busy")
		                     ? (unsigned)PROOF_HOLDS_LEASE
		                     : 0U)};

		library_consumer(look, &consumer);
	}
	const redisReply *listed =
	    redis_batch_reply(look->batch, asked->workers);

	if (listed->type == REDIS_REPLY_ERROR)
		look->state->consumers =
		    queue_unknown(arena_text(look->arena, listed->str));
	else
		look->state->consumers = (struct queue_number){.value = live,
		    .know = library_count(listed) < WORKERS_MAX
		                ? KNOW_EXACT
		                : KNOW_AT_LEAST};
}

/* A job that has retries is enqueued again at once, but for its intervals. */
static void
read_backoff(struct redis_look *look, const redisReply *job)
{
	const char *intervals = library_text(job, 3);
	int64_t retries = 0;

	if (text_i64(library_text(job, 2), 1, INT64_MAX, &retries, NULL) == -1)
		return;
	bool waits = strpbrk(intervals, "123456789") != NULL;

	look->state->backs_off = redis_flag(look, waits ? HOLDS_YES : HOLDS_NO,
	    waits ? "the job at the head has retries with an interval"
	          : "the job at the head has retries without an interval");
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *job = redis_batch_reply(look->batch, asked->head_job);
	struct queue_number known = redis_number(look, asked->known);
	struct queue_number suspended = redis_number(look, asked->suspended);
	const char *since = library_text(job, 0);
	int64_t since_ms = 0;

	(void)err;
	state->waiting = redis_number(look, asked->waiting);
	state->active = redis_number(look, asked->active);
	state->delayed = redis_number(look, asked->delayed);
	state->failed = redis_number(look, asked->failed);
	state->dead = queue_inapplicable();
	state->completed = queue_inapplicable();
	state->dead_kept = redis_flag(look, HOLDS_YES,
	    "failed jobs stay in %s for a year, unless failure_ttl says less",
	    key_of(look->arena, look->queue, "failed"));
	state->lease_expired = redis_number(look, asked->expired);
	state->lease_missing = queue_inapplicable();
	state->attempts_max = queue_inapplicable();
	state->exists =
	    redis_positive(&known) || redis_positive(&state->waiting)
	        ? EXISTS_YES
	        : EXISTS_EMPTY_OR_NOT;
	state->paused = redis_positive(&suspended) ? 1 : 0;
	const char *head = redis_text(look, asked->head);

	if (head != NULL)
		state->head = head;
	if (since[0] == '\0')
		since = library_text(job, 1);
	state->oldest_ms =
	    head != NULL && timestamp_parse(since, &since_ms) == 0
	        ? queue_exact(MAX(look->server->now_ms - since_ms, 0))
	        : queue_unknown(head == NULL ? "nothing waits"
	                                     : "the oldest job has no time");
	read_backoff(look, job);
	read_workers(look);
	return 0;
}

static redis_round_fn *const rounds[] = {ask, ask_jobs, read_all, NULL};

static int
rq_open(struct queue *queue, struct err *err)
{
	static const struct redis_key_type types[] = {{"queue:#", "list"},
	    {"wip:#", "zset"}, {"scheduled:#", "zset"}, {"failed:#", "zset"},
	    {"finished:#", "zset"}, {"queues", "set"}, {"workers:#", "set"},
	    {NULL, NULL}};

	return library_open(queue,
	    &(struct library_layout){.ns = "",
	        .prefix = "rq:queue:",
	        .index = QUEUES,
	        .types = types,
	        .base = "rq:"},
	    rounds, err);
}

/* --- a canary ------------------------------------------------------------ */

/* The payload is the job as RQ keeps it (of its JSONSerializer: ["module.f",
 * null,[],{}]); with none, time.time is called. KEYS: the list, the job
 * ARGV: id, data, origin, time */
static const char submit_script[] = REDIS_SCRIPT_REFUSED
    "if redis.call('EXISTS',KEYS[2])==1 then\n"
    " return redis.error_reply('ERR the job is there already') end\n"
    "local no=refused{{'HSET',KEYS[2]},{'SADD','rq:queues','set'},\n"
    " {'RPUSH',KEYS[1],'list'}}\n"
    "if no then return no end\n"
    "redis.call('HSET',KEYS[2],'data',ARGV[2],'origin',ARGV[3],\n"
    " 'status','queued','description','reeve canary','timeout','60',\n"
    " 'result_ttl','60','failure_ttl','60','created_at',ARGV[4],\n"
    " 'enqueued_at',ARGV[4])\n"
    "redis.call('SADD','rq:queues',KEYS[1])\n"
    "return redis.call('RPUSH',KEYS[1],ARGV[1])\n";

static int
rq_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *id = arena_format(arena, "reeve-canary-%s", job->canary);
	struct redis_command command;
	char when[CLOCK_TEXT_SIZE];
	int64_t now_ms = 0;

	if (library_now(queue, &now_ms, err) == -1)
		return -1;
	redis_command_init(&command);
	redis_command_text(&command, "EVAL");
	redis_command_text(&command, submit_script);
	redis_command_text(&command, "2");
	redis_command_text(&command, library->list);
	redis_command_text(&command, arena_format(arena, "rq:job:%s", id));
	redis_command_text(&command, id);
	if (job->len > 0 && job->payload[0] == '[')
		redis_command_bytes(&command, job->payload, job->len);
	else
		redis_command_text(&command, HARMLESS);
	redis_command_text(&command, queue->name);
	redis_command_text(&command, clock_text(now_ms, when));
	if (redis_send(queue, &command, "put a job in", &reply, err) == -1)
		return -1;
	*ret_receipt = id;
	return 0;
}

static int
rq_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (redis_ask(queue, "look for the job", &reply, err, "HMGET",
	        arena_format(arena, "rq:job:%s", job->receipt), "status",
	        "worker_name") == -1)
		return -1;
	const char *status = library_text(reply, 0);

	ret->by = arena_text(arena, library_text(reply, 1));
	ret->detail = arena_format(arena, "status '%s'", status);
	if (text_equal(status, "finished")) {
		ret->place = PLACE_GONE;
		ret->done = true;
	} else if (text_equal(status, "failed") ||
	           text_equal(status, "stopped") ||
	           text_equal(status, "canceled")) {
		ret->place = PLACE_DEAD;
	} else if (text_equal(status, "started")) {
		ret->place = PLACE_TAKEN;
	} else if (status[0] != '\0') {
		ret->place = PLACE_VISIBLE;
	} else {
		ret->place = PLACE_GONE;
		ret->detail = "the job is gone: its results are kept for 60 s";
	}
	return 0;
}

static int
rq_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (library_take_out(queue, job->receipt, ret_removed, err) == -1)
		return -1;
	if (!*ret_removed)
		return 0;
	return redis_ask(queue, "remove the job", &reply, err, "DEL",
	    arena_format(&queue->arena, "rq:job:%s", job->receipt));
}

/* --- jobs as people look at them, and moved back ---------------------------
 */

static int
find_ids(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, redisReply **ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	const char *last = arena_format(arena, "%zu", limit - 1);
	int64_t now_ms = 0;

	switch (part) {
	case PART_WAITING:
		return redis_ask(queue, "look at the jobs", ret, err, "LRANGE",
		    library->list, "0", last);
	case PART_ACTIVE:
	case PART_DELAYED:
	case PART_DEAD:
		return redis_ask(queue, "look at the jobs", ret, err, "ZRANGE",
		    key_of(arena, queue,
		        part == PART_ACTIVE    ? "wip"
		        : part == PART_DELAYED ? "scheduled"
		                               : "failed"),
		    "0", last);
	case PART_NEWEST: /* the payload is pickled: of no use */
		break;
	case PART_EXPIRED:
		if (library_now(queue, &now_ms, err) == -1)
			return -1;
		return redis_ask(queue, "look at the jobs", ret, err,
		    "ZRANGEBYSCORE", key_of(arena, queue, "wip"), "-inf",
		    arena_format(arena, "%" PRId64, now_ms / MS_PER_S), "LIMIT",
		    "0", arena_format(arena, "%zu", limit));
	}
	UNREACHABLE("queue_part");
}

static int
total_of(struct queue *queue, enum queue_part part, struct arena *arena,
    struct queue_number *ret, struct err *err)
{
	struct queue_state state = {.head = ""};

	if (redis_kind_observe(queue, arena, &state, err) == -1)
		return -1;
	*ret = part == PART_WAITING   ? state.waiting
	       : part == PART_ACTIVE  ? state.active
	       : part == PART_DELAYED ? state.delayed
	       : part == PART_DEAD    ? state.failed
	                              : state.lease_expired;
	return 0;
}

/* What went wrong, which RQ keeps compressed, and from 1.12 on in base64 too:
 * its last line says it. */
static const char *
unpacked(struct arena *arena, const char *bytes, size_t len)
{
	unsigned char text[ERROR_MAX];
	uLongf size = sizeof(text) - 1;

	if (uncompress(text, &size, (const unsigned char *)bytes, (uLong)len) !=
	    Z_OK)
		return "";
	while (size > 0 && text[size - 1] == '\n')
		size--;
	text[size] = '\0';
	const char *line = memrchr(text, '\n', size);

	return arena_text(arena, line == NULL ? (char *)text : line + 1);
}

/* Of the job itself, else of its last result: [[ID, [KEY, VALUE, …]]]. */
static const char *
error_of(struct arena *arena, const redisReply *job, const redisReply *results)
{
	const char *bytes = NULL;
	size_t len = 0;

	if (library_text(job, 1)[0] != '\0')
		return unpacked(
		    arena, job->element[1]->str, (size_t)job->element[1]->len);
	if (library_count(results) == 0 ||
	    library_count(results->element[0]) != 2)
		return "";
	const redisReply *fields = results->element[0]->element[1];

	for (size_t i = 0; i + 1 < library_count(fields); i += 2)
		if (text_equal(library_text(fields, i), "exc_string") &&
		    base64_decode(arena, library_text(fields, i + 1), &bytes,
		        &len, NULL) == 0)
			return unpacked(arena, bytes, len);
	return "";
}

static int
rq_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *ids = NULL;
	struct redis_batch batch;
	int64_t now_ms = 0;

	if (total_of(queue, part, arena, &ret->total, err) == -1 ||
	    library_now(queue, &now_ms, err) == -1 ||
	    find_ids(queue, part, limit, arena, &ids, err) == -1)
		return -1;
	size_t count = library_count(ids);
	struct queue_item *items =
	    arena_array(arena, count + 1, sizeof(*items));
	size_t *jobs = arena_array(arena, count + 1, sizeof(*jobs));
	size_t *results = arena_array(arena, count + 1, sizeof(*results));

	redis_batch_init(&batch, redis_handle_of(queue)->server);
	for (size_t i = 0; i < count; i++) {
		/* of RQ 2 a job that is worked on is ID:EXECUTION */
		const char *id = library_text(ids, i);

		items[i].id = arena_bytes(arena, id, strcspn(id, ":"));
		jobs[i] = redis_batch_ask(&batch, "HMGET",
		    arena_format(arena, "rq:job:%s", items[i].id), "data",
		    "exc_info", "worker_name", "enqueued_at", "description");
		results[i] = redis_batch_ask(&batch, "XREVRANGE",
		    arena_format(arena, "rq:results:%s", items[i].id), "+", "-",
		    "COUNT", "1");
	}
	int rc = redis_batch_send(queue, &batch, "look at the jobs", err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		const redisReply *job = redis_batch_reply(&batch, jobs[i]);
		const char *what = library_text(job, JOB_FIELDS - 1);
		int64_t since_ms = 0;

		items[i].error =
		    error_of(arena, job, redis_batch_reply(&batch, results[i]));
		items[i].owner = arena_text(arena, library_text(job, 2));
		items[i].attempts = -1;
		items[i].age_ms = -1;
		if (timestamp_parse(library_text(job, 3), &since_ms) == 0)
			items[i].age_ms = MAX(now_ms - since_ms, 0);
		/* the data is a pickle: what RQ says of it is for people */
		library_payload(arena, what, strlen(what), &items[i]);
	}
	redis_batch_fini(&batch);
	ret->items = items;
	ret->count = count;
	return rc;
}

/* As RQ's own requeue: whoever takes it out of the registry puts it back.
 * KEYS: the list  ARGV: the registry, ids. A job's key is made of its id, as RQ
 * itself does: it doesn't run on a cluster. */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local rows={{'ZREM',ARGV[1],'zset'},{'RPUSH',KEYS[1],'list'}}\n"
    "for i=2,#ARGV do\n"
    " local job='rq:job:'..ARGV[i]\n"
    " for _,command in ipairs({'EXISTS','HSET','HDEL','PERSIST'}) do\n"
    "  rows[#rows+1]={command,job,command=='HSET' and 'hash' or nil} end\n"
    "end\n"
    "local no=refused(rows)\n"
    "if no then return no end\n"
    "local moved={}\n"
    "for i=2,#ARGV do\n"
    " local id=ARGV[i]\n"
    " local n=redis.call('ZREM',ARGV[1],id)\n"
    " if n==1 and redis.call('EXISTS','rq:job:'..id)==1 then\n"
    "  redis.call('HSET','rq:job:'..id,'status','queued','exc_info','')\n"
    "  redis.call('HDEL','rq:job:'..id,'started_at','ended_at')\n"
    "  redis.call('PERSIST','rq:job:'..id)\n"
    "  redis.call('RPUSH',KEYS[1],id)\n"
    "  moved[i-1]=1\n"
    " else moved[i-1]=0 end\n"
    "end\n"
    "return moved\n";

static int
rq_move(struct queue *queue, const struct queue_move *move, struct arena *arena,
    struct queue_moved *ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	const struct redis_mover mover = {.script = move_script,
	    .key = library->list,
	    .arg = key_of(
	        arena, queue, move->from == PART_DEAD ? "failed" : "wip")};

	return redis_move(queue, &mover, move, arena, ret, err);
}

static const char *const schemes[] = LIBRARY_SCHEMES("rq");
static const char *const keys[] = {
    "queue", "dlq", "test", "ts", "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_rq = {
    .kind = "rq",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .open = rq_open,
    REDIS_KIND_CALLS,
    .submit = rq_submit,
    .follow = rq_follow,
    .remove = rq_remove,
    .list = rq_list,
    .move = rq_move,
};
