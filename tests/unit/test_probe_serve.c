/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "probes/json_read.h"
#include "probes/request.h"

/*
 * A prober that is asked for the same again: "unless" names the answer that the
 * asker has, and an answer that would say no more is told as "same".
 */
enum {
	LINE_SIZE = 64 * 1024,
	TAG_SIZE = 64
};

static char path[] = "/tmp/test_probe_serve.XXXXXX";
static pid_t prober;
static int wire = -1;

static void
write_file(const char *bytes)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(fd_write_all(fd, bytes, strlen(bytes), NULL), 0);
	fd_close(&fd);
}

static int
setup(void **state)
{
	int ends[2] = {-1, -1};

	(void)state;
	int fd = mkstemp(path);
	if (fd == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
		return -1;
	fd_close(&fd);
	prober = fork();
	if (prober == 0) {
		(void)close(ends[0]);
		_exit(probe_serve(ends[1], ends[1]));
	}
	fd_close(&ends[1]);
	wire = ends[0];
	return prober == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	int status = 0;

	(void)state;
	fd_close(&wire);
	(void)waitpid(prober, &status, 0);
	(void)unlink(path);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static cJSON *
read_line(void)
{
	static char line[LINE_SIZE];
	size_t len = 0;

	while (len == 0 || line[len - 1] != '\n') {
		assert_true(len < sizeof(line));
		assert_int_equal(read(wire, line + len, 1), 1);
		len++;
	}
	line[len - 1] = '\0';
	cJSON *json = json_read(line, len - 1, NULL);

	assert_non_null(json);
	return json;
}

static void
ask(const char *subject, const char *more)
{
	char request[512];

	(void)snprintf(request, sizeof(request),
	    "{\"kind\":\"file\",\"subject\":\"%s\",\"path\":\"%s\"%s}\n",
	    subject, path, more);
	assert_int_equal(fd_write_all(wire, request, strlen(request), NULL), 0);
}

static cJSON *
answer(void)
{
	cJSON *json = read_line();

	while (cJSON_HasObjectItem(json, "progress")) {
		cJSON_Delete(json);
		json = read_line();
	}
	return json;
}

static const char *
text_of(const cJSON *json, const char *name)
{
	const char *text =
	    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));

	return text == NULL ? "" : text;
}

/* Asks with what the asker has, and takes the whole answer's tag. */
static void
whole(const char *subject, const char *has, char ret_tag[TAG_SIZE])
{
	char more[TAG_SIZE + 16];

	(void)snprintf(more, sizeof(more), ",\"unless\":\"%s\"", has);
	ask(subject, more);
	CLEANUP(json_free) cJSON *json = answer();
	assert_string_equal(text_of(json, "schema"), "reeve.observation/1");
	assert_string_equal(text_of(json, "subject"), subject);
	assert_int_equal(strlen(text_of(json, "tag")), 32);
	(void)snprintf(ret_tag, TAG_SIZE, "%s", text_of(json, "tag"));
}

static void
same(const char *subject, const char *tag)
{
	char more[TAG_SIZE + 16];

	(void)snprintf(more, sizeof(more), ",\"unless\":\"%s\"", tag);
	ask(subject, more);
	CLEANUP(json_free) cJSON *json = answer();
	assert_string_equal(text_of(json, "same"), tag);
	assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, "at")));
	assert_int_equal(cJSON_GetArraySize(json), 2);
}

static void
an_answer_that_is_the_same_is_not_told_again(void **state)
{
	char first[TAG_SIZE], second[TAG_SIZE], third[TAG_SIZE];

	(void)state;
	write_file("one");
	whole("a", "", first);
	same("a", first);
	same("a", first);
	write_file("other");
	whole("a", first, second);
	assert_string_not_equal(first, second);
	same("a", second);
	/* the asker has something older */
	whole("a", first, third);
	assert_string_equal(second, third);
	/* the same of another subject is another answer */
	whole("b", second, third);
	assert_string_not_equal(second, third);
}

static void
who_does_not_ask_for_it_gets_every_answer_whole_and_without_a_tag(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		ask("a", "");
		CLEANUP(json_free) cJSON *json = answer();
		assert_string_equal(text_of(json, "subject"), "a");
		assert_false(cJSON_HasObjectItem(json, "tag"));
	}
}

static void
each_of_many_requests_has_its_own(void **state)
{
	char tag[TAG_SIZE];
	char request[1024];

	(void)state;
	whole("a", "", tag);
	(void)snprintf(request, sizeof(request),
	    "[{\"kind\":\"file\",\"subject\":\"a\",\"path\":\"%s\","
	    "\"unless\":\"%s\"},{\"kind\":\"file\",\"subject\":\"b\","
	    "\"path\":\"%s\",\"unless\":\"%s\"}]\n",
	    path, tag, path, tag);
	assert_int_equal(fd_write_all(wire, request, strlen(request), NULL), 0);
	CLEANUP(json_free) cJSON *one = answer();
	CLEANUP(json_free) cJSON *other = answer();
	assert_string_equal(text_of(one, "same"), tag);
	assert_string_equal(text_of(other, "subject"), "b");
	assert_string_not_equal(text_of(other, "tag"), tag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_that_is_the_same_is_not_told_again),
	    cmocka_unit_test(
	        who_does_not_ask_for_it_gets_every_answer_whole_and_without_a_tag),
	    cmocka_unit_test(each_of_many_requests_has_its_own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
