/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_EXPAND_H
#define REEVE_MANIFESTS_EXPAND_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * `$(NAME)` exactly as Kubernetes expands it (third_party/forked/golang/
 * expansion/expand.go): `$$` is one `$` and no reference, an unclosed `$(` is
 * text. Knows no variables itself.
 */

/* Appends the value to `out` and returns true, or returns false: then the
 * reference stays as it is written. `name` isn't terminated. */
typedef bool expand_fn(
    void *arg, const char *name, size_t len, struct buffer *out);

void expand(struct buffer *out, const char *text, size_t len, expand_fn *lookup,
    void *arg);

/* Whether an SQL text has `name`, "$(CANARY)" or "$(JOB)", where a parameter
 * can't be bound: within quotes or a comment. Returns that place's offset, or
 * -1. */
ptrdiff_t expand_sql_quoted(const char *sql, const char *name);

#endif
