/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "probes/look.h"
#include "probes/processes.h"
#include "probes/redis_connection.h"
#include "probes/stream.h"

enum {
	ARENA_BYTES = 64 << 20,
	LONG_MS = 20000,
	SHORT_MS = 200,
	BACKLOG = 8
};

static struct arena arena;
static struct look look;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, ARENA_BYTES);
	look = (struct look){.arena = &arena,
	    .redactor = redactor_new(),
	    .kept = look_kept_new()};
	ladder_init(&look.ladder, &arena, clock_after(clock_ms(), LONG_MS));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	redactor_free(look.redactor);
	look_kept_free(look.kept);
	arena_fini(&arena);
	return 0;
}

static enum result
expect(const char *request, const char *value)
{
	struct err err = ERR_INIT;
	CLEANUP(json_free)
	cJSON *json = json_read(request, strlen(request), &err);

	assert_non_null(json);
	look.request = json;
	look.out.result = RESULT_UNKNOWN;
	look_expect(&look, "the query", value);
	look.request = NULL;
	return look.out.result;
}

static void
a_value_is_compared_whole(void **state)
{
	(void)state;
	assert_int_equal(
	    expect("{\"equals\":\"completed\"}", "completed"), RESULT_PASSED);
	assert_int_equal(
	    expect("{\"equals\":\"completed\"}", "Completed"), RESULT_FAILED);
	assert_int_equal(
	    expect("{\"equals\":\"completed\"}", "completed "), RESULT_FAILED);
	assert_int_equal(expect("{\"equals\":3}", "3"), RESULT_PASSED);
	assert_int_equal(expect("{\"equals\":3}", "3.0"), RESULT_PASSED);
	assert_int_equal(expect("{\"equals\":3}", "3x"), RESULT_FAILED);
	assert_int_equal(expect("{\"equals\":3}", "33"), RESULT_FAILED);
	assert_int_equal(expect("{\"equals\":true}", "t"), RESULT_PASSED);
	assert_int_equal(expect("{\"equals\":false}", "t"), RESULT_FAILED);
	assert_int_equal(expect("{\"atLeast\":2}", "2"), RESULT_PASSED);
	assert_int_equal(expect("{\"atLeast\":2}", "1.9"), RESULT_FAILED);
	assert_int_equal(expect("{\"atLeast\":2}", ""), RESULT_FAILED);
	assert_int_equal(expect("{\"atLeast\":2}", "nan"), RESULT_FAILED);
	assert_int_equal(expect("{}", "anything"), RESULT_PASSED);
	assert_int_equal(expect("{}", NULL), RESULT_FAILED);
	assert_int_equal(expect("{\"equals\":[]}", "x"), RESULT_UNKNOWN);
	assert_int_equal(expect("{\"atLeast\":\"2\"}", "3"), RESULT_UNKNOWN);
}

static void
a_canary_is_bound_and_never_pasted(void **state)
{
	const char *sql = NULL;
	int count = -1;

	(void)state;
	look.canary = "x'; DROP TABLE documents; --";
	assert_int_equal(
	    look_bind_canary(&look, "SELECT $(CANARY) WHERE id = $(CANARY)",
	        "$", &sql, &count),
	    0);
	assert_string_equal(sql, "SELECT $1 WHERE id = $2");
	assert_int_equal(count, 2);
	assert_int_equal(
	    look_bind_canary(&look, "SELECT $(JOB) IN ($(CANARY), $(JOB))", "?",
	        &sql, &count),
	    0);
	assert_string_equal(sql, "SELECT ? IN (?, ?)");
	assert_int_equal(count, 3);
	assert_int_equal(
	    look_bind_canary(&look, "SELECT 1", "?", &sql, &count), 0);
	assert_string_equal(sql, "SELECT 1");
	assert_int_equal(count, 0);
}

static void
a_path_goes_through_objects_and_lists(void **state)
{
	static const char text[] = "{\"a\":{\"b\":[7,{\"c\":8}],\"0\":9}}";
	static const struct {
		const char *path;
		int value; /* -1: nothing there */
	} cases[] = {{"a.b.0", 7}, {"a.b.1.c", 8}, {"a.0", 9}, {"a.b.2", -1},
	    {"a.b.-1", -1}, {"a.b.x", -1}, {"a.b.0.c", -1}, {"b", -1}};
	CLEANUP(json_free)
	cJSON *json = json_read(text, sizeof(text) - 1, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const cJSON *at = json_at(json, cases[i].path, look.arena);

		assert_int_equal(
		    at == NULL ? -1 : at->valueint, cases[i].value);
	}
}

static void
a_statement_that_needs_a_canary_is_unknown_without_one(void **state)
{
	const char *sql = NULL;
	int count = -1;

	(void)state;
	assert_int_equal(
	    look_bind_canary(&look, "SELECT $(CANARY)", "$", &sql, &count), -1);
	assert_int_equal(look.out.result, RESULT_UNKNOWN);
	assert_int_equal(look.out.cause, CAUSE_UNRESOLVED);
}

static void
a_canary_in_a_url_is_encoded(void **state)
{
	(void)state;
	look.canary = "a b/c";
	assert_string_equal(
	    look_canary(&look, "http://h/$(CANARY)?x=$(CANARY)", true),
	    "http://h/a%20b%2Fc?x=a%20b%2Fc");
	assert_string_equal(look_canary(&look, "no mark", true), "no mark");
}

/* libpq's own words for such a URL hold what stands behind the first '@'. */
static void
a_password_is_known_in_every_form(void **state)
{
	static const char *const leaks[] = {
	    "could not translate host name \"secret-part@127.0.0.1\"",
	    "auth failed with my-long@secret-part", "my-long%40secret-part"};

	(void)state;
	look_url(&look, "postgresql://u:my-long@secret-part@127.0.0.1/db");
	assert_null(strstr(look.out.target, "secret-part"));
	for (size_t i = 0; i < ARRAY_LEN(leaks); i++)
		assert_null(
		    strstr(redactor_clean(look.redactor, &arena, leaks[i]),
		        "secret-part"));
}

static int closed;

static void
count_close(void *connection)
{
	(void)connection;
	closed++;
}

static void
a_kept_connection_is_handed_out_once(void **state)
{
	int a = 0;

	(void)state;
	closed = 0;
	look_keep(&look, "redis", "redis://a", &a, count_close);
	assert_null(look_take(&look, "postgres", "redis://a"));
	assert_null(look_take(&look, "redis", "redis://b"));
	assert_ptr_equal(look_take(&look, "redis", "redis://a"), &a);
	assert_null(look_take(&look, "redis", "redis://a"));
	assert_int_equal(closed, 0);
	for (int i = 0; i < LOOK_KEPT_MAX + 3; i++)
		look_keep(&look, "redis", arena_format(&arena, "u%d", i), &a,
		    count_close);
	assert_int_equal(closed, 3);
}

static void
json_that_two_readers_would_take_differently_is_refused(void **state)
{
	static const char *const bad[] = {"{\"a\":1,\"a\":2}", "{\"a\":1}x",
	    "{\"a\":\"x\\u0000y\"}", "", "{'a':1}"};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(json_read(bad[i], strlen(bad[i]), &err));
	CLEANUP(json_free)
	cJSON *good = json_read("{\"a\":\"\\\\u0000\"}", 15, &err);
	assert_non_null(good);
}

static void
a_key_has_its_case_and_a_type(void **state)
{
	static const char text[] =
	    "{\"Status\":\"x\",\"n\":9007199254740993,\"b\":1,\"f\":1.5}";
	struct err err = ERR_INIT;
	CLEANUP(json_free)
	cJSON *json = json_read(text, strlen(text), &err);
	const char *word = NULL;
	int64_t number = -7;
	bool yes = false;

	(void)state;
	assert_int_equal(json_text(json, "status", "none", &word, &err), 0);
	assert_string_equal(word, "none");
	assert_int_equal(json_text(json, "b", "none", &word, &err), -1);
	assert_int_equal(json_i64(json, "f", 0, &number, &err), -1);
	assert_int_equal(json_i64(json, "Status", 0, &number, &err), -1);
	assert_int_equal(json_bool(json, "b", false, &yes, &err), -1);
	assert_int_equal(number, -7);
}

/* A server of one connection: a child that writes `reply` to whatever comes,
 * `pause_ms` between bytes, and then waits to be killed. */
struct server {
	pid_t pid;
	int port;
};

static NORETURN void
serve(int listener, const char *reply, size_t len, int pause_ms, bool hang_up)
{
	for (;;) {
		char bytes[512];
		int fd = accept(listener, NULL, NULL);
		if (fd == -1)
			_exit(1);
		if (len > 0 && read(fd, bytes, sizeof(bytes)) <= 0)
			_exit(1);
		for (size_t i = 0; i < len;) {
			size_t n = pause_ms > 0 ? 1 : MIN(len - i, 65536);
			ssize_t done = send(fd, reply + i, n, MSG_NOSIGNAL);
			if (done <= 0)
				_exit(1);
			i += (size_t)done;
			struct timespec gap = {.tv_nsec = pause_ms * 1000000L};
			if (pause_ms > 0)
				(void)nanosleep(&gap, NULL);
		}
		if (hang_up)
			(void)close(fd);
	}
}

static struct server
start_server(const char *reply, size_t len, int pause_ms, bool hang_up)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (const void *)&in, size), 0);
	assert_int_equal(listen(fd, BACKLOG), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &size), 0);
	struct server server = {.port = ntohs(in.sin_port)};
	server.pid = fork();
	if (server.pid == 0) {
		/* also when a failed test jumps over stop_server */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd, reply, len, pause_ms, hang_up);
	}
	(void)close(fd);
	return server;
}

static void
stop_server(const struct server *server)
{
	int status = 0;

	(void)kill(server->pid, SIGKILL);
	(void)waitpid(server->pid, &status, 0);
}

/* How opening a Redis connection to such a server fails. */
static struct ladder
open_fails(const char *reply, size_t len, int pause_ms, bool hang_up)
{
	struct server server = start_server(reply, len, pause_ms, hang_up);
	struct redis_connection *redis = NULL;
	struct ladder ladder;
	int64_t begun_ms = clock_ms();

	ladder_init(&ladder, &arena, clock_after(begun_ms, SHORT_MS));
	assert_int_equal(
	    redis_connection_open(
	        arena_format(&arena, "redis://127.0.0.1:%d", server.port), NULL,
	        &ladder, &redis),
	    -1);
	assert_true(clock_ms() - begun_ms < LONG_MS);
	assert_null(redis);
	stop_server(&server);
	return ladder;
}

static void
a_server_that_says_nothing_is_silent_and_unknown(void **state)
{
	struct ladder ladder = open_fails("", 0, 0, false);

	(void)state;
	assert_int_equal(ladder.cause, CAUSE_SILENT);
	assert_int_equal(ladder.result, RESULT_UNKNOWN);
	assert_int_equal(ladder.steps[0].kind, STEP_TCP);
	assert_int_equal(ladder.steps[0].result, RESULT_PASSED);
	assert_int_equal(ladder.steps[1].kind, STEP_PROTOCOL);
}

/* Each byte moves the connection on, none may move the deadline. */
static void
a_server_that_drips_is_silent_and_unknown(void **state)
{
	static const char bytes[] = "+PONGPONGPONGPONGPONGPONGPONGPONGPONGPONG";
	struct ladder ladder = open_fails(bytes, sizeof(bytes) - 1, 50, false);

	(void)state;
	assert_int_equal(ladder.cause, CAUSE_SILENT);
	assert_int_equal(ladder.result, RESULT_UNKNOWN);
}

static void
a_server_that_speaks_something_else_is_the_wrong_type(void **state)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct ladder ladder = open_fails(http, sizeof(http) - 1, 0, false);

	(void)state;
	assert_int_equal(ladder.cause, CAUSE_WRONG_TYPE);
	assert_int_equal(ladder.result, RESULT_FAILED);
}

static void
a_server_that_hangs_up_is_unavailable(void **state)
{
	struct ladder ladder = open_fails("+", 1, 0, true);

	(void)state;
	assert_int_equal(ladder.cause, CAUSE_UNAVAILABLE);
	assert_int_equal(ladder.result, RESULT_FAILED);
}

/* A thousand million pointers are 8 GB, and a while to look through. */
static void
a_list_that_cannot_come_whole_is_refused_when_announced(void **state)
{
	static const char list[] = "*1000000000\r\n:1\r\n";
	struct ladder ladder = open_fails(list, sizeof(list) - 1, 0, false);

	(void)state;
	assert_int_equal(ladder.cause, CAUSE_MISMATCH);
	assert_non_null(strstr(ladder.summary, "items"));
}

static void
a_reply_without_an_end_is_cut_off(void **state)
{
	size_t len = (size_t)REDIS_REPLY_MAX_BYTES + (1 << 20);
	char *reply = arena_alloc(&arena, len);

	(void)state;
	memset(reply, 'x', len);
	static const char head[] = {
	    '$', '9', '9', '9', '9', '9', '9', '9', '9', '9', '\r', '\n'};
	memcpy(reply, head, sizeof(head));
	struct server server = start_server(reply, len, 0, false);
	struct redis_connection *redis = NULL;
	struct ladder ladder;
	ladder_init(&ladder, &arena, clock_after(clock_ms(), LONG_MS));
	assert_int_equal(
	    redis_connection_open(
	        arena_format(&arena, "redis://127.0.0.1:%d", server.port), NULL,
	        &ladder, &redis),
	    -1);
	assert_int_equal(ladder.cause, CAUSE_MISMATCH);
	stop_server(&server);
}

static void
an_error_reply_has_a_cause(void **state)
{
	static const struct {
		const char *text;
		enum cause cause;
	} rows[] = {
	    {"NOAUTH Authentication required.", CAUSE_AUTH},
	    {"WRONGPASS invalid username-password pair", CAUSE_AUTH},
	    {"NOPERM this user has no permissions", CAUSE_PERMISSION},
	    {"ERR unknown command 'client', with args", CAUSE_PERMISSION},
	    {"ERR DB index is out of range", CAUSE_WRONG_DATABASE},
	    {"WRONGTYPE Operation against a key", CAUSE_WRONG_TYPE},
	    {"LOADING Redis is loading the dataset", CAUSE_UNAVAILABLE},
	    {"READONLY You can't write against", CAUSE_UNAVAILABLE},
	    {"OOM command not allowed", CAUSE_UNAVAILABLE},
	    {"MOVED 3999 127.0.0.1:6381", CAUSE_MISMATCH},
	    {"something new", CAUSE_MISMATCH},
	};
	const char *code = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		redisReply reply = {.type = REDIS_REPLY_ERROR,
		    .str = arena_text(&arena, rows[i].text),
		    .len = strlen(rows[i].text)};
		assert_int_equal(
		    redis_error_cause(&reply, &arena, &code), rows[i].cause);
	}
	assert_string_equal(code, "something");
}

static void
a_url_that_names_no_server_is_said_to_be_wrong(void **state)
{
	static const char *const bad[] = {"http://h", "redis://", "nonsense",
	    "redis://h:6379/x", "redis://h:99999"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct redis_connection *redis = NULL;
		struct ladder ladder;
		ladder_init(&ladder, &arena, clock_after(clock_ms(), LONG_MS));
		assert_int_equal(
		    redis_connection_open(bad[i], NULL, &ladder, &redis), -1);
		assert_int_equal(ladder.cause, CAUSE_URL);
	}
}

/* A backlog of 0 that is full swallows the next SYN: a black hole without any
 * network. */
static void
an_address_that_swallows_packets_is_unreachable_in_time(void **state)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int full[4];

	(void)state;
	assert_int_equal(bind(fd, (const void *)&in, size), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &size), 0);
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(full[i], (const void *)&in, size);
	}
	struct endpoint endpoint = {
	    .host = "127.0.0.1", .port = ntohs(in.sin_port)};
	struct stream *stream = NULL;
	int64_t begun_ms = clock_ms();
	look.ladder.deadline_ms = clock_after(begun_ms, SHORT_MS);
	assert_int_equal(stream_open(&endpoint, &look.ladder, &stream), -1);
	assert_true(clock_ms() - begun_ms < LONG_MS);
	assert_int_equal(look.ladder.cause, CAUSE_UNREACHABLE);
	assert_int_equal(look.ladder.result, RESULT_UNKNOWN);
	for (size_t i = 0; i < ARRAY_LEN(full); i++)
		(void)close(full[i]);
	(void)close(fd);
}

static int
alike(const char *const *declared, const char *const *argv)
{
	return processes_alike(declared, argv);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
a_process_is_known_by_program_and_script(void **state)
{
	(void)state;
	assert_int_equal(alike(WORDS("/app/worker"), WORDS("/app/worker")), 2);
	assert_int_equal(
	    alike(WORDS("/app/worker"), WORDS("./worker", "-v")), 1);
	assert_int_equal(alike(WORDS("/app/worker"), WORDS("/app/workerx")), 0);
	assert_int_equal(alike(WORDS("python3", "worker.py"),
	                     WORDS("/usr/bin/python3", "/app/worker.py")),
	    1);
	assert_int_equal(
	    alike(WORDS("python3", "worker.py"), WORDS("python3", "server.py")),
	    0);
	assert_int_equal(
	    alike(WORDS("python3", "worker.py"), WORDS("python3")), 0);
	/* "#!": the kernel puts the interpreter in front */
	assert_int_equal(
	    alike(WORDS("/app/run.sh"), WORDS("/bin/sh", "/app/run.sh")), 2);
	assert_int_equal(alike(WORDS("reeve", "worker", "--queue", "a"),
	                     WORDS("/usr/libexec/reeve/reeve-tool", "worker",
	                         "--queue", "a")),
	    2);
	assert_int_equal(alike(WORDS("reeve", "worker", "--queue", "a"),
	                     WORDS("reeve-tool", "worker", "--queue", "b")),
	    1);
	assert_int_equal(
	    alike(WORDS("reeve", "worker"), WORDS("reeve-tool", "probe")), 0);
}

static void
a_running_process_is_found_without_its_secrets(void **state)
{
	struct processes_command commands[] = {
	    {"mine", WORDS("sh", "-c", "read x; : --password=opensesame")},
	    {"other", WORDS("sh", "-c", "read x; : other")}};
	struct processes_found found = {.scope = ""};
	struct err err = ERR_INIT;
	int pipes[2] = {-1, -1};
	int status = 0;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(pipes[0], STDIN_FILENO);
		(void)execlp("sh", "sh", "-c",
		    "read x; : --password=opensesame", (char *)NULL);
		_exit(127);
	}
	int64_t until_ms = clock_after(clock_ms(), LONG_MS);
	bool seen = false;
	while (!seen && clock_ms() < until_ms) {
		assert_int_equal(
		    processes_find(commands, 2, &arena, &found, &err), 0);
		for (size_t i = 0; i < found.count; i++)
			if (found.all[i].pid == pid) {
				seen = true;
				assert_string_equal(
				    found.all[i].worker, "mine");
				assert_string_equal(found.all[i].command, "sh");
				assert_true(llabs(found.all[i].started_wall_ms -
				                  clock_wall_ms()) < 60000);
			}
	}
	assert_true(seen);
	assert_non_null(strstr(found.scope, "pid namespace"));
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
}

static void
whose_a_connection_is_can_be_told(void **state)
{
	struct server server = start_server("", 0, 0, false);
	struct endpoint endpoint = {.host = "127.0.0.1", .port = server.port};
	struct stream *stream = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(stream_open(&endpoint, &look.ladder, &stream), 0);
	struct consumer_match matches[] = {{.address = stream_local(stream)},
	    {.address = "192.0.2.77:4242"}, {.address = "nowhere"},
	    {.address = ""}, {.address = "[::1]:1"}};
	int64_t until_ms = clock_after(clock_ms(), LONG_MS);
	do /* a look ends after a while, and the next goes on from there */
		assert_int_equal(processes_match_consumers(
		                     matches, ARRAY_LEN(matches), &arena, &err),
		    0);
	while ((matches[0].result == RESULT_UNKNOWN ||
	           matches[1].result == RESULT_UNKNOWN) &&
	       clock_ms() < until_ms);
	assert_int_equal(matches[0].result, RESULT_PASSED);
	assert_int_equal(matches[0].pid, getpid());
	assert_int_equal(matches[1].result, RESULT_FAILED);
	assert_int_equal(matches[1].pid, -1);
	assert_int_equal(matches[2].result, RESULT_UNKNOWN);
	assert_int_equal(matches[3].result, RESULT_UNKNOWN);
	assert_int_equal(matches[4].result, RESULT_FAILED);
	stream_close(stream);
	stop_server(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_value_is_compared_whole),
	    TEST(a_path_goes_through_objects_and_lists),
	    TEST(a_canary_is_bound_and_never_pasted),
	    TEST(a_statement_that_needs_a_canary_is_unknown_without_one),
	    TEST(a_canary_in_a_url_is_encoded),
	    TEST(a_password_is_known_in_every_form),
	    TEST(a_kept_connection_is_handed_out_once),
	    TEST(json_that_two_readers_would_take_differently_is_refused),
	    TEST(a_key_has_its_case_and_a_type),
	    TEST(a_server_that_says_nothing_is_silent_and_unknown),
	    TEST(a_server_that_drips_is_silent_and_unknown),
	    TEST(a_server_that_speaks_something_else_is_the_wrong_type),
	    TEST(a_server_that_hangs_up_is_unavailable),
	    TEST(a_list_that_cannot_come_whole_is_refused_when_announced),
	    TEST(a_reply_without_an_end_is_cut_off),
	    TEST(an_error_reply_has_a_cause),
	    TEST(a_url_that_names_no_server_is_said_to_be_wrong),
	    TEST(an_address_that_swallows_packets_is_unreachable_in_time),
	    TEST(a_process_is_known_by_program_and_script),
	    TEST(a_running_process_is_found_without_its_secrets),
	    TEST(whose_a_connection_is_can_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
