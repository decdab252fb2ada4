/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/table.h"

void
table_insert_add(
    struct table_insert *insert, const char *column, const char *value)
{
	const char *comma = insert->columns[0] != '\0' ? "," : "";

	insert->columns = arena_format(
	    insert->arena, "%s%s%s", insert->columns, comma, column);
	insert->values =
	    arena_format(insert->arena, "%s%s%s", insert->values, comma, value);
}

bool
table_row_names(const cJSON *row, const char *column)
{
	return row != NULL &&
	       cJSON_GetObjectItemCaseSensitive(row, column) != NULL;
}

size_t
table_missing(const struct table_layout *layout, const cJSON *row,
    struct table_missing ret[TABLE_MISSING_MAX])
{
	const struct table_missing all[] = {
	    {layout->status, TABLE_FILL_WAITING},
	    {layout->queue_column, TABLE_FILL_QUEUE},
	    {layout->attempts, TABLE_FILL_ZERO},
	    {layout->created, TABLE_FILL_NOW},
	    {layout->run_at, TABLE_FILL_NOW},
	};
	size_t count = 0;

	static_assert(ARRAY_LEN(all) == TABLE_MISSING_MAX, "room for each");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i].column != NULL &&
		    !table_row_names(row, all[i].column))
			ret[count++] = all[i];
	}
	return count;
}

int
table_row_check(
    struct queue *queue, const cJSON *row, int columns_max, struct err *err)
{
	if (cJSON_IsObject(row) && cJSON_GetArraySize(row) <= columns_max)
		return 0;
	return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_INPUT,
	    "without the key 'payload' (a column), a job for table '%s' is a "
	    "JSON object of at most %d columns",
	    queue->name, columns_max);
}

int
table_no_column(
    struct queue *queue, const char *code, const char *column, struct err *err)
{
	return queue_trouble(queue, CAUSE_MISMATCH, code, err, ERR_INPUT,
	    "table '%s' has no column '%.60s', which the payload names",
	    queue->name, column);
}

int
table_receipt(
    struct queue *queue, const struct queue_submission *job, struct err *err)
{
	if (job->receipt != NULL)
		return 0;
	return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
	    "a job in a table is found again by its receipt");
}

void
table_gone(const struct table_layout *layout, struct queue_sighting *ret)
{
	ret->place = PLACE_GONE;
	ret->done = layout->done_deletes;
	ret->detail = "the row is gone";
}

int
table_lacks(struct queue *queue, enum queue_part part, const char *column,
    struct err *err)
{
	return queue_trouble(queue, CAUSE_MISMATCH, "unsupported", err,
	    ERR_UNSUPPORTED,
	    "table '%s' is declared without the column '%s', so it has no %s "
	    "jobs",
	    queue->name, column, queue_part_name(part));
}

int64_t
table_number(const char *text)
{
	int64_t value = -1;

	if (text == NULL || text_i64(text, 0, INT64_MAX, &value, NULL) == -1)
		return -1;
	return value;
}

int
table_many_rows(struct queue *queue, const struct table_layout *layout,
    const char *id, struct err *err)
{
	return queue_trouble(queue, CAUSE_MISMATCH, "several-rows", err,
	    ERR_REFUSED,
	    "several rows of '%s' have the %s '%s': declare as id a column "
	    "that is unique",
	    queue->name, layout->id, id);
}
