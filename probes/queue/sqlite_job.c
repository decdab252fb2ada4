/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/sqlite.h"

/* Jobs by their id: put in, followed, taken out. */

enum {
	COLUMNS_MAX = 64 /* of one inserted row */
};

/* The columns and values of one INSERT, put together in step. */
struct insert {
	struct arena *arena;
	const char *columns, *values;
	size_t count;
};

static void
insert_add(struct insert *insert, const char *column, const char *value)
{
	const char *comma = insert->count > 0 ? "," : "";

	insert->columns = arena_format(insert->arena, "%s%s%s", insert->columns,
	    comma, table_quote(insert->arena, column));
	insert->values =
	    arena_format(insert->arena, "%s%s%s", insert->values, comma, value);
	insert->count++;
}

static bool
names(const cJSON *row, const char *column)
{
	return row != NULL &&
	       cJSON_GetObjectItemCaseSensitive(row, column) != NULL;
}

/* What the layout says that a new row has, unless the payload says it. */
static void
insert_layout(
    struct insert *insert, const struct sqlite_queue *sqlite, const cJSON *row)
{
	const struct table_layout *layout = &sqlite->layout;
	const char *now = sqlite_time(insert->arena, sqlite, ":now");

	if (layout->payload != NULL)
		insert_add(insert, layout->payload, ":payload");
	if (!names(row, layout->status))
		insert_add(insert, layout->status, ":waiting0");
	if (layout->queue_column != NULL && !names(row, layout->queue_column))
		insert_add(insert, layout->queue_column, ":queue");
	if (layout->attempts != NULL && !names(row, layout->attempts))
		insert_add(insert, layout->attempts, "0");
	if (layout->created != NULL && !names(row, layout->created))
		insert_add(insert, layout->created, now);
	if (layout->run_at != NULL && !names(row, layout->run_at))
		insert_add(insert, layout->run_at, now);
}

static void
bind_value(sqlite3_stmt *statement, int index, const cJSON *value)
{
	if (cJSON_IsString(value)) {
		(void)sqlite3_bind_text(
		    statement, index, value->valuestring, -1, SQLITE_TRANSIENT);
	} else if (cJSON_IsBool(value)) {
		(void)sqlite3_bind_int(statement, index, cJSON_IsTrue(value));
	} else if (cJSON_IsNumber(value)) {
		double number = value->valuedouble;
		bool whole = number > -9007199254740992.0 &&
		             number < 9007199254740992.0 &&
		             (double)(int64_t)number == number;

		if (whole)
			(void)sqlite3_bind_int64(
			    statement, index, (int64_t)number);
		else
			(void)sqlite3_bind_double(statement, index, number);
	} else if (cJSON_IsNull(value)) {
		(void)sqlite3_bind_null(statement, index);
	} else {
		char *text = cJSON_PrintUnformatted(value);

		(void)sqlite3_bind_text(
		    statement, index, text, -1, SQLITE_TRANSIENT);
		cJSON_free(text);
	}
}

static void
bind_row(sqlite3_stmt *statement, const cJSON *row)
{
	int count = 0;
	const cJSON *value = NULL;

	cJSON_ArrayForEach(value, row)
	{
		char name[32];
		int index;

		(void)sqlite3_snprintf(
		    (int)sizeof(name), name, ":column%d", count++);
		index = sqlite3_bind_parameter_index(statement, name);
		if (index > 0)
			bind_value(statement, index, value);
	}
}

/* Without a payload column, the payload is a row: {"column": value, …}. */
static int
parse_row(struct queue *queue, const struct queue_submission *job,
    cJSON **ret_row, struct err *err)
{
	cJSON *row =
	    cJSON_ParseWithLengthOpts(job->payload, job->len + 1, NULL, true);

	if (!cJSON_IsObject(row) || cJSON_GetArraySize(row) > COLUMNS_MAX) {
		cJSON_Delete(row);
		return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_INPUT,
		    "without the key 'payload' (a column), a job for table "
		    "'%s' is a JSON object of at most %d columns",
		    queue->name, COLUMNS_MAX);
	}
	*ret_row = row;
	return 0;
}

static void
bind_payload(sqlite3_stmt *statement, const struct queue_submission *job)
{
	int index = sqlite3_bind_parameter_index(statement, ":payload");

	if (index == 0)
		return;
	/* text where it is text, so that other readers see it as such */
	if (job->len > 0 && memchr(job->payload, '\0', job->len) != NULL)
		(void)sqlite3_bind_blob64(
		    statement, index, job->payload, job->len, SQLITE_TRANSIENT);
	else
		(void)sqlite3_bind_text64(statement, index, job->payload,
		    job->len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int
insert(struct queue *queue, const struct queue_submission *job,
    const cJSON *row, struct arena *arena, const char **ret_receipt,
    struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	struct insert parts = {.arena = arena, .columns = "", .values = ""};
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	int count = 0;
	const cJSON *value = NULL;

	cJSON_ArrayForEach(value, row)
	{
		insert_add(&parts, value->string,
		    arena_format(arena, ":column%d", count++));
	}
	insert_layout(&parts, sqlite, row);
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (sqlite_prepare(queue,
	        arena_format(arena,
	            "INSERT INTO %s(%s) VALUES(%s) RETURNING %s", sqlite->table,
	            parts.columns, parts.values, sqlite->id),
	        &statement, err) == -1)
		return -1;
	sqlite_bind(queue, statement, &bound);
	bind_row(statement, row);
	bind_payload(statement, job);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return sqlite_failed(queue, "put a job into", err);
	const char *receipt =
	    arena_text(arena, (const char *)sqlite3_column_text(statement, 0));

	/* the commit is in the last step */
	if (sqlite3_step(statement) != SQLITE_DONE)
		return sqlite_failed(queue, "put a job into", err);
	*ret_receipt = receipt;
	return 0;
}

int
sqlite_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	CLEANUP(json_free) cJSON *row = NULL;

	if (sqlite_need(queue, err) == -1)
		return -1;
	if (sqlite->layout.payload == NULL &&
	    parse_row(queue, job, &row, err) == -1)
		return -1;
	return insert(queue, job, row, arena, ret_receipt, err);
}

static const char *
column_or(struct arena *arena, const char *column, const char *otherwise)
{
	return column != NULL ? table_quote(arena, column) : otherwise;
}

int
sqlite_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct sqlite_bound bound = {.id = job->receipt};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "a job in a table is followed by its receipt");
	if (sqlite_prepare(queue,
	        arena_format(arena, "SELECT %s,%s,%s FROM %s WHERE %s=:id",
	            sqlite->status, column_or(arena, layout->owner, "NULL"),
	            column_or(arena, layout->attempts, "-1"), sqlite->table,
	            sqlite->id),
	        &statement, err) == -1)
		return -1;
	sqlite_bind(queue, statement, &bound);
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_DONE) {
		ret->place = PLACE_GONE;
		ret->done = layout->done_deletes;
		ret->detail = "the row is gone";
		return 0;
	}
	if (rc != SQLITE_ROW)
		return sqlite_failed(queue, "follow a job in", err);
	const char *by = (const char *)sqlite3_column_text(statement, 1);

	ret->by = by != NULL ? arena_text(arena, by) : "";
	ret->attempts = sqlite3_column_int64(statement, 2);
	table_sighting(layout, arena,
	    (const char *)sqlite3_column_text(statement, 0), ret);
	return 0;
}

int
sqlite_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	struct sqlite_bound bound = {.id = job->receipt};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;
	struct buffer sql;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "a job in a table is removed by its receipt");
	buffer_init(&sql, 4096);
	buffer_format(&sql, "DELETE FROM %s WHERE %s=:id AND %s NOT IN %s",
	    sqlite->table, sqlite->id, sqlite->status, sqlite->active);
	int rc = sqlite_prepare(queue, sql.data, &statement, err);

	buffer_fini(&sql);
	if (rc == -1)
		return -1;
	sqlite_bind(queue, statement, &bound);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return sqlite_failed(queue, "remove a job from", err);
	*ret_removed = sqlite3_changes(sqlite->db) > 0;
	return 0;
}
