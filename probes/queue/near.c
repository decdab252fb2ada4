/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "probes/queue/near.h"

enum {
	NAME_MAX_BYTES = 255 /* longer ones are not compared */
};

static const char separators[] = ":-_./";

static bool
is_separator(char c)
{
	return c != '\0' && strchr(separators, c) != NULL;
}

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static char
upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

/* Letters and digits in lower case, without what parts the words. */
static void
skeleton(const char *name, char dst[NAME_MAX_BYTES + 1])
{
	size_t len = 0;

	for (; *name != '\0' && len < NAME_MAX_BYTES; name++) {
		if (!is_separator(*name))
			dst[len++] = lower(*name);
	}
	dst[len] = '\0';
}

unsigned
near_distance(const char *wanted, const char *name)
{
	char a[NAME_MAX_BYTES + 1];
	char b[NAME_MAX_BYTES + 1];
	size_t len = MAX(strlen(wanted), strlen(name));

	if (strlen(wanted) > NAME_MAX_BYTES || strlen(name) > NAME_MAX_BYTES)
		return UINT_MAX;
	if (text_equal(wanted, name))
		return 0;
	skeleton(wanted, a);
	skeleton(name, b);
	if (a[0] != '\0' && text_equal(a, b))
		return 1;
	unsigned limit = (unsigned)(len / 3);

	if (limit == 0)
		limit = 1;
	unsigned distance = text_distance(wanted, name, limit);

	if (distance <= limit)
		return distance;
	/* a prefix left out or added: "jobs" for "fileprocess:jobs" */
	size_t na = strlen(wanted);
	size_t nb = strlen(name);
	const char *longer = na > nb ? wanted : name;
	const char *shorter = na > nb ? name : wanted;

	if (MIN(na, nb) >= 3 && na != nb && text_ends(longer, shorter) &&
	    is_separator(longer[len - MIN(na, nb) - 1]))
		return limit + 1;
	return UINT_MAX;
}

void
near_init(struct near *near, struct arena *arena, const char *wanted)
{
	*near = (struct near){.arena = arena, .wanted = wanted};
}

void
near_offer(
    struct near *near, const char *name, const char *where, const char *type)
{
	unsigned distance = near_distance(near->wanted, name);
	size_t at = near->count;

	if (distance == UINT_MAX || (distance == 0 && where[0] == '\0'))
		return;
	for (size_t i = 0; i < near->count; i++) {
		if (text_equal(near->found[i].name, name) &&
		    text_equal(near->found[i].where, where))
			return;
	}
	while (at > 0 && near->found[at - 1].distance > distance)
		at--;
	if (at == QUEUE_NEAR_MAX)
		return;
	size_t moved = MIN(near->count, (size_t)QUEUE_NEAR_MAX - 1) - at;

	memmove(&near->found[at + 1], &near->found[at],
	    moved * sizeof(near->found[0]));
	near->found[at] =
	    (struct queue_near){.name = arena_text(near->arena, name),
	        .where = arena_text(near->arena, where),
	        .type = type,
	        .waiting = {.why = "not counted"},
	        .distance = distance};
	if (near->count < QUEUE_NEAR_MAX)
		near->count++;
}

bool
near_has_name(const struct near *near)
{
	return near->count > 0 && near->found[0].distance == 0;
}

void
near_finish(const struct near *near, struct queue_state *state)
{
	struct queue_near *list =
	    arena_array(near->arena, near->count + 1, sizeof(*list));

	memcpy(list, near->found, near->count * sizeof(*list));
	state->near = list;
	state->nnear = near->count;
}

const char *
near_text(struct arena *arena, const char *wanted, const char *const *names,
    size_t count)
{
	enum {
		SHOWN_MAX = 5
	};
	const char *near = text_nearest(wanted, names, count);
	const char *text = "";

	if (near != NULL)
		return arena_format(arena, "; near: '%s'", near);
	for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
		text = arena_format(arena, "%s%s'%s'", text,
		    i == 0 ? "; there are: " : ", ", names[i]);
	if (count > SHOWN_MAX)
		text = arena_format(
		    arena, "%s and %zu more", text, count - SHOWN_MAX);
	return text;
}

static void
add_candidate(
    const char **ret, size_t *count, const char *name, const char *candidate)
{
	if (*count == NEAR_CANDIDATES_MAX || candidate[0] == '\0' ||
	    text_equal(candidate, name))
		return;
	for (size_t i = 0; i < *count; i++) {
		if (text_equal(ret[i], candidate))
			return;
	}
	ret[(*count)++] = candidate;
}

static const char *
with_separator(struct arena *arena, const char *name, char separator)
{
	char *copy = arena_text(arena, name);
	size_t len = 0;

	for (size_t i = 0; name[i] != '\0'; i++) {
		if (!is_separator(name[i]))
			copy[len++] = name[i];
		else if (separator != '\0')
			copy[len++] = separator;
	}
	copy[len] = '\0';
	return copy;
}

static const char *
mapped(struct arena *arena, const char *name, char (*map)(char c))
{
	char *copy = arena_text(arena, name);

	for (size_t i = 0; copy[i] != '\0'; i++)
		copy[i] = map(copy[i]);
	return copy;
}

size_t
near_candidates(
    struct arena *arena, const char *name, const char *ret[NEAR_CANDIDATES_MAX])
{
	/* where the well-known libraries keep a queue of this name */
	static const char *const layouts[] = {"bull:%s:wait", "bull:%s:id",
	    "bq:%s:waiting", "rq:queue:%s", "queue:%s", "resque:queue:%s",
	    "huey.redis.%s", "_kombu.binding.%s"};
	size_t count = 0;
	size_t len = strlen(name);

	if (len == 0 || len > NAME_MAX_BYTES)
		return 0;
	for (size_t i = 0; i < sizeof(separators); i++) /* and none: '\0' */
		add_candidate(ret, &count, name,
		    with_separator(arena, name, separators[i]));
	add_candidate(ret, &count, name, mapped(arena, name, lower));
	add_candidate(ret, &count, name, mapped(arena, name, upper));
	if (name[len - 1] == 's')
		add_candidate(ret, &count, name,
		    arena_format(arena, "%.*s", (int)len - 1, name));
	else
		add_candidate(
		    ret, &count, name, arena_format(arena, "%ss", name));
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		const char *mark = strstr(layouts[i], "%s");

		add_candidate(ret, &count, name,
		    arena_format(arena, "%.*s%s%s", (int)(mark - layouts[i]),
		        layouts[i], name, mark + 2));
	}
	for (const char *c = name; *c != '\0'; c++) {
		if (is_separator(*c)) /* its last words alone */
			add_candidate(
			    ret, &count, name, arena_text(arena, c + 1));
	}
	return count;
}
