/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/processes.h"
#include "probes/queue/owner.h"
#include "probes/queue/postgres_count.h"

enum {
	COUNT_MS = 2000, /* for one look */
};

/* --- numbers ---------------------------------------------------------------
 */

static const char *
from(struct arena *arena, const struct pg_queue *pg, const char *scope,
    const char *condition)
{
	return arena_format(
	    arena, "FROM %s WHERE %s AND %s", pg->table, scope, condition);
}

/* Which jobs' leases are over, and which were taken without one. */
static void
lease_figures(struct pg_figures *figures, struct arena *arena,
    const struct pg_queue *pg, const char *active)
{
	const char *column = pg->layout.lease;

	if (column == NULL) {
		figures->why[PG_LEASE_EXPIRED] = "no column for 'lease'";
		figures->why[PG_LEASE_MISSING] = "no column for 'lease'";
		return;
	}
	const char *lease = table_quote(arena, column);

	figures->text[PG_LEASE_EXPIRED] = arena_format(
	    arena, "%s AND %s<%s", active, lease, pg_now(arena, pg, column));
	figures->text[PG_LEASE_MISSING] =
	    arena_format(arena, "%s AND %s IS NULL", active, lease);
	if (pg->layout.owner == NULL)
		return;
	const char *owner = table_quote(arena, pg->layout.owner);

	figures->text[PG_HOLDERS] = arena_format(arena,
	    "SELECT string_agg(o, E'\\n') FROM (SELECT DISTINCT %s::text AS o "
	    "%s AND %s>%s AND %s IS NOT NULL LIMIT %d) h",
	    owner, active, lease, pg_now(arena, pg, column), owner,
	    (int)QUEUE_WHO_MAX);
}

static void
head_figures(struct pg_figures *figures, struct arena *arena,
    const struct pg_queue *pg, const char *ready)
{
	const struct table_layout *layout = &pg->layout;

	figures->text[PG_HEAD] = arena_format(arena,
	    "SELECT %s::text %s %s LIMIT 1", table_quote(arena, layout->id),
	    ready, pg_order(arena, pg, false));
	if (layout->created == NULL)
		figures->why[PG_OLDEST] = "no column for 'created'";
	else
		figures->text[PG_OLDEST] =
		    arena_format(arena, "SELECT %s %s ORDER BY %s LIMIT 1",
		        pg_ms(arena, pg, layout->created), ready,
		        table_quote(arena, layout->created));
}

static struct pg_figures
figures_of(struct pg_sql *sql, const struct pg_queue *pg, int64_t count_to)
{
	const struct table_layout *layout = &pg->layout;
	struct arena *arena = sql->arena;
	/* bound once: every text has the same parameters */
	const char *scope = pg_scope(sql, pg);
	const char *waits = pg_in(sql, pg, &layout->waiting, NULL);
	const char *takes = pg_in(sql, pg, &layout->active, NULL);
	const char *ready = from(arena, pg, scope,
	    arena_format(arena, "%s%s", waits, pg_due(arena, pg)));
	const char *active = from(arena, pg, scope, takes);
	struct pg_figures figures = {
	    .text = {[PG_WAITING] = ready, [PG_ACTIVE] = active},
	    .hint = arena_format(arena, "an index on %s", layout->status),
	    .cost_max = layout->cost_max,
	    .count_to = count_to};
	const struct {
		enum pg_figure figure;
		const struct table_words *words;
	} ends[] = {{PG_FAILED, &layout->failed}, {PG_DEAD, &layout->dead},
	    {PG_COMPLETED, &layout->done}};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (ends[i].words->count > 0)
			figures.text[ends[i].figure] = from(arena, pg, scope,
			    pg_in(sql, pg, ends[i].words, NULL));
	}
	if (layout->run_at != NULL)
		figures.text[PG_DELAYED] = from(arena, pg, scope,
		    arena_format(arena, "%s AND %s>%s", waits,
		        table_quote(arena, layout->run_at),
		        pg_now(arena, pg, layout->run_at)));
	if (layout->attempts == NULL)
		figures.why[PG_ATTEMPTS] = "no column for 'attempts'";
	else
		figures.text[PG_ATTEMPTS] = arena_format(arena,
		    "SELECT coalesce(max(a)::text,'0') FROM (SELECT %s AS a "
		    "FROM %s WHERE %s AND (%s OR %s) LIMIT %d) s",
		    table_quote(arena, layout->attempts), pg->table, scope,
		    waits, takes, PG_SAMPLE);
	lease_figures(&figures, arena, pg, active);
	head_figures(&figures, arena, pg, ready);
	return figures;
}

/* --- who -------------------------------------------------------------------
 */

/* Those of other databases too: a worker that was given the wrong one shows
 * there. */
static const char sessions_sql[] =
    "SELECT a.application_name, coalesce(host(a.client_addr)||':'||"
    "a.client_port,''), a.pid, EXISTS (SELECT 1 FROM pg_locks l WHERE "
    "l.pid=a.pid AND l.relation=to_regclass($1) AND l.mode LIKE 'Row%Lock' "
    "AND a.datname=current_database()), "
    "CASE WHEN a.datname=current_database() THEN '' ELSE a.datname END "
    "FROM pg_stat_activity a WHERE a.datname IS NOT NULL AND "
    "a.pid<>pg_backend_pid() AND a.backend_type='client backend' "
    "ORDER BY a.datname=current_database() DESC, "
    "a.application_name LIKE 'reeve:%' DESC, a.backend_start LIMIT 256";

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
	if (*PQgetvalue(rows, row, 4) != '\0')
		who.where = arena_format(
		    arena, "database %s", PQgetvalue(rows, row, 4));
	if (bar == NULL) {
		who.id = arena_format(
		    arena, "session %s %s", PQgetvalue(rows, row, 2), name);
		return who;
	}
	who.id = arena_text(arena, bar + 1);
	who.reads = arena_format(arena, "%.*s",
	    (int)(bar - name - (ptrdiff_t)strlen("reeve:")),
	    name + strlen("reeve:"));
	who.worker = owner_replica(arena, bar + 1);
	return who;
}

void
pg_match_pids(struct arena *arena, struct queue_consumer *who, size_t count)
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

static void
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
		who[ret->nwho] = session_at(arena, rows, i);
		if (who[ret->nwho++].where != NULL)
			continue;
		if (is_reader(prefix, name))
			readers++;
		else if (!text_starts(name, "reeve:"))
			others++;
	}
	pg_match_pids(arena, who, ret->nwho);
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

/* Servers from 14 on say these by themselves, at login and when they change; a
 * pooler may not pass them on. */
static struct queue_flag
read_only(const PGconn *db)
{
	const char *standby = PQparameterStatus(db, "in_hot_standby");
	const char *setting =
	    PQparameterStatus(db, "default_transaction_read_only");

	if (standby == NULL || setting == NULL)
		return (struct queue_flag){HOLDS_UNKNOWN, NULL};
	if (text_equal(standby, "on"))
		return (struct queue_flag){
		    HOLDS_YES, "it is a standby: in_hot_standby is on"};
	if (text_equal(setting, "on"))
		return (struct queue_flag){
		    HOLDS_YES, "default_transaction_read_only is on"};
	return (struct queue_flag){HOLDS_NO, "a primary"};
}

void
pg_server(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	const char *version =
	    PQparameterStatus(pg->session.db, "server_version");

	ret->engine = arena_format(
	    arena, "postgresql %s", version != NULL ? version : "");
	ret->read_only = read_only(pg->session.db);
	/* not for everybody: then it stays unknown */
	if (pg->identity == NULL) {
		pg->identity = "";
		if (pg_do(queue, COUNT_MS,
		        "SELECT system_identifier::text FROM "
		        "pg_control_system()",
		        NULL, &rows, NULL) == 0 &&
		    PQntuples(rows) > 0)
			pg->identity = arena_format(&queue->arena, "%s/%s",
			    PQgetvalue(rows, 0, 0), PQdb(pg->session.db));
	}
	ret->identity = arena_text(arena, pg->identity);
	ret->as_of_wall_ms = clock_wall_ms();
}

static int
pg_numbers(struct queue *queue, const struct pg_figures *figures,
    const struct pg_sql *bound, struct queue_state *ret, struct err *err)
{
	struct pg_queue *pg = queue->state;
	bool ended = false;

	if (pg_begin(queue, COUNT_MS, err) == -1)
		return -1;
	int rc = pg_count(&pg->session, figures, bound, ret, &ended, err);

	if (rc == -1)
		(void)pg_failed(queue, err);
	pg_end(queue, rc == 0 && !ended);
	return rc;
}

static void
mark_holders(struct arena *arena, struct queue_state *ret)
{
	const char **owners =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*owners));
	const char *line = ret->holders;
	size_t count = 0;

	while (line != NULL && *line != '\0' && count < QUEUE_WHO_MAX) {
		size_t len = strcspn(line, "\n");

		owners[count++] = arena_format(arena, "%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
	queue_mark_holders(arena, ret, owners, count);
}

int
pg_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct pg_queue *pg = queue->state;
	struct pg_sql sql = {.arena = arena};
	bool there = false;

	if (pg_describe(queue, &there, err) == -1)
		return -1;
	pg_server(queue, arena, ret);
	ret->exists = there ? EXISTS_YES : EXISTS_NO;
	if (!there)
		return 0;
	if (pg_need(queue, err) == -1)
		return -1;
	struct pg_figures figures = figures_of(&sql, pg, queue->spec.count_to);

	if (pg_numbers(queue, &figures, &sql, ret, err) == -1)
		return -1;
	pg_consumers(queue, arena, ret);
	mark_holders(arena, ret);
	return 0;
}
