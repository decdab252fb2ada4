/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <mysql.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"
#include "probes/queue/sql.h"

/*
 * The table driver on MySQL and MariaDB, by libmariadb. The session's time zone
 * is UTC, so that TIMESTAMP and DATETIME are both compared with
 * UTC_TIMESTAMP().
 */
enum {
	STATEMENT_MS = 2000,
	PACKET_MAX = 4 << 20,
	PORT = 3306,
	SECONDS_MAX = 60
};

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
    .last_id = "SELECT LAST_INSERT_ID()",
    .tables = "SELECT table_name,CASE WHEN table_schema=DATABASE() THEN '' "
              "ELSE table_schema END FROM information_schema.tables WHERE "
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
    .procedure = "SELECT COALESCE(routine_definition,'') FROM "
                 "information_schema.routines WHERE "
                 "routine_schema=DATABASE() AND routine_name=?",
};

/* --- errors ----------------------------------------------------------------
 */

static enum cause
cause_of(unsigned number)
{
	static const struct {
		unsigned number;
		enum cause cause;
	} rows[] = {{1045, CAUSE_AUTH}, {1044, CAUSE_PERMISSION},
	    {1049, CAUSE_WRONG_DATABASE}, {1146, CAUSE_NOT_FOUND},
	    {1142, CAUSE_PERMISSION}, {1143, CAUSE_PERMISSION},
	    {1227, CAUSE_PERMISSION}, {1290, CAUSE_PERMISSION},
	    {1370, CAUSE_PERMISSION}, {1205, CAUSE_DEADLINE},
	    {1969, CAUSE_DEADLINE}, {3024, CAUSE_DEADLINE},
	    {1040, CAUSE_UNAVAILABLE}, {1203, CAUSE_UNAVAILABLE},
	    {1213, CAUSE_UNAVAILABLE}, {2002, CAUSE_UNREACHABLE},
	    {2003, CAUSE_UNREACHABLE}, {2005, CAUSE_DNS},
	    {2006, CAUSE_UNAVAILABLE}, {2013, CAUSE_UNAVAILABLE},
	    {2026, CAUSE_TLS}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].number == number)
			return rows[i].cause;
	}
	return CAUSE_MISMATCH;
}

static int
refused(struct queue *queue, unsigned number, const char *text, struct err *err)
{
	char code[QUEUE_CODE_SIZE];
	enum cause cause = cause_of(number);

	(void)snprintf(code, sizeof(code), "%u", number);
	return queue_trouble(queue, cause, code, err,
	    cause == CAUSE_DEADLINE ? ERR_TIMEOUT : ERR_REFUSED, "%u: %s%s",
	    number, text,
	    /* the row of the anonymous user of a host comes before user@'%' */
	    number == 1045 ? " (as which host it was matched is said there: a "
	                     "row for ''@'localhost' wins over one for '%')"
	                   : "");
}

/* --- running a statement ---------------------------------------------------
 */

static const char *
cell_text(struct arena *arena, const char *bytes, unsigned long len)
{
	return arena_bytes(
	    arena, bytes, MIN((size_t)len, (size_t)SQL_CELL_MAX - 1));
}

static const char **
next_row(struct arena *arena, struct sql_rows *rows, const char ***cells)
{
	if (*cells == NULL)
		*cells = arena_array(
		    arena, rows->columns * SQL_ROWS_MAX + 1, sizeof(**cells));
	return &(*cells)[rows->columns * rows->rows];
}

static int
run_plain(struct queue *queue, MYSQL *db, const char *text, struct arena *arena,
    struct sql_rows *ret, struct err *err)
{
	const char **cells = NULL;
	MYSQL_ROW row;

	if (mysql_query(db, text) != 0)
		return refused(queue, mysql_errno(db), mysql_error(db), err);
	MYSQL_RES *result = mysql_use_result(db);

	ret->columns = mysql_field_count(db);
	ret->affected = (int64_t)mysql_affected_rows(db);
	if (result == NULL)
		return 0;
	while ((row = mysql_fetch_row(result)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(result);

		if (ret->rows == SQL_ROWS_MAX)
			continue; /* to its end, or the session is of no use */
		const char **to = next_row(arena, ret, &cells);

		for (size_t i = 0; i < ret->columns; i++) {
			if (row[i] != NULL)
				to[i] = cell_text(arena, row[i], lengths[i]);
		}
		ret->rows++;
	}
	mysql_free_result(result);
	ret->cell = cells;
	if (mysql_errno(db) != 0)
		return refused(queue, mysql_errno(db), mysql_error(db), err);
	return 0;
}

static int
fetch_cell(MYSQL_STMT *stmt, unsigned column, unsigned long len,
    struct arena *arena, const char **ret)
{
	unsigned long size = MIN(len, (unsigned long)SQL_CELL_MAX - 1);
	char *text = arena_alloc(arena, size + 1);
	unsigned long got = 0;
	my_bool null = 0;
	MYSQL_BIND bind = {.buffer_type = MYSQL_TYPE_STRING,
	    .buffer = text,
	    .buffer_length = size + 1,
	    .length = &got,
	    .is_null = &null};

	if (mysql_stmt_fetch_column(stmt, &bind, column, 0) != 0)
		return -1;
	text[MIN(got, size)] = '\0';
	*ret = text;
	return 0;
}

static int
fetch_rows(MYSQL_STMT *stmt, struct arena *arena, struct sql_rows *ret)
{
	const char **cells = NULL;
	unsigned long *lengths =
	    arena_array(arena, ret->columns + 1, sizeof(*lengths));
	my_bool *nulls = arena_array(arena, ret->columns + 1, sizeof(*nulls));
	MYSQL_BIND *binds =
	    arena_array(arena, ret->columns + 1, sizeof(*binds));
	int rc;

	for (size_t i = 0; i < ret->columns; i++)
		binds[i] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING,
		    .length = &lengths[i],
		    .is_null = &nulls[i]};
	if (mysql_stmt_bind_result(stmt, binds) != 0)
		return -1;
	while (
	    (rc = mysql_stmt_fetch(stmt)) == 0 || rc == MYSQL_DATA_TRUNCATED) {
		if (ret->rows == SQL_ROWS_MAX)
			continue;
		const char **to = next_row(arena, ret, &cells);

		for (size_t i = 0; i < ret->columns; i++) {
			if (nulls[i] == 0 &&
			    fetch_cell(stmt, (unsigned)i, lengths[i], arena,
			        &to[i]) == -1)
				return -1;
		}
		ret->rows++;
	}
	ret->cell = cells;
	return rc == MYSQL_NO_DATA ? 0 : -1;
}

static int
run_bound(MYSQL_STMT *stmt, const char *text, const struct sql_bound *bound,
    struct arena *arena, struct sql_rows *ret)
{
	MYSQL_BIND *binds =
	    arena_array(arena, bound->count + 1, sizeof(*binds));
	unsigned long *lengths =
	    arena_array(arena, bound->count + 1, sizeof(*lengths));

	if (mysql_stmt_prepare(stmt, text, (unsigned long)strlen(text)) != 0)
		return -1;
	for (size_t i = 0; i < bound->count; i++) {
		if (bound->params[i] == NULL) {
			binds[i].buffer_type = MYSQL_TYPE_NULL;
			continue;
		}
		lengths[i] = (unsigned long)strlen(bound->params[i]);
		binds[i] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING,
		    .buffer = arena_text(arena, bound->params[i]),
		    .buffer_length = lengths[i],
		    .length = &lengths[i]};
	}
	if (mysql_stmt_bind_param(stmt, binds) != 0 ||
	    mysql_stmt_execute(stmt) != 0)
		return -1;
	ret->columns = mysql_stmt_field_count(stmt);
	ret->affected = (int64_t)mysql_stmt_affected_rows(stmt);
	return ret->columns > 0 ? fetch_rows(stmt, arena, ret) : 0;
}

static int
run(struct queue *queue, const char *text, const struct sql_bound *bound,
    struct arena *arena, struct sql_rows *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	MYSQL *db = table->connection;

	*ret = (struct sql_rows){0};
	if (bound->count == 0)
		return run_plain(queue, db, text, arena, ret, err);
	MYSQL_STMT *stmt = mysql_stmt_init(db);

	if (stmt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err,
		    ERR_CAPACITY, "no memory for a statement");
	int rc = run_bound(stmt, text, bound, arena, ret);

	if (rc == -1)
		(void)refused(
		    queue, mysql_stmt_errno(stmt), mysql_stmt_error(stmt), err);
	(void)mysql_stmt_close(stmt);
	return rc;
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
		const char *const *cell = &rows.cell[i * rows.columns];

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

/* --- open ------------------------------------------------------------------
 */

static int
set_options(
    struct queue *queue, MYSQL *db, const struct url *url, struct err *err)
{
	unsigned seconds = (unsigned)MIN(
	    queue_remaining_ms(queue) / 1000 + 1, (int64_t)SECONDS_MAX);
	unsigned no = 0;
	size_t packet = PACKET_MAX;
	my_bool yes = 1;
	const char *mode = url_query(url, "ssl-mode");
	const char *ca = url_query(url, "ssl-ca");

	/* a server could ask for any file of ours */
	(void)mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no);
	(void)mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	(void)mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &seconds);
	(void)mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	(void)mysql_options(db, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	(void)mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	(void)mysql_optionsv(
	    db, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "reeve-probe");
	if (mode == NULL || text_equal(mode, "disabled"))
		return 0;
	if (!text_equal(mode, "required") && !text_equal(mode, "verify-full"))
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'ssl-mode' is disabled, required or verify-full, not "
		    "'%.40s'",
		    mode);
	(void)mysql_options(db, MYSQL_OPT_SSL_ENFORCE, &yes);
	if (ca != NULL)
		(void)mysql_options(db, MYSQL_OPT_SSL_CA, ca);
	if (text_equal(mode, "verify-full"))
		(void)mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	return 0;
}

static int
set_session(struct queue *queue, MYSQL *db, struct err *err)
{
	const char *version = mysql_get_server_info(db);
	bool maria = version != NULL && strstr(version, "MariaDB") != NULL;
	struct sql_rows rows = {0};

	/* the same limit, by two names and in two units */
	const char *text = arena_format(&queue->arena,
	    maria ? "SET SESSION time_zone='+00:00',max_statement_time=%d"
	          : "SET SESSION time_zone='+00:00',max_execution_time=%d",
	    maria ? STATEMENT_MS / 1000 : STATEMENT_MS);
	struct sql_table *table = queue->state;

	table->server = arena_format(&queue->arena, "%s %s",
	    maria ? "mariadb" : "mysql", version != NULL ? version : "");
	return run_plain(queue, db, text, &queue->arena, &rows, err);
}

static int
mysql_table_open(struct queue *queue, struct err *err)
{
	struct arena *arena = &queue->arena;
	struct sql_table *table = arena_alloc(arena, sizeof(*table));
	struct url url;

	*table = (struct sql_table){.dialect = &dialect,
	    .backend = &backend,
	    .server = "mysql",
	    .identity = ""};
	queue->state = table;
	if (sql_layout(queue, table, err) == -1)
		return -1;
	if (url_parse(arena, queue->spec.url, &url, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	MYSQL *db = mysql_init(NULL);

	if (db == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err,
		    ERR_CAPACITY, "no memory for a connection");
	table->connection = db;
	if (set_options(queue, db, &url, err) == -1)
		return -1;
	const char *name = url.path[0] == '/' ? url.path + 1 : "";
	int port = url.port > 0 ? url.port : PORT;

	if (mysql_real_connect(db, url.host, url.user, url.password, name,
	        (unsigned)port, NULL, 0) == NULL)
		return refused(queue, mysql_errno(db), mysql_error(db), err);
	queue->target = arena_format(arena, "%s:%d/%s", url.host, port, name);
	sql_names(queue, table);
	return set_session(queue, db, err);
}

static void
mysql_table_close(struct queue *queue)
{
	struct sql_table *table = queue->state;

	if (table->connection != NULL)
		mysql_close(table->connection);
}

static const char *const schemes[] = {
    "mysqltable+mysql", "mysqltable+mariadb", NULL};

const struct queue_driver queue_mysql_table = {
    .kind = "mysqltable",
    .schemes = schemes,
    .name_key = "table",
    .keys = sql_keys,
    .client_keys = sql_client_keys,
    .open = mysql_table_open,
    .close = mysql_table_close,
    .observe = sql_observe,
    .near = sql_near,
    .submit = sql_submit,
    .follow = sql_follow,
    .remove = sql_remove,
    .list = sql_list,
    .move = sql_move,
};
