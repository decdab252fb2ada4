/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <limits.h>

#include "base/text.h"
#include "probes/queue/near.h"
#include "probes/queue/owner.h"
#include "probes/queue/redis.h"

/* Who is connected, and whether it can be waiting for this list (decisions.md
 * 29; queues.md part 5). */

enum {
	OTHERS_MAX = 16 /* readers of lists that aren't called alike */
};

/* Commands that take from a list, and the fewest bytes of their other
 * arguments. EVAL may do anything. */
static const struct {
	const char *name;
	size_t rest;
} takers[] = {
    {"brpop", 1}, /* timeout */
    {"blpop", 1},
    {"rpop", 0},
    {"lpop", 0},
    {"brpoplpush", 2}, /* destination, timeout */
    {"rpoplpush", 1},
    {"blmove", 10}, /* destination, LEFT, LEFT, timeout */
    {"lmove", 9},
    {"blmpop", 6}, /* timeout, 1, LEFT */
    {"lmpop", 5},
};
static const char *const scripts[] = {"eval", "evalsha", "fcall", "exec"};

bool
redis_client_may_wait(const struct redis_client *client, const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		if (text_equal(client->command, scripts[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
		if (!text_equal(client->command, takers[i].name))
			continue;
		/* argv-mem is exact only while the client is blocked: then it
		 * is the sum of its arguments, this key among them */
		size_t least =
		    strlen(takers[i].name) + strlen(key) + takers[i].rest;

		return !redis_client_blocked(client) || client->argv_mem < 0 ||
		       (uint64_t)client->argv_mem >= least;
	}
	return false;
}

static bool
plain_in_name(char c)
{
	return c > ' ' && c <= '~' && c != '|' && c != '%';
}

static const char *
encode(struct arena *arena, const char *text)
{
	char *out = arena_alloc(arena, 3 * strlen(text) + 1);
	size_t len = 0;

	for (; *text != '\0'; text++) {
		if (plain_in_name(*text))
			out[len++] = *text;
		else
			len += (size_t)snprintf(
			    out + len, 4, "%%%02X", (unsigned char)*text);
	}
	out[len] = '\0';
	return out;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *
decode(struct arena *arena, const char *text, size_t len)
{
	char *out = arena_alloc(arena, len + 1);
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 &&
		    hex(text[i + 2]) >= 0) {
			out[at++] =
			    (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
			i += 2;
		} else {
			out[at++] = text[i];
		}
	}
	out[at] = '\0';
	return out;
}

const char *
redis_client_name(struct arena *arena, const char *key, const char *owner)
{
	return arena_format(
	    arena, "reeve:%s|%s", encode(arena, key), encode(arena, owner));
}

bool
redis_client_name_parse(struct arena *arena, const char *name,
    const char **ret_key, const char **ret_owner)
{
	if (!text_starts(name, "reeve:"))
		return false;
	const char *key = name + strlen("reeve:");
	const char *bar = strchr(key, '|');

	if (bar == NULL) /* one of our probes */
		return false;
	*ret_key = decode(arena, key, (size_t)(bar - key));
	*ret_owner = decode(arena, bar + 1, strlen(bar + 1));
	return true;
}

/* What the clients of a server come to, for one list. */
struct census {
	struct arena *arena;
	const char *key;
	int64_t db;
	int64_t readers;    /* named after this list */
	int64_t candidates; /* may be waiting for it */
	int64_t others;     /* named after other lists, and shown */
	const struct queue *queue;
	struct redis_clients *clients;
	struct arena *pass; /* theirs */
	size_t passers;
	struct queue_consumer *who;
	size_t nwho;
};

static const char *
describe(const struct census *census, const struct redis_client *client)
{
	if (client->db == census->db)
		return arena_format(census->arena, "client %" PRId64 " %s%s%s",
		    client->id, client->command,
		    client->name[0] != '\0' ? " " : "", client->name);
	return arena_format(census->arena,
	    "client %" PRId64 " %s in db %" PRId64 "%s%s", client->id,
	    client->command, client->db, client->name[0] != '\0' ? " " : "",
	    client->name);
}

/* Whoever reads another list is shown for a comparison: all whose list is
 * called alike, a few others. */
static bool
shown(struct census *census, const char *key)
{
	return near_distance(census->key, key) != UINT_MAX ||
	       census->others++ < OTHERS_MAX;
}

/* Whoever may wait for this list, and doesn't say for which: counted, and
 * described where it is to be listed. */
static bool
count_candidate(struct census *census, const struct redis_client *client,
    struct queue_consumer *ret)
{
	census->candidates += client->db == census->db;
	if (!queue_lists(
	        census->queue, client->pid, client->session, &census->passers))
		return false;
	ret->id = describe(census, client);
	if (client->db != census->db)
		ret->where =
		    arena_format(census->arena, "db %" PRId64, client->db);
	return true;
}

static void
count_client(struct census *census, const struct redis_client *client)
{
	struct queue_consumer who = {
	    .reads = "", .worker = "", .pid = -1, .proof = PROOF_CONNECTED};
	const char *key = NULL;
	const char *owner = NULL;

	if (redis_client_blocked(client))
		who.proof |= PROOF_WAITS;
	if (redis_client_name_parse(
	        census->arena, client->name, &key, &owner)) {
		bool here = client->db == census->db;

		if (here && text_equal(key, census->key))
			census->readers++;
		else if (!shown(census, key))
			return;
		who.id = owner;
		who.reads = key;
		if (!here)
			who.where = arena_format(
			    census->arena, "db %" PRId64, client->db);
		/* "worker/replica:nonce", where reeve started it */
		who.worker = owner_replica(census->arena, owner);
	} else {
		if (!redis_client_may_wait(client, census->key))
			return;
		redis_clients_pids(census->clients, census->pass);
		if (!count_candidate(census, client, &who))
			return;
	}
	if (census->nwho == QUEUE_WHO_MAX)
		return;
	redis_clients_pids(census->clients, census->pass);
	who.address = arena_text(census->arena, client->address);
	who.pid = client->pid;
	who.session = client->session;
	census->who[census->nwho++] = who;
}

static void
conclude(const struct census *census, struct queue_state *ret)
{
	ret->who = census->who;
	ret->nwho = census->nwho;
	if (census->readers > 0)
		ret->consumers = (struct queue_number){.value = census->readers,
		    .know =
		        census->candidates > 0 ? KNOW_AT_LEAST : KNOW_EXACT};
	else if (census->candidates == 0)
		ret->consumers = queue_exact(0);
	else
		ret->consumers = queue_unknown(arena_format(census->arena,
		    "%" PRId64 " clients of db %" PRId64
		    " may be waiting for it: Redis doesn't show for which list",
		    census->candidates, census->db));
}

void
redis_list_consumers(struct redis_look *look)
{
	const struct redis_queue *redis = look->queue->state;
	struct redis_clients *clients = &look->server->clients;
	struct census census = {.arena = look->arena,
	    .key = redis->key,
	    .db = look->server->db,
	    .queue = look->queue,
	    .clients = clients,
	    .pass = look->server->arena,
	    .who =
	        arena_array(look->arena, QUEUE_WHO_MAX, sizeof(*census.who))};

	if (clients->why != NULL) {
		look->state->consumers =
		    queue_unknown(arena_text(look->arena, clients->why));
		return;
	}
	for (size_t i = 0; i < clients->count; i++)
		count_client(&census, &clients->list[i]);
	conclude(&census, look->state);
}
