/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/redis_sentinel.h"
#include "probes/redis_server.h"

enum {
	HOSTS_MAX = 16,
	REDIRECTS_MAX = 5,
	NODE_TEXT_MAX = 272,
	WIRE_MAX = 64 << 20,
	NO_SLOT = REDIS_SLOTS /* of a command without a key */
};
/* For connecting to one of many masters, so that one that is lost doesn't cost
 * the others. */
static const int64_t MASTER_MS = 500;

struct node {
	char host[NODE_TEXT_MAX];
	int port;
	struct redis_connection *redis; /* NULL: not connected */
};

struct redis_server {
	char *key; /* of those that are shared: the URL; else NULL */
	unsigned refs;
	struct redis_server *next;
	char *url, *name;                   /* that nodes are opened with */
	struct node nodes[REDIS_NODES_MAX]; /* the first: where the URL led */
	size_t nnodes;
	uint8_t
	    owner[REDIS_SLOTS]; /* an index; of those not known: the first */
};

struct redis_sent {
	size_t at, len; /* in the batch's wire */
	unsigned slot;
	uint8_t node;
	bool asking; /* that node has the key only for who asks so */
	redisReply *reply;
};

/* Those of this process that are shared. */
static struct redis_server *shared;

/* --- one Redis -------------------------------------------------------------
 */

static void
server_free(struct redis_server *server)
{
	for (size_t i = 0; i < server->nnodes; i++)
		redis_connection_close(server->nodes[i].redis);
	if (server->key != NULL)
		explicit_bzero(server->key, strlen(server->key));
	if (server->url != NULL)
		explicit_bzero(server->url, strlen(server->url));
	free(server->key);
	free(server->url);
	free(server->name);
	free(server);
}

void
redis_server_close(struct redis_server *server)
{
	if (server == NULL || --server->refs > 0)
		return;
	for (struct redis_server **at = &shared; *at != NULL; at = &(*at)->next)
		if (*at == server) {
			*at = server->next;
			break;
		}
	server_free(server);
}

struct redis_connection *
redis_server_main(const struct redis_server *server)
{
	return server->nodes[0].redis;
}

/* One that broke isn't handed out again: whoever has it closes it. */
static struct redis_server *
find_shared(const char *url)
{
	for (struct redis_server *one = shared; one != NULL; one = one->next)
		if (text_equal(one->key, url) &&
		    redis_connection_cause(redis_server_main(one)) ==
		        CAUSE_NONE)
			return one;
	return NULL;
}

/* The URL with one host, for `redis_connection_open_at` to replace. */
static const char *
plain_url(struct arena *arena, const char *text, const struct url *url,
    const struct redis_place *place)
{
	bool tls = text_starts(url->scheme, "rediss");
	const char *authority = strstr(text, "://") + 3;
	size_t len = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', len);

	return arena_format(arena, "redis%s://%.*s%s:%d%s", tls ? "s" : "",
	    at != NULL ? (int)(at + 1 - authority) : 0, authority,
	    strchr(place->host, ':') != NULL
	        ? arena_format(arena, "[%s]", place->host)
	        : place->host,
	    place->port, authority + len);
}

static int
parse_hosts(struct arena *arena, const struct url *url, int port,
    struct redis_place *places, struct err *err)
{
	int count = 0;
	char *host = arena_text(arena, url->host);

	assert(url->host[0] != '\0');
	while (host != NULL && count < HOSTS_MAX) {
		char *next = strchr(host, ',');
		int64_t number = url->port != -1 ? url->port : port;

		if (next != NULL)
			*next++ = '\0';
		/* of a single one the port was taken off, v6 has brackets */
		char *colon = url->port == -1 ? strrchr(host, ':') : NULL;

		if (host[0] == '[' && strchr(host, ']') != NULL) {
			char *close = strchr(host, ']');

			*close = '\0';
			colon = close[1] == ':' ? close + 1 : NULL;
			host++;
		} else if (colon != NULL && strchr(url->host, ',') == NULL) {
			colon = NULL; /* one v6 host, brackets taken off */
		}
		if (colon != NULL) {
			*colon = '\0';
			if (text_i64(colon + 1, 1, 65535, &number, err) == -1)
				return err_wrap(err, "the port of '%s'", host);
		}
		if (host[0] == '\0')
			return err_set(err, ERR_INPUT, "the URL names no host");
		places[count++] =
		    (struct redis_place){.host = host, .port = (int)number};
		host = next;
	}
	return count;
}

static int
open_first(struct redis_server *server, const char *url,
    const struct redis_place *places, int count, struct ladder *ladder)
{
	for (int i = 0; i < count; i++) {
		struct ladder try = *ladder;

		try.deadline_ms =
		    redis_share_of(ladder->deadline_ms, count - i);
		if (redis_connection_open_at(url, &places[i], server->name,
		        &try, &server->nodes[0].redis) == 0 ||
		    i + 1 == count) {
			try.deadline_ms = ladder->deadline_ms;
			*ladder = try;
			break;
		}
	}
	return server->nodes[0].redis != NULL ? 0 : -1;
}

/* What the URL leads to; sets the URL that other nodes are opened with. */
static int
server_connect(
    struct redis_server *server, const char *text, struct ladder *ladder)
{
	enum {
		REDIS_PORT = 6379,
		SENTINEL_PORT = 26379
	};
	struct arena *arena = ladder->arena;
	struct redis_place places[HOSTS_MAX] = {{.host = ""}};
	struct url url = {.port = -1};
	struct err err = ERR_INIT;
	int count = 0;

	if (url_parse(arena, text, &url, &err) == -1 ||
	    text_ends(url.scheme, "unix") || url.host[0] == '\0') {
		server->url = strdup(text);
		return redis_connection_open(
		    text, server->name, ladder, &server->nodes[0].redis);
	}
	bool sentinel = text_ends(url.scheme, "sentinel");

	count = parse_hosts(
	    arena, &url, sentinel ? SENTINEL_PORT : REDIS_PORT, places, &err);
	if (count == -1) {
		ladder_begin(ladder, STEP_DNS, "");
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	}
	if (!sentinel && count == 1) {
		server->url = strdup(text);
		return redis_connection_open(
		    text, server->name, ladder, &server->nodes[0].redis);
	}
	const char *plain = plain_url(arena, text, &url, &places[0]);

	server->url = strdup(plain);
	if (sentinel)
		return redis_sentinel_open(plain,
		    &(struct redis_sentinels){.all = places,
		        .count = count,
		        .master = url_query(&url, "master")},
		    server->name, ladder, &server->nodes[0].redis);
	return open_first(server, plain, places, count, ladder);
}

int
redis_server_open(const char *url, const char *name, struct ladder *ladder,
    struct redis_server **ret)
{
	struct redis_server *server = name == NULL ? find_shared(url) : NULL;

	if (server != NULL) {
		server->refs++;
		*ret = server;
		return 0;
	}
	server = calloc(1, sizeof(*server));
	if (server == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	server->refs = 1;
	server->nnodes = 1;
	server->name = name != NULL ? strdup(name) : NULL;
	server->key = name == NULL ? strdup(url) : NULL;
	if (server_connect(server, url, ladder) == -1) {
		server_free(server);
		return -1;
	}
	if (server->key != NULL) {
		server->next = shared;
		shared = server;
	}
	*ret = server;
	return 0;
}

/* --- keys and nodes --------------------------------------------------------
 */

static uint16_t
crc16(const unsigned char *bytes, size_t len) /* XMODEM */
{
	uint16_t crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc = (uint16_t)(crc ^ (bytes[i] << 8));
		for (int bit = 0; bit < 8; bit++)
			crc =
			    (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021
			                                   : crc << 1);
	}
	return crc;
}

unsigned
redis_slot(const void *key, size_t len)
{
	const char *bytes = key;
	const char *open = memchr(bytes, '{', len);

	if (open != NULL) {
		size_t rest = len - (size_t)(open + 1 - bytes);
		const char *close = memchr(open + 1, '}', rest);

		if (close != NULL && close > open + 1) {
			bytes = open + 1;
			len = (size_t)(close - bytes);
		}
	}
	return crc16((const unsigned char *)bytes, len) % REDIS_SLOTS;
}

/* Where a command has its first key; those not listed: behind its name. */
static const struct {
	const char *name;
	int key; /* 0: it has none */
} key_places[] = {
    {"PING", 0},
    {"TIME", 0},
    {"INFO", 0},
    {"CLIENT", 0},
    {"CLUSTER", 0},
    {"SELECT", 0},
    {"SCAN", 0},
    {"ACL", 0},
    {"EVAL", 3},
    {"XINFO", 2},
    {"OBJECT", 2},
    {"PUBLISH", 0},
};

static unsigned
command_slot(const struct redis_command *command)
{
	int key = 1;

	for (size_t i = 0; i < ARRAY_LEN(key_places); i++)
		if (command->len[0] == strlen(key_places[i].name) &&
		    strncmp(command->argv[0], key_places[i].name,
		        command->len[0]) == 0)
			key = key_places[i].key;
	return key > 0 && key < command->argc
	           ? redis_slot(command->argv[key], command->len[key])
	           : NO_SLOT;
}

bool
redis_redirect_parse(const char *text, bool *ret_ask, unsigned *ret_slot,
    char *host, size_t size, int *ret_port)
{
	bool ask = text_starts(text, "ASK ");
	char number[8];
	int64_t slot = 0;
	int64_t port = 0;

	if (!ask && !text_starts(text, "MOVED "))
		return false;
	const char *at = strchr(text, ' ') + 1;
	size_t len = strcspn(at, " ");
	const char *where = at + len;
	const char *colon = strrchr(where, ':');

	if (len >= sizeof(number) || *where != ' ' || colon == NULL)
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)len, at);
	where++;
	if (text_i64(number, 0, REDIS_SLOTS - 1, &slot, NULL) == -1 ||
	    text_i64(colon + 1, 1, 65535, &port, NULL) == -1 ||
	    (size_t)(colon - where) >= size)
		return false;
	(void)snprintf(host, size, "%.*s", (int)(colon - where), where);
	*ret_ask = ask;
	*ret_slot = (unsigned)slot;
	*ret_port = (int)port;
	return true;
}

/* The node of that address, connected; -1: it can't be had. */
static int
node_index(struct redis_server *server, const char *host, int port,
    int64_t deadline_ms)
{
	struct arena arena;
	struct ladder ladder;
	size_t i = 1;

	while (
	    i < server->nnodes && (server->nodes[i].port != port ||
	                              !text_equal(server->nodes[i].host, host)))
		i++;
	if (i == REDIS_NODES_MAX)
		return -1;
	struct node *node = &server->nodes[i];

	if (node->redis != NULL &&
	    redis_connection_cause(node->redis) == CAUSE_NONE)
		return (int)i;
	redis_connection_close(node->redis);
	node->redis = NULL;
	(void)snprintf(node->host, sizeof(node->host), "%s", host);
	node->port = port;
	server->nnodes = MAX(server->nnodes, i + 1);
	arena_init(&arena, 1 << 20);
	ladder_init(&ladder, &arena, deadline_ms);
	int rc = redis_connection_open_at(server->url,
	    &(struct redis_place){.host = host, .port = port, .no_db = true},
	    server->name, &ladder, &node->redis);
	arena_wipe(&arena);
	arena_fini(&arena);
	return rc == 0 ? (int)i : -1;
}

/* An error reply of our own making. */
static redisReply *
unreachable_reply(const char *host, int port)
{
	redisReply *reply = calloc(1, sizeof(*reply));
	struct buffer text;

	if (reply == NULL)
		return NULL;
	buffer_init(&text, (size_t)2 * NODE_TEXT_MAX);
	buffer_format(&text,
	    "CLUSTERDOWN the node %s:%d, which has the key, can't be reached",
	    host, port);
	reply->type = REDIS_REPLY_ERROR;
	reply->str = text.data; /* freed with the reply */
	reply->len = text.len;
	if (reply->str == NULL) {
		free(reply);
		return NULL;
	}
	return reply;
}

/* Is it to be sent again, to whom the answer points? */
static bool
redirected(
    struct redis_server *server, struct redis_sent *sent, int64_t deadline_ms)
{
	char host[NODE_TEXT_MAX];
	bool ask = false;
	unsigned slot = 0;
	int port = 0;

	if (sent->reply->type != REDIS_REPLY_ERROR ||
	    !redis_redirect_parse(
	        sent->reply->str, &ask, &slot, host, sizeof(host), &port))
		return false;
	if (host[0] == '\0') { /* "the one that you asked", by its port */
		const char *from =
		    redis_connection_address(server->nodes[sent->node].redis);
		const char *colon = strrchr(from, ':');

		(void)snprintf(host, sizeof(host), "%.*s",
		    colon != NULL ? (int)(colon - from) : 0, from);
	}
	int node = node_index(server, host, port, deadline_ms);

	if (node == -1) {
		redisReply *why = unreachable_reply(host, port);

		server->owner[slot] = 0;
		if (why != NULL) {
			freeReplyObject(sent->reply);
			sent->reply = why;
		}
		return false;
	}
	if (!ask)
		server->owner[slot] = (uint8_t)node;
	sent->node = (uint8_t)node;
	sent->asking = ask;
	freeReplyObject(sent->reply);
	sent->reply = NULL;
	return true;
}

/* --- batches ---------------------------------------------------------------
 */

void
redis_batch_init(struct redis_batch *batch, struct redis_server *server)
{
	*batch = (struct redis_batch){.server = server};
	buffer_init(&batch->wire, WIRE_MAX);
}

void
redis_batch_fini(struct redis_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		redis_reply_free(&batch->sent[i].reply);
	free(batch->sent);
	buffer_wipe(&batch->wire);
	*batch = (struct redis_batch){.server = NULL};
}

size_t
redis_batch_add(struct redis_batch *batch, const struct redis_command *command)
{
	char *wire = NULL;
	size_t len = 0;

	if (batch->count == batch->size) {
		size_t size = MAX(2 * batch->size, (size_t)64);
		struct redis_sent *grown =
		    reallocarray(batch->sent, size, sizeof(*grown));

		if (grown == NULL)
			abort(); /* as an arena without memory ends us */
		batch->sent = grown;
		batch->size = size;
	}
	unsigned slot = command_slot(command);

	batch->sent[batch->count] =
	    (struct redis_sent){.at = batch->wire.len, .slot = slot};
	if (redis_command_wire(command, &wire, &len) == -1)
		abort();
	buffer_append(&batch->wire, wire, len);
	explicit_bzero(wire, len);
	redisFreeCommand(wire);
	batch->sent[batch->count].len = len;
	return batch->count++;
}

size_t
redis_batch_words(struct redis_batch *batch, const char *const *words)
{
	struct redis_command command;

	redis_command_init(&command);
	for (; *words != NULL; words++)
		redis_command_text(&command, *words);
	return redis_batch_add(batch, &command);
}

static int
send_one(
    struct redis_batch *batch, const struct redis_sent *sent, struct err *err)
{
	static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
	struct redis_connection *redis = batch->server->nodes[sent->node].redis;

	if (sent->asking && redis_connection_append_wire(
	                        redis, asking, sizeof(asking) - 1, err) == -1)
		return -1;
	return redis_connection_append_wire(
	    redis, batch->wire.data + sent->at, sent->len, err);
}

static int
receive_one(struct redis_batch *batch, struct redis_sent *sent,
    int64_t deadline_ms, struct err *err)
{
	struct node *node = &batch->server->nodes[sent->node];

	if (sent->asking) {
		CLEANUP(redis_reply_free) redisReply *ok = NULL;

		if (redis_connection_reply(
		        node->redis, deadline_ms, &ok, err) == -1)
			return -1;
	}
	return redis_connection_reply(
	    node->redis, deadline_ms, &sent->reply, err);
}

/* A node of a cluster that went away takes its own keys with it, no others. */
static int
node_lost(struct redis_server *server, struct redis_sent *sent)
{
	const struct node *node = &server->nodes[sent->node];

	if (sent->node == 0)
		return -1;
	if (sent->slot != NO_SLOT)
		server->owner[sent->slot] = 0; /* ask anew who has it */
	sent->reply = unreachable_reply(node->host, node->port);
	return sent->reply != NULL ? 0 : -1;
}

/* Everything without a reply goes out, then the replies come in. */
static int
exchange(struct redis_batch *batch, int64_t deadline_ms, struct err *err)
{
	struct redis_server *server = batch->server;

	for (size_t i = 0; i < batch->count; i++) {
		struct redis_sent *sent = &batch->sent[i];

		if (sent->reply == NULL && send_one(batch, sent, err) == -1 &&
		    node_lost(server, sent) == -1)
			return -1;
	}
	for (size_t i = 0; i < batch->count; i++) {
		struct redis_sent *sent = &batch->sent[i];

		if (sent->reply == NULL &&
		    receive_one(batch, sent, deadline_ms, err) == -1 &&
		    node_lost(server, sent) == -1)
			return -1;
	}
	return 0;
}

int
redis_batch_run(struct redis_batch *batch, int64_t deadline_ms, struct err *err)
{
	struct redis_server *server = batch->server;
	size_t first = 0;

	if (batch->wire.overflow)
		return err_set(err, ERR_CAPACITY,
		    "the commands are longer than %d bytes", WIRE_MAX);
	while (first < batch->count && batch->sent[first].reply != NULL)
		first++;
	for (size_t i = first; i < batch->count; i++)
		if (batch->sent[i].reply == NULL &&
		    batch->sent[i].slot != NO_SLOT)
			batch->sent[i].node =
			    server->owner[batch->sent[i].slot];
	for (int turn = 0; turn < REDIRECTS_MAX; turn++) {
		bool again = false;

		if (exchange(batch, deadline_ms, err) == -1)
			return -1;
		for (size_t i = first; i < batch->count; i++)
			again |=
			    redirected(server, &batch->sent[i], deadline_ms);
		if (!again)
			return 0;
	}
	return exchange(batch, deadline_ms, err);
}

void
redis_batch_to(struct redis_batch *batch, size_t number, uint8_t node)
{
	assert(batch->sent[number].slot == NO_SLOT);
	batch->sent[number].node = node;
}

const redisReply *
redis_batch_reply(const struct redis_batch *batch, size_t number)
{
	assert(number < batch->count && batch->sent[number].reply != NULL);
	return batch->sent[number].reply;
}

redisReply *
redis_batch_take(struct redis_batch *batch, size_t number)
{
	redisReply *reply = batch->sent[number].reply;

	batch->sent[number].reply = NULL;
	return reply;
}

int
redis_server_run(struct redis_server *server, int64_t deadline_ms,
    const struct redis_command *command, redisReply **ret, struct err *err)
{
	struct redis_batch batch;

	redis_batch_init(&batch, server);
	size_t number = redis_batch_add(&batch, command);
	int rc = redis_batch_run(&batch, deadline_ms, err);

	if (rc == 0)
		*ret = redis_batch_take(&batch, number);
	redis_batch_fini(&batch);
	return rc;
}

/* --- the masters of a cluster ----------------------------------------------
 */

/* Of a line of CLUSTER SLOTS: from, to, [host, port, id…] of the master, then
 * those of its replicas; -1: it can't be had. */
static int
master_of(
    struct redis_server *server, const redisReply *range, int64_t deadline_ms)
{
	char address[NODE_TEXT_MAX + 8];

	if (range->type != REDIS_REPLY_ARRAY || range->elements < 3)
		return -1;
	const redisReply *node = range->element[2];

	if (node->type != REDIS_REPLY_ARRAY || node->elements < 2 ||
	    node->element[0]->type != REDIS_REPLY_STRING ||
	    node->element[1]->type != REDIS_REPLY_INTEGER ||
	    node->element[1]->integer < 1 || node->element[1]->integer > 65535)
		return -1;
	int port = (int)node->element[1]->integer;
	const char *host = node->element[0]->str;

	(void)snprintf(address, sizeof(address), "%s:%d", host, port);
	/* it calls itself "" before it knows its own name */
	if (host[0] == '\0' ||
	    text_equal(
	        address, redis_connection_address(redis_server_main(server))))
		return 0;
	return node_index(server, host, port, deadline_ms);
}

size_t
redis_server_masters(struct redis_server *server, int64_t deadline_ms,
    uint8_t ret[REDIS_NODES_MAX])
{
	CLEANUP(redis_reply_free) redisReply *slots = NULL;
	struct redis_command command;
	size_t count = 0;

	redis_command_init(&command);
	redis_command_text(&command, "CLUSTER");
	redis_command_text(&command, "SLOTS");
	ret[0] = 0;
	/* of a single server it is an error */
	if (redis_server_run(server, deadline_ms, &command, &slots, NULL) ==
	        -1 ||
	    slots == NULL || slots->type != REDIS_REPLY_ARRAY)
		return 1;
	for (size_t i = 0; i < slots->elements; i++) {
		int node = master_of(server, slots->element[i],
		    MIN(deadline_ms, clock_after(clock_ms(), MASTER_MS)));
		size_t k = 0;

		while (k < count && ret[k] != node)
			k++;
		if (node != -1 && k == count && count < REDIS_NODES_MAX)
			ret[count++] = (uint8_t)node;
	}
	return MAX(count, (size_t)1);
}
