/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "supervisor/init/limiter.h"

/* Of lines of LINE bytes within a burst, how many pass at once. */
enum {
	LINE = 100,
	MANY = 1000
};

static unsigned
passed(struct limiter *limiter, const struct worker_logs *logs)
{
	unsigned count = 0;

	for (int i = 0; i < MANY; i++)
		count += limiter_take(limiter, logs, LINE);
	return count;
}

static void
without_a_rate_everything_passes(void **state)
{
	const struct worker_logs logs = {.burst_ms = 2000};
	const struct worker_logs bytes = {.rate_bytes = 1};
	const struct worker_logs lines = {.rate_lines = 1};
	struct limiter limiter = {.began = false};

	(void)state;
	assert_false(limiter_limits(&logs));
	assert_true(limiter_limits(&bytes));
	assert_true(limiter_limits(&lines));
	limiter_fill(&limiter, &logs, 1, 5000);
	assert_int_equal(passed(&limiter, &logs), MANY);
	assert_int_equal(limiter.cut_lines, 0);
}

static void
lines_pass_by_the_rate_and_what_is_cut_is_counted(void **state)
{
	const struct worker_logs logs = {.rate_lines = 10, .burst_ms = 2000};
	struct limiter limiter = {.began = false};

	(void)state;
	limiter_fill(&limiter, &logs, 1, 5000);
	assert_int_equal(passed(&limiter, &logs), 20);
	assert_int_equal(limiter.cut_lines, MANY - 20);
	assert_int_equal(limiter.cut_bytes, (MANY - 20) * LINE);
	/* a tenth of a second is one line, not a millisecond less */
	limiter_fill(&limiter, &logs, 1, 5099);
	assert_int_equal(passed(&limiter, &logs), 0);
	limiter_fill(&limiter, &logs, 1, 5100);
	assert_int_equal(passed(&limiter, &logs), 1);
	/* an hour's rest is a burst and not more */
	limiter_fill(&limiter, &logs, 1, 3600 * 1000);
	assert_int_equal(passed(&limiter, &logs), 20);
	/* and so is the longest time there is */
	limiter_fill(&limiter, &logs, 1, INT64_MAX);
	assert_int_equal(passed(&limiter, &logs), 20);
}

static void
bytes_pass_by_the_rate_and_one_line_may_overdraw(void **state)
{
	const struct worker_logs logs = {.rate_bytes = 250, .burst_ms = 1000};
	struct limiter limiter = {.began = false};

	(void)state;
	limiter_fill(&limiter, &logs, 1, 5000);
	assert_int_equal(passed(&limiter, &logs), 3);
	/* 50 are owed: paid after 200 ms */
	limiter_fill(&limiter, &logs, 1, 5200);
	assert_int_equal(passed(&limiter, &logs), 0);
	limiter_fill(&limiter, &logs, 1, 5201);
	assert_int_equal(passed(&limiter, &logs), 1);
}

static void
another_incarnation_begins_with_a_whole_burst(void **state)
{
	const struct worker_logs logs = {.rate_lines = 5, .burst_ms = 1000};
	struct limiter limiter = {.began = false};

	(void)state;
	limiter_fill(&limiter, &logs, 1, 5000);
	assert_int_equal(passed(&limiter, &logs), 5);
	limiter_fill(&limiter, &logs, 1, 5000);
	assert_int_equal(passed(&limiter, &logs), 0);
	limiter_fill(&limiter, &logs, 2, 5000);
	assert_int_equal(limiter.cut_lines, 0);
	assert_int_equal(passed(&limiter, &logs), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_rate_everything_passes),
	    cmocka_unit_test(lines_pass_by_the_rate_and_what_is_cut_is_counted),
	    cmocka_unit_test(bytes_pass_by_the_rate_and_one_line_may_overdraw),
	    cmocka_unit_test(another_incarnation_begins_with_a_whole_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
