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

static void
add(struct table_insert *insert, const char *column, const char *value)
{
	table_insert_add(insert, table_quote(insert->arena, column), value);
}

/* What the layout says that a new row has, unless the payload says it. */
static void
add_layout(struct table_insert *insert, const struct sqlite_queue *sqlite,
    const cJSON *row)
{
	const char *const values[] = {[TABLE_FILL_WAITING] = ":waiting0",
	    [TABLE_FILL_QUEUE] = ":queue",
	    [TABLE_FILL_ZERO] = "0",
	    [TABLE_FILL_NOW] = sqlite_time(insert->arena, sqlite, ":now")};
	struct table_missing missing[TABLE_MISSING_MAX];
	size_t count = table_missing(&sqlite->layout, row, missing);

	if (sqlite->layout.payload != NULL)
		add(insert, sqlite->layout.payload, ":payload");
	for (size_t i = 0; i < count; i++)
		add(insert, missing[i].column, values[missing[i].fill]);
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
	struct table_insert parts = {arena, "", ""};
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	int count = 0;
	const cJSON *value = NULL;

	cJSON_ArrayForEach(value, row)
	{
		add(&parts, value->string,
		    arena_format(arena, ":column%d", count++));
	}
	add_layout(&parts, sqlite, row);
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
	if (sqlite->layout.payload == NULL) {
		row = json_read(job->payload, job->len, NULL);
		if (table_row_check(queue, row, COLUMNS_MAX, err) == -1)
			return -1;
	}
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

	if (table_receipt(queue, job, err) == -1)
		return -1;
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
		table_gone(layout, ret);
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

	if (table_receipt(queue, job, err) == -1)
		return -1;
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
