/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/owner.h"
#include "probes/queue/postgres.h"

/* The end of leases whose holder's process is over: the next claim of any
 * worker takes such a job back (postgres_claim.c), its attempts counted on. */

enum {
	LOOK_MS = 2000
};

static const char *
held_sql(struct pg_sql *sql, const struct pg_queue *pg)
{
	const struct table_layout *layout = &pg->layout;

	return arena_format(sql->arena, "%s AND %s AND %s>%s",
	    pg_scope(sql, pg), pg_in(sql, pg, &layout->active, NULL),
	    table_quote(sql->arena, layout->lease),
	    pg_now(sql->arena, pg, layout->lease));
}

/* All that one dead process holds, in one statement. */
static int
end_leases(struct queue *queue, const char *owner, struct arena *arena,
    struct queue_reaped *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *past =
	    pg_later(arena, pg, layout->lease, pg_bind_i64(&sql, -1));
	const char *text = arena_format(arena,
	    "UPDATE %s SET %s=%s WHERE %s AND %s=%s RETURNING %s::text",
	    pg->table, table_quote(arena, layout->lease), past,
	    held_sql(&sql, pg), table_quote(arena, layout->owner),
	    pg_bind_as(&sql, pg, layout->owner, owner),
	    table_quote(arena, layout->id));

	if (pg_do(queue, PG_WRITES, text, &sql, &rows, err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++)
		queue_reaped_add(ret, arena,
		    arena_text(arena, PQgetvalue(rows, i, 0)), owner);
	return 0;
}

int
pg_reap(struct queue *queue, const struct queue_reap *reap, struct arena *arena,
    struct queue_reaped *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (table_layout_owned(queue, layout, err) == -1 ||
	    pg_need(queue, err) == -1)
		return -1;
	const char *owner = table_quote(arena, layout->owner);
	const char *text = arena_format(arena,
	    "SELECT DISTINCT %s::text FROM %s WHERE %s AND %s IS NOT NULL LIMIT "
	    "%d",
	    owner, pg->table, held_sql(&sql, pg), owner, (int)QUEUE_REAP_MAX);

	if (pg_do(queue, LOOK_MS, text, &sql, &rows, err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++) {
		const char *who = PQgetvalue(rows, i, 0);

		if (queue_reap_is_due(reap, who) &&
		    end_leases(
		        queue, arena_text(arena, who), arena, ret, err) == -1)
			return -1;
	}
	return 0;
}
