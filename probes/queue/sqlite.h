/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_SQLITE_H
#define REEVE_PROBES_QUEUE_SQLITE_H

#include <sqlite3.h>

#include "probes/queue/queue.h"
#include "probes/queue/table.h"

/*
 * What the files of the SQLite driver share. Parameters of statements are
 * named; a statement uses those that it needs:
 *   :now :until :owner :queue :id :attempt :max :error :retry :keep :rows, and
 * a word of the status each: :waiting0… :active0… :done0… :failed0… :dead0…,
 * :buried
 */
enum sqlite_statement {
	SQL_EXPIRED, /* is there a lease that is over? */
	SQL_RECLAIM,
	SQL_READY, /* is there a job to claim? */
	SQL_CLAIM,
	SQL_EXTEND,
	SQL_FINISH,
	SQL_FAIL,
	SQL_BURY,
	SQL_RELEASE,
	SQL_BEAT,
	SQL_LEAVE,
	SQL_PRUNE,  /* done jobs beyond those that are kept */
	SQL_PRUNED, /* how many that were */
	SQL_STATEMENTS
};

struct sqlite_queue {
	sqlite3 *db; /* NULL: the file isn't there */
	struct table_layout layout;
	const char *path;
	bool embedded;
	int64_t keep;      /* done jobs that stay; embedded */
	bool prepared;     /* the statements for consuming were made */
	const char *table; /* quoted, as all below */
	const char *id, *status;
	const char *scope;  /* rows that belong to this queue */
	const char *ready;  /* condition: may be claimed now */
	const char *due;    /* its part that is about time */
	const char *looked; /* the table as a look reads it: set by each look */
	const char *first;  /* "SELECT id …" of the one that is next */
	const char *waiting; /* "(:waiting0,:waiting1)" */
	const char *active;
	const char *order, *order_back; /* "ORDER BY …" */
	char worker[160]; /* heartbeat: REEVE_WORKER/REEVE_REPLICA */
	sqlite3_stmt *statements[SQL_STATEMENTS];
};

struct sqlite_bound {
	int64_t now_ms, until_ms, retry_ms, attempt, rows;
	const char *id, *error;
};

/* Makes the embedded layout where it is missing. */
int sqlite_create(struct queue *queue, struct err *err) MUST_CHECK;

int sqlite_prepare(struct queue *queue, const char *sql, sqlite3_stmt **ret,
    struct err *err) MUST_CHECK;
void sqlite_bind(struct queue *queue, sqlite3_stmt *statement,
    const struct sqlite_bound *bound);
/* The last error of the database as ours, with its cause. */
int sqlite_failed(struct queue *queue, const char *doing, struct err *err);
int sqlite_need(struct queue *queue, struct err *err) MUST_CHECK;
void sqlite_statement_free(sqlite3_stmt **statement);
/* "SELECT id …" of the waiting job that is first by `column`, among those for
 * which `also` holds. */
const char *sqlite_first(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *column, const char *also);

/* "(:waiting0,:waiting1)": the parameters that a state's words are bound to. */
const char *sqlite_words(
    struct arena *arena, const char *state, const struct table_words *words);
/* SQL texts: a column as unix ms, and a bound ms value as the column keeps it.
 * `column` is quoted already. */
const char *sqlite_ms(
    struct arena *arena, const struct sqlite_queue *sqlite, const char *column);
const char *sqlite_time(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *parameter);

int sqlite_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err);
int sqlite_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err);

int sqlite_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int sqlite_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int sqlite_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);

int sqlite_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int sqlite_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);
/* Who of the consumers holds a lease that is in force, as far as the table
 * says. */
void sqlite_holders(
    struct queue *queue, struct arena *arena, struct queue_state *ret);
int sqlite_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err);
/* A row as JSON, from its column `first` on: the job of a table without a
 * payload column. */
void sqlite_row_as_json(sqlite3_stmt *row, int first, struct buffer *out);

int sqlite_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err);
int sqlite_extend(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sqlite_finish(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sqlite_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err);
int sqlite_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err);
int sqlite_release(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err);
int sqlite_heartbeat(struct queue *queue, bool leaving, struct err *err);

#endif
