/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/init/core.h"
#include "supervisor/init/table.h"
#include "tests/unit/init/core_try.h"

/* The table of process numbers grows with what is in it, not with the numbers.
 */
enum {
	WORKERS = 10000,
	STRIDE = 7,
	FIRST_PID = 300,
	CYCLES = 200000,
	PAGE = 4096,
};

static struct core *core;

static int
begin(void **state)
{
	(void)state;
	core = core_try(WORKERS);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	core_try_free(core);
	return 0;
}

static pid_t
pid_of(int index)
{
	return (pid_t)(FIRST_PID + index * STRIDE);
}

static void
set(int index)
{
	struct err err = ERR_INIT;

	assert_int_equal(
	    owner_set(core, pid_of(index), OWNER_INSTANCE, index, &err), 0);
}

static void
it_grows_and_keeps_what_is_in_it(void **state)
{
	(void)state;
	uint32_t before = core->owners_mask;
	for (int i = 0; i < WORKERS; i++)
		set(i);
	assert_true(core->owners_mask > before);
	assert_true(core->owners_mask + 1 <= core->owners_max);
	for (int i = 0; i < WORKERS; i += 2)
		owner_clear(core, pid_of(i));
	for (int i = 0; i < WORKERS; i++) {
		struct owner owner = owner_of(core, pid_of(i));
		assert_int_equal(
		    owner.kind, i % 2 == 0 ? OWNER_NONE : OWNER_INSTANCE);
		if (i % 2 != 0)
			assert_int_equal(owner.index, i);
	}
	assert_int_equal(core->owners_used, WORKERS / 2);
}

/* One that is started again and again gets ever new numbers. */
static void
numbers_that_come_and_go_touch_no_more_pages(void **state)
{
	static unsigned char there[4096];
	size_t bytes = 2 * (size_t)core->owners_max * sizeof(struct owner);
	unsigned pages = 0;

	(void)state;
	for (int i = 0; i < CYCLES; i++) {
		set(i);
		owner_clear(core, pid_of(i));
	}
	assert_true(bytes / PAGE <= sizeof(there));
	assert_int_equal(mincore(core->owners_room, bytes, there), 0);
	for (size_t i = 0; i < bytes / PAGE; i++)
		pages += there[i] & 1;
	assert_in_range(pages, 1, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        it_grows_and_keeps_what_is_in_it, begin, end),
	    cmocka_unit_test_setup_teardown(
	        numbers_that_come_and_go_touch_no_more_pages, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
