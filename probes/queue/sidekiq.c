/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/drivers.h"
#include "probes/queue/redis_library.h"
#include "probes/queue/redis_script.h"
#include "probes/queue/timestamp.h"

/*
 * Sidekiq (5 to 8) on Redis: `queue:NAME` is a list of JSON whose oldest is at
 * the tail; `schedule`, `retry` and `dead` are sets that all queues share, so
 * that a queue's own part of them is counted among the first 200 members.
 * queues.md part 5.8.
 */
enum {
	PROCESSES_MAX = 100,
	PAYLOAD_MAX = 2 * QUEUE_PAYLOAD_MAX,
	MS_PER_S = 1000,
	DEAD_LOOKED_AT = 10000
};
static const int64_t SILENT_MS = 60000; /* a process beats every 10 s */
static const char SOME[] = "199";       /* the last of LIBRARY_SOME */

/* The sets of all queues together. */
enum set {
	SET_SCHEDULE,
	SET_RETRY,
	SET_DEAD,
	SETS
};
static const char *const sets[SETS] = {"schedule", "retry", "dead"};

struct asked {
	size_t waiting, known, oldest, processes;
	size_t totals[SETS], some[SETS];
	size_t process[PROCESSES_MAX], work[PROCESSES_MAX],
	    workers[PROCESSES_MAX], nprocesses;
	const char *names[PROCESSES_MAX];
};

static int
ask(struct redis_look *look, struct err *err)
{
	struct asked *asked = arena_alloc(look->arena, sizeof(*asked));
	struct redis_batch *batch = look->batch;
	const struct library_queue *library = look->queue->state;

	(void)err;
	*asked = (struct asked){.nprocesses = 0};
	look->own = asked;
	asked->waiting = redis_batch_ask(batch, "LLEN", library->list);
	asked->known =
	    redis_batch_ask(batch, "SISMEMBER", "queues", look->queue->name);
	asked->oldest = redis_batch_ask(batch, "LINDEX", library->list, "-1");
	asked->processes =
	    redis_batch_ask(batch, "SRANDMEMBER", "processes", "100");
	for (int i = 0; i < SETS; i++) {
		asked->totals[i] = redis_batch_ask(batch, "ZCARD", sets[i]);
		asked->some[i] =
		    redis_batch_ask(batch, "ZRANGE", sets[i], "0", SOME);
	}
	return 0;
}

static int
ask_processes(struct redis_look *look, struct err *err)
{
	struct asked *asked = look->own;
	struct redis_batch *batch = look->batch;
	const redisReply *names = redis_batch_reply(batch, asked->processes);

	const struct library_queue *library = look->queue->state;

	if (redis_check_key(look->queue,
	        redis_batch_reply(batch, asked->waiting), library->list, "list",
	        err) == -1)
		return -1;
	for (size_t i = 0; i < library_count(names) && i < PROCESSES_MAX; i++) {
		const char *name =
		    arena_text(look->arena, library_text(names, i));
		size_t at = asked->nprocesses++;

		asked->names[at] = name;
		asked->process[at] =
		    redis_batch_ask(batch, "HMGET", name, "info", "beat");
		/* what it works on: its name differs between 6 and 7 */
		asked->work[at] = redis_batch_ask(
		    batch, "HVALS", arena_format(look->arena, "%s:work", name));
		asked->workers[at] = redis_batch_ask(batch, "HVALS",
		    arena_format(look->arena, "%s:workers", name));
	}
	return 0;
}

/* --- counts -------------------------------------------------------------- */

static struct queue_number
share_of(struct redis_look *look, enum set set)
{
	const struct asked *asked = look->own;
	const redisReply *some =
	    redis_batch_reply(look->batch, asked->some[set]);
	struct queue_number total = redis_number(look, asked->totals[set]);
	int64_t mine = 0;

	for (size_t i = 0; i < library_count(some); i++)
		mine += library_is_of(library_text(some, i), look->queue->name);
	return library_share(mine, (int64_t)library_count(some), &total);
}

static struct queue_number
sum_of(struct queue_number a, struct queue_number b)
{
	if (a.know == KNOW_UNKNOWN || b.know == KNOW_UNKNOWN)
		return a.know == KNOW_UNKNOWN ? a : b;
	a.value += b.value;
	if (b.know == KNOW_AT_LEAST)
		a.know = KNOW_AT_LEAST;
	return a;
}

/* Whether a process takes from this queue: its `info` lists them. */
static bool
reads(const char *info, const char *queue)
{
	cJSON *json = library_json(info);
	const cJSON *item = NULL;
	bool found = false;

	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(json, "queues"))
	{
		found = found || (cJSON_IsString(item) &&
		                     text_equal(item->valuestring, queue));
	}
	cJSON_Delete(json);
	return found;
}

static int64_t
works_on(struct redis_look *look, size_t at)
{
	const struct asked *asked = look->own;
	const size_t hashes[] = {asked->work[at], asked->workers[at]};
	int64_t count = 0;

	for (size_t h = 0; h < ARRAY_LEN(hashes); h++) {
		const redisReply *values =
		    redis_batch_reply(look->batch, hashes[h]);

		for (size_t i = 0; i < library_count(values); i++)
			count += library_is_of(
			    library_text(values, i), look->queue->name);
	}
	return count;
}

static void
read_processes(struct redis_look *look)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	int64_t live = 0;
	int64_t busy = 0;

	for (size_t i = 0; i < asked->nprocesses; i++) {
		const redisReply *process =
		    redis_batch_reply(look->batch, asked->process[i]);
		double beat = strtod(library_text(process, 1), NULL);
		int64_t working = works_on(look, i);

		busy += working;
		/* a dead one stays listed until another prunes it */
		if (beat <= 0 ||
		    look->server->now_ms - (int64_t)(beat * MS_PER_S) >
		        SILENT_MS ||
		    !reads(library_text(process, 0), look->queue->name))
			continue;
		live++;
		const struct queue_consumer consumer = {.id = asked->names[i],
		    .address = "",
		    .reads = look->queue->name,
		    .worker = "",
		    .pid = -1,
		    .proof = PROOF_HEARTBEAT |
		             (working > 0 ? (unsigned)PROOF_HOLDS_LEASE : 0U)};

		library_consumer(look, &consumer);
	}
	enum know know =
	    asked->nprocesses < PROCESSES_MAX ? KNOW_EXACT : KNOW_AT_LEAST;

	state->consumers = (struct queue_number){live, know, NULL};
	state->active = (struct queue_number){busy, know, NULL};
}

/* Seconds with a fraction up to Sidekiq 7, whole milliseconds from 8 on. */
static int64_t
enqueued_ms(const char *text)
{
	cJSON *job = library_json(text);
	const cJSON *at = cJSON_GetObjectItemCaseSensitive(job, "enqueued_at");
	int64_t ms =
	    cJSON_IsNumber(at) ? timestamp_of_number(at->valuedouble) : -1;

	cJSON_Delete(job);
	return ms;
}

static int
read_all(struct redis_look *look, struct err *err)
{
	const struct asked *asked = look->own;
	struct queue_state *state = look->state;
	const char *oldest = redis_text(look, asked->oldest);
	struct queue_number known = redis_number(look, asked->known);

	(void)err;
	state->waiting = redis_number(look, asked->waiting);
	state->delayed =
	    sum_of(share_of(look, SET_SCHEDULE), share_of(look, SET_RETRY));
	state->failed = queue_inapplicable();
	state->dead = share_of(look, SET_DEAD);
	state->completed = queue_inapplicable(); /* counted for all queues */
	state->dead_kept = redis_flag(
	    look, HOLDS_YES, "jobs that fail for good go to the set 'dead'");
	state->lease_expired = queue_inapplicable();
	state->lease_missing = queue_inapplicable();
	state->attempts_max = queue_inapplicable();
	state->exists =
	    redis_positive(&known) || redis_positive(&state->waiting)
	        ? EXISTS_YES
	        : EXISTS_EMPTY_OR_NOT;
	int64_t since_ms = oldest == NULL ? -1 : enqueued_ms(oldest);

	state->oldest_ms =
	    since_ms >= 0
	        ? queue_exact(MAX(look->server->now_ms - since_ms, 0))
	        : queue_unknown(oldest == NULL ? "nothing waits"
	                                       : "the oldest job has no time");
	if (oldest != NULL)
		state->head = oldest;
	read_processes(look);
	return 0;
}

static redis_round_fn *const rounds[] = {ask, ask_processes, read_all, NULL};

static int
sidekiq_open(struct queue *queue, struct err *err)
{
	static const struct redis_key_type types[] = {{"queue:#", "list"},
	    {"schedule", "zset"}, {"retry", "zset"}, {"dead", "zset"},
	    {"queues", "set"}, {"processes", "set"}, {NULL, NULL}};

	return library_open(queue,
	    &(struct library_layout){.ns = "",
	        .prefix = "queue:",
	        .index = "queues",
	        .base = "",
	        .types = types},
	    rounds, err);
}

/* --- a canary ------------------------------------------------------------ */

/* The payload is the job, with its class; what Sidekiq itself adds is added
 * where it is absent. What is no such object becomes the argument of a class
 * that nobody has: then it is seen to be taken, and fails. */
static const char *
job_of(struct arena *arena, const struct queue *queue,
    const struct queue_submission *job, int64_t now_ms)
{
	cJSON *json = library_json(arena_bytes(arena, job->payload, job->len));
	struct buffer text;
	struct jsonw out;
	const cJSON *item = NULL;

	buffer_init(&text, PAYLOAD_MAX);
	jsonw_init(&out, &text, false);
	jsonw_object(&out, NULL);
	jsonw_text(&out, "class",
	    cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "class"))
	        ? cJSON_GetObjectItemCaseSensitive(json, "class")->valuestring
	        : "ReeveCanary");
	jsonw_text(&out, "queue", queue->name);
	jsonw_text(&out, "jid", job->canary);
	jsonw_bool(&out, "retry", false);
	jsonw_double(&out, "created_at", (double)now_ms / MS_PER_S);
	jsonw_double(&out, "enqueued_at", (double)now_ms / MS_PER_S);
	item = cJSON_GetObjectItemCaseSensitive(json, "args");
	char *args = cJSON_IsArray(item) ? cJSON_PrintUnformatted(item) : NULL;

	if (args != NULL) {
		jsonw_raw(&out, "args", args);
	} else {
		jsonw_array(&out, "args");
		jsonw_bytes(&out, NULL, job->payload, job->len);
		jsonw_end(&out);
	}
	jsonw_end(&out);
	const char *copy =
	    text.overflow ? NULL : arena_bytes(arena, text.data, text.len);

	cJSON_free(args);
	cJSON_Delete(json);
	buffer_wipe(&text);
	return copy;
}

/* The receipt is the job itself, byte for byte. */
static int
sidekiq_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *known = NULL;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	int64_t now_ms = 0;

	if (library_now(queue, &now_ms, err) == -1)
		return -1;
	const char *text = job_of(arena, queue, job, now_ms);

	if (text == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_CAPACITY,
		    "the job is too long");
	if (redis_ask(queue, "put a job in", &known, err, "SADD", "queues",
	        queue->name) == -1 ||
	    redis_ask(queue, "put a job in", &reply, err, "LPUSH",
	        library->list, text) == -1)
		return -1;
	*ret_receipt = text;
	return 0;
}

/* Whether a process works on the job of this id. */
static int
is_worked_on(struct queue *queue, struct arena *arena, const char *jid,
    const char **ret_by, struct err *err)
{
	static const char *const hashes[] = {"work", "workers"};
	CLEANUP(redis_reply_free) redisReply *names = NULL;

	*ret_by = NULL;
	if (redis_ask(queue, "look for the job", &names, err, "SRANDMEMBER",
	        "processes", "100") == -1)
		return -1;
	for (size_t i = 0; i < library_count(names); i++) {
		for (size_t h = 0; h < ARRAY_LEN(hashes); h++) {
			CLEANUP(redis_reply_free) redisReply *jobs = NULL;
			const char *name = library_text(names, i);

			if (redis_ask(queue, "look for the job", &jobs, err,
			        "HVALS",
			        arena_format(
			            arena, "%s:%s", name, hashes[h])) == -1)
				return -1;
			for (size_t k = 0; k < library_count(jobs); k++)
				if (strstr(library_text(jobs, k), jid) != NULL)
					*ret_by = arena_text(arena, name);
		}
	}
	return 0;
}

static int
sidekiq_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	bool waits = false;
	const char *by = NULL;

	if (library_find(queue, job->receipt, &waits, err) == -1 ||
	    is_worked_on(queue, arena, job->canary, &by, err) == -1)
		return -1;
	if (by != NULL) {
		ret->place = PLACE_TAKEN;
		ret->by = by;
		ret->detail = "a process works on it";
	} else if (waits) {
		ret->place = PLACE_VISIBLE;
		ret->detail = "in the list";
	} else {
		ret->place = PLACE_GONE;
		ret->detail = "taken; Sidekiq doesn't record how a job ended";
	}
	return 0;
}

static int
sidekiq_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	return library_take_out(queue, job->receipt, ret_removed, err);
}

/* --- jobs as people look at them, and moved back ---------------------------
 */

static struct queue_item
item_of(struct arena *arena, const redisReply *reply, int64_t now_ms)
{
	struct queue_item item = {.id = "",
	    .error = "",
	    .owner = "",
	    .payload = "",
	    .payload_whole = -1,
	    .age_ms = -1,
	    .attempts = -1};
	int64_t since_ms = enqueued_ms(reply->str);
	cJSON *job = library_json(reply->str);
	const cJSON *jid = cJSON_GetObjectItemCaseSensitive(job, "jid");
	const cJSON *error =
	    cJSON_GetObjectItemCaseSensitive(job, "error_message");
	const cJSON *tried =
	    cJSON_GetObjectItemCaseSensitive(job, "retry_count");

	if (cJSON_IsString(jid))
		item.id = arena_text(arena, jid->valuestring);
	if (cJSON_IsString(error))
		item.error = arena_text(arena, error->valuestring);
	if (cJSON_IsNumber(tried)) /* 0 is the first try again */
		item.attempts = (int64_t)tried->valuedouble + 1;
	if (since_ms >= 0)
		item.age_ms = MAX(now_ms - since_ms, 0);
	library_payload(arena, reply->str, (size_t)reply->len, &item);
	cJSON_Delete(job);
	return item;
}

static int
sidekiq_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	CLEANUP(redis_reply_free) redisReply *some = NULL;
	struct queue_state state = {.head = ""};
	bool list = part == PART_WAITING || part == PART_NEWEST;
	int64_t now_ms = 0;

	if (part == PART_ACTIVE || part == PART_EXPIRED)
		return err_set(err, ERR_UNSUPPORTED,
		    "Sidekiq has no leases, and shows what is worked on to "
		    "its own page only");
	if (redis_kind_observe(queue, arena, &state, err) == -1 ||
	    library_now(queue, &now_ms, err) == -1)
		return -1;
	int rc =
	    part == PART_WAITING
	        ? redis_ask(queue, "look at the jobs", &some, err, "LRANGE",
	              library->list, arena_format(arena, "-%zu", limit), "-1")
	    : part == PART_NEWEST
	        ? redis_ask(queue, "look at the jobs", &some, err, "LRANGE",
	              library->list, "0", arena_format(arena, "%zu", limit - 1))
	        : redis_ask(queue, "look at the jobs", &some, err, "ZRANGE",
	              part == PART_DEAD ? "dead" : "schedule", "0",
	              arena_format(arena, "%d", DEAD_LOOKED_AT - 1));
	if (rc == -1)
		return -1;
	size_t count = library_count(some);
	struct queue_item *items =
	    arena_array(arena, limit + 1, sizeof(*items));

	for (size_t i = 0; i < count && ret->count < limit; i++) {
		/* of the list the tail is the oldest */
		const redisReply *one =
		    some->element[part == PART_WAITING ? count - 1 - i : i];

		if (one->type == REDIS_REPLY_STRING &&
		    (list || library_is_of(one->str, queue->name)))
			items[ret->count++] = item_of(arena, one, now_ms);
	}
	ret->items = items;
	ret->total = list                ? state.waiting
	             : part == PART_DEAD ? state.dead
	                                 : state.delayed;
	return 0;
}

/* Whoever takes the member out of the set puts the same bytes into the list:
 * written anew by Lua an empty list of arguments would become an object.
 * KEYS: the list  ARGV: the set, ids */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local no=refused{{'ZREM',ARGV[1],'zset'},{'LPUSH',KEYS[1],'list'}}\n"
    "if no then return no end\n"
    "local at,moved={},{}\n"
    "for i=2,#ARGV do at[ARGV[i]]=i-1 moved[i-1]=0 end\n"
    "local queue=string.sub(KEYS[1],7)\n"
    "for _,job in ipairs(redis.call('ZRANGE',ARGV[1],0,9999)) do\n"
    " local ok,o=pcall(cjson.decode,job)\n"
    " local i=ok and type(o)=='table' and at[o.jid]\n"
    " if i and moved[i]==0 and o.queue==queue and\n"
    "    redis.call('ZREM',ARGV[1],job)==1 then\n"
    "  redis.call('LPUSH',KEYS[1],job)\n"
    "  moved[i]=1\n"
    " end\n"
    "end\n"
    "return moved\n";

static int
sidekiq_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct library_queue *library = queue->state;
	const struct redis_mover mover = {
	    .script = move_script, .key = library->list, .arg = "dead"};

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "Sidekiq has no leases to reclaim: a job whose process is "
		    "killed is lost, unless super_fetch is used");
	return redis_move(queue, &mover, move, arena, ret, err);
}

static const char *const schemes[] = LIBRARY_SCHEMES("sidekiq");
static const char *const keys[] = {
    "queue", "dlq", "test", "ts", "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_sidekiq = {
    .kind = "sidekiq",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .open = sidekiq_open,
    REDIS_KIND_CALLS,
    .submit = sidekiq_submit,
    .follow = sidekiq_follow,
    .remove = sidekiq_remove,
    .list = sidekiq_list,
    .newest = NEWEST_WAITING,
    .move = sidekiq_move,
};
