/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/owner.h"
#include "probes/queue/sqlite.h"

/* Who holds leases, and the end of those whose process is over: the next claim
 * of any worker takes such a job back (sqlite_claim.c), its attempts counted
 * on. */

/* Rows that are held by somebody. */
static const char *
held_sql(struct arena *arena, const struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;

	return arena_format(arena,
	    "%s AND %s IN %s AND %s>=:now AND %s IS NOT NULL", sqlite->scope,
	    sqlite->status, sqlite->active,
	    sqlite_ms(arena, sqlite, table_quote(arena, layout->lease)),
	    table_quote(arena, layout->owner));
}

void
sqlite_holders(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	const char **owners =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*owners));
	CLEANUP(sqlite_statement_free) sqlite3_stmt *row = NULL;
	struct err err = ERR_INIT;
	size_t count = 0;

	if (layout->owner == NULL || layout->lease == NULL ||
	    sqlite_prepare(queue,
	        arena_format(arena,
	            "SELECT DISTINCT CAST(%s AS TEXT) FROM %s WHERE %s LIMIT "
	            "%d",
	            table_quote(arena, layout->owner), sqlite->table,
	            held_sql(arena, sqlite), (int)QUEUE_WHO_MAX),
	        &row, &err) == -1)
		return;
	sqlite_bind(queue, row, &bound);
	while (sqlite3_step(row) == SQLITE_ROW && count < QUEUE_WHO_MAX)
		owners[count++] = arena_text(
		    arena, (const char *)sqlite3_column_text(row, 0));
	queue_mark_holders(arena, ret, owners, count);
}

/* The rows are listed first: no statement reads while another writes. */
struct held {
	const char *id, *owner;
};

static int
list_dead(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct held *held, size_t *ret_count, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *row = NULL;
	int step;

	if (sqlite_prepare(queue,
	        arena_format(arena,
	            "SELECT CAST(%s AS TEXT),CAST(%s AS TEXT) FROM %s WHERE %s "
	            "LIMIT %d",
	            sqlite->id, table_quote(arena, layout->owner),
	            sqlite->table, held_sql(arena, sqlite),
	            (int)QUEUE_REAP_MAX),
	        &row, err) == -1)
		return -1;
	sqlite_bind(queue, row, &bound);
	while ((step = sqlite3_step(row)) == SQLITE_ROW &&
	       *ret_count < QUEUE_REAP_MAX) {
		const char *id = (const char *)sqlite3_column_text(row, 0);
		const char *owner = (const char *)sqlite3_column_text(row, 1);

		if (id != NULL && owner != NULL &&
		    queue_reap_is_due(reap, owner))
			held[(*ret_count)++] = (struct held){
			    arena_text(arena, id), arena_text(arena, owner)};
	}
	return step == SQLITE_ROW || step == SQLITE_DONE
	           ? 0
	           : sqlite_failed(queue, "look at the leases of", err);
}

/* Only while the dead one still holds it. */
static int
end_lease(struct queue *queue, sqlite3_stmt *update, const struct held *held,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	int64_t now_ms = clock_wall_ms();
	struct sqlite_bound bound = {
	    .now_ms = now_ms, .until_ms = now_ms - 1, .id = held->id};

	sqlite_bind(queue, update, &bound);
	(void)sqlite3_bind_text(update,
	    sqlite3_bind_parameter_index(update, ":dead_owner"), held->owner,
	    -1, SQLITE_TRANSIENT);
	int step = sqlite3_step(update);
	int changes = sqlite3_changes(sqlite->db);

	(void)sqlite3_reset(update);
	if (step != SQLITE_DONE)
		return sqlite_failed(queue, "end a lease in", err);
	if (changes > 0)
		queue_reaped_add(ret, arena, held->id, held->owner);
	return 0;
}

int
sqlite_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct held *held = arena_array(arena, QUEUE_REAP_MAX, sizeof(*held));
	CLEANUP(sqlite_statement_free) sqlite3_stmt *update = NULL;
	size_t count = 0;

	if (table_layout_owned(queue, layout, err) == -1 ||
	    sqlite_need(queue, err) == -1 ||
	    list_dead(queue, reap, arena, held, &count, err) == -1)
		return -1;
	if (count == 0) /* nothing to write: no lock is taken */
		return 0;
	if (sqlite_prepare(queue,
	        arena_format(arena,
	            "UPDATE %s SET %s=%s WHERE %s=:id AND %s=:dead_owner AND %s",
	            sqlite->table, table_quote(arena, layout->lease),
	            sqlite_time(arena, sqlite, ":until"), sqlite->id,
	            table_quote(arena, layout->owner), held_sql(arena, sqlite)),
	        &update, err) == -1)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (end_lease(queue, update, &held[i], arena, ret, err) == -1)
			return -1;
	return 0;
}
