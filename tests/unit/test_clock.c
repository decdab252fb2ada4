/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static void
wall_times_are_written_as_utc(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {INT64_C(1795313880123), "2026-11-22T02:18:00.123Z"},
	    {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
	    {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
	    {INT64_C(951868800000), "2000-03-01T00:00:00.000Z"},
	    {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
	    {INT64_C(1735689599999), "2024-12-31T23:59:59.999Z"},
	    {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
	    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
	    {-1, "1970-01-01T00:00:00.000Z"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char dst[CLOCK_TEXT_SIZE];
		assert_string_equal(clock_text(rows[i].ms, dst), rows[i].text);
	}
}

static void
every_day_of_four_centuries_agrees_with_libc(void **state)
{
	(void)state;
	for (int64_t day = 0; day < 146097; day++) {
		time_t seconds = (time_t)(day * 86400 + 3661);
		char dst[CLOCK_TEXT_SIZE];
		char want[64];
		struct tm tm;

		assert_non_null(gmtime_r(&seconds, &tm));
		(void)strftime(
		    want, sizeof(want), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
		assert_string_equal(
		    clock_text((int64_t)seconds * 1000 + 7, dst), want);
	}
}

static void
a_delay_never_overflows_and_never_stays_never(void **state)
{
	(void)state;
	assert_int_equal(clock_after(100, 50), 150);
	assert_true(clock_after(100, CLOCK_NEVER) == CLOCK_NEVER);
	assert_true(clock_after(CLOCK_NEVER, -5) == CLOCK_NEVER);
	assert_true(clock_after(INT64_MAX - 1, 2) == CLOCK_NEVER);
}

static void
a_timeout_is_the_time_that_is_left(void **state)
{
	(void)state;
	assert_int_equal(clock_timeout(100, CLOCK_NEVER), -1);
	assert_int_equal(clock_timeout(100, 100), 0);
	assert_int_equal(clock_timeout(100, 50), 0);
	assert_int_equal(clock_timeout(100, 101), 1);
	assert_int_equal(clock_timeout(0, 1000000), 60000);
	assert_int_equal(clock_timeout(INT64_MIN, INT64_MAX - 1), 60000);
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
	(void)state;
	int64_t before = clock_ms();

	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_ms();
		assert_true(now >= before);
		before = now;
	}
	/* after 2020: this is the wall's */
	assert_true(clock_wall_ms() > INT64_C(1577836800000));
}

static void
a_moment_has_one_wall_time_until_the_clock_is_set(void **state)
{
	(void)state;
	int64_t ahead_ms = clock_wall_ahead(0);
	int64_t apart_ms = clock_wall_ms() - clock_ms() - ahead_ms;

	assert_in_range(apart_ms + 2, 0, 4);
	/* across the ends of many milliseconds of both clocks */
	for (int64_t end_ms = clock_ms() + 50; clock_ms() < end_ms;)
		assert_int_equal(clock_wall_ahead(ahead_ms), ahead_ms);
	/* it was set since: by an hour, either way */
	assert_in_range(
	    clock_wall_ahead(ahead_ms + 3600000) - ahead_ms + 2, 0, 4);
	assert_in_range(
	    clock_wall_ahead(ahead_ms - 3600000) - ahead_ms + 2, 0, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wall_times_are_written_as_utc),
	    cmocka_unit_test(every_day_of_four_centuries_agrees_with_libc),
	    cmocka_unit_test(a_delay_never_overflows_and_never_stays_never),
	    cmocka_unit_test(a_timeout_is_the_time_that_is_left),
	    cmocka_unit_test(the_monotonic_clock_does_not_go_back),
	    cmocka_unit_test(a_moment_has_one_wall_time_until_the_clock_is_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
