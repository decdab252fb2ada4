/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/postgres.h"

/* Jobs by their id: put in, followed, taken out. */

struct insert {
	struct pg_sql *sql;
	const char *columns, *values;
};

static void
insert_add(struct insert *insert, const char *column, const char *value)
{
	struct arena *arena = insert->sql->arena;
	const char *comma = insert->columns[0] != '\0' ? "," : "";

	insert->columns = arena_format(arena, "%s%s%s", insert->columns, comma,
	    table_quote(arena, column));
	insert->values =
	    arena_format(arena, "%s%s%s", insert->values, comma, value);
}

static bool
names(const cJSON *row, const char *column)
{
	return row != NULL &&
	       cJSON_GetObjectItemCaseSensitive(row, column) != NULL;
}

/* What a new row has, unless the payload says it. */
static void
insert_layout(struct insert *insert, const struct pg_queue *pg,
    const cJSON *row, const struct queue_submission *job)
{
	const struct table_layout *layout = &pg->layout;
	struct pg_sql *sql = insert->sql;
	const struct pg_column *id = pg_column(pg, layout->id);

	if (!names(row, layout->id) && id != NULL && !id->has_default)
		insert_add(insert, layout->id,
		    pg_bind_as(sql, pg, layout->id, job->canary));
	if (!names(row, layout->status))
		insert_add(insert, layout->status,
		    pg_bind_as(
		        sql, pg, layout->status, layout->waiting.word[0]));
	if (layout->queue_column != NULL && !names(row, layout->queue_column))
		insert_add(insert, layout->queue_column,
		    pg_bind_as(
		        sql, pg, layout->queue_column, layout->queue_value));
	if (layout->attempts != NULL && !names(row, layout->attempts))
		insert_add(insert, layout->attempts, "0");
	const char *const times[] = {layout->created, layout->run_at};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (times[i] != NULL && !names(row, times[i]))
			insert_add(
			    insert, times[i], pg_now(sql->arena, pg, times[i]));
	}
}

static int
insert_row(struct queue *queue, struct insert *insert, const cJSON *row,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const cJSON *value = NULL;

	if (!cJSON_IsObject(row) || cJSON_GetArraySize(row) > PG_PARAMS_MAX / 2)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_INPUT,
		    "without the key 'payload' (a column), a job for table "
		    "'%s' is a JSON object of at most %d columns",
		    queue->name, PG_PARAMS_MAX / 2);
	cJSON_ArrayForEach(value, row)
	{
		if (pg_column(pg, value->string) == NULL)
			return queue_trouble(queue, CAUSE_MISMATCH, "42703",
			    err, ERR_INPUT,
			    "table '%s' has no column '%.60s', which the "
			    "payload names",
			    queue->name, value->string);
		insert_add(insert, value->string,
		    pg_bind_as(insert->sql, pg, value->string,
		        table_value_text(insert->sql->arena, value)));
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
insert_payload(struct queue *queue, struct insert *insert,
    const struct queue_submission *job, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const char *column = pg->layout.payload;
	struct arena *arena = insert->sql->arena;
	const char *text;

	if (text_equal(pg_column(pg, column)->type, "bytea"))
		text = bytea_text(arena, job->payload, job->len);
	else if (job->len > 0 && memchr(job->payload, '\0', job->len) != NULL)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_INPUT,
		    "column '%s' of type %s can't hold a NUL byte", column,
		    pg_column(pg, column)->type);
	else
		text = arena_bytes(arena, job->payload, job->len);
	insert_add(insert, column, pg_bind_as(insert->sql, pg, column, text));
	return 0;
}

int
pg_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	struct insert insert = {.sql = &sql, .columns = "", .values = ""};
	CLEANUP(json_free) cJSON *row = NULL;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	int rc;

	if (pg_need(queue, err) == -1)
		return -1;
	if (pg->layout.payload != NULL) {
		rc = insert_payload(queue, &insert, job, err);
	} else {
		row = json_read(job->payload, job->len, NULL);
		rc = insert_row(queue, &insert, row, err);
	}
	if (rc == -1)
		return -1;
	insert_layout(&insert, pg, row, job);
	if (pg_do(queue, PG_WRITES,
	        arena_format(arena,
	            "INSERT INTO %s(%s) VALUES(%s) RETURNING %s::text",
	            pg->table, insert.columns, insert.values,
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

static int
need_receipt(
    struct queue *queue, const struct queue_submission *job, struct err *err)
{
	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "a job in a table is found again by its receipt");
	return pg_need(queue, err);
}

int
pg_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (need_receipt(queue, job, err) == -1)
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
		ret->place = PLACE_GONE;
		ret->done = layout->done_deletes;
		ret->detail = "the row is gone";
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
	int rc = need_receipt(queue, job, err);

	if (rc == -1)
		return -1;
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = {.arena = &arena};
	const char *id = pg_bind_as(&sql, pg, pg->layout.id, job->receipt);

	rc = pg_do(queue, PG_WRITES,
	    arena_format(&arena, "DELETE FROM %s WHERE %s=%s AND NOT (%s)",
	        pg->table, table_quote(&arena, pg->layout.id), id,
	        pg_in(&sql, pg, &pg->layout.active, NULL)),
	    &sql, &rows, err);
	if (rc == 0)
		*ret_removed = !text_equal(PQcmdTuples(rows), "0");
	arena_fini(&arena);
	return rc;
}
