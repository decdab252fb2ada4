/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
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
	PATIENT_MS = 4000,
	FLOOD_BYTES = 3 << 20,
	REQUESTS = 24
};

static void
say(const char *text)
{
	(void)!fd_write_all(STDOUT_FILENO, text, strlen(text), NULL);
}

static int lines; /* that this prober was given */

static void
fake_verdict(const char *subject, const char *result, const char *cause)
{
	char line[512];

	(void)snprintf(line, sizeof(line),
	    "{\"schema\":\"reeve.observation/1\",\"kind\":\"fake\","
	    "\"subject\":\"%s\",\"result\":\"%s\",\"cause\":\"%s\","
	    "\"summary\":\"pid %d line %d\"}\n",
	    subject, result, cause, (int)getpid(), lines);
	say(line);
}

static void
fake_answer(const char *subject)
{
	fake_verdict(subject, "passed", "none");
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
	} else if (strcmp(what, "refused") == 0) {
		fake_verdict(subject, "failed", "refused");
	} else if (strcmp(what, "not-found") == 0) {
		fake_verdict(subject, "failed", "not-found");
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

static void
fake_requests(const cJSON *json)
{
	const char *what = NULL;
	const char *subject = NULL;

	for (; json != NULL; json = json->next)
		if (json_text(json, "do", "", &what, NULL) == 0 &&
		    json_text(json, "subject", "", &subject, NULL) == 0)
			fake_do(what, subject);
}

static int
fake_prober(void)
{
	struct buffer in;

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
		lines++;
		fake_requests(cJSON_IsArray(json) ? json->child : json);
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

	/* a busy machine may end a short time before the prober says a word */
	for (int64_t ms = INT64_C(2) * SHORT_MS;
	     seen.code[0] == '\0' && ms < LONG_MS; ms *= 2)
		seen = run_one(*state, "hang-at-dns", ms);
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

/* --- requests of one endpoint --------------------------------------------- */

enum {
	GROUPED = 6
};

/* What to do for each, "" ends the list; subjects are "0", "1"…; all of one
 * endpoint, but those that begin with "other:". */
static size_t
grouped(struct arena *arena, const char *const *what, bool together, int64_t ms,
    struct probe_request *ret)
{
	size_t count = 0;

	for (; count < GROUPED && what[count] != NULL; count++) {
		bool other = strncmp(what[count], "other:", 6) == 0;

		ret[count] = request(arena, what[count] + (other ? 6 : 0),
		    arena_format(arena, "%zu", count), ms);
		ret[count].endpoint = other ? "fake://other" : "fake://one";
		ret[count].together = together;
	}
	return count;
}

static struct observation
answer_of(struct arena *arena, const struct probe_request *one)
{
	struct err err = ERR_INIT;
	struct observed observed;

	assert_non_null(one->answer);
	observed_init(&observed, arena);
	if (observed_add_line(&observed, one->answer, one->answer_len, &err) ==
	    -1)
		fail_msg("%s: %s", err.text, one->answer);
	assert_string_equal(observed.observations[0].subject, one->subject);
	return observed.observations[0];
}

/* Runs them; the answers are in their order. */
static void
run_grouped(struct arena *arena, const char *const *what, bool together,
    unsigned jobs, int64_t ms, struct observation *ret)
{
	struct probe_pool_options options = {.jobs = jobs};
	struct probe_request all[GROUPED];
	struct err err = ERR_INIT;
	size_t count = grouped(arena, what, together, ms, all);

	memset(ret, 0, GROUPED * sizeof(*ret));
	assert_int_equal(probe_pool_run(all, count, &options, arena, &err), 0);
	for (size_t i = 0; i < count; i++)
		ret[i] = answer_of(arena, &all[i]);
}

/* The number behind a word of what a prober says of itself. */
static long
said(const struct observation *seen, const char *word)
{
	const char *at = strstr(seen->summary, word);

	assert_non_null(at);
	return strtol(at + strlen(word), NULL, 10);
}

static void
one_endpoint_is_asked_by_one_prober(void **state)
{
	static const char *const what[GROUPED] = {
	    "answer", "not-found", "other:answer", "answer"};
	struct observation seen[GROUPED];
	long pids[4];

	/* one at once: a slow machine would get the endpoint another */
	run_grouped(*state, what, false, 1, LONG_MS, seen);
	for (size_t i = 0; i < 4; i++)
		pids[i] = said(&seen[i], "pid ");
	assert_true(pids[0] > 0);
	assert_int_equal(pids[1], pids[0]);
	assert_int_equal(pids[3], pids[0]);
	assert_int_not_equal(pids[2], pids[0]);
	/* one after the other: each has its own time */
	assert_int_equal(said(&seen[0], " line "), 1);
	assert_int_equal(said(&seen[1], " line "), 2);
	assert_int_equal(said(&seen[3], " line "), 3);
}

static void
those_that_share_round_trips_are_one_line(void **state)
{
	static const char *const what[GROUPED] = {
	    "answer", "answer", "not-found", "answer"};
	struct observation seen[GROUPED];

	run_grouped(*state, what, true, 8, LONG_MS, seen);
	for (size_t i = 0; i < 4; i++)
		assert_non_null(strstr(seen[i].summary, " line 1"));
	assert_int_equal(seen[2].cause, CAUSE_NOT_FOUND);
}

static void
a_crash_is_one_requests_own(void **state)
{
	static const char *const what[GROUPED] = {
	    "answer", "crash", "answer", "garbage", "answer"};

	for (int together = 0; together < 2; together++) {
		struct observation seen[GROUPED];

		run_grouped(*state, what, together == 1, 1, LONG_MS, seen);
		assert_string_equal(seen[1].code, "signal 6");
		assert_int_equal(seen[3].cause, CAUSE_INTERNAL);
		for (size_t i = 0; i < 5; i += 2)
			assert_int_equal(seen[i].result, RESULT_PASSED);
	}
}

static void
behind_a_slow_one_the_others_get_a_prober_of_their_own(void **state)
{
	static const char *const what[GROUPED] = {
	    "hang", "answer", "answer", "answer"};
	struct observation seen[GROUPED];

	run_grouped(*state, what, false, 2, PATIENT_MS, seen);
	assert_int_equal(seen[0].cause, CAUSE_DEADLINE);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(seen[i].result, RESULT_PASSED);
}

/* Six of an endpoint that hangs, with two probers at once. */
static void
an_endpoint_that_hangs_keeps_no_other_from_a_prober(void **state)
{
	static const char *const what[GROUPED] = {
	    "hang", "hang", "hang", "hang", "other:answer", "other:answer"};
	struct observation seen[GROUPED];

	run_grouped(*state, what, false, 2, PATIENT_MS, seen);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(seen[i].cause, CAUSE_DEADLINE);
	assert_int_equal(seen[4].result, RESULT_PASSED);
	assert_int_equal(seen[5].result, RESULT_PASSED);
}

/* Whoever can't get in isn't tried again: logins are counted. */
static void
who_refuses_one_refuses_all(void **state)
{
	static const char *const what[GROUPED] = {
	    "refused", "answer", "answer", "other:answer"};
	struct observation seen[GROUPED];

	run_grouped(*state, what, false, 1, LONG_MS, seen);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(seen[i].cause, CAUSE_REFUSED);
	assert_string_equal(seen[1].summary, seen[0].summary);
	assert_int_equal(seen[3].result, RESULT_PASSED);
}

static void
what_hangs_before_it_is_asked_hangs_for_all(void **state)
{
	static const char *const what[GROUPED] = {
	    "hang-at-dns", "answer", "answer"};
	struct observation seen[GROUPED];

	run_grouped(*state, what, false, 1, LATER_MS, seen);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(seen[i].cause, CAUSE_DEADLINE);
		assert_string_equal(seen[i].code, "dns");
	}
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
	    cmocka_unit_test(one_endpoint_is_asked_by_one_prober),
	    cmocka_unit_test(those_that_share_round_trips_are_one_line),
	    cmocka_unit_test(a_crash_is_one_requests_own),
	    cmocka_unit_test(
	        behind_a_slow_one_the_others_get_a_prober_of_their_own),
	    cmocka_unit_test(
	        an_endpoint_that_hangs_keeps_no_other_from_a_prober),
	    cmocka_unit_test(who_refuses_one_refuses_all),
	    cmocka_unit_test(what_hangs_before_it_is_asked_hangs_for_all),
	};

	if (argc > 1 && strcmp(argv[1], "probe") == 0)
		return fake_prober();
	return cmocka_run_group_tests(tests, setup, teardown);
}
