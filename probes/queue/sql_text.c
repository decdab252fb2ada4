/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/sql.h"

/* What statements about a table are made of: names, conditions, times. */

/* --- pieces of statements --------------------------------------------------
 */

const char *
sql_quote(struct arena *arena, const struct sql_table *table, const char *name)
{
	const char *end = table->dialect->unquote;
	char *quoted = arena_alloc(arena, 2 * strlen(name) + 3);
	char *at = quoted;

	*at++ = table->dialect->quote[0];
	for (; *name != '\0'; name++) {
		if (*name == end[0])
			*at++ = end[0];
		*at++ = *name;
	}
	*at++ = end[0];
	*at = '\0';
	return quoted;
}

void
sql_names(struct queue *queue, struct sql_table *table)
{
	struct arena *arena = &queue->arena;
	const struct table_layout *layout = &table->layout;

	table->table = sql_quote(arena, table, layout->table);
	if (layout->schema != NULL)
		table->table = arena_format(arena, "%s.%s",
		    sql_quote(arena, table, layout->schema), table->table);
	queue->target = arena_format(arena, "%s table %s%s%s", queue->target,
	    queue->name, layout->queue_value != NULL ? " queue " : "",
	    layout->queue_value != NULL ? layout->queue_value : "");
}

const char *
sql_bind(struct sql_bound *bound, const char *value)
{
	assert(bound->count < SQL_PARAMS_MAX);
	bound->params[bound->count++] = value;
	return "?";
}

const struct sql_column *
sql_column(const struct sql_table *table, const char *name)
{
	for (size_t i = 0; name != NULL && i < table->ncolumns; i++) {
		if (text_equal(table->columns[i].name, name))
			return &table->columns[i];
	}
	return NULL;
}

const char *
sql_limited(struct arena *arena, const struct sql_table *table,
    const char *what, const char *rest, int64_t n)
{
	const struct sql_dialect *dialect = table->dialect;

	if (dialect->top != NULL)
		return arena_format(arena, "SELECT %s%" PRId64 "%s%s %s",
		    dialect->top, n, dialect->top_end, what, rest);
	return arena_format(
	    arena, "SELECT %s %s%s%" PRId64, what, rest, dialect->limit, n);
}

const char *
sql_where(struct sql_bound *bound, const struct sql_table *table,
    const struct table_words *words)
{
	const struct table_layout *layout = &table->layout;
	struct arena *arena = bound->arena;
	const char *scope = "";
	const char *list = "";

	if (layout->queue_column != NULL)
		scope = arena_format(arena, "%s=%s AND ",
		    sql_quote(arena, table, layout->queue_column),
		    sql_bind(bound, layout->queue_value));
	if (layout->where != NULL)
		scope =
		    arena_format(arena, "%s(%s) AND ", scope, layout->where);
	for (size_t i = 0; i < words->count; i++)
		list = arena_format(arena, "%s%s%s", list, i > 0 ? "," : "",
		    sql_bind(bound, words->word[i]));
	return arena_format(arena, "%s%s IN (%s)", scope,
	    sql_quote(arena, table, layout->status), list);
}

/* --- times -----------------------------------------------------------------
 */

enum time_type {
	TIME_NONE,
	TIME_ZONED,
	TIME_UNZONED,
	TIME_NUMBER
};

static enum time_type
time_type(const struct sql_table *table, const char *name)
{
	static const char *const zoned[] = {
	    "datetimeoffset", "timestamptz", "timestamp with time zone"};
	static const char *const unzoned[] = {"datetime", "timestamp",
	    "datetime2", "smalldatetime", "timestamp without time zone"};
	static const char *const numbers[] = {
	    "bigint", "int", "integer", "int4", "int8", "decimal", "numeric"};
	const struct sql_column *column = sql_column(table, name);

	if (column == NULL)
		return TIME_NONE;
	for (size_t i = 0; i < ARRAY_LEN(zoned); i++) {
		if (text_equal(column->type, zoned[i]))
			return TIME_ZONED;
	}
	for (size_t i = 0; i < ARRAY_LEN(unzoned); i++) {
		if (text_equal(column->type, unzoned[i]))
			return TIME_UNZONED;
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (text_equal(column->type, numbers[i]))
			return TIME_NUMBER;
	}
	return TIME_NONE;
}

static int64_t
unit_ms(const struct sql_table *table)
{
	return table->layout.time == TABLE_TIME_MS ? 1 : 1000;
}

const char *
sql_literal(struct arena *arena, const char *text)
{
	char *quoted = arena_alloc(arena, 2 * strlen(text) + 3);
	char *at = quoted;

	*at++ = '\'';
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			*at++ = *text;
		*at++ = *text;
	}
	*at++ = '\'';
	*at = '\0';
	return quoted;
}

const char *
sql_now(struct arena *arena, const struct sql_table *table, const char *column)
{
	const struct sql_dialect *dialect = table->dialect;

	switch (time_type(table, column)) {
	case TIME_NONE:
		return NULL;
	case TIME_ZONED:
		return dialect->now_zoned;
	case TIME_UNZONED:
		if (text_equal(table->layout.tz, "utc") ||
		    dialect->zone == NULL)
			return dialect->now;
		return arena_format(arena, "%s%s%s%s%s", dialect->zone,
		    dialect->now, dialect->between,
		    sql_literal(arena, table->layout.tz), dialect->zoned);
	case TIME_NUMBER:
		return arena_format(arena, "(%s%s%s)/%" PRId64, dialect->ms,
		    dialect->now, dialect->ms_end, unit_ms(table));
	}
	UNREACHABLE("time_type");
}

const char *
sql_ms(struct arena *arena, const struct sql_table *table, const char *column)
{
	const struct sql_dialect *dialect = table->dialect;
	const char *name = sql_quote(arena, table, column);
	const char *now = sql_now(arena, table, column);

	switch (time_type(table, column)) {
	case TIME_NONE:
		return "NULL";
	case TIME_ZONED:
		return arena_format(
		    arena, "%s%s%s", dialect->ms, name, dialect->ms_end);
	case TIME_UNZONED:
		/* of another zone: as far from its now as from ours */
		if (now == dialect->now)
			return arena_format(arena, "%s%s%s", dialect->ms, name,
			    dialect->ms_end);
		return arena_format(arena, "(%s%s%s)-(%s%s%s)+(%s%s%s)",
		    dialect->ms, name, dialect->ms_end, dialect->ms, now,
		    dialect->ms_end, dialect->ms, dialect->now,
		    dialect->ms_end);
	case TIME_NUMBER:
		return arena_format(arena,
		    "CASE WHEN %s BETWEEN -9000000000000 AND 9000000000000 "
		    "THEN %s*%" PRId64 " END",
		    name, name, unit_ms(table));
	}
	UNREACHABLE("time_type");
}

const char *
sql_text(struct arena *arena, const struct sql_table *table, const char *column)
{
	return column == NULL
	           ? "NULL"
	           : arena_format(arena, "%s%s%s", table->dialect->as_text,
	                 sql_quote(arena, table, column),
	                 table->dialect->as_text_end);
}

/* " AND …": its time has come. Without a column of its own, a retry waits by
 * its lease. */
const char *
sql_due(struct arena *arena, const struct sql_table *table)
{
	const char *at = table->layout.run_at != NULL ? table->layout.run_at
	                                              : table->layout.lease;

	if (at == NULL)
		return "";
	const char *column = sql_quote(arena, table, at);

	return arena_format(arena, " AND (%s IS NULL OR %s<=%s)", column,
	    column, sql_now(arena, table, at));
}

const char *
sql_later(struct arena *arena, const struct sql_table *table,
    const char *column, int64_t in_ms)
{
	const char *now = sql_now(arena, table, column);

	if (time_type(table, column) == TIME_NUMBER)
		return arena_format(arena, "%s+%" PRId64, now,
		    in_ms / unit_ms(table) + (in_ms % unit_ms(table) != 0));
	return arena_format(arena, "(%s%s%" PRId64 "%s)", now,
	    table->dialect->plus, in_ms, table->dialect->plus_end);
}

bool
sql_is_bytes(const struct sql_column *column)
{
	static const char *const types[] = {"blob", "binary", "bytea", "image"};

	for (size_t i = 0; column != NULL && i < ARRAY_LEN(types); i++) {
		if (strstr(column->type, types[i]) != NULL)
			return true;
	}
	return false;
}

static int
nibble(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

const char *
sql_unhex(struct arena *arena, const char *digits, size_t *ret_len)
{
	size_t len = strlen(digits) / 2;
	char *bytes = arena_alloc(arena, len + 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(nibble(digits[2 * i]) * 16 +
		                  nibble(digits[2 * i + 1]));
	bytes[len] = '\0';
	*ret_len = len;
	return bytes;
}
