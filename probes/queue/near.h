/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_NEAR_H
#define REEVE_PROBES_QUEUE_NEAR_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/queue/queue.h"

/*
 * The names nearest to the one asked for: the few best of however many are
 * offered. Names that differ only in separators or case count as nearest of
 * all: that is how queues are misnamed (`fileprocess-jobs`).
 */
enum {
	NEAR_CANDIDATES_MAX = 40
};

struct near {
	struct arena *arena;
	const char *wanted;
	struct queue_near found[QUEUE_NEAR_MAX]; /* sorted by distance */
	size_t count;
};

void near_init(struct near *near, struct arena *arena, const char *wanted);
/* Keeps it if it is near enough and not the name itself in the same place. */
void near_offer(
    struct near *near, const char *name, const char *where, const char *type);
/* Whether the name itself was found, in another place. */
bool near_has_name(const struct near *near);
/* Puts the list into the state. */
void near_finish(const struct near *near, struct queue_state *state);

/* Names that people write instead of `name`: other separators, case, singular
 * and plural. At most NEAR_CANDIDATES_MAX; `name` itself isn't among them. */
size_t near_candidates(struct arena *arena, const char *name,
    const char *ret[NEAR_CANDIDATES_MAX]);
/* Of a database, vhost or file that isn't there, for the end of a message:
 * "; near: 'app'", or some of those that are; "" without any. */
const char *near_text(struct arena *arena, const char *wanted,
    const char *const *names, size_t count);
/* The distance by which they are sorted; UINT_MAX: not near. */
unsigned near_distance(const char *wanted, const char *name);

#endif
