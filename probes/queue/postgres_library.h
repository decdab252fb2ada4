/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_POSTGRES_LIBRARY_H
#define REEVE_PROBES_QUEUE_POSTGRES_LIBRARY_H

#include "probes/queue/postgres_count.h"

/*
 * The layouts of job libraries that keep their queues in PostgreSQL: a row of
 * one table each, all read by the same code.
 *
 * In the texts, {s} is the quoted schema, {j} the library's `jobs`, {q} and {a}
 * are PGMQ's two tables of the queue. $1 is the queue's name, always as
 * $1::text; further parameters are said at the field. Times are UTC.
 */
struct pg_library {
	const char *kind, *name; /* "pgboss"; "pg-boss", for people */
	const char *schema_key;  /* the option that names the schema */
	const char *schema;      /* by default */
	const char *anchor;      /* a table without which there is no layout */
	const char *versions;    /* whose layout this is */
	const char *jobs;        /* "{s}.job j WHERE j.name=$1::text" */
	/* FROM … WHERE … of each count; NULL: not applicable */
	const char *rows[PG_COUNTS];
	const char *live;   /* … of all that wait or are in hand */
	const char *oldest; /* when the oldest waiting one was put in; NULL: the
	                       smallest `since` */
	const char *paused; /* 1 or 0; NULL: not known */
	/* Whether the first jobs that are tried again wait before that: SELECT
	 * 1, 0, or NULL where none is; and what says so of each, 0 and 1.
	 * NULL: the library always waits, or doesn't keep it. */
	const char *backs_off, *why_backs_off[2];
	/* Of one job, in the terms of `rows`: expressions; NULL: not kept. */
	const char *id, *since, *attempts, *error, *owner, *payload;
	const char *known;  /* SELECT: a row when the queue is known */
	const char *queues; /* SELECT of names of queues, bounded */
	/* SELECT who, its address, what it reads, 't' when it surely reads this
	 * queue; NULL: nobody keeps that. */
	const char *consumers;
	const char *why_consumers; /* what stands in the way of knowing */
	/* $2 the payload, $3 the canary's id; gives the job's id */
	const char *submit;
	const char *expects; /* what the payload must be */
	/* $2 the job's id: SELECT visible|taken|done|gone|dead, by, attempts,
	 * detail */
	const char *follow;
	const char *remove; /* $2 the job's id; unless it is in hand */
	/* $2 ids as text[]; RETURNING the ids that were moved */
	const char *requeue, *reclaim;
	bool closed;       /* a queue that isn't known doesn't exist */
	bool roll;         /* all consumers are among them */
	bool gone_is_done; /* only success removes a job */
};

extern const struct pg_library pg_libraries[];
extern const size_t pg_libraries_count;

/* For the files of it. A layout's text with the names filled in. */
const char *pg_library_text(
    struct arena *arena, const struct pg_queue *pg, const char *text);
/* Begins the parameters: the queue's name. */
struct pg_sql pg_library_bind(struct arena *arena, const struct queue *queue);
/* What went wrong, into the handle; a statement that the tables don't fit says
 * whose layout was expected. Returns -1. */
int pg_library_refused(struct queue *queue, struct err *err);
/* Runs a layout's text, within a transaction that is open; and one that writes,
 * in a transaction of its own. */
int pg_library_ask(struct queue *queue, const char *text,
    const struct pg_sql *sql, PGresult **ret, struct err *err) MUST_CHECK;
int pg_library_change(struct queue *queue, const char *text,
    const struct pg_sql *sql, PGresult **ret, struct err *err) MUST_CHECK;

/* What struct queue_driver says of each: postgres_library_look.c, …_jobs.c. */
int pg_library_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err) MUST_CHECK;
int pg_library_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err) MUST_CHECK;
int pg_library_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err) MUST_CHECK;
int pg_library_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err) MUST_CHECK;

#endif
