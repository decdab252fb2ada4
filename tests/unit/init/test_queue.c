/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/table.h"
#include "tests/unit/init/core_try.h"

/* Who starts next, of instances that ran for so long. */
enum {
	PLACES = 64,
	LONG_MS = 60000,
	SHORT_MS = 3,
};

static struct core *core;

static int
begin(void **state)
{
	(void)state;
	core = core_try(PLACES);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	core_try_free(core);
	return 0;
}

/* One that ended by itself after `ran_ms`. */
static int32_t
waits(int64_t ran_ms)
{
	int32_t slot = table_take(core);

	assert_int_not_equal(slot, CORE_NO_SLOT);
	core->instances[slot].active_ms = 1;
	past_make(core, slot)->last_ran_ms = ran_ms;
	start_queue(core, slot);
	return slot;
}

static int32_t
next(void)
{
	static int32_t pid = 100;
	int32_t slot = start_next(core);

	if (slot == CORE_NO_SLOT)
		return slot;
	start_dequeue(core, slot);
	core->instances[slot].pid = pid++;
	core->instances[slot].active_ms = 1;
	start_note_young(core, slot);
	return slot;
}

static void
who_ran_well_goes_before_a_crash_loop(void **state)
{
	(void)state;
	int32_t quick = waits(SHORT_MS);
	(void)waits(SHORT_MS);
	int32_t well = waits(LONG_MS), other = waits(LONG_MS);
	assert_int_equal(next(), well);
	assert_int_equal(next(), other);
	assert_int_equal(next(), quick);
}

static void
a_first_or_ordered_start_is_no_crash_loop(void **state)
{
	(void)state;
	(void)waits(SHORT_MS);
	int32_t slot = table_take(core);
	past_make(core, slot)->last_ran_ms = SHORT_MS;
	start_queue(core, slot);
	assert_int_equal(next(), slot);
	/* nor does it stand in the way of one */
	assert_int_not_equal(next(), CORE_NO_SLOT);
}

static void
a_loop_starts_again_when_the_young_one_ended_or_grew_up(void **state)
{
	(void)state;
	int32_t first = waits(SHORT_MS), second = waits(SHORT_MS);
	int32_t third = waits(SHORT_MS);
	assert_int_equal(CORE_YOUNG_MAX, 1);
	assert_int_equal(next(), first);
	assert_int_equal(next(), CORE_NO_SLOT);
	assert_true(start_waiting(core));
	core->instances[first].pid = 0;
	assert_int_equal(next(), second);
	assert_int_equal(next(), CORE_NO_SLOT);
	/* nothing else needs to happen for it to go on */
	assert_int_not_equal(core->young_timer.slot, 0);
	core->loop.now_ms = core->young_timer.at_ms;
	assert_int_equal(next(), third);
	assert_false(start_waiting(core));
}

static void
a_loop_does_not_starve(void **state)
{
	int32_t got = CORE_NO_SLOT;
	unsigned passed = 0;

	(void)state;
	int32_t quick = waits(SHORT_MS);
	for (; passed < PLACES && got != quick; passed++) {
		int32_t slot = waits(LONG_MS);
		got = next();
		if (got != quick) {
			assert_int_equal(got, slot);
			table_release(core, slot);
		}
	}
	assert_int_equal(got, quick);
	assert_int_equal(passed, 17);
}

static void
who_is_taken_out_is_not_started(void **state)
{
	(void)state;
	int32_t first = waits(LONG_MS), second = waits(LONG_MS);
	int32_t last = waits(LONG_MS), quick = waits(SHORT_MS);
	start_dequeue(core, second);
	start_dequeue(core, last);
	start_queue(core, second);
	/* how long it ran may change while it waits: its lane doesn't */
	past_make(core, quick)->last_ran_ms = LONG_MS;
	start_dequeue(core, quick);
	assert_int_equal(next(), first);
	assert_int_equal(next(), second);
	assert_int_equal(next(), CORE_NO_SLOT);
	assert_false(start_waiting(core));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        who_ran_well_goes_before_a_crash_loop, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_first_or_ordered_start_is_no_crash_loop, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_loop_starts_again_when_the_young_one_ended_or_grew_up, begin,
	        end),
	    cmocka_unit_test_setup_teardown(a_loop_does_not_starve, begin, end),
	    cmocka_unit_test_setup_teardown(
	        who_is_taken_out_is_not_started, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
