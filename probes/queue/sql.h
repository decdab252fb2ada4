/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_SQL_H
#define REEVE_PROBES_QUEUE_SQL_H

#include "probes/queue/queue.h"
#include "probes/queue/table.h"
#include "probes/rows.h"

/*
 * A table as a queue, on any SQL server: what the statements are made of is
 * here, how one is run is the backend's (mysql.c, odbc.c). PostgreSQL's own
 * driver and SQLite's know their planners and have files of their own.
 */
enum {
	SQL_PARAMS_MAX = 128,
	SQL_COLUMNS_MAX = 256,
	SQL_SCAN_ROWS_MAX = 50000 /* rows read without an index at most */
};

/* Where two servers' SQL differs. */
struct sql_dialect {
	const char *name;                   /* for people */
	const char *quote, *unquote;        /* around a name */
	const char *top, *top_end;          /* "SELECT TOP (" n ") …" */
	const char *limit;                  /* "… LIMIT " n */
	const char *hint;                   /* after a table that is read */
	const char *begin;                  /* a transaction that only reads;
	                                       NULL: there is none */
	const char *writes;                 /* a transaction that writes */
	const char *now;                    /* UTC, as a time without zone */
	const char *now_zoned;              /* of a column with one */
	const char *ms, *ms_end;            /* a time as unix ms */
	const char *zone, *between, *zoned; /* UTC's time in another zone */
	const char *as_text, *as_text_end;
	const char *as_hex, *as_hex_end; /* the first 4096 bytes of a column */
	const char *octets;              /* how many it has: "LENGTH(" */
	const char *plus, *plus_end;     /* a time, and so many ms later */
	const char *skip_locked; /* after a SELECT that locks its row, and
	                            passes by those that are locked; NULL:
	                            nobody consumes by this dialect */
	const char *output, *returning; /* INSERT gives the id … */
	const char *last_id;            /* … or this does */
	/* SELECT name, another schema than ? (or, where that is '', than the
	 * session's) or '' */
	const char *tables;
	const char *place; /* what people call a schema; NULL: that */
	/* Names and values: …_uuid or …_uid is the server's identity,
	 * …read_only is ON where it takes no writes; NULL: not asked */
	const char *variables;
	/* SELECT who, address; the first row: '1' when all can be seen */
	const char *sessions;
	const char *procedure; /* SELECT of the text of the procedure named ? */
};

struct sql_bound {
	struct arena *arena;
	const char *params[SQL_PARAMS_MAX];
	size_t count;
};

struct sql_column {
	const char *name, *type; /* in lower case: "datetime", "bigint" */
	bool has_default;
};

struct sql_table;
struct sql_backend {
	int (*run)(struct queue *queue, const char *text,
	    const struct sql_bound *bound, struct arena *arena,
	    struct sql_rows *ret, struct err *err);
	/* Columns into the table; how many rows it has about (-1 unknown), and
	 * whether an index begins with `column`. */
	int (*describe)(struct queue *queue, const char *column,
	    struct sql_table *ret, struct err *err);
};

struct sql_table {
	struct table_layout layout;
	const struct sql_dialect *dialect;
	const struct sql_backend *backend;
	void *connection;  /* the backend's */
	const char *table; /* quoted, with its schema */
	const char *server, *identity;
	const char *database;  /* that the session is in */
	const char *procedure; /* that acquires a lease; NULL: none */
	const struct sql_column *columns; /* NULL: not looked up, or absent */
	size_t ncolumns;
	int64_t about_rows;
	bool indexed;
	bool claimable;     /* the layout was checked for claiming */
	int64_t reclaim_ms; /* when expired leases are looked for again */
};

extern const char *const sql_keys[];
extern const char *const sql_client_keys[];

/* By what ODBC's driver says that it speaks to; SQL Server is the first. */
extern const struct sql_dialect odbc_dialects[];
extern const size_t odbc_dialects_count;

/* Reads the layout; the backend connects and sets dialect, backend, server. */
int sql_layout(
    struct queue *queue, struct sql_table *table, struct err *err) MUST_CHECK;
/* Names, once the dialect is known. */
void sql_names(struct queue *queue, struct sql_table *table);

const char *sql_quote(
    struct arena *arena, const struct sql_table *table, const char *name);
const char *sql_bind(struct sql_bound *bound, const char *value); /* "?" */
const struct sql_column *sql_column(
    const struct sql_table *table, const char *name);
/* "SELECT what rest", n rows at most. */
const char *sql_limited(struct arena *arena, const struct sql_table *table,
    const char *what, const char *rest, int64_t n);
/* "scope AND status IN (?,…)", with what is bound for it. */
const char *sql_where(struct sql_bound *bound, const struct sql_table *table,
    const struct table_words *words);
const char *sql_now(
    struct arena *arena, const struct sql_table *table, const char *column);
const char *sql_ms(
    struct arena *arena, const struct sql_table *table, const char *column);
const char *sql_text(
    struct arena *arena, const struct sql_table *table, const char *column);
/* What it holds are bytes, which need not be text. */
bool sql_is_bytes(const struct sql_column *column);
/* Hexadecimal digits, as bytes. */
const char *sql_unhex(struct arena *arena, const char *digits, size_t *ret_len);
/* So many milliseconds from now, as that column keeps it. */
const char *sql_later(struct arena *arena, const struct sql_table *table,
    const char *column, int64_t in_ms);
/* " AND …": its time has come. */
const char *sql_due(struct arena *arena, const struct sql_table *table);
/* A text within quotes. */
const char *sql_literal(struct arena *arena, const char *text);
/* The table and its declared columns are there. */
int sql_need(struct queue *queue, struct err *err) MUST_CHECK;
int sql_run(struct queue *queue, const char *text,
    const struct sql_bound *bound, struct sql_rows *ret,
    struct err *err) MUST_CHECK;

int sql_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err);
int sql_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err);
int sql_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int sql_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int sql_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);
int sql_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int sql_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);
int sql_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err);
int sql_extend(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sql_finish(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sql_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err);
int sql_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err);
int sql_release(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sql_heartbeat(struct queue *queue, bool leaving, struct err *err);

#endif
