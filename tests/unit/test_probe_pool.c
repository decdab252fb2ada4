/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "probes/json_read.h"
#include "probes/observed.h"
#include "probes/request.h"

/*
 * The pool, with this program itself as the prober: started as `… probe`, it
 * does what the request's "do" says.
 */
enum {
	ARENA_BYTES = 64 << 20,
	LONG_MS = 20000,
	SHORT_MS = 300,
	LATER_MS = 1200,
	FLOOD_BYTES = 3 << 20,
	REQUESTS = 24
};

static void
say(const char *text)
{
	(void)!fd_write_all(STDOUT_FILENO, text, strlen(text), NULL);
}

static void
fake_answer(const char *subject)
{
	char line[512];

	(void)snprintf(line, sizeof(line),
	    "{\"schema\":\"reeve.observation/1\",\"kind\":\"fake\","
	    "\"subject\":\"%s\",\"result\":\"passed\",\"cause\":\"none\","
	    "\"summary\":\"pid %d\"}\n",
	    subject, (int)getpid());
	say(line);
}

static NORETURN void
hang(void)
{
	for (;;)
		(void)pause();
}

static void
fake_do(const char *what, const char *subject)
{
	if (strcmp(what, "answer") == 0) {
		fake_answer(subject);
	} else if (strcmp(what, "hang") == 0) {
		hang();
	} else if (strcmp(what, "hang-at-dns") == 0) {
		say("{\"progress\":\"tcp\",\"detail\":\"10.0.0.1:1\"}\n");
		say("{\"progress\":\"dns\",\"detail\":\"db.example\"}\n");
		hang();
	} else if (strcmp(what, "crash") == 0) {
		(void)fprintf(stderr, "assertion failed: cannot log in with "
		                      "swordfish-9000 to db\n");
		abort();
	} else if (strcmp(what, "leave") == 0) {
		_exit(3);
	} else if (strcmp(what, "garbage") == 0) {
		say("Segmentation fault\n");
	} else if (strcmp(what, "flood") == 0) {
		static char bytes[FLOOD_BYTES];
		memset(bytes, 'x', sizeof(bytes) - 1);
		say(bytes);
	} else if (strcmp(what, "somebody-else") == 0) {
		fake_answer("another subject");
	} else if (strcmp(what, "half") == 0) {
		say("{\"schema\":\"reeve.observation/1\",\"subj");
		hang();
	} else if (strcmp(what, "orphan") == 0) {
		if (fork() == 0)
			hang();
		fake_answer(subject);
		hang();
	}
}

static int
fake_prober(void)
{
	struct buffer in;
	const char *what = NULL;
	const char *subject = NULL;

	buffer_init(&in, 8 << 20);
	for (;;) {
		char byte[4096];
		ssize_t n = read(STDIN_FILENO, byte, sizeof(byte));
		if (n <= 0)
			break;
		buffer_append(&in, byte, (size_t)n);
		if (in.data[in.len - 1] != '\n')
			continue;
		CLEANUP(json_free)
		cJSON *json = json_read(in.data, in.len, NULL);
		if (json != NULL &&
		    json_text(json, "do", "", &what, NULL) == 0 &&
		    json_text(json, "subject", "", &subject, NULL) == 0)
			fake_do(what, subject);
		buffer_clear(&in);
	}
	buffer_fini(&in);
	return 0;
}

static struct probe_request
request(struct arena *arena, const char *what, const char *subject, int64_t ms)
{
	return (struct probe_request){
	    .json = arena_format(arena,
	        "{\"kind\":\"fake\",\"subject\":\"%s\",\"do\":\"%s\","
	        "\"url\":\"fake://u:swordfish-9000@h/x\"}",
	        subject, what),
	    .subject = subject,
	    .kind = "fake",
	    .deadline_ms = clock_after(clock_ms(), ms)};
}

/* Runs one and reads its answer as everybody else does. */
static struct observation
run_one(struct arena *arena, const char *what, int64_t ms)
{
	struct err err = ERR_INIT;
	struct observed observed;
	struct probe_request one = request(arena, what, "it", ms);

	assert_int_equal(probe_pool_run(&one, 1, NULL, arena, &err), 0);
	assert_non_null(one.answer);
	observed_init(&observed, arena);
	if (observed_add_line(&observed, one.answer, one.answer_len, &err) ==
	    -1)
		fail_msg("%s: %s", err.text, one.answer);
	assert_string_equal(observed.observations[0].subject, "it");
	assert_null(strstr(one.answer, "swordfish"));
	return observed.observations[0];
}

static int
setup(void **state)
{
	static struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	*state = &arena;
	return 0;
}

static int
teardown(void **state)
{
	arena_fini(*state);
	return 0;
}

static void
an_answer_is_handed_on(void **state)
{
	struct observation seen = run_one(*state, "answer", LONG_MS);

	assert_int_equal(seen.result, RESULT_PASSED);
}

static void
a_prober_that_hangs_is_killed_and_unknown(void **state)
{
	int64_t begun_ms = clock_ms();
	struct observation seen = run_one(*state, "hang", SHORT_MS);

	assert_true(clock_ms() - begun_ms < LONG_MS);
	assert_int_equal(seen.result, RESULT_UNKNOWN);
	assert_int_equal(seen.cause, CAUSE_DEADLINE);
	assert_string_equal(seen.target, "fake://u:***@h/x");
}

static void
the_step_where_it_hung_is_said(void **state)
{
	struct observation seen = run_one(*state, "hang-at-dns", SHORT_MS);

	assert_int_equal(seen.cause, CAUSE_DEADLINE);
	assert_string_equal(seen.code, "dns");
	assert_non_null(strstr(seen.summary, "DNS did not answer within"));
	assert_non_null(strstr(seen.summary, "db.example"));
	assert_int_equal(seen.nsteps, 1);
	assert_int_equal(seen.steps[0].kind, STEP_DNS);
	assert_int_equal(seen.steps[0].result, RESULT_UNKNOWN);
}

static void
half_a_line_is_no_answer(void **state)
{
	struct observation seen = run_one(*state, "half", SHORT_MS);

	assert_int_equal(seen.result, RESULT_UNKNOWN);
	assert_int_equal(seen.cause, CAUSE_DEADLINE);
}

static void
a_crash_is_our_trouble_and_tells_no_secret(void **state)
{
	struct observation seen = run_one(*state, "crash", LONG_MS);

	assert_int_equal(seen.result, RESULT_UNKNOWN);
	assert_int_equal(seen.cause, CAUSE_INTERNAL);
	assert_string_equal(seen.code, "signal 6");
	assert_non_null(strstr(seen.summary, "assertion failed"));
}

static void
an_early_exit_is_told_with_its_code(void **state)
{
	struct observation seen = run_one(*state, "leave", LONG_MS);

	assert_int_equal(seen.result, RESULT_UNKNOWN);
	assert_string_equal(seen.code, "exit 3");
}

static void
what_is_no_verdict_on_this_request_is_unknown(void **state)
{
	static const char *const bad[] = {"garbage", "flood", "somebody-else"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct observation seen = run_one(*state, bad[i], LONG_MS);
		assert_int_equal(seen.result, RESULT_UNKNOWN);
		assert_int_equal(seen.cause, CAUSE_INTERNAL);
	}
}

static void
count_progress(
    void *arg, const struct probe_request *one, size_t done, size_t total)
{
	size_t *last = arg;

	assert_non_null(one->answer);
	assert_int_equal(done, *last + 1);
	assert_int_equal(total, REQUESTS);
	*last = done;
}

static void
many_requests_each_get_their_own_answer(void **state)
{
	struct arena *arena = *state;
	struct probe_request all[REQUESTS];
	struct err err = ERR_INIT;
	size_t last = 0;
	struct probe_pool_options options = {
	    .jobs = 3, .progress = count_progress, .arg = &last};

	for (size_t i = 0; i < REQUESTS; i++)
		all[i] = request(arena, i % 8 == 7 ? "garbage" : "answer",
		    arena_format(arena, "subject %zu", i), LONG_MS);
	assert_int_equal(
	    probe_pool_run(all, REQUESTS, &options, arena, &err), 0);
	assert_int_equal(last, REQUESTS);
	for (size_t i = 0; i < REQUESTS; i++) {
		const char *wanted =
		    arena_format(arena, "\"subject\":\"subject %zu\"", i);
		assert_non_null(strstr(all[i].answer, wanted));
	}
}

static void
one_that_hangs_does_not_delay_the_others(void **state)
{
	struct arena *arena = *state;
	struct probe_pool_options options = {.jobs = 2};
	struct probe_request all[4];
	struct err err = ERR_INIT;

	all[0] = request(arena, "hang", "a", LATER_MS);
	for (size_t i = 1; i < ARRAY_LEN(all); i++)
		all[i] = request(arena, "answer", "b", LATER_MS);
	assert_int_equal(
	    probe_pool_run(all, ARRAY_LEN(all), &options, arena, &err), 0);
	assert_non_null(strstr(all[0].answer, "\"deadline\""));
	for (size_t i = 1; i < ARRAY_LEN(all); i++)
		assert_non_null(strstr(all[i].answer, "\"passed\""));
}

static void
a_request_whose_time_is_over_is_unknown_without_a_prober(void **state)
{
	struct arena *arena = *state;
	struct probe_request one = request(arena, "answer", "late", -1);
	struct err err = ERR_INIT;

	assert_int_equal(probe_pool_run(&one, 1, NULL, arena, &err), 0);
	assert_non_null(strstr(one.answer, "\"unknown\""));
	assert_non_null(strstr(one.answer, "\"deadline\""));
}

/* Larger than any pipe's buffer, to a prober that doesn't read. */
static void
a_large_request_reaches_the_prober(void **state)
{
	struct arena *arena = *state;
	size_t len = 2 << 20;
	char *filler = arena_alloc(arena, len + 1);
	struct err err = ERR_INIT;

	memset(filler, 'y', len);
	struct probe_request one = request(arena, "answer", "large", LONG_MS);
	one.json = arena_format(arena,
	    "{\"filler\":\"%s\",\"do\":\"answer\",\"subject\":\"large\"}",
	    filler);
	assert_int_equal(probe_pool_run(&one, 1, NULL, arena, &err), 0);
	assert_non_null(strstr(one.answer, "\"passed\""));
}

static void
nothing_of_a_prober_is_left_behind(void **state)
{
	struct observation seen = run_one(*state, "orphan", LONG_MS);
	char *end = NULL;
	int status = 0;

	assert_memory_equal(seen.summary, "pid ", 4);
	pid_t pid = (pid_t)strtol(seen.summary + 4, &end, 10);
	assert_true(pid > 1);
	/* its whole group, its child too; the kernel needs a moment to forget
	 * a killed orphan, which has another parent */
	int64_t until_ms = clock_after(clock_ms(), LONG_MS);
	while (kill(-pid, 0) == 0 && clock_ms() < until_ms)
		continue;
	assert_int_equal(kill(-pid, 0), -1);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
}

static void
a_tool_that_is_not_there_is_an_error_of_ours(void **state)
{
	struct arena *arena = *state;
	struct probe_request one = request(arena, "answer", "x", LONG_MS);
	struct probe_pool_options options = {.tool = "/nonexistent/tool"};
	struct err err = ERR_INIT;

	assert_int_equal(probe_pool_run(&one, 1, &options, arena, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/tool"));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_is_handed_on),
	    cmocka_unit_test(a_prober_that_hangs_is_killed_and_unknown),
	    cmocka_unit_test(the_step_where_it_hung_is_said),
	    cmocka_unit_test(half_a_line_is_no_answer),
	    cmocka_unit_test(a_crash_is_our_trouble_and_tells_no_secret),
	    cmocka_unit_test(an_early_exit_is_told_with_its_code),
	    cmocka_unit_test(what_is_no_verdict_on_this_request_is_unknown),
	    cmocka_unit_test(many_requests_each_get_their_own_answer),
	    cmocka_unit_test(one_that_hangs_does_not_delay_the_others),
	    cmocka_unit_test(
	        a_request_whose_time_is_over_is_unknown_without_a_prober),
	    cmocka_unit_test(a_large_request_reaches_the_prober),
	    cmocka_unit_test(nothing_of_a_prober_is_left_behind),
	    cmocka_unit_test(a_tool_that_is_not_there_is_an_error_of_ours),
	};

	if (argc > 1 && strcmp(argv[1], "probe") == 0)
		return fake_prober();
	return cmocka_run_group_tests(tests, setup, teardown);
}
