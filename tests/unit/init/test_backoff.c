/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/backoff.h"

enum {
	FIRST_MS = 500,
	CAP_MS = 60000,
	HOUR_MS = 3600 * 1000
};

static const uint32_t least_noise = 0, most_noise = UINT32_MAX;

static void
the_delay_doubles_up_to_the_cap(void **state)
{
	struct backoff backoff = {.last_delay_ms = 0};
	int64_t whole_ms = FIRST_MS;

	(void)state;
	for (int i = 0; i < 12; i++) {
		int64_t delay_ms = backoff_next(
		    &backoff, CLASS_CRASH, 0, FIRST_MS, CAP_MS, least_noise);
		assert_int_equal(delay_ms, whole_ms / 2);
		whole_ms = MIN(whole_ms * 2, CAP_MS);
	}
}

static void
noise_spreads_over_the_upper_half_only(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		struct backoff backoff = {.last_delay_ms = 0};
		int64_t delay_ms = backoff_next(
		    &backoff, CLASS_CRASH, 0, 1000, CAP_MS, i * 4294967U);
		assert_in_range(delay_ms, 500, 1000);
	}
	struct backoff low = {.last_delay_ms = 0}, high = low;
	assert_int_equal(
	    backoff_next(&low, CLASS_CRASH, 0, 1000, CAP_MS, least_noise), 500);
	assert_int_equal(
	    backoff_next(&high, CLASS_CRASH, 0, 1000, CAP_MS, most_noise), 999);
}

static void
classes_are_counted_apart(void **state)
{
	struct backoff backoff = {.last_delay_ms = 0};

	(void)state;
	for (int i = 0; i < 5; i++)
		(void)backoff_next(
		    &backoff, CLASS_CRASH, 0, FIRST_MS, CAP_MS, least_noise);
	assert_int_equal(backoff_next(&backoff, CLASS_CONFIG, 0, FIRST_MS,
	                     CAP_MS, least_noise),
	    FIRST_MS / 2);
	assert_int_equal(backoff.failures[CLASS_CRASH], 5);
	assert_int_equal(backoff.failures[CLASS_CONFIG], 1);
}

static void
what_was_ordered_costs_nothing_and_is_not_remembered(void **state)
{
	struct backoff backoff = {.last_delay_ms = 0};

	(void)state;
	(void)backoff_next(
	    &backoff, CLASS_CRASH, 0, FIRST_MS, CAP_MS, least_noise);
	assert_int_equal(backoff_next(&backoff, CLASS_ORDERED, 0, FIRST_MS,
	                     CAP_MS, most_noise),
	    0);
	assert_int_equal(backoff.failures[CLASS_ORDERED], 0);
	assert_int_equal(backoff.failures[CLASS_CRASH], 1);
}

static void
health_forgives_but_only_when_it_lasted(void **state)
{
	struct backoff backoff = {.last_delay_ms = 0};

	(void)state;
	for (int i = 0; i < 4; i++)
		(void)backoff_next(
		    &backoff, CLASS_CRASH, 0, FIRST_MS, CAP_MS, least_noise);
	/* 59.999 s is not yet health */
	assert_int_equal(
	    backoff_next(&backoff, CLASS_CRASH, BACKOFF_HEALTHY_MS - 1,
	        FIRST_MS, CAP_MS, least_noise),
	    FIRST_MS * 16 / 2);
	assert_int_equal(backoff_next(&backoff, CLASS_CRASH, BACKOFF_HEALTHY_MS,
	                     FIRST_MS, CAP_MS, least_noise),
	    FIRST_MS / 2);
	/* after a delay of half an hour a minute is not enough, twice it is */
	int64_t last_ms = 0;
	for (int i = 0; i < 20; i++)
		last_ms = backoff_next(&backoff, CLASS_CRASH,
		    BACKOFF_HEALTHY_MS - 1, FIRST_MS, HOUR_MS, least_noise);
	assert_int_equal(last_ms, HOUR_MS / 2);
	assert_int_equal(backoff_next(&backoff, CLASS_CRASH, HOUR_MS - 1,
	                     FIRST_MS, HOUR_MS, least_noise),
	    HOUR_MS / 2);
	assert_int_equal(backoff_next(&backoff, CLASS_CRASH, HOUR_MS, FIRST_MS,
	                     HOUR_MS, least_noise),
	    FIRST_MS / 2);
}

static void
no_delay_stays_no_delay_and_huge_numbers_do_not_overflow(void **state)
{
	struct backoff backoff = {.last_delay_ms = 0};

	(void)state;
	for (int i = 0; i < 70000; i++)
		assert_int_equal(
		    backoff_next(&backoff, CLASS_CRASH, 0, 0, 0, most_noise),
		    0);
	assert_int_equal(backoff.failures[CLASS_CRASH], UINT16_MAX);
	backoff.last_delay_ms = 0;
	int64_t most = INT64_C(10) * 366 * 24 * 3600 * 1000;
	int64_t delay_ms =
	    backoff_next(&backoff, CLASS_CRASH, 0, 1, most, most_noise);
	assert_true(delay_ms > most / 2 && delay_ms <= most);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_delay_doubles_up_to_the_cap),
	    cmocka_unit_test(noise_spreads_over_the_upper_half_only),
	    cmocka_unit_test(classes_are_counted_apart),
	    cmocka_unit_test(
	        what_was_ordered_costs_nothing_and_is_not_remembered),
	    cmocka_unit_test(health_forgives_but_only_when_it_lasted),
	    cmocka_unit_test(
	        no_delay_stays_no_delay_and_huge_numbers_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
