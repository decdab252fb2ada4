/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/polling.h"
#include "probes/queue/postgres.h"

/*
 * Consuming from a table. A claim is one UPDATE of a row that FOR UPDATE SKIP
 * LOCKED picked; it is held as long as id, owner, status and the count of
 * attempts are what they were: whoever claims the row again raises the count.
 */

enum {
	RECLAIM_EVERY_MS = 1000
};

static const char *
set_if(struct arena *arena, const char *column, const char *value)
{
	if (column == NULL || value == NULL)
		return "";
	return arena_format(arena, ",%s=%s", table_quote(arena, column), value);
}

static const char *
set_updated(struct arena *arena, const struct pg_queue *pg)
{
	if (pg->layout.updated == NULL)
		return "";
	return set_if(
	    arena, pg->layout.updated, pg_now(arena, pg, pg->layout.updated));
}

/* "this claim still holds the row" */
static const char *
held(struct pg_sql *sql, const struct queue *queue, const struct queue_job *job)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	const char *owner = "";

	if (layout->owner != NULL)
		owner = arena_format(sql->arena, " AND %s=%s",
		    table_quote(sql->arena, layout->owner),
		    pg_bind_as(sql, pg, layout->owner, queue->consuming.owner));
	return arena_format(sql->arena, "%s=%s AND %s AND %s=%s%s",
	    table_quote(sql->arena, layout->id),
	    pg_bind_as(sql, pg, layout->id, job->id),
	    pg_in(sql, pg, &layout->active, NULL),
	    table_quote(sql->arena, layout->attempts),
	    pg_bind_i64(sql, job->attempt), owner);
}

static int
prepare(struct queue *queue, struct err *err)
{
	struct pg_queue *pg = queue->state;

	if (pg->claimable)
		return 0;
	if (pg_need(queue, err) == -1 ||
	    table_layout_claimable(queue, &pg->layout, err) == -1)
		return -1;
	pg->claimable = true;
	return 0;
}

/* UPDATE … SET `set` WHERE the claim still holds. */
static int
change_held(struct queue *queue, struct pg_sql *sql, const char *set,
    const struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *text = arena_format(sql->arena, "UPDATE %s SET %s WHERE %s",
	    pg->table, set, held(sql, queue, job));

	if (pg_do(queue, PG_WRITES, text, sql, &rows, err) == -1)
		return -1;
	*ret_held = !text_equal(PQcmdTuples(rows), "0");
	return 0;
}

/* A job's end: its new status, and no claim any more. */
static const char *
ended(struct pg_sql *sql, const struct pg_queue *pg, const char *word,
    const char *more)
{
	return arena_format(sql->arena, "%s=%s,%s=NULL%s%s",
	    table_quote(sql->arena, pg->layout.status),
	    pg_bind_as(sql, pg, pg->layout.status, word),
	    table_quote(sql->arena, pg->layout.lease), more,
	    set_updated(sql->arena, pg));
}

/* --- taking back what expired ----------------------------------------------
 */

static const char *
limit_of(struct pg_sql *sql, const struct queue *queue)
{
	const struct pg_queue *pg = queue->state;
	const char *fixed = pg_bind_i64(sql,
	    pg->layout.max_attempts_fixed > 0 ? pg->layout.max_attempts_fixed
	                                      : queue->consuming.max_attempts);

	if (pg->layout.max_attempts == NULL)
		return fixed;
	return arena_format(sql->arena, "coalesce(%s,%s)",
	    table_quote(sql->arena, pg->layout.max_attempts), fixed);
}

static int
reclaim(struct queue *queue, struct err *err)
{
	struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct arena arena;

	if (clock_ms() < pg->reclaim_ms)
		return 0;
	pg->reclaim_ms = clock_after(clock_ms(), RECLAIM_EVERY_MS);
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *id = table_quote(&arena, layout->id);
	const char *lease = table_quote(&arena, layout->lease);
	const char *attempts = table_quote(&arena, layout->attempts);
	const char *error =
	    layout->error == NULL
	        ? ""
	        : set_if(&arena, layout->error,
	              arena_format(
	                  &arena, "'lease expired in attempt '||%s", attempts));
	const char *text = arena_format(&arena,
	    "UPDATE %s SET %s=CASE WHEN %s>=%s THEN %s ELSE %s END,%s=NULL%s%s "
	    "WHERE %s IN (SELECT %s FROM %s WHERE %s AND %s AND %s<%s LIMIT 100 "
	    "FOR UPDATE SKIP LOCKED)",
	    pg->table, table_quote(&arena, layout->status), attempts,
	    limit_of(&sql, queue),
	    pg_bind_as(&sql, pg, layout->status, table_dead_word(layout)),
	    pg_bind_as(&sql, pg, layout->status, layout->waiting.word[0]),
	    lease, error, set_updated(&arena, pg), id, id, pg->table,
	    pg_scope(&sql, pg), pg_in(&sql, pg, &layout->active, NULL), lease,
	    pg_now(&arena, pg, layout->lease));
	int rc = pg_do(queue, PG_WRITES, text, &sql, &rows, err);

	arena_fini(&arena);
	return rc;
}

/* --- claiming --------------------------------------------------------------
 */

static const char *
payload_sql(struct arena *arena, const struct pg_queue *pg)
{
	const struct pg_column *column = pg_column(pg, pg->layout.payload);

	if (column == NULL)
		return "row_to_json(t)::text";
	if (text_equal(column->type, "bytea"))
		return arena_format(arena, "encode(t.%s,'hex')",
		    table_quote(arena, column->name));
	return arena_format(
	    arena, "t.%s::text", table_quote(arena, column->name));
}

static const char *
claim_sql(struct pg_sql *sql, const struct queue *queue)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct arena *arena = sql->arena;
	const char *id = table_quote(arena, layout->id);
	const char *attempts = table_quote(arena, layout->attempts);
	const char *most = "NULL";

	if (layout->max_attempts != NULL)
		most = arena_format(
		    arena, "t.%s", table_quote(arena, layout->max_attempts));
	return arena_format(arena,
	    "WITH next AS MATERIALIZED (SELECT %s AS k FROM %s WHERE %s %s "
	    "LIMIT 1 FOR UPDATE SKIP LOCKED) "
	    "UPDATE %s AS t SET %s=%s,%s=coalesce(t.%s,0)+1,%s=%s%s%s "
	    "FROM next WHERE t.%s=next.k RETURNING t.%s::text,t.%s,%s,%s",
	    id, pg->table, pg_ready(sql, pg), pg_order(arena, pg, false),
	    pg->table, table_quote(arena, layout->status),
	    pg_bind_as(sql, pg, layout->status, layout->active.word[0]),
	    attempts, attempts, table_quote(arena, layout->lease),
	    pg_later(arena, pg, layout->lease,
	        pg_bind_i64(sql, queue->consuming.lease_ms)),
	    layout->owner == NULL ? ""
	                          : set_if(arena, layout->owner,
	                                pg_bind_as(sql, pg, layout->owner,
	                                    queue->consuming.owner)),
	    set_updated(arena, pg), id, id, attempts, most,
	    payload_sql(arena, pg));
}

static int
nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void
append_hex(struct buffer *out, const char *text)
{
	for (; text[0] != '\0' && text[1] != '\0'; text += 2) {
		char byte = (char)(nibble(text[0]) * 16 + nibble(text[1]));

		buffer_append(out, &byte, 1);
	}
}

static int
read_job(struct queue *queue, const PGresult *rows, struct queue_job *ret,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct pg_column *column = pg_column(pg, pg->layout.payload);

	if (text_copy(ret->id, sizeof(ret->id), PQgetvalue(rows, 0, 0), err) ==
	        -1 ||
	    text_i64(PQgetvalue(rows, 0, 1), 1, INT64_MAX, &ret->attempt,
	        err) == -1) {
		queue->cause = CAUSE_MISMATCH;
		return err_wrap(err, "the row that was claimed");
	}
	ret->max_attempts = pg->layout.max_attempts_fixed;
	if (PQgetisnull(rows, 0, 2) == 0 &&
	    text_i64(PQgetvalue(rows, 0, 2), 1, INT64_MAX, &ret->max_attempts,
	        NULL) == -1)
		ret->max_attempts = 0;
	if (column != NULL && text_equal(column->type, "bytea"))
		append_hex(&ret->payload, PQgetvalue(rows, 0, 3));
	else
		buffer_append(&ret->payload, PQgetvalue(rows, 0, 3),
		    (size_t)PQgetlength(rows, 0, 3));
	return 0;
}

static int
claim_now(
    struct queue *queue, struct queue_job *ret, bool *ret_got, struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct arena arena;

	if (reclaim(queue, err) == -1)
		return -1;
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	int rc = pg_change(queue, claim_sql(&sql, queue), &sql, &rows, err);

	if (rc == 0 && PQntuples(rows) > 0) {
		rc = read_job(queue, rows, ret, err);
		*ret_got = rc == 0;
	}
	arena_fini(&arena);
	return rc;
}

int
pg_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	static const struct queue_polling polling = {
	    .claim_now = claim_now, .first_ms = 50, .most_ms = 300};

	if (prepare(queue, err) == -1)
		return -1;
	return queue_poll_claim(queue, &polling, wait_ms, ret, ret_got, err);
}

/* --- a claim's other ends --------------------------------------------------
 */

int
pg_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct arena arena;

	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *set =
	    arena_format(&arena, "%s=%s", table_quote(&arena, pg->layout.lease),
	        pg_later(&arena, pg, pg->layout.lease,
	            pg_bind_i64(&sql, queue->consuming.lease_ms)));
	int rc = change_held(queue, &sql, set, job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

static int
delete_held(struct queue *queue, const struct queue_job *job, bool *ret_held,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct arena arena;

	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	int rc = pg_do(queue, PG_WRITES,
	    arena_format(&arena, "DELETE FROM %s WHERE %s", pg->table,
	        held(&sql, queue, job)),
	    &sql, &rows, err);

	if (rc == 0)
		*ret_held = !text_equal(PQcmdTuples(rows), "0");
	arena_fini(&arena);
	return rc;
}

int
pg_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct arena arena;

	if (pg->layout.done_deletes)
		return delete_held(queue, job, ret_held, err);
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	int rc = change_held(queue, &sql,
	    ended(&sql, pg, pg->layout.done.word[0], ""), job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

int
pg_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct arena arena;

	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *column =
	    layout->run_at != NULL ? layout->run_at : layout->lease;
	const char *later =
	    pg_later(&arena, pg, column, pg_bind_i64(&sql, retry_ms));
	const char *set;

	if (layout->run_at != NULL)
		set = ended(&sql, pg, layout->waiting.word[0],
		    set_if(&arena, layout->run_at, later));
	else /* the lease's column says until when the retry waits */
		set = arena_format(&arena, "%s=%s,%s=%s%s",
		    table_quote(&arena, layout->status),
		    pg_bind_as(
		        &sql, pg, layout->status, layout->waiting.word[0]),
		    table_quote(&arena, layout->lease), later,
		    set_updated(&arena, pg));
	int rc = change_held(queue, &sql, set, job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

int
pg_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct arena arena;

	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *error = "";

	if (layout->error != NULL)
		error = set_if(&arena, layout->error,
		    pg_bind_as(&sql, pg, layout->error, reason));
	int rc = change_held(queue, &sql,
	    ended(&sql, pg, table_dead_word(layout), error), job, ret_held,
	    err);

	arena_fini(&arena);
	return rc;
}

int
pg_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct arena arena;

	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *attempts = table_quote(&arena, layout->attempts);
	const char *less = set_if(
	    &arena, layout->attempts, arena_format(&arena, "%s-1", attempts));
	int rc = change_held(queue, &sql,
	    ended(&sql, pg, layout->waiting.word[0], less), job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

/* The session itself is the sign of life; this shows that it works and that
 * the table can be consumed from. */
int
pg_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (leaving)
		return 0;
	if (prepare(queue, err) == -1)
		return -1;
	return pg_do(queue, 0, "SELECT 1", NULL, &rows, err);
}
