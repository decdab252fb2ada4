/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/resque.h"

/*
 * Resque on Redis: `resque:queue:NAME` is a list of JSON {"class","args"} whose
 * oldest is at the head; workers poll it. `resque:failed` and the schedule are
 * shared by all queues. It keeps no times of a job and no leases. queues.md
 * part 5.9.
 */
enum {
	WORKERS_MAX = 100,
	PAYLOAD_MAX = 2 * QUEUE_PAYLOAD_MAX
};

struct asked {
	size_t waiting, known, head, workers, failed, some_failed, scheduled;
	size_t work[WORKERS_MAX], nworkers;
	const char *names[WORKERS_MAX];
};

static const char *
key_of(struct arena *arena, const struct queue *queue, const char *what)
{
	const struct library_queue *library = queue->state;

	return arena_format(arena, "%s:%s", library->ns, what);
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
	asked->known = redis_batch_ask(
	    batch, "SISMEMBER", key_of(arena, queue, "queues"), queue->name);
	asked->head = redis_batch_ask(batch, "LINDEX", library->list, "0");
	asked->workers = redis_batch_ask(
	    batch, "SRANDMEMBER", key_of(arena, queue, "workers"), "100");
	asked->failed =
	    redis_batch_ask(batch, "LLEN", key_of(arena, queue, "failed"));
	asked->some_failed = redis_batch_ask(
	    batch, "LRANGE", key_of(arena, queue, "failed"), "-200", "-1");
	asked->scheduled = redis_batch_ask(
	    batch, "ZCARD", key_of(arena, queue, "delayed_queue_schedule"));
	return 0;
}

/* HOST:PID:QUEUES (or HOST:PID+THREAD:QUEUES); "*" is all of them. */
static bool
reads(const char *worker, const char *queue)
{
	const char *names = strrchr(worker, ':');
	size_t len = strlen(queue);

	if (names == NULL)
		return false;
	for (names++; *names != '\0'; names += *names == ',') {
		size_t one = strcspn(names, ",");

		if ((one == 1 && *names == '*') ||
		    (one == len && strncmp(names, queue, len) == 0))
			return true;
		names += one;
	}
	return false;
}

static int
ask_workers(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;
	struct redis_batch *batch = look->batch;
	const redisReply *names = redis_batch_reply(batch, asked->workers);

	const struct library_queue *library = look->queue->state;

	if (redis_check_key(look->queue,
	        redis_batch_reply(batch, asked->waiting), library->list, "list",
	        err) == -1)
		return -1;
	for (size_t i = 0; i < library_count(names) && i < WORKERS_MAX; i++) {
		const char *name =
		    arena_text(look->arena, library_text(names, i));

		asked->names[asked->nworkers] = name;
		asked->work[asked->nworkers++] = redis_batch_ask(batch, "GET",
		    key_of(look->arena, look->queue,
		        arena_format(look->arena, "worker:%s", name)));
	}
	return 0;
}

static void
read_workers(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const char *queue = look->queue->name;
	int64_t listed = 0;
	int64_t busy = 0;

	for (size_t i = 0; i < asked->nworkers; i++) {
		const char *job = redis_text(look, asked->work[i]);
		bool works = job != NULL && library_is_of(job, queue);

		busy += works;
		if (!reads(asked->names[i], queue))
			continue;
		listed++;
		const struct queue_consumer consumer = {.id = asked->names[i],
		    .address = "",
		    .reads = queue,
		    .worker = "",
		    .pid = -1,
		    .proof = works ? (unsigned)PROOF_HOLDS_LEASE : 0U};

		library_consumer(look, &consumer);
	}
	/* one that was killed stays in the set until another prunes it */
	if (listed == 0 && asked->nworkers < WORKERS_MAX)
		state->consumers = queue_exact(0);
	else
		state->consumers =
		    queue_unknown("the workers that are listed may be dead: "
		                  "Resque doesn't say");
	state->active = (struct queue_number){busy,
	    asked->nworkers < WORKERS_MAX ? KNOW_EXACT : KNOW_AT_LEAST, NULL};
}

/* A failed job of this queue that nobody has retried: those stay, marked. */
static bool
is_open(const char *text, const char *queue)
{
	cJSON *job = library_json(text);
	bool retried =
	    cJSON_IsString(cJSON_GetObjectItemCaseSensitive(job, "retried_at"));

	cJSON_Delete(job);
	return !retried && library_is_of(text, queue);
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *some =
	    redis_batch_reply(look->batch, asked->some_failed);
	struct queue_number failed = redis_number(look, asked->failed);
	struct queue_number scheduled = redis_number(look, asked->scheduled);
	struct queue_number known = redis_number(look, asked->known);
	const char *head = redis_text(look, asked->head);
	int64_t mine = 0;

	(void)err;
	for (size_t i = 0; i < library_count(some); i++)
		mine += is_open(library_text(some, i), look->queue->name);
	state->waiting = redis_number(look, asked->waiting);
	state->failed =
	    library_share(mine, (int64_t)library_count(some), &failed);
	state->delayed =
	    redis_positive(&scheduled)
	        ? queue_unknown("the schedule is one of all queues")
	        : scheduled;
	state->dead = queue_inapplicable();
	state->completed = queue_inapplicable();
	state->dead_kept = redis_flag(
	    look, HOLDS_YES, "jobs that fail are kept in the list 'failed'");
	state->lease_expired = queue_inapplicable();
	state->lease_missing = queue_inapplicable();
	state->attempts_max = queue_inapplicable();
	state->oldest_ms = queue_unknown(
	    head == NULL ? "nothing waits" : "Resque keeps no time of a job");
	if (head != NULL)
		state->head = head;
	state->exists =
	    redis_positive(&known) || redis_positive(&state->waiting)
	        ? EXISTS_YES
	        : EXISTS_EMPTY_OR_NOT;
	read_workers(look);
	return 0;
}

static redis_round_fn *const rounds[] = {ask, ask_workers, read_all, NULL};

static int
resque_open(struct queue *queue, struct err *err)
{
	const char *ns = queue_option(queue, "ns");

	static const struct redis_key_type types[] = {{"queue:#", "list"},
	    {"failed", "list"}, {"delayed_queue_schedule", "zset"},
	    {"queues", "set"}, {"workers", "set"}, {NULL, NULL}};

	if (ns == NULL)
		ns = "resque";
	return library_open(queue,
	    &(struct library_layout){.ns = ns,
	        .prefix = arena_format(&queue->arena, "%s:queue:", ns),
	        .infix = ":queue:",
	        .index = arena_format(&queue->arena, "%s:queues", ns),
	        .types = types,
	        .base = arena_format(&queue->arena, "%s:", ns)},
	    rounds, err);
}

/* --- a canary ------------------------------------------------------------ */

/* The payload is the job {"class","args"}; what is no such object becomes the
 * argument of a class that nobody has: then it is seen to be taken, and fails.
 */
static const char *
job_of(struct arena *arena, const struct queue_submission *job)
{
	const char *text = arena_bytes(arena, job->payload, job->len);
	cJSON *json = library_json(text);
	bool whole =
	    cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "class"));
	struct buffer made;
	struct jsonw out;

	cJSON_Delete(json);
	if (whole)
		return text;
	buffer_init(&made, PAYLOAD_MAX);
	jsonw_init(&out, &made, false);
	jsonw_object(&out, NULL);
	jsonw_text(&out, "class", "ReeveCanary");
	jsonw_array(&out, "args");
	jsonw_bytes(&out, NULL, job->payload, job->len);
	jsonw_end(&out);
	jsonw_end(&out);
	text = made.overflow ? NULL : arena_bytes(arena, made.data, made.len);
	buffer_wipe(&made);
	return text;
}

/* The receipt is the job itself, byte for byte. */
static int
resque_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *known = NULL;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *text = job_of(arena, job);

	if (text == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_CAPACITY,
		    "the job is too long");
	if (redis_ask(queue, "put a job in", &known, err, "SADD",
	        key_of(arena, queue, "queues"), queue->name) == -1 ||
	    redis_ask(queue, "put a job in", &reply, err, "RPUSH",
	        library->list, text) == -1)
		return -1;
	*ret_receipt = text;
	return 0;
}

static int
resque_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *workers = NULL;
	bool waits = false;

	if (library_find(queue, job->receipt, &waits, err) == -1 ||
	    redis_ask(queue, "look for the job", &workers, err, "SRANDMEMBER",
	        key_of(arena, queue, "workers"), "100") == -1)
		return -1;
	ret->place = waits ? PLACE_VISIBLE : PLACE_GONE;
	ret->detail = waits ? "in the list"
	                    : "taken; Resque doesn't record how a job ended";
	for (size_t i = 0; !waits && i < library_count(workers); i++) {
		CLEANUP(redis_reply_free) redisReply *work = NULL;
		const char *name = library_text(workers, i);

		if (redis_ask(queue, "look for the job", &work, err, "GET",
		        key_of(arena, queue,
		            arena_format(arena, "worker:%s", name))) == -1)
			return -1;
		if (work->type == REDIS_REPLY_STRING &&
		    strstr(work->str, job->canary) != NULL) {
			ret->place = PLACE_TAKEN;
			ret->by = arena_text(arena, name);
			ret->detail = "a worker has it";
		}
	}
	return 0;
}

static int
resque_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	return library_take_out(queue, job->receipt, ret_removed, err);
}

static struct resque_failed
failed_keys(struct arena *arena, const struct queue *queue)
{
	return (struct resque_failed){
	    key_of(arena, queue, "failed"), key_of(arena, queue, "queues")};
}

static int
resque_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	const struct resque_failed failed = failed_keys(arena, queue);
	struct queue_state state = {.head = ""};
	const struct library_peek peek = {
	    library->list, part == PART_NEWEST, &state.waiting, limit};

	if (part == PART_DEAD)
		return resque_list_failed(
		    queue, &failed, limit, arena, ret, err);
	if (part != PART_WAITING && part != PART_NEWEST)
		return err_set(err, ERR_UNSUPPORTED,
		    "Resque shows what waits, and what failed");
	if (redis_kind_observe(queue, arena, &state, err) == -1)
		return -1;
	return library_peek(queue, &peek, arena, ret, err);
}

static int
resque_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct resque_failed failed = failed_keys(arena, queue);

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "Resque has no leases to reclaim: a job whose worker is "
		    "killed is marked as failed by the next one that starts");
	return resque_move_failed(queue, &failed, move, arena, ret, err);
}

static const char *const schemes[] = LIBRARY_SCHEMES("resque");
static const char *const keys[] = {"queue", "ns", "dlq", "test", "ts", "tz",
    "timeout", "budget", "pass", NULL};

const struct queue_driver queue_resque = {
    .kind = "resque",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .open = resque_open,
    REDIS_KIND_CALLS,
    .submit = resque_submit,
    .follow = resque_follow,
    .remove = resque_remove,
    .list = resque_list,
    .newest = NEWEST_WAITING,
    .move = resque_move,
};
