/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include "base/text.h"
#include "base/url.h"
#include "checks/names.h"
#include "supervisor/operator/move_log.h"

/*
 * A queue in the log of moves. The same queue must have the same key whoever
 * writes its URL, or a job that was moved before isn't known again: so the
 * host's case, a default port, the user, TLS or not, and options that only say
 * how to look are left out. Two names of one host stay two queues: nothing is
 * looked up.
 */

/* Options that tell two queues of one server and name apart. */
static const char *const telling[] = {"group", "consumer", "prefix",
    "keyprefix", "ns", "schema", "table", "queue_column", "queue", "topic"};

/* Its server and database, as checks name them; else scheme, host and path. */
static const char *
place_of(struct arena *arena, const char *text)
{
	static const char *const parts[] = {"db", "master"};
	const char *known = url_place(arena, text);
	struct url url;

	if (url_parse(arena, text, &url, NULL) == -1)
		return url_shown(arena, text);
	char *place = known != NULL ? arena_text(arena, known)
	                            : arena_format(arena, "%s %s", url.scheme,
	                                  url_endpoint(arena, text) != NULL
	                                      ? url_endpoint(arena, text)
	                                      : "");
	size_t hosts = strcspn(place, " ") + 1;

	for (char *at = place + hosts; *at != '\0' && *at != ' '; at++)
		*at = (char)tolower((unsigned char)*at);
	if (known != NULL)
		return place;
	place = arena_format(arena, "%s %s", place, url.path);
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
