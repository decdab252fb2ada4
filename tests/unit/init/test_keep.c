/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/init/keep.h"

static uint32_t lines_max; /* of each test */

static void
add(struct keep *keep, struct keep_instance *instance, const char *text)
{
	struct keep_line line = {.len = (uint32_t)strlen(text), .stream = 1};

	keep_add(keep, instance, lines_max, &line, text);
}

static void
read_back_in_order(const struct keep *keep,
    const struct keep_instance *instance, unsigned from, unsigned to)
{
	uint64_t at = 0;
	struct keep_line line;
	char text[4096];
	char want[32];

	for (unsigned i = from; i < to; i++) {
		assert_true(keep_read(keep, instance, &at, &line, text));
		int len = snprintf(want, sizeof(want), "line %u", i);
		assert_int_equal(line.len, len);
		assert_memory_equal(text, want, line.len);
		assert_int_equal(line.number, i);
	}
	assert_false(keep_read(keep, instance, &at, &line, text));
}

static void
at_most_so_many_lines_are_kept(void **state)
{
	struct keep keep;
	char text[32];
	(void)state;

	lines_max = 10;
	assert_int_equal(keep_init(&keep, 4, 32768, NULL), 0);
	struct keep_instance *a = keep_instance(&keep, 0, 0, "a", 0);
	for (unsigned i = 0; i < 25; i++) {
		(void)snprintf(text, sizeof(text), "line %u", i);
		add(&keep, a, text);
	}
	read_back_in_order(&keep, a, 15, 25);
	keep_fini(&keep);
}

static void
the_oldest_give_way_when_the_bytes_are_full(void **state)
{
	struct keep keep;
	char text[32];
	(void)state;

	lines_max = 1000000;
	assert_int_equal(keep_init(&keep, 1, 32768, NULL), 0);
	struct keep_instance *a = keep_instance(&keep, 0, 0, "a", 0);
	for (unsigned i = 0; i < 100000; i++) {
		(void)snprintf(text, sizeof(text), "line %u", i);
		add(&keep, a, text);
		assert_true(a->head - a->tail <= keep.ring_bytes);
	}
	assert_true(a->next - a->first > 50);
	read_back_in_order(&keep, a, (unsigned)a->first, 100000);
	keep_fini(&keep);
}

static void
a_line_bigger_than_the_ring_is_not_kept_and_hurts_nothing(void **state)
{
	static char big[33000];
	struct keep keep;
	struct keep_line line = {.len = sizeof(big)};
	(void)state;

	lines_max = 10;
	assert_int_equal(keep_init(&keep, 1, 32768, NULL), 0);
	struct keep_instance *a = keep_instance(&keep, 0, 0, "a", 0);
	add(&keep, a, "line 0");
	keep_add(&keep, a, lines_max, &line, big);
	uint64_t at = 0;
	assert_false(keep_read(&keep, a, &at, &line, NULL));
	add(&keep, a, "line 2");
	read_back_in_order(&keep, a, 2, 3);
	keep_fini(&keep);
}

static void
instances_have_rings_of_their_own(void **state)
{
	struct keep keep;
	char text[32];
	(void)state;

	lines_max = 5;
	assert_int_equal(keep_init(&keep, 3, 32768, NULL), 0);
	struct keep_instance *quiet = keep_instance(&keep, 0, 0, "quiet", 0);
	add(&keep, quiet, "line 0");
	struct keep_instance *noisy = keep_instance(&keep, 1, 0, "noisy", 0);
	assert_ptr_not_equal(quiet, noisy);
	assert_ptr_not_equal(quiet, keep_instance(&keep, 2, 0, "quiet", 1));
	assert_ptr_equal(quiet, keep_instance(&keep, 0, 0, "quiet", 0));
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(text, sizeof(text), "line %u", i);
		add(&keep, noisy, text);
	}
	read_back_in_order(&keep, quiet, 0, 1);
	keep_fini(&keep);
}

static void
another_instance_in_a_slot_begins_without_lines(void **state)
{
	struct keep keep;
	struct keep_line line;
	uint64_t at = 0;
	(void)state;

	lines_max = 5;
	assert_int_equal(keep_init(&keep, 2, 32768, NULL), 0);
	struct keep_instance *a = keep_instance(&keep, 1, 0, "a", 0);
	keep_started(a, 100);
	add(&keep, a, "line 0");
	assert_ptr_equal(keep_instance(&keep, 1, 0, "a", 0), a);
	assert_true(keep_read(&keep, a, &at, &line, NULL));
	assert_ptr_equal(keep_instance(&keep, 1, 1, "c", 0), a);
	at = 0;
	assert_false(keep_read(&keep, a, &at, &line, NULL));
	assert_string_equal(a->worker, "c");
	assert_int_equal(a->pid, 0);
	keep_fini(&keep);
}

static void
skipped_lines_count_and_are_not_there(void **state)
{
	struct keep keep;
	(void)state;

	lines_max = 3;
	assert_int_equal(keep_init(&keep, 1, 32768, NULL), 0);
	struct keep_instance *a = keep_instance(&keep, 0, 0, "a", 0);
	add(&keep, a, "line 0");
	keep_skip(&keep, a, 6);
	for (int i = 7; i < 10; i++) {
		char text[16];
		(void)snprintf(text, sizeof(text), "line %d", i);
		add(&keep, a, text);
	}
	read_back_in_order(&keep, a, 7, 10);
	keep_fini(&keep);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(at_most_so_many_lines_are_kept),
	    cmocka_unit_test(the_oldest_give_way_when_the_bytes_are_full),
	    cmocka_unit_test(
	        a_line_bigger_than_the_ring_is_not_kept_and_hurts_nothing),
	    cmocka_unit_test(instances_have_rings_of_their_own),
	    cmocka_unit_test(another_instance_in_a_slot_begins_without_lines),
	    cmocka_unit_test(skipped_lines_count_and_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
