/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "checks/names.h"

enum {
	WORDS_MAX = 16,
	WORD_SHORTEST = 3
};

struct words {
	struct {
		const char *text;
		size_t len;
	} word[WORDS_MAX];
	size_t count;
};

static bool
is_separator(char c)
{
	return c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
}

static void
words_split(const char *name, struct words *words)
{
	words->count = 0;
	while (*name != '\0' && words->count < WORDS_MAX) {
		size_t len = 0;

		while (is_separator(*name))
			name++;
		while (name[len] != '\0' && !is_separator(name[len]))
			len++;
		if (len == 0)
			break;
		words->word[words->count].text = name;
		words->word[words->count++].len = len;
		name += len;
	}
}

/* One word begins the other: VOYAGE and VOYAGEAI, but not A and API. */
static bool
word_begins(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t len = MIN(a_len, b_len);

	return a_len != b_len && len >= WORD_SHORTEST &&
	       strncasecmp(a, b, len) == 0;
}

/* All words but at most one have their equal on the other side, in any order;
 * the odd one begins its counterpart. */
static bool
words_near(const struct words *a, const struct words *b)
{
	bool used[WORDS_MAX] = {false};
	size_t odd_a = WORDS_MAX, odd_b = WORDS_MAX, odd = 0;

	if (a->count != b->count || a->count < 2)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		size_t j = 0;

		while (j < b->count &&
		       (used[j] || a->word[i].len != b->word[j].len ||
		           strncasecmp(a->word[i].text, b->word[j].text,
		               a->word[i].len) != 0))
			j++;
		if (j < b->count)
			used[j] = true;
		else {
			odd_a = i;
			odd++;
		}
	}
	if (odd > 1)
		return false;
	if (odd == 0)
		return true;
	for (size_t j = 0; j < b->count; j++)
		if (!used[j])
			odd_b = j;
	return word_begins(a->word[odd_a].text, a->word[odd_a].len,
	    b->word[odd_b].text, b->word[odd_b].len);
}

unsigned
names_distance(const char *want, const char *have)
{
	size_t longer = MAX(strlen(want), strlen(have));

	return text_distance(want, have, (unsigned)MIN(longer, 255));
}

bool
names_near(const char *want, const char *have)
{
	struct words a, b;
	size_t longer = MAX(strlen(want), strlen(have));

	if (strcmp(want, have) == 0 || want[0] == '\0' || have[0] == '\0')
		return false;
	/* A quarter: of short names nearly every other is near. */
	unsigned limit = (unsigned)MIN(longer / 4, 8);

	if (limit > 0 && text_distance(want, have, limit) <= limit)
		return true;
	words_split(want, &a);
	words_split(have, &b);
	return words_near(&a, &b);
}

static bool
contains_ignoring_case(const char *text, const char *part)
{
	return strcasestr(text, part) != NULL;
}

bool
name_is_secret(const char *name)
{
	static const char *const parts[] = {"PASSWORD", "PASSWD", "SECRET",
	    "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "ACCESS_KEY",
	    "CREDENTIAL"};
	static const char *const ends[] = {"_KEY", "_PWD", "_PASS"};
	/* A name or an address of a secret isn't one. */
	static const char *const harmless[] = {"_NAME", "_FILE", "_PATH",
	    "_DIR", "_ID", "_TTL", "_URL", "_EXPIRY"};
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (text_ends(name, harmless[i]))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (contains_ignoring_case(name, parts[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (len > strlen(ends[i]) &&
		    strcasecmp(name + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

static const struct {
	const char *scheme, *family;
	int port;
} families[] = {
    {"redis", "redis", 6379},
    {"rediss", "redis", 6379},
    {"postgres", "postgres", 5432},
    {"postgresql", "postgres", 5432},
    {"mysql", "mysql", 3306},
    {"mariadb", "mysql", 3306},
    {"tds", "tds", 1433},
    {"nats", "nats", 4222},
    {"tls", "nats", 4222},
    {"amqp", "amqp", 5672},
    {"amqps", "amqp", 5671},
    {"http", "http", 80},
    {"https", "http", 443},
};

const char *
url_family(const char *value, int *ret_port)
{
	const char *end = value == NULL ? NULL : strstr(value, "://");

	for (size_t i = 0; end != NULL && i < ARRAY_LEN(families); i++) {
		size_t len = strlen(families[i].scheme);

		if ((size_t)(end - value) != len ||
		    strncasecmp(value, families[i].scheme, len) != 0)
			continue;
		if (ret_port != NULL)
			*ret_port = families[i].port;
		return families[i].family;
	}
	return NULL;
}

const char *
url_endpoint(struct arena *arena, const char *value)
{
	struct url url;
	int port = -1;

	if (value == NULL || strstr(value, "://") == NULL ||
	    url_parse(arena, value, &url, NULL) == -1 || url.host[0] == '\0')
		return NULL;
	(void)url_family(value, &port);
	if (url.port != -1)
		port = url.port;
	if (port == -1)
		return url.host;
	return arena_format(arena, "%s:%d", url.host, port);
}

const char *
url_place(struct arena *arena, const char *value)
{
	struct url url;
	const char *family = url_family(value, NULL);
	const char *endpoint = url_endpoint(arena, value);

	if (family == NULL || endpoint == NULL ||
	    url_parse(arena, value, &url, NULL) == -1)
		return NULL;
	const char *path = url.path[0] == '/' ? url.path + 1 : url.path;

	if (strcmp(family, "http") == 0)
		return arena_format(arena, "http %s", endpoint);
	/* Redis counts databases from 0 and takes that when none is said;
	 * PostgreSQL takes the user's name. */
	if (strcmp(family, "redis") == 0) {
		const char *db = url_query(&url, "db");

		return arena_format(arena, "redis %s db %s", endpoint,
		    path[0] != '\0' ? path : (db != NULL ? db : "0"));
	}
	if (path[0] == '\0' && strcmp(family, "postgres") == 0)
		path = url.user == NULL ? "" : url.user;
	if (path[0] == '\0' && strcmp(family, "amqp") == 0)
		path = "/"; /* the vhost */
	return arena_format(arena, "%s %s db %s", family, endpoint, path);
}

bool
url_has_password(struct arena *arena, const char *value)
{
	struct url url;

	return value != NULL && strstr(value, "://") != NULL &&
	       url_parse(arena, value, &url, NULL) == 0 &&
	       url.password != NULL && url.password[0] != '\0';
}

/* "u:pa" before the first slash, as against "host" and "host:80". */
static bool
looks_like_password(const char *authority, size_t len)
{
	const char *colon = memchr(authority, ':', len);

	if (colon == NULL || authority[0] == '[')
		return false;
	return strspn(colon + 1, "0123456789") <
	       len - (size_t)(colon + 1 - authority);
}

/* The part between "://" and the last '@' before the query: where a password
 * that isn't percent-encoded does its damage. */
static const char *
userinfo_flaw(const char *authority)
{
	size_t end = strcspn(authority, "?");
	size_t at = end, slash = strcspn(authority, "/#?");
	unsigned ats = 0;

	for (size_t i = 0; i < end; i++)
		if (authority[i] == '@') {
			at = i;
			ats++;
		}
	if (ats == 0)
		return NULL;
	/* An '@' in a path is none of ours: "host:80/a@b" has a port there, not
	 * the beginning of a password. */
	if (at > slash && !looks_like_password(authority, slash))
		return NULL;
	if (at > slash)
		return "an unencoded '/' or '#' stands before the '@': in a "
		       "password it must be written as %2F or %23";
	if (ats > 1)
		return "it has more than one '@': in a password it must be "
		       "written as %40";
	for (size_t i = 0; i < at; i++) {
		if (authority[i] != '%')
			continue;
		if (!isxdigit((unsigned char)authority[i + 1]) ||
		    !isxdigit((unsigned char)authority[i + 2]))
			return "a '%' in user or password is not followed by "
			       "two hex digits: it must be written as %25";
	}
	for (size_t i = 0; i < at; i++)
		if (isspace((unsigned char)authority[i]))
			return "user or password holds a space: it must be "
			       "written as %20";
	return NULL;
}

const char *
url_flaw(struct arena *arena, const char *value)
{
	const char *scheme_end = strstr(value, "://");
	struct url url;
	struct err err = ERR_INIT;

	if (scheme_end == NULL)
		return NULL;
	const char *flaw = userinfo_flaw(scheme_end + 3);

	if (flaw != NULL)
		return flaw;
	if (url_parse(arena, value, &url, &err) == -1)
		return arena_text(arena, err.text);
	if (url_family(value, NULL) != NULL && url.host[0] == '\0')
		return "it names no host";
	return NULL;
}

const char *
shell_quote(struct arena *arena, const char *text)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	    "_-./:@%+=,";
	size_t len = strlen(text), out = 0;

	if (len > 0 && strspn(text, plain) == len)
		return text;
	/* a quote leaves the quotes, stands by itself, and enters them again */
	char *quoted = arena_alloc(arena, len * 4 + 3);

	quoted[out++] = '\'';
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'') {
			memcpy(quoted + out, "'\\''", 4);
			out += 4;
		} else {
			quoted[out++] = text[i];
		}
	}
	quoted[out++] = '\'';
	quoted[out] = '\0';
	return quoted;
}

static size_t
trimmed_len(const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	return len;
}

const char *
values_differ(struct arena *arena, const struct fingerprint_key *key,
    const char *a, const char *b)
{
	char a_text[FINGERPRINT_TEXT_SIZE], b_text[FINGERPRINT_TEXT_SIZE];
	size_t a_len = strlen(a), b_len = strlen(b);
	size_t a_trim = trimmed_len(a), b_trim = trimmed_len(b);

	if (a_trim == b_trim && memcmp(a, b, a_trim) == 0)
		return arena_format(arena,
		    "the same but for white space at the end (lengths %zu and "
		    "%zu)",
		    a_len, b_len);
	if (a_len == b_len && strcasecmp(a, b) == 0)
		return "the same but for upper and lower case";
	struct fingerprint a_print = fingerprint_of(key, a, a_len);
	struct fingerprint b_print = fingerprint_of(key, b, b_len);

	return arena_format(arena, "%s (length %zu) and %s (length %zu)",
	    fingerprint_text(&a_print, a_text), a_len,
	    fingerprint_text(&b_print, b_text), b_len);
}
