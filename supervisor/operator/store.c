/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/store.h"

enum {
	FILE_MODE = 0600,
	SQL_MAX = 256,
};

static const char FILE_NAME[] = "history.db";

/* One process at a time has it (the init starts one operator at a time), so no
 * shared memory is needed beside it. */
static const char SETTINGS[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = OFF;"
                               "PRAGMA journal_size_limit = 4194304;"
                               "PRAGMA cache_size = -512;";

static const char TABLES[] =
    "CREATE TABLE IF NOT EXISTS events("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " boot INTEGER, number INTEGER," /* the init's, of its own events */
    " at_ms INTEGER NOT NULL, kind TEXT NOT NULL,"
    " worker TEXT, replica INTEGER, pid INTEGER,"
    " text TEXT NOT NULL, detail TEXT, key TEXT,"
    " UNIQUE(boot, number));"
    "CREATE INDEX IF NOT EXISTS events_at ON events(at_ms);";

void
store_statement_free(sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
	*statement = NULL;
}

static int
sql_failed(struct store *store, struct err *err)
{
	return err_set(err, ERR_SYSTEM, "%s", sqlite3_errmsg(store->db));
}

static int
make_tables(struct store *store, struct err *err)
{
	char limit[SQL_MAX];

	(void)snprintf(limit, sizeof(limit), "PRAGMA max_page_count = %d",
	    (int)STORE_PAGES_MAX);
	if (sqlite3_exec(store->db, SETTINGS, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(store->db, limit, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(store->db, TABLES, NULL, NULL, NULL) != SQLITE_OK)
		return sql_failed(store, err);
	return 0;
}

/* `ret_damaged`: what is there is no history of ours. A disk that is full or
 * fails says nothing about the file. */
static int
open_at(
    struct store *store, const char *path, bool *ret_damaged, struct err *err)
{
	int code = sqlite3_open_v2(path, &store->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	    NULL);
	int rc = 0;

	if (code != SQLITE_OK)
		rc = err_set(err, ERR_SYSTEM, "%s", sqlite3_errstr(code));
	else
		rc = make_tables(store, err);
	*ret_damaged = false;
	if (rc == 0)
		return 0;
	code = sqlite3_errcode(store->db);
	*ret_damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ||
	               code == SQLITE_ERROR;
	(void)sqlite3_close(store->db);
	store->db = NULL;
	return -1;
}

/* What it was is kept for whoever wants to know. */
static void
set_aside(const struct store *store)
{
	char aside[sizeof(store->path) + 16];

	(void)snprintf(aside, sizeof(aside), "%s.unusable", store->path);
	(void)rename(store->path, aside);
}

static int
open_file(struct store *store, const char *dir, struct err *err)
{
	if (text_format(store->path, sizeof(store->path), err, "%s/%s", dir,
	        FILE_NAME) == -1)
		return -1;
	bool damaged = false;

	if (open_at(store, store->path, &damaged, err) == -1) {
		if (!damaged)
			return -1;
		log_warning("history.unusable", "%s: %s: set aside, begun anew",
		    store->path, err->text);
		set_aside(store);
		if (open_at(store, store->path, &damaged, err) == -1)
			return -1;
	}
	(void)chmod(store->path, FILE_MODE);
	return 0;
}

int
store_open(struct store *store, const char *dir, struct err *err)
{
	struct err why = ERR_INIT;

	*store = (struct store){.db = NULL};
	if (dir != NULL && open_file(store, dir, &why) == 0)
		return 0;
	bool damaged = false;

	store->path[0] = '\0';
	(void)snprintf(store->trouble, sizeof(store->trouble), "%.*s",
	    (int)sizeof(store->trouble) - 1,
	    dir == NULL ? "there is no writable directory" : why.text);
	store->trouble_wall_ms = clock_wall_ms();
	if (dir != NULL)
		log_warning("history.memory", "%s: kept in memory only",
		    store->trouble);
	return open_at(store, ":memory:", &damaged, err);
}

void
store_close(struct store *store)
{
	if (store->db == NULL)
		return;
	store_commit(store);
	(void)sqlite3_close_v2(store->db);
	store->db = NULL;
}

static void
complain(struct store *store)
{
	const char *why = sqlite3_errmsg(store->db);

	if (store->trouble_wall_ms != 0)
		return; /* the first reason is the one that counts */
	store->trouble_wall_ms = clock_wall_ms();
	(void)snprintf(store->trouble, sizeof(store->trouble), "%.*s",
	    (int)sizeof(store->trouble) - 1, why);
	log_warning("history", "not kept: %s", why);
}

sqlite3_stmt *
store_prepare(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (store->db == NULL ||
	    sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
	        &statement, NULL) != SQLITE_OK) {
		if (store->db != NULL)
			complain(store);
		return NULL;
	}
	return statement;
}

int
store_run(struct store *store, sqlite3_stmt *statement)
{
	if (statement == NULL)
		return -1;
	if (!store->writing)
		store->writing = sqlite3_exec(store->db, "BEGIN", NULL, NULL,
		                     NULL) == SQLITE_OK;
	int code = sqlite3_step(statement);

	if (code != SQLITE_DONE)
		complain(store);
	(void)sqlite3_reset(statement);
	return code == SQLITE_DONE ? 0 : -1;
}

/* What lies in memory stays there, and says why. */
static void
kept(struct store *store)
{
	if (store->path[0] == '\0' || store->trouble_wall_ms == 0)
		return;
	log_info("history", "kept again");
	store->gap_wall_ms = store->trouble_wall_ms;
	store->trouble_wall_ms = 0;
	store->trouble[0] = '\0';
}

int64_t
store_take_gap(struct store *store)
{
	int64_t since_wall_ms = store->gap_wall_ms;

	store->gap_wall_ms = 0;
	return since_wall_ms;
}

void
store_commit(struct store *store)
{
	if (!store->writing)
		return;
	store->writing = false;
	if (sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
		kept(store);
		return;
	}
	complain(store);
	(void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}
