/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_POSTGRES_CONNECTION_H
#define REEVE_PROBES_POSTGRES_CONNECTION_H

#include "base/base.h"
#include "base/err.h"
#include "probes/ladder.h"
#include "probes/observed.h"

#include <libpq-fe.h>

/*
 * A PostgreSQL connection by libpq's asynchronous calls under our own deadline
 * (connect_timeout=1 means 2 s and doesn't cover DNS), with the SQLSTATE of a
 * refused login (verifying.md 5.6), and queries under a deadline. Nothing of
 * the environment (PGPASSWORD…) or of ~/.pgpass takes part: the URL says it
 * all. The URL is taken apart as libpq does it, since that is what a worker's
 * libpq does.
 */

enum {
	POSTGRES_STATE_SIZE = 6
};

/* Connects and logs in. -1 with rung, cause, SQLSTATE as code and text in
 * `ladder` (the texts hold libpq's words: redact them). `name` is the
 * application_name, NULL: "reeve-probe". */
int postgres_connection_open(const char *url, const char *name,
    struct ladder *ladder, PGconn **ret) MUST_CHECK;

/* The same server, credentials and options, but another database. */
int postgres_connection_beside(const char *url, const char *database,
    struct ladder *ladder, PGconn **ret) MUST_CHECK;

/* What went wrong with a statement. */
struct postgres_trouble {
	enum cause cause;
	char state[POSTGRES_STATE_SIZE]; /* SQLSTATE; "" none */
	bool lost; /* the connection is of no use any more */
};

/* A connection and how long it may take; the caller's to fill. */
struct postgres_session {
	PGconn *db;
	int64_t deadline_ms;
	struct postgres_trouble trouble; /* of the last call */
};

/* One statement with text parameters; the status is checked: `*ret` is tuples
 * or a command's success. The server's words are in `err`, in one line. */
int postgres_query(struct postgres_session *session, const char *sql,
    int nparams, const char *const *params, PGresult **ret,
    struct err *err) MUST_CHECK;
/* Several statements without parameters, results thrown away: BEGIN; SET… */
int postgres_run(struct postgres_session *session, const char *sql,
    struct err *err) MUST_CHECK;
/* queues.md part 6: BEGIN READ ONLY, row security off (it errs instead of
 * hiding rows), and timeouts that fit into the deadline. `writes`: BEGIN, and
 * row security as the role has it. */
int postgres_begin(
    struct postgres_session *session, bool writes, struct err *err) MUST_CHECK;

/* True where it says that nothing could be seen rather than that something is
 * wrong: timeouts, starting up, too many clients, row security. */
bool postgres_is_unknown(const struct postgres_trouble *trouble);

/* For CLEANUP(). */
void postgres_result_free(PGresult **result);
void postgres_finish(PGconn **db);

#endif
