/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/look.h"
#include "probes/postgres_connection.h"

/*
 * Kind "postgres": log in as the worker would, then look, read only, at what is
 * asked for: tables and their columns, indexes, the migration's version, one
 * query's value; or execute one statement (the clean-up of a smoke). Facts:
 *   user, database, server, now (the server's clock), in-recovery, search-path
 *   table T           present, missing       columns-missing T   a, b
 *   elsewhere T       audit.T                nearest T           documents
 *   privileges T      SELECT INSERT …        rls T               on
 *   index I           valid, invalid, missing
 *   migration         the newest version     value, by, rows
 */
enum {
	NAMES_MAX = 2000,
	LIST_SIZE = 1024
};

struct pg {
	struct look *look;
	struct postgres_session session;
	/* what doesn't hold: the first decides the cause, all are told */
	enum cause cause;
	const char *code;
	const char *faults;
};

static void
fault(struct pg *pg, enum cause cause, const char *code, const char *text)
{
	if (pg->cause == CAUSE_NONE) {
		pg->cause = cause;
		pg->code = code;
		pg->faults = text;
	} else {
		pg->faults =
		    arena_format(pg->look->arena, "%s; %s", pg->faults, text);
	}
}

/* A statement of ours, or the asker's, was refused: that ends the look. */
static int
refused(struct pg *pg, const char *doing, const struct err *err)
{
	const struct postgres_trouble *trouble = &pg->session.trouble;
	bool rls = text_equal(trouble->state, "42501") &&
	           strstr(err->text, "row-level security") != NULL;

	if (rls)
		look_unknown(pg->look, CAUSE_PERMISSION, trouble->state,
		    "%s: row-level security hides rows from this role; what "
		    "it would count can't be trusted",
		    doing);
	else if (postgres_is_unknown(trouble))
		look_unknown(pg->look, trouble->cause, trouble->state, "%s: %s",
		    doing, err->text);
	else
		look_failed(pg->look, trouble->cause, trouble->state, "%s: %s",
		    doing, err->text);
	return -1;
}

static int
ask(struct pg *pg, const char *doing, const char *sql, int nparams,
    const char *const *params, PGresult **ret)
{
	struct err err = ERR_INIT;

	if (postgres_query(&pg->session, sql, nparams, params, ret, &err) == -1)
		return refused(pg, doing, &err);
	return 0;
}

static int
begin(struct pg *pg, bool writes)
{
	struct err err = ERR_INIT;

	if (postgres_begin(&pg->session, writes, &err) == -1)
		return refused(pg, "begin", &err);
	return 0;
}

static void
end(struct pg *pg)
{
	if (!pg->session.trouble.lost)
		(void)!postgres_run(&pg->session, "ROLLBACK", NULL);
}

static int
who_and_where(struct pg *pg)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;

	if (ask(pg, "who and where",
	        "SELECT current_user, current_database(),"
	        " current_setting('server_version'),"
	        " to_char(clock_timestamp() at time zone"
	        " 'utc','YYYY-MM-DD\"T\"HH24:MI:SS.MSZ'),"
	        " pg_is_in_recovery(),"
	        " array_to_string(current_schemas(false),"
	        " ', ')",
	        0, NULL, &r) == -1)
		return -1;
	static const char *const keys[] = {
	    "user", "database", "server", "now", "in-recovery", "search-path"};
	for (int i = 0; i < (int)ARRAY_LEN(keys); i++)
		look_note(pg->look, keys[i], "%s", PQgetvalue(r, 0, i));
	return 0;
}

/* Not everybody may ask; then the identity stays unknown. In a transaction of
 * its own, which a refusal ends. */
static void
identity(struct pg *pg)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;

	if (postgres_begin(&pg->session, false, NULL) == 0 &&
	    postgres_query(&pg->session,
	        "SELECT system_identifier::text || ' ' || current_database()"
	        " FROM pg_control_system()",
	        0, NULL, &r, NULL) == 0)
		pg->look->out.identity =
		    arena_text(pg->look->arena, PQgetvalue(r, 0, 0));
	end(pg);
}

#define PLAIN_NAME "^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)?$"

/* The table's oid, "" when there is none. As it would be written in SQL first,
 * then as an exact name. */
static int
find_relation(struct pg *pg, const char *name, const char **ret_oid)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *params[] = {name};

	if (ask(pg, "look for a relation",
	        "SELECT coalesce(CASE WHEN $1 ~ '" PLAIN_NAME
	        "' THEN to_regclass($1) END, to_regclass(quote_ident($1)))"
	        "::oid::text",
	        1, params, &r) == -1)
		return -1;
	*ret_oid = PQgetisnull(r, 0, 0)
	               ? ""
	               : arena_text(pg->look->arena, PQgetvalue(r, 0, 0));
	return 0;
}

static const char *
list_add(struct pg *pg, const char *list, const char *name)
{
	return list[0] == '\0'
	           ? arena_text(pg->look->arena, name)
	           : arena_format(pg->look->arena, "%s, %s", list, name);
}

/* The same name in another schema, else the nearest name there is. */
static int
nearest_table(struct pg *pg, const char *name, const char **ret_hint)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *dot = strrchr(name, '.');
	const char *bare = dot != NULL ? dot + 1 : name;
	const char *elsewhere = "";

	*ret_hint = "";
	if (ask(pg, "look for similar tables",
	        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace"
	        " n ON n.oid = c.relnamespace WHERE c.relkind IN"
	        " ('r','p','v','m','f') AND n.nspname NOT IN"
	        " ('pg_catalog','information_schema') AND n.nspname NOT LIKE"
	        " 'pg\\_%' ORDER BY 1, 2 LIMIT 2000",
	        0, NULL, &r) == -1)
		return -1;
	int rows = MIN(PQntuples(r), NAMES_MAX);
	const char **words =
	    arena_array(pg->look->arena, (size_t)rows + 1, sizeof(*words));
	for (int i = 0; i < rows; i++) {
		words[i] = PQgetvalue(r, i, 1);
		if (text_equal(words[i], bare))
			elsewhere = list_add(pg, elsewhere,
			    arena_format(pg->look->arena, "%s.%s",
			        PQgetvalue(r, i, 0), words[i]));
	}
	if (elsewhere[0] != '\0') {
		look_note(pg->look,
		    arena_format(pg->look->arena, "elsewhere %s", name), "%s",
		    elsewhere);
		*ret_hint = arena_format(pg->look->arena,
		    "; it exists as %s, which is not in the search path",
		    elsewhere);
		return 0;
	}
	const char *near = text_nearest(bare, words, (size_t)rows);
	if (near == NULL)
		return 0;
	look_note(pg->look, arena_format(pg->look->arena, "nearest %s", name),
	    "%s", near);
	*ret_hint =
	    arena_format(pg->look->arena, "; the nearest is '%s'", near);
	return 0;
}

static int
privileges(struct pg *pg, const char *name, const char *oid)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *params[] = {oid};

	if (ask(pg, "look at privileges",
	        "SELECT concat_ws(' ',"
	        " CASE WHEN has_table_privilege($1::oid,'SELECT') THEN 'SELECT'"
	        " END, CASE WHEN has_table_privilege($1::oid,'INSERT') THEN"
	        " 'INSERT' END,"
	        " CASE WHEN has_table_privilege($1::oid,'UPDATE') THEN 'UPDATE'"
	        " END, CASE WHEN has_table_privilege($1::oid,'DELETE') THEN"
	        " 'DELETE' END),"
	        " (SELECT relrowsecurity FROM pg_class WHERE oid = $1::oid),"
	        " coalesce((SELECT string_agg(c.relname, ', ') FROM pg_index i"
	        " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid ="
	        " $1::oid AND NOT i.indisvalid),'')",
	        1, params, &r) == -1)
		return -1;
	look_note(pg->look,
	    arena_format(pg->look->arena, "privileges %s", name), "%s",
	    PQgetvalue(r, 0, 0));
	if (text_equal(PQgetvalue(r, 0, 1), "t"))
		look_note(pg->look,
		    arena_format(pg->look->arena, "rls %s", name), "on");
	/* after a failed CREATE INDEX CONCURRENTLY it is listed like a good
	 * one */
	if (PQgetvalue(r, 0, 2)[0] != '\0')
		look_note(pg->look,
		    arena_format(pg->look->arena, "indexes-invalid %s", name),
		    "%s", PQgetvalue(r, 0, 2));
	return 0;
}

/* The privileges that were asked for: "grants": ["SELECT", "UPDATE"]. */
static int
check_grants(
    struct pg *pg, const char *name, const char *oid, const cJSON *table)
{
	struct err err = ERR_INIT;
	const cJSON *grants = NULL;
	const cJSON *item = NULL;

	if (json_array(table, "grants", &grants, &err) == -1) {
		look_unknown(pg->look, CAUSE_INTERNAL, "", "%s", err.text);
		return -1;
	}
	cJSON_ArrayForEach(item, grants)
	{
		CLEANUP(postgres_result_free) PGresult *r = NULL;
		const char *grant = "";
		if (json_item_text(item, &grant, NULL) == -1)
			continue;
		const char *params[] = {oid, grant};
		if (ask(pg, "look at privileges",
		        "SELECT has_table_privilege($1::oid, $2)", 2, params,
		        &r) == -1)
			return -1;
		if (!text_equal(PQgetvalue(r, 0, 0), "t"))
			fault(pg, CAUSE_PERMISSION, "42501",
			    arena_format(pg->look->arena,
			        "the role may not %s on %s", grant, name));
	}
	return 0;
}

static int
check_columns(
    struct pg *pg, const char *name, const char *oid, const cJSON *columns)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *params[] = {oid};
	const char *missing = "";
	const cJSON *item = NULL;

	if (ask(pg, "look at columns",
	        "SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND"
	        " attnum > 0 AND NOT attisdropped",
	        1, params, &r) == -1)
		return -1;
	size_t rows = (size_t)PQntuples(r);
	const char **words =
	    arena_array(pg->look->arena, rows + 1, sizeof(*words));
	for (size_t i = 0; i < rows; i++)
		words[i] = PQgetvalue(r, (int)i, 0);
	cJSON_ArrayForEach(item, columns)
	{
		const char *column = "";
		bool found = false;
		if (json_item_text(item, &column, NULL) == -1)
			continue;
		for (size_t i = 0; i < rows && !found; i++)
			found = text_equal(words[i], column);
		if (found)
			continue;
		const char *near = text_nearest(column, words, rows);
		missing = list_add(pg, missing,
		    near == NULL ? column
		                 : arena_format(pg->look->arena,
		                       "%s (the nearest is %s)", column, near));
	}
	if (missing[0] == '\0')
		return 0;
	look_note(pg->look,
	    arena_format(pg->look->arena, "columns-missing %s", name), "%s",
	    missing);
	fault(pg, CAUSE_NOT_FOUND, "42703",
	    arena_format(
	        pg->look->arena, "table %s has no column %s", name, missing));
	return 0;
}

static int
check_table(struct pg *pg, const cJSON *table)
{
	struct err err = ERR_INIT;
	const char *name = NULL;
	const char *oid = NULL;
	const char *hint = NULL;
	const cJSON *columns = NULL;

	/* a bare name, or an object with one */
	if (cJSON_IsString(table))
		name = table->valuestring;
	else if (!cJSON_IsObject(table) ||
	         json_text(table, "name", "", &name, &err) == -1 ||
	         json_array(table, "columns", &columns, &err) == -1)
		name = NULL;
	if (name == NULL || name[0] == '\0') {
		look_unknown(pg->look, CAUSE_INTERNAL, "",
		    "the request is wrong: 'tables' %s", err.text);
		return -1;
	}
	const char *key = arena_format(pg->look->arena, "table %s", name);
	if (find_relation(pg, name, &oid) == -1)
		return -1;
	if (oid[0] == '\0') {
		look_note(pg->look, key, "missing");
		if (nearest_table(pg, name, &hint) == -1)
			return -1;
		fault(pg, CAUSE_NOT_FOUND, "42P01",
		    arena_format(
		        pg->look->arena, "there is no table %s%s", name, hint));
		return 0;
	}
	look_note(pg->look, key, "present");
	if (privileges(pg, name, oid) == -1 ||
	    check_columns(pg, name, oid, columns) == -1)
		return -1;
	return cJSON_IsObject(table) ? check_grants(pg, name, oid, table) : 0;
}

static int
check_tables(struct pg *pg)
{
	struct err err = ERR_INIT;
	const cJSON *tables = NULL;
	const cJSON *item = NULL;

	if (json_array(pg->look->request, "tables", &tables, &err) == -1) {
		look_unknown(pg->look, CAUSE_INTERNAL, "", "%s", err.text);
		return -1;
	}
	cJSON_ArrayForEach(
	    item, tables) if (check_table(pg, item) == -1) return -1;
	return 0;
}

static int
check_index(struct pg *pg, const char *name)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *oid = NULL;

	if (find_relation(pg, name, &oid) == -1)
		return -1;
	const char *params[] = {oid[0] == '\0' ? "0" : oid};
	if (ask(pg, "look at an index",
	        "SELECT indisvalid AND indisready FROM pg_index WHERE"
	        " indexrelid = $1::oid",
	        1, params, &r) == -1)
		return -1;
	const char *key = arena_format(pg->look->arena, "index %s", name);
	if (PQntuples(r) == 0) {
		look_note(pg->look, key, "missing");
		fault(pg, CAUSE_NOT_FOUND, "42704",
		    arena_format(
		        pg->look->arena, "there is no index %s", name));
	} else if (!text_equal(PQgetvalue(r, 0, 0), "t")) {
		look_note(pg->look, key, "invalid");
		fault(pg, CAUSE_MISMATCH, "invalid-index",
		    arena_format(pg->look->arena,
		        "index %s is INVALID: its creation failed half-way",
		        name));
	} else {
		look_note(pg->look, key, "valid");
	}
	return 0;
}

static int
check_indexes(struct pg *pg)
{
	struct err err = ERR_INIT;
	const cJSON *indexes = NULL;
	const cJSON *item = NULL;

	if (json_array(pg->look->request, "indexes", &indexes, &err) == -1)
		goto wrong;
	cJSON_ArrayForEach(item, indexes)
	{
		const char *name = NULL;
		if (cJSON_IsObject(item)
		        ? json_text(item, "name", NULL, &name, &err) == -1
		        : json_item_text(item, &name, &err) == -1)
			goto wrong;
		if (name != NULL && check_index(pg, name) == -1)
			return -1;
	}
	return 0;
wrong:
	look_unknown(pg->look, CAUSE_INTERNAL, "",
	    "the request is wrong: 'indexes' %s", err.text);
	return -1;
}

struct migration {
	const char *table, *column, *version;
};

static int
take_migration(struct pg *pg, struct migration *ret)
{
	struct err err = ERR_INIT;
	const cJSON *object = NULL;
	const cJSON *version = NULL;
	int64_t number = 0;

	if (json_object(pg->look->request, "migration", &object, &err) == -1)
		goto wrong;
	if (object == NULL)
		return 0;
	version = cJSON_GetObjectItemCaseSensitive(object, "version");
	if (json_text(object, "table", "schema_migrations", &ret->table,
	        &err) == -1 ||
	    json_text(object, "column", "version", &ret->column, &err) == -1)
		goto wrong;
	if (json_item_text(version, &ret->version, NULL) == 0)
		return 0;
	if (json_item_i64(version, &number, &err) == -1)
		goto wrong;
	ret->version = arena_format(pg->look->arena, "%lld", (long long)number);
	return 0;
wrong:
	look_unknown(pg->look, CAUSE_INTERNAL, "",
	    "the request is wrong: 'migration' %s", err.text);
	return -1;
}

/* How many rows, the newest version, and whether the wanted one is there: as
 * text or as a number ("003" is 3). Tools that keep one row only (the current
 * version) have applied everything up to it. */
static int
ask_migration(struct pg *pg, const struct migration *wanted, PGresult **ret)
{
	char *column = PQescapeIdentifier(
	    pg->session.db, wanted->column, strlen(wanted->column));
	const char *params[] = {wanted->version};
	const char *oid = NULL;
	CLEANUP(postgres_result_free) PGresult *table = NULL;

	if (column == NULL) {
		look_unknown(pg->look, CAUSE_INTERNAL, "",
		    "the request is wrong: 'migration'");
		return -1;
	}
	const char *name = arena_text(pg->look->arena, column);
	PQfreemem(column);
	if (find_relation(pg, wanted->table, &oid) == -1)
		return -1;
	if (oid[0] == '\0') {
		fault(pg, CAUSE_NOT_FOUND, "42P01",
		    arena_format(pg->look->arena,
		        "there is no table %s: no migration has run",
		        wanted->table));
		return 0;
	}
	const char *by_oid[] = {oid};
	if (ask(pg, "look at the migrations", "SELECT $1::oid::regclass::text",
	        1, by_oid, &table) == -1)
		return -1;
	const char *sql = arena_format(pg->look->arena,
	    "SELECT count(*), (SELECT %s::text FROM %s ORDER BY"
	    " lpad(%s::text, 64, '0') DESC LIMIT 1),"
	    " coalesce(bool_or(%s::text = $1 OR"
	    " ltrim(%s::text,'0') = ltrim($1,'0')), false) FROM %s",
	    name, PQgetvalue(table, 0, 0), name, name, name,
	    PQgetvalue(table, 0, 0));
	return ask(pg, "look at the migrations", sql, 1, params, ret);
}

static bool
one_row_newer(const PGresult *r, const char *wanted)
{
	int64_t have = 0;
	int64_t want = 0;

	return text_equal(PQgetvalue(r, 0, 0), "1") &&
	       text_i64(PQgetvalue(r, 0, 1), 0, INT64_MAX, &have, NULL) == 0 &&
	       text_i64(wanted + strspn(wanted, "0"), 0, INT64_MAX, &want,
	           NULL) == 0 &&
	       have >= want;
}

static int
check_migration(struct pg *pg)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	struct migration wanted = {.version = NULL};

	if (take_migration(pg, &wanted) == -1)
		return -1;
	if (wanted.version == NULL)
		return 0;
	if (ask_migration(pg, &wanted, &r) == -1)
		return -1;
	if (r == NULL)
		return 0;
	look_note(pg->look, "migration", "%s", PQgetvalue(r, 0, 1));
	look_note(pg->look, "migration-expected", "%s", wanted.version);
	if (text_equal(PQgetvalue(r, 0, 2), "t") ||
	    one_row_newer(r, wanted.version))
		return 0;
	fault(pg, CAUSE_MISMATCH, "migration",
	    PQgetisnull(r, 0, 1)
	        ? arena_format(pg->look->arena,
	              "migration %s is not applied: %s is empty",
	              wanted.version, wanted.table)
	        : arena_format(pg->look->arena,
	              "migration %s is not applied: the newest is %s",
	              wanted.version, PQgetvalue(r, 0, 1)));
	return 0;
}

/* Everything that is asked for by name; all of it in one pass. */
static int
check_schema(struct pg *pg)
{
	if (begin(pg, false) == -1)
		return -1;
	int rc = 0;
	if (who_and_where(pg) == -1 || check_tables(pg) == -1 ||
	    check_indexes(pg) == -1 || check_migration(pg) == -1)
		rc = -1;
	end(pg);
	return rc;
}

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
		if (*at == '\'' || *at == '"')
			quote = *at;
		depth += (*at == '(') - (*at == ')');
		if (depth == 0 && strncasecmp(at, " FROM ", 6) == 0)
			return at;
	}
	return NULL;
}

/* Who processed: the column `by` of the row that the query finds, in the
 * query's own result or asked for in place of its select list. */
static void
who_processed(struct pg *pg, const char *sql, int nparams,
    const char *const *params, const PGresult *r)
{
	CLEANUP(postgres_result_free) PGresult *again = NULL;
	const char *by = NULL;

	if (look_text(pg->look, "by", NULL, &by) == -1 || by == NULL ||
	    PQntuples(r) == 0)
		return;
	int column = PQfnumber(r, by);
	if (column >= 0) {
		look_note(pg->look, "by", "%s", PQgetvalue(r, 0, column));
		return;
	}
	const char *from = outer_from(sql);
	char *name = PQescapeIdentifier(pg->session.db, by, strlen(by));
	struct err err = ERR_INIT;
	if (from == NULL || name == NULL ||
	    postgres_query(&pg->session,
	        arena_format(pg->look->arena, "SELECT %s%s", name, from),
	        nparams, params, &again, &err) == -1)
		look_note(pg->look, "by-unknown", "%s",
		    err.text[0] != '\0' ? err.text
		                        : "the query has no such column");
	else if (PQntuples(again) > 0)
		look_note(pg->look, "by", "%s", PQgetvalue(again, 0, 0));
	PQfreemem(name);
}

static const char *const *
canary_params(struct look *look, int count)
{
	const char **params =
	    arena_array(look->arena, (size_t)count + 1, sizeof(*params));

	for (int i = 0; i < count; i++)
		params[i] = look->canary;
	return params;
}

static int
run_query(struct pg *pg, const char *text)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	const char *sql = NULL;
	int count = 0;

	if (look_bind_canary(pg->look, text, "$", &sql, &count) == -1 ||
	    begin(pg, false) == -1)
		return -1;
	const char *const *params = canary_params(pg->look, count);
	int rc = ask(pg, "the query", sql, count, params, &r);
	if (rc == 0) {
		look_note(pg->look, "rows", "%d", PQntuples(r));
		look_expect(pg->look, "the query",
		    PQntuples(r) == 0 || PQnfields(r) == 0 ||
		            PQgetisnull(r, 0, 0)
		        ? NULL
		        : PQgetvalue(r, 0, 0));
		who_processed(pg, sql, count, params, r);
	}
	end(pg);
	return rc;
}

static int
run_execute(struct pg *pg, const char *text)
{
	CLEANUP(postgres_result_free) PGresult *r = NULL;
	struct err err = ERR_INIT;
	const char *sql = NULL;
	int count = 0;

	if (look_bind_canary(pg->look, text, "$", &sql, &count) == -1 ||
	    begin(pg, true) == -1)
		return -1;
	if (ask(pg, "the statement", sql, count, canary_params(pg->look, count),
	        &r) == -1) {
		end(pg);
		return -1;
	}
	if (postgres_run(&pg->session, "COMMIT", &err) == -1)
		return refused(pg, "commit", &err);
	look_note(pg->look, "rows", "%s", PQcmdTuples(r));
	look_passed(pg->look, "executed: %s rows",
	    PQcmdTuples(r)[0] != '\0' ? PQcmdTuples(r) : "no");
	return 0;
}

static void
look_closer(struct pg *pg)
{
	struct look *look = pg->look;
	const char *query = NULL;
	const char *execute = NULL;

	if (look_text(look, "query", NULL, &query) == -1 ||
	    look_text(look, "execute", NULL, &execute) == -1)
		return;
	ladder_begin(&look->ladder, STEP_QUERY, "");
	identity(pg);
	if (check_schema(pg) == -1)
		return;
	if (pg->cause != CAUSE_NONE) {
		look_failed(look, pg->cause, pg->code, "%s", pg->faults);
		return;
	}
	look_passed(look, "logged in as %s, database %s",
	    PQuser(pg->session.db), PQdb(pg->session.db));
	if (execute != NULL && run_execute(pg, execute) == -1)
		return;
	if (query != NULL)
		(void)!run_query(pg, query);
}

static void
finish_db(void *db)
{
	PQfinish(db);
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

void
probe_postgres(struct look *look)
{
	struct pg pg = {.look = look};
	const char *url = NULL;

	if (look_need(look, "url", &url) == -1)
		return;
	look_url(look, url);
	pg.session.deadline_ms = look->ladder.deadline_ms;
	pg.session.db = look_take(look, "postgres", url);
	if (pg.session.db == NULL && postgres_connection_open(url, NULL,
	                                 &look->ladder, &pg.session.db) == -1) {
		look_ladder_failed(look);
		return;
	}
	look_closer(&pg);
	last_rung(look);
	if (pg.session.trouble.lost ||
	    PQtransactionStatus(pg.session.db) != PQTRANS_IDLE)
		PQfinish(pg.session.db);
	else
		look_keep(look, "postgres", url, pg.session.db, finish_db);
}
