/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_POOL_ENCODE_H
#define REEVE_SUPERVISOR_WIRE_POOL_ENCODE_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * Runs of bytes at the end of a buffer, of which equal ones are written once:
 * a thousand workers have most of their environment in common, and whoever
 * maps the plan has it as often as it is written.
 */
struct pool_entry {
	uint64_t hash;
	size_t offset, len; /* len 0: free */
};
struct pool {
	struct pool_entry *entries;
	size_t room, count; /* the room is a power of two */
};

/* The offset at which `buffer` has these bytes, appended or found. `len` is
 * above 0, and nothing but this may have put in what is to be found. Without
 * memory, or where the buffer overflows, nothing is found: it is only longer.
 */
size_t pool_put(
    struct pool *pool, struct buffer *buffer, const void *bytes, size_t len);
void pool_fini(struct pool *pool); /* empty, and usable again */

#endif
