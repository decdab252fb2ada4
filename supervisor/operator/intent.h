/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_INTENT_H
#define REEVE_SUPERVISOR_OPERATOR_INTENT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/secret.h"
#include "manifests/declared.h"
#include "supervisor/operator/names.h"
#include "supervisor/wire/plan.h"

/* The workers of one queue, as indices of the declaration's. */
struct intent_queue {
	size_t *readers, *scaled;
	size_t nreaders, nscaled;
};

/*
 * One reading of the manifest and of what it draws on, and what it comes to.
 * It holds secrets: freed means wiped.
 */
struct intent {
	struct arena arena;
	struct declared *declared;
	/* What it comes to, before anything is decided: in the arena, and in
	 * the form of a plan, which holds once what many have in common. */
	struct plan plan;
	struct plan_settings settings;
	struct names names;          /* of the workers */
	struct intent_queue *queues; /* in the declaration's order */
	struct names queue_names;
	struct redactor *redactor;
	/* of the manifest's text and every value: whether a reading is news */
	struct fingerprint print;
};

/* NULL when it can't be read or is refused; then `why` holds every error, one
 * a line, as file:line:column: text. */
struct intent *intent_load(const char *path,
    const struct declared_options *options, const struct fingerprint_key *key,
    struct buffer *why);
/* What a declared worker comes to; index < declared->nworkers. */
void intent_spec(
    const struct intent *intent, size_t which, struct worker_spec *ret);
/* The index of a declared worker, or queue, or NAMES_NONE. */
size_t intent_worker(const struct intent *intent, const char *name);
size_t intent_queue(const struct intent *intent, const char *name);
/* Who reads a declared queue, and who is scaled by it; nobody where there is no
 * such queue. */
const struct intent_queue *intent_queue_find(
    const struct intent *intent, const char *name);
/* Whether the init has room for all its replicas at once, with `scale` at
 * `max`; else `why` says at which worker it ends. */
bool intent_fits(
    const struct declared *declared, uint32_t max_workers, struct buffer *why);
void intent_free(struct intent *intent); /* accepts NULL */

#endif
