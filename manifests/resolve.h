/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_RESOLVE_H
#define REEVE_MANIFESTS_RESOLVE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/secret.h"
#include "manifests/complaints.h"
#include "manifests/declared.h"
#include "manifests/document.h"
#include "manifests/env_list.h"
#include "manifests/raw.h"
#include "manifests/source.h"
#include "manifests/table.h"

/*
 * From libcyaml's structs and the document's places to struct declared: the
 * inner header of resolve_*.c and declared.c. Values come from the structs,
 * places from the nodes; both are of the same accepted text.
 */
enum {
	EXPANDED_MAX = 128 * 1024, /* of one value: the kernel's limit of one
	                              argument or variable */
	EXPANDED_ALL_MAX = 64 * 1024 * 1024
};

struct resolve {
	struct arena *arena;
	struct redactor *redactor;
	const struct declared_options *options;
	struct complaints *complaints;
	struct declared *declared;
	const struct node *root;
	const struct manifest_manifest *raw;
	struct source *sources;  /* beside declared->sources */
	struct env_list environ; /* the supervisor's own, read once for all */
	size_t expanded_bytes;
	bool unreadable_import; /* some envFrom could not be read */
};

struct place resolve_place(const struct resolve *r, const struct node *node);
/* Of the key if `node` is a value in a mapping. */
struct place resolve_key_place(
    const struct resolve *r, const struct node *node);

/* A relative path lies beside the manifest, wherever it is read from. */
const char *resolve_beside(const struct resolve *r, const char *path);

/* NULL `text` takes the default; both are known to parse. */
int64_t resolve_duration(const char *text, const char *otherwise);
int64_t resolve_int(const int64_t *value, const char *otherwise);
/* A copy, NULL-terminated. */
const char *const *resolve_texts(
    struct resolve *r, char *const *texts, unsigned count);

/* --- resolve_env.c --- */

struct resolve_layers {
	struct manifest_env *env;
	unsigned env_count;
	const struct node *env_node;
	struct manifest_env_from *env_from;
	unsigned env_from_count;
	const struct node *env_from_node;
	const struct node *inherit; /* inheritEnv, or NULL */
	bool inherits;              /* of the supervisor's own at all */
};

void resolve_top_env(struct resolve *r);
void resolve_env(struct resolve *r, const struct resolve_layers *layers,
    struct env_list *list);
struct declared_import *resolve_imports(
    struct resolve *r, const struct resolve_layers *layers, size_t *ret_count);
/* Sets what nothing else set: the variable that carries a queue's name. */
void resolve_bindings_env(struct resolve *r,
    const struct declared_binding *bindings, size_t count,
    struct env_list *list);

/* --- resolve_text.c --- */

struct resolved_text {
	const char *text;       /* NULL: unresolved */
	const char *unresolved; /* the name that is missing, or NULL */
	bool secret;
};

/* Outside env. `node` is where complaints point. Keeps $(CANARY) and $(JOB). */
struct resolved_text resolve_text(
    struct resolve *r, const char *text, const struct node *node);
/* The one key of a mapping that says what is looked at. */
const struct row *resolve_chosen(enum mapping_id id, const struct node *node);
/* The parameters of a check, stage, cleanup or row: a mapping as JSON. */
struct declared_probe_request resolve_request(struct resolve *r,
    const char *kind, enum mapping_id mapping, const struct node *node);

/* --- resolve_queue.c, resolve_worker.c, resolve_settings.c, resolve_rest.c ---
 */

void resolve_queues(struct resolve *r);
void resolve_counts(struct resolve *r); /* once the workers are there */
struct declared_binding *resolve_bindings(struct resolve *r,
    const struct manifest_binding *raw, unsigned count,
    const struct node *node);
void resolve_workers(struct resolve *r);
/* `node`: of the worker */
void resolve_settings(struct resolve *r, const struct node *node,
    const struct manifest_worker *raw, struct declared_worker *worker);
void resolve_producers(struct resolve *r);
void resolve_checks(struct resolve *r);
void resolve_smokes(struct resolve *r);
void resolve_alerts(struct resolve *r);
void resolve_waivers(struct resolve *r);
void resolve_supervisor(struct resolve *r);
/* `of_worker` may be NULL: the supervisor's own. */
struct declared_logs resolve_logs(
    const struct resolve *r, const struct manifest_logs *of_worker);

#endif
