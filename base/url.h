/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_URL_H
#define REEVE_BASE_URL_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/*
 * URLs: scheme://[user[:password]@]host[:port][/path][?key=value&…]. Parts are
 * percent-decoded; hosts may be [v6]; several hosts with commas stay one text.
 * Nothing is looked up.
 */
struct url_query {
	char *key;
	char *value;
};

struct url {
	char *scheme;
	char *user;     /* NULL: absent */
	char *password; /* NULL: absent; may be empty. A secret. */
	char *host;     /* "" where the form allows it (file:///p) */
	int port;       /* -1: absent */
	char *path;     /* with its leading '/', decoded; "" if absent */
	struct url_query *query;
	size_t nquery;
};

/* Errors name the fault and the place, never the password. */
int url_parse(struct arena *arena, const char *text, struct url *ret,
    struct err *err) MUST_CHECK;
const char *url_query(const struct url *url, const char *key); /* or NULL */
/* What stands before the '@' of a URL's host, as it is written there; NULL
 * where nothing does. Of a URL that doesn't parse too: a password with a bare
 * '/', '?', '#' or '@' is found whole. */
const char *url_userinfo(const char *text, size_t *ret_len);
/* The URL without its password ("***"), for people; of HTTP, NATS and Redis
 * without a lone name too, which is a token, or a password without its colon.
 */
char *url_redacted(struct arena *arena, const char *text);
/* For a value that should be a URL: the same, and nothing of one that has no
 * "://". It may be the password itself, in the wrong variable. */
char *url_shown(struct arena *arena, const char *text);
/* The same for every URL within a free text, where it ends at white space, a
 * double quote, a backtick or an angle bracket; and the values of "password="
 * and the like, of a query or a connection string. */
char *url_redacted_text(struct arena *arena, const char *text);
/* Writes the URL again, the query keys in `drop` (NULL-terminated) left out:
 * our own keys are taken off before a client library sees it. */
char *url_without(
    struct arena *arena, const char *text, const char *const *drop);
/* Percent-encodes what isn't unreserved. */
char *url_encode(struct arena *arena, const char *text);

#endif
