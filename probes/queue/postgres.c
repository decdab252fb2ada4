/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/postgres.h"

/* The connection, the table's columns, and the pieces that statements are made
 * of. */

enum {
	NAME_BYTES_MAX = 63, /* NAMEDATALEN - 1: longer names are cut */
	REQUIRED_MAX = 16
};

int
pg_failed(struct queue *queue, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	queue->cause = pg->session.trouble.cause != CAUSE_NONE
	                   ? pg->session.trouble.cause
	                   : CAUSE_UNAVAILABLE;
	(void)snprintf(
	    queue->code, sizeof(queue->code), "%s", pg->session.trouble.state);
	return err_wrap(err, "%s '%s'", pg->library != NULL ? "queue" : "table",
	    queue->name);
}

int
pg_begin(struct queue *queue, int64_t max_ms, struct err *err)
{
	struct pg_queue *pg = queue->state;
	int64_t deadline_ms = queue->deadline_ms;

	if (max_ms > 0)
		deadline_ms = MIN(deadline_ms, clock_after(clock_ms(), max_ms));
	pg->session.deadline_ms = deadline_ms;
	if (postgres_begin(&pg->session, max_ms == PG_WRITES, err) == -1)
		return pg_failed(queue, err);
	/* the server's own timeout answers first, and leaves the connection
	 * in order */
	pg->session.deadline_ms = clock_after(deadline_ms, 500);
	return 0;
}

void
pg_end(struct queue *queue, bool commits)
{
	struct pg_queue *pg = queue->state;

	if (!pg->session.trouble.lost &&
	    postgres_run(&pg->session, commits ? "COMMIT" : "ROLLBACK", NULL) ==
	        -1)
		pg->session.trouble.lost = true;
}

static int
run_begun(struct queue *queue, const char *sql, const struct pg_sql *bound,
    PGresult **ret, struct err *err)
{
	struct pg_queue *pg = queue->state;

	return postgres_query(&pg->session, sql,
	    bound != NULL ? bound->count : 0,
	    bound != NULL ? bound->params : NULL, ret, err);
}

static int
failed_within(struct queue *queue, struct err *err)
{
	(void)pg_failed(queue, err);
	pg_end(queue, false);
	return -1;
}

int
pg_do(struct queue *queue, int64_t max_ms, const char *sql,
    const struct pg_sql *bound, PGresult **ret, struct err *err)
{
	struct pg_queue *pg = queue->state;

	if (pg_begin(queue, max_ms, err) == -1)
		return -1;
	return run_begun(queue, sql, bound, ret, err) == 0 &&
	               postgres_run(&pg->session, "COMMIT", err) == 0
	           ? 0
	           : failed_within(queue, err);
}

/* NULL: none. */
static const char *
told_twice(const PGresult *rows)
{
	for (int row = 1; row < PQntuples(rows); row++) {
		for (int before = 0; before < row; before++) {
			if (text_equal(PQgetvalue(rows, row, 0),
			        PQgetvalue(rows, before, 0)))
				return PQgetvalue(rows, row, 0);
		}
	}
	return NULL;
}

int
pg_change(struct queue *queue, const char *sql, const struct pg_sql *bound,
    PGresult **ret, struct err *err)
{
	struct pg_queue *pg = queue->state;

	if (pg_begin(queue, PG_WRITES, err) == -1)
		return -1;
	if (run_begun(queue, sql, bound, ret, err) == -1)
		return failed_within(queue, err);
	const char *twice = told_twice(*ret);

	if (twice != NULL) {
		pg_end(queue, false);
		return table_many_rows(queue, &pg->layout, twice, err);
	}
	return postgres_run(&pg->session, "COMMIT", err) == 0
	           ? 0
	           : failed_within(queue, err);
}

int
pg_connect(struct queue *queue, struct err *err)
{
	struct pg_queue *pg = queue->state;
	struct arena *arena = &queue->arena;
	const char *name = "reeve-probe";

	if (queue->consuming.owner != NULL)
		name = arena_format(arena, "%s%s",
		    pg_client_prefix(arena, queue), queue->consuming.owner);
	if (postgres_connection_open(
	        queue->spec.url, name, &queue->ladder, &pg->session.db) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s%s", queue->ladder.summary,
		    queue->ladder.cause == CAUSE_WRONG_DATABASE
		        ? pg_databases(queue)
		        : "");
	queue->target = arena_format(arena, "%s:%s/%s", PQhost(pg->session.db),
	    PQport(pg->session.db), PQdb(pg->session.db));
	return 0;
}

static int
pg_open(struct queue *queue, struct err *err)
{
	struct pg_queue *pg = arena_alloc(&queue->arena, sizeof(*pg));
	struct arena *arena = &queue->arena;

	queue->state = pg;
	if (table_layout_read(queue, &pg->layout, err) == -1)
		return -1;
	if (strlen(pg->layout.table) > NAME_BYTES_MAX)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "PostgreSQL has no name longer than %d bytes: '%.80s'",
		    NAME_BYTES_MAX, pg->layout.table);
	pg->table = table_quote(arena, pg->layout.table);
	if (pg->layout.schema != NULL)
		pg->table = arena_format(arena, "%s.%s",
		    table_quote(arena, pg->layout.schema), pg->table);
	if (pg_connect(queue, err) == -1)
		return -1;
	char *literal = PQescapeLiteral(
	    pg->session.db, pg->layout.tz, strlen(pg->layout.tz));

	if (literal == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'tz' is not the name of a time zone");
	pg->tz = arena_text(arena, literal);
	PQfreemem(literal);
	queue->target = arena_format(arena, "%s table %s%s%s", queue->target,
	    queue->name, pg->layout.queue_value != NULL ? " queue " : "",
	    pg->layout.queue_value != NULL ? pg->layout.queue_value : "");
	return 0;
}

void
pg_close(struct queue *queue)
{
	struct pg_queue *pg = queue->state;

	postgres_finish(&pg->session.db);
}

const char *
pg_client_prefix(struct arena *arena, const struct queue *queue)
{
	const struct pg_queue *pg = queue->state;

	return arena_format(arena, "reeve:%s%s%s|", queue->name,
	    pg->layout.queue_value != NULL ? "/" : "",
	    pg->layout.queue_value != NULL ? pg->layout.queue_value : "");
}

/* --- the catalogue ---------------------------------------------------------
 */

static const char columns_sql[] =
    "SELECT a.attname, format_type(a.atttypid,NULL), "
    "(a.atthasdef OR a.attidentity<>'')::int "
    "FROM pg_attribute a WHERE a.attrelid=to_regclass($1) AND a.attnum>0 "
    "AND NOT a.attisdropped ORDER BY a.attnum LIMIT 256";

int
pg_describe(struct queue *queue, bool *ret_there, struct err *err)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = &queue->arena};

	if (pg->columns != NULL) {
		*ret_there = true;
		return 0;
	}
	(void)pg_bind(&sql, pg->table);
	if (pg_do(queue, 0, columns_sql, &sql, &rows, err) == -1)
		return -1;
	int count = PQntuples(rows);

	*ret_there = count > 0;
	if (count == 0)
		return 0;
	struct pg_column *columns =
	    arena_array(&queue->arena, (size_t)count, sizeof(*columns));

	for (int i = 0; i < count; i++)
		columns[i] = (struct pg_column){
		    .name = arena_text(&queue->arena, PQgetvalue(rows, i, 0)),
		    .type = arena_text(&queue->arena, PQgetvalue(rows, i, 1)),
		    .has_default = text_equal(PQgetvalue(rows, i, 2), "1")};
	pg->columns = columns;
	pg->ncolumns = (size_t)count;
	return 0;
}

int64_t
pg_number(const PGresult *rows, int row, int column)
{
	return table_number(PQgetisnull(rows, row, column) != 0
	                        ? NULL
	                        : PQgetvalue(rows, row, column));
}

const struct pg_column *
pg_column(const struct pg_queue *pg, const char *name)
{
	for (size_t i = 0; name != NULL && i < pg->ncolumns; i++) {
		if (text_equal(pg->columns[i].name, name))
			return &pg->columns[i];
	}
	return NULL;
}

static int
check_columns(struct queue *queue, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const char *required[REQUIRED_MAX];
	const char *names[PG_COLUMNS_MAX];
	size_t count = table_columns(&pg->layout, required, REQUIRED_MAX);

	for (size_t i = 0; i < pg->ncolumns; i++)
		names[i] = pg->columns[i].name;
	for (size_t i = 0; i < count; i++) {
		if (pg_column(pg, required[i]) != NULL)
			continue;
		const char *near =
		    text_nearest(required[i], names, pg->ncolumns);

		return queue_trouble(queue, CAUSE_MISMATCH, "42703", err,
		    ERR_REFUSED, "table '%s' has no column '%s'%s%s%s",
		    queue->name, required[i], near != NULL ? "; it has '" : "",
		    near != NULL ? near : "", near != NULL ? "'" : "");
	}
	const char *const times[] = {pg->layout.lease, pg->layout.created,
	    pg->layout.run_at, pg->layout.updated};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		const struct pg_column *column =
		    times[i] != NULL ? pg_column(pg, times[i]) : NULL;
		struct arena arena;

		if (column == NULL)
			continue;
		arena_init(&arena, 64 << 10);
		bool bad = pg_now(&arena, pg, times[i]) == NULL;

		arena_fini(&arena);
		if (bad)
			return queue_trouble(queue, CAUSE_MISMATCH, "", err,
			    ERR_REFUSED,
			    "column '%s' of table '%s' is of type %s, which is "
			    "no time",
			    times[i], queue->name, column->type);
	}
	return 0;
}

int
pg_need(struct queue *queue, struct err *err)
{
	bool there = false;

	if (pg_describe(queue, &there, err) == -1)
		return -1;
	if (!there)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "42P01", err,
		    ERR_REFUSED, "there is no table '%s'", queue->name);
	return check_columns(queue, err);
}

/* --- pieces of statements --------------------------------------------------
 */

const char *
pg_bind(struct pg_sql *sql, const char *value)
{
	assert(sql->count < PG_PARAMS_MAX);
	sql->params[sql->count++] = value;
	return arena_format(sql->arena, "$%d", sql->count);
}

const char *
pg_bind_i64(struct pg_sql *sql, int64_t value)
{
	const char *text = arena_format(sql->arena, "%" PRId64, value);

	return arena_format(sql->arena, "%s::bigint", pg_bind(sql, text));
}

const char *
pg_bind_as(struct pg_sql *sql, const struct pg_queue *pg, const char *column,
    const char *value)
{
	const struct pg_column *found = pg_column(pg, column);

	/* the type's own name, so that an enum's words and an index's operator
	 * are what they are */
	return arena_format(sql->arena, "%s::%s", pg_bind(sql, value),
	    found != NULL ? found->type : "text");
}

const char *
pg_in(struct pg_sql *sql, const struct pg_queue *pg,
    const struct table_words *a, const struct table_words *b)
{
	const struct table_words *const both[] = {a, b};
	const char *list = "";

	for (size_t k = 0; k < ARRAY_LEN(both); k++) {
		for (size_t i = 0; both[k] != NULL && i < both[k]->count; i++)
			list = arena_format(sql->arena, "%s%s%s", list,
			    list[0] != '\0' ? "," : "",
			    pg_bind_as(
			        sql, pg, pg->layout.status, both[k]->word[i]));
	}
	if (list[0] == '\0')
		return "false";
	return arena_format(sql->arena, "%s IN (%s)",
	    table_quote(sql->arena, pg->layout.status), list);
}

const char *
pg_scope(struct pg_sql *sql, const struct pg_queue *pg)
{
	const char *scope = "true";

	if (pg->layout.queue_column != NULL)
		scope = arena_format(sql->arena, "%s=%s",
		    table_quote(sql->arena, pg->layout.queue_column),
		    pg_bind_as(sql, pg, pg->layout.queue_column,
		        pg->layout.queue_value));
	if (pg->layout.where != NULL)
		scope = arena_format(
		    sql->arena, "%s AND (%s)", scope, pg->layout.where);
	return scope;
}

const char *
pg_due(struct arena *arena, const struct pg_queue *pg)
{
	const struct table_layout *layout = &pg->layout;
	/* without a column of its own, a retry waits by its lease */
	const char *at =
	    layout->run_at != NULL ? layout->run_at : layout->lease;

	if (at == NULL)
		return "";
	const char *column = table_quote(arena, at);

	return arena_format(arena, " AND (%s IS NULL OR %s<=%s)", column,
	    column, pg_now(arena, pg, at));
}

const char *
pg_ready(struct pg_sql *sql, const struct pg_queue *pg)
{
	const char *scope = pg_scope(sql, pg);
	const char *waits = pg_in(sql, pg, &pg->layout.waiting, NULL);

	return arena_format(
	    sql->arena, "%s AND %s%s", scope, waits, pg_due(sql->arena, pg));
}

const char *
pg_order(struct arena *arena, const struct pg_queue *pg, bool newest_first)
{
	const char *first = pg->layout.created;
	const char *down = newest_first ? " DESC" : "";

	return arena_format(arena, "ORDER BY %s%s%s%s%s",
	    first != NULL ? table_quote(arena, first) : "",
	    first != NULL ? down : "", first != NULL ? "," : "",
	    table_quote(arena, pg->layout.id), down);
}

/* --- times -----------------------------------------------------------------
 */

enum time_type {
	TIME_NONE,
	TIME_ZONED,   /* timestamptz */
	TIME_UNZONED, /* timestamp: in the zone that `tz` says */
	TIME_SECONDS,
	TIME_MS
};

static enum time_type
time_type(const struct pg_queue *pg, const char *name)
{
	static const char *const numbers[] = {
	    "bigint", "integer", "numeric", "double precision"};
	const struct pg_column *column = pg_column(pg, name);

	if (column == NULL)
		return TIME_NONE;
	if (text_equal(column->type, "timestamp with time zone"))
		return TIME_ZONED;
	if (text_equal(column->type, "timestamp without time zone"))
		return TIME_UNZONED;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (text_equal(column->type, numbers[i]))
			return pg->layout.time == TABLE_TIME_MS ? TIME_MS
			                                        : TIME_SECONDS;
	}
	return TIME_NONE;
}

const char *
pg_now(struct arena *arena, const struct pg_queue *pg, const char *column)
{
	switch (time_type(pg, column)) {
	case TIME_NONE:
		return NULL;
	case TIME_ZONED:
		return "now()";
	case TIME_UNZONED:
		return arena_format(arena, "(now() AT TIME ZONE %s)", pg->tz);
	case TIME_SECONDS:
		return "extract(epoch FROM now())::bigint";
	case TIME_MS:
		return "(extract(epoch FROM now())*1000)::bigint";
	}
	UNREACHABLE("time_type");
}

const char *
pg_ms(struct arena *arena, const struct pg_queue *pg, const char *column)
{
	const char *name = table_quote(arena, column);

	/* a time that has no number, 'infinity', becomes NULL */
	switch (time_type(pg, column)) {
	case TIME_NONE:
		return "NULL::bigint";
	case TIME_ZONED:
		return arena_format(arena,
		    "CASE WHEN isfinite(%s) THEN (extract(epoch FROM "
		    "%s)*1000)::bigint END",
		    name, name);
	case TIME_UNZONED:
		return arena_format(arena,
		    "CASE WHEN isfinite(%s) THEN (extract(epoch FROM (%s AT "
		    "TIME ZONE %s))*1000)::bigint END",
		    name, name, pg->tz);
	case TIME_SECONDS:
		return arena_format(arena,
		    "CASE WHEN %s BETWEEN -9e12 AND 9e12 THEN "
		    "(%s*1000)::bigint END",
		    name, name);
	case TIME_MS:
		return arena_format(arena,
		    "CASE WHEN %s BETWEEN -9e15 AND 9e15 THEN %s::bigint END",
		    name, name);
	}
	UNREACHABLE("time_type");
}

const char *
pg_later(struct arena *arena, const struct pg_queue *pg, const char *column,
    const char *ms)
{
	const char *now = pg_now(arena, pg, column);

	switch (time_type(pg, column)) {
	case TIME_NONE:
		return "NULL";
	case TIME_ZONED:
	case TIME_UNZONED:
		return arena_format(
		    arena, "(%s+%s*interval '1 millisecond')", now, ms);
	case TIME_SECONDS:
		/* rounded up: a lease is never shorter than was asked for */
		return arena_format(arena, "(%s+(%s+999)/1000)", now, ms);
	case TIME_MS:
		return arena_format(arena, "(%s+%s)", now, ms);
	}
	UNREACHABLE("time_type");
}

static const char *const schemes[] = {
    "pgtable+postgresql", "pgtable+postgres", NULL};

const struct queue_driver queue_postgres_table = {
    .kind = "pgtable",
    .schemes = schemes,
    .name_key = "table",
    .keys = table_keys,
    .any_key = true, /* libpq's own */
    .consumes = true,
    .open = pg_open,
    .close = pg_close,
    .observe = pg_observe,
    .near = pg_near,
    .submit = pg_submit,
    .follow = pg_follow,
    .remove = pg_remove,
    .list = pg_list,
    .newest = NEWEST_WAITING,
    .move = pg_move,
    .reap = pg_reap,
    .claim = pg_claim,
    .extend = pg_extend,
    .finish = pg_finish,
    .fail = pg_fail,
    .bury = pg_bury,
    .release = pg_release,
    .heartbeat = pg_heartbeat,
};
