/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_TREND_H
#define REEVE_SUPERVISOR_OPERATOR_TREND_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/loop.h"
#include "supervisor/operator/queues.h"
#include "supervisor/operator/store.h"

/*
 * How the queues were, in the store: every look of the last two hours, and
 * minutes (averages; of what grows, and of the age, the most) of the last two
 * days. With many queues each is kept for less long: the number of rows is
 * bounded. What wasn't known is NULL, never 0. It outlives the operator.
 */
enum {
	TREND_LOOKS_MAX = 400 * 1000,   /* rows, of all queues */
	TREND_MINUTES_MAX = 600 * 1000, /* likewise */
	TREND_LOOKS_MS = 2 * 60 * 60 * 1000,
	TREND_MINUTES_MS = 48 * 60 * 60 * 1000,
};

struct trend;

struct trend *trend_new(
    struct store *store, struct loop *loop, struct err *err) MUST_CHECK;
void trend_free(struct trend *trend); /* NULL: nothing */

/* A look at one of `queues` queues, of which one comes every `every_ms`. */
void trend_add(struct trend *trend, const struct queue_view *view,
    size_t queues, int64_t every_ms);

/* What was counted since then, as the sum of what the counters went up by: one
 * that goes down was reset. -1: not known. */
struct trend_counts {
	int64_t completed, failed; /* failed: dead letters too */
	int64_t dead, expired;     /* dead letters; leases, as far as seen */
};
void trend_counts(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct trend_counts *ret);

/* Since when, and until which look (wall time), a value has been above a limit
 * wherever it was known. All 0: it isn't, or no look is kept. */
struct trend_above {
	int64_t since_wall_ms, last_wall_ms;
	double most;
};
/* `expression` is over the columns, one of ours and never a user's. */
void trend_above(struct trend *trend, const char *name, const char *expression,
    double limit, struct trend_above *ret);

/* Of the looks since then: the first of them, and the fewest jobs at once. 0
 * and -1: there is none. */
struct trend_work {
	int64_t first_wall_ms;
	int64_t least; /* that waited or were in hand at once */
};
void trend_work(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct trend_work *ret);

/* What is usual, by the minutes before `until_wall_ms`. */
struct trend_usual {
	int64_t minutes;     /* that had an age */
	int64_t oldest_ms;   /* 95 of 100 were not above; -1: none is known */
	int64_t interval_ms; /* mean time between two successes; -1 */
};
void trend_usual(struct trend *trend, const char *name, int64_t until_wall_ms,
    struct trend_usual *ret);

/* The depth and age of a queue since then, in order: minutes (the most of
 * each), then looks. -1: not known. */
typedef void trend_row_fn(
    void *arg, int64_t at_wall_ms, int64_t waiting, int64_t oldest_ms);
void trend_each(struct trend *trend, const char *name, int64_t since_wall_ms,
    trend_row_fn *fn, void *arg);

/* reeve.history/1: minutes as far as no looks are kept, then looks. */
int trend_write(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct buffer *out, struct err *err) MUST_CHECK;

#endif
