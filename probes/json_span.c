/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "probes/json_span.h"

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0')
		at++;
	return at;
}

/* Behind the closing quote; `at` is at the opening one. */
static const char *
skip_text(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++) {
		if (*at == '\\')
			at++;
	}
	return at < end ? at + 1 : end;
}

static const char *
skip_value(const char *at, const char *end)
{
	size_t depth = 0;

	do {
		if (at < end && *at == '"') {
			at = skip_text(at, end);
			continue;
		}
		if (at < end && (*at == '{' || *at == '['))
			depth++;
		else if (at < end && (*at == '}' || *at == ']')) {
			if (depth == 0)
				return at;
			depth--;
		} else if (at < end && depth == 0 && (*at == ',' || *at == ':'))
			return at;
		at++;
	} while (at < end && (depth > 0 || strchr(",]}: \t\r\n", *at) == NULL));
	return MIN(at, end);
}

/* One step over `{` or `,`; `*at` is then at a key or a value. False: that was
 * the last. */
static bool
next(const char **at, const char *end, char opening, bool first)
{
	*at = skip_space(*at, end);
	if (*at >= end || **at != (first ? opening : ','))
		return false;
	*at = skip_space(*at + 1, end);
	return *at < end && **at != '}' && **at != ']';
}

static const char *
take_value(const char *at, const char *end, struct json_span *ret)
{
	const char *behind = skip_value(at, end);

	*ret = (struct json_span){at, (size_t)(behind - at)};
	return behind;
}

bool
json_span_member(struct json_span of, const char *key, struct json_span *ret)
{
	const char *at = of.at;
	const char *end = of.at + of.len;
	size_t len = strlen(key);

	for (bool first = true; next(&at, end, '{', first); first = false) {
		const char *name = at;

		if (*name != '"')
			return false;
		at = skip_text(at, end);
		bool found = (size_t)(at - name) == len + 2 &&
		             memcmp(name + 1, key, len) == 0;

		at = skip_space(at, end);
		if (at >= end || *at != ':')
			return false;
		at = take_value(skip_space(at + 1, end), end, ret);
		if (found)
			return true;
	}
	return false;
}

bool
json_span_element(struct json_span of, size_t index, struct json_span *ret)
{
	const char *at = of.at;
	const char *end = of.at + of.len;

	for (bool first = true; next(&at, end, '[', first); first = false) {
		at = take_value(at, end, ret);
		if (index-- == 0)
			return true;
	}
	return false;
}
