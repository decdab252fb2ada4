/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/redis_nodes.h"
#include "probes/redis_sentinel.h"

enum {
	HOSTS_MAX = 16,
};
/* For connecting to one of many masters, so that one that is lost doesn't cost
 * the others. */
static const int64_t MASTER_MS = 500;

/* Those of this process that are shared. */
static struct redis_server *shared;

static void
server_free(struct redis_server *server)
{
	for (size_t i = 0; i < server->nnodes; i++)
		redis_connection_close(server->nodes[i].redis);
	secret_free(server->key);
	secret_free(server->url);
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

int
redis_node_index(struct redis_server *server, const char *host, int port,
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
	struct redis_node *node = &server->nodes[i];

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
	char address[REDIS_NODE_TEXT_MAX + 8];

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
	return redis_node_index(server, host, port, deadline_ms);
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
