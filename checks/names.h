/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_NAMES_H
#define REEVE_CHECKS_NAMES_H

#include "base/arena.h"
#include "base/base.h"
#include "base/secret.h"

/*
 * What a name or a value looks like: names that were meant to be the same,
 * names of secrets, URLs and the places in them. Guesses, used only to choose
 * what to compare and what to propose; never as evidence by themselves.
 */

/* Is `have` what somebody meant who asked for `want`? By distance (a third of
 * the longer at most), by words in another order (TENANT_TEST, TEST_TENANT) or
 * by one word that begins another (seed 000: VOYAGE, VOYAGEAI). Equal names
 * are not near. */
bool names_near(const char *want, const char *have);
/* Lower is nearer; only of near names. */
unsigned names_distance(const char *want, const char *have);

/* Does a variable of this name hold a secret? (…PASSWORD, …_TOKEN, …_KEY) */
bool name_is_secret(const char *name);

/* The scheme's family ("redis" of rediss://), its default port, or NULL. */
const char *url_family(const char *value, int *ret_port);
/* Where a URL leads, without user and password: "redis host:6379 db 0",
 * "postgres host:5432 db app"; NULL when it isn't a URL we know. */
const char *url_place(struct arena *arena, const char *value);
/* "host:port" of a URL, known scheme or with a port; NULL: neither. */
const char *url_endpoint(struct arena *arena, const char *value);
/* Has it a literal, non-empty password? */
bool url_has_password(struct arena *arena, const char *value);
/* What is wrong with how the URL is written, for people, or NULL. Never a part
 * of the password. */
const char *url_flaw(struct arena *arena, const char *value);

/* As one word for a POSIX shell: names come from servers, and commands are
 * pasted. Plain words stay as they are. */
const char *shell_quote(struct arena *arena, const char *text);

/* How two values differ, said without showing them: "the same but for white
 * space at the end of the first", "lengths 11 and 24, h:… and h:…". */
const char *values_differ(struct arena *arena,
    const struct fingerprint_key *key, const char *a, const char *b);

#endif
