/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "supervisor/operator/names.h"

enum {
	ROOM_FIRST = 16
};

/* FNV-1a: names are declared by who owns the machine. */
static uint32_t
hash_of(const char *name)
{
	uint32_t hash = UINT32_C(2166136261);

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
	return hash;
}

static void
put(struct names *names, struct names_slot slot)
{
	size_t at = slot.hash & (names->room - 1);

	while (names->slots[at].place != 0)
		at = (at + 1) & (names->room - 1);
	names->slots[at] = slot;
}

static void
grow(struct names *names)
{
	struct names bigger = {
	    .room = names->room == 0 ? ROOM_FIRST : names->room * 2,
	    .count = names->count,
	};

	bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
	/* As the arena does: without memory, the init starts us afresh. */
	if (bigger.slots == NULL)
		abort();
	for (size_t i = 0; i < names->room; i++)
		if (names->slots[i].place != 0)
			put(&bigger, names->slots[i]);
	free(names->slots);
	*names = bigger;
}

size_t
names_find(const struct names *names, const char *name, names_at_fn *name_at,
    const void *list)
{
	if (names->count == 0)
		return NAMES_NONE;
	uint32_t hash = hash_of(name);

	for (size_t at = hash & (names->room - 1); names->slots[at].place != 0;
	     at = (at + 1) & (names->room - 1)) {
		const struct names_slot *slot = &names->slots[at];
		if (slot->hash == hash &&
		    strcmp(name_at(list, slot->place - 1), name) == 0)
			return slot->place - 1;
	}
	return NAMES_NONE;
}

void
names_add(struct names *names, const char *name, size_t at)
{
	/* half empty: a search ends soon */
	if (2 * (names->count + 1) > names->room)
		grow(names);
	put(names, (struct names_slot){hash_of(name), (uint32_t)at + 1});
	names->count++;
}

void
names_set(
    struct names *names, size_t count, names_at_fn *name_at, const void *list)
{
	names_fini(names);
	for (size_t i = 0; i < count; i++)
		names_add(names, name_at(list, i), i);
}

void
names_fini(struct names *names)
{
	free(names->slots);
	*names = (struct names){0};
}
