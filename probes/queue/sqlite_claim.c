/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/queue/polling.h"
#include "probes/queue/process.h"
#include "probes/queue/sqlite.h"

/*
 * Consuming from a table. A claim is one UPDATE, so it is whole or not at all;
 * it is held as long as id, owner, status and the count of attempts are what
 * they were: whoever claims the row again raises the count.
 */

static const char *
set_if(struct arena *arena, const char *column, const char *value)
{
	if (column == NULL)
		return "";
	return arena_format(arena, ",%s=%s", table_quote(arena, column), value);
}

/* "this claim still holds the row" */
static const char *
held(struct arena *arena, const struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *owner = "";

	if (layout->owner != NULL)
		owner = arena_format(
		    arena, " AND %s=:owner", table_quote(arena, layout->owner));
	return arena_format(arena, "%s=:id AND %s IN %s AND %s=:attempt%s",
	    sqlite->id, sqlite->status, sqlite->active,
	    table_quote(arena, layout->attempts), owner);
}

/* What a job's end writes: its new status, and no claim any more. */
static const char *
ended(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *status, const char *more)
{
	const struct table_layout *layout = &sqlite->layout;

	return arena_format(arena, "UPDATE %s SET %s=%s,%s=NULL%s%s WHERE %s",
	    sqlite->table, sqlite->status, status,
	    table_quote(arena, layout->lease), more,
	    set_if(arena, layout->updated, sqlite_time(arena, sqlite, ":now")),
	    held(arena, sqlite));
}

static const char *
limit_of(struct arena *arena, const struct table_layout *layout)
{
	if (layout->max_attempts == NULL)
		return ":max";
	return arena_format(arena, "coalesce(%s,:max)",
	    table_quote(arena, layout->max_attempts));
}

static const char *
reclaim_sql(struct arena *arena, const struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *attempts = table_quote(arena, layout->attempts);
	const char *lease = table_quote(arena, layout->lease);
	const char *limit = limit_of(arena, layout);
	const char *error = "";

	if (layout->error != NULL)
		error =
		    arena_format(arena, ",%s='lease expired in attempt '||%s",
		        table_quote(arena, layout->error), attempts);
	return arena_format(arena,
	    "UPDATE %s SET %s=CASE WHEN %s>=%s THEN :buried ELSE :waiting0 "
	    "END,%s=NULL%s%s WHERE %s AND %s IN %s AND %s<:now",
	    sqlite->table, sqlite->status, attempts, limit, lease, error,
	    set_if(arena, layout->updated, sqlite_time(arena, sqlite, ":now")),
	    sqlite->scope, sqlite->status, sqlite->active,
	    sqlite_ms(arena, sqlite, lease));
}

static const char *
claim_sql(struct arena *arena, const struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *attempts = table_quote(arena, layout->attempts);

	return arena_format(arena,
	    "UPDATE %s SET %s=:active0,%s=coalesce(%s,0)+1,%s=%s%s%s "
	    "WHERE %s=(%s) RETURNING *",
	    sqlite->table, sqlite->status, attempts, attempts,
	    table_quote(arena, layout->lease),
	    sqlite_time(arena, sqlite, ":until"),
	    set_if(arena, layout->owner, ":owner"),
	    set_if(arena, layout->updated, sqlite_time(arena, sqlite, ":now")),
	    sqlite->id, sqlite->first);
}

static const char *
fail_sql(struct arena *arena, const struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *retry = sqlite_time(arena, sqlite, ":retry");

	if (layout->run_at != NULL)
		return ended(arena, sqlite, ":waiting0",
		    set_if(arena, layout->run_at, retry));
	/* the lease's column says until when the retry waits */
	return arena_format(arena, "UPDATE %s SET %s=:waiting0,%s=%s WHERE %s",
	    sqlite->table, sqlite->status, table_quote(arena, layout->lease),
	    retry, held(arena, sqlite));
}

static const char *
statement_sql(struct arena *arena, const struct sqlite_queue *sqlite,
    enum sqlite_statement which)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *lease = table_quote(arena, layout->lease);
	const char *attempts = table_quote(arena, layout->attempts);

	switch (which) {
	case SQL_EXPIRED:
		return arena_format(arena,
		    "SELECT 1 FROM %s WHERE %s AND %s IN %s AND %s<:now LIMIT 1",
		    sqlite->table, sqlite->scope, sqlite->status,
		    sqlite->active, sqlite_ms(arena, sqlite, lease));
	case SQL_RECLAIM:
		return reclaim_sql(arena, sqlite);
	case SQL_READY:
		return arena_format(arena, "SELECT 1 FROM %s WHERE %s LIMIT 1",
		    sqlite->table, sqlite->ready);
	case SQL_CLAIM:
		return claim_sql(arena, sqlite);
	case SQL_EXTEND:
		return arena_format(arena, "UPDATE %s SET %s=%s WHERE %s",
		    sqlite->table, lease, sqlite_time(arena, sqlite, ":until"),
		    held(arena, sqlite));
	case SQL_FINISH:
		if (layout->done_deletes)
			return arena_format(arena, "DELETE FROM %s WHERE %s",
			    sqlite->table, held(arena, sqlite));
		return ended(arena, sqlite, ":done0", "");
	case SQL_FAIL:
		return fail_sql(arena, sqlite);
	case SQL_BURY:
		return ended(arena, sqlite, ":buried",
		    set_if(arena, layout->error, ":error"));
	case SQL_RELEASE:
		return ended(arena, sqlite, ":waiting0",
		    set_if(arena, layout->attempts,
		        arena_format(arena, "%s-1", attempts)));
	case SQL_BEAT:
		return "INSERT INTO reeve_consumers(owner,queue,worker,host,pid,"
		       "started,seen) VALUES(:owner,:queue,:worker,:host,:pid,"
		       ":started,:now) ON CONFLICT(owner) DO UPDATE SET "
		       "seen=:now";
	case SQL_LEAVE:
		/* and those that died long ago without a word */
		return "DELETE FROM reeve_consumers WHERE owner=:owner OR "
		       "seen<:now-86400000";
	case SQL_PRUNE:
		return "DELETE FROM reeve_jobs WHERE id IN (SELECT id FROM "
		       "reeve_jobs WHERE queue=:queue AND status=:done0 ORDER "
		       "BY run_at DESC,id DESC LIMIT 10000 OFFSET :keep)";
	case SQL_PRUNED:
		return "INSERT INTO reeve_pruned(queue,count) VALUES(:queue,"
		       ":rows) ON CONFLICT(queue) DO UPDATE SET "
		       "count=count+:rows";
	case SQL_STATEMENTS:
		break;
	}
	UNREACHABLE("sqlite_statement");
}

/* Statements are made once; the worker runs them for as long as it lives. */
static int
statement(struct queue *queue, enum sqlite_statement which, sqlite3_stmt **ret,
    struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;

	if (!sqlite->prepared) {
		if (sqlite_create(queue, err) == -1 ||
		    table_layout_claimable(queue, &sqlite->layout, err) == -1)
			return -1;
		sqlite->prepared = true;
	}
	if (sqlite->statements[which] == NULL &&
	    sqlite_prepare(queue, statement_sql(&queue->arena, sqlite, which),
	        &sqlite->statements[which], err) == -1)
		return -1;
	*ret = sqlite->statements[which];
	return 0;
}

/* Runs one that returns nothing; the number of rows that it changed. */
static int
change(struct queue *queue, enum sqlite_statement which,
    const struct sqlite_bound *bound, int *ret_rows, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	sqlite3_stmt *made = NULL;

	if (statement(queue, which, &made, err) == -1)
		return -1;
	sqlite_bind(queue, made, bound);
	int rc = sqlite3_step(made);

	if (rc != SQLITE_DONE)
		rc = sqlite_failed(queue, "write", err);
	else
		rc = 0;
	if (rc == 0)
		*ret_rows = sqlite3_changes(sqlite->db);
	(void)sqlite3_reset(made);
	return rc;
}

static int
any(struct queue *queue, enum sqlite_statement which,
    const struct sqlite_bound *bound, bool *ret_any, struct err *err)
{
	sqlite3_stmt *made = NULL;

	if (statement(queue, which, &made, err) == -1)
		return -1;
	sqlite_bind(queue, made, bound);
	int step = sqlite3_step(made);
	int rc = 0;

	if (step == SQLITE_ROW || step == SQLITE_DONE)
		*ret_any = step == SQLITE_ROW;
	else
		rc = sqlite_failed(queue, "read", err);
	(void)sqlite3_reset(made);
	return rc;
}

void
sqlite_row_as_json(sqlite3_stmt *row, int first, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	for (int i = first; i < sqlite3_column_count(row); i++) {
		const char *name = sqlite3_column_name(row, i);

		switch (sqlite3_column_type(row, i)) {
		case SQLITE_NULL:
			jsonw_null(&json, name);
			break;
		case SQLITE_INTEGER:
			jsonw_i64(&json, name, sqlite3_column_int64(row, i));
			break;
		case SQLITE_FLOAT:
			jsonw_double(
			    &json, name, sqlite3_column_double(row, i));
			break;
		default:
			jsonw_bytes(&json, name, sqlite3_column_blob(row, i),
			    (size_t)sqlite3_column_bytes(row, i));
		}
	}
	jsonw_end(&json);
}

static int
find_column(sqlite3_stmt *row, const char *name)
{
	for (int i = 0; name != NULL && i < sqlite3_column_count(row); i++) {
		if (sqlite3_stricmp(sqlite3_column_name(row, i), name) == 0)
			return i;
	}
	return -1;
}

static int
read_job(struct queue *queue, sqlite3_stmt *row, struct queue_job *ret,
    struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	int id = find_column(row, layout->id);
	int attempts = find_column(row, layout->attempts);
	int most = find_column(row, layout->max_attempts);
	int payload = find_column(row, layout->payload);

	if (id < 0 || attempts < 0)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED, "table '%s' answers without '%s' or '%s'",
		    queue->name, layout->id, layout->attempts);
	const char *key = (const char *)sqlite3_column_text(row, id);

	if (text_copy(ret->id, sizeof(ret->id), key != NULL ? key : "", err) ==
	    -1)
		return err_wrap(err, "the job's id");
	ret->attempt = sqlite3_column_int64(row, attempts);
	ret->max_attempts = layout->max_attempts_fixed;
	if (most >= 0 && sqlite3_column_type(row, most) != SQLITE_NULL)
		ret->max_attempts = sqlite3_column_int64(row, most);
	if (payload >= 0)
		buffer_append(&ret->payload, sqlite3_column_blob(row, payload),
		    (size_t)sqlite3_column_bytes(row, payload));
	else
		sqlite_row_as_json(row, 0, &ret->payload);
	return 0;
}

static int
claim_now(
    struct queue *queue, struct queue_job *ret, bool *ret_got, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	int64_t now_ms = clock_wall_ms();
	struct sqlite_bound bound = {
	    .now_ms = now_ms, .until_ms = now_ms + queue->consuming.lease_ms};
	sqlite3_stmt *made = NULL;
	bool there = false;
	int rows = 0;

	/* reads first: an idle worker takes no write lock */
	if (any(queue, SQL_EXPIRED, &bound, &there, err) == -1)
		return -1;
	if (there && change(queue, SQL_RECLAIM, &bound, &rows, err) == -1)
		return -1;
	if (any(queue, SQL_READY, &bound, &there, err) == -1)
		return -1;
	if (!there)
		return 0;
	if (statement(queue, SQL_CLAIM, &made, err) == -1)
		return -1;
	sqlite_bind(queue, made, &bound);
	int step = sqlite3_step(made);
	int rc = 0;

	if (step == SQLITE_ROW) {
		rc = read_job(queue, made, ret, err);
		/* the commit is in the last step */
		step = rc == 0 ? sqlite3_step(made) : SQLITE_DONE;
		if (step == SQLITE_ROW)
			rc = table_many_rows(
			    queue, &sqlite->layout, ret->id, err);
		else if (step != SQLITE_DONE)
			rc = sqlite_failed(queue, "claim a job in", err);
		*ret_got = rc == 0;
	} else if (step != SQLITE_DONE) {
		rc = sqlite_failed(queue, "claim a job in", err);
	}
	(void)sqlite3_reset(made);
	return rc;
}

int
sqlite_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	static const struct queue_polling polling = {
	    .claim_now = claim_now, .first_ms = 20, .most_ms = 200};

	return queue_poll_claim(queue, &polling, wait_ms, ret, ret_got, err);
}

static int
change_held(struct queue *queue, enum sqlite_statement which,
    const struct queue_job *job, struct sqlite_bound bound, bool *ret_held,
    struct err *err)
{
	int rows = 0;

	bound.id = job->id;
	bound.attempt = job->attempt;
	bound.now_ms = clock_wall_ms();
	bound.until_ms = bound.now_ms + queue->consuming.lease_ms;
	bound.retry_ms += bound.now_ms;
	if (change(queue, which, &bound, &rows, err) == -1)
		return -1;
	*ret_held = rows > 0;
	return 0;
}

int
sqlite_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	return change_held(
	    queue, SQL_EXTEND, job, (struct sqlite_bound){0}, ret_held, err);
}

int
sqlite_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	return change_held(
	    queue, SQL_FINISH, job, (struct sqlite_bound){0}, ret_held, err);
}

int
sqlite_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	return change_held(queue, SQL_FAIL, job,
	    (struct sqlite_bound){.retry_ms = retry_ms}, ret_held, err);
}

int
sqlite_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	return change_held(queue, SQL_BURY, job,
	    (struct sqlite_bound){.error = reason}, ret_held, err);
}

int
sqlite_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	return change_held(
	    queue, SQL_RELEASE, job, (struct sqlite_bound){0}, ret_held, err);
}

static void
bind_named(sqlite3_stmt *made, const char *name, const char *value)
{
	int index = sqlite3_bind_parameter_index(made, name);

	if (index > 0)
		(void)sqlite3_bind_text(
		    made, index, value, -1, SQLITE_TRANSIENT);
}

static void
bind_process(sqlite3_stmt *made, const char *worker)
{
	char host[PROCESS_HOST_SIZE];
	int64_t started = 0;
	int index = sqlite3_bind_parameter_index(made, ":pid");

	process_host(host);
	(void)process_started(getpid(), &started);
	bind_named(made, ":host", host);
	bind_named(made, ":worker", worker);
	if (index > 0)
		(void)sqlite3_bind_int64(made, index, getpid());
	index = sqlite3_bind_parameter_index(made, ":started");
	if (index > 0)
		(void)sqlite3_bind_int64(made, index, started);
}

/* Deletes what is too much, and counts it, both or neither. */
static int
prune(struct queue *queue, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	int rows = 0;

	if (sqlite3_exec(sqlite->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) !=
	    SQLITE_OK)
		return sqlite_failed(queue, "write", err);
	int rc = change(queue, SQL_PRUNE, &bound, &rows, err);

	bound.rows = rows;
	if (rc == 0 && rows > 0)
		rc = change(queue, SQL_PRUNED, &bound, &rows, err);
	if (rc == 0 &&
	    sqlite3_exec(sqlite->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		rc = sqlite_failed(queue, "write", err);
	if (rc == -1)
		(void)sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int
sqlite_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	enum sqlite_statement which = leaving ? SQL_LEAVE : SQL_BEAT;
	sqlite3_stmt *made = NULL;
	int rows = 0;

	if (statement(queue, SQL_READY, &made, err) == -1)
		return -1;
	if (!sqlite->embedded)
		return 0; /* somebody else's table has no place for it */
	if (statement(queue, which, &made, err) == -1)
		return -1;
	if (sqlite->worker[0] == '\0') {
		const char *worker = getenv("REEVE_WORKER");
		const char *replica = getenv("REEVE_REPLICA");

		if (worker != NULL && replica != NULL)
			(void)snprintf(sqlite->worker, sizeof(sqlite->worker),
			    "%s/%s", worker, replica);
	}
	bind_process(made, sqlite->worker);
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};

	if (change(queue, which, &bound, &rows, err) == -1)
		return -1;
	return leaving ? 0 : prune(queue, err);
}
