/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/polling.h"
#include "probes/queue/sql.h"

/*
 * Consuming from a table of a server whose UPDATE gives no rows back: one
 * transaction picks a row that nobody else has locked, and takes it. A claim is
 * held as long as id, owner, status and the count of attempts are what they
 * were: whoever claims the row again raises the count. `affected` counts the
 * rows that were found, changed or not.
 */
enum {
	RECLAIM_EVERY_MS = 1000,
	CALL_BYTES_MAX = 256 << 20
};

/* --- pieces ----------------------------------------------------------------
 */

static const char *
set_if(struct arena *arena, const struct sql_table *table, const char *column,
    const char *value)
{
	if (column == NULL || value == NULL)
		return "";
	return arena_format(
	    arena, ",%s=%s", sql_quote(arena, table, column), value);
}

static const char *
set_updated(struct arena *arena, const struct sql_table *table)
{
	const char *updated = table->layout.updated;

	return updated == NULL ? ""
	                       : set_if(arena, table, updated,
	                             sql_now(arena, table, updated));
}

/* "this claim still holds the row" */
static const char *
held(struct sql_bound *bound, const struct queue *queue,
    const struct queue_job *job)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct arena *arena = bound->arena;
	const char *id = sql_bind(bound, job->id);
	const char *where = sql_where(bound, table, &layout->active);
	const char *owner = "";

	if (layout->owner != NULL)
		owner = arena_format(arena, " AND %s=%s",
		    sql_quote(arena, table, layout->owner),
		    sql_bind(bound, queue->consuming.owner));
	return arena_format(arena, "%s=%s AND %s AND %s=%" PRId64 "%s",
	    sql_quote(arena, table, layout->id), id, where,
	    sql_quote(arena, table, layout->attempts), job->attempt, owner);
}

static int
prepare(struct queue *queue, struct err *err)
{
	struct sql_table *table = queue->state;

	if (table->claimable)
		return 0;
	if (sql_need(queue, err) == -1 ||
	    table_layout_claimable(queue, &table->layout, err) == -1)
		return -1;
	table->claimable = true;
	return 0;
}

/* Somebody else was faster: nothing was done, and nothing is wrong. */
static bool
outrun(const struct queue *queue)
{
	static const char *const codes[] = {"1213", "1205", "1020"};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (text_equal(queue->code, codes[i]))
			return true;
	return false;
}

/* UPDATE … SET `set` WHERE the claim still holds; what `set` needs was bound.
 */
static int
change_held(struct queue *queue, struct sql_bound *bound, const char *set,
    const struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_rows rows;
	const char *text =
	    arena_format(bound->arena, "UPDATE %s SET %s WHERE %s",
	        table->table, set, held(bound, queue, job));

	if (sql_run(queue, text, bound, &rows, err) == -1)
		return -1;
	*ret_held = rows.affected > 0;
	return 0;
}

/* A job's end: its new status, and no claim any more. */
static const char *
ended(struct sql_bound *bound, const struct sql_table *table, const char *word,
    const char *more)
{
	struct arena *arena = bound->arena;

	return arena_format(arena, "%s=%s,%s=NULL%s%s",
	    sql_quote(arena, table, table->layout.status),
	    sql_bind(bound, word), sql_quote(arena, table, table->layout.lease),
	    more, set_updated(arena, table));
}

/* --- taking back what expired ----------------------------------------------
 */

static const char *
limit_of(struct arena *arena, const struct queue *queue)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	int64_t fixed = layout->max_attempts_fixed > 0
	                    ? layout->max_attempts_fixed
	                    : queue->consuming.max_attempts;

	if (layout->max_attempts == NULL)
		return arena_format(arena, "%" PRId64, fixed);
	return arena_format(arena, "COALESCE(%s,%" PRId64 ")",
	    sql_quote(arena, table, layout->max_attempts), fixed);
}

static int
reclaim(struct queue *queue, struct arena *arena, struct err *err)
{
	struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;

	if (clock_ms() < table->reclaim_ms)
		return 0;
	table->reclaim_ms = clock_after(clock_ms(), RECLAIM_EVERY_MS);
	const char *lease = sql_quote(arena, table, layout->lease);
	const char *attempts = sql_quote(arena, table, layout->attempts);
	const char *dead = sql_bind(&bound, table_dead_word(layout));
	const char *waits = sql_bind(&bound, layout->waiting.word[0]);
	const char *error = set_if(arena, table, layout->error,
	    arena_format(
	        arena, "CONCAT('lease expired in attempt ',%s)", attempts));
	const char *text = arena_format(arena,
	    "UPDATE %s SET %s=CASE WHEN %s>=%s THEN %s ELSE %s END,%s=NULL%s%s "
	    "WHERE %s AND %s<%s LIMIT 100",
	    table->table, sql_quote(arena, table, layout->status), attempts,
	    limit_of(arena, queue), dead, waits, lease, error,
	    set_updated(arena, table),
	    sql_where(&bound, table, &layout->active), lease,
	    sql_now(arena, table, layout->lease));

	if (sql_run(queue, text, &bound, &rows, err) == -1 && !outrun(queue))
		return -1;
	return 0;
}

/* --- claiming --------------------------------------------------------------
 */

/* As hexadecimal digits: a payload may hold any byte. Without a column of its
 * own the row is the job, as JSON. */
static const char *
payload_sql(struct arena *arena, const struct sql_table *table)
{
	const struct sql_column *payload =
	    sql_column(table, table->layout.payload);
	const char *pairs = "";

	if (payload != NULL) {
		return arena_format(arena,
		    sql_is_bytes(payload) ? "HEX(%s)"
		                          : "HEX(CONVERT(%s USING utf8mb4))",
		    sql_quote(arena, table, payload->name));
	}
	for (size_t i = 0; i < table->ncolumns; i++)
		pairs =
		    arena_format(arena, "%s%s%s,%s", pairs, i > 0 ? "," : "",
		        sql_literal(arena, table->columns[i].name),
		        sql_quote(arena, table, table->columns[i].name));
	return arena_format(arena, "HEX(JSON_OBJECT(%s))", pairs);
}

static const char *
pick_sql(struct sql_bound *bound, const struct sql_table *table)
{
	const struct table_layout *layout = &table->layout;
	struct arena *arena = bound->arena;
	const char *id = sql_quote(arena, table, layout->id);
	const char *what = arena_format(arena, "%s,COALESCE(%s,0)+1,%s,%s",
	    sql_text(arena, table, layout->id),
	    sql_quote(arena, table, layout->attempts),
	    layout->max_attempts != NULL
	        ? sql_quote(arena, table, layout->max_attempts)
	        : "NULL",
	    payload_sql(arena, table));
	const char *order =
	    layout->created == NULL
	        ? id
	        : arena_format(arena, "%s,%s",
	              sql_quote(arena, table, layout->created), id);

	return arena_format(arena, "%s%s",
	    sql_limited(arena, table, what,
	        arena_format(arena, "FROM %s WHERE %s%s ORDER BY %s",
	            table->table, sql_where(bound, table, &layout->waiting),
	            sql_due(arena, table), order),
	        1),
	    table->dialect->skip_locked);
}

static int
read_job(struct queue *queue, struct arena *arena, const char *const *cell,
    struct queue_job *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	size_t len = 0;

	if (cell[0] == NULL || cell[1] == NULL ||
	    text_copy(ret->id, sizeof(ret->id), cell[0], err) == -1 ||
	    text_i64(cell[1], 1, INT64_MAX, &ret->attempt, err) == -1) {
		queue->cause = CAUSE_MISMATCH;
		return err_wrap(err, "the row that was to be claimed");
	}
	ret->max_attempts = table->layout.max_attempts_fixed;
	if (cell[2] != NULL &&
	    text_i64(cell[2], 1, INT64_MAX, &ret->max_attempts, NULL) == -1)
		ret->max_attempts = 0;
	const char *payload =
	    sql_unhex(arena, cell[3] != NULL ? cell[3] : "", &len);

	buffer_append(&ret->payload, payload, len);
	return 0;
}

static int
take(struct queue *queue, struct arena *arena, const struct queue_job *job,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;
	const char *status = sql_bind(&bound, layout->active.word[0]);
	const char *owner = layout->owner == NULL
	                        ? ""
	                        : set_if(arena, table, layout->owner,
	                              sql_bind(&bound, queue->consuming.owner));

	if (sql_run(queue,
	        arena_format(arena,
	            "UPDATE %s SET %s=%s,%s=%" PRId64 ",%s=%s%s%s WHERE %s=%s",
	            table->table, sql_quote(arena, table, layout->status),
	            status, sql_quote(arena, table, layout->attempts),
	            job->attempt, sql_quote(arena, table, layout->lease),
	            sql_later(
	                arena, table, layout->lease, queue->consuming.lease_ms),
	            owner, set_updated(arena, table),
	            sql_quote(arena, table, layout->id),
	            sql_bind(&bound, job->id)),
	        &bound, &rows, err) == -1)
		return -1;
	return rows.affected > 1 ? table_many_rows(queue, layout, job->id, err)
	                         : 0;
}

static int
pick_and_take(struct queue *queue, struct arena *arena, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_bound none = {.arena = arena};
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;

	if (sql_run(queue, table->dialect->writes, &none, &rows, err) == -1 ||
	    sql_run(queue, pick_sql(&bound, table), &bound, &rows, err) == -1)
		return -1;
	if (rows.rows > 0 &&
	    (read_job(queue, arena, rows.cell, ret, err) == -1 ||
	        take(queue, arena, ret, err) == -1))
		return -1;
	*ret_got = rows.rows > 0;
	return sql_run(queue, "COMMIT", &none, &rows, err);
}

static int
claim_now(
    struct queue *queue, struct queue_job *ret, bool *ret_got, struct err *err)
{
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound none = {.arena = &arena};
	struct sql_rows rows;
	int rc = reclaim(queue, &arena, err);

	if (rc == 0 && pick_and_take(queue, &arena, ret, ret_got, err) == -1) {
		bool again = outrun(queue);

		*ret_got = false;
		rc =
		    sql_run(queue, "ROLLBACK", &none, &rows, NULL) == 0 && again
		        ? 0
		        : -1;
	}
	arena_fini(&arena);
	return rc;
}

int
sql_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
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
sql_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	const char *lease = table->layout.lease;
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound bound = {.arena = &arena};
	int rc = change_held(queue, &bound,
	    arena_format(&arena, "%s=%s", sql_quote(&arena, table, lease),
	        sql_later(&arena, table, lease, queue->consuming.lease_ms)),
	    job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

static int
delete_held(struct queue *queue, struct sql_bound *bound,
    const struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_rows rows;

	if (sql_run(queue,
	        arena_format(bound->arena, "DELETE FROM %s WHERE %s",
	            table->table, held(bound, queue, job)),
	        bound, &rows, err) == -1)
		return -1;
	*ret_held = rows.affected > 0;
	return 0;
}

int
sql_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound bound = {.arena = &arena};
	int rc = table->layout.done_deletes
	             ? delete_held(queue, &bound, job, ret_held, err)
	             : change_held(queue, &bound,
	                   ended(&bound, table, table->layout.done.word[0], ""),
	                   job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

int
sql_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	const char *waits = layout->waiting.word[0];
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound bound = {.arena = &arena};
	const char *set;

	if (layout->run_at != NULL)
		set = ended(&bound, table, waits,
		    set_if(&arena, table, layout->run_at,
		        sql_later(&arena, table, layout->run_at, retry_ms)));
	else /* the lease's column says until when the retry waits */
		set = arena_format(&arena, "%s=%s,%s=%s%s",
		    sql_quote(&arena, table, layout->status),
		    sql_bind(&bound, waits),
		    sql_quote(&arena, table, layout->lease),
		    sql_later(&arena, table, layout->lease, retry_ms),
		    set_updated(&arena, table));
	int rc = change_held(queue, &bound, set, job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

int
sql_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound bound = {.arena = &arena};
	/* bound in the order in which they stand in the statement */
	const char *status = arena_format(&arena, "%s=%s,%s=NULL",
	    sql_quote(&arena, table, layout->status),
	    sql_bind(&bound, table_dead_word(layout)),
	    sql_quote(&arena, table, layout->lease));
	const char *error = layout->error == NULL
	                        ? ""
	                        : set_if(&arena, table, layout->error,
	                              sql_bind(&bound, reason));
	int rc = change_held(queue, &bound,
	    arena_format(
	        &arena, "%s%s%s", status, error, set_updated(&arena, table)),
	    job, ret_held, err);

	arena_fini(&arena);
	return rc;
}

int
sql_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct arena arena;

	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound bound = {.arena = &arena};
	const char *attempts = sql_quote(&arena, table, layout->attempts);
	const char *less = set_if(&arena, table, layout->attempts,
	    arena_format(&arena, "%s-1", attempts));
	int rc = change_held(queue, &bound,
	    ended(&bound, table, layout->waiting.word[0], less), job, ret_held,
	    err);

	arena_fini(&arena);
	return rc;
}

/* The session itself is the sign of life; this shows that it works and that
 * the table can be consumed from. */
int
sql_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	struct arena arena;
	struct sql_rows rows;

	if (leaving)
		return 0;
	if (prepare(queue, err) == -1)
		return -1;
	arena_init(&arena, CALL_BYTES_MAX);
	struct sql_bound none = {.arena = &arena};
	int rc = sql_run(queue, "SELECT 1", &none, &rows, err);

	arena_fini(&arena);
	return rc;
}
