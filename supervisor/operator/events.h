/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_EVENTS_H
#define REEVE_SUPERVISOR_OPERATOR_EVENTS_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/loop.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/store.h"
#include "supervisor/wire/messages.h"

/*
 * What happened, in order: what the init tells of its workers (each once, also
 * when we were away), and what we found and did. Kept in the store, the newest
 * EVENTS_MAX of at most EVENTS_DAYS days.
 */
struct events;

enum {
	EVENTS_MAX = 100 * 1000,
	EVENTS_DAYS = 30,
	EVENTS_ANSWER_MAX = 10 * 1000,
};

/* `boot_ms`: when the init was started; its numbers are of that start. */
struct events *events_new(struct store *store, struct loop *loop,
    int64_t boot_ms, struct err *err) MUST_CHECK;
void events_free(struct events *events);

/* Called when the store works again and the init's events above `number` are to
 * come once more. */
typedef void events_again_fn(void *arg, uint64_t number);
void events_ask_again(struct events *events, events_again_fn *again, void *arg);

/* The init's last event that is kept: it is asked for those above. */
uint64_t events_last(const struct events *events);
void events_take(struct events *events, const struct wire_event *wire);
/* Of our own; `worker` may be NULL. `kind` is one of the words of
 * docs/events.md. */
void events_say(struct events *events, const char *kind, const char *worker,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What differs now: what is new of it and what is over are events. */
void events_drift(struct events *events, const struct drift_list *list);

struct events_query {
	int64_t since_ms;   /* wall time; 0: from the beginning */
	int64_t after;      /* only those with a greater id */
	const char *worker; /* NULL: all, ours too */
	int64_t limit;      /* the newest so many; 1..EVENTS_ANSWER_MAX */
};

/* reeve.events/1, oldest first. */
int events_write(struct events *events, const struct events_query *query,
    struct buffer *out, struct err *err) MUST_CHECK;

#endif
