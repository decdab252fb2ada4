/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_LIVE_H
#define REEVE_SUPERVISOR_OPERATOR_LIVE_H

#include "base/base.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/running.h"

/*
 * The processes as they are now, beside what the init executed (which is the
 * primary evidence, decisions.md 23): environment, user, limits, and processes
 * that nobody declared. Looked at by a child with a deadline (probes/inspect.h)
 * every ten seconds, and soon after a process was started.
 */
struct operator_core;
struct live;

struct live *live_new(struct operator_core *op);
/* Once it is known what runs. */
void live_begin(struct live *live);
void live_free(struct live *live); /* accepts NULL */
/* The other ends of its connections, texts, where `peers_wanted` was set; NULL:
 * they aren't known. */
const struct cJSON *live_peers(struct live *live, int32_t pid);

/* --- live_compare.c --- */
/* Adds how the process of an instance differs from `spec`, with which it was
 * started. Returns whether it is to be replaced for it. */
bool live_compare(struct live *live, struct drift_list *list,
    const struct declared_worker *declared, const struct worker_spec *spec,
    struct running_instance *instance);

/* How one process differs; consumers.c adds to it too. */
struct live_found {
	struct live *live;
	struct drift_list *list;
	const struct declared_worker *declared;
	struct running_instance *instance;
	unsigned kinds; /* bit of each class that differs */
	bool repair;
};
void live_add(struct live_found *found, enum drift_class kind, const char *key,
    const char *what, const char *observed, const char *expected);
/* Adds the processes that no declaration knows. */
void live_strangers(struct live *live, struct drift_list *list);

#endif
