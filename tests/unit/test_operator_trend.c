/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/operator/trend.h"

static struct loop loop;
static struct loop_timer *heap[8];
static struct store store;
static struct trend *trend;

static int
open_trend(void **state)
{
	(void)state;
	assert_int_equal(store_open(&store, NULL, NULL), 0);
	trend = trend_new(&store, &loop, NULL);
	assert_non_null(trend);
	assert_int_equal(
	    sqlite3_exec(store.db, "INSERT INTO queues VALUES(1, 'jobs')", NULL,
	        NULL, NULL),
	    SQLITE_OK);
	return 0;
}

static int
close_trend(void **state)
{
	(void)state;
	trend_free(trend);
	store_close(&store);
	return 0;
}

/* at, waiting, failed, dead, completed: SQL values. */
static void
look(const char *values)
{
	char sql[256];

	(void)snprintf(sql, sizeof(sql),
	    "INSERT INTO queue_looks(queue, at, waiting, failed, dead, "
	    "completed) VALUES(1, %s)",
	    values);
	assert_int_equal(
	    sqlite3_exec(store.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void
counters_that_were_reset(void **state)
{
	struct trend_counts counts;

	(void)state;
	trend_counts(trend, "jobs", 0, &counts);
	assert_int_equal(counts.completed, -1);
	look("1000, 0, 5, 1, 100");
	look("2000, 0, 7, 1, 110");
	look("3000, NULL, NULL, NULL, NULL");
	look("4000, 0, 0, 2, 3"); /* not known from what */
	look("5000, 0, 1, 2, 9");
	look("6000, 0, 0, 2, 2"); /* reset: what came since isn't counted */
	look("7000, 0, 0, 3, 4");
	trend_counts(trend, "jobs", 0, &counts);
	assert_int_equal(counts.completed, 10 + 6 + 2);
	assert_int_equal(counts.failed, 2 + 1 + 1);
	trend_counts(trend, "jobs", 4000, &counts);
	assert_int_equal(counts.completed, 6 + 2);
	trend_counts(trend, "other", 0, &counts);
	assert_int_equal(counts.completed, -1);
}

static void
above_since(void **state)
{
	struct trend_above above;

	(void)state;
	trend_above(trend, "jobs", "waiting", 10, &above);
	assert_int_equal(above.since_wall_ms, 0);
	look("1000, 50, 0, 0, 0");
	look("2000, 10, 0, 0, 0");
	trend_above(trend, "jobs", "waiting", 10, &above);
	assert_int_equal(above.since_wall_ms, 0);
	look("3000, 11, 0, 0, 0");
	look("4000, NULL, 0, 0, 0");
	look("5000, 30, 0, 0, 0");
	look("6000, NULL, 0, 0, 0");
	trend_above(trend, "jobs", "waiting", 10, &above);
	assert_int_equal(above.since_wall_ms, 3000);
	assert_int_equal(above.last_wall_ms, 5000);
	assert_true(above.most > 29 && above.most < 31);
	look("7000, 0, 0, 0, 0");
	trend_above(trend, "jobs", "waiting", 10, &above);
	assert_int_equal(above.since_wall_ms, 0);
}

static int64_t
count(const char *sql)
{
	CLEANUP(store_statement_free)
	sqlite3_stmt *row = store_prepare(&store, sql);

	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	return sqlite3_column_int64(row, 0);
}

/* What a predecessor left becomes minutes, and what is too old goes; a view
 * whose numbers aren't known is a row of NULLs. */
static void
rolled_up_and_pruned(void **state)
{
	static const struct queue_state unknown = {.paused = -1};
	struct queue_view view = {.name = "jobs", .state = &unknown};
	int64_t minute = (clock_wall_ms() / 60000 - 5) * 60000;
	char values[128];

	(void)state;
	look("1000, 1, 0, 0, 0"); /* 1970: neither looks nor minutes */
	for (int i = 0; i < 4; i++) {
		(void)snprintf(values, sizeof(values), "%lld, %d, 0, 0, %d",
		    (long long)(minute + 1000 * i), i * 10, i);
		look(values);
	}
	trend_add(trend, &view, 1, 5000);
	assert_int_equal(count("SELECT count(*) FROM queue_minutes"), 1);
	assert_int_equal(count("SELECT waiting FROM queue_minutes"), 15);
	assert_int_equal(count("SELECT waiting_max FROM queue_minutes"), 30);
	assert_int_equal(count("SELECT completed FROM queue_minutes"), 3);
	assert_int_equal(count("SELECT count(*) FROM queue_looks"), 5);
	assert_int_equal(
	    count("SELECT count(*) FROM queue_looks WHERE waiting IS NULL"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        counters_that_were_reset, open_trend, close_trend),
	    cmocka_unit_test_setup_teardown(
	        above_since, open_trend, close_trend),
	    cmocka_unit_test_setup_teardown(
	        rolled_up_and_pruned, open_trend, close_trend),
	};

	if (loop_init(&loop, heap, ARRAY_LEN(heap), NULL) == -1)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	loop_fini(&loop);
	return failed;
}
