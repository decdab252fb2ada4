/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "probes/prometheus.h"

static const char text[] =
    "# HELP jobs_total Jobs that were done.\n"
    "# TYPE jobs_total counter\n"
    "jobs_total{queue=\"a\",result=\"ok\"} 3\n"
    "jobs_total{queue=\"b\",result=\"ok\",} 4 1395066363000\n"
    "jobs_total{queue=\"a\\\"}\",result=\"ok\"} 100\r\n"
    "jobs_total_created 1.7e9 # {trace=\"x\"} 1\n"
    "\n"
    "# TYPE depth gauge\n"
    "depth 12\n"
    "odd NaN";

static struct prometheus_sample
find(const char *wanted)
{
	struct prometheus_sample sample;
	struct err err = ERR_INIT;

	assert_int_equal(
	    prometheus_find(text, strlen(text), wanted, &sample, &err), 0);
	return sample;
}

static void
series_that_match_are_added_up(void **state)
{
	(void)state;
	struct prometheus_sample all = find("jobs_total");

	assert_int_equal((int)all.value, 107);
	assert_int_equal(all.series, 3);
	assert_false(all.gauge);
	assert_int_equal((int)find("jobs_total{queue=\"a\"}").value, 3);
	assert_int_equal((int)find("jobs_total{result=\"ok\"}").value, 107);
	assert_int_equal((int)find("jobs_total{queue=\"a\\\"}\"}").value, 100);
}

static void
what_is_absent_has_no_series(void **state)
{
	(void)state;
	assert_int_equal(find("jobs").series, 0);
	assert_int_equal(find("jobs_total{queue=\"c\"}").series, 0);
	assert_int_equal(find("jobs_total{job=\"a\"}").series, 0);
}

static void
a_gauge_is_told(void **state)
{
	(void)state;
	assert_true(find("depth").gauge);
	assert_false(find("odd").gauge);
}

static void
what_is_not_the_format_is_an_error_and_no_zero(void **state)
{
	static const char *const bad[] = {"<html>", "a", "a b", "a{b} 1",
	    "a{b=\"c} 1", "a{b=\"c\" 1", "{a=\"b\"} 1", "a{b=\"\\", "a 1x"};
	struct prometheus_sample sample;
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(
		    prometheus_find(bad[i], strlen(bad[i]), "a", &sample, &err),
		    -1);
		assert_int_equal(err.kind, ERR_INPUT);
	}
	assert_int_equal(prometheus_find("a 1\n", 4, "a{", &sample, &err), -1);
	assert_int_equal(prometheus_find("a 1\n", 4, "a b", &sample, &err), -1);
	assert_int_equal(prometheus_find("", 0, "a", &sample, &err), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(series_that_match_are_added_up),
	    cmocka_unit_test(what_is_absent_has_no_series),
	    cmocka_unit_test(a_gauge_is_told),
	    cmocka_unit_test(what_is_not_the_format_is_an_error_and_no_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
