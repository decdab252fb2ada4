/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_QUEUES_H
#define REEVE_SUPERVISOR_OPERATOR_QUEUES_H

#include "base/base.h"
#include "base/jsonw.h"
#include "manifests/declared.h"
#include "probes/queue/state.h"

/*
 * The declared queues as they were seen last. Each endpoint (server or file)
 * has one prober, which asks queue after queue over one connection and is
 * killed when an answer doesn't come in time; whoever hangs there keeps
 * nobody else waiting.
 */
struct operator_core;
struct queues;

/* One queue. Everything is borrowed until the next turn of the loop. */
struct queue_view {
	const char *name, *kind;
	const char *url; /* without its password */
	/* its server as it was reached: "10.0.0.5:6379"; "": by no TCP */
	const char *server;
	/* Never NULL. All unknown while `trouble` says that it can't be asked:
	 * an old answer is never shown as if it were true now. */
	const struct queue_state *state;
	const char *trouble;     /* why it isn't known; NULL: it is */
	int64_t at_wall_ms;      /* of the last answer; 0: none yet */
	int64_t trouble_wall_ms; /* since when there is trouble; 0: none */
	int64_t known_ms;        /* monotonic: of the last good answer; 0 */
	/* Jobs wait, and since then (monotonic) nothing was seen to move: the
	 * head, what was finished or failed, or fewer that wait. 0: it moves,
	 * is empty, or isn't known. */
	int64_t still_ms;
};

typedef void queues_view_fn(void *arg, const struct queue_view *view);

struct queues *queues_new(struct operator_core *op);
void queues_free(struct queues *queues);
void queues_set(struct queues *queues); /* after each reading */
/* All of them, in the order of the manifest. */
void queues_view_each(
    const struct queues *queues, queues_view_fn *fn, void *arg);
/* The one of that name; false: there is none. */
bool queues_view_find(
    const struct queues *queues, const char *name, struct queue_view *ret);
/* A request to a prober about a queue that has a URL; the caller may add to the
 * object, and ends it. It holds secrets. */
void queues_begin_request(struct jsonw *json,
    const struct declared_queue *queue, const char *op, int64_t timeout_ms);

/* --- queues_write.c --- */
/* Elements of the array `queues` of reeve.status/1. */
void queues_write(const struct operator_core *op, struct jsonw *json);

#endif
