/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_QUEUE_FORM_H
#define REEVE_MANIFESTS_QUEUE_FORM_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "manifests/table.h"

/*
 * The one-URL form of a queue taken apart (queues.md part 3):
 * `redis://h:6379/0?list=jobs`, `pgtable+postgresql://h/db?table=documents`.
 */
struct queue_form_option {
	const char *key; /* the manifest's word: "deadLetter" for `dlq` */
	const char *value;
};
struct queue_form {
	enum queue_kind_id kind;
	const char *url; /* prefix and our own keys taken off */
	struct queue_form_option *options;
	size_t noptions;
};

/* Errors never quote the URL: it may hold a password. */
int queue_form_take(struct arena *arena, const char *text,
    struct queue_form *ret, struct err *err) MUST_CHECK;

/* The URL that the kind's driver takes, within `url`: what stands beside `kind`
 * may be the whole one-URL form's scheme too ("nats+tls://…" is tls://…). NULL:
 * no URL of this kind. As it is when the text doesn't say its scheme. */
const char *queue_form_plain(enum queue_kind_id kind, const char *url);

#endif
