/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "base/url.h"

#define HIDDEN "***"

/* A part of the text: from `at`, `len` bytes. */
struct span {
	const char *at;
	size_t len;
};

static struct span
span_of(const char *at, const char *end)
{
	return (struct span){at, (size_t)(end - at)};
}

static const char *
span_end(struct span span)
{
	return span.at + span.len;
}

static const char *
span_last(struct span span, char c)
{
	return span.len == 0 ? NULL : memrchr(span.at, c, span.len);
}

static const char *
span_first(struct span span, char c)
{
	return span.len == 0 ? NULL : memchr(span.at, c, span.len);
}

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

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_scheme_char(char c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
	       c == '.';
}

static bool
is_name_char(char c)
{
	return is_scheme_char(c) || c == '_';
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

/* Where a part ends that goes up to the first of `stops`, or to the end. */
static const char *
up_to(const char *text, const char *stops)
{
	return text + strcspn(text, stops);
}

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
	const char *end = up_to(p, "/?");
	struct span authority = span_of(p, end);
	const char *at = span_last(authority, '@');
	if (at != NULL) {
		url.userinfo = span_of(p, at);
		authority = span_of(at + 1, end);
	}
	if (split_host(authority, &url, err) == -1)
		return -1;
	p = end;
	end = up_to(p, "?");
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

static bool ends_secret_key(const char *text, const char *equals);

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
		const char *end = up_to(p, "&");
		struct span pair = span_of(p, end);
		const char *equals = span_first(pair, '=');
		struct url_query *entry = &url->query[url->nquery];

		p = end + 1;
		if (secret && equals == NULL)
			return err_set(err, ERR_INPUT,
			    "what follows a password in the URL's query has no "
			    "'=' (within a password, '&' is written as %%26)");
		secret = equals != NULL && ends_secret_key(pair.at, equals);
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
		const char *end = up_to(start, "&");
		const char *key_end = up_to(start, "=&");
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

/* --- hiding -------------------------------------------------------------- */

struct hiding {
	char *out;
	size_t len;
	const char *boundary; /* bytes that end a URL, beside the text's end */
};

static void
hide_put(struct hiding *hiding, const char *bytes, size_t len)
{
	memcpy(hiding->out + hiding->len, bytes, len);
	hiding->len += len;
}

static bool
is_port(struct span span)
{
	for (size_t i = 0; i < span.len; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return false;
	}
	return true;
}

/* A host, and if there is a port it is a number. */
static bool
is_host(struct span span)
{
	const char *colon = span_last(span, ':');

	return span.at[0] == '[' || colon == NULL ||
	       span_first(span, ',') != NULL ||
	       is_port(span_of(colon + 1, span_end(span)));
}

/* Is one of the words of "nats+tls" the word? */
static bool
scheme_is(struct span scheme, const char *word)
{
	const char *end = span_end(scheme);
	const char *next;

	for (const char *p = scheme.at; p < end; p = next + 1) {
		const char *plus = span_first(span_of(p, end), '+');
		next = plus != NULL ? plus : end;
		if (strlen(word) == (size_t)(next - p) &&
		    strncasecmp(p, word, (size_t)(next - p)) == 0)
			return true;
	}
	return false;
}

static bool
scheme_is_http(struct span scheme)
{
	return scheme_is(scheme, "http") || scheme_is(scheme, "https");
}

/* A lone name before the '@' is mostly a token, or a password without its
 * colon. */
static bool
is_token_scheme(struct span scheme)
{
	return scheme_is_http(scheme) || scheme_is(scheme, "nats") ||
	       scheme_is(scheme, "tls") || scheme_is(scheme, "redis") ||
	       scheme_is(scheme, "rediss");
}

/* Where "?key=" begins, which a '?' within a password seldom does; or the end.
 */
static const char *
query_start(const char *p, const char *url_end)
{
	for (; p < url_end; p++) {
		const char *key = p + 1;

		if (*p != '?')
			continue;
		while (key < url_end && is_name_char(*key))
			key++;
		if (key > p + 1 && key < url_end && *key == '=')
			return p;
	}
	return url_end;
}

/* The '@' that ends the userinfo of the authority at `p`, or NULL. A password
 * with a bare '/', '?', '#' or '@' in it reaches beyond the authority that a
 * parser would see: where what is left as the host has a port that is no
 * number, and where an '@' stands in the path (which only HTTP has there), the
 * userinfo ends at the last one. */
static const char *
userinfo_end(struct span scheme, const char *p, const char *url_end)
{
	const char *end = p + strcspn(p, "/?#");
	end = MIN(end, url_end);
	struct span authority = span_of(p, end);
	const char *at = span_last(authority, '@');

	if (end == url_end || authority.len == 0)
		return at;
	const char *last = span_last(span_of(p, query_start(p, url_end)), '@');

	if (!is_host(span_of(at != NULL ? at + 1 : p, end)))
		return last != NULL ? last
		                    : span_last(span_of(p, url_end), '@');
	if (scheme_is_http(scheme) ||
	    (at == NULL && span_first(authority, ':') == NULL &&
	        !is_token_scheme(scheme)))
		return at;
	return last;
}

/* The userinfo from `p` to the '@'. */
static void
hide_userinfo(struct hiding *hiding, struct span scheme, struct span userinfo)
{
	const char *colon = span_first(userinfo, ':');

	if (colon == NULL) {
		/* a user; with a stray '@' or '/' in it, half a password */
		bool plain = !is_token_scheme(scheme) &&
		             span_first(userinfo, '@') == NULL &&
		             span_first(userinfo, '/') == NULL;
		if (plain)
			hide_put(hiding, userinfo.at, userinfo.len);
		else
			hide_put(hiding, HIDDEN, 3);
		return;
	}
	struct span user = span_of(userinfo.at, colon);
	if (span_first(user, '@') == NULL && span_first(user, '/') == NULL)
		hide_put(hiding, user.at, user.len + 1);
	hide_put(hiding, HIDDEN, 3);
}

/* The scheme that ends where "://" begins. */
static struct span
scheme_before(const char *text, const char *colon)
{
	const char *start = colon;

	while (start > text && is_scheme_char(start[-1]))
		start--;
	return span_of(start, colon);
}

/* The short ones count as whole words, the others as the end of one too:
 * DB_PASSWORD. */
static const char *const secret_keys[] = {"pwd", "pass", "sig", "token",
    "password", "passwd", "passphrase", "client_secret", "access_token",
    "auth_token", "apikey", "api_key", "signature", "sharedaccesskey",
    "secret_key", "secretkey", "security-token"};

enum {
	KEY_WORD_MAX = 5
};

/* Is the word that ends before this '=' one whose value is a secret? */
static bool
ends_secret_key(const char *text, const char *equals)
{
	const char *start = equals;

	while (start > text && is_name_char(start[-1]))
		start--;
	for (size_t i = 0; i < ARRAY_LEN(secret_keys); i++) {
		size_t len = strlen(secret_keys[i]);
		size_t have = (size_t)(equals - start);
		if ((len > KEY_WORD_MAX ? have >= len : have == len) &&
		    strncasecmp(equals - len, secret_keys[i], len) == 0)
			return true;
	}
	return false;
}

/* Does the key before this '=' stand in a URL's query? */
static bool
in_query(const char *text, const char *equals)
{
	while (equals > text && is_name_char(equals[-1]))
		equals--;
	return equals > text && (equals[-1] == '?' || equals[-1] == '&');
}

/* Where a value of a URL's query ends: of a URL within a text, before what
 * closes a bracket or a quote. */
static const char *
value_end(const struct hiding *hiding, const char *value)
{
	const char *end = up_to(value, "&");
	end = MIN(end, up_to(value, hiding->boundary));

	while (*hiding->boundary != '\0' && end > value &&
	       strchr("'),;:", end[-1]) != NULL)
		end--;
	return end;
}

/* The same of a password: a part that has no '=' belongs to it, behind a '&'
 * that wasn't written as %26. */
static const char *
secret_end(const struct hiding *hiding, const char *value)
{
	const char *end = value_end(hiding, value);

	while (*end == '&') {
		const char *next = value_end(hiding, end + 1);

		if (memchr(end, '=', (size_t)(next - end)) != NULL)
			break;
		end = next;
	}
	return end;
}

/* "password=…" of a query or a conninfo. Returns where the value ends. Where a
 * secret is ("pass=env:NAME") isn't one. */
static const char *
hide_value(struct hiding *hiding, const char *value, bool query)
{
	const char *end;

	if (text_starts(value, "env:") || text_starts(value, "file:/"))
		return value;
	if (query)
		end = secret_end(hiding, value);
	else if (*value == '\'' || *value == '"') {
		char quote[2] = {*value, '\0'};
		end = up_to(value + 1, quote);
		end += *end != '\0' ? 1 : 0;
	} else
		end = up_to(value, "&; \t\r\n\"'<>`,)");
	if (end > value)
		hide_put(hiding, HIDDEN, 3);
	return end;
}

/* A URL within a URL, percent-encoded: all of it when it has a userinfo. */
static const char *
hide_encoded(struct hiding *hiding, const char *value)
{
	const char *end = value_end(hiding, value);

	if (memmem(value, (size_t)(end - value), "%40", 3) != NULL ||
	    memchr(value, '@', (size_t)(end - value)) != NULL)
		hide_put(hiding, HIDDEN, 3);
	else
		hide_put(hiding, value, (size_t)(end - value));
	return end;
}

/* What stands behind "://" or '=': hides it when it must be. Returns how far
 * it got. */
static const char *
hide_after(struct hiding *hiding, const char *text, const char *p)
{
	if (text_starts(p, "://")) {
		struct span scheme = scheme_before(text, p);
		const char *start = p + 3;
		const char *end = up_to(start, hiding->boundary);
		const char *at =
		    scheme.len > 0 ? userinfo_end(scheme, start, end) : NULL;

		hide_put(hiding, p, 3);
		if (at == NULL)
			return start;
		hide_userinfo(hiding, scheme, span_of(start, at));
		return at;
	}
	hide_put(hiding, p, 1);
	if (*p != '=')
		return p + 1;
	if (ends_secret_key(text, p))
		return hide_value(hiding, p + 1, in_query(text, p));
	const char *value = p + 1;
	size_t word = strspn(value, "abcdefghijklmnopqrstuvwxyz"
	                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                            "0123456789+-.");
	if (word > 0 && strncasecmp(value + word, "%3A%2F%2F", 9) == 0)
		return hide_encoded(hiding, value);
	return value;
}

static char *
hide(struct arena *arena, const char *text, const char *boundary)
{
	/* "://@" and "pass=x" may grow by three bytes each: never by more than
	 * three for each of their own */
	struct hiding hiding = {.boundary = boundary};
	hiding.out = arena_array(arena, strlen(text) + 1, 4);
	const char *p = text;

	while (*p != '\0')
		p = hide_after(&hiding, text, p);
	hiding.out[hiding.len] = '\0';
	return hiding.out;
}

const char *
url_userinfo(const char *text, size_t *ret_len)
{
	const char *mark = strstr(text, "://");

	if (mark == NULL)
		return NULL;
	const char *start = mark + 3;
	const char *at = userinfo_end(
	    scheme_before(text, mark), start, start + strlen(start));
	if (at != NULL)
		*ret_len = (size_t)(at - start);
	return at != NULL ? start : NULL;
}

char *
url_redacted(struct arena *arena, const char *text)
{
	return hide(arena, text, "");
}

char *
url_shown(struct arena *arena, const char *text)
{
	if (strstr(text, "://") == NULL)
		return arena_text(arena, "(no URL)");
	return url_redacted(arena, text);
}

char *
url_redacted_text(struct arena *arena, const char *text)
{
	return hide(arena, text, " \t\r\n\"<>`");
}
