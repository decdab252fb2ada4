/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

enum {
	MOST = 700, /* past every block and the longest short copy */
};

/* All lengths, a newline at each place, neighbours that differ in one bit and
 * a newline just outside. */
static void
newlines_are_found_from_both_ends(void **state)
{
	static char room[MOST + 2];

	(void)state;
	for (size_t len = 0; len < 3 * BYTES_WORD + 1; len++) {
		char *bytes = room + 1;
		memset(room, '\n' ^ 0x80, sizeof(room));
		room[0] = bytes[len] = '\n';
		assert_int_equal(bytes_newline(bytes, len), len);
		assert_int_equal(bytes_lines_end(bytes, len), 0);
		assert_int_equal(bytes_count_newlines(bytes, len), 0);
		for (size_t at = 0; at < len; at++) {
			memset(bytes, '\n' ^ 1, len);
			bytes[at] = '\n';
			assert_int_equal(bytes_newline(bytes, len), at);
			assert_int_equal(bytes_lines_end(bytes, len), at + 1);
			assert_int_equal(bytes_count_newlines(bytes, len), 1);
			bytes[0] = bytes[len - 1] = '\n';
			assert_int_equal(bytes_newline(bytes, len), 0);
			assert_int_equal(bytes_lines_end(bytes, len), len);
		}
	}
}

static void
newlines_are_counted_though_all_are(void **state)
{
	static char bytes[MOST];

	(void)state;
	memset(bytes, '\n', sizeof(bytes));
	for (size_t len = 0; len < sizeof(bytes); len++)
		assert_int_equal(bytes_count_newlines(bytes, len), len);
}

static void
copies_are_exact_at_every_length(void **state)
{
	static char from[MOST];
	static char to[MOST + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (char)(i % 251);
	for (size_t len = 0; len < sizeof(from); len++) {
		memset(to, 0x7e, sizeof(to));
		bytes_copy(to + 1, from, len);
		assert_memory_equal(to + 1, from, len);
		assert_int_equal(to[0], 0x7e);
		assert_int_equal(to[len + 1], 0x7e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(newlines_are_found_from_both_ends),
	    cmocka_unit_test(newlines_are_counted_though_all_are),
	    cmocka_unit_test(copies_are_exact_at_every_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
