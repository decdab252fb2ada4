/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_BASE64_H
#define REEVE_PROBES_BASE64_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"

/* RFC 4648 part 4, padded, on one line: for bytes inside JSON. */
#define BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4 + 1) /* with its NUL */

/* Appends the text of `len` bytes. */
void base64_encode(struct buffer *out, const void *bytes, size_t len);
/* The bytes, NUL-terminated besides, in the arena. Padding is required, and
 * nothing else than the alphabet is taken. */
int base64_decode(struct arena *arena, const char *text, const char **ret,
    size_t *ret_len, struct err *err) MUST_CHECK;

#endif
