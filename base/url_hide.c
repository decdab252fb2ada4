/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "base/url.h"
#include "base/url_span.h"

#define HIDDEN "***"

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

bool
url_ends_secret_key(const char *text, const char *equals)
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
	const char *end = span_up_to(value, "&");
	end = MIN(end, span_up_to(value, hiding->boundary));

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
		end = span_up_to(value + 1, quote);
		end += *end != '\0' ? 1 : 0;
	} else
		end = span_up_to(value, "&; \t\r\n\"'<>`,)");
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
		const char *end = span_up_to(start, hiding->boundary);
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
	if (url_ends_secret_key(text, p))
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
