/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_FOREIGN_READ_H
#define REEVE_MANIFESTS_FOREIGN_READ_H

#include "base/base.h"
#include "manifests/complaints.h"
#include "manifests/document.h"
#include "manifests/env_list.h"
#include "manifests/foreign.h"

/*
 * Inner header of foreign.c and its readers: what a reader is given, and what
 * it leaves for foreign_resolve().
 */
struct foreign_raw {
	const struct node *env, *env_from; /* Kubernetes */
	const struct node *environment;    /* Compose */
	const char *const *env_files;      /* Compose: paths, NULL-terminated */
	/* Compose: what `.env` beside the file says, for ${NAME} */
	const struct foreign_source *dotenv;
};

struct foreign_reading {
	struct arena *arena;
	struct redactor *redactor;
	struct complaints *complaints;
	struct foreign *foreign;
	const char *file;
};

struct foreign_component *foreign_add_component(
    struct foreign_reading *reading, const struct node *at);
struct foreign_source *foreign_add_source(
    struct foreign_reading *reading, const struct node *at);
void foreign_skip(struct foreign_reading *reading, const struct node *at,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The text of a scalar that may also be absent; complains about another type.
 */
const char *foreign_text(
    struct foreign_reading *reading, const struct node *map, const char *key);
/* The list, NULL when absent; complains about another type. */
const struct node *foreign_list(
    struct foreign_reading *reading, const struct node *map, const char *key);
const struct node *foreign_map(
    struct foreign_reading *reading, const struct node *map, const char *key);
/* A whole number, `otherwise` when absent. */
int64_t foreign_number(struct foreign_reading *reading, const struct node *map,
    const char *key, int64_t otherwise);

void kubernetes_read(
    struct foreign_reading *reading, const struct node *document);
void kubernetes_resolve(struct foreign *foreign,
    struct foreign_component *component, struct arena *arena);

void compose_read(struct foreign_reading *reading, const struct node *document);
void compose_resolve(struct foreign *foreign,
    struct foreign_component *component, struct arena *arena);

#endif
