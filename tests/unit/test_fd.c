/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"

static unsigned
open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

static void
make_pair(int pair[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void
closing_keeps_errno_and_forgets_the_number(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	errno = ENOENT;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	fd_close(&fd);
	assert_int_equal(errno, ENOENT);
}

static void
nonblocking_is_switched_on_and_off(void **state)
{
	(void)state;
	int pair[2];

	make_pair(pair);
	assert_int_equal(fd_nonblock(pair[0], true, NULL), 0);
	assert_true((fcntl(pair[0], F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(fd_nonblock(pair[0], false, NULL), 0);
	assert_true((fcntl(pair[0], F_GETFL) & O_NONBLOCK) == 0);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	assert_int_equal(fd_nonblock(-1, true, NULL), -1);
}

static void
a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it(
    void **state)
{
	(void)state;
	char dir[] = "/tmp/reeve-fd.XXXXXX";
	char path[64];
	struct buffer b;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(fd_replace_file(path, 0644, "one", 3, NULL), 0);
	assert_int_equal(fd_replace_file(path, 0600, "second", 6, NULL), 0);
	buffer_init(&b, 100);
	assert_int_equal(buffer_read_file(&b, path, NULL), 0);
	assert_string_equal(b.data, "second");
	buffer_fini(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* empty: no temporary stayed */
}

static void
replacing_a_directory_fails_and_leaves_no_temporary(void **state)
{
	(void)state;
	char dir[] = "/tmp/reeve-fd.XXXXXX";
	char path[64];
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(fd_replace_file(path, 0600, "x", 1, &err), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(
	    fd_replace_file("/nowhere/at/all", 0600, "x", 1, &err), -1);
	assert_int_equal(err.sys, ENOENT);
}

static void
missing_parents_are_made_with_the_mode(void **state)
{
	(void)state;
	char dir[] = "/tmp/reeve-fd.XXXXXX";
	char path[64];
	struct stat st;
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a//b/", dir);
	mode_t mask = umask(077);
	assert_int_equal(fd_make_dirs(path, 0755, NULL), 0);
	(void)umask(mask);
	assert_int_equal(fd_make_dirs(path, 0755, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fd_make_dirs("", 0755, &err), -1);
	assert_int_equal(fd_make_dirs("/dev/null/x", 0755, &err), -1);
	assert_non_null(strstr(err.text, "not a directory"));
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
a_message_arrives_with_its_descriptors_closed_on_exec(void **state)
{
	(void)state;
	int pair[2];
	int got[4];
	char bytes[16];
	int sent[2] = {STDIN_FILENO, STDOUT_FILENO};

	make_pair(pair);
	assert_int_equal(fd_send(pair[0], "hello", 5, sent, 2, NULL), 0);
	assert_int_equal(
	    fd_receive(pair[1], bytes, sizeof(bytes), got, 4, NULL), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_true(got[0] >= 0 && got[1] >= 0);
	assert_int_equal(got[2], -1);
	assert_true((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
	fd_close(&got[0]);
	fd_close(&got[1]);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static void
nothing_waiting_is_eagain_and_the_end_is_zero(void **state)
{
	(void)state;
	int pair[2];
	char bytes[16];
	struct err err = ERR_INIT;

	make_pair(pair);
	assert_int_equal(
	    fd_receive(pair[1], bytes, sizeof(bytes), NULL, 0, &err), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	assert_int_equal(err.sys, EAGAIN);
	fd_close(&pair[0]);
	assert_int_equal(
	    fd_receive(pair[1], bytes, sizeof(bytes), NULL, 0, &err), 0);
	fd_close(&pair[1]);
}

static void
sending_to_one_who_does_not_read_fails_at_last_without_blocking(void **state)
{
	(void)state;
	int pair[2];
	char bytes[4096] = {0};
	struct err err = ERR_INIT;
	int rc = 0;

	make_pair(pair);
	for (int i = 0; i < 10000 && rc == 0; i++)
		rc = fd_send(pair[0], bytes, sizeof(bytes), NULL, 0, &err);
	assert_int_equal(rc, -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	assert_int_equal(err.sys, EAGAIN);
	fd_close(&pair[1]);
	/* and to one who is gone: an error, not SIGPIPE */
	assert_int_equal(fd_send(pair[0], "x", 1, NULL, 0, &err), -1);
	assert_true(err.sys == EPIPE || err.sys == ECONNRESET);
	fd_close(&pair[0]);
}

static void
a_message_longer_than_the_room_is_no_message(void **state)
{
	(void)state;
	int pair[2];
	int got[1];
	int sent = STDIN_FILENO;
	char bytes[4];
	struct err err = ERR_INIT;

	make_pair(pair);
	unsigned before = open_fds();
	assert_int_equal(fd_send(pair[0], "hello", 5, &sent, 1, NULL), 0);
	assert_int_equal(
	    fd_receive(pair[1], bytes, sizeof(bytes), got, 1, &err), -1);
	assert_int_equal(got[0], -1);
	assert_int_equal(open_fds(), before);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static void
more_descriptors_than_expected_are_closed(void **state)
{
	(void)state;
	int pair[2];
	int got[1];
	int sent[3] = {0, 1, 2};
	char bytes[8];
	struct err err = ERR_INIT;

	make_pair(pair);
	unsigned before = open_fds();
	for (size_t room = 0; room <= 1; room++) {
		for (size_t n = room + 1; n <= 3; n++) {
			assert_int_equal(
			    fd_send(pair[0], "x", 1, sent, n, NULL), 0);
			assert_int_equal(fd_receive(pair[1], bytes,
			                     sizeof(bytes), got, room, &err),
			    -1);
			assert_int_equal(open_fds(), before);
		}
	}
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

/* M12: one short of RLIMIT_NOFILE the kernel delivers one of two descriptors,
 * and only MSG_CTRUNC tells. */
static void
half_of_the_descriptors_is_no_message(void **state)
{
	(void)state;
	int pair[2];
	int got[2];
	int sent[2] = {0, 1};
	char bytes[8];
	struct err err = ERR_INIT;
	struct rlimit limit;
	struct rlimit tight;

	make_pair(pair);
	unsigned before = open_fds();
	int next = dup(0);
	assert_int_equal(fd_send(pair[0], "x", 1, sent, 2, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	tight = limit;
	tight.rlim_cur = (rlim_t)next + 1; /* `next` alone is free below it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	(void)close(next);
	ssize_t n = fd_receive(pair[1], bytes, sizeof(bytes), got, 2, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(n, -1);
	assert_non_null(strstr(err.text, "descriptors were lost"));
	assert_int_equal(got[0], -1);
	assert_int_equal(got[1], -1);
	assert_int_equal(open_fds(), before);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static void
ten_thousand_messages_leak_nothing(void **state)
{
	(void)state;
	int pair[2];
	int got[2];
	int sent[2] = {0, 1};
	char bytes[8];

	make_pair(pair);
	unsigned before = open_fds();
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(fd_send(pair[0], "x", 1, sent, 2, NULL), 0);
		assert_int_equal(
		    fd_receive(pair[1], bytes, sizeof(bytes), got, 2, NULL), 1);
		fd_close(&got[0]);
		fd_close(&got[1]);
	}
	assert_int_equal(open_fds(), before);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(closing_keeps_errno_and_forgets_the_number),
	    cmocka_unit_test(nonblocking_is_switched_on_and_off),
	    cmocka_unit_test(
	        a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it),
	    cmocka_unit_test(
	        replacing_a_directory_fails_and_leaves_no_temporary),
	    cmocka_unit_test(missing_parents_are_made_with_the_mode),
	    cmocka_unit_test(
	        a_message_arrives_with_its_descriptors_closed_on_exec),
	    cmocka_unit_test(nothing_waiting_is_eagain_and_the_end_is_zero),
	    cmocka_unit_test(
	        sending_to_one_who_does_not_read_fails_at_last_without_blocking),
	    cmocka_unit_test(a_message_longer_than_the_room_is_no_message),
	    cmocka_unit_test(more_descriptors_than_expected_are_closed),
	    cmocka_unit_test(half_of_the_descriptors_is_no_message),
	    cmocka_unit_test(ten_thousand_messages_leak_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
