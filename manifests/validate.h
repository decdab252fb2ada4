/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_VALIDATE_H
#define REEVE_MANIFESTS_VALIDATE_H

#include "base/arena.h"
#include "base/base.h"
#include "manifests/complaints.h"
#include "manifests/declared.h"
#include "manifests/document.h"
#include "manifests/table.h"

/*
 * Whether a document is a manifest: every row of the table, then what spans
 * several keys. Complains about all that is wrong. What it accepts, libcyaml
 * loads. Reads nothing but the document.
 */
struct words { /* NULL-terminated, and counted */
	const char **list;
	size_t count;
};

struct validation {
	struct arena *arena;
	struct complaints *complaints;
	const struct node *root;
	const char *const *environ; /* NULL: unknown */
	struct words queues, secrets, configs, workers;
	struct declared_inert *inert;
	size_t ninert, inert_cap;
};

void manifest_validate(struct validation *v);

/* --- between the two halves --- */

/* Rows are right or complained about; this is about what they say together:
 * references, `$(NAME)`, probes and ports. */
void validate_together(struct validation *v);
/* Of one item of 'queues' and, of the manifest, what names must match
 * (validate_queue.c). */
void validate_queue(struct validation *v, const struct node *queue);
void validate_queue_names(struct validation *v);
/* validate_worker.c */
void validate_worker(struct validation *v, const struct node *worker);
void validate_init_worker(struct validation *v, const struct node *worker);
/* $(NAME) within the 'env' of its owner, and everywhere else
 * (validate_names.c). */
void validate_env(struct validation *v, const struct node *owner);
void validate_expansions(struct validation *v);
/* A complaint where `what` is there without `needs`, as it says nothing then.
 */
void validate_goes_with(struct validation *v, const struct node *map,
    const char *what, const char *needs);
/* dependsOn: conditions that can come true, and no cycle. */
void validate_order(struct validation *v);
bool words_have(const struct words *words, const char *word);
/* A complaint that ends with the nearest word and the valid ones. */
void validate_unknown(struct validation *v, const struct node *node,
    const char *what, const struct words *words);

#endif
