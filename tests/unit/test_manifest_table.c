/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "manifests/manifest.h"
#include "manifests/table.h"
#include "probes/queue/queue.h"
#include "tests/unit/manifest_try.h"

enum {
	TEXT_MAX = 4 * 1024 * 1024
};

static void
the_page_is_what_the_table_says(void **state)
{
	struct buffer made, kept;
	struct err err = ERR_INIT;

	(void)state;
	buffer_init(&made, TEXT_MAX);
	buffer_init(&kept, TEXT_MAX);
	manifest_docs_write(&made);
	assert_false(made.overflow);
	FILE *file = fopen("docs/manifest.md", "r");
	assert_non_null(file);
	assert_int_equal(buffer_read_all(&kept, fileno(file), &err), 0);
	assert_int_equal(fclose(file), 0);
	if (!text_equal(made.data, kept.data))
		fail_msg("docs/manifest.md is not what the table says: "
		         "reeve schema --markdown > docs/manifest.md");
	buffer_fini(&made);
	buffer_fini(&kept);
}

static void
every_mapping_and_key_is_in_the_schema(void **state)
{
	struct buffer schema;

	(void)state;
	buffer_init(&schema, TEXT_MAX);
	manifest_schema_write(&schema);
	assert_false(schema.overflow);
	for (enum mapping_id id = 0; id < MAPPINGS; id++) {
		const struct mapping *mapping = mapping_of(id);
		char text[128];
		(void)snprintf(text, sizeof(text), "\"%s\": {", mapping->name);
		if (id != MAPPING_manifest)
			assert_non_null(strstr(schema.data, text));
		for (size_t i = 0; i < mapping->nrows; i++) {
			(void)snprintf(text, sizeof(text), "\"%s\": {",
			    mapping->rows[i].key);
			assert_non_null(strstr(schema.data, text));
		}
	}
	buffer_fini(&schema);
}

static void
rows_say_what_their_defaults_are_in_a_form_that_reads(void **state)
{
	(void)state;
	for (enum mapping_id id = 0; id < MAPPINGS; id++) {
		const struct mapping *mapping = mapping_of(id);
		for (size_t i = 0; i < mapping->nrows; i++) {
			const struct row *row = &mapping->rows[i];
			int64_t n;
			assert_true(strlen(row->doc) > 0);
			if (row->dflt == NULL)
				continue;
			if (row->type == ROW_INT)
				assert_int_equal(text_i64(row->dflt, row->min,
				                     row->max, &n, NULL),
				    0);
			if (row->form == FORM_DURATION)
				assert_int_equal(
				    text_duration_ms(row->dflt, &n, NULL), 0);
			bool known = row->type != ROW_WORD;
			for (size_t j = 0; !known && row->words[j] != NULL; j++)
				known = text_equal(row->words[j], row->dflt);
			assert_true(known);
		}
	}
}

/* Every driver is a kind that acts, and every key that we let through is one
 * of the driver's: else the manifest would be accepted and the queue refused.
 */
static void
drivers_are_kinds_that_act_with_the_same_keys(void **state)
{
	const struct mapping *queue = mapping_of(MAPPING_queue);
	size_t count = 0;
	const struct queue_driver *const *drivers = queue_drivers(&count);

	(void)state;
	assert_true(count > 0);
	for (size_t n = 0; n < count; n++) {
		enum queue_kind_id kind = queue_kind_find(drivers[n]->kind);
		assert_int_not_equal(kind, QUEUE_KINDS);
		assert_true(queue_kinds[kind].acts);
		assert_string_equal(
		    drivers[n]->name_key, queue_kinds[kind].name_key);
		for (size_t i = 0; i < queue->nrows; i++) {
			const char *key = queue->rows[i].key;
			const char *const *it = drivers[n]->keys;
			if (((queue->rows[i].kinds >> kind) & 1) == 0)
				continue;
			if (text_equal(key, "deadLetter"))
				key = "dlq";
			while (*it != NULL && !text_equal(*it, key))
				it++;
			if (*it == NULL)
				fail_msg("the driver of %s has no key '%s'",
				    drivers[n]->kind, key);
		}
	}
}

/* --- whatever the validator accepts, libcyaml loads --- */

/* One value, tried at every key of every mapping. */
static const char *const samples[] = {"subject", "critical", "a", "\"\"", "''",
    "\"1\"", "1", "0", "80", "143", "200", "-1", "010", "0x10", "0o17", "1.5",
    "1e3", ".inf", "1_000", "ready", "\"@daily\"", "UTC", "true", "false",
    "yes", "~", "null", "", "[]", "{}", "[a]", "[\"\"]", "[1]", "[200, 404]",
    "[a, [b]]", "{a: b}", "{\"\": \"\"}", "[{}]", "30s", "1h30m", "512Mi",
    "250m", "10%", "0.1", "3 per 1h", "2026-12-31", "RV103", "redis://h",
    "http://h/p", "/p", "none", "A", "[A]", "[/a]", "q", "[q]", "w", "[w]", "s",
    "c", "reeve/v1", "SELECT 1", "$(CANARY)", "Never", "alert", "GET", "HTTP",
    "json", "slack", "plain", "worst", "kill", "in-band", "127.0.0.1:80",
    "left", "gone", "redis", "block", "batch", "idle", "[KILL]", "\"a\\nb\"",
    "é", "99999999999999999999", "\"true\"", "|\n   text\n"};

struct path { /* how to come to a mapping from the top */
	const struct row *row[8];
	enum mapping_id id[8];
	size_t depth;
};

static bool
find_path(enum mapping_id from, enum mapping_id to, struct path *path)
{
	const struct mapping *mapping = mapping_of(from);

	if (from == to)
		return true;
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		if (row->type != ROW_MAP && row->type != ROW_LIST)
			continue;
		path->row[path->depth] = row;
		path->id[path->depth++] = from;
		if (find_path(row->sub, to, path))
			return true;
		path->depth--;
	}
	return false;
}

static void minimal(struct buffer *out, enum mapping_id id,
    const struct row *given, const char *value);

static const char *
simple_value(const struct row *row)
{
	switch (row->form) {
	case FORM_REF_QUEUE:
		return "q";
	case FORM_REF_SECRET:
		return "s";
	case FORM_REF_CONFIG:
		return "c";
	case FORM_REF_WORKER:
		return "w";
	case FORM_URL:
		return "redis://h";
	case FORM_CRON:
		return "\"@daily\"";
	case FORM_ZONE:
		return "UTC";
	case FORM_DATE:
		return "2026-12-31";
	case FORM_FINDING:
		return "RV103";
	case FORM_PATH:
		return "/p";
	case FORM_PORT:
	case FORM_ID:
	case FORM_RLIMIT:
	case FORM_RLIMIT_BYTES:
	case FORM_CPUS:
	case FORM_PORTION:
		return "80";
	case FORM_INTERVAL:
		return "30s";
	case FORM_UMASK:
		return "027";
	case FORM_ADDRESS:
		return "127.0.0.1:80";
	case FORM_CAPABILITY:
		return "KILL";
	case FORM_ANY:
		return "$(CANARY)x";
	case FORM_SCALAR:
	case FORM_NAME:
	case FORM_LABEL:
	case FORM_TITLE:
	case FORM_ENV_NAME:
	case FORM_FILE:
	case FORM_SQL:
	case FORM_HEADER:
	case FORM_DURATION:
	case FORM_QUANTITY:
	case FORM_RATIO:
	case FORM_LIMIT:
	case FORM_RATE:
	case FORM_QUEUE_KIND:
		return "x";
	}
	UNREACHABLE("a form");
}

static void
minimal_value(struct buffer *out, enum mapping_id id, const struct row *row)
{
	bool canary = id == MAPPING_submit;
	bool job = id == MAPPING_row_sql || id == MAPPING_row_sqlite;

	switch (row->type) {
	case ROW_TEXT:
		if (job && row->form == FORM_SQL) {
			buffer_text(out, "$(JOB)");
			return;
		}
		buffer_text(out,
		    row->form == FORM_ANY && !canary ? "x" : simple_value(row));
		return;
	case ROW_WORD:
		buffer_text(out, row->words[0]);
		return;
	case ROW_INT:
		buffer_format(out, "%lld", (long long)MAX(row->min, 1));
		return;
	case ROW_FLAG:
		buffer_text(out, "true");
		return;
	case ROW_TEXTS:
		buffer_text(out, "[x]");
		return;
	case ROW_INTS:
		buffer_text(out, "[200]");
		return;
	case ROW_MAP:
		minimal(out, row->sub, NULL, NULL);
		return;
	case ROW_LIST:
		buffer_text(out, "[");
		minimal(out, row->sub, NULL, NULL);
		buffer_text(out, "]");
		return;
	case ROW_PAIRS:
	case ROW_EMPTY:
		buffer_text(out, "{}");
		return;
	case ROW_NAMES:
		buffer_text(out, "none");
		return;
	}
}

/* A queue's own key makes it a queue of the first kind that has it. */
static void
queue_extras(struct buffer *out, const struct row *given)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	size_t kind = 0;

	while (given != NULL && given->kinds != 0 &&
	       ((given->kinds >> kind) & 1) == 0)
		kind++;
	if (given == NULL || !text_equal(given->key, "kind"))
		buffer_format(out, ", kind: %s", queue_kinds[kind].word);
	if (given == NULL || !text_equal(given->key, "url"))
		buffer_format(out, ", url: \"%.*s://h\"",
		    (int)strcspn(queue_kinds[kind].schemes, " "),
		    queue_kinds[kind].schemes);
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		if (row != given && ((row->needed_by >> kind) & 1) != 0)
			buffer_format(out, ", %s: x", row->key);
	}
}

/* {…} with what is required, and `given` with `value`. */
static void
minimal(struct buffer *out, enum mapping_id id, const struct row *given,
    const char *value)
{
	const struct mapping *mapping = mapping_of(id);
	bool chosen = given != NULL && (given->need == NEED_ONE_OF ||
	                                   given->need == NEED_SOME_OF);
	bool any = false;

	buffer_text(out, "{");
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		bool choice =
		    row->need == NEED_ONE_OF || row->need == NEED_SOME_OF;
		bool url = id == MAPPING_queue && text_equal(row->key, "url");
		/* A stage by queue would need a state too. */
		bool plain = id != MAPPING_stage || row->type == ROW_MAP;
		if (row != given && row->need != NEED_REQUIRED &&
		    (!choice || chosen || !plain))
			continue;
		if (url && row != given)
			continue;
		chosen = chosen || choice;
		buffer_format(out, "%s%s: ", any ? ", " : "", row->key);
		any = true;
		if (row == given)
			buffer_text(out, value);
		else
			minimal_value(out, id, row);
	}
	if (id == MAPPING_queue)
		queue_extras(out, given);
	if (given != NULL && given->sub == MAPPING_row)
		buffer_text(out, ", id: x"); /* it goes with that */
	buffer_text(out, "}");
}

/* The list that holds it already, for the names that others refer to. */
static const char *
base_item(const char *key)
{
	if (text_equal(key, "queues"))
		return "{name: q, kind: redis, url: \"redis://h\", list: l}, ";
	if (text_equal(key, "secrets"))
		return "{name: s, dir: /nonexistent}, ";
	if (text_equal(key, "configs"))
		return "{name: c, data: {}}, ";
	if (text_equal(key, "workers"))
		return "{name: w, command: [/w]}, ";
	return "";
}

static void
manifest_with(struct buffer *out, const struct path *path, enum mapping_id id,
    const struct row *row, const char *sample)
{
	static const char *const bases[] = {
	    "queues", "secrets", "configs", "workers"};
	struct buffer value, outer;

	buffer_init(&value, TEXT_MAX);
	buffer_init(&outer, TEXT_MAX);
	minimal(&value, id, row, sample);
	for (size_t i = path->depth; i > 0; i--) {
		const struct row *up = path->row[i - 1];
		const char *base = i == 1 ? base_item(up->key) : "";
		buffer_clear(&outer);
		if (up->type == ROW_LIST)
			buffer_format(&outer, "[%s%s]", base, value.data);
		else
			buffer_text(&outer, value.data);
		buffer_clear(&value);
		if (i == 1)
			buffer_text(&value, outer.data);
		else
			minimal(&value, path->id[i - 1], up, outer.data);
	}
	buffer_clear(out);
	if (path->depth == 0) {
		buffer_text(out, value.data);
	} else {
		buffer_format(
		    out, TRY_HEAD "%s: %s\n", path->row[0]->key, value.data);
		for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
			if (!text_equal(bases[i], path->row[0]->key))
				buffer_format(out, "%s: [%s]\n", bases[i],
				    base_item(bases[i]));
		}
	}
	buffer_fini(&value);
	buffer_fini(&outer);
}

static bool
accepted(struct try *try, const char *text)
{
	bool right;

	try_load(try, text, NULL);
	for (size_t i = 0; i < try->errors.count; i++) {
		if (text_starts(try->errors.errors[i].text, "libcyaml"))
			fail_msg("accepted, but: %s\n%s",
			    try->errors.errors[i].text, text);
	}
	right = try->declared != NULL;
	arena_fini(&try->arena);
	arena_init(&try->arena, TRY_ARENA_MAX);
	return right;
}

/* Keys that no single value makes right: mappings and lists of them, and what
 * only goes with another key. */
static bool
needs_another(const struct row *row)
{
	static const char *const keys[] = {"query", "equals", "atLeast", "key",
	    "exists", "queue", "state",
	    /* each with the other */
	    "version", "versions",
	    /* of one that ends */
	    "backoffLimit", "activeDeadlineSeconds",
	    /* beside `schedule` */
	    "timeZone", "concurrencyPolicy", "startingDeadlineSeconds",
	    "suspend"};

	if (row->type == ROW_MAP || row->type == ROW_LIST)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (text_equal(row->key, keys[i]))
			return true;
	}
	return false;
}

static void
whatever_the_validator_accepts_libcyaml_loads(void **state)
{
	struct buffer text;
	struct try try;

	(void)state;
	buffer_init(&text, TEXT_MAX);
	try_begin(&try);
	for (enum mapping_id id = 0; id < MAPPINGS; id++) {
		const struct mapping *mapping = mapping_of(id);
		struct path path = {.depth = 0};
		assert_true(find_path(MAPPING_manifest, id, &path));
		for (size_t i = 0; i < mapping->nrows; i++) {
			size_t good = 0;
			for (size_t j = 0; j < ARRAY_LEN(samples); j++) {
				manifest_with(&text, &path, id,
				    &mapping->rows[i], samples[j]);
				good += accepted(&try, text.data);
			}
			if (good == 0 && !needs_another(&mapping->rows[i]))
				fail_msg("never accepted: %s.%s, as in\n%s",
				    mapping->name, mapping->rows[i].key,
				    text.data);
		}
	}
	try_end(&try);
	buffer_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_page_is_what_the_table_says),
	    cmocka_unit_test(every_mapping_and_key_is_in_the_schema),
	    cmocka_unit_test(
	        rows_say_what_their_defaults_are_in_a_form_that_reads),
	    cmocka_unit_test(drivers_are_kinds_that_act_with_the_same_keys),
	    cmocka_unit_test(whatever_the_validator_accepts_libcyaml_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
