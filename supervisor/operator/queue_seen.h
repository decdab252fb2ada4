/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_QUEUE_SEEN_H
#define REEVE_SUPERVISOR_OPERATOR_QUEUE_SEEN_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/observed.h"
#include "supervisor/operator/queues.h"

/*
 * One declared queue as it was seen last: what its prober answered, kept until
 * the next answer, since when jobs wait without any being taken, and why there
 * is no newer answer. Who asks, and when, is endpoint.c's.
 */
struct queue_seen {
	char *name, *kind, *url;        /* the URL without its password */
	char *request;                  /* JSON, holds secrets; NULL: no URL */
	const char *server;             /* borrowed, as in struct queue_view */
	struct arena arena;             /* of `seen` */
	const struct observation *seen; /* the last answer, or NULL */
	int64_t at_wall_ms;             /* when it was last true */
	char *trouble;                  /* why there is no newer one, or NULL */
	int64_t trouble_wall_ms, known_ms, still_ms;
};

/* Frees what it holds; the request is wiped. */
void queue_seen_fini(struct queue_seen *queue);
/* Why nothing new is known of it (copied); NULL: it is known. */
void queue_seen_trouble(struct queue_seen *queue, const char *why);
/* Takes in a line of its prober: a verdict, or that the last one still holds,
 * which is believed only under that one's tag. Returns whether it was a
 * verdict. */
bool queue_seen_answer(struct queue_seen *queue, const char *line, size_t len);
/* Whether its trouble is the server's rather than this queue's alone. */
bool queue_seen_blames_server(const struct queue_seen *queue);
/* Where the connection of the last verdict led; NULL: it used one that was open
 * already. Borrowed until the next answer. */
const char *queue_seen_connected_to(const struct queue_seen *queue);
void queue_seen_view(const struct queue_seen *queue, struct queue_view *ret);

#endif
