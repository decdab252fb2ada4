/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/postgres.h"

/* Jobs by their id: put in, followed, taken out. */

struct insert {
	struct table_insert into;
	struct pg_sql *sql;
	const struct pg_queue *pg;
};

/* `value` as it is bound to that column. */
static void
add_bound(struct insert *insert, const char *column, const char *value)
{
	table_insert_add(&insert->into, table_quote(insert->into.arena, column),
	    pg_bind_as(insert->sql, insert->pg, column, value));
}

/* An expression. */
static void
add_sql(struct insert *insert, const char *column, const char *sql)
{
	table_insert_add(
	    &insert->into, table_quote(insert->into.arena, column), sql);
}

/* What a new row has, unless the payload says it. */
static void
add_layout(
    struct insert *insert, const cJSON *row, const struct queue_submission *job)
{
	const struct table_layout *layout = &insert->pg->layout;
	const struct pg_column *id = pg_column(insert->pg, layout->id);
	struct table_missing missing[TABLE_MISSING_MAX];
	size_t count = table_missing(layout, row, missing);

	if (!table_row_names(row, layout->id) && id != NULL && !id->has_default)
		add_bound(insert, layout->id, job->canary);
	for (size_t i = 0; i < count; i++) {
		const char *column = missing[i].column;

		switch (missing[i].fill) {
		case TABLE_FILL_WAITING:
			add_bound(insert, column, layout->waiting.word[0]);
			break;
		case TABLE_FILL_QUEUE:
			add_bound(insert, column, layout->queue_value);
			break;
		case TABLE_FILL_ZERO:
			add_sql(insert, column, "0");
			break;
		case TABLE_FILL_NOW:
			add_sql(insert, column,
			    pg_now(insert->into.arena, insert->pg, column));
			break;
		}
	}
}

static int
add_row(struct queue *queue, struct insert *insert, const cJSON *row,
    struct err *err)
{
	const cJSON *value = NULL;

	if (table_row_check(queue, row, PG_PARAMS_MAX / 2, err) == -1)
		return -1;
	cJSON_ArrayForEach(value, row)
	{
		if (pg_column(insert->pg, value->string) == NULL)
			return table_no_column(
			    queue, "42703", value->string, err);
		add_bound(insert, value->string,
		    table_value_text(insert->into.arena, value));
	}
	return 0;
}

/* Bytes as PostgreSQL reads them: \x and hex digits. */
static const char *
bytea_text(struct arena *arena, const char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = arena_alloc(arena, 2 * len + 3);

	text[0] = '\\';
	text[1] = 'x';
	for (size_t i = 0; i < len; i++) {
		text[2 + 2 * i] = digits[(unsigned char)bytes[i] >> 4];
		text[3 + 2 * i] = digits[(unsigned char)bytes[i] & 15];
	}
	return text;
}

static int
add_payload(struct queue *queue, struct insert *insert,
    const struct queue_submission *job, struct err *err)
{
	const struct pg_queue *pg = insert->pg;
	const char *column = pg->layout.payload;
	struct arena *arena = insert->into.arena;
	const char *text;

	if (text_equal(pg_column(pg, column)->type, "bytea"))
		text = bytea_text(arena, job->payload, job->len);
	else if (job->len > 0 && memchr(job->payload, '\0', job->len) != NULL)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_INPUT,
		    "column '%s' of type %s can't hold a NUL byte", column,
		    pg_column(pg, column)->type);
	else
		text = arena_bytes(arena, job->payload, job->len);
	add_bound(insert, column, text);
	return 0;
}

int
pg_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	struct insert insert = {.into = {arena, "", ""}, .sql = &sql, .pg = pg};
	CLEANUP(json_free) cJSON *row = NULL;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	int rc;

	if (pg_need(queue, err) == -1)
		return -1;
	if (pg->layout.payload != NULL) {
		rc = add_payload(queue, &insert, job, err);
	} else {
		row = json_read(job->payload, job->len, NULL);
		rc = add_row(queue, &insert, row, err);
	}
	if (rc == -1)
		return -1;
	add_layout(&insert, row, job);
	if (pg_do(queue, PG_WRITES,
	        arena_format(arena,
	            "INSERT INTO %s(%s) VALUES(%s) RETURNING %s::text",
	            pg->table, insert.into.columns, insert.into.values,
	            table_quote(arena, pg->layout.id)),
	        &sql, &rows, err) == -1)
		return -1;
	*ret_receipt = arena_text(arena, PQgetvalue(rows, 0, 0));
	return 0;
}

static const char *
column_or(struct arena *arena, const char *column, const char *otherwise)
{
	return column != NULL
	           ? arena_format(arena, "%s::text", table_quote(arena, column))
	           : otherwise;
}

int
pg_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (table_receipt(queue, job, err) == -1 || pg_need(queue, err) == -1)
		return -1;
	if (pg_do(queue, 0,
	        arena_format(arena, "SELECT %s::text,%s,%s FROM %s WHERE %s=%s",
	            table_quote(arena, layout->status),
	            column_or(arena, layout->owner, "NULL"),
	            column_or(arena, layout->attempts, "NULL"), pg->table,
	            table_quote(arena, layout->id),
	            pg_bind_as(&sql, pg, layout->id, job->receipt)),
	        &sql, &rows, err) == -1)
		return -1;
	if (PQntuples(rows) == 0) {
		table_gone(layout, ret);
		return 0;
	}
	ret->by = arena_text(arena, PQgetvalue(rows, 0, 1));
	if (PQgetisnull(rows, 0, 2) == 0 &&
	    text_i64(PQgetvalue(rows, 0, 2), 0, INT64_MAX, &ret->attempts,
	        NULL) == -1)
		ret->attempts = -1;
	table_sighting(layout, arena, PQgetvalue(rows, 0, 0), ret);
	return 0;
}

int
pg_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct arena arena;

	if (table_receipt(queue, job, err) == -1 || pg_need(queue, err) == -1)
		return -1;
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *id = pg_bind_as(&sql, pg, pg->layout.id, job->receipt);

	int rc = pg_do(queue, PG_WRITES,
	    arena_format(&arena, "DELETE FROM %s WHERE %s=%s AND NOT (%s)",
	        pg->table, table_quote(&arena, pg->layout.id), id,
	        pg_in(&sql, pg, &pg->layout.active, NULL)),
	    &sql, &rows, err);
	if (rc == 0)
		*ret_removed = !text_equal(PQcmdTuples(rows), "0");
	arena_fini(&arena);
	return rc;
}
