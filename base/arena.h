/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_ARENA_H
#define REEVE_BASE_ARENA_H

#include "base/base.h"

/*
 * Memory that is freed as one: what a command builds and keeps until it ends
 * (a report, a declared system, observations). Not linked into the init.
 * Running out of the maximum, or of memory, ends the process with exit 70 and
 * a message: a command-line tool can't usefully go on; the operator is
 * restarted by the init.
 */
struct arena_block;
struct arena {
	struct arena_block *last;
	size_t used_bytes;
	size_t max_bytes;
};

void arena_init(struct arena *arena, size_t max_bytes);
void arena_fini(struct arena *arena); /* frees all; reusable after arena_init */
/* Zeroed, aligned for any type, never NULL. */
void *arena_alloc(struct arena *arena, size_t bytes)
    __attribute__((returns_nonnull, malloc));
/* `count` × `size` with overflow checked. */
void *arena_array(struct arena *arena, size_t count, size_t size)
    __attribute__((returns_nonnull, malloc));
char *arena_text(struct arena *arena, const char *text); /* NULL gives NULL */
char *arena_bytes(struct arena *arena, const void *bytes, size_t len);
char *arena_format(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Wipes every block with explicit_bzero before freeing: for secrets. */
void arena_wipe(struct arena *arena);

#endif
