/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_STORE_H
#define REEVE_SUPERVISOR_OPERATOR_STORE_H

#include "base/base.h"
#include "base/err.h"

#include <sqlite3.h>

/*
 * history.db in the state directory: what happened, and how the queues were.
 * Bounded in size. Nothing that has to be right for the workers lies in it, so
 * it never stops the operator: a file that is damaged is set aside (or, without
 * a directory, there never is one) and the history goes on in memory. One that
 * can't be written for now, on a disk that is full, stays where it is, and what
 * happens meanwhile isn't kept; that there is a gap is.
 *
 * Writes aren't synced to the disk: they outlive the operator, not a machine
 * that loses its power.
 */
struct store {
	sqlite3 *db;
	char path[256];          /* "": in memory */
	bool writing;            /* a transaction is open */
	char trouble[160];       /* why it isn't in the file; "" */
	int64_t trouble_wall_ms; /* since when nothing was kept; 0: it is */
	/* it is kept again, and nobody has been told of the gap: since when */
	int64_t gap_wall_ms;
};

enum {
	STORE_PAGES_MAX = 16384, /* of 4 KiB */
};

/* `dir` NULL: in memory. Fails only without memory. `trouble` says what else
 * went wrong. */
int store_open(
    struct store *store, const char *dir, struct err *err) MUST_CHECK;
/* Commits. A zeroed store is closed. */
void store_close(struct store *store);

/* A statement of one text; NULL with the error logged. To be finalized. */
sqlite3_stmt *store_prepare(struct store *store, const char *sql);
/* Runs a statement that returns no rows and resets it. Opens a transaction if
 * none is open: store_commit ends it. Returns -1, with the error logged once,
 * when it can't be written. */
int store_run(struct store *store, sqlite3_stmt *statement) MUST_CHECK;
void store_commit(struct store *store);
/* When a gap that is over began, once; 0: there is none. */
int64_t store_take_gap(struct store *store);

void store_statement_free(sqlite3_stmt **statement); /* for CLEANUP */

#endif
