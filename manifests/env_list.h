/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_ENV_LIST_H
#define REEVE_MANIFESTS_ENV_LIST_H

#include "base/arena.h"
#include "base/base.h"
#include "manifests/declared.h"

/* An environment under way: entries in order, of one name the last one wins
 * and the others stay, marked. Entries may be those of other lists too, so they
 * are never changed: what is marked is a copy. */
struct env_list {
	const struct declared_env **entries;
	size_t count, cap;
};

/* Room for so many entries in all: whoever knows how many there will be spares
 * the arena what growing would leave behind. */
void env_list_reserve(struct arena *arena, struct env_list *list, size_t room);
/* Adds a copy. */
void env_list_add(
    struct arena *arena, struct env_list *list, struct declared_env entry);
/* Adds one that is in another list of the same arena, and still is. */
void env_list_share(struct arena *arena, struct env_list *list,
    const struct declared_env *entry);
/* The winning entry, or NULL. `name` needn't be terminated. */
const struct declared_env *env_list_find(
    const struct env_list *list, const char *name, size_t len);
/* As Kubernetes: a key that is no variable's name is left out of envFrom. */
bool env_list_takes(const char *key);
/* Whether its name says that the value isn't for other eyes. */
bool env_list_looks_secret(const char *name);

#endif
