/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "supervisor/init/logger.h"
#include "supervisor/wire/logs_client.h"

/* A logger in a child, with pipes for its stdout and stderr. */
struct rig {
	pid_t pid;
	int socket;
	int out, err; /* read ends */
	struct sockaddr_un address;
	socklen_t address_len;
	struct worker_logs logs; /* of those that are attached */
	uint32_t slots;          /* given out */
};

static char slot_names[100][64];

static int
listener(struct rig *rig)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	rig->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* autobind: the kernel chooses an abstract name */
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&rig->address, sizeof(sa_family_t)), 0);
	rig->address_len = sizeof(rig->address);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&rig->address,
	                     &rig->address_len),
	    0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void
rig_start(struct rig *rig, enum logs_format format, uint32_t lines)
{
	int pair[2];
	int out[2];
	int err[2];
	char socket_fd[12];
	char listen_fd[12];

	rig->slots = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	int listening = listener(rig);
	(void)snprintf(socket_fd, sizeof(socket_fd), "%d", pair[1]);
	(void)snprintf(listen_fd, sizeof(listen_fd), "%d", listening);
	rig->pid = fork();
	if (rig->pid == 0) {
		const char *words[] = {"--socket", socket_fd, "--listen",
		    listen_fd, "--instances", "100"};
		char copies[ARRAY_LEN(words)][16];
		char *argv[ARRAY_LEN(words) + 1] = {NULL};
		sigset_t all;

		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			(void)snprintf(
			    copies[i], sizeof(copies[i]), "%s", words[i]);
			argv[i] = copies[i];
		}
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_SETMASK, &all, NULL);
		(void)close(pair[0]);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)dup2(err[1], STDERR_FILENO);
		(void)close(out[0]);
		(void)close(out[1]);
		(void)close(err[0]);
		(void)close(err[1]);
		_exit(logger_main(ARRAY_LEN(words), argv));
	}
	rig->logs = (struct worker_logs){.format = format, .keep_lines = lines};
	rig->socket = pair[0];
	rig->out = out[0];
	rig->err = err[0];
	(void)close(pair[1]);
	(void)close(out[1]);
	(void)close(err[1]);
	(void)close(listening);
}

static uint32_t
slot_of(struct rig *rig, const char *worker, uint32_t replica)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s/%u", worker, replica);
	for (uint32_t i = 0; i < rig->slots; i++)
		if (strcmp(slot_names[i], name) == 0)
			return i;
	memcpy(slot_names[rig->slots], name, sizeof(name));
	return rig->slots++;
}

/* Returns the write end of a new worker's pipe. */
static int
attach_worker(struct rig *rig, const char *worker, uint32_t replica,
    enum logger_stream stream)
{
	struct logger_message message = {.magic = LOGGER_MAGIC,
	    .kind = LOGGER_ATTACH,
	    .replica = replica,
	    .stream = stream,
	    .slot = slot_of(rig, worker, replica),
	    .generation = 1,
	    .pid = 4711,
	    .logs = rig->logs};
	int fds[2];

	(void)snprintf(message.worker, sizeof(message.worker), "%s", worker);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(
	    fd_send(rig->socket, &message, sizeof(message), &fds[0], 1, NULL),
	    0);
	(void)close(fds[0]);
	return fds[1];
}

static void
put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Reads until `want` bytes are there; 20 s are for ever. */
static void
expect(int fd, const char *want, size_t len)
{
	static char got[1 << 20];
	size_t have = 0;

	assert_true(len <= sizeof(got));
	while (have < len) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, 20000), 1);
		ssize_t n = read(fd, got + have, len - have);
		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_memory_equal(got, want, len);
}

static void
expect_text(int fd, const char *want)
{
	expect(fd, want, strlen(want));
}

static void
rig_end(struct rig *rig)
{
	int status = -1;
	char rest[4096];

	(void)close(rig->socket);
	while (read(rig->out, rest, sizeof(rest)) > 0)
		continue;
	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	assert_int_equal(status, 0);
	(void)close(rig->out);
	(void)close(rig->err);
}

static void
lines_pass_unchanged_each_to_its_stream(void **state)
{
	struct rig rig;
	static const char odd[] = "\xff\xfe caf\xe9\t\x1b[31m\r\n\n";
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 100);
	int out = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	int err = attach_worker(&rig, "a", 0, LOGGER_STDERR);
	put(out, odd);
	expect(rig.out, odd, sizeof(odd) - 1);
	put(err, "to stderr\n");
	expect_text(rig.err, "to stderr\n");
	(void)close(out);
	(void)close(err);
	rig_end(&rig);
}

static void
lines_of_two_workers_dont_mix(void **state)
{
	struct rig rig;
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 100);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	int b = attach_worker(&rig, "b", 0, LOGGER_STDOUT);
	put(a, "first half, ");
	put(b, "whole\n");
	expect_text(rig.out, "whole\n");
	put(a, "second half\n");
	expect_text(rig.out, "first half, second half\n");
	/* what a dying worker leaves behind without a newline gets one */
	put(a, "Segmentation");
	(void)close(a);
	expect_text(rig.out, "Segmentation\n");
	put(b, "on its own line\n");
	expect_text(rig.out, "on its own line\n");
	(void)close(b);
	rig_end(&rig);
}

static void
a_line_longer_than_the_buffer_passes_whole(void **state)
{
	struct rig rig;
	static char line[20001];
	(void)state;

	for (size_t i = 0; i < sizeof(line) - 1; i++)
		line[i] = (char)('a' + i % 26);
	line[sizeof(line) - 1] = '\n';
	rig_start(&rig, LOGS_PLAIN, 100);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	assert_int_equal(write(a, line, sizeof(line)), sizeof(line));
	expect(rig.out, line, sizeof(line));
	/* lengths around the limit */
	for (size_t len = LOGGER_LINE_MAX - 2; len < LOGGER_LINE_MAX + 3;
	     len++) {
		assert_int_equal(write(a, line + sizeof(line) - len, len), len);
		expect(rig.out, line + sizeof(line) - len, len);
	}
	(void)close(a);
	rig_end(&rig);
}

/* Wherever in a character the limit lies; what is none is cut anywhere. */
static void
a_piece_of_a_long_line_ends_with_a_whole_character(void **state)
{
	static const char *const last[] = {
	    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9d", "\xa9\xa9\xa9\xa9"};
	static char line[2 * LOGGER_LINE_MAX], out[3 * LOGGER_LINE_MAX];
	struct rig rig;
	(void)state;

	rig_start(&rig, LOGS_PREFIX, 100);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	for (size_t i = 0; i < ARRAY_LEN(last); i++)
		for (size_t before = 1; before < strlen(last[i]); before++) {
			size_t len = LOGGER_LINE_MAX - before;
			size_t cut = i == 3 ? LOGGER_LINE_MAX : len;

			memset(line, 'x', len);
			(void)snprintf(line + len, 16, "%sy\n", last[i]);
			(void)snprintf(out, sizeof(out), "a/0 | %.*s\na/0 + %s",
			    (int)cut, line, line + cut);
			put(a, line);
			expect_text(rig.out, out);
		}
	(void)close(a);
	rig_end(&rig);
}

static void
prefix_and_json_say_whose_line_it_is(void **state)
{
	struct rig rig;
	(void)state;

	rig_start(&rig, LOGS_PREFIX, 100);
	int a = attach_worker(&rig, "mail", 3, LOGGER_STDOUT);
	put(a, "hello\n");
	expect_text(rig.out, "mail/3 | hello\n");
	(void)close(a);
	rig_end(&rig);

	rig_start(&rig, LOGS_JSON, 100);
	a = attach_worker(&rig, "mail", 3, LOGGER_STDERR);
	put(a, "a \"quoted\" \\ line\t\xff\xc3\xa9\n");
	expect_text(rig.err, "{\"at\":\"20");
	char rest[512];
	ssize_t n = 0;
	do {
		ssize_t got =
		    read(rig.err, rest + n, sizeof(rest) - 1 - (size_t)n);
		assert_true(got > 0);
		n += got;
	} while (rest[n - 1] != '\n');
	rest[n] = '\0';
	assert_non_null(strstr(rest,
	    "\"worker\":\"mail\",\"replica\":3,\"generation\":1,"
	    "\"pid\":4711,\"stream\":\"stderr\","
	    "\"text\":\"a \\\"quoted\\\" \\\\ line\\u0009\\ufffd\xc3\xa9\","
	    "\"base64\":\"YSAicXVvdGVkIiBcIGxpbmUJ/8Op\"}\n"));
	(void)close(a);
	rig_end(&rig);
}

static void
the_init_learns_that_a_stream_has_ended(void **state)
{
	struct rig rig;
	struct logger_message message;
	struct pollfd ready;
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 100);
	int a = attach_worker(&rig, "a", 7, LOGGER_STDERR);
	int held = dup(a); /* a grandchild holds it */
	(void)close(a);
	ready = (struct pollfd){.fd = rig.socket, .events = POLLIN};
	put(held, "still here\n");
	expect_text(rig.err, "still here\n");
	assert_int_equal(poll(&ready, 1, 0), 0);
	(void)close(held);
	assert_int_equal(poll(&ready, 1, 20000), 1);
	assert_int_equal(
	    recv(rig.socket, &message, sizeof(message), 0), sizeof(message));
	assert_int_equal(message.kind, LOGGER_ENDED);
	assert_int_equal(message.replica, 7);
	assert_int_equal(message.stream, LOGGER_STDERR);
	assert_string_equal(message.worker, "a");
	rig_end(&rig);
}

/* Writes until the pipe stays full for the logger's lack of a reader, then
 * reads: the lines that came through are whole and in order, the number of the
 * others is said. */
static void
an_unread_stdout_stops_no_worker_and_losses_are_counted(void **state)
{
	struct rig rig;
	char line[128];
	char seen[4096];
	unsigned written = 20000;
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 100);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	int e = attach_worker(&rig, "a", 0, LOGGER_STDERR);
	for (unsigned i = 0; i < written; i++) {
		int len = snprintf(line, sizeof(line), "%099u\n",
		    i); /* 100 bytes: 2 MB in all */
		assert_int_equal(write(a, line, (size_t)len), len);
	}
	/* the other stream flows on */
	put(e, "alive\n");
	expect_text(rig.err, "alive\n");
	put(a, "last\n");
	(void)close(a);
	FILE *out = fdopen(rig.out, "r");
	unsigned got = 0;
	FILE *err = fdopen(rig.err, "r");
	unsigned long long dropped = 0;
	(void)close(rig.socket); /* it ends when all is written out */
	while (fgets(line, sizeof(line), out) != NULL) {
		char *end = NULL;
		if (strcmp(line, "last\n") == 0)
			continue;
		assert_int_equal(strlen(line), 100);
		assert_true(strtoul(line, &end, 10) < written);
		assert_int_equal(*end, '\n');
		got++;
	}
	while (fgets(seen, sizeof(seen), err) != NULL) {
		const char *at = strstr(seen, "logger.dropped stream=stdout");
		if (at != NULL)
			dropped += strtoull(
			    strstr(at, "lines=") + strlen("lines="), NULL, 10);
	}
	assert_true(got >= 2000 && got < written);
	assert_in_range(dropped, written - got, written - got + 1);
	int status = -1;
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	assert_int_equal(status, 0);
	(void)close(e);
	(void)fclose(out);
	(void)fclose(err);
}

static int
logs(struct rig *rig, const char *worker, uint32_t tail, uint32_t flags)
{
	struct logs_request request = {
	    .tail = tail, .flags = flags, .replica = -1};
	struct err err = ERR_INIT;

	(void)snprintf(request.worker, sizeof(request.worker), "%s", worker);
	int fd = logs_connect(
	    &rig->address, rig->address_len, &request, 20000, &err);
	assert_true(fd != -1);
	return fd;
}

static void
expect_record(int fd, const char *worker, const char *want)
{
	struct logs_record record;
	static char text[LOGS_TEXT_MAX];
	struct err err = ERR_INIT;

	if (logs_next(fd, &record, text, 20000, &err) != 1)
		fail_msg("no record '%s': %s", want, err.text);
	assert_string_equal(record.worker, worker);
	assert_int_equal(record.len, strlen(want));
	assert_memory_equal(text, want, record.len);
}

static void
expect_end(int fd)
{
	struct logs_record record;
	static char text[LOGS_TEXT_MAX];

	assert_int_equal(logs_next(fd, &record, text, 20000, NULL), 0);
	(void)close(fd);
}

static void
kept_lines_are_served_in_order_and_followed(void **state)
{
	struct rig rig;
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 3);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	int b = attach_worker(&rig, "b", 0, LOGGER_STDOUT);
	put(a, "a1\na2\n");
	expect_text(rig.out, "a1\na2\n");
	put(b, "b1\n");
	expect_text(rig.out, "b1\n");
	put(a, "a3\na4\n");
	expect_text(rig.out, "a3\na4\n");
	int fd = logs(&rig, "", 100, 0);
	expect_record(fd, "a", "a2"); /* three of each are kept */
	expect_record(fd, "b", "b1");
	expect_record(fd, "a", "a3");
	expect_record(fd, "a", "a4");
	expect_end(fd);
	fd = logs(&rig, "a", 1, 0);
	expect_record(fd, "a", "a4");
	expect_end(fd);
	fd = logs(&rig, "nobody", 100, 0);
	expect_end(fd);
	fd = logs(&rig, "b", 0, LOGS_FOLLOW);
	int all = logs(&rig, "", 1, LOGS_FOLLOW);
	expect_record(all, "b", "b1");
	expect_record(all, "a", "a4");
	put(a, "a5\n");
	expect_text(rig.out, "a5\n");
	expect_record(all, "a", "a5");
	put(b, "b2\n");
	expect_text(rig.out, "b2\n");
	expect_record(fd, "b", "b2");
	expect_record(all, "b", "b2");
	(void)close(a);
	(void)close(b);
	rig_end(&rig);
	expect_end(fd);
	expect_end(all);
}

static void
a_follower_that_doesnt_read_loses_lines_and_is_told(void **state)
{
	struct rig rig;
	struct logs_record record;
	static char text[LOGS_TEXT_MAX];
	char line[1001];
	unsigned lost = 0;
	unsigned got = 0;
	const unsigned written = 5000;
	(void)state;

	memset(line, 'x', 1000);
	line[999] = '\n';
	rig_start(&rig, LOGS_PLAIN, 10);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	/* whether the line or the request comes first, it is in the answer */
	int fd = logs(&rig, "", 1, LOGS_FOLLOW);
	put(a, "begin\n");
	expect_text(rig.out, "begin\n");
	expect_record(fd, "a", "begin");
	for (unsigned i = 0; i < written; i++) {
		assert_int_equal(write(a, line, 1000), 1000);
		expect(rig.out, line, 1000);
	}
	put(a, "end\n");
	while (logs_next(fd, &record, text, 20000, NULL) == 1) {
		if ((record.flags & LOGS_LOST) != 0) {
			assert_int_equal(record.len, 0);
			lost += record.lost;
		} else if (record.len == 3) {
			break;
		} else {
			got++;
		}
	}
	assert_int_equal(record.len, 3);
	assert_true(lost > 0);
	assert_int_equal(lost + got, written);
	(void)close(fd);
	(void)close(a);
	rig_end(&rig);
}

static void
garbage_from_a_client_closes_it_and_nothing_else(void **state)
{
	struct rig rig;
	struct logs_request junk;
	char text[16];
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 10);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(
	    connect(fd, (struct sockaddr *)&rig.address, rig.address_len), 0);
	memset(&junk, 0x55, sizeof(junk));
	assert_int_equal(
	    send(fd, &junk, sizeof(junk), MSG_NOSIGNAL), sizeof(junk));
	assert_true(recv(fd, text, sizeof(text), 0) <= 0);
	(void)close(fd);
	put(a, "fine\n");
	expect_text(rig.out, "fine\n");
	(void)close(a);
	rig_end(&rig);
}

static void
what_was_attached_just_before_the_end_is_passed_on_too(void **state)
{
	struct rig rig;
	struct pollfd ready;
	int status = 0;
	(void)state;

	rig_start(&rig, LOGS_PLAIN, 10);
	int a = attach_worker(&rig, "a", 0, LOGGER_STDOUT);
	(void)close(a);
	/* its end was told, and nobody reads that: a close is a reset then */
	ready = (struct pollfd){.fd = rig.socket, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 20000), 1);
	assert_int_equal(kill(rig.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(rig.pid, &status, WUNTRACED), rig.pid);
	int b = attach_worker(&rig, "b", 0, LOGGER_STDOUT);
	put(b, "last words\n");
	(void)close(b);
	(void)close(rig.socket);
	rig.socket = -1;
	assert_int_equal(kill(rig.pid, SIGCONT), 0);
	expect_text(rig.out, "last words\n");
	rig_end(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_pass_unchanged_each_to_its_stream),
	    cmocka_unit_test(lines_of_two_workers_dont_mix),
	    cmocka_unit_test(a_line_longer_than_the_buffer_passes_whole),
	    cmocka_unit_test(
	        a_piece_of_a_long_line_ends_with_a_whole_character),
	    cmocka_unit_test(prefix_and_json_say_whose_line_it_is),
	    cmocka_unit_test(the_init_learns_that_a_stream_has_ended),
	    cmocka_unit_test(
	        an_unread_stdout_stops_no_worker_and_losses_are_counted),
	    cmocka_unit_test(kept_lines_are_served_in_order_and_followed),
	    cmocka_unit_test(
	        a_follower_that_doesnt_read_loses_lines_and_is_told),
	    cmocka_unit_test(
	        what_was_attached_just_before_the_end_is_passed_on_too),
	    cmocka_unit_test(garbage_from_a_client_closes_it_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
