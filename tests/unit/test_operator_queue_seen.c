/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/operator/queue_seen.h"

/* What is kept of a queue's answers, and when "the same as before" is believed.
 * Time stands where a test has put it. */

static struct queue_seen queue;
static int64_t now_ms;

int64_t __wrap_clock_ms(void);
int64_t
__wrap_clock_ms(void)
{
	return now_ms;
}

static int
setup(void **state)
{
	(void)state;
	queue = (struct queue_seen){.name = strdup("jobs"),
	    .kind = strdup("redis"),
	    .url = strdup("redis://h/0")};
	now_ms = 1000;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	queue_seen_fini(&queue);
	return 0;
}

static bool
answer(const char *line)
{
	/* of its own length, so that a byte too many is seen */
	size_t len = strlen(line);
	char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, line, len + 1);
	bool verdict = queue_seen_answer(&queue, copy, len);

	free(copy);
	return verdict;
}

static struct queue_view
view(void)
{
	struct queue_view view;

	queue_seen_view(&queue, &view);
	return view;
}

#define HEAD                                                      \
	"{\"schema\":\"reeve.observation/1\",\"kind\":\"queue\"," \
	"\"subject\":\"queue jobs\",\"at\":7000,"
#define PASSED HEAD "\"result\":\"passed\",\"summary\":\"ok\","
#define WAITING(n, tag)                                                      \
	PASSED tag "\"queue\":{\"waiting\":{\"know\":\"exact\",\"value\":" n \
	           "}}}"

static void
an_answer_holds_until_the_next(void **state)
{
	(void)state;
	assert_string_equal(view().trouble, "not looked at yet");
	assert_int_equal(view().state->waiting.know, KNOW_UNKNOWN);
	assert_true(answer(WAITING("3", "\"tag\":\"a\",")));
	assert_null(view().trouble);
	assert_int_equal(view().state->waiting.value, 3);
	assert_int_equal(view().at_wall_ms, 7000);
	assert_true(answer(WAITING("2", "\"tag\":\"b\",")));
	assert_int_equal(view().state->waiting.value, 2);
}

static void
the_same_is_believed_under_its_tag(void **state)
{
	(void)state;
	assert_true(answer(WAITING("3", "\"tag\":\"a\",")));
	assert_false(answer("{\"same\":\"a\",\"at\":9000}"));
	assert_null(view().trouble);
	assert_int_equal(view().state->waiting.value, 3);
	assert_int_equal(view().at_wall_ms, 9000);
	/* a time that is missing isn't made up */
	assert_false(answer("{\"same\":\"a\"}"));
	assert_null(view().trouble);
	assert_int_equal(view().at_wall_ms, 9000);
}

static void
the_same_under_another_tag_is_no_verdict(void **state)
{
	static const char *const lines[] = {"{\"same\":\"b\",\"at\":9000}",
	    "{\"same\":\"\",\"at\":9000}", "{\"same\":5,\"at\":9000}",
	    "{\"same\":\"a\",\"at\":"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_true(answer(WAITING("3", "\"tag\":\"a\",")));
		assert_false(answer(lines[i]));
		assert_string_equal(view().trouble, "no verdict");
		assert_int_equal(view().state->waiting.know, KNOW_UNKNOWN);
		assert_int_equal(view().at_wall_ms, 7000);
	}
	/* the right one still counts after it */
	assert_false(answer("{\"same\":\"a\",\"at\":9000}"));
	assert_null(view().trouble);
	assert_int_equal(view().state->waiting.value, 3);
}

/* An answer that has no tag can't be the one that is meant. */
static void
the_same_as_nothing_is_no_verdict(void **state)
{
	static const char *const lines[] = {"{\"same\":\"a\",\"at\":9000}",
	    "{\"same\":\"\",\"at\":9000}", "{\"same\":null,\"at\":9000}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_false(answer(lines[i]));
		assert_string_equal(view().trouble, "no verdict");
	}
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_true(answer(WAITING("3", "")));
		assert_null(view().trouble);
		assert_false(answer(lines[i]));
		assert_string_equal(view().trouble, "no verdict");
	}
}

static void
jobs_that_wait_stand_still_while_the_answer_is_the_same(void **state)
{
	(void)state;
	assert_true(answer(WAITING("3", "\"tag\":\"a\",")));
	assert_int_equal(view().still_ms, 1000);
	now_ms = 5000;
	assert_false(answer("{\"same\":\"a\",\"at\":9000}"));
	assert_int_equal(view().still_ms, 1000);
	assert_int_equal(view().known_ms, 5000);
	now_ms = 6000;
	assert_true(answer(WAITING("2", "\"tag\":\"b\","))); /* one was taken */
	assert_int_equal(view().still_ms, 6000);
	now_ms = 7000;
	assert_true(answer(WAITING("0", "\"tag\":\"c\",")));
	assert_int_equal(view().still_ms, 0);
}

static void
an_unknown_time_is_no_time_without_progress(void **state)
{
	(void)state;
	assert_true(answer(WAITING("3", "\"tag\":\"a\",")));
	queue_seen_trouble(&queue, "the prober ended");
	assert_int_equal(view().still_ms, 0);
	assert_string_equal(view().trouble, "the prober ended");
	now_ms = 8000;
	assert_false(answer("{\"same\":\"a\",\"at\":9000}"));
	assert_int_equal(view().still_ms, 8000);
}

static void
what_is_wrong_with_the_server_is_told_from_the_queue(void **state)
{
	(void)state;
	assert_false(queue_seen_blames_server(&queue));
	assert_true(answer(HEAD "\"result\":\"unknown\",\"cause\":\"refused\","
	                        "\"summary\":\"nobody listens\"}"));
	assert_string_equal(view().trouble, "nobody listens");
	assert_true(queue_seen_blames_server(&queue));
	assert_true(answer(HEAD "\"result\":\"failed\",\"cause\":"
	                        "\"wrong-type\",\"summary\":\"a hash\"}"));
	assert_false(queue_seen_blames_server(&queue));
	assert_true(answer(WAITING("3", "")));
	assert_false(queue_seen_blames_server(&queue));
}

static void
the_connection_is_told_by_the_verdict_that_opened_it(void **state)
{
	(void)state;
	assert_null(queue_seen_connected_to(&queue));
	assert_true(answer(PASSED "\"steps\":[{\"step\":\"tcp\",\"result\":"
	                          "\"passed\",\"detail\":"
	                          "\"connected to 10.0.0.5:6379\"}]}"));
	assert_string_equal(queue_seen_connected_to(&queue), "10.0.0.5:6379");
	assert_true(answer(WAITING("3", "")));
	assert_null(queue_seen_connected_to(&queue));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        an_answer_holds_until_the_next, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_same_is_believed_under_its_tag, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_same_under_another_tag_is_no_verdict, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_same_as_nothing_is_no_verdict, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        jobs_that_wait_stand_still_while_the_answer_is_the_same, setup,
	        teardown),
	    cmocka_unit_test_setup_teardown(
	        an_unknown_time_is_no_time_without_progress, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_is_wrong_with_the_server_is_told_from_the_queue, setup,
	        teardown),
	    cmocka_unit_test_setup_teardown(
	        the_connection_is_told_by_the_verdict_that_opened_it, setup,
	        teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
