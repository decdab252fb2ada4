/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_TEXT_H
#define REEVE_BASE_TEXT_H

#include "base/base.h"
#include "base/err.h"

/*
 * Text, and exact parsing: a number is the whole text, in range, or an error
 * that says what would be right. Nothing here allocates or knows a locale.
 */

bool text_equal(const char *a, const char *b); /* NULL equals only NULL */
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
/* Copies whole or fails with ERR_CAPACITY: a name that doesn't fit is an error,
 * not a shorter name. */
int text_copy(
    char *dst, size_t size, const char *src, struct err *err) MUST_CHECK;
/* snprintf that fails with ERR_CAPACITY instead of truncating. */
int text_format(char *dst, size_t size, struct err *err, const char *fmt, ...)
    PRINTF_LIKE(4, 5) MUST_CHECK;

/* Decimal, no leading '+', space, sign tricks or trailing junk. */
int text_i64(const char *text, int64_t min, int64_t max, int64_t *ret,
    struct err *err) MUST_CHECK;
/* Two small hexadecimal digits for each byte, and a NUL: `dst` has room for
 * 2 × `len` + 1. Returns `dst`. */
const char *text_hex(const uint8_t *bytes, size_t len, char *dst);
int text_bool(const char *text, bool *ret, struct err *err) MUST_CHECK;
/* Go/Kubernetes durations: "30s", "1h30m", "500ms", "1.5s", "0"; units h m s
 * ms us ns, a bare number other than 0 is an error. Result in milliseconds,
 * rounded up, so that a positive duration is never 0. */
int text_duration_ms(
    const char *text, int64_t *ret_ms, struct err *err) MUST_CHECK;
/* Kubernetes quantities: "512Mi", "1.5Gi", "250m", "1e3", "2k"; result in
 * thousandths of the unit (so 250m of a CPU is 250, 1Ki is 1024000). */
int text_quantity_milli(
    const char *text, int64_t *ret_milli, struct err *err) MUST_CHECK;
/* The same, rounded up to whole units: bytes. */
int text_quantity(const char *text, int64_t *ret, struct err *err) MUST_CHECK;
/* "10%" or "0.1" as a fraction in 0..1. */
int text_ratio(const char *text, double *ret, struct err *err) MUST_CHECK;

/* Damerau-Levenshtein distance (adjacent transposition counts 1), at most
 * `limit` + 1; texts longer than 255 bytes count as limit + 1 unless equal. */
unsigned text_distance(const char *a, const char *b, unsigned limit);
/* The word nearest to `text` that is near enough to be meant (distance at most
 * a third of the longer, at least 1), or NULL. */
const char *text_nearest(
    const char *text, const char *const *words, size_t count);
/* "41 min", "2 h 05 min", "350 ms": for people. `dst` of at least 32 bytes. */
const char *text_ms_for_people(int64_t ms, char *dst, size_t size);

#endif
