/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "supervisor/wire/format.h"
#include "supervisor/wire/pool_encode.h"

enum {
	ROOM_FIRST = 256
};

static size_t
first_of(const struct pool *pool, uint64_t hash)
{
	return (size_t)(hash ^ hash >> 32) & (pool->room - 1);
}

static size_t
after(const struct pool *pool, size_t at)
{
	return (at + 1) & (pool->room - 1);
}

/* Where it is, or where it belongs; there is a free one. */
static struct pool_entry *
entry_of(const struct pool *pool, const struct buffer *buffer, uint64_t hash,
    const void *bytes, size_t len)
{
	size_t at = first_of(pool, hash);

	for (;; at = after(pool, at)) {
		struct pool_entry *entry = &pool->entries[at];
		if (entry->len == 0 ||
		    (entry->hash == hash && entry->len == len &&
		        memcmp(buffer->data + entry->offset, bytes, len) == 0))
			return entry;
	}
}

/* Room for one more, with a quarter of it free; false: no memory. */
static bool
grow(struct pool *pool)
{
	struct pool larger = {.room = MAX(2 * pool->room, (size_t)ROOM_FIRST)};

	if (pool->count < pool->room / 4 * 3)
		return true;
	larger.entries = calloc(larger.room, sizeof(*larger.entries));
	if (larger.entries == NULL)
		return false;
	for (size_t i = 0; i < pool->room; i++) {
		const struct pool_entry *entry = &pool->entries[i];
		size_t at = first_of(&larger, entry->hash);
		if (entry->len == 0)
			continue;
		while (larger.entries[at].len != 0)
			at = after(&larger, at);
		larger.entries[at] = *entry;
	}
	larger.count = pool->count;
	free(pool->entries);
	*pool = larger;
	return true;
}

size_t
pool_put(
    struct pool *pool, struct buffer *buffer, const void *bytes, size_t len)
{
	uint64_t hash = plan_checksum(PLAN_CHECKSUM_START, bytes, len);
	size_t offset = buffer->len;
	struct pool_entry *entry = NULL;

	if (grow(pool)) {
		entry = entry_of(pool, buffer, hash, bytes, len);
		if (entry->len != 0)
			return entry->offset;
	}
	buffer_append(buffer, bytes, len);
	if (entry == NULL || buffer->overflow)
		return offset;
	*entry = (struct pool_entry){hash, offset, len};
	pool->count++;
	return offset;
}

void
pool_fini(struct pool *pool)
{
	free(pool->entries);
	*pool = (struct pool){0};
}
