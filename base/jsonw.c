/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/utf8.h"

void
jsonw_init(struct jsonw *json, struct buffer *out, bool pretty)
{
	*json = (struct jsonw){.out = out, .pretty = pretty};
}

static void
put_newline(struct jsonw *json)
{
	if (!json->pretty)
		return;
	buffer_append(json->out, "\n", 1);
	for (unsigned i = 0; i < json->depth; i++)
		buffer_append(json->out, "  ", 2);
}

/* `len` bytes at `p` are one character; 0: a byte that is none. */
static void
put_character(struct buffer *out, const unsigned char *p, size_t len)
{
	static const char *const escapes[0x20] = {
	    ['\b'] = "\\b",
	    ['\f'] = "\\f",
	    ['\n'] = "\\n",
	    ['\r'] = "\\r",
	    ['\t'] = "\\t",
	};

	if (len == 0)
		buffer_text(out, "\xEF\xBF\xBD");
	else if (*p == '"')
		buffer_text(out, "\\\"");
	else if (*p == '\\')
		buffer_text(out, "\\\\");
	else if (*p < 0x20 && escapes[*p] != NULL)
		buffer_text(out, escapes[*p]);
	else if (*p < 0x20 || *p == 0x7F)
		buffer_format(out, "\\u%04x", (unsigned)*p);
	else if (*p == 0xC2 && p[1] < 0xA0) /* C1: terminals obey them */
		buffer_format(out, "\\u%04x", (unsigned)p[1]);
	else
		buffer_append(out, p, len);
}

static void
put_string(struct buffer *out, const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;

	buffer_append(out, "\"", 1);
	while (left > 0) {
		size_t len = utf8_len(p, left);
		put_character(out, p, len);
		len = MAX(len, 1);
		p += len;
		left -= len;
	}
	buffer_append(out, "\"", 1);
}

/* Comma, indent and key: all that comes before a value. */
static void
begin_value(struct jsonw *json, const char *key)
{
	if (json->depth == 0) {
		assert(key == NULL);
		return;
	}
	unsigned top = json->depth - 1;
	assert((json->stack[top] == '{') == (key != NULL));
	if (json->any[top])
		buffer_append(json->out, ",", 1);
	json->any[top] = true;
	put_newline(json);
	if (key == NULL)
		return;
	put_string(json->out, key, strlen(key));
	buffer_text(json->out, json->pretty ? ": " : ":");
}

static void
open_level(struct jsonw *json, const char *key, char bracket)
{
	begin_value(json, key);
	assert(json->depth < JSONW_DEPTH_MAX);
	buffer_append(json->out, &bracket, 1);
	json->stack[json->depth] = bracket;
	json->any[json->depth] = false;
	json->depth++;
}

void
jsonw_object(struct jsonw *json, const char *key)
{
	open_level(json, key, '{');
}

void
jsonw_array(struct jsonw *json, const char *key)
{
	open_level(json, key, '[');
}

void
jsonw_end(struct jsonw *json)
{
	assert(json->depth > 0);
	json->depth--;
	if (json->any[json->depth])
		put_newline(json);
	buffer_append(
	    json->out, json->stack[json->depth] == '{' ? "}" : "]", 1);
}

void
jsonw_text(struct jsonw *json, const char *key, const char *text)
{
	if (text == NULL)
		jsonw_null(json, key);
	else
		jsonw_bytes(json, key, text, strlen(text));
}

void
jsonw_bytes(struct jsonw *json, const char *key, const char *text, size_t len)
{
	begin_value(json, key);
	put_string(json->out, text, len);
}

void
jsonw_format(struct jsonw *json, const char *key, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	int len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		/* an incomplete document must not pass for a whole one */
		json->out->overflow = true;
		return;
	}
	jsonw_bytes(json, key, text, (size_t)len);
	free(text);
}

void
jsonw_i64(struct jsonw *json, const char *key, int64_t value)
{
	begin_value(json, key);
	buffer_format(json->out, "%" PRId64, value);
}

void
jsonw_double(struct jsonw *json, const char *key, double value)
{
	char text[40];

	if (!isfinite(value)) {
		jsonw_null(json, key);
		return;
	}
	/* the shorter form where it says the same */
	(void)snprintf(text, sizeof(text), "%.15g", value);
	double again = strtod(text, NULL);
	if (again < value || again > value)
		(void)snprintf(text, sizeof(text), "%.17g", value);
	begin_value(json, key);
	buffer_text(json->out, text);
}

void
jsonw_bool(struct jsonw *json, const char *key, bool value)
{
	begin_value(json, key);
	buffer_text(json->out, value ? "true" : "false");
}

void
jsonw_null(struct jsonw *json, const char *key)
{
	begin_value(json, key);
	buffer_text(json->out, "null");
}

void
jsonw_raw(struct jsonw *json, const char *key, const char *text)
{
	begin_value(json, key);
	buffer_text(json->out, text);
}
