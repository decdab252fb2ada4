/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_SECRET_H
#define REEVE_BASE_SECRET_H

#include "base/arena.h"
#include "base/base.h"

/*
 * Secrets are compared by keyed fingerprint of their exact bytes and never
 * shown (decisions.md 16). SipHash-2-4 with a 128-bit result; the vectors of
 * its reference implementation are tested.
 */
struct fingerprint {
	uint8_t bytes[16];
};
struct fingerprint_key {
	uint8_t bytes[16];
};

struct fingerprint fingerprint_of(
    const struct fingerprint_key *key, const void *bytes, size_t len);
bool fingerprint_equal(
    const struct fingerprint *a, const struct fingerprint *b);
/* "h:4be1c0de": the first four bytes, enough for people to compare. */
enum {
	FINGERPRINT_TEXT_SIZE = sizeof("h:00112233")
};
const char *fingerprint_text(
    const struct fingerprint *fingerprint, char dst[FINGERPRINT_TEXT_SIZE]);
/* From the kernel; ends the process when there is none. */
void fingerprint_key_random(struct fingerprint_key *ret);

/*
 * What is wrong with a value that looks like a secret, said without showing
 * it: bits of SECRET_… (RV127, RV128).
 */
enum secret_flaw {
	SECRET_TRAILING_SPACE = 1 << 0, /* space, tab, CR or LF at the end */
	SECRET_LEADING_SPACE = 1 << 1,
	SECRET_QUOTED = 1 << 2, /* begins and ends with the same quote */
	SECRET_DOUBLE_BASE64 = 1
	                       << 3, /* decodes to printable base64 again, or
	                                to printable text with a newline end */
	SECRET_BOM = 1 << 4,
};
unsigned secret_flaws(const char *value, size_t len);
/* Wipes a text of the heap, then frees it; accepts NULL. */
void secret_free(char *text);

/*
 * The redactor: every text that leaves the program passes it where it may
 * hold a library's words (libpq's own error leaks half a password that
 * contains '@': verifying.md 5.6). Known values of six bytes or more, their
 * percent-encoded form, and their fragments at '@', ':' and '/' of six bytes
 * or more are replaced by "***"; so is the password of anything that looks
 * like a URL, known or not. Of a value that is a URL itself only the whole, its
 * password (as it stands and decoded) and, in HTTP, what follows the host count
 * as known: scheme and host are what a diagnosis is about. Memory that runs
 * out, or more than 32768 forms, end the process: going on would show them.
 */
struct redactor;
struct redactor *redactor_new(void);
void redactor_free(struct redactor *redactor); /* wipes */
void redactor_add(struct redactor *redactor, const char *secret);
char *redactor_clean(
    const struct redactor *redactor, struct arena *arena, const char *text);
/* The same for somebody else's bytes, of which only known values are hidden;
 * with `cut` they are the beginning of more, and a known value that begins at
 * their end is hidden too. NUL-terminated besides. */
char *redactor_clean_bytes(const struct redactor *redactor, struct arena *arena,
    const void *bytes, size_t len, bool cut, size_t *ret_len);

#endif
