/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/database.h"
#include "probes/postgres_connection.h"

/*
 * Kind "postgres": log in as the worker would, then look, read only, at what is
 * asked for (database.h); or execute one statement (the clean-up of a smoke).
 * Facts of its own:
 *   user, database, server, now (the server's clock), in-recovery, search-path
 *   privileges T      SELECT INSERT …        rls T               on
 *   indexes-invalid T a, b
 */

/* A statement of ours, or the asker's, was refused: that ends the look. */
static int
refused(struct database *db, const char *doing, const struct err *err)
{
	const struct postgres_session *session = db->session;
	const struct postgres_trouble *trouble = &session->trouble;
	bool rls = text_equal(trouble->state, "42501") &&
	           strstr(err->text, "row-level security") != NULL;

	if (rls)
		look_unknown(db->look, CAUSE_PERMISSION, trouble->state,
		    "%s: row-level security hides rows from this role; what "
		    "it would count can't be trusted",
		    doing);
	else if (postgres_is_unknown(trouble))
		look_unknown(db->look, trouble->cause, trouble->state, "%s: %s",
		    doing, err->text);
	else
		look_failed(db->look, trouble->cause, trouble->state, "%s: %s",
		    doing, err->text);
	return -1;
}

static void
copy_rows(struct arena *arena, PGresult *r, struct sql_rows *ret)
{
	size_t rows = (size_t)MIN(PQntuples(r), (int)SQL_ROWS_MAX);
	size_t columns = (size_t)PQnfields(r);
	const char **cell =
	    arena_array(arena, rows * columns + 1, sizeof(*cell));
	const char **name = arena_array(arena, columns + 1, sizeof(*name));
	const char *changed = PQcmdTuples(r);
	int64_t affected = -1;

	for (size_t i = 0; i < columns; i++)
		name[i] = arena_text(arena, PQfname(r, (int)i));
	for (size_t i = 0; i < rows * columns; i++) {
		int row = (int)(i / columns);
		int column = (int)(i % columns);

		if (!PQgetisnull(r, row, column))
			cell[i] = arena_text(arena, PQgetvalue(r, row, column));
	}
	(void)!text_i64(changed, 0, INT64_MAX, &affected, NULL);
	*ret = (struct sql_rows){.cell = cell,
	    .name = name,
	    .rows = rows,
	    .columns = columns,
	    .affected = affected};
}

static int
try(struct database *db, const char *sql, size_t nparams,
    const char *const *params, struct sql_rows *ret, struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;

	if (postgres_query(db->session, sql, (int)nparams, params, &r, err) ==
	    -1)
		return -1;
	copy_rows(db->look->arena, r, ret);
	return 0;
}

static int
begin(struct database *db, bool writes)
{
	struct err err = ERR_INIT;

	if (postgres_begin(db->session, writes, &err) == -1)
		return refused(db, "begin", &err);
	return 0;
}

static void
end(struct database *db)
{
	struct postgres_session *session = db->session;

	if (!session->trouble.lost)
		(void)!postgres_run(session, "ROLLBACK", NULL);
}

static int
commit(struct database *db)
{
	struct err err = ERR_INIT;

	if (postgres_run(db->session, "COMMIT", &err) == -1)
		return refused(db, "commit", &err);
	return 0;
}

static int
who(struct database *db)
{
	static const char *const keys[] = {
	    "user", "database", "server", "now", "in-recovery", "search-path"};
	struct sql_rows rows;

	if (database_ask(db, "who and where",
	        "SELECT current_user, current_database(),"
	        " current_setting('server_version'),"
	        " to_char(clock_timestamp() at time zone"
	        " 'utc','YYYY-MM-DD\"T\"HH24:MI:SS.MSZ'),"
	        " pg_is_in_recovery(),"
	        " coalesce(array_to_string(current_schemas(false),"
	        " ', '), '')",
	        0, NULL, &rows) == -1)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		look_note(db->look, keys[i], "%s", rows.cell[i]);
	return 0;
}

/* Not everybody may ask; then the identity stays unknown. In a transaction of
 * its own, which a refusal ends. */
static void
identity(struct database *db)
{
	struct sql_rows rows;

	if (postgres_begin(db->session, false, NULL) == 0 &&
	    try(db,
	        "SELECT system_identifier::text || ' ' || current_database()"
	        " FROM pg_control_system()",
	        0, NULL, &rows, NULL) == 0)
		db->look->out.identity = rows.cell[0];
	end(db);
}

#define PLAIN_NAME "^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)?$"

/* The table's oid. As it would be written in SQL first, then as an exact name.
 */
static int
relation(struct database *db, const char *name, const char **ret)
{
	const char *params[] = {name};
	struct sql_rows rows;

	if (database_ask(db, "look for a relation",
	        "SELECT coalesce((coalesce(CASE WHEN $1 ~ '" PLAIN_NAME
	        "' THEN to_regclass($1) END, to_regclass(quote_ident($1))))"
	        "::oid::text, '')",
	        1, params, &rows) == -1)
		return -1;
	*ret = rows.cell[0];
	return 0;
}

static int
tables(struct database *db, struct sql_rows *ret)
{
	return database_ask(db, "look for similar tables",
	    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace"
	    " n ON n.oid = c.relnamespace WHERE c.relkind IN"
	    " ('r','p','v','m','f') AND n.nspname NOT IN"
	    " ('pg_catalog','information_schema') AND n.nspname NOT LIKE"
	    " 'pg\\_%' ORDER BY 1, 2 LIMIT 2000",
	    0, NULL, ret);
}

static int
columns(struct database *db, const char *oid, struct sql_rows *ret)
{
	const char *params[] = {oid};

	return database_ask(db, "look at columns",
	    "SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND"
	    " attnum > 0 AND NOT attisdropped",
	    1, params, ret);
}

static int
privileges(struct database *db, const char *name, const char *oid)
{
	struct arena *arena = db->look->arena;
	const char *params[] = {oid};
	struct sql_rows rows;

	if (database_ask(db, "look at privileges",
	        "SELECT concat_ws(' ',"
	        " CASE WHEN has_table_privilege($1::oid,'SELECT') THEN 'SELECT'"
	        " END, CASE WHEN has_table_privilege($1::oid,'INSERT') THEN"
	        " 'INSERT' END,"
	        " CASE WHEN has_table_privilege($1::oid,'UPDATE') THEN 'UPDATE'"
	        " END, CASE WHEN has_table_privilege($1::oid,'DELETE') THEN"
	        " 'DELETE' END),"
	        " (SELECT relrowsecurity FROM pg_class WHERE oid = $1::oid),"
	        " coalesce((SELECT string_agg(c.relname, ', ') FROM pg_index i"
	        " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid ="
	        " $1::oid AND NOT i.indisvalid),'')",
	        1, params, &rows) == -1)
		return -1;
	look_note(db->look, arena_format(arena, "privileges %s", name), "%s",
	    rows.cell[0]);
	if (text_equal(rows.cell[1], "t"))
		look_note(db->look, arena_format(arena, "rls %s", name), "on");
	/* after a failed CREATE INDEX CONCURRENTLY it is listed like a good
	 * one */
	if (rows.cell[2][0] != '\0')
		look_note(db->look,
		    arena_format(arena, "indexes-invalid %s", name), "%s",
		    rows.cell[2]);
	return 0;
}

static int
granted(struct database *db, const char *oid, const char *privilege, bool *ret)
{
	const char *params[] = {oid, privilege};
	struct sql_rows rows;

	if (database_ask(db, "look at privileges",
	        "SELECT has_table_privilege($1::oid, $2)", 2, params,
	        &rows) == -1)
		return -1;
	*ret = text_equal(rows.cell[0], "t");
	return 0;
}

static int
look_at_index(struct database *db, const char *name, enum database_index *ret)
{
	const char *oid = NULL;
	struct sql_rows rows;

	if (relation(db, name, &oid) == -1)
		return -1;
	const char *params[] = {oid[0] == '\0' ? "0" : oid};
	if (database_ask(db, "look at an index",
	        "SELECT indisvalid AND indisready FROM pg_index WHERE"
	        " indexrelid = $1::oid",
	        1, params, &rows) == -1)
		return -1;
	if (rows.rows == 0)
		*ret = DATABASE_INDEX_MISSING;
	else
		*ret = text_equal(rows.cell[0], "t") ? DATABASE_INDEX_VALID
		                                     : DATABASE_INDEX_INVALID;
	return 0;
}

/* The wanted one as text or as a number ("003" is 3). */
static int
migration(struct database *db, const char *oid, const char *column,
    const char *wanted, struct database_migration *ret)
{
	const char *by_oid[] = {oid};
	const char *params[] = {wanted};
	struct sql_rows table;
	struct sql_rows rows;

	if (database_ask(db, "look at the migrations",
	        "SELECT $1::oid::regclass::text", 1, by_oid, &table) == -1)
		return -1;
	const char *sql = arena_format(db->look->arena,
	    "SELECT count(*), (SELECT %s::text FROM %s ORDER BY"
	    " lpad(%s::text, 64, '0') DESC LIMIT 1),"
	    " coalesce(bool_or(%s::text = $1 OR"
	    " ltrim(%s::text,'0') = ltrim($1,'0')), false) FROM %s",
	    column, table.cell[0], column, column, column, table.cell[0]);
	if (database_ask(db, "look at the migrations", sql, 1, params, &rows) ==
	    -1)
		return -1;
	*ret = (struct database_migration){.rows = rows.cell[0],
	    .newest = rows.cell[1],
	    .applied = text_equal(rows.cell[2], "t")};
	return 0;
}

static int
second(struct database *db, struct database *ret)
{
	struct postgres_session *session =
	    arena_alloc(db->look->arena, sizeof(*session));
	struct ladder ladder;
	const char *url = NULL;

	*session = (struct postgres_session){
	    .deadline_ms = db->look->ladder.deadline_ms};
	ret->session = session;
	ladder_init(&ladder, db->look->arena, session->deadline_ms);
	return look_need(db->look, "url", &url) == -1 ||
	               postgres_connection_open(
	                   url, NULL, &ladder, &session->db) == -1
	           ? -1
	           : 0;
}

static void
close_second(struct database *db)
{
	struct postgres_session *session = db->session;

	PQfinish(session->db);
}

static bool
waited(const struct database *db)
{
	const struct postgres_session *session = db->session;

	return text_equal(session->trouble.state, "55P03") ||
	       text_equal(session->trouble.state, "57014");
}

static const struct database_server server = {
    .placeholder = "$",
    .no_table = "42P01",
    .no_column = "42703",
    .no_index = "42704",
    .quote = "\"",
    .begin = begin,
    .commit = commit,
    .end = end,
    .who = who,
    .relation = relation,
    .tables = tables,
    .columns = columns,
    .privileges = privileges,
    .granted = granted,
    .index = look_at_index,
    .migration = migration,
    .second = second,
    .close = close_second,
    .waited = waited,
    .try = try,
    .refused = refused,
};

static void
finish_db(void *db)
{
	PQfinish(db);
}

void
probe_postgres(struct look *look)
{
	struct postgres_session session = {.db = NULL};
	struct database db = {
	    .look = look, .server = &server, .session = &session};
	const char *url = NULL;

	if (look_need(look, "url", &url) == -1)
		return;
	look_url(look, url);
	session.deadline_ms = look->ladder.deadline_ms;
	session.db = look_take(look, "postgres", url);
	if (session.db == NULL && postgres_connection_open(url, NULL,
	                              &look->ladder, &session.db) == -1) {
		look_ladder_failed(look);
		return;
	}
	identity(&db);
	database_look(
	    &db, arena_format(look->arena, "logged in as %s, database %s",
	             PQuser(session.db), PQdb(session.db)));
	if (session.trouble.lost ||
	    PQtransactionStatus(session.db) != PQTRANS_IDLE)
		PQfinish(session.db);
	else
		look_keep(look, "postgres", url, session.db, finish_db);
}
