/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_HISTORY_H
#define REEVE_SUPERVISOR_OPERATOR_HISTORY_H

#include "base/arena.h"
#include "base/base.h"
#include "base/secret.h"
#include "supervisor/wire/plan.h"
#include "worker/spec.h"

/*
 * The configurations that something still runs with, or that may be gone back
 * to, by worker and digest. Those of the plan in force lie in it; the others
 * are copies. They hold secrets: forgotten means wiped.
 */
struct history_entry {
	const char *name; /* in the plan, or in the copy */
	uint8_t digest[16];
	int32_t at, next_at;      /* index in the plan; -1: it is a copy */
	struct worker_spec *copy; /* NULL: it is in the plan */
	struct arena arena;       /* of the copy */
	struct fingerprint print; /* of its environment */
	bool printed, wanted;
	struct history_entry *next;      /* of all */
	struct history_entry *next_like; /* of its bucket */
};
enum {
	HISTORY_BUCKETS = 1024
};
struct history {
	struct plan plan; /* in force; borrowed */
	struct history_entry *first;
	struct history_entry *buckets[HISTORY_BUCKETS]; /* by name and digest */
};

/* `plan` is in force from now on: its mapping is borrowed until the next call.
 * What only the plan before it had is copied, so that is still to be there. */
void history_force(struct history *history, const struct plan *plan);
/* Copies it, unless it is there already. */
void history_add(struct history *history, const struct worker_spec *spec);
/* False: it isn't known. What `ret` points to is good until the plan changes or
 * something is forgotten. */
bool history_find(const struct history *history, const char *worker,
    const uint8_t digest[16], struct worker_spec *ret);
/* What inspect_print() gives for its environment; NULL: no such entry. */
const struct fingerprint *history_print(struct history *history,
    const struct fingerprint_key *key, const char *worker,
    const uint8_t digest[16]);
/* Forgets what was neither added nor marked since the last call, and isn't in
 * the plan. */
void history_want(
    struct history *history, const char *worker, const uint8_t digest[16]);
void history_prune(struct history *history);
void history_fini(struct history *history);

#endif
