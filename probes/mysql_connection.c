/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/mysql_connection.h"
#include "probes/stream.h"

enum {
	PORT = 3306,
	SECONDS_MAX = 60
};

/* --- errors ----------------------------------------------------------------
 */

/* What a number means, and which rung a login that ends with it is on. */
static const struct row {
	unsigned number;
	enum cause cause;
	enum step_kind step;
	bool unknown;
} rows[] = {
    {1045, CAUSE_AUTH, STEP_AUTH, false},
    {1130, CAUSE_AUTH, STEP_AUTH, false}, /* this host may not */
    {1251, CAUSE_AUTH, STEP_AUTH, false}, /* no such plugin */
    {1698, CAUSE_AUTH, STEP_AUTH, false},
    {2059, CAUSE_AUTH, STEP_AUTH, false},
    {1044, CAUSE_PERMISSION, STEP_AUTH, false},
    {1049, CAUSE_WRONG_DATABASE, STEP_AUTH, false},
    {1146, CAUSE_NOT_FOUND, STEP_QUERY, false},
    {1054, CAUSE_NOT_FOUND, STEP_QUERY, false}, /* column */
    {1305, CAUSE_NOT_FOUND, STEP_QUERY, false}, /* procedure */
    {1142, CAUSE_PERMISSION, STEP_QUERY, false},
    {1143, CAUSE_PERMISSION, STEP_QUERY, false},
    {1227, CAUSE_PERMISSION, STEP_QUERY, false},
    {1290, CAUSE_PERMISSION, STEP_QUERY, false},
    {1370, CAUSE_PERMISSION, STEP_QUERY, false},
    {1792, CAUSE_PERMISSION, STEP_QUERY, false}, /* read only transaction */
    {1836, CAUSE_PERMISSION, STEP_QUERY, false}, /* read only server */
    {1205, CAUSE_DEADLINE, STEP_QUERY, true},
    {1969, CAUSE_DEADLINE, STEP_QUERY, true},
    {3024, CAUSE_DEADLINE, STEP_QUERY, true},
    {1040, CAUSE_UNAVAILABLE, STEP_PROTOCOL, true},
    {1129, CAUSE_UNAVAILABLE, STEP_PROTOCOL, true}, /* host blocked */
    {1203, CAUSE_UNAVAILABLE, STEP_AUTH, true},
    {1213, CAUSE_UNAVAILABLE, STEP_QUERY, true},
    {2002, CAUSE_UNREACHABLE, STEP_TCP, true},
    {2003, CAUSE_UNREACHABLE, STEP_TCP, true},
    {2004, CAUSE_UNREACHABLE, STEP_TCP, true},
    {2005, CAUSE_DNS, STEP_DNS, false},
    {2006, CAUSE_UNAVAILABLE, STEP_PROTOCOL, true},
    {2007, CAUSE_WRONG_TYPE, STEP_PROTOCOL, false},
    {2012, CAUSE_SILENT, STEP_PROTOCOL, true},
    {2013, CAUSE_UNAVAILABLE, STEP_PROTOCOL, true},
    {2027, CAUSE_WRONG_TYPE, STEP_PROTOCOL, false},
    {2026, CAUSE_TLS, STEP_TLS, false},
};

static const struct row *
row_of(unsigned number)
{
	static const struct row other = {0, CAUSE_MISMATCH, STEP_QUERY, false};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].number == number)
			return &rows[i];
	return &other;
}

static int
refused(struct mysql_session *session, unsigned number, const char *text,
    struct err *err)
{
	const struct row *row = row_of(number);

	session->cause = row->cause;
	session->lost = session->lost || number == 2006 || number == 2013;
	(void)snprintf(session->code, sizeof(session->code), "%u", number);
	return err_set(err,
	    row->cause == CAUSE_DEADLINE ? ERR_TIMEOUT : ERR_REFUSED,
	    "%u: %s%s", number, text,
	    /* the row of the anonymous user of a host comes before user@'%' */
	    number == 1045 ? " (as which host it was matched is said there: a "
	                     "row for ''@'localhost' wins over one for '%')"
	                   : "");
}

bool
mysql_session_is_unknown(const struct mysql_session *session)
{
	unsigned number = 0;

	for (const char *at = session->code; *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (unsigned)(*at - '0');
	return session->cause == CAUSE_INTERNAL || row_of(number)->unknown;
}

/* --- running a statement ---------------------------------------------------
 */

static const char *
cell_text(const struct mysql_session *session, struct arena *arena,
    const char *bytes, unsigned long len)
{
	return arena_bytes(
	    arena, bytes, MIN((size_t)len, session->cell_max - 1));
}

static const char **
next_row(struct arena *arena, struct sql_rows *to, const char ***cells)
{
	if (*cells == NULL)
		*cells = arena_array(
		    arena, to->columns * SQL_ROWS_MAX + 1, sizeof(**cells));
	return &(*cells)[to->columns * to->rows];
}

static const char *const *
names_of(MYSQL_RES *result, struct arena *arena)
{
	unsigned count = mysql_num_fields(result);
	const MYSQL_FIELD *fields = mysql_fetch_fields(result);
	const char **name = arena_array(arena, count + 1, sizeof(*name));

	for (unsigned i = 0; i < count; i++)
		name[i] = arena_text(arena, fields[i].name);
	return name;
}

static int
run_plain(struct mysql_session *session, const char *text, struct arena *arena,
    struct sql_rows *ret, struct err *err)
{
	MYSQL *db = session->db;
	const char **cells = NULL;
	MYSQL_ROW row;

	if (mysql_query(db, text) != 0)
		return refused(session, mysql_errno(db), mysql_error(db), err);
	MYSQL_RES *result = mysql_use_result(db);

	ret->columns = mysql_field_count(db);
	ret->affected = (int64_t)mysql_affected_rows(db);
	if (result == NULL)
		return 0;
	ret->name = names_of(result, arena);
	while ((row = mysql_fetch_row(result)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(result);

		if (ret->rows == SQL_ROWS_MAX)
			continue; /* to its end, or the session is of no use */
		const char **to = next_row(arena, ret, &cells);

		for (size_t i = 0; i < ret->columns; i++) {
			if (row[i] != NULL)
				to[i] = cell_text(
				    session, arena, row[i], lengths[i]);
		}
		ret->rows++;
	}
	mysql_free_result(result);
	ret->cell = cells;
	if (mysql_errno(db) != 0)
		return refused(session, mysql_errno(db), mysql_error(db), err);
	return 0;
}

static int
fetch_cell(const struct mysql_session *session, MYSQL_STMT *stmt,
    unsigned column, unsigned long len, struct arena *arena, const char **ret)
{
	unsigned long size = MIN(len, (unsigned long)session->cell_max - 1);
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
fetch_rows(const struct mysql_session *session, MYSQL_STMT *stmt,
    struct arena *arena, struct sql_rows *ret)
{
	const char **cells = NULL;
	unsigned long *lengths =
	    arena_array(arena, ret->columns + 1, sizeof(*lengths));
	my_bool *nulls = arena_array(arena, ret->columns + 1, sizeof(*nulls));
	MYSQL_BIND *binds =
	    arena_array(arena, ret->columns + 1, sizeof(*binds));
	MYSQL_RES *about = mysql_stmt_result_metadata(stmt);
	int rc;

	if (about == NULL)
		return -1;
	ret->name = names_of(about, arena);
	mysql_free_result(about);
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
			    fetch_cell(session, stmt, (unsigned)i, lengths[i],
			        arena, &to[i]) == -1)
				return -1;
		}
		ret->rows++;
	}
	ret->cell = cells;
	return rc == MYSQL_NO_DATA ? 0 : -1;
}

static int
run_bound(const struct mysql_session *session, MYSQL_STMT *stmt,
    const struct mysql_statement *statement, struct arena *arena,
    struct sql_rows *ret)
{
	size_t nparams = statement->nparams;
	const char *const *params = statement->params;
	MYSQL_BIND *binds = arena_array(arena, nparams + 1, sizeof(*binds));
	unsigned long *lengths =
	    arena_array(arena, nparams + 1, sizeof(*lengths));

	if (mysql_stmt_prepare(stmt, statement->sql,
	        (unsigned long)strlen(statement->sql)) != 0)
		return -1;
	for (size_t i = 0; i < nparams; i++) {
		if (params[i] == NULL) {
			binds[i].buffer_type = MYSQL_TYPE_NULL;
			continue;
		}
		lengths[i] = (unsigned long)strlen(params[i]);
		binds[i] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING,
		    .buffer = arena_text(arena, params[i]),
		    .buffer_length = lengths[i],
		    .length = &lengths[i]};
	}
	if (mysql_stmt_bind_param(stmt, binds) != 0 ||
	    mysql_stmt_execute(stmt) != 0)
		return -1;
	ret->columns = mysql_stmt_field_count(stmt);
	ret->affected = (int64_t)mysql_stmt_affected_rows(stmt);
	return ret->columns > 0 ? fetch_rows(session, stmt, arena, ret) : 0;
}

int
mysql_session_run(struct mysql_session *session,
    const struct mysql_statement *statement, struct arena *arena,
    struct sql_rows *ret, struct err *err)
{
	*ret = (struct sql_rows){0};
	if (statement->nparams == 0)
		return run_plain(session, statement->sql, arena, ret, err);
	MYSQL_STMT *stmt = mysql_stmt_init(session->db);

	if (stmt == NULL) {
		session->cause = CAUSE_INTERNAL;
		session->code[0] = '\0';
		return err_set(err, ERR_CAPACITY, "no memory for a statement");
	}
	int rc = run_bound(session, stmt, statement, arena, ret);

	if (rc == -1)
		(void)refused(session, mysql_stmt_errno(stmt),
		    mysql_stmt_error(stmt), err);
	(void)mysql_stmt_close(stmt);
	return rc;
}

/* --- open ------------------------------------------------------------------
 */

static unsigned
seconds_until(int64_t deadline_ms)
{
	int64_t left_ms = MAX(deadline_ms - clock_ms(), 0);

	return (unsigned)MIN(left_ms / 1000 + 1, (int64_t)SECONDS_MAX);
}

static bool
wants_tls(const struct url *url)
{
	const char *mode = url_query(url, "ssl-mode");

	return mode != NULL && !text_equal(mode, "disabled");
}

static int
set_options(
    MYSQL *db, const struct url *url, bool consumes, struct ladder *ladder)
{
	unsigned seconds = seconds_until(ladder->deadline_ms);
	unsigned no = 0;
	size_t packet = consumes ? MYSQL_JOB_MAX : MYSQL_PACKET_MAX;
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
	if (!wants_tls(url))
		return 0;
	if (!text_equal(mode, "required") && !text_equal(mode, "verify-full"))
		return ladder_fail(ladder, CAUSE_URL, "",
		    "'ssl-mode' is disabled, required or verify-full, not "
		    "'%.40s'",
		    mode);
	(void)mysql_options(db, MYSQL_OPT_SSL_ENFORCE, &yes);
	(void)mysql_ssl_set(db, NULL, NULL, ca, NULL, NULL);
	if (text_equal(mode, "verify-full"))
		(void)mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	return 0;
}

/* The library says EINPROGRESS of whatever went wrong: a connection of our own
 * says what it was. */
static int
why_no_connection(
    const struct url *url, struct ladder *ladder, const char *theirs)
{
	const struct endpoint endpoint = {
	    .host = url->host, .port = url->port > 0 ? url->port : PORT};
	struct stream *stream = NULL;

	if (stream_open(&endpoint, ladder, &stream) == -1)
		return -1;
	stream_close(stream);
	return ladder_unknown(
	    ladder, CAUSE_UNAVAILABLE, "", "%s; now it can", theirs);
}

/* The library has one call for all rungs: what it ended with says how far it
 * came. */
static int
connect_failed(
    struct mysql_session *session, const struct url *url, struct ladder *ladder)
{
	unsigned number = mysql_errno(session->db);
	const char *words = mysql_error(session->db);
	const struct row *row = row_of(number);
	struct err err = ERR_INIT;

	(void)refused(session, number, words, &err);
	if (row->step == STEP_TCP)
		return why_no_connection(url, ladder, err.text);
	if (row->step > STEP_TCP) {
		ladder_pass(ladder, "connected to %s", session->where);
		ladder_begin(ladder, row->step, session->where);
	}
	/* "…'reading initial communication packet', system error: 110" */
	if (number == 2013 &&
	    (strstr(words, ": 110") != NULL || strstr(words, ": 11") != NULL ||
	        strstr(words, "timed out") != NULL))
		return ladder_unknown(ladder, CAUSE_SILENT, session->code,
		    "%s accepts connections but does not answer a MySQL login",
		    session->where);
	return (row->unknown ? ladder_unknown : ladder_fail)(
	    ladder, row->cause, session->code, "%s", err.text);
}

static int
set_session(struct mysql_session *session, struct ladder *ladder)
{
	const char *version = mysql_get_server_info(session->db);
	bool maria = version != NULL && strstr(version, "MariaDB") != NULL;
	struct sql_rows none = {0};
	struct err err = ERR_INIT;

	/* the same limit, by two names and in two units; without gap locks two
	 * who claim don't wait for each other */
	const char *text = arena_format(ladder->arena,
	    "SET SESSION time_zone='+00:00',innodb_lock_wait_timeout=%d,"
	    "%s=%d,%s='READ-COMMITTED'",
	    MYSQL_STATEMENT_MS / 1000,
	    maria ? "max_statement_time" : "max_execution_time",
	    maria ? MYSQL_STATEMENT_MS / 1000 : MYSQL_STATEMENT_MS,
	    maria ? "tx_isolation" : "transaction_isolation");

	session->server = arena_format(ladder->arena, "%s %s",
	    maria ? "mariadb" : "mysql", version != NULL ? version : "");
	if (run_plain(session, text, ladder->arena, &none, &err) == -1)
		return ladder_fail(
		    ladder, session->cause, session->code, "%s", err.text);
	return 0;
}

static int
log_in(
    struct mysql_session *session, const struct url *url, struct ladder *ladder)
{
	const char *name = url->path[0] == '/' ? url->path + 1 : "";
	int port = url->port > 0 ? url->port : PORT;

	ladder_begin(ladder, STEP_TCP, session->where);
	if (mysql_real_connect(session->db, url->host, url->user, url->password,
	        name, (unsigned)port, NULL, CLIENT_FOUND_ROWS) == NULL)
		return connect_failed(session, url, ladder);
	ladder_pass(ladder, "connected to %s", session->where);
	if (mysql_get_ssl_cipher(session->db) != NULL) {
		ladder_begin(ladder, STEP_TLS, session->where);
		ladder_pass(ladder, "encrypted");
	} else if (wants_tls(url)) {
		/* the library goes on without, whatever it was told */
		ladder_begin(ladder, STEP_TLS, session->where);
		return ladder_fail(ladder, CAUSE_TLS, "not-offered",
		    "the server does not offer TLS, and ssl-mode asks for it");
	}
	ladder_begin(ladder, STEP_AUTH, session->where);
	if (set_session(session, ladder) == -1)
		return -1;
	ladder_pass(ladder, "logged in as %s to database %s",
	    url->user != NULL ? url->user : "", name);
	return 0;
}

static int
session_open(const char *url, bool consumes, bool enters, struct ladder *ladder,
    struct mysql_session *ret)
{
	struct stream_addresses addresses;
	struct err err = ERR_INIT;
	struct url parts;

	*ret = (struct mysql_session){
	    .cell_max = consumes ? MYSQL_JOB_MAX : SQL_CELL_MAX, .server = ""};
	if (url_parse(ladder->arena, url, &parts, &err) == -1)
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	if (!enters)
		parts.path[0] = '\0';
	ret->where = arena_format(ladder->arena, "%s:%d/%s", parts.host,
	    parts.port > 0 ? parts.port : PORT,
	    parts.path[0] == '/' ? parts.path + 1 : "");
	if (stream_resolve(parts.host, parts.port > 0 ? parts.port : PORT,
	        ladder, &addresses) == -1)
		return -1;
	ret->db = mysql_init(NULL);
	if (ret->db == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "no memory for a connection");
	if (set_options(ret->db, &parts, consumes, ladder) == -1 ||
	    log_in(ret, &parts, ladder) == -1) {
		mysql_session_close(ret);
		return -1;
	}
	return 0;
}

int
mysql_session_open(const char *url, bool consumes, struct ladder *ladder,
    struct mysql_session *ret)
{
	return session_open(url, consumes, true, ladder, ret);
}

int
mysql_session_open_server(
    const char *url, struct ladder *ladder, struct mysql_session *ret)
{
	return session_open(url, false, false, ladder, ret);
}

void
mysql_session_close(struct mysql_session *session)
{
	if (session->db != NULL)
		mysql_close(session->db);
	session->db = NULL;
}
