/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sql.h>
#include <sqlext.h>
#include <sqlucode.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"
#include "probes/queue/sql.h"

/*
 * The table driver on SQL Server, through ODBC: FreeTDS by its path, so that no
 * odbcinst.ini takes part, or the driver that `driver` names. The server says
 * which SQL it speaks; what else an ODBC driver was tried with is a row here.
 */
enum {
	STATEMENT_SECONDS = 2,
	SECONDS_MAX = 60,
	PORT = 1433,
	NAME_SIZE = 256,
	TEXT_SIZE = 1024
};

static const char default_driver[] =
    "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so";

struct odbc {
	SQLHENV env;
	SQLHDBC db;
	char *room; /* for one value, SQL_CELL_MAX bytes */
};

/* --- errors ----------------------------------------------------------------
 */

static enum cause
cause_of(const char *state, SQLINTEGER native)
{
	if (native == 229 || native == 230 || text_equal(state, "42501"))
		return CAUSE_PERMISSION;
	if (native == 4060)
		return CAUSE_WRONG_DATABASE;
	if (text_equal(state, "28000"))
		return CAUSE_AUTH;
	if (text_equal(state, "42S02"))
		return CAUSE_NOT_FOUND;
	if (text_starts(state, "HYT") || text_equal(state, "S1T00") ||
	    text_equal(state, "57014") || native == 1222)
		return CAUSE_DEADLINE;
	if (text_starts(state, "08"))
		return CAUSE_UNREACHABLE;
	/* no driver, or one that can't be loaded */
	if (text_starts(state, "IM") || text_equal(state, "01000"))
		return CAUSE_UNAVAILABLE;
	return CAUSE_MISMATCH;
}

static int
refused(
    struct queue *queue, SQLSMALLINT type, SQLHANDLE handle, struct err *err)
{
	SQLCHAR state[SQL_SQLSTATE_SIZE + 1] = "";
	SQLCHAR text[TEXT_SIZE] = "the driver didn't say why";
	SQLINTEGER native = 0;
	SQLSMALLINT len = 0;

	(void)SQLGetDiagRec(
	    type, handle, 1, state, &native, text, sizeof(text), &len);
	for (SQLCHAR *c = text; *c != '\0'; c++) {
		if (*c < ' ')
			*c = ' ';
	}
	return queue_trouble(queue, cause_of((const char *)state, native),
	    native == 1222 ? "1222" : (const char *)state, err, ERR_REFUSED,
	    "%s: %s", (const char *)state, (const char *)text);
}

static bool
good(SQLRETURN rc)
{
	return rc == SQL_SUCCESS || rc == SQL_SUCCESS_WITH_INFO;
}

/* --- running a statement ---------------------------------------------------
 */

/* A value as text; the rest of one that is longer is left. */
static int
get_cell(SQLHSTMT stmt, SQLUSMALLINT column, struct arena *arena, char *room,
    const char **ret)
{
	SQLLEN len = 0;
	SQLRETURN rc =
	    SQLGetData(stmt, column, SQL_C_CHAR, room, SQL_CELL_MAX, &len);

	if (rc == SQL_NO_DATA || (good(rc) && len == SQL_NULL_DATA)) {
		*ret = NULL;
		return 0;
	}
	if (!good(rc))
		return -1;
	*ret = arena_text(arena, room);
	return 0;
}

static int
fetch(struct queue *queue, SQLHSTMT stmt, struct arena *arena,
    struct sql_rows *ret, struct err *err)
{
	const struct odbc *odbc =
	    ((const struct sql_table *)queue->state)->connection;
	const char **cells =
	    arena_array(arena, ret->columns * SQL_ROWS_MAX + 1, sizeof(*cells));
	SQLRETURN rc = SQL_NO_DATA;

	while (ret->rows < SQL_ROWS_MAX && good(rc = SQLFetch(stmt))) {
		const char **to = &cells[ret->columns * ret->rows++];

		for (size_t i = 0; i < ret->columns; i++) {
			if (get_cell(stmt, (SQLUSMALLINT)(i + 1), arena,
			        odbc->room, &to[i]) == -1)
				return refused(
				    queue, SQL_HANDLE_STMT, stmt, err);
		}
	}
	ret->cell = cells;
	if (rc != SQL_NO_DATA && !good(rc))
		return refused(queue, SQL_HANDLE_STMT, stmt, err);
	return 0;
}

/* What a call that may give rows gave; it frees the statement. */
static int
answer(struct queue *queue, SQLHSTMT stmt, SQLRETURN rc, struct arena *arena,
    struct sql_rows *ret, struct err *err)
{
	SQLSMALLINT columns = 0;
	SQLLEN affected = 0;
	int done = 0;

	*ret = (struct sql_rows){0};
	/* an UPDATE of no row is SQL_NO_DATA */
	if (!good(rc) && rc != SQL_NO_DATA) {
		done = refused(queue, SQL_HANDLE_STMT, stmt, err);
	} else {
		(void)SQLNumResultCols(stmt, &columns);
		(void)SQLRowCount(stmt, &affected);
		ret->columns = (size_t)MAX(columns, 0);
		ret->affected = rc == SQL_NO_DATA ? 0 : (int64_t)affected;
		if (ret->columns > 0)
			done = fetch(queue, stmt, arena, ret, err);
	}
	(void)SQLFreeHandle(SQL_HANDLE_STMT, stmt);
	return done;
}

static int
statement(struct queue *queue, SQLHSTMT *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct odbc *odbc = table->connection;

	if (!good(SQLAllocHandle(SQL_HANDLE_STMT, odbc->db, ret)))
		return refused(queue, SQL_HANDLE_DBC, odbc->db, err);
	/* not every driver can: the prober's own deadline stands behind it
	 * NOLINTBEGIN(performance-no-int-to-ptr): so ODBC takes numbers */
	(void)SQLSetStmtAttr(*ret, SQL_ATTR_QUERY_TIMEOUT,
	    (SQLPOINTER)(intptr_t)STATEMENT_SECONDS, 0);
	/* NOLINTEND(performance-no-int-to-ptr) */
	return 0;
}

static SQLRETURN
bind(SQLHSTMT stmt, const struct sql_bound *bound, struct arena *arena)
{
	SQLLEN *lengths =
	    arena_array(arena, bound->count + 1, sizeof(*lengths));
	SQLRETURN rc = SQL_SUCCESS;

	for (size_t i = 0; i < bound->count && good(rc); i++) {
		const char *value = bound->params[i];
		size_t len = value != NULL ? strlen(value) : 0;

		lengths[i] = value != NULL ? (SQLLEN)len : SQL_NULL_DATA;
		rc = SQLBindParameter(stmt, (SQLUSMALLINT)(i + 1),
		    SQL_PARAM_INPUT, SQL_C_CHAR, SQL_VARCHAR,
		    MAX((SQLULEN)len, (SQLULEN)1), 0,
		    arena_text(arena, value != NULL ? value : ""), (SQLLEN)len,
		    &lengths[i]);
	}
	return rc;
}

static int
run(struct queue *queue, const char *text, const struct sql_bound *bound,
    struct arena *arena, struct sql_rows *ret, struct err *err)
{
	SQLHSTMT stmt = SQL_NULL_HSTMT;

	if (statement(queue, &stmt, err) == -1)
		return -1;
	SQLRETURN rc = bind(stmt, bound, arena);

	if (good(rc))
		rc = SQLExecDirect(
		    stmt, (SQLCHAR *)arena_text(arena, text), SQL_NTS);
	return answer(queue, stmt, rc, arena, ret, err);
}

/* --- the catalogue, by ODBC's own calls -------------------------------------
 */

static SQLCHAR *
name_or_any(struct arena *arena, const char *name)
{
	return (SQLCHAR *)arena_text(arena, name); /* NULL: any */
}

/* "int identity" -> "int" */
static const char *
type_name(struct arena *arena, const char *text)
{
	char *type = arena_text(arena, text != NULL ? text : "");

	for (char *c = type; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	char *space = strstr(type, " identity");

	if (space != NULL)
		*space = '\0';
	return type;
}

/* SQLColumns: 3 TABLE_NAME, 4 COLUMN_NAME, 6 TYPE_NAME, 13 COLUMN_DEF. '_' in
 * a name is a wildcard to it. */
static void
read_columns(
    struct arena *arena, const struct sql_rows *rows, struct sql_table *ret)
{
	struct sql_column *columns =
	    arena_array(arena, rows->rows + 1, sizeof(*columns));

	for (size_t i = 0; i < rows->rows; i++) {
		const char *const *cell = &rows->cell[i * rows->columns];

		if (!text_equal(cell[2], ret->layout.table) ||
		    ret->ncolumns == SQL_COLUMNS_MAX)
			continue;
		columns[ret->ncolumns++] =
		    (struct sql_column){.name = cell[3] != NULL ? cell[3] : "",
		        .type = type_name(arena, cell[5]),
		        .has_default =
		            (rows->columns > 12 && cell[12] != NULL) ||
		            (cell[5] != NULL && strstr(cell[5], "identity"))};
	}
	ret->columns = ret->ncolumns > 0 ? columns : NULL;
}

/* SQLStatistics: 7 TYPE, 8 ORDINAL_POSITION, 9 COLUMN_NAME, 11 CARDINALITY. */
static void
read_indexes(
    const struct sql_rows *rows, const char *column, struct sql_table *ret)
{
	for (size_t i = 0; i < rows->rows && rows->columns > 10; i++) {
		const char *const *cell = &rows->cell[i * rows->columns];

		if (text_equal(cell[6], "0")) {
			if (cell[10] != NULL &&
			    text_i64(cell[10], 0, INT64_MAX, &ret->about_rows,
			        NULL) == -1)
				ret->about_rows = -1;
		} else if (text_equal(cell[7], "1") &&
		           text_equal(cell[8], column)) {
			ret->indexed = true;
		}
	}
}

static int
describe(struct queue *queue, const char *column, struct sql_table *ret,
    struct err *err)
{
	struct arena *arena = &queue->arena;
	SQLCHAR *schema = name_or_any(arena, ret->layout.schema);
	SQLCHAR *name = name_or_any(arena, ret->layout.table);
	SQLHSTMT stmt = SQL_NULL_HSTMT;
	struct sql_rows rows;
	SQLRETURN rc;

	if (statement(queue, &stmt, err) == -1)
		return -1;
	rc = SQLColumns(stmt, NULL, 0, schema, SQL_NTS, name, SQL_NTS, NULL, 0);
	if (answer(queue, stmt, rc, arena, &rows, err) == -1)
		return -1;
	read_columns(arena, &rows, ret);
	if (ret->columns == NULL)
		return 0;
	if (statement(queue, &stmt, err) == -1)
		return -1;
	rc = SQLStatistics(stmt, NULL, 0, schema, SQL_NTS, name, SQL_NTS,
	    SQL_INDEX_ALL, SQL_QUICK);
	if (answer(queue, stmt, rc, arena, &rows, err) == -1)
		return -1;
	read_indexes(&rows, column, ret);
	return 0;
}

static const struct sql_backend backend = {.run = run, .describe = describe};

/* --- open ------------------------------------------------------------------
 */

/* "{value}", braces doubled. */
static const char *
braced(struct arena *arena, const char *value)
{
	char *text = arena_alloc(arena, 2 * strlen(value) + 3);
	char *at = text;

	*at++ = '{';
	for (; *value != '\0'; value++) {
		if (*value == '}')
			*at++ = '}';
		*at++ = *value;
	}
	*at++ = '}';
	*at = '\0';
	return text;
}

static const char *
connection_string(
    struct queue *queue, const struct url *url, const char *driver)
{
	struct arena *arena = &queue->arena;
	const char *encrypt = url_query(url, "encrypt");

	if (url->host[0] == '\0') /* a file */
		return arena_format(arena, "DRIVER=%s;Database=%s;Timeout=200",
		    driver, url->path);
	return arena_format(arena,
	    "DRIVER=%s;SERVER=%s;PORT=%d;DATABASE=%s;UID=%s;PWD=%s;"
	    "TDS_Version=7.4;ClientCharset=UTF-8;APP=reeve-probe%s%s",
	    driver, url->host, url->port > 0 ? url->port : PORT,
	    url->path[0] == '/' ? url->path + 1 : "",
	    url->user != NULL ? url->user : "",
	    braced(arena, url->password != NULL ? url->password : ""),
	    encrypt != NULL ? ";Encryption=" : "",
	    encrypt != NULL ? encrypt : "");
}

static int
connect_to(
    struct queue *queue, struct odbc *odbc, const char *text, struct err *err)
{
	intptr_t seconds = (intptr_t)MIN(
	    queue_remaining_ms(queue) / 1000 + 1, (int64_t)SECONDS_MAX);
	SQLSMALLINT len = 0;

	if (!good(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &odbc->env)))
		return queue_trouble(queue, CAUSE_INTERNAL, "", err,
		    ERR_CAPACITY, "no memory for ODBC");
	/* NOLINTBEGIN(performance-no-int-to-ptr): so ODBC takes numbers */
	(void)SQLSetEnvAttr(odbc->env, SQL_ATTR_ODBC_VERSION,
	    (SQLPOINTER)(intptr_t)SQL_OV_ODBC3, 0);
	if (!good(SQLAllocHandle(SQL_HANDLE_DBC, odbc->env, &odbc->db)))
		return refused(queue, SQL_HANDLE_ENV, odbc->env, err);
	(void)SQLSetConnectAttr(
	    odbc->db, SQL_ATTR_LOGIN_TIMEOUT, (SQLPOINTER)seconds, 0);
	/* NOLINTEND(performance-no-int-to-ptr) */
	if (!good(SQLDriverConnect(odbc->db, NULL,
	        (SQLCHAR *)arena_text(&queue->arena, text), SQL_NTS, NULL, 0,
	        &len, SQL_DRIVER_NOPROMPT)))
		return refused(queue, SQL_HANDLE_DBC, odbc->db, err);
	return 0;
}

static int
choose_dialect(struct queue *queue, struct sql_table *table, struct err *err)
{
	const struct odbc *odbc = table->connection;
	SQLCHAR name[NAME_SIZE] = "";
	SQLCHAR version[NAME_SIZE] = "";
	SQLSMALLINT len = 0;

	(void)SQLGetInfo(odbc->db, SQL_DBMS_NAME, name, sizeof(name), &len);
	(void)SQLGetInfo(
	    odbc->db, SQL_DBMS_VER, version, sizeof(version), &len);
	for (size_t i = 0; i < odbc_dialects_count; i++) {
		if (text_starts((const char *)name, odbc_dialects[i].name))
			table->dialect = &odbc_dialects[i];
	}
	table->server = arena_format(
	    &queue->arena, "%s %s", (const char *)name, (const char *)version);
	if (table->dialect == NULL)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_UNSUPPORTED,
		    "the driver speaks to '%.60s', whose SQL "
		    "isn't known",
		    (const char *)name);
	return 0;
}

static int
odbc_open(struct queue *queue, struct err *err)
{
	struct arena *arena = &queue->arena;
	struct sql_table *table = arena_alloc(arena, sizeof(*table));
	struct odbc *odbc = arena_alloc(arena, sizeof(*odbc));
	const char *driver = queue_option(queue, "driver");
	struct sql_bound none = {.arena = arena};
	struct sql_rows rows;
	struct url url;

	*table = (struct sql_table){.backend = &backend,
	    .connection = odbc,
	    .server = "",
	    .identity = ""};
	queue->state = table;
	odbc->room = arena_alloc(arena, SQL_CELL_MAX);
	if (sql_layout(queue, table, err) == -1)
		return -1;
	if (url_parse(arena, queue->spec.url, &url, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	queue->target = arena_format(arena, "%s%s", url.host, url.path);
	if (connect_to(queue, odbc,
	        connection_string(
	            queue, &url, driver != NULL ? driver : default_driver),
	        err) == -1 ||
	    choose_dialect(queue, table, err) == -1)
		return -1;
	sql_names(queue, table);
	if (table->dialect != &odbc_dialects[0])
		return 0;
	return run(queue, "SET LOCK_TIMEOUT 200", &none, arena, &rows, err);
}

static void
odbc_close(struct queue *queue)
{
	const struct sql_table *table = queue->state;
	const struct odbc *odbc = table->connection;

	if (odbc->db != SQL_NULL_HDBC) {
		(void)SQLDisconnect(odbc->db);
		(void)SQLFreeHandle(SQL_HANDLE_DBC, odbc->db);
	}
	if (odbc->env != SQL_NULL_HENV)
		(void)SQLFreeHandle(SQL_HANDLE_ENV, odbc->env);
}

static const char *const schemes[] = {"mssqltable+tds", NULL};

const struct queue_driver queue_mssql_table = {
    .kind = "mssqltable",
    .schemes = schemes,
    .name_key = "table",
    .keys = sql_keys,
    .client_keys = sql_client_keys,
    .deep_path = true, /* an ODBC driver's file */
    .open = odbc_open,
    .close = odbc_close,
    .observe = sql_observe,
    .near = sql_near,
    .submit = sql_submit,
    .follow = sql_follow,
    .remove = sql_remove,
    .list = sql_list,
    .newest = NEWEST_WAITING,
    .move = sql_move,
};
