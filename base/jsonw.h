/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_JSONW_H
#define REEVE_BASE_JSONW_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * The only door through which JSON is written. Commas, nesting and escaping
 * are kept here; wrong nesting is our bug and asserts. Invalid UTF-8 becomes
 * U+FFFD. `key` is NULL inside arrays. A NULL text, and an unknown number, is
 * null.
 */
enum {
	JSONW_DEPTH_MAX = 32
};

struct jsonw {
	struct buffer *out;
	unsigned depth;
	bool pretty; /* two-space indents; off: one line */
	char stack[JSONW_DEPTH_MAX];
	bool any[JSONW_DEPTH_MAX];
};

void jsonw_init(struct jsonw *json, struct buffer *out, bool pretty);
void jsonw_object(struct jsonw *json, const char *key);
void jsonw_array(struct jsonw *json, const char *key);
void jsonw_end(struct jsonw *json); /* closes the innermost */
void jsonw_text(struct jsonw *json, const char *key, const char *text);
void jsonw_bytes(
    struct jsonw *json, const char *key, const char *text, size_t len);
void jsonw_format(struct jsonw *json, const char *key, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void jsonw_i64(struct jsonw *json, const char *key, int64_t value);
void jsonw_double(struct jsonw *json, const char *key, double value);
void jsonw_bool(struct jsonw *json, const char *key, bool value);
void jsonw_null(struct jsonw *json, const char *key);
/* `text` is JSON already (one value, trusted to be ours). */
void jsonw_raw(struct jsonw *json, const char *key, const char *text);

#endif
