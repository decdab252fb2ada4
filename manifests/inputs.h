/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_INPUTS_H
#define REEVE_MANIFESTS_INPUTS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "manifests/source.h"

/*
 * What a manifest is read from: its text, and what each of its secrets and
 * configs held. Whatever of that can block (a `command:`, a directory on a
 * network disk) is read by one process and handed to another, which makes sense
 * of it without opening anything. Between them, in the order of reading:
 *
 *   "RVI1"
 *   'T' kind:1 length:4 bytes      the text; or, where `kind` isn't 0, the
 *                                  error (enum err_kind) that came instead
 *   'S' readable:1 absence:1 why values:4
 *       { known:1 key value }…     each secret and config; `value` is the
 *                                  reason where it isn't known
 *   'E'
 *
 * Texts are a length of four bytes, in this machine's order, and so many bytes
 * without a NUL. It holds secrets: who has it wipes it.
 */
enum {
	INPUTS_BYTES_MAX = 32 << 20
};

struct inputs {
	bool whole; /* the text was read, else `failed` */
	struct err failed;
	const char *text;
	size_t len;
	struct source *sources; /* `declared` is NULL */
	struct declared_source *of;
	size_t count, taken;
};

/* --- the one that reads --- */
void inputs_begin(struct buffer *out);
void inputs_put_text(struct buffer *out, const struct buffer *text);
void inputs_put_failure(struct buffer *out, const struct err *err);
void inputs_put_source(struct buffer *out, const struct source *source);
void inputs_end(struct buffer *out);

/* --- the one that doesn't --- */
/* Everything is copied into `arena`. ERR_INPUT: it isn't whole, or wrong. */
int inputs_decode(const char *bytes, size_t len, struct arena *arena,
    struct inputs *ret, struct err *err) MUST_CHECK;
/* The next one, as source_read() would have left it: in `arena`, since what is
 * declared outlives what was read. false: there is none. */
bool inputs_take_source(
    struct inputs *inputs, struct arena *arena, struct source *source);

#endif
