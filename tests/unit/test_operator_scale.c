/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "supervisor/operator/scale.h"

static const struct scale_policy policy = {
    .min = 0,
    .max = 20,
    .jobs_per_replica = 5,
    .activation = 2,
    .cooldown_ms = 60 * 1000,
    .stabilization_ms = 32 * 1000,
};

static int64_t
decide(struct scale_memory *memory, int64_t jobs, int64_t now_ms)
{
	return scale_decide(&policy, memory,
	    &(struct scale_facts){
	        .known = jobs >= 0, .jobs = jobs, .now_ms = now_ms});
}

static void
goes_up_at_once(void **state)
{
	struct scale_memory memory;

	(void)state;
	scale_begin(&memory, 0, 0);
	assert_int_equal(decide(&memory, 2, 1000), 0); /* not yet active */
	assert_int_equal(decide(&memory, 3, 2000), 1);
	assert_int_equal(decide(&memory, 5, 3000), 1);
	assert_int_equal(decide(&memory, 6, 4000), 2);
	assert_int_equal(decide(&memory, 37, 5000), 8);
	assert_int_equal(decide(&memory, INT64_MAX, 6000), 20);
}

static void
goes_down_late(void **state)
{
	struct scale_memory memory;

	(void)state;
	scale_begin(&memory, 0, 0);
	assert_int_equal(decide(&memory, 37, 1000), 8);
	/* the most that was wanted within the window */
	assert_int_equal(decide(&memory, 11, 20000), 8);
	assert_int_equal(decide(&memory, 11, 32000), 8);
	assert_int_equal(decide(&memory, 11, 36000), 3);
}

static void
to_none_only_after_the_cooldown(void **state)
{
	struct scale_memory memory;

	(void)state;
	scale_begin(&memory, 0, 0);
	assert_int_equal(decide(&memory, 10, 1000), 2);
	assert_int_equal(decide(&memory, 0, 40000), 1);
	assert_int_equal(decide(&memory, 0, 60999), 1);
	assert_int_equal(decide(&memory, 0, 61000), 0);
	/* and back with the first job above the activation */
	assert_int_equal(decide(&memory, 3, 62000), 1);
}

static void
unknown_keeps(void **state)
{
	struct scale_memory memory;
	int64_t now_ms = 1000;

	(void)state;
	scale_begin(&memory, 0, 0);
	assert_int_equal(decide(&memory, 37, now_ms), 8);
	for (; now_ms < 500000; now_ms += 5000)
		assert_int_equal(decide(&memory, -1, now_ms), 8);
	/* known to be empty: not sooner than a whole window later */
	assert_int_equal(decide(&memory, 0, now_ms), 8);
	assert_int_equal(decide(&memory, 0, now_ms + 25000), 8);
	assert_int_equal(decide(&memory, 0, now_ms + 40000), 1);
	assert_int_equal(decide(&memory, 0, now_ms + 70000), 0);
}

static void
the_busy_stay(void **state)
{
	struct scale_memory memory;
	struct scale_facts facts = {.known = true, .jobs = 40};

	(void)state;
	scale_begin(&memory, 0, 0);
	assert_int_equal(scale_decide(&policy, &memory, &facts), 8);
	facts = (struct scale_facts){
	    .known = true, .jobs = 3, .busy = 5, .now_ms = 100 * 1000};
	assert_int_equal(scale_decide(&policy, &memory, &facts), 5);
	/* a holder that isn't one of ours calls for nothing */
	facts.busy = 30;
	facts.now_ms += 1000;
	assert_int_equal(scale_decide(&policy, &memory, &facts), 5);
	facts.busy = 0;
	facts.now_ms += 1000;
	assert_int_equal(scale_decide(&policy, &memory, &facts), 1);
}

static void
what_was_there_counts(void **state)
{
	struct scale_memory memory;

	(void)state;
	scale_begin(&memory, 8, 0);
	assert_int_equal(decide(&memory, 0, 1000), 8);
	assert_int_equal(decide(&memory, 0, 30000), 8);
	assert_int_equal(decide(&memory, 0, 40000), 1);
}

static unsigned seed;
static int64_t
draw(int64_t below)
{
	seed = seed * 1103515245U + 12345U;
	return (int64_t)(seed >> 8) % below;
}

/* Whatever comes: within bounds; never fewer than are called for now; more
 * jobs never mean fewer replicas; and down only when nothing in the whole
 * window called for more. */
static void
random_sequences(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct scale_memory less, more;
		struct scale_policy p = policy;
		int64_t now_ms = 0, wanted_ms = 0, before = 0;
		seed = round + 1;
		p.min = draw(3);
		p.max = p.min + 1 + draw(20);
		p.jobs_per_replica = 1 + draw(9);
		p.activation = draw(4);
		scale_begin(&less, p.min, 0);
		scale_begin(&more, p.min, 0);
		before = p.min;
		for (int step = 0; step < 300; step++) {
			struct scale_facts facts = {.known = draw(10) > 0,
			    .jobs = draw(4) == 0 ? draw(300) : draw(10),
			    .now_ms = now_ms += 1 + draw(9000)};
			int64_t now = scale_decide(&p, &less, &facts);
			int64_t call =
			    MIN((facts.jobs + p.jobs_per_replica - 1) /
			            p.jobs_per_replica,
			        p.max);
			if (facts.known && facts.jobs > p.activation)
				assert_true(now >= call);
			if (!facts.known)
				assert_true(now >= before);
			assert_in_range(now, p.min, p.max);
			if (now > before || (facts.known && call >= before &&
			                        facts.jobs > p.activation))
				wanted_ms = now_ms;
			if (now < before)
				assert_true(now_ms - wanted_ms >=
				            p.stabilization_ms * 15 / 16);
			before = now;
			facts.jobs += draw(50);
			assert_true(scale_decide(&p, &more, &facts) >= now);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(goes_up_at_once),
	    cmocka_unit_test(goes_down_late),
	    cmocka_unit_test(to_none_only_after_the_cooldown),
	    cmocka_unit_test(unknown_keeps),
	    cmocka_unit_test(the_busy_stay),
	    cmocka_unit_test(what_was_there_counts),
	    cmocka_unit_test(random_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
