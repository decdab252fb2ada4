/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "worker/limit.h"

static const struct limit_spec five = {.count = 5, .window_ms = 1000};

static void
so_many_at_once_and_then_one_after_another(void **state)
{
	struct limit limit = {0};

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(limit_take(&limit, &five, 10000), 10000);
	for (int i = 1; i <= 45; i++)
		assert_int_equal(
		    limit_take(&limit, &five, 10000), 10000 + 200 * i);
}

static void
what_was_not_used_is_there_again_but_never_more(void **state)
{
	struct limit limit = {0};

	(void)state;
	for (int i = 0; i < 5; i++)
		(void)limit_take(&limit, &five, 10000);
	/* two tokens in 400 ms */
	assert_int_equal(limit_take(&limit, &five, 10400), 10400);
	assert_int_equal(limit_take(&limit, &five, 10400), 10400);
	assert_int_equal(limit_take(&limit, &five, 10400), 10600);
	/* a day later five, not more */
	for (int i = 0; i < 5; i++)
		assert_int_equal(limit_take(&limit, &five, 86400000), 86400000);
	assert_true(limit_take(&limit, &five, 86400000) > 86400000);
}

/* Three a second: the fourth begins within the millisecond in which its token
 * comes, never before. */
static void
a_part_of_a_millisecond_is_waited_for(void **state)
{
	static const struct limit_spec three = {.count = 3, .window_ms = 1000};
	struct limit limit = {0};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(limit_take(&limit, &three, 10000), 10000);
	assert_int_equal(limit_take(&limit, &three, 10000), 10334);
	assert_int_equal(limit_take(&limit, &three, 10000), 10667);
	assert_int_equal(limit_take(&limit, &three, 10000), 11000);
}

/* In no window do more begin than a whole bucket and what came into it. */
static void
no_second_has_more_than_twice_the_count(void **state)
{
	struct limit limit = {0};
	static int64_t began[2000];

	(void)state;
	for (int i = 0; i < 2000; i++)
		began[i] = limit_take(&limit, &five, i * 7);
	for (int i = 10; i < 2000; i++)
		assert_true(began[i] - began[i - 10] >= 1000);
	for (int i = 1; i < 2000; i++)
		assert_true(began[i] >= began[i - 1]);
}

static void
without_a_count_there_is_no_limit_and_huge_ones_do_not_overflow(void **state)
{
	const struct limit_spec off = {0}, fast = {1000000, 1};
	const struct limit_spec slow = {1, INT64_C(10) * 366 * 86400 * 1000};
	struct limit limit = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(limit_take(&limit, &off, 77), 77);
		assert_int_equal(limit_take(&limit, &fast, 77), 77);
	}
	assert_int_equal(limit_take(&limit, &slow, 77), 77);
	for (int i = 0; i < 100000; i++)
		assert_true(limit_take(&limit, &slow, 77) > 77);
	assert_int_equal(limit.full_at_us, CLOCK_NEVER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(so_many_at_once_and_then_one_after_another),
	    cmocka_unit_test(what_was_not_used_is_there_again_but_never_more),
	    cmocka_unit_test(a_part_of_a_millisecond_is_waited_for),
	    cmocka_unit_test(no_second_has_more_than_twice_the_count),
	    cmocka_unit_test(
	        without_a_count_there_is_no_limit_and_huge_ones_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
