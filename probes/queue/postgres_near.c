/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/near.h"
#include "probes/queue/postgres.h"

/* Names that exist: tables of every schema, queues of a column, and what is
 * there under the very name in the server's other databases. */

enum {
	NEAR_MS = 2000, /* of one statement */
	OTHER_MS = 300, /* of one that counts another queue */
	OTHER_MAX = 1001,
	BESIDE_MS = 1000,  /* of one other database, its login included */
	DATABASES_MAX = 8, /* that are entered; they are all named */
	DATABASES_NAMED = 100
};

/* --- the server's databases ------------------------------------------------
 */

static const char databases_sql[] =
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate "
    "AND datname<>current_database() AND has_database_privilege(oid,'CONNECT')"
    " ORDER BY datname LIMIT 100";

/* In a session of its own, which takes the handle's place meanwhile: what can't
 * be entered or asked isn't looked at. */
static void
enter(
    struct queue *queue, const char *database, pg_database_fn *look, void *arg)
{
	struct pg_queue *pg = queue->state;
	const struct postgres_session own = pg->session;
	const enum cause cause = queue->cause;
	int64_t deadline_ms = queue->deadline_ms;
	struct err ignored = ERR_INIT;
	struct ladder ladder;

	queue->deadline_ms =
	    MIN(deadline_ms, clock_after(clock_ms(), BESIDE_MS));
	ladder_init(&ladder, &queue->arena, queue->deadline_ms);
	pg->session = (struct postgres_session){.db = NULL};
	if (postgres_connection_beside(
	        queue->spec.url, database, &ladder, &pg->session.db) == 0 &&
	    pg_begin(queue, BESIDE_MS, &ignored) == 0)
		look(queue, database, arg);
	postgres_finish(&pg->session.db);
	pg->session = own;
	queue->deadline_ms = deadline_ms;
	queue->cause = cause;
	queue->code[0] = '\0';
}

void
pg_each_database(struct queue *queue, pg_database_fn *look, void *arg)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct err ignored = ERR_INIT;

	if (pg_do(queue, NEAR_MS, databases_sql, NULL, &rows, &ignored) == -1)
		return;
	for (int i = 0; i < PQntuples(rows) && i < DATABASES_MAX &&
	                queue_remaining_ms(queue) > BESIDE_MS;
	     i++)
		enter(queue, PQgetvalue(rows, i, 0), look, arg);
}

/* Databases that every server has, from where the others can be seen. */
static int
open_any(struct queue *queue, struct postgres_session *session)
{
	static const char *const always[] = {"postgres", "template1"};

	session->deadline_ms =
	    MIN(queue->deadline_ms, clock_after(clock_ms(), BESIDE_MS));
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		struct ladder ladder;

		ladder_init(&ladder, &queue->arena, session->deadline_ms);
		if (postgres_connection_beside(
		        queue->spec.url, always[i], &ladder, &session->db) == 0)
			return 0;
	}
	return -1;
}

/* As libpq reads the URL. */
static const char *
database_of(struct arena *arena, const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const char *name = "";

	for (const PQconninfoOption *o = options;
	     o != NULL && o->keyword != NULL; o++)
		if (text_equal(o->keyword, "dbname") && o->val != NULL)
			name = arena_text(arena, o->val);
	PQconninfoFree(options);
	return name;
}

const char *
pg_databases(struct queue *queue)
{
	struct postgres_session session = {.db = NULL};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *names[DATABASES_NAMED];
	size_t count = 0;
	const char *text = "";

	if (open_any(queue, &session) == 0 &&
	    postgres_query(&session,
	        "SELECT datname FROM pg_database WHERE datallowconn AND NOT "
	        "datistemplate ORDER BY datname LIMIT 100",
	        0, NULL, &rows, NULL) == 0) {
		for (int i = 0; i < PQntuples(rows); i++)
			names[count++] = PQgetvalue(rows, i, 0);
		text = near_text(&queue->arena,
		    database_of(&queue->arena, queue->spec.url), names, count);
	}
	postgres_finish(&session.db);
	return text;
}

/* --- tables ----------------------------------------------------------------
 */

#define TABLES(schema)                                                       \
	"SELECT c.relname, CASE WHEN n.nspname=" schema "::text OR (" schema \
	"::text='' AND pg_table_is_visible(c.oid)) THEN '' ELSE "            \
	"'schema '||n.nspname END, CASE c.relkind WHEN 'v' THEN 'view' "     \
	"ELSE 'table' END FROM pg_class c JOIN pg_namespace n ON "           \
	"n.oid=c.relnamespace WHERE c.relkind IN ('r','p','v','f') AND "     \
	"n.nspname NOT IN ('pg_catalog','information_schema') AND "          \
	"n.nspname NOT LIKE 'pg_toast%' "

/* What waits under another value of the queue's column; unknown where the
 * statement takes too long. */
static struct queue_number
count_other(struct queue *queue, struct arena *arena, const char *name)
{
	struct pg_queue *pg = queue->state;
	const char *own = pg->layout.queue_value;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = arena};
	struct err ignored = ERR_INIT;
	int64_t count = 0;

	pg->layout.queue_value = name;
	const char *text = arena_format(arena,
	    "SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %d) w",
	    pg->table, pg_ready(&sql, pg), OTHER_MAX);

	pg->layout.queue_value = own;
	if (pg_do(queue, OTHER_MS, text, &sql, &rows, &ignored) == -1 ||
	    text_i64(PQgetvalue(rows, 0, 0), 0, INT64_MAX, &count, NULL) == -1)
		return queue_unknown("not counted");
	return queue_counted(count, OTHER_MAX);
}

/* Other values of the queue's column, each by one step in its index. */
static int
offer_queues(struct queue *queue, struct near *near, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = near->arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *column = table_quote(near->arena, pg->layout.queue_column);
	const char *text = arena_format(near->arena,
	    "WITH RECURSIVE q(n) AS ((SELECT min(%s) FROM %s) UNION ALL "
	    "SELECT (SELECT min(%s) FROM %s WHERE %s>q.n) FROM q WHERE q.n IS "
	    "NOT NULL) SELECT n::text FROM q WHERE n IS NOT NULL LIMIT 500",
	    column, pg->table, column, pg->table, column);

	/* without an index each step is a scan: the server's timeout ends it */
	if (pg_do(queue, NEAR_MS, text, &sql, &rows, err) == -1)
		return text_equal(queue->code, "57014") ? 0 : -1;
	for (int i = 0; i < PQntuples(rows); i++)
		near_offer(near, PQgetvalue(rows, i, 0), "", "queue");
	for (size_t i = 0; i < near->count; i++)
		near->found[i].waiting =
		    count_other(queue, near->arena, near->found[i].name);
	return 0;
}

static const char *
schema_of(const struct queue *queue)
{
	const struct pg_queue *pg = queue->state;

	return pg->layout.schema != NULL ? pg->layout.schema : "";
}

static const char *
type_of(const PGresult *rows, int row)
{
	return text_equal(PQgetvalue(rows, row, 2), "view") ? "view" : "table";
}

/* The table of just that name in another database. */
static void
offer_beside(struct queue *queue, const char *database, void *arg)
{
	struct pg_queue *pg = queue->state;
	struct near *near = arg;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = near->arena};

	(void)pg_bind(&sql, schema_of(queue));
	(void)pg_bind(&sql, pg->layout.table);
	if (postgres_query(&pg->session,
	        TABLES("$1") "AND c.relname=$2 LIMIT 8", sql.count, sql.params,
	        &rows, NULL) == -1)
		return;
	for (int i = 0; i < PQntuples(rows); i++) {
		const char *schema = PQgetvalue(rows, i, 1);

		near_offer(near, PQgetvalue(rows, i, 0),
		    arena_format(near->arena, "database %s%s%s", database,
		        schema[0] != '\0' ? " " : "", schema),
		    type_of(rows, i));
	}
}

int
pg_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct near near;

	if (pg->layout.queue_column != NULL && pg->columns != NULL) {
		near_init(&near, arena, pg->layout.queue_value);
		if (offer_queues(queue, &near, err) == -1)
			return -1;
		near_finish(&near, state);
		return 0;
	}
	struct pg_sql sql = {.arena = arena};

	(void)pg_bind(&sql, schema_of(queue));
	near_init(&near, arena, pg->layout.table);
	if (pg_do(queue, NEAR_MS, TABLES("$1") "LIMIT 5000", &sql, &rows,
	        err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++)
		near_offer(&near, PQgetvalue(rows, i, 0),
		    PQgetvalue(rows, i, 1), type_of(rows, i));
	if (state->exists == EXISTS_NO && !near_has_name(&near))
		pg_each_database(queue, offer_beside, &near);
	near_finish(&near, state);
	return 0;
}
