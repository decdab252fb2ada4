/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/mysql_connection.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/sql.h"

/*
 * The table driver on MySQL and MariaDB, by libmariadb. The session's time zone
 * is UTC, so that TIMESTAMP and DATETIME are both compared with
 * UTC_TIMESTAMP().
 */
static const struct sql_dialect dialect = {
    .name = "MySQL",
    .quote = "`",
    .unquote = "`",
    .limit = " LIMIT ",
    .hint = "",
    .begin = "START TRANSACTION READ ONLY",
    .writes = "START TRANSACTION",
    .now = "UTC_TIMESTAMP(3)",
    .now_zoned = "UTC_TIMESTAMP(3)",
    .ms = "(TIMESTAMPDIFF(MICROSECOND,'1970-01-01 00:00:00',",
    .ms_end = ") DIV 1000)",
    .zone = "CONVERT_TZ(",
    .between = ",'+00:00',",
    .zoned = ")",
    .as_text = "CAST(",
    .as_text_end = " AS CHAR)",
    .as_hex = "HEX(SUBSTR(",
    .as_hex_end = ",1,4096))",
    .octets = "OCTET_LENGTH(",
    .plus = "+INTERVAL ",
    .plus_end = "*1000 MICROSECOND",
    .skip_locked = " FOR UPDATE SKIP LOCKED",
    .last_id = "SELECT LAST_INSERT_ID()",
    .place = "database",
    .tables =
        "SELECT table_name,CASE WHEN table_schema=COALESCE(NULLIF(?,"
        "''),DATABASE()) THEN '' ELSE table_schema END FROM information_schema.tables WHERE "
        "table_schema NOT IN ('mysql','information_schema',"
        "'performance_schema','sys') LIMIT 5000",
    /* without PROCESS an account sees its own sessions only */
    .sessions = "SELECT CAST((SELECT COUNT(*)>0 FROM "
                "information_schema.user_privileges WHERE "
                "privilege_type='PROCESS' AND grantee=CONCAT('''',REPLACE("
                "CURRENT_USER(),'@','''@'''),'''')) AS CHAR),'' UNION ALL "
                "SELECT CONCAT(user,' ',id),host FROM "
                "information_schema.processlist WHERE db=DATABASE() AND "
                "id<>CONNECTION_ID() LIMIT 257",
    /* server_uuid is MySQL's, server_uid MariaDB's */
    .variables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ("
                 "'server_uuid','server_uid','read_only','innodb_read_only')",
    .procedure = "SELECT COALESCE(routine_definition,'') FROM "
                 "information_schema.routines WHERE "
                 "routine_schema=DATABASE() AND routine_name=?",
};

/* --- running a statement ---------------------------------------------------
 */

static int
run(struct queue *queue, const char *text, const struct sql_bound *bound,
    struct arena *arena, struct sql_rows *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct mysql_session *session = table->connection;

	if (mysql_session_run(session,
	        &(struct mysql_statement){text, bound->count, bound->params},
	        arena, ret, err) == 0)
		return 0;
	queue->cause = session->cause;
	(void)snprintf(queue->code, sizeof(queue->code), "%s", session->code);
	return -1;
}

static int
ask_catalogue(struct queue *queue, const struct sql_table *table,
    const char *text, const char *column, struct sql_rows *ret, struct err *err)
{
	struct sql_bound bound = {.arena = &queue->arena};
	const char *schema = table->layout.schema;

	(void)sql_bind(&bound, schema != NULL ? schema : "");
	(void)sql_bind(&bound, table->layout.table);
	if (column != NULL)
		(void)sql_bind(&bound, column);
	return run(queue, text, &bound, &queue->arena, ret, err);
}

#define THE_TABLE \
	"WHERE table_schema=COALESCE(NULLIF(?,''),DATABASE()) AND table_name=?"

static int
describe(struct queue *queue, const char *column, struct sql_table *ret,
    struct err *err)
{
	struct arena *arena = &queue->arena;
	struct sql_rows rows;

	if (ask_catalogue(queue, ret,
	        "SELECT column_name,LOWER(data_type),extra LIKE "
	        "'%auto_increment%' FROM information_schema.columns " THE_TABLE
	        " ORDER BY ordinal_position LIMIT 256",
	        NULL, &rows, err) == -1)
		return -1;
	if (rows.rows == 0)
		return 0;
	struct sql_column *columns =
	    arena_array(arena, rows.rows, sizeof(*columns));

	for (size_t i = 0; i < rows.rows; i++) {
		const char *const *cell = rows.cell + i * rows.columns;

		columns[i] = (struct sql_column){.name = cell[0],
		    /* TIMESTAMP is a moment, DATETIME a time on the wall */
		    .type = text_equal(cell[1], "timestamp") ? "timestamptz"
		                                             : cell[1],
		    .has_default = text_equal(cell[2], "1")};
	}
	ret->ncolumns = rows.rows;
	if (ask_catalogue(queue, ret,
	        "SELECT table_rows FROM information_schema.tables " THE_TABLE,
	        NULL, &rows, err) == -1)
		return -1;
	if (rows.rows > 0 && rows.cell[0] != NULL)
		(void)!text_i64(
		    rows.cell[0], 0, INT64_MAX, &ret->about_rows, NULL);
	if (ask_catalogue(queue, ret,
	        "SELECT 1 FROM information_schema.statistics " THE_TABLE
	        " AND seq_in_index=1 AND column_name=? LIMIT 1",
	        column, &rows, err) == -1)
		return -1;
	ret->indexed = rows.rows > 0;
	ret->columns = columns;
	return 0;
}

static const struct sql_backend backend = {.run = run, .describe = describe};

/* --- the server's databases ------------------------------------------------
 */

/* Those that this account sees, for the end of a message about another. */
static const char *
databases(struct queue *queue, const char *wanted)
{
	struct arena *arena = &queue->arena;
	struct mysql_session session;
	struct sql_rows rows;
	struct ladder ladder;
	const char *text = "";

	ladder_init(&ladder, arena, queue->deadline_ms);
	if (mysql_session_open_server(queue->spec.url, &ladder, &session) == -1)
		return "";
	if (mysql_session_run(&session,
	        &(struct mysql_statement){
	            "SELECT schema_name FROM information_schema.schemata WHERE "
	            "schema_name NOT IN ('mysql','information_schema',"
	            "'performance_schema','sys') LIMIT 100",
	            0, NULL},
	        arena, &rows, NULL) == 0)
		text = near_text(arena, wanted, rows.cell, rows.rows);
	mysql_session_close(&session);
	return text;
}

/* --- open ------------------------------------------------------------------
 */

static int
mysql_table_open(struct queue *queue, struct err *err)
{
	struct arena *arena = &queue->arena;
	struct sql_table *table = arena_alloc(arena, sizeof(*table));
	struct mysql_session *session = arena_alloc(arena, sizeof(*session));

	*session = (struct mysql_session){.db = NULL};
	*table = (struct sql_table){.dialect = &dialect,
	    .backend = &backend,
	    .connection = session,
	    .server = "mysql",
	    .identity = ""};
	queue->state = table;
	if (sql_layout(queue, table, err) == -1)
		return -1;
	int rc = mysql_session_open(queue->spec.url,
	    queue->consuming.owner != NULL, &queue->ladder, session);

	table->database =
	    session->where != NULL ? strrchr(session->where, '/') + 1 : "";
	if (rc == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s%s", queue->ladder.summary,
		    queue->ladder.cause == CAUSE_WRONG_DATABASE ||
		            queue->ladder.cause == CAUSE_PERMISSION
		        ? databases(queue, table->database)
		        : "");
	queue->target = session->where;
	table->server = session->server;
	sql_names(queue, table);
	return 0;
}

static void
mysql_table_close(struct queue *queue)
{
	struct sql_table *table = queue->state;

	mysql_session_close(table->connection);
}

static const char *const schemes[] = {
    "mysqltable+mysql", "mysqltable+mariadb", NULL};

const struct queue_driver queue_mysql_table = {
    .kind = "mysqltable",
    .schemes = schemes,
    .name_key = "table",
    .keys = sql_keys + 1, /* the first is ODBC's */
    .client_keys = sql_client_keys,
    .consumes = true,
    .open = mysql_table_open,
    .close = mysql_table_close,
    .observe = sql_observe,
    .near = sql_near,
    .submit = sql_submit,
    .follow = sql_follow,
    .remove = sql_remove,
    .list = sql_list,
    .newest = NEWEST_WAITING,
    .move = sql_move,
    .claim = sql_claim,
    .extend = sql_extend,
    .finish = sql_finish,
    .fail = sql_fail,
    .bury = sql_bury,
    .release = sql_release,
    .heartbeat = sql_heartbeat,
};
