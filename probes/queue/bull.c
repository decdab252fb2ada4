/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>

#include "base/text.h"
#include "probes/base64.h"
#include "probes/queue/bull.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"

/* The two drivers, and who consumes. */

/* --- opening ---------------------------------------------------------------
 */

/* What a queue of either leaves behind isn't the same. */
static const struct redis_key_type bullmq_types[] = {{"wait", "list"},
    {"active", "list"}, {"paused", "list"}, {"prioritized", "zset"},
    {"delayed", "zset"}, {"failed", "zset"}, {"completed", "zset"},
    {"meta", "hash"}, {"id", "string"}, {"events", "stream"}, {NULL, NULL}};
static const struct redis_key_type bull_types[] = {{"wait", "list"},
    {"active", "list"}, {"paused", "list"}, {"delayed", "zset"},
    {"failed", "zset"}, {"completed", "zset"}, {"id", "string"}, {NULL, NULL}};
static const struct prefixed_layout bullmq_layout = {.prefix = "bull",
    .waiting = "wait",
    .trace = "meta",
    .scans = "hash",
    .types = bullmq_types};
static const struct prefixed_layout bull_layout = {.prefix = "bull",
    .waiting = "wait",
    .trace = "id",
    .scans = "string",
    .types = bull_types};

static int
bull_open_as(struct queue *queue, bool bullmq, struct err *err)
{
	struct bull_queue *bull = arena_alloc(&queue->arena, sizeof(*bull));
	const char *job_name = queue_option(queue, "job");

	queue->state = bull;
	bull->bullmq = bullmq;
	bull->job_name = job_name != NULL ? job_name
	                 : bullmq         ? "reeve-canary"
	                                  : "__default__";
	return prefixed_open(
	    queue, bullmq ? &bullmq_layout : &bull_layout, bull_rounds, err);
}

static int
bullmq_open(struct queue *queue, struct err *err)
{
	return bull_open_as(queue, true, err);
}

static int
bull_open(struct queue *queue, struct err *err)
{
	return bull_open_as(queue, false, err);
}

/* --- who consumes ----------------------------------------------------------
 */

enum reader {
	READS_NONE,
	READS_THIS,
	READS_OTHER
};

struct census {
	struct redis_look *look;
	const char *prefix;    /* "bull:" */
	int64_t live, barred;  /* workers that read it; that may not */
	const char *barred_as; /* one of them, for people */
	struct queue_consumer *who;
	size_t nwho;
};

/* What the name says after the queue's: BullMQ's workers may have a name
 * (":w:NAME"); ":qe" and ":qs" are no workers. */
static enum reader
role_of(const struct census *census, const struct redis_client *client,
    const char **ret_queue, const char **ret_worker)
{
	struct arena *arena = census->look->arena;
	size_t len = 0;

	if (!text_starts(client->name, census->prefix))
		return READS_NONE;
	const char *encoded = client->name + strlen(census->prefix);
	size_t name_len = strcspn(encoded, ":");
	const char *rest = encoded + name_len;

	if (rest[0] != '\0' && !text_starts(rest, ":w:"))
		return READS_NONE;
	*ret_worker = rest[0] == '\0' ? client->name : rest + 3;
	if (base64_decode(arena, arena_bytes(arena, encoded, name_len),
	        ret_queue, &len, NULL) == -1)
		return READS_NONE;
	return text_equal(*ret_queue, census->look->queue->name) ? READS_THIS
	                                                         : READS_OTHER;
}

/* queues.md 1.1: a worker without the rights is up, says that it is ready, and
 * is listed. It neither waits nor looks for stalled jobs; the last that the
 * server let it do was INFO. */
static bool
never_got_further(const struct redis_client *client)
{
	return text_equal(client->command, "info") ||
	       text_starts(client->command, "client");
}

static void
count_worker(struct census *census, const struct redis_client *client,
    bool alive, struct queue_consumer *who)
{
	if (redis_client_blocked(client))
		who->proof |= PROOF_WAITS;
	if (client->db != census->look->server->db)
		return;
	if (redis_client_blocked(client) ||
	    (alive && !never_got_further(client))) {
		census->live++;
		if (alive)
			who->proof |= PROOF_HEARTBEAT;
	} else if (never_got_further(client)) {
		census->barred++;
		census->barred_as = arena_format(census->look->arena,
		    "%s (user %s, last command %s)", client->address,
		    client->user, client->command);
	}
}

static void
take_client(struct census *census, const struct redis_client *client,
    bool alive, size_t most)
{
	struct arena *arena = census->look->arena;
	const char *queue = NULL;
	const char *worker = NULL;
	enum reader role = role_of(census, client, &queue, &worker);

	if (role == READS_NONE ||
	    (role == READS_OTHER &&
	        near_distance(census->look->queue->name, queue) == UINT_MAX))
		return;
	struct queue_consumer who = {.id = arena_text(arena, worker),
	    .address = arena_text(arena, client->address),
	    .reads = queue,
	    .worker = "",
	    .pid = client->pid,
	    .proof = PROOF_CONNECTED};

	if (client->db != census->look->server->db)
		who.where =
		    arena_format(arena, "db %lld", (long long)client->db);
	if (role == READS_THIS)
		count_worker(census, client, alive, &who);
	if (census->nwho < most)
		census->who[census->nwho++] = who;
}

static void
conclude(struct census *census, bool alive)
{
	struct queue_state *state = census->look->state;
	const char *refusals = redis_info(
	    census->look->arena, census->look->server, "errorstat_NOPERM");
	bool refused = refusals[0] != '\0';

	state->who = census->who;
	state->nwho = census->nwho;
	if (census->live > 0 || !alive)
		state->consumers = queue_exact(census->live);
	else /* one that gives its connection another name, or none */
		state->consumers =
		    (struct queue_number){.value = 1, .know = KNOW_AT_LEAST};
	if (census->live == 0 && census->barred > 0 && refused)
		state->stuck = redis_flag(census->look, HOLDS_YES,
		    "%s is connected as a worker of this queue and was refused "
		    "what it needs: errorstat_NOPERM %s",
		    census->barred_as, refusals);
	else if (census->live > 0)
		state->stuck = redis_flag(
		    census->look, HOLDS_NO, "a worker waits or works");
}

void
bull_consumers(struct redis_look *look, bool alive)
{
	const struct bull_queue *bull = look->queue->state;
	struct redis_clients *clients = &look->server->clients;
	struct census census = {.look = look,
	    .prefix = arena_format(look->arena, "%s:", bull->keys.prefix),
	    .who =
	        arena_array(look->arena, QUEUE_WHO_MAX, sizeof(*census.who))};

	if (clients->why != NULL) {
		/* a worker leaves its traces in the keys too */
		look->state->consumers =
		    alive
		        ? (struct queue_number){.value = 1,
		              .know = KNOW_AT_LEAST}
		        : queue_unknown(arena_text(look->arena, clients->why));
		return;
	}
	for (size_t i = 0; i < clients->count; i++)
		if (text_starts(clients->list[i].name, census.prefix)) {
			redis_clients_pids(clients, look->server->arena);
			take_client(
			    &census, &clients->list[i], alive, QUEUE_WHO_MAX);
		}
	conclude(&census, alive);
}

/* --- the two rows ----------------------------------------------------------
 */

static const char *const bullmq_schemes[] = {"bullmq+redis", "bullmq+rediss",
    "bullmq+redis+unix", "bullmq+unix", "bullmq+redis+sentinel",
    "bullmq+rediss+sentinel", NULL};
static const char *const bull_schemes[] = {"bull+redis", "bull+rediss",
    "bull+redis+unix", "bull+unix", "bull+redis+sentinel",
    "bull+rediss+sentinel", NULL};
static const char *const keys[] = {"queue", "prefix", "job", "dlq",
    "deadLetter", "test", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_bullmq = {
    .kind = "bullmq",
    .schemes = bullmq_schemes,
    .name_key = "queue",
    .keys = keys,
    .open = bullmq_open,
    REDIS_KIND_CALLS,
    .submit = bull_submit,
    .follow = bull_follow,
    .remove = bull_remove,
    .list = bull_list,
    .newest = NEWEST_WAITING,
    .move = bull_move,
};

const struct queue_driver queue_bull = {
    .kind = "bull",
    .schemes = bull_schemes,
    .name_key = "queue",
    .keys = keys,
    .open = bull_open,
    REDIS_KIND_CALLS,
    .submit = bull_submit,
    .follow = bull_follow,
    .remove = bull_remove,
    .list = bull_list,
    .newest = NEWEST_WAITING,
    .move = bull_move,
};
