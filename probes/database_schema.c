/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/database_schema.h"

/* What is declared of a database, and there, or not: tables with their columns
 * and grants, indexes, the newest migration. */

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
		words[i] = sql_cell(&rows, i, 1);
		if (text_equal(words[i], bare))
			elsewhere = list_add(db, elsewhere,
			    arena_format(arena, "%s.%s", sql_cell(&rows, i, 0),
			        words[i]));
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
		words[i] = sql_cell(&rows, i, 0);
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

int
database_check_schema(struct database *db)
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
