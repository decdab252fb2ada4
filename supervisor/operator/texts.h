/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_TEXTS_H
#define REEVE_SUPERVISOR_OPERATOR_TEXTS_H

#include "base/arena.h"
#include "base/base.h"
#include "supervisor/operator/names.h"

/*
 * Texts of which equal ones are stored once: thousands of workers have most of
 * their environment in common. They are the arena's, and are wiped with it.
 */
struct texts {
	struct arena *arena;
	const char **list;
	size_t count, room;
	struct names names;
};

/* The arena's only copy of `text`. */
const char *texts_once(struct texts *texts, const char *text);
void texts_fini(struct texts *texts); /* the texts themselves stay */

#endif
