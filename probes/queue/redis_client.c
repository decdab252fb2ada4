/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "probes/processes.h"
#include "probes/queue/redis_client.h"

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
	    .command = "",
	    .user = "",
	    .pid = -1};
	const struct {
		const char *key;
		const char **text;
		int64_t *number;
	} fields[] = {
	    {"id", NULL, &client.id},
	    {"db", NULL, &client.db},
	    {"argv-mem", NULL, &client.argv_mem},
	    {"addr", &client.address, NULL},
	    {"name", &client.name, NULL},
	    {"flags", &client.flags, NULL},
	    {"cmd", &client.command, NULL},
	    {"user", &client.user, NULL},
	};

	/* key=value, with single spaces between; values hold none */
	while (text != NULL && *text != '\0') {
		char *next = strchr(text, ' ');
		char *value = strchr(text, '=');

		if (next != NULL)
			*next++ = '\0';
		if (value != NULL && (next == NULL || value < next)) {
			*value++ = '\0';
			for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
				if (!text_equal(text, fields[i].key))
					continue;
				if (fields[i].text != NULL)
					*fields[i].text = value;
				else
					*fields[i].number =
					    number_or(value, -1);
			}
		}
		text = next;
	}
	*ret = client;
	return client.id >= 0 && client.address[0] != '\0';
}

bool
redis_client_blocked(const struct redis_client *client)
{
	return strchr(client->flags, 'b') != NULL;
}

static int
by_id(const void *a, const void *b)
{
	const struct redis_client *x = a;
	const struct redis_client *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

void
redis_clients_read(struct arena *arena, const redisReply *reply,
    const char *self, struct redis_clients *ret)
{
	*ret = (struct redis_clients){.list = NULL};
	if (reply->type != REDIS_REPLY_STRING) {
		ret->why = arena_format(arena, "CLIENT LIST: %s",
		    reply->type == REDIS_REPLY_ERROR
		        ? reply->str
		        : "the server didn't answer with a list");
		return;
	}
	const char *end = reply->str + reply->len;
	size_t lines = 1;

	for (const char *at = reply->str; at < end; at++)
		lines += *at == '\n';
	ret->list = arena_array(arena, lines, sizeof(*ret->list));
	for (const char *line = reply->str; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((stop != NULL ? stop : end) - line);
		struct redis_client *client = &ret->list[ret->count];

		if (redis_client_parse(arena, line, len, client) &&
		    !text_equal(client->address, self))
			ret->count++;
		line += len + 1;
	}
	/* The server turns its list round as time goes by. */
	qsort(ret->list, ret->count, sizeof(*ret->list), by_id);
}

void
redis_clients_pids(struct redis_clients *clients, struct arena *arena)
{
	if (clients->pids_asked || clients->count == 0)
		return;
	clients->pids_asked = true;
	struct consumer_match *matches =
	    arena_array(arena, clients->count, sizeof(*matches));

	for (size_t i = 0; i < clients->count; i++)
		matches[i] = (struct consumer_match){
		    .address = clients->list[i].address, .pid = -1};
	if (processes_match_consumers(matches, clients->count, arena, NULL) ==
	    -1)
		return;
	for (size_t i = 0; i < clients->count; i++) {
		if (matches[i].result != RESULT_PASSED)
			continue;
		clients->list[i].pid = matches[i].pid;
		clients->list[i].session = matches[i].session;
	}
}
