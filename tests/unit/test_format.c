/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/format.h"

enum {
	SIZE_MOST = 96
};

/* In every size of buffer it writes what vsnprintf writes, and nothing behind
 * it. */
PRINTF_LIKE(1, 2)
static void
same(const char *fmt, ...)
{
	for (size_t size = 0; size <= SIZE_MOST; size++) {
		char is[SIZE_MOST + 1], should[SIZE_MOST + 1];
		va_list args, again;

		memset(is, '#', sizeof(is));
		memset(should, '#', sizeof(should));
		va_start(args, fmt);
		va_copy(again, args);
		int len = format_args(is, size, fmt, args);
		assert_int_equal(len, vsnprintf(should, size, fmt, again));
		va_end(again);
		va_end(args);
		assert_memory_equal(is, should, sizeof(is));
	}
}

static void
what_is_written_here_is_what_vsnprintf_writes(void **state)
{
	(void)state;
	same("nothing but text");
	same("100%%, %%s%%");
	same("%s", "");
	same("worker=%s pid=%d ran_ms=%lld: %s%s%s", "w/7", 4711, 99LL,
	    "exit code 3", "", "");
	same("%d %i %u %x", INT_MIN, INT_MAX, UINT_MAX, UINT_MAX);
	same("%ld %li %lu %lx", LONG_MIN, LONG_MAX, ULONG_MAX, ULONG_MAX);
	same("%lld %llu %llx", LLONG_MIN, ULLONG_MAX, ULLONG_MAX);
	same("%zu %zd %zx", SIZE_MAX, (ssize_t)-1, (size_t)255);
	same("%d%d%u%x", 0, -1, 0U, 0U);
	same("[%.*s] [%.*s] [%.*s]", 3, "abcdef", 0, "abc", -1, "abc");
	same("%c%c", 'a', '\n');
	same("%s %d %s %d %s %d %s %d", "a", 1, "b", 2, "c", 3, "d", 4);
}

/* Behind a precision the bytes need not end. */
static void
no_byte_behind_a_precision_is_read(void **state)
{
	static const char bytes[3] = {'a', 'b', 'c'};
	char dst[8];

	(void)state;
	assert_int_equal(format_text(dst, sizeof(dst), "%.*s", 3, bytes), 3);
	assert_string_equal(dst, "abc");
}

static void
what_is_not_ours_is_left_to_vsnprintf(void **state)
{
	(void)state;
	same("%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
	same("%-7s|%.2s|%10.3s", "info", "abc", "abcdef");
	same("%s and %3u and %s", "a", 7U, "b");
	same("%.3f %g %e", 1.5, 0.25, 1e9);
	same("%hd %hhu %o %X %#x", (short)-3, (unsigned char)200, 8U, 255U,
	    255U);
	static int something;
	same("%jd %p", (intmax_t)-5, (void *)&something);
	same("%.*d|%*d", 4, 7, 6, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_here_is_what_vsnprintf_writes),
	    cmocka_unit_test(no_byte_behind_a_precision_is_read),
	    cmocka_unit_test(what_is_not_ours_is_left_to_vsnprintf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
