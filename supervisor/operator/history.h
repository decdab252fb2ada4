/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_HISTORY_H
#define REEVE_SUPERVISOR_OPERATOR_HISTORY_H

#include "base/arena.h"
#include "base/base.h"
#include "base/secret.h"
#include "worker/spec.h"

/*
 * The configurations that something still runs with, or that may be gone back
 * to: copies, by worker and digest. They hold secrets: forgotten means wiped.
 */
struct history_entry {
	struct arena arena;
	struct worker_spec spec;
	struct fingerprint print; /* of its environment */
	bool printed, wanted;
	struct history_entry *next;      /* of all */
	struct history_entry *next_like; /* of its bucket */
};
enum {
	HISTORY_BUCKETS = 1024
};
struct history {
	struct history_entry *first;
	struct history_entry *buckets[HISTORY_BUCKETS]; /* by name and digest */
};

/* Copies it, unless it is there already. */
void history_add(struct history *history, const struct worker_spec *spec);
const struct worker_spec *history_find(const struct history *history,
    const char *worker, const uint8_t digest[16]);
/* What inspect_print() gives for its environment; NULL: no such entry. */
const struct fingerprint *history_print(struct history *history,
    const struct fingerprint_key *key, const char *worker,
    const uint8_t digest[16]);
/* Forgets what was neither added nor marked since the last call. */
void history_want(
    struct history *history, const char *worker, const uint8_t digest[16]);
void history_prune(struct history *history);
void history_fini(struct history *history);

#endif
