/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sqlite3.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/look.h"

/*
 * Kind "sqlite": one query's value, or one statement, of a database file. Read
 * only unless it executes; a file that isn't there is never made. Facts: value,
 * rows, by.
 */
enum {
	STEPS_BETWEEN_LOOKS = 1000
};

static int
out_of_time(void *arg)
{
	const struct look *look = arg;

	return clock_ms() >= look->ladder.deadline_ms;
}

static void
refused(struct look *look, sqlite3 *db, int rc, const char *doing)
{
	const char *text = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	const char *code = arena_format(look->arena, "%d", rc);

	switch (rc & 0xff) {
	case SQLITE_INTERRUPT:
		look_unknown(look, CAUSE_DEADLINE, code,
		    "%s: not done within its time", doing);
		return;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		look_unknown(
		    look, CAUSE_UNAVAILABLE, code, "%s: %s", doing, text);
		return;
	case SQLITE_CANTOPEN:
		look_failed(look, CAUSE_NOT_FOUND, code, "%s: %s", doing, text);
		return;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		look_failed(
		    look, CAUSE_PERMISSION, code, "%s: %s", doing, text);
		return;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		look_failed(
		    look, CAUSE_WRONG_TYPE, code, "%s: %s", doing, text);
		return;
	case SQLITE_ERROR:
		look_failed(look,
		    strstr(text, "no such") != NULL ? CAUSE_NOT_FOUND
		                                    : CAUSE_MISMATCH,
		    code, "%s: %s", doing, text);
		return;
	default:
		look_unknown(look, CAUSE_INTERNAL, code, "%s: %s", doing, text);
		return;
	}
}

static int
prepare(struct look *look, sqlite3 *db, const char *text, const char *doing,
    sqlite3_stmt **ret)
{
	const char *sql = NULL;
	const char *rest = NULL;
	int count = 0;

	if (look_bind_canary(look, text, "?", &sql, &count) == -1)
		return -1;
	int rc = sqlite3_prepare_v2(db, sql, -1, ret, &rest);
	if (rc != SQLITE_OK) {
		refused(look, db, rc, doing);
		return -1;
	}
	if (*ret == NULL || rest[strspn(rest, " \t\r\n;")] != '\0') {
		look_failed(
		    look, CAUSE_MISMATCH, "", "%s: not one statement", doing);
		return -1;
	}
	for (int i = 1; i <= count; i++)
		if (sqlite3_bind_text(*ret, i, look->canary, -1,
		        SQLITE_STATIC) != SQLITE_OK) {
			look_unknown(look, CAUSE_INTERNAL, "", "%s: %s", doing,
			    sqlite3_errmsg(db));
			return -1;
		}
	return 0;
}

static void
who_processed(struct look *look, sqlite3_stmt *statement)
{
	const char *by = NULL;

	if (look_text(look, "by", NULL, &by) == -1 || by == NULL)
		return;
	for (int i = 0; i < sqlite3_column_count(statement); i++) {
		if (!text_equal(sqlite3_column_name(statement, i), by))
			continue;
		const unsigned char *text = sqlite3_column_text(statement, i);
		if (text != NULL)
			look_note(look, "by", "%s", (const char *)text);
		return;
	}
	look_note(look, "by-unknown", "the query has no column %s", by);
}

static void
run_query(struct look *look, sqlite3 *db, const char *text)
{
	sqlite3_stmt *statement = NULL;

	if (prepare(look, db, text, "the query", &statement) == 0) {
		int rc = sqlite3_step(statement);
		if (rc == SQLITE_ROW) {
			const unsigned char *value =
			    sqlite3_column_text(statement, 0);
			look_expect(look, "the query",
			    value == NULL
			        ? NULL
			        : arena_text(look->arena, (const char *)value));
			who_processed(look, statement);
		} else if (rc == SQLITE_DONE) {
			look_expect(look, "the query", NULL);
		} else {
			refused(look, db, rc, "the query");
		}
	}
	(void)sqlite3_finalize(statement);
}

static void
run_execute(struct look *look, sqlite3 *db, const char *text)
{
	sqlite3_stmt *statement = NULL;

	if (prepare(look, db, text, "the statement", &statement) == 0) {
		int rc = sqlite3_step(statement);
		while (rc == SQLITE_ROW)
			rc = sqlite3_step(statement);
		if (rc == SQLITE_DONE) {
			look_note(look, "rows", "%d", sqlite3_changes(db));
			look_passed(
			    look, "executed: %d rows", sqlite3_changes(db));
		} else {
			refused(look, db, rc, "the statement");
		}
	}
	(void)sqlite3_finalize(statement);
}

static void
run_both(struct look *look, sqlite3 *db, const char *execute, const char *query)
{
	/* a file that is no database says so only when it is read */
	int rc = sqlite3_exec(
	    db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);

	if (rc != SQLITE_OK) {
		refused(look, db, rc, "open");
		return;
	}
	look_passed(look, "the file is a database");
	if (execute != NULL)
		run_execute(look, db, execute);
	if (query != NULL &&
	    (execute == NULL || look->out.result == RESULT_PASSED))
		run_query(look, db, query);
}

void
probe_sqlite(struct look *look)
{
	sqlite3 *db = NULL;
	const char *path = NULL;
	const char *query = NULL;
	const char *execute = NULL;

	if (look_need(look, "path", &path) == -1 ||
	    look_text(look, "query", NULL, &query) == -1 ||
	    look_text(look, "execute", NULL, &execute) == -1)
		return;
	look->out.target = path;
	ladder_begin(&look->ladder, STEP_QUERY, path);
	int rc = sqlite3_open_v2(path, &db,
	    (execute != NULL ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
	        SQLITE_OPEN_PRIVATECACHE,
	    NULL);
	if (rc != SQLITE_OK) {
		refused(look, db, rc, "open");
		(void)sqlite3_close(db);
		return;
	}
	(void)sqlite3_busy_timeout(db, (int)MIN(look_left_ms(look), INT32_MAX));
	sqlite3_progress_handler(db, STEPS_BETWEEN_LOOKS, out_of_time, look);
	run_both(look, db, execute, query);
	(void)sqlite3_close(db);
}
