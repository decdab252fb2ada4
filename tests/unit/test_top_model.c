/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top_model.h"

static const char STATUS[] =
    "{\"schema\":\"reeve.status/1\",\"name\":\"shop\","
    "\"operator\":{\"state\":\"running\",\"why\":null},"
    "\"workers\":["
    "{\"name\":\"mailer\",\"desired\":2,\"ready\":1,\"instances\":["
    " {\"index\":0,\"state\":\"ready\",\"ready\":true,\"pid\":10,"
    "  \"restarts\":1,\"started_at\":\"2026-11-22T05:00:00.000Z\","
    "  \"memory\":{\"current_bytes\":1048576},\"last_exit\":\"\"},"
    " {\"index\":1,\"state\":\"backoff\",\"ready\":false,\"pid\":null,"
    "  \"restarts\":7,\"started_at\":\"2026-11-22T05:00:30.000Z\","
    "  \"memory\":null,\"last_exit\":\"exit code 3\"}]},"
    "{\"name\":\"migrate\",\"desired\":1,\"ready\":0,\"instances\":["
    " {\"index\":0,\"state\":\"finished\",\"ready\":false}]},"
    "{\"name\":\"nightly\",\"desired\":0,\"ready\":0,"
    " \"schedule\":\"0 3 * * * UTC\",\"instances\":[]},"
    "{\"name\":\"gone\",\"desired\":1,\"ready\":0,\"instances\":[]}],"
    "\"queues\":[{\"name\":\"jobs\",\"waiting\":3,\"active\":null,"
    " \"error\":null}],"
    "\"drift\":[{\"worker\":\"mailer\",\"summary\":\"COLOUR differs\"}],"
    "\"alerts\":[{\"severity\":\"error\",\"subject\":\"worker mailer\","
    " \"summary\":\"not ready\"}]}";

enum {
	NOW_S = 1795323660 /* 2026-11-22T05:01:00Z */
};

static struct top_model model;

static int
read_it(const char *json)
{
	struct err err = ERR_INIT;

	return top_model_read(
	    &model, json, strlen(json), (int64_t)NOW_S * 1000, &err);
}

static int
teardown(void **state)
{
	(void)state;
	top_model_fini(&model);
	return 0;
}

static void
a_status_becomes_rows_and_what_is_unknown_stays_unknown(void **state)
{
	(void)state;
	assert_int_equal(read_it(STATUS), 0);
	assert_string_equal(model.name, "shop");
	assert_int_equal(model.desired, 3);
	assert_int_equal(model.ready, 1);
	assert_int_equal(model.nrows, 5);
	assert_int_equal(model.rows[0].age_ms, 60000);
	assert_int_equal(model.rows[0].memory_bytes, 1048576);
	assert_string_equal(model.rows[1].note, "exit code 3");
	assert_int_equal(model.rows[1].memory_bytes, TOP_UNKNOWN);
	assert_int_equal(model.rows[1].pid, TOP_UNKNOWN);
	assert_int_equal(model.nqueues, 1);
	assert_string_equal(model.queues[0].waiting, "3");
	assert_string_equal(model.queues[0].active, "?");
	assert_string_equal(model.queues[0].consumers, "?");
	assert_false(model.queues[0].nobody);
	assert_int_equal(model.ntroubles, 2);
	assert_string_equal(model.troubles[0].text, "worker mailer: not ready");
	assert_string_equal(model.troubles[1].severity, "drift");
}

static void
a_worker_without_instances_is_not_overlooked(void **state)
{
	(void)state;
	assert_int_equal(read_it(STATUS), 0);
	assert_string_equal(model.rows[3].state, "scheduled");
	assert_true(model.rows[3].ready);
	assert_string_equal(model.rows[4].worker, "gone");
	assert_string_equal(model.rows[4].state, "none");
	assert_false(model.rows[4].ready);
	assert_int_equal(model.rows[4].replica, TOP_UNKNOWN);
}

static void
rows_are_put_in_order_and_filtered(void **state)
{
	(void)state;
	assert_int_equal(read_it(STATUS), 0);
	top_model_arrange(&model, TOP_BY_RESTARTS, "");
	assert_int_equal(model.nshown, 5);
	assert_int_equal(model.rows[0].restarts, 7);
	assert_int_equal(model.rows[1].restarts, 1);
	top_model_arrange(&model, TOP_BY_MEMORY, "");
	assert_int_equal(model.rows[0].memory_bytes, 1048576);
	top_model_arrange(&model, TOP_BY_AGE, "");
	assert_int_equal(model.rows[0].age_ms, 30000);
	assert_int_equal(model.rows[4].age_ms, TOP_UNKNOWN);
	top_model_arrange(&model, TOP_BY_STATE, "");
	assert_false(model.rows[0].ready);
	assert_true(model.rows[4].ready);
	/* as declared again, whatever it was before */
	top_model_arrange(&model, TOP_BY_WORKER, "");
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(model.rows[i].order, i);
	top_model_arrange(&model, TOP_BY_WORKER, "MAILER/1");
	assert_int_equal(model.nshown, 1);
	assert_int_equal(model.rows[0].replica, 1);
	top_model_arrange(&model, TOP_BY_WORKER, "code 3");
	assert_int_equal(model.nshown, 1);
	top_model_arrange(&model, TOP_BY_WORKER, "nothing like it");
	assert_int_equal(model.nshown, 0);
	top_model_arrange(&model, TOP_BY_WORKER, "");
	assert_int_equal(model.nshown, 5);
}

static void
the_worst_trouble_comes_first_and_a_bound_is_one(void **state)
{
	(void)state;
	assert_int_equal(
	    read_it(
	        "{\"name\":\"shop\",\"queues\":[{\"name\":\"a\","
	        "\"failed\":4,\"dead\":null,"
	        "\"waiting\":5001,\"quality\":{\"waiting\":"
	        "\"at-least\",\"dead\":\"not-applicable\",\"active\":\"not-applicable\"},"
	        "\"active\":null,\"consumers\":0},"
	        "{\"name\":\"b\",\"waiting\":7,\"consumers\":0,"
	        "\"quality\":{\"waiting\":\"estimate\",\"consumers\":\"at-least\"}}],\"alerts\":["
	        "{\"severity\":\"warning\",\"subject\":\"a\"},"
	        "{\"severity\":\"critical\",\"subject\":\"b\"},"
	        "{\"severity\":\"warning\",\"subject\":\"c\"},"
	        "{\"severity\":\"critical\",\"subject\":\"f\",\"state\":\"explained\"},"
	        "{\"severity\":\"error\",\"subject\":\"d\"}],"
	        "\"drift\":[{\"worker\":\"e\"}]}"),
	    0);
	assert_string_equal(model.queues[0].waiting, "5001+");
	assert_string_equal(
	    model.queues[0].dead, "4"); /* what failed is that */
	assert_string_equal(model.queues[0].active, "-");
	assert_true(model.queues[0].nobody);
	assert_string_equal(model.queues[1].waiting, "7~");
	assert_string_equal(model.queues[1].dead, "?");
	assert_string_equal(model.queues[1].consumers, "0+");
	assert_false(model.queues[1].nobody);
	assert_int_equal(model.ntroubles, 6);
	assert_string_equal(model.troubles[0].text, "b: ");
	assert_string_equal(model.troubles[1].text, "d: ");
	assert_string_equal(model.troubles[2].text, "a: ");
	assert_string_equal(model.troubles[3].text, "c: ");
	assert_string_equal(model.troubles[4].severity, "drift");
	assert_string_equal(model.troubles[5].text, "(explained) f: ");
}

static void
what_a_probe_says_is_not_taken_for_an_end(void **state)
{
	(void)state;
	assert_int_equal(
	    read_it("{\"name\":\"shop\",\"workers\":[{\"name\":\"w\","
	            "\"desired\":1,\"ready\":0,\"instances\":[{\"index\":0,"
	            "\"state\":\"running\",\"probe\":\"exit code 1\"}]}]}"),
	    0);
	assert_string_equal(model.rows[0].note, "probe: exit code 1");
}

static void
what_is_not_a_status_leaves_the_old_one(void **state)
{
	(void)state;
	assert_int_equal(read_it(STATUS), 0);
	assert_int_equal(read_it("[1, 2"), -1);
	assert_int_equal(read_it("3"), -1);
	assert_int_equal(model.nrows, 5);
	assert_int_equal(read_it("{}"), 0);
	assert_int_equal(model.nrows, 0);
	assert_int_equal(model.nqueues, 0);
}

static void
a_long_name_keeps_what_tells_it_from_the_next(void **state)
{
	static const struct {
		const char *worker;
		int64_t replica;
		size_t width;
		const char *label;
	} rows[] = {
	    {"mailer", 0, 24, "mailer/0"},
	    {"mailer", TOP_UNKNOWN, 24, "mailer"},
	    {"exactly-as-long-as-it-is", TOP_UNKNOWN, 24,
	        "exactly-as-long-as-it-is"},
	    {"thumbnails-of-a-rather-long-name", 0, 24,
	        "thumbnails-of-a..-name/0"},
	    {"thumbnails-of-a-rather-long-name", 12, 24,
	        "thumbnails-of-a..name/12"},
	    {"thumbnails-of-a-rather-long-name", 0, 40,
	        "thumbnails-of-a-rather-long-name/0"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char label[TOP_LABEL_SIZE];
		top_label(
		    rows[i].worker, rows[i].replica, rows[i].width, label);
		assert_string_equal(label, rows[i].label);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(
	        a_status_becomes_rows_and_what_is_unknown_stays_unknown,
	        teardown),
	    cmocka_unit_test_teardown(
	        a_worker_without_instances_is_not_overlooked, teardown),
	    cmocka_unit_test_teardown(
	        rows_are_put_in_order_and_filtered, teardown),
	    cmocka_unit_test_teardown(
	        the_worst_trouble_comes_first_and_a_bound_is_one, teardown),
	    cmocka_unit_test_teardown(
	        what_a_probe_says_is_not_taken_for_an_end, teardown),
	    cmocka_unit_test_teardown(
	        what_is_not_a_status_leaves_the_old_one, teardown),
	    cmocka_unit_test(a_long_name_keeps_what_tells_it_from_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
