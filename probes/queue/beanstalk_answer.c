/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/beanstalk.h"

/* What a server that says it is beanstalkd answers, taken apart. */

static const char SAFE[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "0123456789-+/;.$_()";

bool
beanstalk_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= BEANSTALK_NAME_MAX && name[0] != '-' &&
	       strspn(name, SAFE) == len;
}

/* --- the first line ------------------------------------------------------- */

int
beanstalk_line_of(const char *line, struct beanstalk_line *ret, struct err *err)
{
	static const char *const with_body[] = {"OK", "FOUND"};
	struct beanstalk_line found = {.number = {-1, -1}};
	size_t len = strcspn(line, " ");

	if (len == 0 || len >= sizeof(found.word) ||
	    strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != len)
		return err_set(
		    err, ERR_INPUT, "'%.40s' is no answer of beanstalkd", line);
	memcpy(found.word, line, len);
	/* USING and WATCHING name a tube */
	if (text_equal(found.word, "USING")) {
		*ret = found;
		return 0;
	}
	for (size_t i = 0; line[len] != '\0'; i++) {
		char number[24];
		const char *at = line + len + 1;
		size_t digits = strcspn(at, " ");

		if (i == ARRAY_LEN(found.number) || digits >= sizeof(number))
			return err_set(err, ERR_INPUT,
			    "'%.40s' is no answer of beanstalkd", line);
		memcpy(number, at, digits);
		number[digits] = '\0';
		if (text_i64(number, 0, INT64_MAX, &found.number[i], err) == -1)
			return err_wrap(err, "the answer '%.40s'", line);
		found.body = found.number[i];
		len = (size_t)(at - line) + digits;
	}
	for (size_t i = 0; i < ARRAY_LEN(with_body); i++)
		found.has_body |= text_equal(found.word, with_body[i]);
	if (found.has_body && found.number[0] < 0)
		return err_set(
		    err, ERR_INPUT, "'%.40s' doesn't say how long it is", line);
	*ret = found;
	return 0;
}

/* --- what is YAML --------------------------------------------------------- */

/* The next line of `*at`, a copy; NULL at the end. A control character is an
 * error: the caller sees `*bad`. */
static char *
next_line(struct arena *arena, const char **at, const char *end, bool *bad)
{
	const char *line = *at;
	const char *stop = NULL;

	if (line >= end)
		return NULL;
	stop = memchr(line, '\n', (size_t)(end - line));
	if (stop == NULL)
		stop = end;
	*at = stop < end ? stop + 1 : end;
	for (const char *c = line; c < stop; c++)
		*bad |= (unsigned char)*c < ' ' || *c == '\x7f';
	return *bad ? NULL : arena_bytes(arena, line, (size_t)(stop - line));
}

static int
begin(struct arena *arena, const char **at, const char *end, struct err *err)
{
	bool bad = false;
	const char *first = next_line(arena, at, end, &bad);

	if (bad || !text_equal(first, "---"))
		return err_set(
		    err, ERR_INPUT, "the answer doesn't begin with '---'");
	return 0;
}

/* Without the quotes that it may have. */
static char *
unquoted(char *value)
{
	size_t len = strlen(value);

	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		value[len - 1] = '\0';
		return value + 1;
	}
	return value;
}

int
beanstalk_stats_of(struct arena *arena, const char *text, size_t len,
    struct beanstalk_stats *ret, struct err *err)
{
	const char *at = text;
	const char *end = text + len;
	bool bad = false;
	char *line = NULL;

	*ret = (struct beanstalk_stats){.count = 0};
	if (begin(arena, &at, end, err) == -1)
		return -1;
	while ((line = next_line(arena, &at, end, &bad)) != NULL) {
		char *colon = strchr(line, ':');

		if (line[0] == '\0') /* the last one, from 1.11 on */
			continue;
		if (colon == NULL || colon == line || colon[1] != ' ')
			return err_set(err, ERR_INPUT,
			    "'%.40s' in the answer is no 'key: value'", line);
		if (ret->count == BEANSTALK_FIELDS_MAX)
			return err_set(err, ERR_CAPACITY,
			    "the answer has more than %d fields",
			    BEANSTALK_FIELDS_MAX);
		*colon = '\0';
		ret->field[ret->count].key = line;
		ret->field[ret->count++].value = unquoted(colon + 2);
	}
	return bad ? err_set(
	                 err, ERR_INPUT, "the answer has a control character")
	           : 0;
}

const char *
beanstalk_text(const struct beanstalk_stats *stats, const char *key)
{
	for (size_t i = 0; i < stats->count; i++)
		if (text_equal(stats->field[i].key, key))
			return stats->field[i].value;
	return "";
}

struct queue_number
beanstalk_number(const struct beanstalk_stats *stats, const char *key)
{
	int64_t value = 0;

	if (text_i64(beanstalk_text(stats, key), 0, INT64_MAX, &value, NULL) ==
	    -1)
		return queue_unknown("the server didn't say it");
	return queue_exact(value);
}

int
beanstalk_names_of(struct arena *arena, const char *text, size_t len,
    struct beanstalk_names *ret, struct err *err)
{
	const char *at = text;
	const char *end = text + len;
	bool bad = false;
	char *line = NULL;
	size_t lines = 0;

	if (begin(arena, &at, end, err) == -1)
		return -1;
	for (const char *c = at; c < end; c++)
		lines += *c == '\n';
	*ret = (struct beanstalk_names){
	    .names =
	        arena_array(arena, MIN(lines + 1, (size_t)BEANSTALK_TUBES_MAX),
	            sizeof(*ret->names))};
	while (ret->count < BEANSTALK_TUBES_MAX &&
	       (line = next_line(arena, &at, end, &bad)) != NULL) {
		if (line[0] == '\0')
			continue;
		if (!text_starts(line, "- ") ||
		    !beanstalk_name_valid(unquoted(line + 2)))
			return err_set(err, ERR_INPUT,
			    "'%.40s' in the answer is no tube", line);
		ret->names[ret->count++] = unquoted(line + 2);
	}
	return bad ? err_set(
	                 err, ERR_INPUT, "the answer has a control character")
	           : 0;
}
