/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/base64.h"
#include "probes/queue/celery.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis.h"
#include "probes/queue/redis_library.h"

/*
 * Celery (kombu) on Redis: a list of envelopes for each priority (NAME, then
 * NAME\x06\x163, 6 and 9) whose oldest is at the tail. What workers have, and
 * what waits for its ETA in them, is in `unacked`, of all queues together; a
 * living worker puts it back after the visibility timeout. queues.md part 5.7.
 */
enum {
	PRIORITIES = 4,
	PAYLOAD_MAX = 2 * QUEUE_PAYLOAD_MAX,
	VISIBILITY_S = 3600, /* kombu's default */
	MS_PER_S = 1000,
	UNACKED_PARTS = 3 /* envelope, exchange, routing key */
};
static const char *const priorities[PRIORITIES] = {"",
    "\x06\x16"
    "3",
    "\x06\x16"
    "6",
    "\x06\x16"
    "9"};

struct asked {
	size_t waiting[PRIORITIES], head, unacked, some, binding, expired;
};

static const char *
key_of(struct arena *arena, const struct queue *queue, const char *what)
{
	const struct library_queue *library = queue->state;

	return arena_format(arena, "%s%s", library->ns, what);
}

static int
ask(struct redis_look *look, struct err *err)
{
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const struct library_queue *library = look->queue->state;

	(void)err;
	look->own = asked;
	for (int i = 0; i < PRIORITIES; i++)
		asked->waiting[i] = redis_batch_ask(batch, "LLEN",
		    arena_format(
		        look->arena, "%s%s", library->list, priorities[i]));
	asked->head = redis_batch_ask(batch, "LINDEX", library->list, "-1");
	asked->unacked = redis_batch_ask(
	    batch, "HLEN", key_of(look->arena, look->queue, "unacked"));
	asked->some = redis_batch_ask(batch, "HSCAN",
	    key_of(look->arena, look->queue, "unacked"), "0", "COUNT", "200");
	asked->binding = redis_batch_ask(batch, "EXISTS",
	    key_of(look->arena, look->queue,
	        arena_format(
	            look->arena, "_kombu.binding.%s", look->queue->name)));
	return 0;
}

static int
ask_expired(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;

	const struct library_queue *library = look->queue->state;

	if (redis_check_key(look->queue,
	        redis_batch_reply(look->batch, asked->waiting[0]),
	        library->list, "list", err) == -1)
		return -1;
	int64_t visibility_ms = (int64_t)VISIBILITY_S * MS_PER_S;
	const char *idle = queue_option(look->queue, "idle");

	if (idle != NULL && text_duration_ms(idle, &visibility_ms, err) == -1)
		return err_wrap(err, "'idle'");
	asked->expired = redis_batch_ask(look->batch, "ZCOUNT",
	    key_of(look->arena, look->queue, "unacked_index"), "-inf",
	    arena_format(look->arena, "%" PRId64,
	        (look->server->now_ms - visibility_ms) / MS_PER_S));
	return 0;
}

bool
celery_is_of(const cJSON *entry, const char *queue)
{
	const cJSON *key = cJSON_GetArrayItem(entry, UNACKED_PARTS - 1);

	return cJSON_IsString(key) && text_equal(key->valuestring, queue);
}

static bool
is_of(const char *text, const char *queue)
{
	cJSON *entry = cJSON_Parse(text);
	bool is = celery_is_of(entry, queue);

	cJSON_Delete(entry);
	return is;
}

static void
read_unacked(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const redisReply *scan = redis_batch_reply(look->batch, asked->some);
	struct queue_number total = redis_number(look, asked->unacked);
	struct queue_number expired = redis_number(look, asked->expired);
	int64_t mine = 0;
	int64_t seen = 0;

	if (library_count(scan) == 2) {
		const redisReply *pairs = scan->element[1];

		for (size_t i = 1; i < library_count(pairs); i += 2, seen++)
			mine +=
			    is_of(library_text(pairs, i), look->queue->name);
	}
	state->active = library_share(mine, seen, &total);
	/* unless task_acks_late is set, a task is acknowledged as it begins */
	if (state->active.know == KNOW_EXACT)
		state->active.know = KNOW_AT_LEAST;
	state->lease_expired =
	    redis_positive(&expired)
	        ? queue_unknown("of all queues together some are older than "
	                        "the visibility timeout ('idle'; an hour)")
	        : expired;
}

/* Celery's workers take from all their queues with one BRPOP of a second: one
 * that isn't seen waiting may be between two, or at work. */
static void
read_workers(struct redis_look *look)
{
	const struct library_queue *library = look->queue->state;
	const struct redis_clients *clients = &look->server->clients;

	for (size_t i = 0; clients->why == NULL && i < clients->count; i++) {
		const struct redis_client *client = &clients->list[i];

		if (!text_equal(client->command, "brpop") ||
		    client->db != look->server->db ||
		    !redis_client_may_wait(client, library->list))
			continue;
		const struct queue_consumer consumer = {
		    .id = arena_text(look->arena, client->name),
		    .address = arena_text(look->arena, client->address),
		    .reads = "",
		    .worker = "",
		    .pid = client->pid,
		    .proof = PROOF_CONNECTED | (redis_client_blocked(client)
		                                       ? (unsigned)PROOF_WAITS
		                                       : 0U)};

		library_consumer(look, &consumer);
	}
	look->state->consumers =
	    queue_unknown("Celery's workers don't say in Redis what they read: "
	                  "`celery inspect active_queues` asks them");
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	struct queue_number binding = redis_number(look, asked->binding);
	const char *head = redis_text(look, asked->head);

	(void)err;
	state->waiting = redis_number(look, asked->waiting[0]);
	for (int i = 1; i < PRIORITIES; i++) {
		struct queue_number more =
		    redis_number(look, asked->waiting[i]);

		if (more.know == KNOW_EXACT)
			state->waiting.value += more.value;
		else
			state->waiting = more;
	}
	state->delayed = queue_unknown(
	    "a task with an ETA is in the worker that will run it");
	state->failed = queue_inapplicable();
	state->dead = queue_inapplicable();
	state->completed = queue_inapplicable();
	state->dead_kept = redis_flag(
	    look, HOLDS_NO, "Celery keeps no failed task, only its result");
	state->lease_missing = queue_inapplicable();
	state->attempts_max = queue_inapplicable();
	state->oldest_ms = queue_unknown(
	    head == NULL ? "nothing waits" : "Celery keeps no time of a task");
	if (head != NULL)
		state->head = head;
	state->exists =
	    redis_positive(&binding) || redis_positive(&state->waiting)
	        ? EXISTS_YES
	        : EXISTS_EMPTY_OR_NOT;
	read_unacked(look);
	read_workers(look);
	return 0;
}

static redis_round_fn *const rounds[] = {ask, ask_expired, read_all, NULL};

static int
celery_open(struct queue *queue, struct err *err)
{
	static const struct redis_key_type types[] = {{"#", "list"},
	    {"unacked", "hash"}, {"unacked_index", "zset"},
	    {"_kombu.binding.#", "set"}, {NULL, NULL}};
	const char *prefix = queue_option(queue, "keyprefix");

	if (prefix == NULL)
		prefix = "";
	return library_open(queue,
	    &(struct library_layout){
	        .ns = prefix, .prefix = prefix, .types = types, .base = prefix},
	    rounds, err);
}

/* --- a canary ------------------------------------------------------------ */

static const char *
base64(struct arena *arena, const char *text)
{
	struct buffer out;

	buffer_init(&out, PAYLOAD_MAX);
	base64_encode(&out, text, strlen(text));
	const char *copy = arena_bytes(arena, out.data, out.len);

	buffer_wipe(&out);
	return copy;
}

/* The envelope that kombu writes; a message that lacks one of these crashes a
 * worker. The payload is {"task","args"}; with none it is Celery's own task
 * `celery.accumulate`, which every worker has. */
static const char *
envelope(struct arena *arena, const struct queue *queue,
    const struct queue_submission *job)
{
	const char *text = arena_bytes(arena, job->payload, job->len);
	cJSON *json = library_json(text);
	const cJSON *task = cJSON_GetObjectItemCaseSensitive(json, "task");
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(json, "args");
	char *args =
	    cJSON_IsArray(given) ? cJSON_PrintUnformatted(given) : NULL;
	const char *body = arena_format(arena,
	    "[%s,{},{\"callbacks\":null,\"errbacks\":null,\"chain\":null,"
	    "\"chord\":null}]",
	    args != NULL ? args : "[]");
	struct buffer made;
	struct jsonw out;

	buffer_init(&made, PAYLOAD_MAX);
	jsonw_init(&out, &made, false);
	jsonw_object(&out, NULL);
	jsonw_text(&out, "body", base64(arena, body));
	jsonw_text(&out, "content-encoding", "utf-8");
	jsonw_text(&out, "content-type", "application/json");
	jsonw_object(&out, "headers");
	jsonw_text(&out, "lang", "py");
	jsonw_text(&out, "task",
	    cJSON_IsString(task) ? task->valuestring : "celery.accumulate");
	jsonw_text(&out, "id", job->canary);
	jsonw_text(&out, "root_id", job->canary);
	jsonw_null(&out, "parent_id");
	jsonw_null(&out, "group");
	jsonw_null(&out, "eta");
	jsonw_null(&out, "expires");
	jsonw_i64(&out, "retries", 0);
	jsonw_text(&out, "origin", "reeve");
	jsonw_raw(&out, "timelimit", "[null,null]");
	jsonw_text(&out, "argsrepr", "()");
	jsonw_text(&out, "kwargsrepr", "{}");
	jsonw_end(&out);
	jsonw_object(&out, "properties");
	jsonw_text(&out, "correlation_id", job->canary);
	jsonw_text(&out, "reply_to", job->canary);
	jsonw_i64(&out, "delivery_mode", 2);
	jsonw_object(&out, "delivery_info");
	jsonw_text(&out, "exchange", "");
	jsonw_text(&out, "routing_key", queue->name);
	jsonw_end(&out);
	jsonw_i64(&out, "priority", 0);
	jsonw_text(&out, "body_encoding", "base64");
	jsonw_text(&out, "delivery_tag", job->canary);
	jsonw_end(&out);
	jsonw_end(&out);
	text = made.overflow ? NULL : arena_bytes(arena, made.data, made.len);
	cJSON_free(args);
	cJSON_Delete(json);
	buffer_wipe(&made);
	return text;
}

/* The receipt is the message itself, byte for byte. */
static int
celery_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	const char *text = envelope(arena, queue, job);

	if (text == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_CAPACITY,
		    "the message is too long");
	if (redis_ask(queue, "put a job in", &reply, err, "LPUSH",
	        library->list, text) == -1)
		return -1;
	*ret_receipt = text;
	return 0;
}

static int
celery_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	CLEANUP(redis_reply_free) redisReply *result = NULL;
	CLEANUP(redis_reply_free) redisReply *taken = NULL;
	bool waits = false;

	if (redis_ask(queue, "look for the result", &result, err, "GET",
	        key_of(arena, queue,
	            arena_format(arena, "celery-task-meta-%s", job->canary))) ==
	        -1 ||
	    redis_ask(queue, "look for the job", &taken, err, "HEXISTS",
	        key_of(arena, queue, "unacked"), job->canary) == -1 ||
	    library_find(queue, job->receipt, &waits, err) == -1)
		return -1;
	cJSON *json = result->type == REDIS_REPLY_STRING
	                  ? library_json(result->str)
	                  : NULL;
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(json, "status");

	if (cJSON_IsString(status)) {
		ret->done = text_equal(status->valuestring, "SUCCESS");
		ret->place = text_equal(status->valuestring, "FAILURE")
		                 ? PLACE_DEAD
		             : ret->done ? PLACE_GONE
		                         : PLACE_TAKEN;
		ret->detail = arena_format(
		    arena, "its result is %s", status->valuestring);
	} else if (waits) {
		ret->place = PLACE_VISIBLE;
		ret->detail = "in the list";
	} else if (taken->integer == 1) {
		ret->place = PLACE_TAKEN;
		ret->detail = "a worker has it";
	} else {
		ret->place = PLACE_GONE;
		ret->detail = "taken; without a result backend here Celery "
		              "doesn't record how a task ended";
	}
	cJSON_Delete(json);
	return 0;
}

static int
celery_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	return library_take_out(queue, job->receipt, ret_removed, err);
}

static int
unacked_keys(struct queue *queue, struct arena *arena, struct celery_keys *ret,
    struct err *err)
{
	const char *idle = queue_option(queue, "idle");
	int64_t ms = (int64_t)VISIBILITY_S * MS_PER_S;

	if (idle != NULL && text_duration_ms(idle, &ms, err) == -1)
		return err_wrap(err, "'idle'");
	*ret = (struct celery_keys){key_of(arena, queue, "unacked"),
	    key_of(arena, queue, "unacked_index"), ms / MS_PER_S};
	return 0;
}

static int
celery_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	struct celery_keys unacked;

	if (move->from != PART_EXPIRED)
		return err_set(
		    err, ERR_UNSUPPORTED, "Celery keeps no failed task");
	if (unacked_keys(queue, arena, &unacked, err) == -1)
		return -1;
	return celery_move_unacked(queue, &unacked, move, arena, ret, err);
}

static int
celery_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	struct queue_state state = {.head = ""};
	struct celery_keys unacked;
	const struct library_peek peek = {
	    library->list, part == PART_WAITING, &state.waiting, limit};

	if (part == PART_ACTIVE || part == PART_EXPIRED)
		return unacked_keys(queue, arena, &unacked, err) == -1
		           ? -1
		           : celery_list_unacked(queue, &unacked,
		                 &(struct celery_page){
		                     limit, part == PART_EXPIRED},
		                 arena, ret, err);
	if (part != PART_WAITING && part != PART_NEWEST)
		return err_set(err, ERR_UNSUPPORTED,
		    "Celery keeps no failed task, and what waits for its time "
		    "is in the worker that will run it");
	if (redis_kind_observe(queue, arena, &state, err) == -1)
		return -1;
	return library_peek(queue, &peek, arena, ret, err);
}

static const char *const schemes[] = LIBRARY_SCHEMES("celery");
static const char *const keys[] = {"queue", "keyprefix", "idle", "dlq", "test",
    "ts", "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_celery = {
    .kind = "celery",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .open = celery_open,
    REDIS_KIND_CALLS,
    .submit = celery_submit,
    .follow = celery_follow,
    .remove = celery_remove,
    .list = celery_list,
    .newest = NEWEST_WAITING,
    .move = celery_move,
};
