/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "probes/redis_nodes.h"

enum {
	REDIRECTS_MAX = 5,
	WIRE_MAX = 64 << 20,
	BATCH_FIRST = 64,
};

struct redis_sent {
	size_t at, len; /* in the batch's wire */
	unsigned slot;
	uint8_t node;
	bool asking; /* that node has the key only for who asks so */
	redisReply *reply;
};

/* An error reply of our own making. */
static redisReply *
unreachable_reply(const char *host, int port)
{
	redisReply *reply = calloc(1, sizeof(*reply));
	struct buffer text;

	if (reply == NULL)
		return NULL;
	buffer_init(&text, (size_t)2 * REDIS_NODE_TEXT_MAX);
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
	char host[REDIS_NODE_TEXT_MAX];
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
	int node = redis_node_index(server, host, port, deadline_ms);

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
		size_t size = MAX(2 * batch->size, (size_t)BATCH_FIRST);
		struct redis_sent *grown =
		    reallocarray(batch->sent, size, sizeof(*grown));

		if (grown == NULL)
			abort(); /* as an arena without memory ends us */
		batch->sent = grown;
		batch->size = size;
	}
	unsigned slot = redis_command_slot(command);

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
	struct redis_node *node = &batch->server->nodes[sent->node];

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
	const struct redis_node *node = &server->nodes[sent->node];

	if (sent->node == 0)
		return -1;
	if (sent->slot != REDIS_NO_SLOT)
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
		    batch->sent[i].slot != REDIS_NO_SLOT)
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
	assert(batch->sent[number].slot == REDIS_NO_SLOT);
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
