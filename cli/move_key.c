/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include "base/text.h"
#include "base/url.h"
#include "cli/move_log.h"

/*
 * A queue in the log of moves. The same queue must have the same key whoever
 * writes its URL, or a job that was moved before isn't known again: so the
 * host's case, a default port, the user, TLS or not, and options that only say
 * how to look are left out. Two names of one host stay two queues: nothing is
 * looked up.
 */
struct family {
	const char *scheme; /* of the URL, our own kind taken off */
	const char *name;   /* what it is called in the key */
	int port;           /* that it has when the URL says none; -1: none */
};
static const struct family families[] = {
    {"redis", "redis", 6379},
    {"rediss", "redis", 6379},
    {"redis+unix", "redis", -1},
    {"unix", "redis", -1},
    {"redis+sentinel", "redis+sentinel", 26379},
    {"rediss+sentinel", "redis+sentinel", 26379},
    {"postgresql", "postgresql", 5432},
    {"postgres", "postgresql", 5432},
    {"mysql", "mysql", 3306},
    {"mariadb", "mysql", 3306},
    {"tds", "tds", 1433},
    {"nats", "nats", 4222},
    {"nats+tls", "nats", 4222},
    {"tls", "nats", 4222},
    {"amqp", "amqp", 5672},
    {"amqps", "amqp", 5671},
    {"sqlite", "file", -1},
    {"file", "file", -1},
};

/* Options that tell two queues of one server and name apart. */
static const char *const telling[] = {"group", "consumer", "prefix",
    "keyprefix", "ns", "schema", "table", "queue_column", "queue", "topic"};

static struct family
family_of(const char *scheme)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (text_equal(families[i].scheme, scheme))
			return families[i];
	}
	return (struct family){scheme, scheme, -1};
}

/* Redis without a path is its database 0, AMQP's vhost without one is "/". */
static const char *
path_of(const struct family *family, const char *path)
{
	bool none = path[0] == '\0' || path[1] == '\0';

	if (text_equal(family->name, "redis") && none && family->port != -1)
		return "/0";
	if (text_equal(family->name, "amqp") && none)
		return "//";
	return path;
}

static const char *
place_of(struct arena *arena, const char *text)
{
	static const char *const parts[] = {"db", "master"};
	struct url url;
	struct err err = ERR_INIT;

	if (url_parse(arena, text, &url, &err) == -1)
		return url_shown(arena, text);
	const struct family family = family_of(url.scheme);
	int port = url.port != -1 ? url.port : family.port;
	char *host = arena_text(arena, url.host);

	for (char *at = host; *at != '\0'; at++)
		*at = (char)tolower((unsigned char)*at);
	const char *place = arena_format(arena, "%s://%s", family.name, host);

	if (port != -1 && strchr(host, ',') == NULL)
		place = arena_format(arena, "%s:%d", place, port);
	place = arena_format(arena, "%s%s", place, path_of(&family, url.path));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *value = url_query(&url, parts[i]);

		if (value != NULL)
			place = arena_format(
			    arena, "%s %s=%s", place, parts[i], value);
	}
	return place;
}

const char *
move_log_key(struct arena *arena, const struct declared_queue *queue)
{
	const char *key = arena_format(arena, "%s %s %s", queue->kind,
	    queue->url != NULL ? place_of(arena, queue->url) : "",
	    queue->real_name != NULL ? queue->real_name : "");

	for (size_t i = 0; i < ARRAY_LEN(telling); i++) {
		for (size_t k = 0; k < queue->noptions; k++) {
			const struct declared_option *option =
			    &queue->options[k];

			if (text_equal(option->key, telling[i]) &&
			    !text_equal(option->key, queue->real_key))
				key = arena_format(arena, "%s %s=%s", key,
				    option->key, option->value);
		}
	}
	return key;
}
