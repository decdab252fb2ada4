/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "probes/queue/sql.h"

/*
 * What is said to SQL Server, without one: a backend that keeps the statements
 * and answers as it is told. With REEVE_SQL_TEXTS=FILE they are written there,
 * a line each, for a parser of T-SQL (tests/service/queue_odbc.bats).
 */
static const char *answer; /* the one cell of every answer; NULL: no row */
static const char *first;  /* the first statement with a TOP */
static bool fails_late;    /* the second statement with a TOP is refused */
static int tops;
static FILE *out;

static int
run(struct queue *queue, const char *text, const struct sql_bound *bound,
    struct arena *arena, struct sql_rows *ret, struct err *err)
{
	size_t marks = 0;

	for (const char *c = text; *c != '\0'; c++)
		marks += *c == '?' ? 1 : 0;
	assert_true(marks <= bound->count);
	if (out != NULL)
		(void)fprintf(out, "%s\n", text);
	if (strstr(text, "TOP (") != NULL && tops++ == 0)
		first = arena_text(&queue->arena, text);
	if (fails_late && tops == 2)
		return queue_trouble(queue, CAUSE_DEADLINE, "HYT00", err,
		    ERR_TIMEOUT, "timeout");
	*ret = (struct sql_rows){.affected = 1};
	if (answer == NULL || strstr(text, "SELECT") == NULL)
		return 0;
	const char **cells = arena_array(arena, 8, sizeof(*cells));

	for (size_t i = 0; i < 8; i++)
		cells[i] = answer;
	ret->cell = cells;
	ret->rows = 1;
	ret->columns = 8;
	return 0;
}

static int
describe(struct queue *queue, const char *column, struct sql_table *ret,
    struct err *err)
{
	static const struct sql_column columns[] = {{"id", "varchar", false},
	    {"status", "varchar", false}, {"lease]at", "datetime2", false},
	    {"tries", "int", false}, {"created", "datetimeoffset", false},
	    {"run_at", "datetime", false}, {"who", "varchar", false}};

	(void)queue;
	(void)column;
	(void)err;
	ret->columns = columns;
	ret->ncolumns = ARRAY_LEN(columns);
	ret->indexed = true;
	return 0;
}

static const struct sql_backend backend = {.run = run, .describe = describe};

static void
make_table(struct queue *queue, struct sql_table *table)
{
	static const struct queue_option options[] = {{"table", "documents"},
	    {"schema", "audit"}, {"lease", "lease]at"}, {"attempts", "tries"},
	    {"created", "created"}, {"run_at", "run_at"}, {"owner", "who"},
	    {"tz", "W. Europe Standard Time"},
	    {"procedure", "acquire_document_lease"}};
	struct err err = ERR_INIT;

	*queue = (struct queue){.name = "documents",
	    .target = "here",
	    .spec = {.options = options,
	        .noptions = ARRAY_LEN(options),
	        .count_to = QUEUE_COUNT_MIN},
	    .state = table};
	arena_init(&queue->arena, 4 << 20);
	*table = (struct sql_table){.dialect = &odbc_dialects[0],
	    .backend = &backend,
	    .server = "",
	    .identity = "",
	    .about_rows = -1};
	assert_int_equal(sql_layout(queue, table, &err), 0);
	sql_names(queue, table);
	tops = 0;
	fails_late = false;
	answer = "7";
}

static void
test_observes(void **state)
{
	struct sql_table table;
	struct queue queue;
	struct queue_state seen = {0};
	struct err err = ERR_INIT;

	(void)state;
	make_table(&queue, &table);
	assert_int_equal(sql_observe(&queue, &queue.arena, &seen, &err), 0);
	assert_int_equal(seen.waiting.value, 7);
	assert_int_equal(seen.waiting.know, KNOW_EXACT);
	assert_string_equal(first,
	    "SELECT COUNT(*) FROM (SELECT TOP (5001) 1 AS x FROM "
	    "[audit].[documents] WITH (READPAST) WHERE [status] IN (?) AND "
	    "([run_at] IS NULL OR [run_at]<=CAST(SYSUTCDATETIME() AT TIME ZONE "
	    "'UTC' AT TIME ZONE 'W. Europe Standard Time' AS DATETIME2))) c");
	assert_int_equal(sql_near(&queue, &queue.arena, &seen, &err), 0);
	arena_fini(&queue.arena);
}

static void
test_time_that_is_over_ends_one_count(void **state)
{
	struct sql_table table;
	struct queue queue;
	struct queue_state seen = {0};
	struct err err = ERR_INIT;

	(void)state;
	make_table(&queue, &table);
	fails_late = true;
	assert_int_equal(sql_observe(&queue, &queue.arena, &seen, &err), 0);
	assert_int_equal(seen.waiting.know, KNOW_EXACT);
	assert_int_equal(seen.active.know, KNOW_UNKNOWN);
	assert_int_equal(seen.failed.know, KNOW_EXACT);
	arena_fini(&queue.arena);
}

static void
test_odd_answers(void **state)
{
	static const char *const odd[] = {"NaN", "1e400", "", "-",
	    "99999999999999999999", "infinity", "\xff\xfe", "1.5"};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct sql_table table;
		struct queue queue;
		struct queue_state seen = {0};

		make_table(&queue, &table);
		answer = odd[i];
		assert_int_equal(
		    sql_observe(&queue, &queue.arena, &seen, &err), 0);
		assert_int_equal(seen.waiting.know, KNOW_UNKNOWN);
		assert_int_equal(seen.oldest_ms.know, KNOW_UNKNOWN);
		arena_fini(&queue.arena);
	}
}

static void
test_a_procedure_that_is_absent(void **state)
{
	struct sql_table table;
	struct queue queue;
	struct queue_state seen = {0};
	struct err err = ERR_INIT;

	(void)state;
	make_table(&queue, &table);
	answer = NULL;
	assert_int_equal(sql_observe(&queue, &queue.arena, &seen, &err), -1);
	assert_non_null(strstr(err.text, "acquire_document_lease"));
	arena_fini(&queue.arena);
}

static void
test_jobs(void **state)
{
	static const char *const ids[] = {"7"};
	struct queue_submission job = {.canary = "7d9f1c52",
	    .payload = "{\"id\":\"7\"}",
	    .len = 10,
	    .receipt = "7"};
	struct queue_move move = {.ids = ids, .nids = 1};
	struct sql_table table;
	struct queue queue;
	struct queue_sighting seen = {0};
	struct queue_page page = {0};
	struct queue_moved moved = {0};
	struct err err = ERR_INIT;
	const char *receipt = NULL;
	bool removed = false;

	(void)state;
	make_table(&queue, &table);
	assert_int_equal(
	    sql_submit(&queue, &job, &queue.arena, &receipt, &err), 0);
	assert_string_equal(receipt, "7");
	assert_int_equal(
	    sql_follow(&queue, &job, &queue.arena, &seen, &err), 0);
	assert_int_equal(sql_remove(&queue, &job, &removed, &err), 0);
	assert_true(removed);
	for (int part = PART_WAITING; part <= PART_EXPIRED; part++)
		assert_int_equal(sql_list(&queue, (enum queue_part)part, 10,
		                     &queue.arena, &page, &err),
		    0);
	for (int from = PART_DEAD; from <= PART_EXPIRED; from++) {
		move.from = (enum queue_part)from;
		assert_int_equal(
		    sql_move(&queue, &move, &queue.arena, &moved, &err), 0);
		assert_int_equal(moved.count, 1);
	}
	arena_fini(&queue.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_observes),
	    cmocka_unit_test(test_time_that_is_over_ends_one_count),
	    cmocka_unit_test(test_odd_answers),
	    cmocka_unit_test(test_a_procedure_that_is_absent),
	    cmocka_unit_test(test_jobs),
	};
	const char *path = getenv("REEVE_SQL_TEXTS");

	if (path != NULL)
		out = fopen(path, "we");
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	if (out != NULL)
		(void)fclose(out);
	return rc;
}
