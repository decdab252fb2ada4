/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"

static void
it_is_terminated_from_the_beginning(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, 10);
	assert_string_equal(b.data, "");
	buffer_fini(&b);
	assert_string_equal(b.data, "");
}

static void
what_is_appended_is_there_and_terminated(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, 1 << 20);
	for (int i = 0; i < 10000; i++)
		buffer_format(&b, "%d,", i % 10);
	buffer_text(&b, "");
	buffer_append(&b, "a\0b", 3);
	assert_int_equal(b.len, 20003);
	assert_memory_equal(b.data + 19998, "9,a\0b", 6);
	assert_false(b.overflow);
	buffer_fini(&b);
}

static void
the_maximum_is_reached_exactly(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, 4);
	buffer_text(&b, "abcd");
	assert_false(b.overflow);
	assert_string_equal(b.data, "abcd");
	buffer_fini(&b);
}

static void
what_would_pass_the_maximum_changes_nothing_but_overflow(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, 4);
	buffer_text(&b, "abc");
	buffer_text(&b, "de");
	assert_true(b.overflow);
	assert_string_equal(b.data, "abc");
	buffer_text(&b, "d"); /* would fit: but something is missing before */
	assert_string_equal(b.data, "abc");
	buffer_clear(&b);
	assert_false(b.overflow);
	buffer_format(&b, "%d", 12345);
	assert_true(b.overflow);
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
	buffer_fini(&b);
}

static void
a_length_near_the_top_does_not_wrap(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, SIZE_MAX - 1);
	buffer_text(&b, "abc");
	buffer_append(&b, "x", SIZE_MAX - 1); /* 3 more wrap */
	assert_true(b.overflow);
	assert_string_equal(b.data, "abc");
	buffer_fini(&b);
}

static void
the_front_can_be_dropped(void **state)
{
	(void)state;
	struct buffer b;

	buffer_init(&b, 100);
	buffer_drop_front(&b, 3);
	buffer_text(&b, "line\nrest");
	buffer_drop_front(&b, 5);
	assert_string_equal(b.data, "rest");
	buffer_drop_front(&b, 100);
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
	buffer_wipe(&b);
}

/* A pipe that holds `len` bytes and whose writer is gone. */
static int
pipe_with(const char *bytes, size_t len)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fd_write_all(fds[1], bytes, len, NULL), 0);
	(void)close(fds[1]);
	return fds[0];
}

static void
a_descriptor_is_read_to_its_end(void **state)
{
	(void)state;
	struct buffer b;
	static char bytes[40000];
	int fd;

	memset(bytes, 'x', sizeof(bytes));
	fd = pipe_with(bytes, sizeof(bytes));
	buffer_init(&b, 40000);
	assert_int_equal(buffer_read_all(&b, fd, NULL), 0);
	assert_int_equal(b.len, sizeof(bytes));
	assert_memory_equal(b.data, bytes, sizeof(bytes));
	fd_close(&fd);
	buffer_fini(&b);
}

static void
one_byte_more_than_the_maximum_is_an_error(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct buffer b;
	int fd = pipe_with("abcde", 5);

	buffer_init(&b, 4);
	assert_int_equal(buffer_read_all(&b, fd, &err), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	fd_close(&fd);
	buffer_fini(&b);
}

static void
a_read_that_fails_says_why(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct buffer b;

	buffer_init(&b, 4);
	assert_int_equal(buffer_read_all(&b, -1, &err), -1);
	assert_int_equal(err.sys, EBADF);
	buffer_fini(&b);
}

static void
only_a_regular_file_is_read_as_a_file(void **state)
{
	(void)state;
	struct buffer b;
	struct err err = ERR_INIT;
	char dir[] = "/tmp/reeve-buffer.XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(dir));
	buffer_init(&b, 100);
	assert_int_equal(buffer_read_file(&b, dir, &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_non_null(strstr(err.text, "a directory"));
	assert_int_equal(buffer_read_file(&b, "/dev/zero", &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	(void)snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	/* nobody writes to it: a blocking open would hang here */
	assert_int_equal(buffer_read_file(&b, path, &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(buffer_read_file(&b, path, &err), -1);
	assert_int_equal(err.sys, ENOENT);
	assert_int_equal(fd_replace_file(path, 0600, "hello", 5, NULL), 0);
	assert_int_equal(buffer_read_file(&b, path, NULL), 0);
	assert_string_equal(b.data, "hello");
	buffer_fini(&b);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_terminated_from_the_beginning),
	    cmocka_unit_test(what_is_appended_is_there_and_terminated),
	    cmocka_unit_test(the_maximum_is_reached_exactly),
	    cmocka_unit_test(
	        what_would_pass_the_maximum_changes_nothing_but_overflow),
	    cmocka_unit_test(a_length_near_the_top_does_not_wrap),
	    cmocka_unit_test(the_front_can_be_dropped),
	    cmocka_unit_test(a_descriptor_is_read_to_its_end),
	    cmocka_unit_test(one_byte_more_than_the_maximum_is_an_error),
	    cmocka_unit_test(a_read_that_fails_says_why),
	    cmocka_unit_test(only_a_regular_file_is_read_as_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
