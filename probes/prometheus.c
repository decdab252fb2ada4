/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "probes/prometheus.h"

enum {
	LABELS_MAX = 64,
	NUMBER_SIZE = 64
};

/* A piece of the text. */
struct piece {
	const char *at;
	size_t len;
};

struct series {
	struct piece name;
	struct piece key[LABELS_MAX], value[LABELS_MAX]; /* values as written */
	size_t nlabels;
};

struct cursor {
	const char *at, *end;
};

static void
skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->end &&
	       (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
}

static bool
take(struct cursor *cursor, char c)
{
	skip_blanks(cursor);
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static struct piece
take_name(struct cursor *cursor)
{
	struct piece piece;

	skip_blanks(cursor);
	piece.at = cursor->at;
	while (cursor->at < cursor->end &&
	       (isalnum((unsigned char)*cursor->at) || *cursor->at == '_' ||
	           *cursor->at == ':' || *cursor->at == '.'))
		cursor->at++;
	piece.len = (size_t)(cursor->at - piece.at);
	return piece;
}

/* Between quotes; a backslash keeps what follows it from ending the value. */
static bool
take_value(struct cursor *cursor, struct piece *ret)
{
	if (!take(cursor, '"'))
		return false;
	ret->at = cursor->at;
	while (cursor->at < cursor->end && *cursor->at != '"')
		cursor->at += *cursor->at == '\\' ? 2 : 1;
	if (cursor->at >= cursor->end)
		return false;
	ret->len = (size_t)(cursor->at - ret->at);
	cursor->at++;
	return true;
}

/* name, or name{key="value",…} */
static bool
take_series(struct cursor *cursor, struct series *ret)
{
	ret->nlabels = 0;
	ret->name = take_name(cursor);
	if (ret->name.len == 0)
		return false;
	if (!take(cursor, '{'))
		return true;
	while (!take(cursor, '}')) {
		if (ret->nlabels == LABELS_MAX)
			return false;
		ret->key[ret->nlabels] = take_name(cursor);
		if (ret->key[ret->nlabels].len == 0 || !take(cursor, '=') ||
		    !take_value(cursor, &ret->value[ret->nlabels]))
			return false;
		ret->nlabels++;
		if (!take(cursor, ',')) {
			if (!take(cursor, '}'))
				return false;
			break;
		}
	}
	return true;
}

static bool
same(const struct piece *a, const struct piece *b)
{
	return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static bool
matches(const struct series *wanted, const struct series *seen)
{
	if (!same(&wanted->name, &seen->name))
		return false;
	for (size_t i = 0; i < wanted->nlabels; i++) {
		bool found = false;

		for (size_t j = 0; j < seen->nlabels && !found; j++)
			found = same(&wanted->key[i], &seen->key[j]) &&
			        same(&wanted->value[i], &seen->value[j]);
		if (!found)
			return false;
	}
	return true;
}

/* The value; what follows it (a time, an exemplar) is nobody's business. */
static bool
take_number(struct cursor *cursor, double *ret)
{
	char text[NUMBER_SIZE];
	char *end = NULL;

	skip_blanks(cursor);
	size_t left = (size_t)(cursor->end - cursor->at);
	size_t len = 0;

	while (len < left && !isspace((unsigned char)cursor->at[len]))
		len++;
	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, cursor->at, len);
	text[len] = '\0';
	*ret = strtod(text, &end);
	return *end == '\0';
}

/* "# TYPE name gauge" */
static bool
says_gauge(struct cursor cursor, const struct series *wanted)
{
	static const struct piece type = {"TYPE", 4};
	static const struct piece gauge = {"gauge", 5};

	cursor.at++;
	struct piece word = take_name(&cursor);

	if (!same(&word, &type))
		return false;
	word = take_name(&cursor);
	if (!same(&word, &wanted->name))
		return false;
	word = take_name(&cursor);
	return same(&word, &gauge);
}

static int
read_line(struct cursor line, const struct series *wanted,
    struct prometheus_sample *ret)
{
	struct series seen;
	double value = 0;

	skip_blanks(&line);
	if (line.at == line.end)
		return 0;
	if (*line.at == '#') {
		ret->gauge = ret->gauge || says_gauge(line, wanted);
		return 0;
	}
	if (!take_series(&line, &seen) || !take_number(&line, &value))
		return -1;
	if (!matches(wanted, &seen))
		return 0;
	ret->value += value;
	ret->series++;
	return 0;
}

int
prometheus_find(const char *text, size_t len, const char *wanted,
    struct prometheus_sample *ret, struct err *err)
{
	struct cursor name = {wanted, wanted + strlen(wanted)};
	struct series series;
	const char *end = text + len;
	size_t number = 0;

	*ret = (struct prometheus_sample){0};
	if (!take_series(&name, &series) || name.at != name.end)
		return err_set(err, ERR_INPUT,
		    "'%.100s' is not a metric: name, or name{label=\"value\"}",
		    wanted);
	for (const char *at = text; len > 0 && at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct cursor line = {at, stop == NULL ? end : stop};

		number++;
		if (line.end > line.at && line.end[-1] == '\r')
			line.end--;
		if (read_line(line, &series, ret) == -1)
			return err_set(err, ERR_INPUT,
			    "line %zu is not in Prometheus' text format",
			    number);
		at = stop == NULL ? end : stop + 1;
	}
	return 0;
}
