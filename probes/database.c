/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "probes/database.h"

static void
fault(struct database *db, enum cause cause, const char *code, const char *text)
{
	if (db->cause == CAUSE_NONE) {
		db->cause = cause;
		db->code = code;
		db->faults = text;
	} else {
		db->faults =
		    arena_format(db->look->arena, "%s; %s", db->faults, text);
	}
}

static int
wrong_request(struct database *db, const char *key, const struct err *err)
{
	look_unknown(db->look, CAUSE_INTERNAL, "",
	    "the request is wrong: '%s' %s", key, err->text);
	return -1;
}

static const char *
list_add(struct database *db, const char *list, const char *name)
{
	return list[0] == '\0'
	           ? arena_text(db->look->arena, name)
	           : arena_format(db->look->arena, "%s, %s", list, name);
}

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

static const char *
cell(const struct sql_rows *rows, size_t row, size_t column)
{
	const char *text = rows->cell[row * rows->columns + column];

	return text == NULL ? "" : text;
}

/* --- tables ----------------------------------------------------------------
 */

/* The same name in another schema, else the nearest name there is. */
static int
nearest_table(struct database *db, const char *name, const char **ret_hint)
{
	struct arena *arena = db->look->arena;
	const char *dot = strrchr(name, '.');
	const char *bare = dot != NULL ? dot + 1 : name;
	const char *elsewhere = "";
	struct sql_rows rows;

	*ret_hint = "";
	if (db->server->tables(db, &rows) == -1)
		return -1;
	const char **words = arena_array(arena, rows.rows + 1, sizeof(*words));
	for (size_t i = 0; i < rows.rows; i++) {
		words[i] = cell(&rows, i, 1);
		if (text_equal(words[i], bare))
			elsewhere = list_add(db, elsewhere,
			    arena_format(
			        arena, "%s.%s", cell(&rows, i, 0), words[i]));
	}
	if (elsewhere[0] != '\0') {
		look_note(db->look, arena_format(arena, "elsewhere %s", name),
		    "%s", elsewhere);
		*ret_hint = arena_format(arena,
		    "; it exists as %s, which is not in the search path",
		    elsewhere);
		return 0;
	}
	const char *near = text_nearest(bare, words, rows.rows);
	if (near == NULL)
		return 0;
	look_note(
	    db->look, arena_format(arena, "nearest %s", name), "%s", near);
	*ret_hint = arena_format(arena, "; the nearest is '%s'", near);
	return 0;
}

/* The privileges that were asked for: "grants": ["SELECT", "UPDATE"]. */
static int
check_grants(struct database *db, const char *name, const char *relation,
    const cJSON *table)
{
	struct err err = ERR_INIT;
	const cJSON *grants = NULL;
	const cJSON *item = NULL;

	if (json_array(table, "grants", &grants, &err) == -1)
		return wrong_request(db, "tables", &err);
	cJSON_ArrayForEach(item, grants)
	{
		const char *grant = "";
		bool granted = false;
		if (json_item_text(item, &grant, NULL) == -1)
			continue;
		if (db->server->granted(db, relation, grant, &granted) == -1)
			return -1;
		if (!granted)
			fault(db, CAUSE_PERMISSION, "42501",
			    arena_format(db->look->arena,
			        "the role may not %s on %s", grant, name));
	}
	return 0;
}

static int
check_columns(struct database *db, const char *name, const char *relation,
    const cJSON *columns)
{
	struct arena *arena = db->look->arena;
	const char *missing = "";
	const cJSON *item = NULL;
	struct sql_rows rows;

	if (db->server->columns(db, relation, &rows) == -1)
		return -1;
	const char **words = arena_array(arena, rows.rows + 1, sizeof(*words));
	for (size_t i = 0; i < rows.rows; i++)
		words[i] = cell(&rows, i, 0);
	cJSON_ArrayForEach(item, columns)
	{
		const char *column = "";
		bool found = false;
		if (json_item_text(item, &column, NULL) == -1)
			continue;
		for (size_t i = 0; i < rows.rows && !found; i++)
			found = text_equal(words[i], column);
		if (found)
			continue;
		const char *near = text_nearest(column, words, rows.rows);
		missing = list_add(db, missing,
		    near == NULL ? column
		                 : arena_format(arena, "%s (the nearest is %s)",
		                       column, near));
	}
	if (missing[0] == '\0')
		return 0;
	look_note(db->look, arena_format(arena, "columns-missing %s", name),
	    "%s", missing);
	fault(db, CAUSE_NOT_FOUND, db->server->no_column,
	    arena_format(arena, "table %s has no column %s", name, missing));
	return 0;
}

static int
check_table(struct database *db, const cJSON *table)
{
	struct arena *arena = db->look->arena;
	struct err err = ERR_INIT;
	const char *name = NULL;
	const char *relation = NULL;
	const char *hint = NULL;
	const cJSON *columns = NULL;

	/* a bare name, or an object with one */
	if (cJSON_IsString(table))
		name = table->valuestring;
	else if (!cJSON_IsObject(table) ||
	         json_text(table, "name", "", &name, &err) == -1 ||
	         json_array(table, "columns", &columns, &err) == -1)
		name = NULL;
	if (name == NULL || name[0] == '\0')
		return wrong_request(db, "tables", &err);
	const char *key = arena_format(arena, "table %s", name);
	if (db->server->relation(db, name, &relation) == -1)
		return -1;
	if (relation[0] == '\0') {
		look_note(db->look, key, "missing");
		if (nearest_table(db, name, &hint) == -1)
			return -1;
		fault(db, CAUSE_NOT_FOUND, db->server->no_table,
		    arena_format(arena, "there is no table %s%s", name, hint));
		return 0;
	}
	look_note(db->look, key, "present");
	if (db->server->privileges(db, name, relation) == -1 ||
	    check_columns(db, name, relation, columns) == -1)
		return -1;
	return cJSON_IsObject(table) ? check_grants(db, name, relation, table)
	                             : 0;
}

static int
check_tables(struct database *db)
{
	struct err err = ERR_INIT;
	const cJSON *tables = NULL;
	const cJSON *item = NULL;

	if (json_array(db->look->request, "tables", &tables, &err) == -1)
		return wrong_request(db, "tables", &err);
	cJSON_ArrayForEach(
	    item, tables) if (check_table(db, item) == -1) return -1;
	return 0;
}

/* --- indexes ---------------------------------------------------------------
 */

static int
check_index(struct database *db, const char *name)
{
	struct arena *arena = db->look->arena;
	const char *key = arena_format(arena, "index %s", name);
	enum database_index state = DATABASE_INDEX_MISSING;

	if (db->server->index(db, name, &state) == -1)
		return -1;
	switch (state) {
	case DATABASE_INDEX_MISSING:
		look_note(db->look, key, "missing");
		fault(db, CAUSE_NOT_FOUND, db->server->no_index,
		    arena_format(arena, "there is no index %s", name));
		break;
	case DATABASE_INDEX_INVALID:
		look_note(db->look, key, "invalid");
		fault(db, CAUSE_MISMATCH, "invalid-index",
		    arena_format(arena,
		        "index %s is INVALID: its creation failed half-way",
		        name));
		break;
	case DATABASE_INDEX_VALID:
		look_note(db->look, key, "valid");
		break;
	}
	return 0;
}

static int
check_indexes(struct database *db)
{
	struct err err = ERR_INIT;
	const cJSON *indexes = NULL;
	const cJSON *item = NULL;

	if (json_array(db->look->request, "indexes", &indexes, &err) == -1)
		return wrong_request(db, "indexes", &err);
	cJSON_ArrayForEach(item, indexes)
	{
		const char *name = NULL;
		if (cJSON_IsObject(item)
		        ? json_text(item, "name", NULL, &name, &err) == -1
		        : json_item_text(item, &name, &err) == -1)
			return wrong_request(db, "indexes", &err);
		if (name != NULL && check_index(db, name) == -1)
			return -1;
	}
	return 0;
}

/* --- migrations ------------------------------------------------------------
 */

struct wanted {
	const char *table, *column, *version;
};

static int
take_migration(struct database *db, struct wanted *ret)
{
	struct err err = ERR_INIT;
	const cJSON *object = NULL;
	const cJSON *version = NULL;
	int64_t number = 0;

	if (json_object(db->look->request, "migration", &object, &err) == -1)
		return wrong_request(db, "migration", &err);
	if (object == NULL)
		return 0;
	version = cJSON_GetObjectItemCaseSensitive(object, "version");
	if (json_text(object, "table", "schema_migrations", &ret->table,
	        &err) == -1 ||
	    json_text(object, "column", "version", &ret->column, &err) == -1)
		return wrong_request(db, "migration", &err);
	if (json_item_text(version, &ret->version, NULL) == 0)
		return 0;
	if (json_item_i64(version, &number, &err) == -1)
		return wrong_request(db, "migration", &err);
	ret->version = arena_format(db->look->arena, "%lld", (long long)number);
	return 0;
}

/* Tools that keep one row only (the current version) have applied everything
 * up to it. */
static bool
one_row_newer(const struct database_migration *seen, const char *wanted)
{
	int64_t have = 0;
	int64_t want = 0;

	return text_equal(seen->rows, "1") && seen->newest != NULL &&
	       text_i64(seen->newest, 0, INT64_MAX, &have, NULL) == 0 &&
	       text_i64(wanted + strspn(wanted, "0"), 0, INT64_MAX, &want,
	           NULL) == 0 &&
	       have >= want;
}

static int
check_migration(struct database *db)
{
	struct arena *arena = db->look->arena;
	struct wanted wanted = {.version = NULL};
	struct database_migration seen = {.rows = NULL};
	const char *relation = NULL;

	if (take_migration(db, &wanted) == -1)
		return -1;
	if (wanted.version == NULL)
		return 0;
	if (db->server->relation(db, wanted.table, &relation) == -1)
		return -1;
	if (relation[0] == '\0') {
		fault(db, CAUSE_NOT_FOUND, db->server->no_table,
		    arena_format(arena,
		        "there is no table %s: no migration has run",
		        wanted.table));
		return 0;
	}
	if (db->server->migration(db, relation,
	        database_quoted(db, wanted.column), wanted.version,
	        &seen) == -1)
		return -1;
	look_note(db->look, "migration", "%s",
	    seen.newest == NULL ? "" : seen.newest);
	look_note(db->look, "migration-expected", "%s", wanted.version);
	if (seen.applied || one_row_newer(&seen, wanted.version))
		return 0;
	fault(db, CAUSE_MISMATCH, "migration",
	    seen.newest == NULL
	        ? arena_format(arena,
	              "migration %s is not applied: %s is empty",
	              wanted.version, wanted.table)
	        : arena_format(arena,
	              "migration %s is not applied: the newest is %s",
	              wanted.version, seen.newest));
	return 0;
}

/* Everything that is asked for by name; all of it in one pass. */
static int
check_schema(struct database *db)
{
	if (db->server->begin(db, false) == -1)
		return -1;
	int rc = 0;
	if (db->server->who(db) == -1 || check_tables(db) == -1 ||
	    check_indexes(db) == -1 || check_migration(db) == -1)
		rc = -1;
	db->server->end(db);
	return rc;
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
			look_note(db->look, "by", "%s", cell(rows, 0, i));
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
		look_note(db->look, "by", "%s", cell(&again, 0, 0));
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
	if (db->server->ask(db, "the query", sql, count, params, &rows) == 0) {
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
	if (db->server->ask(db, "the statement", sql, count, params, &rows) ==
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

/* Two sessions claim at the same time; both roll back. A claim that waits for
 * the other, or passes its job by, is atomic. */
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
		           ? "atomic: the second session waits for the first"
		           : arena_format(
		                 first->look->arena, "unknown: %s", err.text);
	if (theirs.rows == 0 || theirs.columns == 0)
		return "atomic: the second session gets none";
	return text_equal(cell(&mine, 0, 0), cell(&theirs, 0, 0))
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
	if (check_schema(db) == -1)
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
