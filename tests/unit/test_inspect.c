/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/inspect.h"
#include "probes/json_read.h"

/*
 * The look at workers' processes, at real ones: children of this program,
 * which stands where the init does.
 */
enum {
	REQUEST_SIZE = 4096,
	ANSWER_MAX = 1 << 20,
	CHILDREN_MAX = 8,
	HEX_SIZE = 33
};
static const char KEY[] = "000102030405060708090a0b0c0d0e0f";
static const struct fingerprint_key key = {
    .bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const char *const ENVIRONMENT[] = {"PATH=/usr/bin:/bin", "LABEL=a",
    "EMPTY=", "REEVE_REPLICA=3", "SHLVL=1", NULL};

static pid_t children[CHILDREN_MAX];
static size_t nchildren;

/* --- processes ------------------------------------------------------------ */

enum how {
	AS_IT_IS,
	OVERWRITTEN, /* its environment, by itself */
	FORKED,      /* it executes nothing */
	ENDED
};

static void
wait_forever(void)
{
	for (;;)
		(void)pause();
}

static void
become(enum how how, int told)
{
	(void)setsid();
	if (how == OVERWRITTEN)
		memset(environ[0], 'x', strlen(environ[0]));
	if (how == ENDED)
		_exit(0);
	if (how != AS_IT_IS) {
		(void)close(told);
		wait_forever();
	}
	(void)execle(
	    "/bin/sleep", "sleep", "100000.25", (char *)NULL, ENVIRONMENT);
	_exit(127);
}

/* A child, once it is what it is to be. */
static pid_t
child(enum how how)
{
	int pipes[2] = {-1, -1};
	char byte;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		become(how, pipes[1]);
	fd_close(&pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 0);
	fd_close(&pipes[0]);
	/* its descriptors are closed a moment before it is a zombie */
	siginfo_t info;
	if (how == ENDED)
		assert_int_equal(
		    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	children[nchildren++] = pid;
	return pid;
}

static int
teardown(void **state)
{
	int status = 0;

	(void)state;
	for (; nchildren > 0; nchildren--) {
		(void)kill(children[nchildren - 1], SIGKILL);
		(void)waitpid(children[nchildren - 1], &status, 0);
	}
	return 0;
}

/* --- asking --------------------------------------------------------------- */

/* What inspect_serve() answers, in a process of its own as it always has; NULL:
 * it refused. */
static cJSON *
inspect(const char *request)
{
	struct err err = ERR_INIT;
	struct buffer text;
	int status = 0;
	int in = memfd_create("request", MFD_CLOEXEC);
	int out = memfd_create("answer", MFD_CLOEXEC);

	assert_true(in != -1 && out != -1);
	assert_int_equal(fd_write_all(in, request, strlen(request), NULL), 0);
	(void)lseek(in, 0, SEEK_SET);
	pid_t pid = fork();
	if (pid == 0)
		_exit(inspect_serve(in, out, &err) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	(void)lseek(out, 0, SEEK_SET);
	buffer_init(&text, ANSWER_MAX);
	assert_int_equal(buffer_read_all(&text, out, &err), 0);
	cJSON *answer = WEXITSTATUS(status) == 0
	                    ? json_read(text.data, text.len, &err)
	                    : NULL;
	assert_true(WEXITSTATUS(status) != 0 || answer != NULL);
	assert_true(WEXITSTATUS(status) == 0 || text.len == 0);
	buffer_fini(&text);
	fd_close(&in);
	fd_close(&out);
	return answer;
}

static cJSON *inspect_format(const char *fmt, ...) PRINTF_LIKE(1, 2);
static cJSON *
inspect_format(const char *fmt, ...)
{
	char request[REQUEST_SIZE];
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(request, sizeof(request), fmt, args);
	va_end(args);
	assert_in_range(len, 1, (int)sizeof(request) - 1);
	cJSON *answer = inspect(request);
	assert_non_null(answer);
	return answer;
}

static const cJSON *
member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *
text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(member(object, name));

	return text == NULL ? "(none)" : text;
}

static const cJSON *
with_pid(const cJSON *list, pid_t pid)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, list)
	{
		if (member(item, "pid")->valuedouble == pid)
			return item;
	}
	return NULL;
}

static void
assert_print(const struct fingerprint *print, const char *hex)
{
	char wanted[HEX_SIZE];

	for (size_t i = 0; i < sizeof(print->bytes); i++)
		(void)snprintf(wanted + 2 * i, 3, "%02x", print->bytes[i]);
	assert_string_equal(hex, wanted);
}

/* --- one target ----------------------------------------------------------- */

static void
an_environment_is_told_by_fingerprints_only(void **state)
{
	struct fingerprint whole = {.bytes = {0}};
	struct fingerprint label = fingerprint_of(&key, "a", 1);
	struct fingerprint empty = fingerprint_of(&key, "", 0);
	pid_t pid = child(AS_IT_IS);

	(void)state;
	for (size_t i = 0; ENVIRONMENT[i] != NULL; i++)
		if (inspect_compares(ENVIRONMENT[i]))
			inspect_print(&key, ENVIRONMENT[i], &whole);
	CLEANUP(json_free)
	cJSON *answer = inspect_format(
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d],\"targets\":"
	    "[{\"pid\":%d,\"env\":[\"LABEL\",\"EMPTY\",\"LAB\"]}]}",
	    KEY, (int)getpid(), (int)pid, (int)pid);
	const cJSON *one = with_pid(member(answer, "targets"), pid);
	assert_non_null(one);
	assert_int_equal(member(one, "uid")->valuedouble, geteuid());
	assert_int_equal(member(one, "gid")->valuedouble, getegid());
	assert_string_equal(text_of(one, "why"), "");
	assert_print(&whole, text_of(one, "print"));
	assert_print(&label, text_of(member(one, "env"), "LABEL"));
	assert_print(&empty, text_of(member(one, "env"), "EMPTY"));
	assert_true(cJSON_IsNull(member(member(one, "env"), "LAB")));
	/* nobody asked */
	assert_null(member(one, "limits"));
	assert_null(member(one, "peers"));
	/* a worker is no stranger */
	assert_null(with_pid(member(answer, "strangers"), pid));
}

static void
an_environment_that_cannot_be_read_is_null_with_the_reason(void **state)
{
	pid_t pid = child(OVERWRITTEN);
	pid_t ended = child(ENDED);

	(void)state;
	CLEANUP(json_free)
	cJSON *answer = inspect_format(
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d,%d],\"targets\":"
	    "[{\"pid\":%d,\"env\":[\"LABEL\"]},{\"pid\":%d},"
	    "{\"pid\":2147483647}]}",
	    KEY, (int)getpid(), (int)pid, (int)ended, (int)pid, (int)ended);
	const cJSON *one = with_pid(member(answer, "targets"), pid);
	assert_non_null(one);
	assert_string_equal(text_of(one, "why"),
	    "the process has written something else over it");
	assert_true(cJSON_IsNull(member(one, "print")));
	assert_null(member(one, "env"));
	/* a zombie has none any more; nobody's number has no answer */
	one = with_pid(member(answer, "targets"), ended);
	assert_non_null(one);
	assert_string_not_equal(text_of(one, "why"), "");
	assert_true(cJSON_IsNull(member(one, "print")));
	assert_int_equal(cJSON_GetArraySize(member(answer, "targets")), 2);
}

static void
limits_are_the_kernel_s(void **state)
{
	struct rlimit descriptors;
	char wanted[64];
	pid_t pid = child(FORKED);

	(void)state;
	/* of the child alone */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
	struct rlimit lower = {descriptors.rlim_cur / 2, descriptors.rlim_max};
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &lower, NULL), 0);
	struct rlimit none = {0, RLIM_INFINITY};
	bool with_core = prlimit(pid, RLIMIT_CORE, &none, NULL) == 0;
	CLEANUP(json_free)
	cJSON *answer = inspect_format(
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d],\"targets\":"
	    "[{\"pid\":%d,\"limits\":true}]}",
	    KEY, (int)getpid(), (int)pid, (int)pid);
	const cJSON *limits =
	    member(with_pid(member(answer, "targets"), pid), "limits");
	(void)snprintf(wanted, sizeof(wanted), "%" PRIu64 " %" PRIu64,
	    (uint64_t)lower.rlim_cur, (uint64_t)lower.rlim_max);
	assert_string_equal(text_of(limits, "nofile"), wanted);
	if (with_core)
		assert_string_equal(text_of(limits, "core"), "0 unlimited");
	assert_int_equal(cJSON_GetArraySize(limits), 16);
}

static void
a_row_of_limits_that_is_not_there_is_empty(void **state)
{
	static const char text[] =
	    "Limit                     Soft Limit           Hard Limit\n"
	    "Max open files            1024                 unlimited  files\n"
	    "Max nice priority         0\n";
	struct inspect_limit limit;
	const char *name;
	size_t count = 0;

	(void)state;
	while ((name = inspect_limit(text, count, &limit)) != NULL) {
		bool files = text_equal(name, "nofile");
		assert_string_equal(limit.soft, files ? "1024" : "");
		assert_string_equal(limit.hard, files ? "unlimited" : "");
		count++;
	}
	assert_int_equal(count, 16);
}

static void
what_counts_of_an_environment(void **state)
{
	(void)state;
	assert_true(inspect_compares("LABEL=a"));
	assert_true(inspect_compares("_LABEL2="));
	assert_true(inspect_compares("PWDS=/"));
	assert_true(inspect_compares("REEVES=1"));
	assert_false(inspect_compares("REEVE_REPLICA=1"));
	assert_false(inspect_compares("PORT_HTTP=1"));
	assert_false(inspect_compares("NOTIFY_SOCKET=/x"));
	assert_false(inspect_compares("PWD=/"));
	assert_false(inspect_compares("_=/bin/sleep"));
	/* a shell doesn't pass it on */
	assert_false(inspect_compares("my.name=a"));
	assert_false(inspect_compares("no variable"));
}

static void
connections_are_those_of_the_whole_session(void **state)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	char wanted[32];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(
	    getsockname(listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
	(void)snprintf(wanted, sizeof(wanted), "127.0.0.1:%u",
	    (unsigned)ntohs(at.sin_port));
	pid_t without = child(AS_IT_IS); /* closed when it executes */
	pid_t with = child(FORKED);      /* which has ours */
	CLEANUP(json_free)
	cJSON *answer = inspect_format(
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d,%d],\"targets\":"
	    "[{\"pid\":%d,\"peers\":true},{\"pid\":%d,\"peers\":true}]}",
	    KEY, (int)getpid(), (int)without, (int)with, (int)without,
	    (int)with);
	const cJSON *targets = member(answer, "targets");
	const cJSON *peers = member(with_pid(targets, with), "peers");
	assert_int_equal(cJSON_GetArraySize(peers), 1); /* once each */
	assert_string_equal(cJSON_GetArrayItem(peers, 0)->valuestring, wanted);
	peers = member(with_pid(targets, without), "peers");
	assert_true(cJSON_IsArray(peers));
	assert_int_equal(cJSON_GetArraySize(peers), 0);
	fd_close(&client);
	fd_close(&listener);
}

/* --- strangers ------------------------------------------------------------ */

static void
a_child_of_the_init_that_is_nobody_s_is_told_by_its_name_alone(void **state)
{
	pid_t worker = child(AS_IT_IS);
	pid_t known = child(AS_IT_IS);
	pid_t stranger = child(AS_IT_IS);
	pid_t ended = child(ENDED);

	(void)state;
	CLEANUP(json_free)
	cJSON *answer = inspect_format(
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d],\"known\":[%d]}", KEY,
	    (int)getpid(), (int)worker, (int)known);
	const cJSON *strangers = member(answer, "strangers");
	assert_null(with_pid(strangers, worker));
	assert_null(with_pid(strangers, known));
	assert_null(with_pid(strangers, ended));
	const cJSON *one = with_pid(strangers, stranger);
	assert_non_null(one);
	assert_string_equal(text_of(one, "worker"), "");
	assert_string_equal(text_of(one, "command"), "sleep");
}

static void
a_worker_s_command_elsewhere_is_told_unless_a_supervisor_started_it(
    void **state)
{
	static const char request[] =
	    "{\"key\":\"%s\",\"init\":%d,\"workers\":[%d],\"commands\":"
	    "[{\"name\":\"a\",\"command\":[\"sleep\",\"%s\"]}]}";
	pid_t init = child(FORKED);
	pid_t worker = child(AS_IT_IS);
	pid_t other = child(AS_IT_IS);

	(void)state;
	{
		CLEANUP(json_free)
		cJSON *answer = inspect_format(
		    request, KEY, (int)init, (int)worker, "100000.25");
		const cJSON *one = with_pid(member(answer, "strangers"), other);
		assert_non_null(one);
		assert_string_equal(text_of(one, "worker"), "a");
		assert_null(with_pid(member(answer, "strangers"), worker));
	}
	{ /* with other arguments it is something else */
		CLEANUP(json_free)
		cJSON *answer = inspect_format(
		    request, KEY, (int)init, (int)worker, "100000.25\",\"1");
		assert_null(with_pid(member(answer, "strangers"), other));
	}
	/* children of something with the init's name */
	char before[16];
	assert_int_equal(prctl(PR_GET_NAME, before), 0);
	assert_int_equal(prctl(PR_SET_NAME, "reeve"), 0);
	CLEANUP(json_free)
	cJSON *answer =
	    inspect_format(request, KEY, (int)init, (int)worker, "100000.25");
	assert_int_equal(prctl(PR_SET_NAME, before), 0);
	assert_null(with_pid(member(answer, "strangers"), other));
}

static void
what_is_no_request_gets_no_answer(void **state)
{
	(void)state;
	assert_null(inspect(""));
	assert_null(inspect("[]"));
	assert_null(inspect("{\"key\":\"00\"}"));
	assert_null(inspect("{\"key\":\"000102030405060708090a0b0c0d0e0f\","
	                    "\"targets\":7}"));
	assert_null(inspect("{\"key\":\"000102030405060708090a0b0c0d0e0f\","
	                    "\"commands\":[{\"name\":\"a\"},{\"name\":7}]}"));
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_environment_is_told_by_fingerprints_only),
	    TEST(an_environment_that_cannot_be_read_is_null_with_the_reason),
	    TEST(limits_are_the_kernel_s),
	    TEST(a_row_of_limits_that_is_not_there_is_empty),
	    TEST(what_counts_of_an_environment),
	    TEST(connections_are_those_of_the_whole_session),
	    TEST(
	        a_child_of_the_init_that_is_nobody_s_is_told_by_its_name_alone),
	    TEST(
	        a_worker_s_command_elsewhere_is_told_unless_a_supervisor_started_it),
	    TEST(what_is_no_request_gets_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
