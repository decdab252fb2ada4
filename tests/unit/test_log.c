/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"

static char got[65536];

/* What the pipe or socket holds now. */
static const char *
drain(int fd)
{
	size_t len = 0;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (poll(&poll_fd, 1, 0) == 1) {
		ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	got[len] = '\0';
	return got;
}

static void
make_pipe(int fds[2])
{
	/* the writer's end is blocking: as fd 2 of a container is */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static void
a_line_of_text_has_time_level_who_event_and_text(void **state)
{
	(void)state;
	int fds[2];

	make_pipe(fds);
	log_open(fds[1], LOG_TEXT, LOG_INFO, "init");
	log_info("worker.started", "worker=%s pid=%d", "a/0", 17);
	const char *line = drain(fds[0]);
	assert_int_equal(strcspn(line, " "), 24);
	assert_string_equal(
	    line + 24, " info    init worker.started worker=a/0 pid=17\n");
	log_open(fds[1], LOG_TEXT, LOG_INFO, NULL);
	log_warning("drain.begun", "%s", "");
	assert_string_equal(drain(fds[0]) + 24, " warning drain.begun\n");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
a_line_of_json_is_escaped(void **state)
{
	(void)state;
	int fds[2];

	make_pipe(fds);
	log_open(fds[1], LOG_JSON, LOG_DEBUG, "operator");
	log_debug("a.b", "%s", "q\" b\\ n\n t\t e\x1b x\xff y\xC3\xA9");
	assert_string_equal(drain(fds[0]) + 31,
	    "\",\"level\":\"debug\",\"who\":\"operator\",\"event\":\"a.b\","
	    "\"text\":\"q\\\" b\\\\ n\\n t\\t e\\u001b x\\ufffd "
	    "y\xC3\xA9\"}\n");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
control_characters_cannot_fake_a_line_or_drive_a_terminal(void **state)
{
	(void)state;
	int fds[2];

	make_pipe(fds);
	log_open(fds[1], LOG_TEXT, LOG_INFO, NULL);
	log_info("e", "%s", "a\nb\rc\x1b[2J\x7f\xC2\x9b \\ \xE2\x82");
	assert_string_equal(drain(fds[0]) + 24,
	    " info    e a\\nb\\rc\\x1b[2J\\x7f\\u009b \\\\ \\xe2\\x82\n");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
what_is_below_the_level_is_not_written(void **state)
{
	(void)state;
	int fds[2];

	make_pipe(fds);
	log_open(fds[1], LOG_TEXT, LOG_WARNING, NULL);
	log_debug("e", "%s", "x");
	log_info("e", "%s", "x");
	assert_string_equal(drain(fds[0]), "");
	log_error("e", "%s", "x");
	assert_non_null(strstr(drain(fds[0]), " error   e x\n"));
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
fill(int write_fd)
{
	char bytes[4096] = {0};

	assert_int_equal(fd_nonblock(write_fd, true, NULL), 0);
	while (write(write_fd, bytes, sizeof(bytes)) > 0)
		continue;
	assert_int_equal(fd_nonblock(write_fd, false, NULL), 0);
}

static void
discard(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (poll(&poll_fd, 1, 0) == 1 && read(fd, got, sizeof(got)) > 0)
		continue;
}

static void
check_full(int read_fd, int write_fd)
{
	fill(write_fd);
	log_open(write_fd, LOG_TEXT, LOG_INFO, NULL);
	uint64_t before = log_dropped();
	/* a write that blocks would hang here until the runner's deadline */
	log_info("lost", "%s", "one");
	log_info("lost", "%s", "two");
	assert_int_equal(log_dropped() - before, 2);
	discard(read_fd);
	log_info("through", "%s", "three");
	assert_string_equal(
	    drain(read_fd) + 24, " info    through three dropped=2\n");
	log_info("through", "%s", "four");
	assert_string_equal(drain(read_fd) + 24, " info    through four\n");
	assert_int_equal(log_dropped() - before, 2);
}

static void
a_full_pipe_never_blocks_and_what_is_lost_is_counted(void **state)
{
	(void)state;
	int fds[2];

	make_pipe(fds);
	check_full(fds[0], fds[1]);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
a_full_socket_never_blocks_either(void **state)
{
	(void)state;
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	check_full(fds[0], fds[1]);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* An old kernel, or a seccomp profile, that doesn't know pwritev2 on pipes. */
static bool no_nowait;

ssize_t __wrap_pwritev2(
    int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __real_pwritev2(
    int fd, const struct iovec *iov, int count, off_t offset, int flags);

ssize_t
__wrap_pwritev2(
    int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (!no_nowait)
		return __real_pwritev2(fd, iov, count, offset, flags);
	errno = EOPNOTSUPP;
	return -1;
}

static void
without_pwritev2_lines_are_spliced_and_a_full_pipe_still_never_blocks(
    void **state)
{
	(void)state;
	int fds[2];

	no_nowait = true;
	make_pipe(fds);
	log_open(fds[1], LOG_TEXT, LOG_INFO, NULL);
	log_info("e", "%s", "spliced");
	assert_string_equal(drain(fds[0]) + 24, " info    e spliced\n");
	check_full(fds[0], fds[1]);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	no_nowait = false;
}

static void
a_file_opened_for_append_is_appended_to(void **state)
{
	(void)state;
	char path[] = "/tmp/reeve-log.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
	int other = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0 && other >= 0);
	log_open(fd, LOG_TEXT, LOG_INFO, NULL);
	log_info("one", "%s", "");
	assert_int_equal(fd_write_all(other, "between\n", 8, NULL), 0);
	log_info("two", "%s", "");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 2 * 37 + 8);
	assert_int_equal(unlink(path), 0);
	fd_close(&fd);
	fd_close(&other);
}

static void
a_file_that_is_not_opened_for_append_is_not_overwritten_at_its_start(
    void **state)
{
	(void)state;
	int fd = memfd_create("log", MFD_CLOEXEC);

	log_open(fd, LOG_TEXT, LOG_INFO, NULL);
	log_info("one", "%s", "");
	log_info("two", "%s", "");
	assert_int_equal(lseek(fd, 0, SEEK_END), 2 * 37);
	fd_close(&fd);
}

static void
a_closed_descriptor_loses_lines_and_nothing_else(void **state)
{
	(void)state;
	uint64_t before = log_dropped();

	log_open(-1, LOG_TEXT, LOG_INFO, NULL);
	errno = ENOENT;
	log_info("e", "%s", "x");
	assert_int_equal(errno, ENOENT);
	assert_int_equal(log_dropped() - before, 1);
}

static void
a_long_text_is_cut_visibly_within_one_line(void **state)
{
	(void)state;
	int fds[2];
	static char longer[10000];

	memset(longer, '\x01', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	make_pipe(fds);
	for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
		log_open(fds[1], (enum log_format)format, LOG_INFO, "init");
		log_info("e", "%s", longer);
		const char *line = drain(fds[0]);
		size_t len = strlen(line);
		assert_true(len > 4000 && len <= 4096);
		assert_ptr_equal(strchr(line, '\n'), line + len - 1);
		assert_non_null(strstr(line, "..."));
	}
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_of_text_has_time_level_who_event_and_text),
	    cmocka_unit_test(a_line_of_json_is_escaped),
	    cmocka_unit_test(
	        control_characters_cannot_fake_a_line_or_drive_a_terminal),
	    cmocka_unit_test(what_is_below_the_level_is_not_written),
	    cmocka_unit_test(
	        a_full_pipe_never_blocks_and_what_is_lost_is_counted),
	    cmocka_unit_test(a_full_socket_never_blocks_either),
	    cmocka_unit_test(
	        without_pwritev2_lines_are_spliced_and_a_full_pipe_still_never_blocks),
	    cmocka_unit_test(a_file_opened_for_append_is_appended_to),
	    cmocka_unit_test(
	        a_file_that_is_not_opened_for_append_is_not_overwritten_at_its_start),
	    cmocka_unit_test(a_closed_descriptor_loses_lines_and_nothing_else),
	    cmocka_unit_test(a_long_text_is_cut_visibly_within_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
