/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "probes/database.h"
#include "probes/mysql_connection.h"

/*
 * Kind "mysql": MySQL and MariaDB, looked at as kind "postgres" looks at
 * PostgreSQL (database.h). Facts of its own: user, database, server, now (the
 * server's clock), in-recovery (it is read only), privileges T. A relation is
 * "schema.table"; an index may be written `table.index`, for its name is unique
 * within its table only. What an account has no right on isn't shown to it: it
 * is missing.
 */

/* A name in two parts; the schema is "" when it isn't said. */
struct parts {
	const char *schema, *name;
};

static struct parts
split(struct arena *arena, const char *text)
{
	const char *dot = strchr(text, '.');

	if (dot == NULL)
		return (struct parts){.schema = "", .name = text};
	return (struct parts){
	    .schema = arena_bytes(arena, text, (size_t)(dot - text)),
	    .name = dot + 1};
}

static int
refused(struct database *db, const char *doing, const struct err *err)
{
	const struct mysql_session *session = db->session;

	if (mysql_session_is_unknown(session))
		look_unknown(db->look, session->cause, session->code, "%s: %s",
		    doing, err->text);
	else
		look_failed(db->look, session->cause, session->code, "%s: %s",
		    doing, err->text);
	return -1;
}

static int
try(struct database *db, const char *sql, size_t nparams,
    const char *const *params, struct sql_rows *ret, struct err *err)
{
	return mysql_session_run(db->session,
	    &(struct mysql_statement){sql, nparams, params}, db->look->arena,
	    ret, err);
}

/* The same, about a table of a schema: "…=? AND …=?". */
static int
ask_about(struct database *db, const char *doing, const char *sql,
    const struct parts *parts, struct sql_rows *ret)
{
	const char *params[] = {parts->schema, parts->name};

	return database_ask(db, doing, sql, ARRAY_LEN(params), params, ret);
}

static int
begin(struct database *db, bool writes)
{
	struct sql_rows none;

	return database_ask(db, "begin",
	    writes ? "START TRANSACTION" : "START TRANSACTION READ ONLY", 0,
	    NULL, &none);
}

static void
end(struct database *db)
{
	const struct mysql_session *session = db->session;
	struct sql_rows none;

	if (!session->lost)
		(void)!try(db, "ROLLBACK", 0, NULL, &none, NULL);
}

static int
commit(struct database *db)
{
	struct sql_rows none;

	return database_ask(db, "commit", "COMMIT", 0, NULL, &none);
}

static int
who(struct database *db)
{
	static const char *const keys[] = {
	    "user", "database", "server", "now", "in-recovery"};
	struct sql_rows rows;

	if (database_ask(db, "who and where",
	        "SELECT CURRENT_USER(),COALESCE(DATABASE(),''),VERSION(),"
	        "DATE_FORMAT(UTC_TIMESTAMP(3),'%Y-%m-%dT%H:%i:%s.%fZ'),"
	        "IF(@@read_only,'t','f')",
	        0, NULL, &rows) == -1)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		look_note(db->look, keys[i], "%s", rows.cell[i]);
	return 0;
}

/* MySQL has a UUID of each server, MariaDB's later versions one of their own;
 * else its name, port and data directory. */
static void
identity(struct database *db)
{
	static const char *const texts[] = {
	    "SELECT CONCAT(@@server_uuid,' ',COALESCE(DATABASE(),''))",
	    "SELECT CONCAT(@@server_uid,' ',COALESCE(DATABASE(),''))",
	    ("SELECT CONCAT(@@hostname,':',@@port,@@datadir,' ',"
	     "COALESCE(DATABASE(),''))")};
	struct sql_rows rows;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (try(db, texts[i], 0, NULL, &rows, NULL) == 0 &&
		    rows.rows > 0 && rows.cell[0] != NULL) {
			db->look->out.identity = rows.cell[0];
			return;
		}
	}
}

static int
relation(struct database *db, const char *name, const char **ret)
{
	struct parts parts = split(db->look->arena, name);
	struct sql_rows rows;

	if (ask_about(db, "look for a table",
	        "SELECT CONCAT(table_schema,'.',table_name) FROM "
	        "information_schema.tables WHERE "
	        "table_schema=COALESCE(NULLIF(?,''),DATABASE()) AND "
	        "table_name=?",
	        &parts, &rows) == -1)
		return -1;
	*ret = rows.rows == 0 ? "" : rows.cell[0];
	return 0;
}

static int
tables(struct database *db, struct sql_rows *ret)
{
	return database_ask(db, "look for similar tables",
	    "SELECT table_schema,table_name FROM information_schema.tables "
	    "WHERE table_schema NOT IN ('mysql','information_schema',"
	    "'performance_schema','sys') ORDER BY 1,2 LIMIT 2000",
	    0, NULL, ret);
}

static int
columns(struct database *db, const char *table, struct sql_rows *ret)
{
	struct parts parts = split(db->look->arena, table);

	return ask_about(db, "look at columns",
	    "SELECT column_name FROM information_schema.columns WHERE "
	    "table_schema=? AND table_name=?",
	    &parts, ret);
}

/* What the account was granted itself, on the server, the schema or the table;
 * a role's grants are not among it. */
static int
privileges_of(struct database *db, const char *table, struct sql_rows *ret)
{
	struct parts parts = split(db->look->arena, table);
	const char *params[] = {parts.schema, parts.schema, parts.name};

	return database_ask(db, "look at privileges",
	    "SELECT DISTINCT privilege_type FROM (SELECT grantee,privilege_type"
	    " FROM information_schema.user_privileges UNION ALL SELECT grantee,"
	    "privilege_type FROM information_schema.schema_privileges WHERE ? "
	    "LIKE table_schema UNION ALL SELECT grantee,privilege_type FROM "
	    "information_schema.table_privileges WHERE table_schema=? AND "
	    "table_name=?) p WHERE grantee=CONCAT('''',REPLACE(CURRENT_USER(),"
	    "'@','''@'''),'''') AND privilege_type IN "
	    "('SELECT','INSERT','UPDATE','DELETE') ORDER BY 1",
	    ARRAY_LEN(params), params, ret);
}

static int
privileges(struct database *db, const char *name, const char *table)
{
	struct arena *arena = db->look->arena;
	const char *list = "";
	struct sql_rows rows;

	if (privileges_of(db, table, &rows) == -1)
		return -1;
	for (size_t i = 0; i < rows.rows; i++)
		list = arena_format(
		    arena, "%s%s%s", list, i > 0 ? " " : "", rows.cell[i]);
	look_note(
	    db->look, arena_format(arena, "privileges %s", name), "%s", list);
	return 0;
}

static int
granted(
    struct database *db, const char *table, const char *privilege, bool *ret)
{
	struct sql_rows rows;

	if (privileges_of(db, table, &rows) == -1)
		return -1;
	*ret = false;
	for (size_t i = 0; i < rows.rows; i++)
		*ret = *ret || text_equal(rows.cell[i], privilege);
	return 0;
}

static int
look_at_index(struct database *db, const char *name, enum database_index *ret)
{
	struct parts parts = split(db->look->arena, name);
	struct sql_rows rows;

	if (ask_about(db, "look at an index",
	        "SELECT 1 FROM information_schema.statistics WHERE "
	        "table_schema=DATABASE() AND table_name LIKE "
	        "COALESCE(NULLIF(?,''),'%') AND index_name=? LIMIT 1",
	        &parts, &rows) == -1)
		return -1;
	*ret = rows.rows > 0 ? DATABASE_INDEX_VALID : DATABASE_INDEX_MISSING;
	return 0;
}

/* The wanted one as text or as a number ("003" is 3). */
static int
migration(struct database *db, const char *table, const char *column,
    const char *wanted, struct database_migration *ret)
{
	struct arena *arena = db->look->arena;
	struct parts parts = split(arena, table);
	const char *from = arena_format(arena, "%s.%s",
	    database_quoted(db, parts.schema), database_quoted(db, parts.name));
	const char *params[] = {wanted, wanted};
	struct sql_rows rows;

	if (database_ask(db, "look at the migrations",
	        arena_format(arena,
	            "SELECT COUNT(*),(SELECT CAST(%s AS CHAR) FROM %s ORDER BY"
	            " LPAD(CAST(%s AS CHAR),64,'0') DESC LIMIT 1),"
	            "COALESCE(MAX(CAST(%s AS CHAR)=? OR TRIM(LEADING '0' FROM "
	            "CAST(%s AS CHAR))=TRIM(LEADING '0' FROM ?)),0) FROM %s",
	            column, from, column, column, column, from),
	        ARRAY_LEN(params), params, &rows) == -1)
		return -1;
	*ret = (struct database_migration){.rows = rows.cell[0],
	    .newest = rows.cell[1],
	    .applied = text_equal(rows.cell[2], "1")};
	return 0;
}

static int
second(struct database *db, struct database *ret)
{
	struct mysql_session *session =
	    arena_alloc(db->look->arena, sizeof(*session));
	struct ladder ladder;
	const char *url = NULL;

	ret->session = session;
	ladder_init(&ladder, db->look->arena, db->look->ladder.deadline_ms);
	return look_need(db->look, "url", &url) == -1 ||
	               mysql_session_open(url, false, &ladder, session) == -1
	           ? -1
	           : 0;
}

static void
close_second(struct database *db)
{
	mysql_session_close(db->session);
}

static bool
waited(const struct database *db)
{
	const struct mysql_session *session = db->session;

	return session->cause == CAUSE_DEADLINE;
}

static const struct database_server server = {
    .placeholder = "?",
    .no_table = "42S02",
    .no_column = "42S22",
    .no_index = "42000",
    .quote = "`",
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
finish(void *kept)
{
	struct mysql_session *session = kept;

	mysql_session_close(session);
	free(session);
}

/* A session that outlives its request: its texts are not the request's. */
static void
keep(struct look *look, const char *url, struct mysql_session *session)
{
	struct mysql_session *kept = malloc(sizeof(*kept));

	if (kept == NULL) {
		mysql_session_close(session);
		return;
	}
	*kept = *session;
	kept->server = kept->where = "";
	look_keep(look, "mysql", url, kept, finish);
}

void
probe_mysql(struct look *look)
{
	struct mysql_session session = {.db = NULL};
	struct database db = {
	    .look = look, .server = &server, .session = &session};
	const char *url = NULL;

	if (look_need(look, "url", &url) == -1)
		return;
	look_url(look, url);
	struct mysql_session *kept = look_take(look, "mysql", url);

	if (kept != NULL) {
		session = *kept;
		free(kept);
	} else if (mysql_session_open(url, false, &look->ladder, &session) ==
	           -1) {
		look_ladder_failed(look);
		return;
	}
	identity(&db);
	database_look(&db, arena_format(look->arena, "logged in, database %s",
	                       session.db->db != NULL ? session.db->db : ""));
	if (session.lost)
		mysql_session_close(&session);
	else
		keep(look, url, &session);
}
