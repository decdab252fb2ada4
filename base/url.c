/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "base/url_span.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* NULL when a '%' isn't followed by two digits, or they say NUL. */
static char *
decode(struct arena *arena, struct span span)
{
	char *text = arena_alloc(arena, span.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < span.len; i++) {
		if (span.at[i] != '%') {
			text[len++] = span.at[i];
			continue;
		}
		if (span.len - i < 3)
			return NULL;
		int high = hex_value(span.at[i + 1]);
		int low = hex_value(span.at[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return NULL;
		text[len++] = (char)(high * 16 + low);
		i += 2;
	}
	text[len] = '\0';
	return text;
}

/* The parts of a URL as they stand in the text. */
struct raw_url {
	struct span scheme;
	struct span userinfo; /* at NULL: absent */
	struct span host;
	struct span port; /* at NULL: absent */
	struct span path;
	struct span query; /* at NULL: absent */
};

static int
split_host(struct span rest, struct raw_url *url, struct err *err)
{
	const char *colon;

	if (span_first(rest, ',') != NULL) { /* several hosts: one text */
		url->host = rest;
		return 0;
	}
	if (rest.len > 0 && rest.at[0] == '[') {
		const char *close = span_first(rest, ']');
		if (close == NULL)
			return err_set(err, ERR_INPUT,
			    "the host begins with '[' and has no ']'");
		url->host = span_of(rest.at + 1, close);
		colon = close + 1;
		if (colon < span_end(rest) && *colon != ':')
			return err_set(err, ERR_INPUT,
			    "after the host's ']' there is no ':port'");
		if (colon == span_end(rest))
			colon = NULL;
	} else {
		colon = span_first(rest, ':');
		url->host =
		    span_of(rest.at, colon != NULL ? colon : span_end(rest));
	}
	if (colon != NULL)
		url->port = span_of(colon + 1, span_end(rest));
	return 0;
}

static int
split(const char *text, struct raw_url *ret, struct err *err)
{
	struct raw_url url = {0};
	const char *p = text;

	if (is_alpha(*p)) {
		while (is_scheme_char(*p))
			p++;
	}
	url.scheme = span_of(text, p);
	if (p == text || !text_starts(p, "://"))
		return err_set(err, ERR_INPUT,
		    "not a URL: it doesn't begin with 'scheme://'");
	p += 3;
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7F)
			return err_set(err, ERR_INPUT,
			    "a space or control character at byte %zu of the "
			    "URL",
			    (size_t)(c - text) + 1);
		if (*c == '#')
			return err_set(err, ERR_INPUT,
			    "a '#' at byte %zu of the URL: write it as %%23",
			    (size_t)(c - text) + 1);
	}
	const char *end = span_up_to(p, "/?");
	struct span authority = span_of(p, end);
	const char *at = span_last(authority, '@');
	if (at != NULL) {
		url.userinfo = span_of(p, at);
		authority = span_of(at + 1, end);
	}
	if (split_host(authority, &url, err) == -1)
		return -1;
	p = end;
	end = span_up_to(p, "?");
	url.path = span_of(p, end);
	if (*end == '?')
		url.query = span_of(end + 1, end + strlen(end));
	*ret = url;
	return 0;
}

/* What stands there may be half a password: it is never quoted. */
static int
read_port(struct span port, int *ret, struct err *err)
{
	char text[8];
	int64_t value;

	if (port.len > 0 && port.len < sizeof(text)) {
		memcpy(text, port.at, port.len);
		text[port.len] = '\0';
		if (text_i64(text, 1, 65535, &value, NULL) == 0) {
			*ret = (int)value;
			return 0;
		}
	}
	return err_set(err, ERR_INPUT,
	    "the port is not a number in 1..65535 (within a password, '/', "
	    "'?', '#' and '@' are written as %%2F, %%3F, %%23 and %%40)");
}

static int
refuse_escape(const char *part, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    "a '%%' without two hexadecimal digits, or %%00, in the URL's %s",
	    part);
}

static int
read_query(
    struct arena *arena, struct span query, struct url *url, struct err *err)
{
	size_t count = 1;
	bool secret = false; /* the parameter before */

	if (query.at == NULL)
		return 0;
	for (size_t i = 0; i < query.len; i++)
		count += query.at[i] == '&' ? 1 : 0;
	url->query = arena_array(arena, count, sizeof(*url->query));
	for (const char *p = query.at; p <= span_end(query);) {
		const char *end = span_up_to(p, "&");
		struct span pair = span_of(p, end);
		const char *equals = span_first(pair, '=');
		struct url_query *entry = &url->query[url->nquery];

		p = end + 1;
		if (secret && equals == NULL)
			return err_set(err, ERR_INPUT,
			    "what follows a password in the URL's query has no "
			    "'=' (within a password, '&' is written as %%26)");
		secret = equals != NULL && url_ends_secret_key(pair.at, equals);
		if (pair.len == 0)
			continue;
		entry->key = decode(
		    arena, span_of(pair.at, equals != NULL ? equals : end));
		entry->value = decode(
		    arena, span_of(equals != NULL ? equals + 1 : end, end));
		if (entry->key == NULL || entry->value == NULL)
			return refuse_escape("query", err);
		url->nquery++;
	}
	return 0;
}

static int
read_userinfo(
    struct arena *arena, struct span userinfo, struct url *url, struct err *err)
{
	if (userinfo.at == NULL)
		return 0;
	const char *colon = span_first(userinfo, ':');
	const char *end = span_end(userinfo);
	url->user =
	    decode(arena, span_of(userinfo.at, colon != NULL ? colon : end));
	if (url->user == NULL)
		return refuse_escape("user", err);
	if (colon == NULL)
		return 0;
	url->password = decode(arena, span_of(colon + 1, end));
	if (url->password == NULL)
		return refuse_escape("password", err);
	return 0;
}

int
url_parse(
    struct arena *arena, const char *text, struct url *ret, struct err *err)
{
	struct raw_url raw = {0};
	struct url url = {.port = -1};

	if (split(text, &raw, err) == -1)
		return -1;
	if (raw.port.at != NULL && read_port(raw.port, &url.port, err) == -1)
		return -1;
	url.scheme = arena_bytes(arena, raw.scheme.at, raw.scheme.len);
	for (char *p = url.scheme; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	}
	if (read_userinfo(arena, raw.userinfo, &url, err) == -1)
		return -1;
	url.host = decode(arena, raw.host);
	if (url.host == NULL)
		return refuse_escape("host", err);
	url.path = decode(arena, raw.path);
	if (url.path == NULL)
		return refuse_escape("path", err);
	if (read_query(arena, raw.query, &url, err) == -1)
		return -1;
	*ret = url;
	return 0;
}

const char *
url_query(const struct url *url, const char *key)
{
	for (size_t i = 0; i < url->nquery; i++) {
		if (strcmp(url->query[i].key, key) == 0)
			return url->query[i].value;
	}
	return NULL;
}

char *
url_without(struct arena *arena, const char *text, const char *const *drop)
{
	const char *mark = strchr(text, '?');
	char *copy = arena_text(arena, text);

	if (mark == NULL)
		return copy;
	size_t len = (size_t)(mark - text);
	bool any = false;
	for (const char *p = mark; *p != '\0';) {
		const char *start = p + 1;
		const char *end = span_up_to(start, "&");
		const char *key_end = span_up_to(start, "=&");
		const char *key = decode(arena, span_of(start, key_end));
		bool dropped = false;

		for (size_t i = 0; key != NULL && drop[i] != NULL; i++)
			dropped = dropped || strcmp(key, drop[i]) == 0;
		if (!dropped) {
			copy[len++] = any ? '&' : '?';
			memmove(copy + len, start, (size_t)(end - start));
			len += (size_t)(end - start);
			any = true;
		}
		p = end;
	}
	copy[len] = '\0';
	return copy;
}

char *
url_encode(struct arena *arena, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *encoded = arena_array(arena, strlen(text) + 1, 3);
	char *p = encoded;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (is_alpha(*text) || (c >= '0' && c <= '9') || c == '-' ||
		    c == '.' || c == '_' || c == '~') {
			*p++ = *text;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = '\0';
	return encoded;
}
