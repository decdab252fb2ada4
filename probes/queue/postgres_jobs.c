/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/postgres.h"

/*
 * Jobs of a table as people look at them, and the way back of dead letters and
 * expired claims: one UPDATE over rows that FOR UPDATE SKIP LOCKED picked and
 * whose status is still the one asked for, so that each is moved once and a row
 * that somebody has in hand is left alone.
 */
enum {
	LIST_MS = 4000,
};

/* Columns of the list, in the order of read_item(). */
enum list_column {
	COLUMN_ID,
	COLUMN_ERROR,
	COLUMN_OWNER,
	COLUMN_ATTEMPTS,
	COLUMN_AGE,
	COLUMN_PAYLOAD,
	COLUMN_WHOLE
};

static const char *
column_or_null(struct arena *arena, const char *column)
{
	return column == NULL ? "NULL"
	                      : arena_format(arena, "left(t.%s::text,4096)",
	                            table_quote(arena, column));
}

/* The beginning of the payload, and its whole length. Bytes come as hex. */
static const char *
payload_columns(struct arena *arena, const struct pg_queue *pg, bool *ret_hex)
{
	const struct pg_column *column = pg_column(pg, pg->layout.payload);
	const char *text = "row_to_json(t)::text";

	*ret_hex = column != NULL && text_equal(column->type, "bytea");
	if (*ret_hex) {
		text = table_quote(arena, column->name);
		return arena_format(arena,
		    "encode(substring(t.%s FROM 1 FOR %d),'hex'),"
		    "octet_length(t.%s)",
		    text, QUEUE_PEEK_MAX, text);
	}
	if (column != NULL)
		text = arena_format(
		    arena, "t.%s::text", table_quote(arena, column->name));
	return arena_format(
	    arena, "left(%s,%d),octet_length(%s)", text, QUEUE_PEEK_MAX, text);
}

/* The rows of one part. */
static int
part_sql(struct queue *queue, struct pg_sql *sql, enum queue_part part,
    const char **ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct arena *arena = sql->arena;
	/* without a column of its own, a retry waits by its lease */
	const char *at =
	    layout->run_at != NULL ? layout->run_at : layout->lease;
	const char *scope = pg_scope(sql, pg);

	switch (part) {
	case PART_WAITING:
	case PART_NEWEST:
		*ret = pg_ready(sql, pg);
		return 0;
	case PART_ACTIVE:
		*ret = arena_format(arena, "%s AND %s", scope,
		    pg_in(sql, pg, &layout->active, NULL));
		return 0;
	case PART_DELAYED:
		if (at == NULL)
			return table_lacks(queue, part, "run_at", err);
		*ret = arena_format(arena, "%s AND %s AND %s>%s", scope,
		    pg_in(sql, pg, &layout->waiting, NULL),
		    table_quote(arena, at), pg_now(arena, pg, at));
		return 0;
	case PART_DEAD:
		*ret = arena_format(arena, "%s AND %s", scope,
		    pg_in(sql, pg, &layout->dead, &layout->failed));
		return 0;
	case PART_EXPIRED:
		if (layout->lease == NULL)
			return table_lacks(queue, part, "lease", err);
		*ret = arena_format(arena, "%s AND %s AND %s<%s", scope,
		    pg_in(sql, pg, &layout->active, NULL),
		    table_quote(arena, layout->lease),
		    pg_now(arena, pg, layout->lease));
		return 0;
	}
	UNREACHABLE("queue_part");
}

static const char *
age_sql(struct arena *arena, const struct pg_queue *pg)
{
	if (pg->layout.created == NULL)
		return "NULL";
	return arena_format(arena,
	    "((extract(epoch FROM clock_timestamp())*1000)::bigint-%s)",
	    pg_ms(arena, pg, pg->layout.created));
}

static int
hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void
read_payload(struct arena *arena, const PGresult *rows, int row, bool hex,
    struct queue_item *ret)
{
	const char *text = PQgetvalue(rows, row, COLUMN_PAYLOAD);
	size_t len = (size_t)PQgetlength(rows, row, COLUMN_PAYLOAD);

	ret->payload_whole = pg_number(rows, row, COLUMN_WHOLE);
	if (!hex) {
		ret->payload_len = MIN(len, (size_t)QUEUE_PEEK_MAX);
		ret->payload = arena_bytes(arena, text, ret->payload_len);
		return;
	}
	char *bytes = arena_alloc(arena, len / 2 + 1);

	ret->payload_len = MIN(len / 2, (size_t)QUEUE_PEEK_MAX);
	for (size_t i = 0; i < ret->payload_len; i++)
		bytes[i] = (char)(hex_digit(text[2 * i]) << 4 |
		                  hex_digit(text[2 * i + 1]));
	ret->payload = bytes;
}

static void
read_item(struct arena *arena, const PGresult *rows, int row, bool hex,
    struct queue_item *ret)
{
	*ret = (struct queue_item){
	    .id = arena_text(arena, PQgetvalue(rows, row, COLUMN_ID)),
	    .error = arena_text(arena, PQgetvalue(rows, row, COLUMN_ERROR)),
	    .owner = arena_text(arena, PQgetvalue(rows, row, COLUMN_OWNER)),
	    .attempts = pg_number(rows, row, COLUMN_ATTEMPTS),
	    .age_ms = pg_number(rows, row, COLUMN_AGE)};
	read_payload(arena, rows, row, hex, ret);
}

static struct queue_number
count_part(struct queue *queue, enum queue_part part, struct arena *arena)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct err err = ERR_INIT;
	const char *condition = NULL;

	if (part_sql(queue, &sql, part, &condition, &err) == -1 ||
	    pg_do(queue, LIST_MS,
	        arena_format(arena,
	            "SELECT count(*) FROM (SELECT 1 FROM %s AS t WHERE %s LIMIT "
	            "%" PRId64 ") s",
	            pg->table, condition, queue->spec.count_to),
	        &sql, &rows, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	return queue_counted(pg_number(rows, 0, 0), queue->spec.count_to);
}

int
pg_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *condition = NULL;
	bool hex = false;

	if (pg_need(queue, err) == -1 ||
	    part_sql(queue, &sql, part, &condition, err) == -1)
		return -1;
	const struct table_layout *layout = &pg->layout;
	const char *attempts = layout->attempts == NULL
	                           ? "NULL"
	                           : arena_format(arena, "t.%s",
	                                 table_quote(arena, layout->attempts));

	if (pg_do(queue, LIST_MS,
	        arena_format(arena,
	            "SELECT t.%s::text AS k,%s,%s,%s,%s,%s FROM %s AS t WHERE %s %s "
	            "LIMIT %zu",
	            table_quote(arena, layout->id),
	            column_or_null(arena, layout->error),
	            column_or_null(arena, layout->owner), attempts,
	            age_sql(arena, pg), payload_columns(arena, pg, &hex),
	            pg->table, condition,
	            pg_order(arena, pg, part == PART_NEWEST), limit),
	        &sql, &rows, err) == -1)
		return -1;
	struct queue_item *items =
	    arena_array(arena, (size_t)PQntuples(rows) + 1, sizeof(*items));

	ret->items = items;
	ret->count = (size_t)PQntuples(rows);
	for (size_t i = 0; i < ret->count; i++)
		read_item(arena, rows, (int)i, hex, &items[i]);
	ret->total = count_part(queue, part, arena);
	return 0;
}

/* --- move ------------------------------------------------------------------
 */

/* {"a","b"}: an array as the server reads it. */
static const char *
array_text(struct arena *arena, const struct queue_move *move)
{
	size_t bytes = 3;

	for (size_t i = 0; i < move->nids; i++)
		bytes += 2 * strlen(move->ids[i]) + 3;
	char *text = arena_alloc(arena, bytes);
	size_t len = 0;

	text[len++] = '{';
	for (size_t i = 0; i < move->nids; i++) {
		if (i > 0)
			text[len++] = ',';
		text[len++] = '"';
		for (const char *at = move->ids[i]; *at != '\0'; at++) {
			if (*at == '"' || *at == '\\')
				text[len++] = '\\';
			text[len++] = *at;
		}
		text[len++] = '"';
	}
	text[len++] = '}';
	text[len] = '\0';
	return text;
}

static const char *
set_time(struct arena *arena, const struct pg_queue *pg, const char *column)
{
	if (column == NULL)
		return "";
	return arena_format(arena, ",%s=%s", table_quote(arena, column),
	    pg_now(arena, pg, column));
}

static const char *
move_sql(struct pg_sql *sql, const struct pg_queue *pg,
    const struct queue_move *move, const char *condition)
{
	const struct table_layout *layout = &pg->layout;
	struct arena *arena = sql->arena;
	const char *id = table_quote(arena, layout->id);
	const char *lease = "";
	const char *attempts = "";

	if (layout->lease != NULL)
		lease = arena_format(
		    arena, ",%s=NULL", table_quote(arena, layout->lease));
	if (layout->attempts != NULL && move->from == PART_DEAD)
		attempts = arena_format(
		    arena, ",%s=0", table_quote(arena, layout->attempts));
	return arena_format(arena,
	    "WITH picked AS MATERIALIZED (SELECT %s AS k FROM %s WHERE %s AND "
	    "%s=ANY(%s::%s[]) FOR UPDATE SKIP LOCKED) "
	    "UPDATE %s AS t SET %s=%s%s%s%s%s FROM picked WHERE t.%s=picked.k "
	    "RETURNING t.%s::text",
	    id, pg->table, condition, id, pg_bind(sql, array_text(arena, move)),
	    pg_column(pg, layout->id)->type, pg->table,
	    table_quote(arena, layout->status),
	    pg_bind_as(sql, pg, layout->status, layout->waiting.word[0]), lease,
	    attempts, set_time(arena, pg, layout->run_at),
	    set_time(arena, pg, layout->updated), id, id);
}

int
pg_move(struct queue *queue, const struct queue_move *move, struct arena *arena,
    struct queue_moved *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	const char *condition = NULL;

	if (pg_need(queue, err) == -1 ||
	    part_sql(queue, &sql, move->from, &condition, err) == -1 ||
	    pg_change(queue, move_sql(&sql, pg, move, condition), &sql, &rows,
	        err) == -1)
		return -1;
	for (int row = 0; row < PQntuples(rows); row++) {
		const char *id = PQgetvalue(rows, row, 0);

		for (size_t i = 0; i < move->nids; i++) {
			if (!moved[i] && text_equal(move->ids[i], id)) {
				moved[i] = true;
				ret->count++;
				break;
			}
		}
	}
	ret->moved = moved;
	return 0;
}
