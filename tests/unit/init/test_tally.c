/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "supervisor/init/tally.h"

/* What a process that was killed leaves in the shared counts, at each of the
 * moments at which that may happen. */

static void
what_a_writer_held_is_lost_once(void **state)
{
	struct tally_file file = {.taken = 1000, .written = 400};
	bool exact = false;

	(void)state;
	assert_int_equal(tally_file_settle(&file, &exact), 600);
	assert_true(exact);
	assert_int_equal(file.lost, 600);
	assert_int_equal(tally_file_held(&file), 0);
	assert_int_equal(tally_file_settle(&file, &exact), 0);
	assert_int_equal(file.lost, 600);
	/* the next one goes on */
	file.taken += 50;
	assert_int_equal(tally_file_held(&file), 50);
	file.written += 50;
	assert_int_equal(tally_file_held(&file), 0);
	assert_int_equal(file.unsure, 0);
}

static void
a_kill_within_a_system_call_is_said(void **state)
{
	static const struct {
		struct tally_file file;
		bool exact;
	} moments[] = {
	    /* before the read is counted; after, before the flag is gone */
	    {{.taken = 10, .written = 10, .reading = 1}, false},
	    {{.taken = 20, .written = 10, .reading = 1}, true},
	    /* before the write is counted; after, before the flag is gone */
	    {{.taken = 20, .written = 10, .writing = 1}, false},
	    {{.taken = 20, .written = 20, .writing = 1}, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		struct tally_file file = moments[i].file;
		bool exact = !moments[i].exact;

		(void)tally_file_settle(&file, &exact);
		assert_int_equal(exact, moments[i].exact);
		assert_int_equal(file.unsure, moments[i].exact ? 0 : 1);
		assert_int_equal(file.reading, 0);
		assert_int_equal(file.writing, 0);
		assert_int_equal(file.written + file.lost, file.taken);
	}
}

static void
what_a_logger_held_is_lost(void **state)
{
	struct tallies *tallies = calloc(1, tally_bytes(3));

	(void)state;
	assert_non_null(tallies);
	tallies->used = 2;
	tallies->slots[0].received = (struct tally_count){10, 1000};
	tallies->slots[0].written = (struct tally_count){4, 400};
	tallies->slots[0].dropped = (struct tally_count){3, 300};
	tallies->slots[0].limited = (struct tally_count){1, 100};
	tallies->slots[1].received = (struct tally_count){5, 500};
	tallies->slots[1].written = (struct tally_count){5, 500};
	/* within a read of the second one */
	tallies->reading = 2;
	tally_settle(tallies);
	assert_int_equal(tallies->slots[0].lost.lines, 2);
	assert_int_equal(tallies->slots[0].lost.bytes, 200);
	assert_int_equal(tallies->slots[0].unsure, 0);
	assert_int_equal(tallies->slots[1].lost.bytes, 0);
	assert_int_equal(tallies->slots[1].unsure, 1);
	assert_int_equal(tallies->reading, 0);
	/* within a write: of anybody's whose lines were on their way */
	tallies->slots[0].received.bytes += 100;
	tallies->slots[1].unsure = 0;
	tallies->writing = 1;
	tally_settle(tallies);
	assert_int_equal(tallies->slots[0].unsure, 1);
	assert_int_equal(tallies->slots[1].unsure, 0);
	assert_int_equal(tallies->writing, 0);
	free(tallies);
}

static void
counts_that_are_read_while_they_change_are_never_below_nothing(void **state)
{
	struct tally tally = {.received = {1, 100}, .written = {2, 200}};
	struct tally_file file = {.taken = 100, .written = 200};

	(void)state;
	assert_int_equal(tally_held(&tally).lines, 0);
	assert_int_equal(tally_held(&tally).bytes, 0);
	assert_int_equal(tally_file_held(&file), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_writer_held_is_lost_once),
	    cmocka_unit_test(a_kill_within_a_system_call_is_said),
	    cmocka_unit_test(what_a_logger_held_is_lost),
	    cmocka_unit_test(
	        counts_that_are_read_while_they_change_are_never_below_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
