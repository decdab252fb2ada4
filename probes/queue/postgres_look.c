/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/processes.h"
#include "probes/queue/near.h"
#include "probes/queue/postgres.h"

enum {
	CAP = 10001,     /* where counting on is too expensive */
	CAPPED_MS = 500, /* for one capped count */
	COUNT_MS = 2000, /* for one count that the planner called cheap */
};

/* --- costs -----------------------------------------------------------------
 */

/* What the planner thinks a query costs; -1 unknown. */
static double
cost_of(struct queue *queue, const char *text, const struct pg_sql *sql)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (pg_do(queue, COUNT_MS,
	        arena_format(sql->arena, "EXPLAIN (FORMAT JSON) %s", text), sql,
	        &rows, NULL) == -1 ||
	    PQntuples(rows) < 1)
		return -1;
	const char *plan = PQgetvalue(rows, 0, 0);
	CLEANUP(json_free) cJSON *json = json_read(plan, strlen(plan), NULL);
	const cJSON *top = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetArrayItem(json, 0), "Plan");
	const cJSON *cost = cJSON_GetObjectItemCaseSensitive(top, "Total Cost");

	return cJSON_IsNumber(cost) ? cost->valuedouble : -1;
}

static bool
affordable(struct queue *queue, const char *text, const struct pg_sql *sql,
    double *ret_cost)
{
	const struct pg_queue *pg = queue->state;

	*ret_cost = cost_of(queue, text, sql);
	return *ret_cost >= 0 && *ret_cost <= (double)pg->layout.cost_max;
}

static const char *
too_expensive(struct arena *arena, const struct pg_queue *pg, double cost)
{
	return arena_format(arena,
	    "counting costs %.0f by the planner, more than %" PRId64
	    ": an index on %s would make it known",
	    cost, pg->layout.cost_max, pg->layout.status);
}

/* --- reading numbers -------------------------------------------------------
 */

static struct queue_number
number_at(struct arena *arena, const PGresult *rows, int column)
{
	int64_t value = 0;

	(void)arena;
	if (PQgetisnull(rows, 0, column) != 0)
		return queue_unknown("no such row");
	if (text_i64(PQgetvalue(rows, 0, column), INT64_MIN, INT64_MAX, &value,
	        NULL) == -1)
		return queue_unknown("the server didn't answer with a number");
	return queue_exact(value);
}

/* Counts at most CAP rows, under a short timeout of the server. */
static struct queue_number
capped(struct queue *queue, struct arena *arena,
    const struct table_words *words, bool ready)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct err err = ERR_INIT;
	const char *condition;

	if (words->count == 0)
		return queue_inapplicable();
	if (ready) {
		condition = pg_ready(&sql, pg);
	} else {
		condition = pg_scope(&sql, pg);
		condition = arena_format(arena, "%s AND %s", condition,
		    pg_in(&sql, pg, words, NULL));
	}
	if (pg_do(queue, CAPPED_MS,
	        arena_format(arena,
	            "SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %d) "
	            "s",
	            pg->table, condition, CAP),
	        &sql, &rows, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	struct queue_number number = number_at(arena, rows, 0);

	if (number.know == KNOW_EXACT && number.value >= CAP)
		number.know = KNOW_AT_LEAST;
	return number;
}

/* Rows that are done: all of the table but a few. Counted where it is cheap,
 * else from the planner's statistics. */
static struct queue_number
completed(struct queue *queue, struct arena *arena)
{
	const struct pg_queue *pg = queue->state;
	const struct table_layout *layout = &pg->layout;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct err err = ERR_INIT;
	double cost = 0;

	if (layout->done.count == 0)
		return queue_inapplicable();
	const char *scope = pg_scope(&sql, pg);
	const char *text =
	    arena_format(arena, "SELECT count(*) FROM %s WHERE %s AND %s",
	        pg->table, scope, pg_in(&sql, pg, &layout->done, NULL));

	if (affordable(queue, text, &sql, &cost) &&
	    pg_do(queue, COUNT_MS, text, &sql, &rows, &err) == 0)
		return number_at(arena, rows, 0);
	if (layout->queue_column != NULL || layout->where != NULL)
		return queue_unknown(too_expensive(arena, pg, cost));
	struct pg_sql stats = {.arena = arena};
	const char *table = pg_bind(&stats, pg->table);
	const char *status = pg_bind(&stats, layout->status);
	const char *word = pg_bind(&stats, layout->done.word[0]);

	if (pg_do(queue, COUNT_MS,
	        arena_format(arena,
	            "SELECT (c.reltuples*s.most_common_freqs[array_position("
	            "s.most_common_vals::text::text[],%s)])::bigint "
	            "FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace "
	            "JOIN pg_stats s ON s.schemaname=n.nspname AND "
	            "s.tablename=c.relname AND s.attname=%s "
	            "WHERE c.oid=to_regclass(%s)",
	            word, status, table),
	        &stats, &rows, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	if (PQntuples(rows) < 1 || PQgetisnull(rows, 0, 0) != 0)
		return queue_unknown(too_expensive(arena, pg, cost));
	struct queue_number number = number_at(arena, rows, 0);

	if (number.know == KNOW_EXACT)
		number.know = KNOW_ESTIMATE;
	return number;
}

/* --- live rows -------------------------------------------------------------
 */

static const char *
filtered(struct arena *arena, const char *what, const char *condition)
{
	return arena_format(arena, ",%s FILTER (WHERE %s)", what, condition);
}

/* What one pass over the live rows gives; columns in the order of
 * read_live(). */
static const char *
live_sql(struct pg_sql *sql, const struct pg_queue *pg)
{
	const struct table_layout *layout = &pg->layout;
	struct arena *arena = sql->arena;
	const char *active = pg_in(sql, pg, &layout->active, NULL);
	const char *ready = pg_ready(sql, pg);
	const char *columns =
	    "(extract(epoch FROM clock_timestamp())*1000)::bigint";

	columns = arena_format(arena, "%s%s%s", columns,
	    filtered(arena, "count(*)", ready),
	    filtered(arena, "count(*)", active));
	if (layout->run_at != NULL)
		columns = arena_format(arena, "%s%s", columns,
		    filtered(arena, "count(*)",
		        arena_format(arena, "%s AND %s>%s",
		            pg_in(sql, pg, &layout->waiting, NULL),
		            table_quote(arena, layout->run_at),
		            pg_now(arena, pg, layout->run_at))));
	else
		columns = arena_format(arena, "%s,NULL", columns);
	if (layout->lease != NULL) {
		const char *lease = table_quote(arena, layout->lease);

		columns = arena_format(arena, "%s%s%s", columns,
		    filtered(arena, "count(*)",
		        arena_format(arena, "%s AND %s<%s", active, lease,
		            pg_now(arena, pg, layout->lease))),
		    filtered(arena, "count(*)",
		        arena_format(
		            arena, "%s AND %s IS NULL", active, lease)));
	} else {
		columns = arena_format(arena, "%s,NULL,NULL", columns);
	}
	columns = arena_format(arena, "%s,%s", columns,
	    layout->attempts != NULL
	        ? arena_format(arena, "coalesce(max(%s),0)",
	              table_quote(arena, layout->attempts))
	        : "NULL");
	if (layout->created != NULL)
		columns = arena_format(arena, "%s%s", columns,
		    filtered(arena,
		        arena_format(arena, "min(%s)",
		            pg_ms(arena, pg, layout->created)),
		        ready));
	else
		columns = arena_format(arena, "%s,NULL", columns);
	const char *scope = pg_scope(sql, pg);

	return arena_format(arena, "SELECT %s FROM %s WHERE %s AND %s", columns,
	    pg->table, scope,
	    pg_in(sql, pg, &layout->waiting, &layout->active));
}

static void
read_live(const struct pg_queue *pg, struct arena *arena, const PGresult *rows,
    struct queue_state *ret)
{
	const struct table_layout *layout = &pg->layout;
	struct queue_number as_of = number_at(arena, rows, 0);
	struct queue_number created = number_at(arena, rows, 7);

	ret->as_of_wall_ms = as_of.value;
	ret->waiting = number_at(arena, rows, 1);
	ret->active = number_at(arena, rows, 2);
	ret->delayed = layout->run_at != NULL ? number_at(arena, rows, 3)
	                                      : queue_inapplicable();
	ret->lease_expired = layout->lease != NULL
	                         ? number_at(arena, rows, 4)
	                         : queue_unknown("no column for 'lease'");
	ret->lease_missing = layout->lease != NULL
	                         ? number_at(arena, rows, 5)
	                         : queue_unknown("no column for 'lease'");
	ret->attempts_max = layout->attempts != NULL
	                        ? number_at(arena, rows, 6)
	                        : queue_unknown("no column for 'attempts'");
	if (layout->created == NULL)
		ret->oldest_ms = queue_unknown("no column for 'created'");
	else if (ret->waiting.value == 0)
		ret->oldest_ms = queue_unknown("nothing waits");
	else if (created.know == KNOW_EXACT)
		ret->oldest_ms =
		    queue_exact(MAX(as_of.value - created.value, 0));
	else
		ret->oldest_ms = created;
}

/* Too many to be counted: what a capped count can still tell. */
static void
live_capped(struct queue *queue, struct arena *arena, double cost,
    struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	const char *why = cost >= 0 ? too_expensive(arena, pg, cost)
	                            : "the planner gave no cost";

	ret->as_of_wall_ms = clock_wall_ms();
	ret->waiting = capped(queue, arena, &pg->layout.waiting, true);
	ret->active = capped(queue, arena, &pg->layout.active, false);
	ret->delayed = queue_unknown(why);
	ret->lease_expired = queue_unknown(why);
	ret->lease_missing = queue_unknown(why);
	ret->attempts_max = queue_unknown(why);
	ret->oldest_ms = queue_unknown(why);
}

static void
look_at_head(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *text =
	    arena_format(arena, "SELECT %s::text FROM %s WHERE %s %s LIMIT 1",
	        table_quote(arena, pg->layout.id), pg->table,
	        pg_ready(&sql, pg), pg_order(arena, pg));

	if (pg_do(queue, COUNT_MS, text, &sql, &rows, NULL) == 0 &&
	    PQntuples(rows) > 0)
		ret->head = arena_text(arena, PQgetvalue(rows, 0, 0));
}

static int
look_at_live(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *text = live_sql(&sql, pg);
	double cost = 0;

	if (!affordable(queue, text, &sql, &cost)) {
		/* no plan at all: the statement says why it can't be */
		if (cost < 0 &&
		    pg_do(queue, COUNT_MS, text, &sql, &rows, err) == -1)
			return -1;
		live_capped(queue, arena, cost, ret);
		return 0;
	}
	if (pg_do(queue, COUNT_MS, text, &sql, &rows, err) == -1) {
		if (queue->cause != CAUSE_DEADLINE &&
		    !text_equal(queue->code, "57014"))
			return -1;
		live_capped(queue, arena, cost, ret);
		return 0;
	}
	read_live(pg, arena, rows, ret);
	look_at_head(queue, arena, ret);
	return 0;
}

/* --- who -------------------------------------------------------------------
 */

static const char sessions_sql[] =
    "SELECT a.application_name, coalesce(host(a.client_addr)||':'||"
    "a.client_port,''), a.pid, EXISTS (SELECT 1 FROM pg_locks l WHERE "
    "l.pid=a.pid AND l.relation=to_regclass($1) AND l.mode LIKE 'Row%Lock') "
    "FROM pg_stat_activity a WHERE a.datname=current_database() AND "
    "a.pid<>pg_backend_pid() AND a.backend_type='client backend' "
    "ORDER BY a.application_name LIKE 'reeve:%' DESC, a.backend_start LIMIT 256";

enum {
	APPLICATION_NAME_MAX = 63 /* bytes; the server cuts the rest */
};

static bool
is_reader(const char *prefix, const char *name)
{
	size_t len = MIN(strlen(prefix), (size_t)APPLICATION_NAME_MAX);

	return strncmp(prefix, name, len) == 0;
}

static struct queue_consumer
session_at(struct arena *arena, const PGresult *rows, int row)
{
	const char *name = PQgetvalue(rows, row, 0);
	const char *bar =
	    text_starts(name, "reeve:") ? strchr(name, '|') : NULL;
	struct queue_consumer who = {
	    .address = arena_text(arena, PQgetvalue(rows, row, 1)),
	    .reads = "",
	    .worker = "",
	    .pid = -1,
	    .proof = PROOF_CONNECTED};

	if (text_equal(PQgetvalue(rows, row, 3), "t"))
		who.proof |= PROOF_HOLDS_LEASE;
	if (bar == NULL) {
		who.id = arena_format(
		    arena, "session %s %s", PQgetvalue(rows, row, 2), name);
		return who;
	}
	const char *colon = strrchr(bar, ':');

	who.id = arena_text(arena, bar + 1);
	who.reads = arena_format(arena, "%.*s",
	    (int)(bar - name - (ptrdiff_t)strlen("reeve:")),
	    name + strlen("reeve:"));
	if (colon != NULL && strchr(bar, '/') != NULL)
		who.worker = arena_format(
		    arena, "%.*s", (int)(colon - bar - 1), bar + 1);
	return who;
}

static void
match_pids(struct arena *arena, struct queue_consumer *who, size_t count)
{
	struct consumer_match *matches =
	    arena_array(arena, count + 1, sizeof(*matches));
	size_t asked = 0;

	for (size_t i = 0; i < count; i++)
		matches[asked++] = (struct consumer_match){
		    .address = who[i].address, .pid = -1};
	if (processes_match_consumers(matches, asked, arena, NULL) == -1)
		return;
	for (size_t i = 0; i < count; i++) {
		if (matches[i].result == RESULT_PASSED)
			who[i].pid = matches[i].pid;
	}
}

void
pg_consumers(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct err err = ERR_INIT;
	const char *prefix = pg_client_prefix(arena, queue);
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	int64_t readers = 0;
	int64_t others = 0;

	(void)pg_bind(&sql, pg->table);
	if (pg_do(queue, COUNT_MS, sessions_sql, &sql, &rows, &err) == -1) {
		ret->consumers = queue_unknown(arena_text(arena, err.text));
		return;
	}
	for (int i = 0; i < PQntuples(rows) && ret->nwho < QUEUE_WHO_MAX; i++) {
		const char *name = PQgetvalue(rows, i, 0);

		if (text_equal(name, "reeve-probe"))
			continue;
		who[ret->nwho++] = session_at(arena, rows, i);
		if (is_reader(prefix, name))
			readers++;
		else if (!text_starts(name, "reeve:"))
			others++;
	}
	match_pids(arena, who, ret->nwho);
	ret->who = who;
	if (readers > 0)
		ret->consumers = (struct queue_number){.value = readers,
		    .know = others > 0 ? KNOW_AT_LEAST : KNOW_EXACT};
	else if (others == 0)
		ret->consumers = queue_exact(0);
	else
		ret->consumers = queue_unknown(arena_format(arena,
		    "%" PRId64 " other sessions of this database may read the "
		    "table: PostgreSQL doesn't show which",
		    others));
}

/* --- the whole -------------------------------------------------------------
 */

static void
look_at_server(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *version =
	    PQparameterStatus(pg->session.db, "server_version");

	ret->engine = arena_format(
	    arena, "postgresql %s", version != NULL ? version : "");
	/* not for everybody: then it stays unknown */
	if (pg_do(queue, COUNT_MS,
	        "SELECT system_identifier::text FROM pg_control_system()", NULL,
	        &rows, NULL) == 0 &&
	    PQntuples(rows) > 0)
		ret->identity = arena_format(arena, "%s/%s",
		    PQgetvalue(rows, 0, 0), PQdb(pg->session.db));
}

int
pg_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	bool there = false;

	if (pg_describe(queue, &there, err) == -1)
		return -1;
	look_at_server(queue, arena, ret);
	ret->as_of_wall_ms = clock_wall_ms();
	ret->exists = there ? EXISTS_YES : EXISTS_NO;
	if (!there)
		return 0;
	if (pg_need(queue, err) == -1 ||
	    look_at_live(queue, arena, ret, err) == -1)
		return -1;
	ret->failed = capped(queue, arena, &pg->layout.failed, false);
	ret->dead = capped(queue, arena, &pg->layout.dead, false);
	ret->completed = completed(queue, arena);
	pg_consumers(queue, arena, ret);
	return 0;
}

/* --- near names ------------------------------------------------------------
 */

static const char tables_sql[] =
    "SELECT c.relname, CASE WHEN n.nspname=$1::text OR ($1::text='' AND "
    "pg_table_is_visible(c.oid)) THEN '' ELSE 'schema '||n.nspname END, CASE c.relkind WHEN 'v' THEN 'view' ELSE "
    "'table' END FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace "
    "WHERE c.relkind IN ('r','p','v','f') AND n.nspname NOT IN "
    "('pg_catalog','information_schema') AND n.nspname NOT LIKE 'pg_toast%' "
    "LIMIT 5000";

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
	double cost = 0;

	if (!affordable(queue, text, &sql, &cost))
		return 0;
	if (pg_do(queue, COUNT_MS, text, &sql, &rows, err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++)
		near_offer(near, PQgetvalue(rows, i, 0), "", "queue");
	return 0;
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

	(void)pg_bind(&sql, pg->layout.schema != NULL ? pg->layout.schema : "");
	near_init(&near, arena, pg->layout.table);
	if (pg_do(queue, COUNT_MS, tables_sql, &sql, &rows, err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++)
		near_offer(&near, PQgetvalue(rows, i, 0),
		    PQgetvalue(rows, i, 1),
		    text_equal(PQgetvalue(rows, i, 2), "view") ? "view"
		                                               : "table");
	near_finish(&near, state);
	return 0;
}
