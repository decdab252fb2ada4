/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/bee.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_library.h"

/* What is in a queue of Bee-Queue, and who works on it. */

enum {
	ACTIVE_MAX = 100 /* that are looked for in `stalling` */
};

struct asked {
	size_t waiting, active, delayed, succeeded, failed, id, jobs, block;
	size_t head, some_active;
	/* of the second round */
	size_t head_size, marked[ACTIVE_MAX], nmarked;
	/* of the third */
	size_t head_job;
	bool head_read; /* it is short enough to be read */
};

/* Whether a job that is tried more than once waits in between, as
 * Job#computeDelay has it: at once unless its options name another strategy,
 * of which one of the application's own knows the delay itself. */
static enum holds
backs_off(const cJSON *options)
{
	const cJSON *backoff =
	    cJSON_GetObjectItemCaseSensitive(options, "backoff");
	const char *strategy = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(backoff, "strategy"));
	int64_t retries = 0, delay_ms = 0;

	if (json_i64(options, "retries", 0, &retries, NULL) == -1 ||
	    retries <= 0)
		return HOLDS_UNKNOWN;
	if (strategy == NULL || text_equal(strategy, "immediate"))
		return HOLDS_NO;
	if (!text_equal(strategy, "fixed") &&
	    !text_equal(strategy, "exponential"))
		return HOLDS_YES;
	return json_i64(backoff, "delay", 0, &delay_ms, NULL) == 0 &&
	               delay_ms > 0
	           ? HOLDS_YES
	           : HOLDS_NO;
}

int
bee_job_read(struct arena *arena, const char *text, size_t len,
    struct bee_job *ret, struct err *err)
{
	CLEANUP(json_free) cJSON *json = json_read(text, len, err);
	const cJSON *options = NULL;
	const cJSON *traces = NULL;
	const char *trace = "";
	struct bee_job job = {.failures = -1};

	if (json == NULL || json_object(json, "options", &options, err) == -1)
		return -1;
	if (options == NULL)
		return err_set(err, ERR_INPUT, "a job without options");
	if (json_i64(options, "timestamp", -1, &job.created_ms, err) == -1 ||
	    json_array(options, "stacktraces", &traces, err) == -1)
		return -1;
	job.backs_off = backs_off(options);
	if (traces != NULL)
		job.failures = cJSON_GetArraySize(traces);
	if (traces != NULL && traces->child != NULL &&
	    json_item_text(traces->child, &trace, err) == -1)
		return -1;
	job.error =
	    arena_format(arena, "%.*s", (int)strcspn(trace, "\r\n"), trace);
	*ret = job;
	return 0;
}

/* --- rounds --------------------------------------------------------------- */

static int
ask(struct redis_look *look, struct err *err)
{
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const struct prefixed_question numbers[] = {
	    {&asked->waiting, "LLEN", "waiting"},
	    {&asked->active, "LLEN", "active"},
	    {&asked->delayed, "ZCARD", "delayed"},
	    {&asked->succeeded, "SCARD", "succeeded"},
	    {&asked->failed, "SCARD", "failed"},
	    {&asked->id, "EXISTS", "id"},
	    {&asked->jobs, "EXISTS", "jobs"},
	    {&asked->block, "PTTL", "stallBlock"},
	};

	(void)err;
	look->own = asked;
	prefixed_ask(look, numbers, ARRAY_LEN(numbers));
	asked->head = redis_batch_ask(batch, "LINDEX",
	    prefixed_key(look->queue, look->arena, "waiting"), "-1");
	asked->some_active = redis_batch_ask(batch, "LRANGE",
	    prefixed_key(look->queue, look->arena, "active"), "-100", "-1");
	return 0;
}

static int
ask_jobs(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;
	struct redis_batch *batch = look->batch;
	const char *stalling =
	    prefixed_key(look->queue, look->arena, "stalling");
	const char *head = NULL;

	/* somebody else's keys under this name are said at once */
	if (redis_check_key(look->queue,
	        redis_batch_reply(batch, asked->waiting),
	        prefixed_key(look->queue, look->arena, "waiting"), "list",
	        err) == -1)
		return -1;
	head = redis_text(look, asked->head);
	if (head != NULL) {
		look->state->head = head;
		asked->head_size = redis_batch_ask(batch, "HSTRLEN",
		    prefixed_key(look->queue, look->arena, "jobs"), head);
	}
	const redisReply *active = redis_batch_reply(batch, asked->some_active);

	for (size_t i = 0; i < MIN(library_count(active), (size_t)ACTIVE_MAX);
	     i++)
		asked->marked[asked->nmarked++] = redis_batch_ask(
		    batch, "SISMEMBER", stalling, library_text(active, i));
	return 0;
}

static int
ask_head(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;
	const char *head = look->state->head;

	(void)err;
	if (head[0] == '\0')
		return 0;
	struct queue_number size = redis_number(look, asked->head_size);

	asked->head_read = redis_positive(&size) && size.value <= BEE_WHOLE_MAX;
	if (asked->head_read)
		asked->head_job = redis_batch_ask(look->batch, "HGET",
		    prefixed_key(look->queue, look->arena, "jobs"), head);
	return 0;
}

/* --- who works on it ------------------------------------------------------ */

/*
 * Every worker has a connection whose last command is BRPOPLPUSH, for good: it
 * is blocked there, or it was and has as many jobs in hand as it may. Its
 * connections have no name. While it is blocked, argv-mem is the length of its
 * arguments, which this queue's keys decide.
 */
static bool
may_work(const struct redis_look *look, const struct redis_client *client)
{
	size_t words =
	    strlen("brpoplpush") +
	    strlen(prefixed_key(look->queue, look->arena, "waiting")) +
	    strlen(prefixed_key(look->queue, look->arena, "active")) +
	    strlen("0");

	return text_equal(client->command, "brpoplpush") &&
	       client->db == look->server->db &&
	       (!redis_client_blocked(client) || client->argv_mem < 0 ||
	           (uint64_t)client->argv_mem == words);
}

static int64_t
list_workers(struct redis_look *look)
{
	struct redis_clients *clients = &look->server->clients;
	int64_t count = 0;

	for (size_t i = 0; i < clients->count; i++) {
		if (!may_work(look, &clients->list[i]))
			continue;
		redis_clients_pids(clients, look->server->arena);
		const struct redis_client *client = &clients->list[i];
		const struct queue_consumer who = {
		    .id = arena_format(look->arena, "client %" PRId64 " %s",
		        client->id, client->command),
		    .address = arena_text(look->arena, client->address),
		    .reads = "",
		    .worker = "",
		    .pid = client->pid,
		    .proof = PROOF_CONNECTED |
		             (redis_client_blocked(client) ? PROOF_WAITS : 0U)};

		library_consumer(look, &who);
		count++;
	}
	return count;
}

/* `alive`: somebody looked for stalled jobs of this queue just now. */
static void
count_workers(struct redis_look *look, bool alive)
{
	const struct redis_seen *server = look->server;
	struct queue_state *state = look->state;
	const char *why = server->clients.why;
	int64_t count = why == NULL ? list_workers(look) : -1;

	if (text_equal(
	        redis_info(look->arena, server, "redis_mode"), "cluster"))
		why = "workers may be connected to another node";
	if (why == NULL && count == 0)
		state->consumers = queue_exact(0);
	else if (alive)
		state->consumers =
		    (struct queue_number){.value = 1, .know = KNOW_AT_LEAST};
	else if (why != NULL)
		state->consumers = queue_unknown(arena_text(look->arena, why));
	else
		state->consumers = queue_unknown(arena_format(look->arena,
		    "%" PRId64 " clients of db %" PRId64
		    " may work on it: Redis doesn't show on which queue",
		    count, server->db));
}

/* --- the last round ------------------------------------------------------- */

static void
read_head(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *reply = NULL;
	struct bee_job job = {.created_ms = -1};
	struct err err = ERR_INIT;

	state->attempts_max = (struct queue_number){.know = KNOW_AT_LEAST};
	state->oldest_ms = queue_unknown(
	    state->head[0] == '\0'
	        ? "nothing waits"
	        : "the oldest job is gone, or too long to be read");
	if (!asked->head_read)
		return;
	reply = redis_batch_reply(look->batch, asked->head_job);
	if (reply->type != REDIS_REPLY_STRING)
		return;
	if (bee_job_read(look->arena, reply->str, (size_t)reply->len, &job,
	        &err) == -1) {
		state->oldest_ms = queue_unknown(arena_format(look->arena,
		    "the oldest job is none of Bee-Queue's: %s", err.text));
		return;
	}
	state->attempts_max.value = MAX(job.failures, 0);
	if (job.backs_off != HOLDS_UNKNOWN)
		state->backs_off = redis_flag(look, job.backs_off,
		    job.backs_off == HOLDS_NO
		        ? "the job at the head has 'retries' and no 'backoff'"
		        : "the job at the head has a 'backoff'");
	state->oldest_ms =
	    job.created_ms >= 0
	        ? queue_exact(MAX(look->server->now_ms - job.created_ms, 0))
	        : queue_unknown("the oldest job has no timestamp");
}

/* What the library's next look for stalled jobs would put back. Where nobody
 * is connected who could work on it, that is all of them. */
static void
read_stalled(struct redis_look *look, bool blocked)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	int64_t marked = 0;

	state->lease_missing = queue_inapplicable();
	state->lease_expired = state->active;
	if (blocked)
		state->lease_expired = queue_exact(0);
	if (blocked || state->active.know != KNOW_EXACT ||
	    (state->consumers.know == KNOW_EXACT &&
	        state->consumers.value == 0))
		return;
	for (size_t i = 0; i < asked->nmarked; i++) {
		struct queue_number is = redis_number(look, asked->marked[i]);

		if (is.know != KNOW_EXACT) {
			state->lease_expired = is;
			return;
		}
		marked += is.value;
	}
	state->lease_expired = (struct queue_number){.value = marked,
	    .know = state->active.value <= (int64_t)asked->nmarked
	                ? KNOW_EXACT
	                : KNOW_AT_LEAST};
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	struct queue_number id = redis_number(look, asked->id);
	struct queue_number jobs = redis_number(look, asked->jobs);
	struct queue_number block = redis_number(look, asked->block);

	(void)err;
	state->engine =
	    arena_format(look->arena, "%s, bee-queue", state->engine);
	state->paused = 0; /* there is no such state: workers just close */
	state->waiting = redis_number(look, asked->waiting);
	state->active = redis_number(look, asked->active);
	state->delayed = redis_number(look, asked->delayed);
	state->failed = redis_number(look, asked->failed);
	state->completed = redis_number(look, asked->succeeded);
	state->dead = queue_inapplicable();
	state->dead_kept = redis_flag(look, HOLDS_YES,
	    "failed jobs stay in the set 'failed', but where removeOnFailure is "
	    "on");
	state->exists = redis_positive(&id) || redis_positive(&jobs) ||
	                        redis_positive(&state->waiting)
	                    ? EXISTS_YES
	                    : EXISTS_EMPTY_OR_NOT;
	count_workers(look, redis_positive(&block));
	read_head(look);
	read_stalled(look, redis_positive(&block));
	return 0;
}

static redis_round_fn *const rounds[] = {
    ask, ask_jobs, ask_head, read_all, NULL};

/* --- opening -------------------------------------------------------------- */

/* Every queue with a job has the hash; workers alone leave nothing that lasts.
 */
static const struct redis_key_type types[] = {{"waiting", "list"},
    {"active", "list"}, {"delayed", "zset"}, {"failed", "set"},
    {"succeeded", "set"}, {"stalling", "set"}, {"jobs", "hash"},
    {"id", "string"}, {NULL, NULL}};
static const struct prefixed_layout layout = {.prefix = "bq",
    .waiting = "waiting",
    .trace = "jobs",
    .scans = "hash",
    .types = types};

static int
bee_open(struct queue *queue, struct err *err)
{
	queue->state =
	    arena_alloc(&queue->arena, sizeof(struct prefixed_queue));
	return prefixed_open(queue, &layout, rounds, err);
}

static const char *const schemes[] = LIBRARY_SCHEMES("bee");
static const char *const keys[] = {"queue", "prefix", "dlq", "deadLetter",
    "test", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_bee = {
    .kind = "bee",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .open = bee_open,
    REDIS_KIND_CALLS,
    .submit = bee_submit,
    .follow = bee_follow,
    .remove = bee_remove,
    .list = bee_list,
    .newest = NEWEST_WAITING,
    .move = bee_move,
};
