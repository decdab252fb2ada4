/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/sqlite.h"

/* Jobs of a table as people look at them, and the way back of dead letters and
 * expired claims: one transaction, each row only while its status is the one
 * asked for. */

/* Columns of the list, in the order of read_item(); those of the row follow
 * where no column is the payload. */
enum list_column {
	COLUMN_ID,
	COLUMN_ERROR,
	COLUMN_OWNER,
	COLUMN_ATTEMPTS,
	COLUMN_AGE,
	COLUMN_PAYLOAD,
	COLUMN_WHOLE,
	COLUMN_ROW = COLUMN_PAYLOAD
};

static const char *
words_sql(struct arena *arena, const struct table_layout *layout)
{
	const char *list = "";

	for (size_t i = 0; i < layout->dead.count; i++)
		list = arena_format(arena, "%s:dead%zu,", list, i);
	for (size_t i = 0; i < layout->failed.count; i++)
		list = arena_format(arena, "%s:failed%zu,", list, i);
	return arena_format(arena, "(%sNULL)", list);
}

/* The rows of one part. */
static int
part_sql(struct queue *queue, enum queue_part part, struct arena *arena,
    const char **ret, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	const char *at =
	    layout->run_at != NULL ? layout->run_at : layout->lease;
	const char *more = "";
	const char *words = sqlite->active;

	switch (part) {
	case PART_WAITING:
	case PART_NEWEST:
		*ret = sqlite->ready;
		return 0;
	case PART_ACTIVE:
		break;
	case PART_DELAYED:
		if (at == NULL)
			return table_lacks(queue, part, "run_at", err);
		words = sqlite->waiting;
		more = arena_format(arena, " AND %s>:now",
		    sqlite_ms(arena, sqlite, table_quote(arena, at)));
		break;
	case PART_DEAD:
		words = words_sql(arena, layout);
		break;
	case PART_EXPIRED:
		if (layout->lease == NULL)
			return table_lacks(queue, part, "lease", err);
		more = arena_format(arena, " AND %s<:now",
		    sqlite_ms(
		        arena, sqlite, table_quote(arena, layout->lease)));
		break;
	}
	*ret = arena_format(arena, "%s AND %s IN %s%s", sqlite->scope,
	    sqlite->status, words, more);
	return 0;
}

static const char *
column_or_null(struct arena *arena, const char *column)
{
	return column == NULL ? "NULL" : table_quote(arena, column);
}

static const char *
list_sql(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *condition, const char *order, size_t limit)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *age = "NULL";
	const char *payload = "*";

	if (layout->created != NULL)
		age = arena_format(arena, ":now-%s",
		    sqlite_ms(
		        arena, sqlite, table_quote(arena, layout->created)));
	if (layout->payload != NULL) {
		payload = table_quote(arena, layout->payload);
		payload = arena_format(arena,
		    "substr(CAST(%s AS BLOB),1,%d),length(CAST(%s AS BLOB))",
		    payload, QUEUE_PEEK_MAX, payload);
	}
	return arena_format(arena,
	    "SELECT CAST(%s AS TEXT),CAST(%s AS TEXT),CAST(%s AS TEXT),%s,%s,%s "
	    "FROM %s WHERE %s %s LIMIT %zu",
	    sqlite->id, column_or_null(arena, layout->error),
	    column_or_null(arena, layout->owner),
	    column_or_null(arena, layout->attempts), age, payload,
	    sqlite->table, condition, order, limit);
}

static const char *
text_at(struct arena *arena, sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text != NULL ? arena_text(arena, text) : "";
}

static int64_t
number_at(sqlite3_stmt *row, int column)
{
	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		return -1;
	return MAX(sqlite3_column_int64(row, column), (sqlite3_int64)0);
}

static void
read_payload(struct arena *arena, const struct sqlite_queue *sqlite,
    sqlite3_stmt *row, struct queue_item *ret)
{
	if (sqlite->layout.payload != NULL) {
		ret->payload_whole = number_at(row, COLUMN_WHOLE);
		ret->payload_len =
		    (size_t)sqlite3_column_bytes(row, COLUMN_PAYLOAD);
		ret->payload = arena_bytes(arena,
		    sqlite3_column_blob(row, COLUMN_PAYLOAD), ret->payload_len);
		return;
	}
	struct buffer json;

	buffer_init(&json, QUEUE_PAYLOAD_MAX);
	sqlite_row_as_json(row, COLUMN_ROW, &json);
	ret->payload_whole = json.overflow ? -1 : (int64_t)json.len;
	ret->payload_len = MIN(json.len, (size_t)QUEUE_PEEK_MAX);
	ret->payload =
	    arena_bytes(arena, json.len > 0 ? json.data : "", ret->payload_len);
	buffer_fini(&json);
}

static struct queue_number
count_part(struct queue *queue, const char *condition, struct arena *arena)
{
	const struct sqlite_queue *sqlite = queue->state;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;
	struct err err = ERR_INIT;

	if (sqlite_prepare(queue,
	        arena_format(arena, "SELECT count(*) FROM %s WHERE %s",
	            sqlite->table, condition),
	        &statement, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	sqlite_bind(queue, statement, &bound);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return queue_unknown(
		    "counting took longer than the time given");
	return queue_exact(sqlite3_column_int64(statement, 0));
}

int
sqlite_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *row = NULL;
	struct queue_item *items = arena_array(arena, limit, sizeof(*items));
	const char *condition = NULL;
	int step;

	if (part_sql(queue, part, arena, &condition, err) == -1 ||
	    sqlite_prepare(queue,
	        list_sql(arena, sqlite, condition,
	            part == PART_NEWEST ? sqlite->order_back : sqlite->order,
	            limit),
	        &row, err) == -1)
		return -1;
	sqlite_bind(queue, row, &bound);
	while ((step = sqlite3_step(row)) == SQLITE_ROW && ret->count < limit) {
		struct queue_item *item = &items[ret->count++];

		*item =
		    (struct queue_item){.id = text_at(arena, row, COLUMN_ID),
		        .error = text_at(arena, row, COLUMN_ERROR),
		        .owner = text_at(arena, row, COLUMN_OWNER),
		        .attempts = number_at(row, COLUMN_ATTEMPTS),
		        .age_ms = number_at(row, COLUMN_AGE)};
		read_payload(arena, sqlite, row, item);
	}
	if (step != SQLITE_DONE)
		return sqlite_failed(queue, "look at jobs in", err);
	ret->items = items;
	ret->total = count_part(queue, condition, arena);
	return 0;
}

/* --- move ------------------------------------------------------------------
 */

static const char *
move_sql(struct arena *arena, const struct sqlite_queue *sqlite,
    const struct queue_move *move, const char *condition)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *now = sqlite_time(arena, sqlite, ":now");
	const char *set = arena_format(arena, "%s=:waiting0", sqlite->status);

	if (layout->lease != NULL)
		set = arena_format(arena, "%s,%s=NULL", set,
		    table_quote(arena, layout->lease));
	if (layout->attempts != NULL && move->from == PART_DEAD)
		set = arena_format(arena, "%s,%s=0", set,
		    table_quote(arena, layout->attempts));
	if (layout->run_at != NULL)
		set = arena_format(arena, "%s,%s=%s", set,
		    table_quote(arena, layout->run_at), now);
	if (layout->updated != NULL)
		set = arena_format(arena, "%s,%s=%s", set,
		    table_quote(arena, layout->updated), now);
	return arena_format(arena, "UPDATE %s SET %s WHERE %s=:id AND %s",
	    sqlite->table, set, sqlite->id, condition);
}

static int
run(struct queue *queue, const char *sql, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;

	return sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK
	           ? 0
	           : sqlite_failed(queue, "move jobs in", err);
}

static int
move_rows(struct queue *queue, const struct queue_move *move, const char *sql,
    bool *moved, size_t *ret_count, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (sqlite_prepare(queue, sql, &statement, err) == -1)
		return -1;
	for (size_t i = 0; i < move->nids; i++) {
		struct sqlite_bound bound = {
		    .now_ms = clock_wall_ms(), .id = move->ids[i]};

		sqlite_bind(queue, statement, &bound);
		if (sqlite3_step(statement) != SQLITE_DONE)
			return sqlite_failed(queue, "move jobs in", err);
		if (sqlite3_changes(sqlite->db) > 1)
			return table_many_rows(
			    queue, &sqlite->layout, move->ids[i], err);
		moved[i] = sqlite3_changes(sqlite->db) > 0;
		*ret_count += moved[i];
		(void)sqlite3_reset(statement);
	}
	return 0;
}

int
sqlite_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	const char *condition = NULL;

	if (sqlite_need(queue, err) == -1 ||
	    part_sql(queue, move->from, arena, &condition, err) == -1 ||
	    run(queue, "BEGIN IMMEDIATE", err) == -1)
		return -1;
	int rc = move_rows(queue, move,
	    move_sql(arena, sqlite, move, condition), moved, &ret->count, err);

	if (rc == 0)
		rc = run(queue, "COMMIT", err);
	if (rc == -1)
		(void)sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
	ret->moved = moved;
	return rc;
}
