/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/near.h"
#include "probes/queue/postgres_library.h"

enum {
	LOOK_MS = 2000,  /* for one look */
	OTHER_MAX = 1001 /* jobs of another queue that are counted */
};

/* Within a transaction: whether the layout's tables are there at all. */
static int
look_for_layout(
    struct queue *queue, struct arena *arena, bool *ret_there, struct err *err)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = arena};

	*ret_there = pg->claimable;
	if (pg->claimable)
		return 0;
	(void)pg_bind(&sql, arena_format(arena, "%s.%s", pg->schema,
	                        table_quote(arena, pg->library->anchor)));
	if (pg_library_ask(queue, "SELECT to_regclass($1) IS NOT NULL", &sql,
	        &rows, err) == -1)
		return -1;
	pg->claimable = text_equal(PQgetvalue(rows, 0, 0), "t");
	*ret_there = pg->claimable;
	return 0;
}

static int
look_for_queue(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);

	if (pg_library_ask(queue, pg->library->known, &sql, &rows, err) == -1)
		return -1;
	if (PQntuples(rows) > 0)
		ret->exists = EXISTS_YES;
	else
		ret->exists =
		    pg->library->closed ? EXISTS_NO : EXISTS_EMPTY_OR_NOT;
	return 0;
}

static const char *
oldest_text(struct arena *arena, const struct pg_library *library)
{
	if (library->oldest != NULL)
		return library->oldest;
	return arena_format(arena, "SELECT %s %s ORDER BY %s LIMIT 1",
	    library->since, library->rows[PG_WAITING], library->since);
}

static struct pg_figures
figures_of(struct arena *arena, const struct pg_queue *pg, int64_t count_to)
{
	const struct pg_library *library = pg->library;
	struct pg_figures figures = {.hint = "an index of its own",
	    .cost_max = pg->layout.cost_max,
	    .count_to = count_to};

	for (int i = 0; i < PG_COUNTS; i++)
		figures.text[i] = library->rows[i];
	figures.text[PG_OLDEST] = arena_format(arena,
	    "SELECT CASE WHEN isfinite(t) THEN (extract(epoch FROM t)*1000)"
	    "::bigint END FROM (%s) o(t)",
	    oldest_text(arena, library));
	figures.text[PG_HEAD] =
	    arena_format(arena, "SELECT (%s)::text %s ORDER BY %s LIMIT 1",
	        library->id, library->rows[PG_WAITING], library->since);
	if (library->attempts != NULL)
		figures.text[PG_ATTEMPTS] = arena_format(arena,
		    "SELECT coalesce(max(n),0) FROM (SELECT %s AS n %s LIMIT "
		    "%d) a",
		    library->attempts, library->live, PG_SAMPLE);
	else
		figures.why[PG_ATTEMPTS] = arena_format(
		    arena, "%s keeps no count of attempts", library->name);
	figures.text[PG_PAUSED] = library->paused;
	figures.text[PG_BACKS_OFF] = library->backs_off;
	for (int i = 0; i < PG_FIGURES; i++) {
		if (figures.text[i] != NULL)
			figures.text[i] =
			    pg_library_text(arena, pg, figures.text[i]);
	}
	return figures;
}

static void
read_consumers(struct queue *queue, struct arena *arena, const PGresult *rows,
    struct queue_state *ret)
{
	const struct pg_library *library =
	    ((const struct pg_queue *)queue->state)->library;
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	int64_t surely = 0;
	int64_t perhaps = 0;

	for (int i = 0; i < PQntuples(rows); i++) {
		bool sure = text_equal(PQgetvalue(rows, i, 3), "t");

		surely += sure ? 1 : 0;
		perhaps += sure ? 0 : 1;
		if (ret->nwho == QUEUE_WHO_MAX)
			continue;
		who[ret->nwho++] = (struct queue_consumer){
		    .id = arena_text(arena, PQgetvalue(rows, i, 0)),
		    .address = arena_text(arena, PQgetvalue(rows, i, 1)),
		    .reads = arena_text(arena, PQgetvalue(rows, i, 2)),
		    .worker = "",
		    .pid = -1,
		    .proof = PROOF_CONNECTED | (sure ? PROOF_HEARTBEAT : 0u)};
	}
	pg_match_pids(arena, who, ret->nwho);
	ret->who = who;
	if (surely > 0)
		ret->consumers = (struct queue_number){.value = surely,
		    .know = perhaps > 0 || !library->roll ? KNOW_AT_LEAST
		                                          : KNOW_EXACT};
	else if (perhaps == 0 && library->roll)
		ret->consumers = queue_exact(0);
	else
		ret->consumers = queue_unknown(library->why_consumers);
}

/* The last of the transaction: what it is refused says why it isn't known. */
static void
look_for_consumers(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);
	struct err err = ERR_INIT;

	if (pg->library->consumers == NULL)
		ret->consumers = queue_unknown(pg->library->why_consumers);
	else if (pg_library_ask(
	             queue, pg->library->consumers, &sql, &rows, &err) == -1)
		ret->consumers = queue_unknown(arena_text(arena, err.text));
	else
		read_consumers(queue, arena, rows, ret);
}

static int
observe_within(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct pg_queue *pg = queue->state;
	struct pg_sql sql = pg_library_bind(arena, queue);
	bool there = false;
	bool ended = false;

	if (look_for_layout(queue, arena, &there, err) == -1)
		return -1;
	ret->exists = EXISTS_NO;
	if (!there) {
		ret->amiss = arena_format(arena,
		    "there is no '%s': schema '%s' has no table '%s' of %s, "
		    "whose migrations make it",
		    queue->name, pg->layout.schema, pg->library->anchor,
		    pg->library->name);
		return 0;
	}
	if (look_for_queue(queue, arena, ret, err) == -1)
		return -1;
	if (ret->exists == EXISTS_NO)
		return 0;
	struct pg_figures figures = figures_of(arena, pg, queue->spec.count_to);

	if (pg_count(&pg->session, &figures, &sql, ret, &ended, err) == -1)
		return pg_library_refused(queue, err);
	if (ret->backs_off.is != HOLDS_UNKNOWN)
		ret->backs_off.why =
		    pg->library->why_backs_off[ret->backs_off.is == HOLDS_YES];
	if (ended)
		ret->consumers = queue_unknown("the server's time was over");
	else
		look_for_consumers(queue, arena, ret);
	return 0;
}

int
pg_library_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	pg_server(queue, arena, ret);
	if (pg_begin(queue, LOOK_MS, err) == -1)
		return -1;
	int rc = observe_within(queue, arena, ret, err);

	pg_end(queue, false);
	return rc;
}

static const char schemas_sql[] =
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON "
    "n.oid=c.relnamespace WHERE c.relname=$1 AND c.relkind IN ('r','p','v') "
    "AND n.nspname NOT IN ('pg_catalog','information_schema') ORDER BY "
    "n.nspname=$2 DESC, n.nspname LIMIT 16";

/* What waits in another queue of the schema in hand, by a statement that ends
 * soon: where that is too short it stays unknown. PGMQ's tables are one
 * queue's. */
static struct queue_number
count_other(struct queue *queue, struct arena *arena, const char *name)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = arena};
	int64_t count = 0;
	struct queue_number ret = queue_unknown("not counted");

	(void)pg_bind(&sql, name);
	if (pg->archive != NULL ||
	    postgres_run(&pg->session,
	        "SAVEPOINT other; SET LOCAL statement_timeout=300", NULL) == -1)
		return ret;
	if (pg_library_ask(queue,
	        arena_format(arena,
	            "SELECT count(*) FROM (SELECT 1 %s LIMIT %d) w",
	            pg->library->rows[PG_WAITING], OTHER_MAX),
	        &sql, &rows, NULL) == 0 &&
	    text_i64(PQgetvalue(rows, 0, 0), 0, INT64_MAX, &count, NULL) == 0)
		ret = queue_counted(count, OTHER_MAX);
	if (!pg->session.trouble.lost)
		(void)!postgres_run(
		    &pg->session, "ROLLBACK TO SAVEPOINT other", NULL);
	return ret;
}

/* The queues of one schema of the database that the session is in. */
static int
offer_queues(struct queue *queue, struct near *near, const char *schema,
    const char *where, struct err *err)
{
	struct pg_queue *pg = queue->state;
	const char *own = pg->schema;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = near->arena};

	pg->schema = table_quote(near->arena, schema);
	int rc = pg_library_ask(queue, pg->library->queues, &sql, &rows, err);

	for (int i = 0; rc == 0 && i < PQntuples(rows); i++)
		near_offer(near, PQgetvalue(rows, i, 0), where, "queue");
	for (size_t i = 0; rc == 0 && i < near->count; i++)
		if (text_equal(near->found[i].where, where))
			near->found[i].waiting = count_other(
			    queue, near->arena, near->found[i].name);
	pg->schema = own;
	return rc;
}

/* Those of every schema that has the layout, our own first; `database` is ""
 * for our own. Another's that only looks like it is passed over. */
static int
offer_schemas(struct queue *queue, struct near *near, const char *database,
    struct err *err)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = near->arena};
	int rc = 0;

	(void)pg_bind(&sql, pg->library->anchor);
	(void)pg_bind(&sql, pg->layout.schema);
	if (pg_library_ask(queue, schemas_sql, &sql, &rows, err) == -1)
		return -1;
	for (int i = 0; rc == 0 && i < PQntuples(rows); i++) {
		const char *schema = PQgetvalue(rows, i, 0);
		bool ours = text_equal(schema, pg->layout.schema);
		const char *where = arena_format(near->arena, "%s%s%s%s",
		    database, ours || database[0] == '\0' ? "" : " ",
		    ours ? "" : "schema ", ours ? "" : schema);

		if (postgres_run(&pg->session, "SAVEPOINT schema", err) == -1)
			return pg_failed(queue, err);
		rc = offer_queues(queue, near, schema, where, err);
		if (rc == -1 && where[0] != '\0' && !pg->session.trouble.lost)
			rc = postgres_run(
			    &pg->session, "ROLLBACK TO SAVEPOINT schema", err);
	}
	return rc;
}

static void
offer_beside(struct queue *queue, const char *database, void *arg)
{
	struct near *near = arg;
	struct err ignored = ERR_INIT;

	/* what can't be read there isn't offered */
	(void)!offer_schemas(queue, near,
	    arena_format(near->arena, "database %s", database), &ignored);
}

int
pg_library_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	struct near near;

	near_init(&near, arena, queue->name);
	if (pg_begin(queue, LOOK_MS, err) == -1)
		return -1;
	int rc = offer_schemas(queue, &near, "", err);

	pg_end(queue, false);
	if (rc == -1)
		return -1;
	if (state->exists != EXISTS_YES && !near_has_name(&near))
		pg_each_database(queue, offer_beside, &near);
	near_finish(&near, state);
	return 0;
}
