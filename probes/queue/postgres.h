/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_POSTGRES_H
#define REEVE_PROBES_QUEUE_POSTGRES_H

#include "probes/postgres_connection.h"
#include "probes/queue/queue.h"
#include "probes/queue/table.h"

/*
 * What the files of the PostgreSQL table driver share. Names come from the
 * manifest and are quoted; words and values are bound.
 */
enum {
	PG_PARAMS_MAX = 96,
	PG_COLUMNS_MAX = 256,
	PG_CALL_BYTES_MAX = 8 << 20, /* texts of one call */
	PG_WRITES = -1
};

/* A statement being put together. */
struct pg_sql {
	struct arena *arena;
	const char *params[PG_PARAMS_MAX];
	int count;
};

struct pg_column {
	const char *name, *type; /* as format_type says: "bigint" */
	bool has_default;
};

struct pg_queue {
	struct postgres_session session;
	struct table_layout layout;
	const char *table;    /* quoted, with its schema if given */
	const char *tz;       /* an SQL literal */
	const char *identity; /* of the server; NULL: not asked yet */
	const struct pg_column *columns; /* NULL: not looked up yet */
	size_t ncolumns;
	bool claimable; /* the layout was checked for claiming; of a library:
	                   that it is there */
	int64_t reclaim_ms;
	/* of a library (postgres_library.h) */
	const struct pg_library *library;
	const char *schema;  /* quoted */
	const char *archive; /* PGMQ's second table, quoted, with its schema */
};

/* Logs in; the rest of open is the layout's. */
int pg_connect(struct queue *queue, struct err *err) MUST_CHECK;
void pg_close(struct queue *queue);

/* A transaction with the preamble of queues.md part 6: it reads, for at most
 * `max_ms` (0: the deadline alone), or it writes (PG_WRITES). pg_end after
 * whatever was done in it; a connection that is lost stays as it is. */
int pg_begin(struct queue *queue, int64_t max_ms, struct err *err) MUST_CHECK;
void pg_end(struct queue *queue, bool commits);
/* What went wrong, from the session into the handle; -1. */
int pg_failed(struct queue *queue, struct err *err);
/* One statement in a transaction of its own, as pg_begin makes it. */
int pg_do(struct queue *queue, int64_t max_ms, const char *sql,
    const struct pg_sql *bound, PGresult **ret, struct err *err) MUST_CHECK;

/* The same of a change that gives back the ids of its rows, as its first
 * column: where an id comes twice, nothing is changed. */
int pg_change(struct queue *queue, const char *sql, const struct pg_sql *bound,
    PGresult **ret, struct err *err) MUST_CHECK;

/* Looks the table's columns up, once; `ret_there` false: no such table. */
int pg_describe(
    struct queue *queue, bool *ret_there, struct err *err) MUST_CHECK;
/* The same where the table must be there, with the declared columns. */
int pg_need(struct queue *queue, struct err *err) MUST_CHECK;
const struct pg_column *pg_column(const struct pg_queue *pg, const char *name);

/* table_number() of a cell. */
int64_t pg_number(const PGresult *rows, int row, int column);

/* "$7", or "$7::bigint" when it is a column's value. */
const char *pg_bind(struct pg_sql *sql, const char *value);
const char *pg_bind_i64(struct pg_sql *sql, int64_t value);
const char *pg_bind_as(struct pg_sql *sql, const struct pg_queue *pg,
    const char *column, const char *value);
/* "status IN ($1::t,$2::t)"; "false" when there are no words. */
const char *pg_in(struct pg_sql *sql, const struct pg_queue *pg,
    const struct table_words *a, const struct table_words *b);
/* The rows of this queue. */
const char *pg_scope(struct pg_sql *sql, const struct pg_queue *pg);
/* " AND …": its time has come; "" when the layout has no times. */
const char *pg_due(struct arena *arena, const struct pg_queue *pg);
/* … that may be claimed now; and in which order. */
const char *pg_ready(struct pg_sql *sql, const struct pg_queue *pg);
const char *pg_order(
    struct arena *arena, const struct pg_queue *pg, bool newest_first);

/* Times by the column's type: now as the column keeps it, the column as unix
 * ms, and now plus a bound number of ms. NULL: the type is no time. */
const char *pg_now(
    struct arena *arena, const struct pg_queue *pg, const char *column);
const char *pg_ms(
    struct arena *arena, const struct pg_queue *pg, const char *column);
const char *pg_later(struct arena *arena, const struct pg_queue *pg,
    const char *column, const char *ms);

/* What consumers call themselves: "reeve:TABLE|OWNER", cut by the server at 63
 * bytes. */
const char *pg_client_prefix(struct arena *arena, const struct queue *queue);

int pg_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err);
/* Engine, identity, time. */
void pg_server(
    struct queue *queue, struct arena *arena, struct queue_state *ret);
/* Pids of those on this host, by their addresses. */
void pg_match_pids(
    struct arena *arena, struct queue_consumer *who, size_t count);
int pg_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err);
/* Calls `look` for the server's other databases that may be entered, the
 * handle's session being in a reading transaction there. */
typedef void pg_database_fn(
    struct queue *queue, const char *database, void *arg);
void pg_each_database(struct queue *queue, pg_database_fn *look, void *arg);
/* Of a database that isn't there: "; near: 'app'", or those that are; "" where
 * they can't be seen. */
const char *pg_databases(struct queue *queue);

int pg_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int pg_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int pg_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);

int pg_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int pg_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

int pg_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err);

int pg_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err);
int pg_extend(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int pg_finish(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int pg_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err);
int pg_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err);
int pg_release(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int pg_heartbeat(struct queue *queue, bool leaving, struct err *err);

#endif
