/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checks/draining.h"

#define EXACT(n)                                 \
	{                                        \
		.value = (n), .know = KNOW_EXACT \
	}
#define AT_LEAST(n)                                 \
	{                                           \
		.value = (n), .know = KNOW_AT_LEAST \
	}
#define ESTIMATE(n)                                 \
	{                                           \
		.value = (n), .know = KNOW_ESTIMATE \
	}
#define NO_SUCH                             \
	{                                   \
		.know = KNOW_NOT_APPLICABLE \
	}
#define UNKNOWN                      \
	{                            \
		.why = "nobody says" \
	}

static void
only_exact_numbers_say_that_a_queue_drained(void **state)
{
	static const struct {
		struct queue_number waiting, active;
		enum result drained;
	} rows[] = {
	    {EXACT(0), EXACT(0), RESULT_PASSED},
	    {EXACT(0), NO_SUCH, RESULT_PASSED},
	    {EXACT(1), EXACT(0), RESULT_FAILED},
	    {EXACT(0), EXACT(1), RESULT_FAILED},
	    {AT_LEAST(1), UNKNOWN, RESULT_FAILED},
	    {UNKNOWN, AT_LEAST(1), RESULT_FAILED},
	    {ESTIMATE(3), EXACT(0), RESULT_FAILED},
	    {EXACT(0), UNKNOWN, RESULT_UNKNOWN},
	    {UNKNOWN, EXACT(0), RESULT_UNKNOWN},
	    {UNKNOWN, UNKNOWN, RESULT_UNKNOWN},
	    {EXACT(0), AT_LEAST(0), RESULT_UNKNOWN},
	    {EXACT(0), ESTIMATE(0), RESULT_UNKNOWN},
	    {ESTIMATE(0), EXACT(0), RESULT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct queue_state seen = {.waiting = rows[i].waiting,
		    .active = rows[i].active,
		    .head = ""};
		struct draining draining = {.drained = RESULT_WAIVED};

		draining_look(&draining, &seen, 1);
		if (draining.drained != rows[i].drained)
			fail_msg("row %zu", i);
		if ((draining.why != NULL) !=
		    (draining.drained == RESULT_UNKNOWN))
			fail_msg("row %zu: why", i);
	}
}

static void
estimates_of_none_must_stay_for_a_minute(void **state)
{
	struct queue_state seen = {
	    .waiting = ESTIMATE(0), .active = EXACT(0), .head = ""};
	struct draining draining = {0};

	(void)state;
	draining_look(&draining, &seen, 1000);
	draining_look(&draining, &seen, 1000 + DRAINING_REST_MS - 1);
	assert_int_equal(draining.drained, RESULT_UNKNOWN);
	draining_look(&draining, &seen, 1000 + DRAINING_REST_MS);
	assert_int_equal(draining.drained, RESULT_PASSED);
	/* one came and went */
	seen.waiting.value = 1;
	draining_look(&draining, &seen, 100000);
	assert_int_equal(draining.drained, RESULT_FAILED);
	seen.waiting.value = 0;
	draining_look(&draining, &seen, 100000 + DRAINING_REST_MS);
	assert_int_equal(draining.drained, RESULT_UNKNOWN);
	/* or nobody could look */
	draining_look(&draining, NULL, 100000 + DRAINING_REST_MS + 1);
	draining_look(&draining, &seen, 100000 + 2 * DRAINING_REST_MS);
	assert_int_equal(draining.drained, RESULT_UNKNOWN);
}

static void
what_is_not_known_is_told(void **state)
{
	const struct queue_state seen = {
	    .waiting = EXACT(0), .active = UNKNOWN, .head = ""};
	struct draining draining = {0};

	(void)state;
	draining_look(&draining, &seen, 1);
	assert_string_equal(draining.why, "nobody says");
	draining_look(&draining, NULL, 2);
	assert_int_equal(draining.drained, RESULT_UNKNOWN);
	assert_string_equal(draining.why, "it could not be looked at");
}

static void
rates_are_of_two_looks_in_a_row(void **state)
{
	struct queue_state seen = {.waiting = EXACT(10),
	    .active = EXACT(2),
	    .delayed = NO_SUCH,
	    .completed = EXACT(100),
	    .head = ""};
	struct draining draining = {0};

	(void)state;
	draining_look(&draining, &seen, 1000);
	assert_true(isnan(draining.net) && isnan(draining.out));
	seen.waiting.value = 4;
	seen.completed.value = 103;
	draining_look(&draining, &seen, 3000);
	assert_float_equal(draining.net, -3, 0.001);
	assert_float_equal(draining.out, 1.5, 0.001);
	/* a look that failed between them: since when isn't known */
	draining_look(&draining, NULL, 4000);
	draining_look(&draining, &seen, 5000);
	assert_true(isnan(draining.net));
	seen.active = (struct queue_number)AT_LEAST(2);
	draining_look(&draining, &seen, 6000);
	assert_true(isnan(draining.net));
	assert_float_equal(draining.out, 0, 0.001);
}

static void
a_head_moves_or_stays_by_what_is_kept_of_it(void **state)
{
	char longest[2 * DRAINING_HEAD_MAX];
	struct queue_state seen = {.waiting = EXACT(1), .head = "a"};
	struct draining draining = {0};

	(void)state;
	draining_look(&draining, &seen, 10);
	assert_int_equal(draining.head_moving, -1);
	draining_look(&draining, &seen, 20);
	assert_int_equal(draining.head_moving, 0);
	assert_int_equal(draining.head_since_ms, 10);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	seen.head = longest;
	draining_look(&draining, &seen, 30);
	assert_int_equal(draining.head_moving, 1);
	assert_int_equal(draining.head_since_ms, 30);
	draining_look(&draining, &seen, 40);
	assert_int_equal(draining.head_moving, 0);
	assert_int_equal(draining.head_since_ms, 30);
	seen.head = "";
	draining_look(&draining, &seen, 50);
	assert_int_equal(draining.head_moving, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_exact_numbers_say_that_a_queue_drained),
	    cmocka_unit_test(estimates_of_none_must_stay_for_a_minute),
	    cmocka_unit_test(what_is_not_known_is_told),
	    cmocka_unit_test(rates_are_of_two_looks_in_a_row),
	    cmocka_unit_test(a_head_moves_or_stays_by_what_is_kept_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
