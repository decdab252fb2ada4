/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_LIBRARY_H
#define REEVE_PROBES_QUEUE_REDIS_LIBRARY_H

#include <cjson/cJSON.h>

#include "probes/queue/queue.h"
#include "probes/queue/redis_kind.h"
#include "probes/queue/redis_near.h"

/*
 * What RQ, Celery, Sidekiq and Resque have in common: jobs wait in one list
 * whose key holds the queue's name, beside sets of the library's own. The
 * layouts are those of queues.md parts 5.6 to 5.9.
 */
enum {
	LIBRARY_SOME = 200 /* members of a shared set that are looked at */
};

struct library_queue {
	struct redis_handle handle;
	const char *prefix; /* of every list: "rq:queue:"; "" */
	const char *list;   /* the one that waits */
	const char *ns;     /* Resque's; "" of the others */
	const char *infix;  /* as of the layout */
	struct redis_naming naming;
};

/* Opens `queue->spec`: the list is `prefix` and the queue's name. */
struct library_layout {
	const char *ns, *prefix;
	/* Between a namespace that people choose and a queue's name: other
	 * namespaces are looked through too; NULL: there are none */
	const char *infix;
	const char *index; /* the set of all queues' names; NULL: none */
	const char *base;  /* of all keys, those of `types` */
	const struct redis_key_type *types;
};
int library_open(struct queue *queue, const struct library_layout *layout,
    redis_round_fn *const *rounds, struct err *err) MUST_CHECK;

/* The elements of an answer that is a list; 0 of any other. */
size_t library_count(const redisReply *reply);
/* The text of a part of a list, borrowed from the reply; "" when it is none. */
const char *library_text(const redisReply *reply, size_t at);
/* A text that is a JSON object; NULL. The caller's. */
cJSON *library_json(const char *text);
/* Whether a job, as JSON, says that it is of this queue. */
bool library_is_of(const char *text, const char *queue);
/* Adds one consumer, if there is room. `who` is of QUEUE_WHO_MAX. */
void library_consumer(
    struct redis_look *look, const struct queue_consumer *consumer);
/* `counted` of `total` members were looked at, and `mine` are this queue's. */
struct queue_number library_share(
    int64_t mine, int64_t counted, const struct queue_number *total);
/* Whether exactly these bytes are in the list, near one of its ends. */
int library_find(struct queue *queue, const char *text, bool *ret_found,
    struct err *err) MUST_CHECK;
/* Takes exactly these bytes out of it. */
int library_take_out(struct queue *queue, const char *text, bool *ret_removed,
    struct err *err) MUST_CHECK;
/* The first bytes of a payload into an item. */
void library_payload(
    struct arena *arena, const char *bytes, size_t len, struct queue_item *ret);
/* Jobs on their way to a page, one after the other out of what all queues
 * share: this queue's are counted, and the first `limit` of them shown. */
struct library_listing {
	struct arena *arena; /* the page's */
	struct queue_item *items;
	size_t count, limit;
	int64_t seen;
	int64_t now_ms; /* the server's clock */
};
/* -1: the server doesn't tell its time; the queue's cause is set. */
int library_listing_init(struct library_listing *listing, struct queue *queue,
    struct arena *arena, size_t limit, struct err *err) MUST_CHECK;
/* One more of this queue; NULL: it is counted only. */
struct queue_item *library_listing_next(struct library_listing *listing);
/* `whole`: all that is shared was looked at. */
struct queue_page library_listing_page(
    const struct library_listing *listing, bool whole);
/* The jobs of the list `key` as they are; `tail`: there is the
 * oldest. For a driver's `list`. */
struct library_peek {
	const char *key;
	bool tail;
	const struct queue_number *total;
	size_t limit;
};
int library_peek(struct queue *queue, const struct library_peek *peek,
    struct arena *arena, struct queue_page *ret, struct err *err) MUST_CHECK;
/* An answer of TIME, in a look of one call. */
int library_now(
    struct queue *queue, int64_t *ret_ms, struct err *err) MUST_CHECK;

/* "KIND+redis://", "KIND+rediss://", … */
#define LIBRARY_SCHEMES(kind)                                      \
	{                                                          \
		kind "+redis", kind "+rediss", kind "+redis+unix", \
		    kind "+unix", kind "+redis+sentinel",          \
		    kind "+rediss+sentinel", NULL                  \
	}

#endif
