/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/sql.h"

/* Jobs by their id: put in, followed, taken out, shown, moved back. */

struct insert {
	struct table_insert into;
	struct sql_bound *bound;
	const struct sql_table *table;
};

/* `value` is SQL: what was bound for it comes in the order of the calls. */
static void
add(struct insert *insert, const char *column, const char *value)
{
	table_insert_add(&insert->into,
	    sql_quote(insert->into.arena, insert->table, column), value);
}

/* What a new row has, unless the payload says it. */
static void
add_layout(
    struct insert *insert, const cJSON *row, const struct queue_submission *job)
{
	const struct sql_table *table = insert->table;
	const struct table_layout *layout = &table->layout;
	const struct sql_column *id = sql_column(table, layout->id);
	struct table_missing missing[TABLE_MISSING_MAX];
	size_t count = table_missing(layout, row, missing);

	if (!table_row_names(row, layout->id) && id != NULL && !id->has_default)
		add(insert, layout->id, sql_bind(insert->bound, job->canary));
	for (size_t i = 0; i < count; i++) {
		const char *column = missing[i].column;
		const char *value = "0";

		switch (missing[i].fill) {
		case TABLE_FILL_WAITING:
			value =
			    sql_bind(insert->bound, layout->waiting.word[0]);
			break;
		case TABLE_FILL_QUEUE:
			value = sql_bind(insert->bound, layout->queue_value);
			break;
		case TABLE_FILL_ZERO:
			break;
		case TABLE_FILL_NOW:
			value = sql_now(insert->into.arena, table, column);
			break;
		}
		add(insert, column, value);
	}
}

static int
add_row(struct queue *queue, struct insert *insert, const cJSON *row,
    struct err *err)
{
	const cJSON *value = NULL;

	if (table_row_check(queue, row, SQL_PARAMS_MAX / 2, err) == -1)
		return -1;
	cJSON_ArrayForEach(value, row)
	{
		if (sql_column(insert->table, value->string) == NULL)
			return table_no_column(
			    queue, "42S22", value->string, err);
		add(insert, value->string,
		    sql_bind(insert->bound,
		        table_value_text(insert->into.arena, value)));
	}
	return 0;
}

static const char *
insert_sql(struct arena *arena, const struct insert *insert)
{
	const struct sql_table *table = insert->table;
	const struct sql_dialect *dialect = table->dialect;
	const char *id = sql_quote(arena, table, table->layout.id);

	return arena_format(arena, "INSERT INTO %s(%s)%s%s VALUES(%s)%s%s",
	    table->table, insert->into.columns,
	    dialect->output != NULL ? dialect->output : "",
	    dialect->output != NULL ? id : "", insert->into.values,
	    dialect->returning != NULL ? dialect->returning : "",
	    dialect->returning != NULL ? id : "");
}

int
sql_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_bound bound = {.arena = arena};
	struct sql_bound none = {.arena = arena};
	struct insert insert = {
	    .into = {arena, "", ""}, .bound = &bound, .table = table};
	CLEANUP(json_free) cJSON *row = NULL;
	struct sql_rows rows;

	if (sql_need(queue, err) == -1)
		return -1;
	if (table->layout.payload != NULL) {
		if (job->len > 0 &&
		    memchr(job->payload, '\0', job->len) != NULL)
			return queue_trouble(queue, CAUSE_MISMATCH, "", err,
			    ERR_INPUT, "column '%s' can't be given a NUL byte",
			    table->layout.payload);
		add(&insert, table->layout.payload,
		    sql_bind(
		        &bound, arena_bytes(arena, job->payload, job->len)));
	} else {
		row = json_read(job->payload, job->len, NULL);
		if (add_row(queue, &insert, row, err) == -1)
			return -1;
	}
	add_layout(&insert, row, job);
	if (sql_run(queue, insert_sql(arena, &insert), &bound, &rows, err) ==
	    -1)
		return -1;
	const struct sql_column *id = sql_column(table, table->layout.id);

	*ret_receipt = job->canary;
	if (table_row_names(row, table->layout.id))
		/* the JSON's own text ends with it */
		*ret_receipt = arena_text(arena,
		    table_value_text(arena, cJSON_GetObjectItemCaseSensitive(
		                                row, table->layout.id)));
	else if (table->dialect->last_id == NULL && rows.rows > 0 &&
	         rows.cell[0] != NULL)
		*ret_receipt = rows.cell[0];
	else if (id != NULL && id->has_default &&
	         table->dialect->last_id != NULL) {
		if (sql_run(queue, table->dialect->last_id, &none, &rows,
		        err) == -1)
			return -1;
		*ret_receipt = rows.rows > 0 && rows.cell[0] != NULL
		                   ? rows.cell[0]
		                   : job->canary;
	}
	return 0;
}

int
sql_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;

	if (table_receipt(queue, job, err) == -1 || sql_need(queue, err) == -1)
		return -1;
	if (sql_run(queue,
	        arena_format(arena, "SELECT %s,%s,%s FROM %s WHERE %s=%s",
	            sql_text(arena, table, layout->status),
	            sql_text(arena, table, layout->owner),
	            sql_text(arena, table, layout->attempts), table->table,
	            sql_quote(arena, table, layout->id),
	            sql_bind(&bound, job->receipt)),
	        &bound, &rows, err) == -1)
		return -1;
	if (rows.rows == 0) {
		table_gone(layout, ret);
		return 0;
	}
	ret->by = rows.cell[1] != NULL ? rows.cell[1] : "";
	if (rows.cell[2] != NULL &&
	    text_i64(rows.cell[2], 0, INT64_MAX, &ret->attempts, NULL) == -1)
		ret->attempts = -1;
	table_sighting(layout, arena, rows.cell[0], ret);
	return 0;
}

int
sql_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_rows rows;
	struct arena arena;

	if (table_receipt(queue, job, err) == -1 || sql_need(queue, err) == -1)
		return -1;
	arena_init(&arena, 1 << 20);
	struct sql_bound bound = {.arena = &arena};
	const char *id = sql_bind(&bound, job->receipt);

	int rc = sql_run(queue,
	    arena_format(&arena, "DELETE FROM %s WHERE %s=%s AND NOT (%s)",
	        table->table, sql_quote(&arena, table, table->layout.id), id,
	        sql_where(&bound, table, &table->layout.active)),
	    &bound, &rows, err);
	if (rc == 0)
		*ret_removed = rows.affected > 0;
	arena_fini(&arena);
	return rc;
}

/* --- as people look at them ------------------------------------------------
 */

/* Which rows a part is; NULL: the layout has no such part. What is compared
 * with now needs its column. */
static const char *
part_where(struct sql_bound *bound, const struct sql_table *table,
    enum queue_part part)
{
	const struct table_layout *layout = &table->layout;
	struct arena *arena = bound->arena;
	const struct table_words *words = &layout->waiting;
	const char *column = NULL;
	const char *op = ">";

	switch (part) {
	case PART_WAITING:
	case PART_NEWEST:
		break;
	case PART_ACTIVE:
		words = &layout->active;
		break;
	case PART_DELAYED:
		column = layout->run_at;
		if (column == NULL)
			return NULL;
		break;
	case PART_DEAD:
		words =
		    layout->dead.count > 0 ? &layout->dead : &layout->failed;
		break;
	case PART_EXPIRED:
		words = &layout->active;
		column = layout->lease;
		op = "<";
		if (column == NULL)
			return NULL;
		break;
	}
	if (words->count == 0)
		return NULL;
	const char *where = sql_where(bound, table, words);

	if (column == NULL)
		return where;
	return arena_format(arena, "%s AND %s%s%s", where,
	    sql_quote(arena, table, column), op, sql_now(arena, table, column));
}

static int
no_such_part(struct queue *queue, enum queue_part part, struct err *err)
{
	return queue_trouble(queue, CAUSE_URL, "", err, ERR_UNSUPPORTED,
	    "table '%s', as it is declared, has no %s jobs", queue->name,
	    queue_part_name(part));
}

static const char *
or_empty(const char *text)
{
	return text != NULL ? text : "";
}

/* How a payload is read: text, or digits with how many bytes it has. */
static const char *
payload_columns(struct arena *arena, const struct sql_table *table)
{
	const struct sql_dialect *dialect = table->dialect;
	const char *name = table->layout.payload;

	if (!sql_is_bytes(sql_column(table, name)))
		return arena_format(
		    arena, "%s,NULL", sql_text(arena, table, name));
	const char *column = sql_quote(arena, table, name);

	return arena_format(arena, "%s%s%s,%s%s)", dialect->as_hex, column,
	    dialect->as_hex_end, dialect->octets, column);
}

static void
read_payload(
    struct arena *arena, const char *const *cell, struct queue_item *ret)
{
	size_t len = strlen(or_empty(cell[0]));

	ret->payload = or_empty(cell[0]);
	ret->payload_whole =
	    cell[0] != NULL && len < SQL_CELL_MAX - 1 ? (int64_t)len : -1;
	if (cell[1] != NULL) {
		ret->payload = sql_unhex(arena, ret->payload, &len);
		ret->payload_whole = table_number(cell[1]);
	}
	ret->payload_len = MIN(len, (size_t)QUEUE_PEEK_MAX);
}

static struct queue_item
read_item(struct arena *arena, const char *const *cell)
{
	int64_t born = table_number(cell[3]);
	struct queue_item item = {.id = or_empty(cell[0]),
	    .error = or_empty(cell[1]),
	    .owner = or_empty(cell[2]),
	    .age_ms = born >= 0 ? MAX(table_number(cell[5]) - born, 0) : -1,
	    .attempts = table_number(cell[4])};

	read_payload(arena, cell + 6, &item);
	return item;
}

int
sql_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct sql_dialect *dialect = table->dialect;
	const struct table_layout *layout = &table->layout;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;
	struct sql_rows total;

	if (sql_need(queue, err) == -1)
		return -1;
	const char *where = part_where(&bound, table, part);

	if (where == NULL)
		return no_such_part(queue, part, err);
	const char *from = arena_format(
	    arena, "FROM %s%s WHERE %s", table->table, dialect->hint, where);
	const char *columns = arena_format(arena, "%s,%s,%s,%s,%s,%s%s%s,%s",
	    sql_text(arena, table, layout->id),
	    sql_text(arena, table, layout->error),
	    sql_text(arena, table, layout->owner),
	    layout->created != NULL ? sql_ms(arena, table, layout->created)
	                            : "NULL",
	    sql_text(arena, table, layout->attempts), dialect->ms, dialect->now,
	    dialect->ms_end, payload_columns(arena, table));

	if (sql_run(queue,
	        sql_limited(arena, table, columns,
	            arena_format(arena, "%s ORDER BY %s%s", from,
	                sql_quote(arena, table,
	                    layout->created != NULL ? layout->created
	                                            : layout->id),
	                part == PART_NEWEST ? " DESC" : ""),
	            (int64_t)limit),
	        &bound, &rows, err) == -1 ||
	    sql_run(queue,
	        arena_format(arena, "SELECT COUNT(*) FROM (%s) c",
	            sql_limited(
	                arena, table, "1 AS x", from, queue->spec.count_to)),
	        &bound, &total, err) == -1)
		return -1;
	struct queue_item *items =
	    arena_array(arena, rows.rows + 1, sizeof(*items));

	for (size_t i = 0; i < rows.rows; i++) {
		items[i] = read_item(arena, rows.cell + i * rows.columns);
	}
	ret->items = items;
	ret->count = rows.rows;
	ret->total =
	    queue_counted(table_number(total.rows > 0 ? total.cell[0] : NULL),
	        queue->spec.count_to);
	return 0;
}

/* SET … of a job that waits again. */
static const char *
waits_again(struct sql_bound *bound, const struct sql_table *table,
    enum queue_part from)
{
	const struct table_layout *layout = &table->layout;
	struct arena *arena = bound->arena;
	const char *set = arena_format(arena, "%s=%s",
	    sql_quote(arena, table, layout->status),
	    sql_bind(bound, layout->waiting.word[0]));
	const char *const cleared[] = {layout->lease, layout->owner};

	for (size_t i = 0; i < ARRAY_LEN(cleared); i++) {
		if (cleared[i] != NULL)
			set = arena_format(arena, "%s,%s=NULL", set,
			    sql_quote(arena, table, cleared[i]));
	}
	if (layout->attempts != NULL && from == PART_DEAD)
		set = arena_format(arena, "%s,%s=0", set,
		    sql_quote(arena, table, layout->attempts));
	const char *const times[] = {layout->run_at, layout->updated};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (times[i] != NULL)
			set = arena_format(arena, "%s,%s=%s", set,
			    sql_quote(arena, table, times[i]),
			    sql_now(arena, table, times[i]));
	}
	return set;
}

static int
move_each(struct queue *queue, const struct queue_move *move,
    struct arena *arena, bool *moved, size_t *ret_count, struct err *err)
{
	const struct sql_table *table = queue->state;

	for (size_t i = 0; i < move->nids; i++) {
		struct sql_bound bound = {.arena = arena};
		struct sql_rows rows;
		const char *set = waits_again(&bound, table, move->from);
		const char *where = part_where(&bound, table, move->from);

		if (where == NULL)
			return no_such_part(queue, move->from, err);
		if (sql_run(queue,
		        arena_format(arena,
		            "UPDATE %s SET %s WHERE %s AND %s=%s", table->table,
		            set, where,
		            sql_quote(arena, table, table->layout.id),
		            sql_bind(&bound, move->ids[i])),
		        &bound, &rows, err) == -1)
			return -1;
		if (rows.affected > 1)
			return table_many_rows(
			    queue, &table->layout, move->ids[i], err);
		moved[i] = rows.affected > 0;
		*ret_count += moved[i] ? 1 : 0;
	}
	return 0;
}

int
sql_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	struct sql_bound none = {.arena = arena};
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	struct sql_rows rows;
	size_t count = 0;

	if (sql_need(queue, err) == -1 ||
	    sql_run(queue,
	        ((const struct sql_table *)queue->state)->dialect->writes,
	        &none, &rows, err) == -1)
		return -1;
	if (move_each(queue, move, arena, moved, &count, err) == -1 ||
	    sql_run(queue, "COMMIT", &none, &rows, err) == -1) {
		(void)!sql_run(queue, "ROLLBACK", &none, &rows, NULL);
		return -1;
	}
	ret->moved = moved;
	ret->count = count;
	return 0;
}
