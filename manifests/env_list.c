/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include "manifests/env_list.h"

enum {
	ROOM_LEAST = 8
};

static bool
named(const struct declared_env *entry, const char *name, size_t len)
{
	return strncmp(entry->name, name, len) == 0 && entry->name[len] == '\0';
}

/* Where the winning entry is; NULL: there is none. */
static const struct declared_env **
find(const struct env_list *list, const char *name, size_t len)
{
	for (size_t i = list->count; i > 0; i--) {
		const struct declared_env **at = &list->entries[i - 1];
		if (!(*at)->shadowed && named(*at, name, len))
			return at;
	}
	return NULL;
}

const struct declared_env *
env_list_find(const struct env_list *list, const char *name, size_t len)
{
	const struct declared_env **at = find(list, name, len);

	return at == NULL ? NULL : *at;
}

void
env_list_reserve(struct arena *arena, struct env_list *list, size_t room)
{
	if (room <= list->cap)
		return;
	const struct declared_env **entries =
	    arena_array(arena, room, sizeof(struct declared_env *));

	if (list->count > 0)
		memcpy(entries, list->entries,
		    list->count * sizeof(struct declared_env *));
	list->entries = entries;
	list->cap = room;
}

static const struct declared_env *
copy_of(struct arena *arena, const struct declared_env *entry, bool shadowed)
{
	struct declared_env *copy = arena_alloc(arena, sizeof(*copy));

	*copy = *entry;
	copy->shadowed = shadowed;
	return copy;
}

void
env_list_share(struct arena *arena, struct env_list *list,
    const struct declared_env *entry)
{
	const struct declared_env **before =
	    find(list, entry->name, strlen(entry->name));

	if (before != NULL)
		*before = copy_of(arena, *before, true);
	if (list->count == list->cap)
		env_list_reserve(
		    arena, list, list->cap + MAX(list->cap / 2, ROOM_LEAST));
	list->entries[list->count++] = entry;
}

void
env_list_add(
    struct arena *arena, struct env_list *list, struct declared_env entry)
{
	env_list_share(arena, list, copy_of(arena, &entry, false));
}

bool
env_list_takes(const char *key)
{
	for (const char *p = key; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL)
			return false;
	}
	return *key != '\0' && !isdigit((unsigned char)*key);
}

bool
env_list_looks_secret(const char *name)
{
	static const char *const words[] = {"PASSWORD", "PASSWD", "SECRET",
	    "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasestr(name, words[i]) != NULL)
			return true;
	}
	return false;
}
