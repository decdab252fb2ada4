/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/processes.h"
#include "probes/queue/redis.h"

/* Who is connected, and whether it can be waiting for this list (decisions.md
 * 29; queues.md part 5). */

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

		return strchr(client->flags, 'b') == NULL ||
		       client->argv_mem < 0 ||
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

static int64_t
number_or(const char *text, int64_t otherwise)
{
	int64_t value = otherwise;

	return text_i64(text, 0, INT64_MAX, &value, NULL) == 0 ? value
	                                                       : otherwise;
}

bool
redis_client_parse(
    struct arena *arena, const char *line, size_t len, struct redis_client *ret)
{
	char *text = arena_bytes(arena, line, len);
	struct redis_client client = {.id = -1,
	    .db = -1,
	    .argv_mem = -1,
	    .address = "",
	    .name = "",
	    .flags = "",
	    .command = ""};

	/* key=value, with single spaces between; values hold none */
	while (text != NULL && *text != '\0') {
		char *next = strchr(text, ' ');
		char *value = strchr(text, '=');

		if (next != NULL)
			*next++ = '\0';
		if (value != NULL && (next == NULL || value < next)) {
			*value++ = '\0';
			if (text_equal(text, "id"))
				client.id = number_or(value, -1);
			else if (text_equal(text, "db"))
				client.db = number_or(value, -1);
			else if (text_equal(text, "argv-mem"))
				client.argv_mem = number_or(value, -1);
			else if (text_equal(text, "addr"))
				client.address = value;
			else if (text_equal(text, "name"))
				client.name = value;
			else if (text_equal(text, "flags"))
				client.flags = value;
			else if (text_equal(text, "cmd"))
				client.command = value;
		}
		text = next;
	}
	*ret = client;
	return client.id >= 0 && client.address[0] != '\0';
}

/* What the clients of a server come to, for one list. */
struct census {
	struct arena *arena;
	const char *key;
	const char *self; /* our own address */
	int64_t db;
	int64_t readers;    /* named after this list */
	int64_t candidates; /* may be waiting for it */
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

static void
count_client(struct census *census, const struct redis_client *client)
{
	struct queue_consumer who = {.address = client->address,
	    .reads = "",
	    .worker = "",
	    .pid = -1,
	    .proof = PROOF_CONNECTED};
	const char *key = NULL;
	const char *owner = NULL;

	if (text_equal(client->address, census->self))
		return;
	if (strchr(client->flags, 'b') != NULL)
		who.proof |= PROOF_WAITS;
	if (redis_client_name_parse(
	        census->arena, client->name, &key, &owner)) {
		bool here = client->db == census->db;

		if (here && text_equal(key, census->key))
			census->readers++;
		who.id = owner;
		who.reads = here ? key
		                 : arena_format(census->arena,
		                       "%s (db %" PRId64 ")", key, client->db);
		/* "worker/replica:nonce", where reeve started it */
		const char *colon = strrchr(owner, ':');

		if (colon != NULL && strchr(owner, '/') != NULL)
			who.worker = arena_format(
			    census->arena, "%.*s", (int)(colon - owner), owner);
	} else if (redis_client_may_wait(client, census->key)) {
		census->candidates += client->db == census->db;
		who.id = describe(census, client);
	} else {
		return;
	}
	if (census->nwho < QUEUE_WHO_MAX)
		census->who[census->nwho++] = who;
}

/* address → pid, for those on this host */
static void
match_pids(struct census *census)
{
	struct consumer_match *matches =
	    arena_array(census->arena, census->nwho + 1, sizeof(*matches));

	for (size_t i = 0; i < census->nwho; i++)
		matches[i] = (struct consumer_match){
		    .address = census->who[i].address, .pid = -1};
	if (processes_match_consumers(
	        matches, census->nwho, census->arena, NULL) == -1)
		return;
	for (size_t i = 0; i < census->nwho; i++) {
		if (matches[i].result == RESULT_PASSED)
			census->who[i].pid = matches[i].pid;
	}
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
redis_list_consumers(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct redis_queue *redis = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct err err = ERR_INIT;
	struct census census = {.arena = arena,
	    .key = redis->key,
	    .self = redis_connection_local(redis->redis),
	    .db = redis_connection_db(redis->redis),
	    .who = arena_array(arena, QUEUE_WHO_MAX, sizeof(*census.who))};

	if (redis_ask(queue, "CLIENT LIST", &reply, &err, "CLIENT", "LIST",
	        "TYPE", "normal") == -1 ||
	    reply->type != REDIS_REPLY_STRING) {
		ret->consumers = queue_unknown(arena_text(arena, err.text));
		return;
	}
	const char *line = reply->str;
	const char *end = reply->str + reply->len;

	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((stop != NULL ? stop : end) - line);
		struct redis_client client;

		if (redis_client_parse(arena, line, len, &client))
			count_client(&census, &client);
		line += len + 1;
	}
	match_pids(&census);
	conclude(&census, ret);
}
