/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_MYSQL_CONNECTION_H
#define REEVE_PROBES_MYSQL_CONNECTION_H

#include "base/base.h"
#include "base/err.h"
#include "probes/ladder.h"
#include "probes/observed.h"
#include "probes/rows.h"

#include <mysql.h>

/*
 * A MySQL or MariaDB connection by libmariadb, in its blocking form: the
 * library's timeouts bound each answer, and whoever calls runs in a process
 * that may be killed. Nothing of the environment or of an option file takes
 * part: the URL says it all (`ssl-mode` is disabled, required or verify-full;
 * `ssl-ca` a file). The session's time zone is UTC.
 */
enum {
	MYSQL_CODE_SIZE = 16,
	MYSQL_STATEMENT_MS = 2000,
	MYSQL_PACKET_MAX = 4 << 20, /* of one answer */
	MYSQL_JOB_MAX = 64 << 20    /* of one that holds a job to be done */
};

struct mysql_session {
	MYSQL *db;
	const char *server; /* "mariadb 10.11.19-MariaDB" */
	const char *where;  /* "127.0.0.1:3306/app" */
	size_t cell_max;    /* bytes of one value that are kept */
	/* of the last call that failed */
	enum cause cause;
	char code[MYSQL_CODE_SIZE]; /* the server's number */
	bool lost;                  /* the connection is of no use any more */
};

/* Connects and logs in; `consumes` for who takes jobs. -1 with rung, cause,
 * number as code and text in `ladder`. Texts of the session are the ladder's
 * arena's. */
int mysql_session_open(const char *url, bool consumes, struct ladder *ladder,
    struct mysql_session *ret) MUST_CHECK;
/* The same, in none of the server's databases: to see which there are. */
int mysql_session_open_server(const char *url, struct ladder *ladder,
    struct mysql_session *ret) MUST_CHECK;
void mysql_session_close(struct mysql_session *session);

/* One statement with text parameters (?); a NULL one is NULL. */
struct mysql_statement {
	const char *sql;
	size_t nparams;
	const char *const *params;
};
/* The answer in `arena`, with the columns' names. The server's words are in
 * `err`, its number first. */
int mysql_session_run(struct mysql_session *session,
    const struct mysql_statement *statement, struct arena *arena,
    struct sql_rows *ret, struct err *err) MUST_CHECK;
/* True where it says that nothing could be seen rather than that something is
 * wrong: timeouts, too many clients, a lost connection. */
bool mysql_session_is_unknown(const struct mysql_session *session);

#endif
