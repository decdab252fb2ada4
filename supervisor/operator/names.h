/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_NAMES_H
#define REEVE_SUPERVISOR_OPERATOR_NAMES_H

#include "base/base.h"

/*
 * Where a name is in a list: each pass asks for every worker's several times,
 * and there may be thousands. The list is its owner's, grows at its end only,
 * and may move; a name is in it once. When anything else is done to it, begin
 * anew with names_fini().
 */
struct names_slot {
	uint32_t hash;
	uint32_t place; /* index + 1; 0: free */
};
struct names {
	struct names_slot *slots;
	size_t room, count; /* the room is a power of two */
};

/* The name at `at` of `list`. */
typedef const char *names_at_fn(const void *list, size_t at);

#define NAMES_NONE SIZE_MAX

/* The index of `name`, or NAMES_NONE. */
size_t names_find(const struct names *names, const char *name,
    names_at_fn *name_at, const void *list);
void names_add(struct names *names, const char *name, size_t at);
/* Makes it anew, of `count` names. */
void names_set(
    struct names *names, size_t count, names_at_fn *name_at, const void *list);
void names_fini(struct names *names); /* empty, and usable again */

#endif
