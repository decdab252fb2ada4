/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "probes/database.h"
#include "probes/database_schema.h"

const char *
database_quoted(struct database *db, const char *name)
{
	char quote = db->server->quote[0];
	char *text = arena_alloc(db->look->arena, 2 * strlen(name) + 3);
	char *at = text;

	*at++ = quote;
	for (; *name != '\0'; name++) {
		if (*name == quote)
			*at++ = quote;
		*at++ = *name;
	}
	*at++ = quote;
	*at = '\0';
	return text;
}

int
database_ask(struct database *db, const char *doing, const char *sql,
    size_t nparams, const char *const *params, struct sql_rows *ret)
{
	struct err err = ERR_INIT;

	if (db->server->try(db, sql, nparams, params, ret, &err) == -1)
		return db->server->refused(db, doing, &err);
	return 0;
}

/* --- a query, a statement --------------------------------------------------
 */

/* Where the select list of the outermost SELECT ends; NULL when that can't be
 * told. Quotes and parentheses are skipped. */
static const char *
outer_from(const char *sql)
{
	int depth = 0;
	char quote = '\0';

	if (strncasecmp(sql, "SELECT ", 7) != 0)
		return NULL;
	for (const char *at = sql; *at != '\0'; at++) {
		if (quote != '\0') {
			if (*at == quote)
				quote = '\0';
			continue;
		}
		if (*at == '\'' || *at == '"' || *at == '`')
			quote = *at;
		depth += (*at == '(') - (*at == ')');
		if (depth == 0 && strncasecmp(at, " FROM ", 6) == 0)
			return at;
	}
	return NULL;
}

/* Placeholders in the select list that is replaced have no value to take. */
static size_t
bound_before(const struct database *db, const char *sql, const char *from)
{
	size_t count = 0;

	if (!text_equal(db->server->placeholder, "?"))
		return 0;
	for (const char *at = sql; at < from; at++)
		count += *at == '?';
	return count;
}

/* Who processed: the column `by` of the row that the query finds, in the
 * query's own result or asked for in place of its select list. */
static void
who_processed(struct database *db, const char *sql, size_t nparams,
    const char *const *params, const struct sql_rows *rows)
{
	const char *by = NULL;
	struct sql_rows again = {0};
	struct err err = ERR_INIT;

	if (look_text(db->look, "by", NULL, &by) == -1 || by == NULL ||
	    rows->rows == 0)
		return;
	for (size_t i = 0; i < rows->columns; i++)
		if (text_equal(rows->name[i], by)) {
			look_note(db->look, "by", "%s", sql_cell(rows, 0, i));
			return;
		}
	const char *from = outer_from(sql);
	size_t gone = from == NULL ? 0 : bound_before(db, sql, from);
	if (from == NULL ||
	    db->server->try(db,
	        arena_format(db->look->arena, "SELECT %s%s",
	            database_quoted(db, by), from),
	        nparams - MIN(gone, nparams), params, &again, &err) == -1)
		look_note(db->look, "by-unknown", "%s",
		    err.text[0] != '\0' ? err.text
		                        : "the query has no such column");
	else if (again.rows > 0 && again.columns > 0)
		look_note(db->look, "by", "%s", sql_cell(&again, 0, 0));
}

static int
bind(struct database *db, const char *text, const char **ret_sql,
    size_t *ret_count, const char *const **ret_params)
{
	int count = 0;

	if (look_bind_canary(
	        db->look, text, db->server->placeholder, ret_sql, &count) == -1)
		return -1;
	const char **params =
	    arena_array(db->look->arena, (size_t)count + 1, sizeof(*params));
	for (int i = 0; i < count; i++)
		params[i] = db->look->canary;
	*ret_count = (size_t)count;
	*ret_params = params;
	return 0;
}

static void
run_query(struct database *db, const char *text)
{
	const char *sql = NULL;
	size_t count = 0;
	const char *const *params = NULL;
	struct sql_rows rows = {0};

	if (bind(db, text, &sql, &count, &params) == -1 ||
	    db->server->begin(db, false) == -1)
		return;
	if (database_ask(db, "the query", sql, count, params, &rows) == 0) {
		look_note(db->look, "rows", "%zu", rows.rows);
		look_expect(db->look, "the query",
		    rows.rows == 0 || rows.columns == 0 ? NULL : rows.cell[0]);
		who_processed(db, sql, count, params, &rows);
	}
	db->server->end(db);
}

static int
run_execute(struct database *db, const char *text)
{
	const char *sql = NULL;
	size_t count = 0;
	const char *const *params = NULL;
	struct sql_rows rows = {0};

	if (bind(db, text, &sql, &count, &params) == -1 ||
	    db->server->begin(db, true) == -1)
		return -1;
	if (database_ask(db, "the statement", sql, count, params, &rows) ==
	    -1) {
		db->server->end(db);
		return -1;
	}
	if (db->server->commit(db) == -1)
		return -1;
	const char *changed = rows.affected < 0
	                          ? ""
	                          : arena_format(db->look->arena, "%lld",
	                                (long long)rows.affected);
	look_note(db->look, "rows", "%s", changed);
	look_passed(
	    db->look, "executed: %s rows", changed[0] != '\0' ? changed : "no");
	return 0;
}

/* --- a claim ---------------------------------------------------------------
 */

/* A claim that waits is one that locks: where it locks what it reads, the row
 * is judged anew after the wait. Where it reads without a lock, or a function
 * does that we can't see into, it waits with a decision that is already made,
 * and takes the same job once the first has committed; which a look doesn't. */
static const char *
claim_that_waits(const char *sql)
{
	return strcasestr(sql, "FOR UPDATE") != NULL ||
	               strcasestr(sql, "FOR NO KEY UPDATE") != NULL
	           ? "atomic: the second session waits for the first"
	           : "unknown: the second session waits for the first, and "
	             "nothing says that it reads the job anew then: claim with "
	             "FOR UPDATE SKIP LOCKED, and it can be seen";
}

/* Two sessions claim at the same time; both roll back. A claim that passes the
 * other's job by is atomic. */
static const char *
claim_by_two(struct database *first, struct database *second, const char *sql)
{
	struct err err = ERR_INIT;
	struct sql_rows mine = {0};
	struct sql_rows theirs = {0};

	if (first->server->try(first, sql, 0, NULL, &mine, &err) == -1)
		return arena_format(
		    first->look->arena, "unknown: %s", err.text);
	if (mine.rows == 0 || mine.columns == 0)
		return "unknown: no job waits that could be claimed";
	if (first->server->try(second, sql, 0, NULL, &theirs, &err) == -1)
		return first->server->waited(second)
		           ? claim_that_waits(sql)
		           : arena_format(
		                 first->look->arena, "unknown: %s", err.text);
	if (theirs.rows == 0 || theirs.columns == 0)
		return "atomic: the second session gets none";
	return text_equal(sql_cell(&mine, 0, 0), sql_cell(&theirs, 0, 0))
	           ? "twice"
	           : "atomic: the second session gets another job";
}

static void
check_claim(struct database *db, const char *text)
{
	struct database second = {.look = db->look, .server = db->server};
	const char *sql = NULL;
	size_t count = 0;
	const char *const *params = NULL;
	const char *outcome = "unknown: a second session can't be had";

	if (bind(db, text, &sql, &count, &params) == -1)
		return;
	if (db->server->second(db, &second) == 0) {
		if (db->server->begin(db, true) == 0) {
			if (db->server->begin(&second, true) == 0)
				outcome = claim_by_two(db, &second, sql);
			db->server->end(&second);
			db->server->end(db);
		}
		db->server->close(&second);
	}
	look_note(db->look, "claim", "%s", outcome);
}

/* The last rung, as it came out. */
static void
last_rung(struct look *look)
{
	if (look->out.result == RESULT_PASSED)
		ladder_pass(&look->ladder, "%s", look->out.summary);
	else if (look->out.result == RESULT_FAILED)
		(void)ladder_fail(&look->ladder, look->out.cause,
		    look->out.code, "%s", look->out.summary);
	else
		(void)ladder_unknown(&look->ladder, look->out.cause,
		    look->out.code, "%s", look->out.summary);
}

static void
look_closer(struct database *db, const char *logged_in)
{
	struct look *look = db->look;
	const char *query = NULL;
	const char *execute = NULL;
	const char *claim = NULL;

	if (look_text(look, "query", NULL, &query) == -1 ||
	    look_text(look, "claim", NULL, &claim) == -1 ||
	    look_text(look, "execute", NULL, &execute) == -1)
		return;
	if (database_check_schema(db) == -1)
		return;
	if (db->cause != CAUSE_NONE) {
		look_failed(look, db->cause, db->code, "%s", db->faults);
		return;
	}
	look_passed(look, "%s", logged_in);
	if (claim != NULL)
		check_claim(db, claim);
	if (execute != NULL && run_execute(db, execute) == -1)
		return;
	if (query != NULL)
		run_query(db, query);
}

void
database_look(struct database *db, const char *logged_in)
{
	ladder_begin(&db->look->ladder, STEP_QUERY, "");
	look_closer(db, logged_in);
	last_rung(db->look);
}
