/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "base/secret.h"
#include "base/url.h"

#define HIDDEN "***"

enum {
	KNOWN_MIN = 6,             /* shorter would shred ordinary text */
	SECRETS_MAX = 32768,       /* needles, all secrets together */
	SCRATCH_MAX = 8 << 20,     /* for one secret's forms */
	SECRET_LEN_MAX = 64 * 1024 /* a longer one is known by its lines */
};

struct needle {
	char *text;
	size_t len;
	bool word; /* only where no letter or digit stands before it */
};

struct redactor {
	struct needle *needles; /* the longest first */
	size_t count, room;
	bool first[256]; /* bytes that a needle begins with */
};

struct redactor *
redactor_new(void)
{
	return calloc(1, sizeof(struct redactor));
}

void
redactor_free(struct redactor *redactor)
{
	if (redactor == NULL)
		return;
	for (size_t i = 0; i < redactor->count; i++) {
		explicit_bzero(
		    redactor->needles[i].text, redactor->needles[i].len);
		free(redactor->needles[i].text);
	}
	free(redactor->needles);
	free(redactor);
}

static bool
needle_known(const struct redactor *redactor, const char *text, size_t len)
{
	for (size_t i = 0; i < redactor->count; i++) {
		if (redactor->needles[i].len == len &&
		    memcmp(redactor->needles[i].text, text, len) == 0)
			return true;
	}
	return false;
}

/* Going on would mean to show what must not be shown. */
static NORETURN void
redactor_die(const char *why)
{
	char text[96];
	int len = snprintf(text, sizeof(text), "reeve: %s\n", why);

	if (len > 0)
		(void)!write(STDERR_FILENO, text, (size_t)len);
	_exit(EXIT_BUG);
}

static void
needle_add(struct redactor *redactor, const char *text, size_t len, bool word)
{
	if (len == 0 || needle_known(redactor, text, len))
		return;
	if (redactor->count == SECRETS_MAX)
		redactor_die("too many secrets: they have more than 32768 "
		             "forms to hide");
	if (redactor->count == redactor->room) {
		size_t room = redactor->room * 2 + 16;
		struct needle *needles =
		    reallocarray(redactor->needles, room, sizeof(*needles));
		if (needles == NULL)
			redactor_die("out of memory for secrets to hide");
		redactor->needles = needles;
		redactor->room = room;
	}
	char *copy = malloc(len + 1);
	if (copy == NULL)
		redactor_die("out of memory for secrets to hide");
	memcpy(copy, text, len);
	copy[len] = '\0';
	size_t at = redactor->count;
	while (at > 0 && redactor->needles[at - 1].len < len)
		at--;
	memmove(&redactor->needles[at + 1], &redactor->needles[at],
	    (redactor->count - at) * sizeof(*redactor->needles));
	redactor->needles[at] = (struct needle){copy, len, word};
	redactor->count++;
	redactor->first[(unsigned char)copy[0]] = true;
}

static bool
is_separator(char c)
{
	return c == '@' || c == ':' || c == '/' || c == '\n' || c == '\r';
}

/* The pieces between separators, and what stands before and after each. */
static void
add_fragments(struct redactor *redactor, const char *secret, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && !is_separator(secret[i]))
			continue;
		if (i - start >= KNOWN_MIN)
			needle_add(redactor, secret + start, i - start, false);
		start = i + 1;
		if (i == len || secret[i] == '\n' || secret[i] == '\r')
			continue;
		size_t after = len - i - 1;
		if (i >= KNOWN_MIN)
			needle_add(redactor, secret, i, false);
		if (after >= KNOWN_MIN) {
			needle_add(redactor, secret + i + 1, after, false);
		} else if (after > 0 && secret[i] == '@') {
			/* libpq takes the first '@' for the end of the
			 * password and prints "ss@host" for "p@ss": the rest is
			 * too short to be hidden everywhere, but not there */
			char rest[KNOWN_MIN + 1];
			memcpy(rest, secret + i + 1, after);
			rest[after] = '@';
			needle_add(redactor, rest, after + 1, true);
		}
	}
}

/* The percent-encoded form, with capital and with small digits. */
static void
add_encoded(struct redactor *redactor, struct arena *scratch, const char *text)
{
	char *encoded = url_encode(scratch, text);
	size_t len = strlen(encoded);

	if (len < KNOWN_MIN)
		return;
	needle_add(redactor, encoded, len, false);
	for (size_t i = 0; i + 2 < len; i++) {
		if (encoded[i] != '%')
			continue;
		for (size_t k = i + 1; k <= i + 2; k++) {
			if (encoded[k] >= 'A' && encoded[k] <= 'F')
				encoded[k] = (char)(encoded[k] + 'a' - 'A');
		}
	}
	needle_add(redactor, encoded, len, false);
}

static void
add_value(struct redactor *redactor, struct arena *scratch, const char *text)
{
	size_t len = strlen(text);

	if (len >= KNOWN_MIN) {
		needle_add(redactor, text, len, false);
		add_fragments(redactor, text, len);
	}
	add_encoded(redactor, scratch, text);
}

/* The part between ':' and the last '@' as it stands in the text. */
static void
add_raw_password(
    struct redactor *redactor, struct arena *scratch, const char *authority)
{
	const char *at = strrchr(authority, '@');

	if (at == NULL)
		return;
	const char *colon = memchr(authority, ':', (size_t)(at - authority));
	if (colon != NULL)
		add_value(redactor, scratch,
		    arena_bytes(scratch, colon + 1, (size_t)(at - colon - 1)));
}

/* Of a URL the pieces aren't secret (its scheme and host are what a diagnosis
 * is about); its password is, and where there is none, the whole: the path of
 * a webhook is one. */
static void
add_url(struct redactor *redactor, struct arena *scratch, const char *text)
{
	struct url url;
	const char *authority = strstr(text, "://") + 3;
	bool parsed = url_parse(scratch, text, &url, NULL) == 0;

	add_raw_password(redactor, scratch, authority);
	if (parsed && url.password != NULL)
		add_value(redactor, scratch, url.password);
	size_t len = strlen(text);
	needle_add(redactor, text, len, false);
	size_t host_len = strcspn(authority, "/?#");
	const char *rest = authority + host_len;
	if (strncmp(text, "http", 4) == 0 && strlen(rest) > KNOWN_MIN)
		needle_add(redactor, rest, strlen(rest), false);
}

void
redactor_add(struct redactor *redactor, const char *secret)
{
	struct arena scratch;

	if (redactor == NULL || secret == NULL || secret[0] == '\0')
		return;
	size_t len = strlen(secret);
	if (len > SECRET_LEN_MAX) {
		add_fragments(redactor, secret, len);
		return;
	}
	arena_init(&scratch, SCRATCH_MAX);
	const char *mark = strstr(secret, "://");
	if (mark != NULL && mark != secret && strpbrk(secret, " \n") == NULL)
		add_url(redactor, &scratch, secret);
	else
		add_value(redactor, &scratch, secret);
	arena_wipe(&scratch);
}

static bool
is_word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static const struct needle *
needle_at(
    const struct redactor *redactor, const char *text, size_t at, size_t left)
{
	if (!redactor->first[(unsigned char)text[at]])
		return NULL;
	for (size_t i = 0; i < redactor->count; i++) {
		const struct needle *needle = &redactor->needles[i];
		if (needle->len > left ||
		    memcmp(text + at, needle->text, needle->len) != 0)
			continue;
		if (!needle->word || at == 0 || !is_word_char(text[at - 1]))
			return needle;
	}
	return NULL;
}

static char *
hide_known(const struct redactor *redactor, struct arena *arena,
    const char *text, size_t len, size_t *ret_len)
{
	/* no needle is shorter than two bytes, and "***@" replaces those */
	char *clean = arena_array(arena, len + 1, 2);
	size_t out = 0;

	for (size_t i = 0; i < len;) {
		const struct needle *needle =
		    needle_at(redactor, text, i, len - i);
		if (needle == NULL) {
			clean[out++] = text[i++];
			continue;
		}
		memcpy(clean + out, HIDDEN, 3);
		out += 3;
		i += needle->len;
		if (needle->word)
			clean[out++] = '@';
	}
	clean[out] = '\0';
	*ret_len = out;
	return clean;
}

/* How many of the last bytes are the beginning of a known value. */
static size_t
begun_at_end(const struct redactor *redactor, const char *text, size_t len)
{
	size_t most = redactor->count > 0 ? redactor->needles[0].len : 0;

	for (size_t n = MIN(most, len); n > 0; n--) {
		const char *end = text + len - n;

		if (!redactor->first[(unsigned char)*end])
			continue;
		for (size_t i = 0;
		     i < redactor->count && redactor->needles[i].len > n; i++) {
			if (memcmp(end, redactor->needles[i].text, n) == 0)
				return n;
		}
	}
	return 0;
}

char *
redactor_clean_bytes(const struct redactor *redactor, struct arena *arena,
    const void *bytes, size_t len, bool cut, size_t *ret_len)
{
	const char *text = len > 0 ? bytes : "";

	*ret_len = len;
	if (redactor == NULL || redactor->count == 0)
		return arena_bytes(arena, text, len);
	size_t hidden = cut ? begun_at_end(redactor, text, len) : 0;

	return hide_known(redactor, arena, text, len - hidden, ret_len);
}

char *
redactor_clean(
    const struct redactor *redactor, struct arena *arena, const char *text)
{
	if (text == NULL)
		return NULL;
	if (redactor == NULL)
		return url_redacted_text(arena, text);
	size_t len = 0;

	return url_redacted_text(
	    arena, hide_known(redactor, arena, text, strlen(text), &len));
}
