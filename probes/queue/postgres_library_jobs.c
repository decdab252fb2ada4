/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/postgres_library.h"

/* The rows of a part; NULL: the library has no such part. */
static const char *
part_rows(const struct pg_library *library, enum queue_part part)
{
	switch (part) {
	case PART_WAITING:
	case PART_NEWEST:
		return library->rows[PG_WAITING];
	case PART_ACTIVE:
		return library->rows[PG_ACTIVE];
	case PART_DELAYED:
		return library->rows[PG_DELAYED];
	case PART_DEAD:
		return library->rows[PG_FAILED];
	case PART_EXPIRED:
		return library->rows[PG_LEASE_EXPIRED];
	}
	UNREACHABLE("queue_part");
}

static int
no_such_part(struct queue *queue, const char *what, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	return queue_trouble(queue, CAUSE_URL, "", err, ERR_UNSUPPORTED,
	    "%s has no %s jobs", pg->library->name, what);
}

static const char *
or_null(const char *expression)
{
	return expression != NULL ? expression : "NULL";
}

/* Columns in the order of read_item. */
static const char *
list_sql(struct arena *arena, const struct pg_queue *pg, enum queue_part part,
    size_t limit)
{
	const struct pg_library *library = pg->library;

	return arena_format(arena,
	    "SELECT (%s)::text, left((%s)::text,%d), (%s)::text, "
	    "left(%s,%d), octet_length(%s), CASE WHEN isfinite(%s) THEN "
	    "(extract(epoch FROM now()-%s)*1000)::bigint END, (%s)::text %s "
	    "ORDER BY %s%s LIMIT %zu",
	    library->id, or_null(library->error), QUEUE_PEEK_MAX,
	    or_null(library->owner), library->payload, QUEUE_PEEK_MAX,
	    library->payload, library->since, library->since,
	    or_null(library->attempts), part_rows(library, part),
	    library->since, part == PART_NEWEST ? " DESC" : "", limit);
}

static struct queue_item
read_item(struct arena *arena, const PGresult *rows, int row)
{
	size_t len = (size_t)PQgetlength(rows, row, 3);

	len = MIN(len, (size_t)QUEUE_PEEK_MAX);
	return (struct queue_item){
	    .id = arena_text(arena, PQgetvalue(rows, row, 0)),
	    .error = arena_text(arena, PQgetvalue(rows, row, 1)),
	    .owner = arena_text(arena, PQgetvalue(rows, row, 2)),
	    .payload = arena_bytes(arena, PQgetvalue(rows, row, 3), len),
	    .payload_len = len,
	    .payload_whole = pg_number(rows, row, 4),
	    .age_ms = pg_number(rows, row, 5),
	    .attempts = pg_number(rows, row, 6)};
}

static int
list_within(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	CLEANUP(postgres_result_free) PGresult *total = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);

	if (pg_library_ask(queue, list_sql(arena, pg, part, limit), &sql, &rows,
	        err) == -1 ||
	    pg_library_ask(queue,
	        arena_format(arena,
	            "SELECT count(*) FROM (SELECT 1 %s LIMIT %" PRId64 ") s",
	            part_rows(pg->library, part), queue->spec.count_to),
	        &sql, &total, err) == -1)
		return -1;
	size_t n = (size_t)PQntuples(rows);
	struct queue_item *items = arena_array(arena, n + 1, sizeof(*items));

	for (size_t i = 0; i < n; i++)
		items[i] = read_item(arena, rows, (int)i);
	ret->items = items;
	ret->count = n;
	ret->total =
	    queue_counted(pg_number(total, 0, 0), queue->spec.count_to);
	return 0;
}

int
pg_library_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	if (part_rows(pg->library, part) == NULL)
		return no_such_part(queue, queue_part_name(part), err);
	if (pg_begin(queue, 0, err) == -1)
		return -1;
	int rc = list_within(queue, part, limit, arena, ret, err);

	pg_end(queue, false);
	return rc;
}

/* '{"7","8"}': quotes and backslashes escaped, as an array is written. */
static const char *
array_text(struct arena *arena, const struct queue_move *move)
{
	size_t size = 3;

	for (size_t i = 0; i < move->nids; i++)
		size += 2 * strlen(move->ids[i]) + 3;
	char *text = arena_alloc(arena, size);
	char *at = text;

	*at++ = '{';
	for (size_t i = 0; i < move->nids; i++) {
		if (i > 0)
			*at++ = ',';
		*at++ = '"';
		for (const char *c = move->ids[i]; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				*at++ = '\\';
			*at++ = *c;
		}
		*at++ = '"';
	}
	*at++ = '}';
	*at = '\0';
	return text;
}

int
pg_library_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const char *text = move->from == PART_DEAD      ? pg->library->requeue
	                   : move->from == PART_EXPIRED ? pg->library->reclaim
	                                                : NULL;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));

	if (text == NULL)
		return no_such_part(queue, queue_part_name(move->from), err);
	(void)pg_bind(&sql, array_text(arena, move));
	if (pg_library_change(queue, text, &sql, &rows, err) == -1)
		return -1;
	ret->moved = moved;
	ret->count = (size_t)PQntuples(rows);
	for (int row = 0; row < PQntuples(rows); row++) {
		for (size_t i = 0; i < move->nids; i++) {
			if (text_equal(move->ids[i], PQgetvalue(rows, row, 0)))
				moved[i] = true;
		}
	}
	return 0;
}
