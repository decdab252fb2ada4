/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checks/request_line.h"

static struct arena arena;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 64 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void
what_a_check_declares_stands_beside_what_is_ours(void **state)
{
	static const char *const reader[] = {"reeve", "logs", NULL};

	(void)state;
	assert_string_equal(
	    request_line(&arena, "http", "{\"url\":\"http://h/\"}",
	        &(struct request_more){
	            .subject = "check \"a\"", .timeout_ms = 5000}),
	    "{\"kind\":\"http\",\"subject\":\"check \\\"a\\\"\","
	    "\"timeout_ms\":5000,\"url\":\"http://h/\"}");
	assert_string_equal(request_line(&arena, "log", "{}",
	                        &(struct request_more){.subject = "s",
	                            .timeout_ms = 1,
	                            .canary = "c",
	                            .by = "b",
	                            .base = "7",
	                            .reader = reader}),
	    "{\"kind\":\"log\",\"subject\":\"s\",\"timeout_ms\":1,"
	    "\"canary\":\"c\",\"by\":\"b\",\"base\":\"7\","
	    "\"reader\":[\"reeve\",\"logs\"]}");
	assert_string_equal(
	    request_line(&arena, "platform", NULL,
	        &(struct request_more){.subject = "s", .timeout_ms = 1}),
	    "{\"kind\":\"platform\",\"subject\":\"s\",\"timeout_ms\":1}");
}

static void
a_queue_is_asked_with_its_options(void **state)
{
	struct declared_option options[] = {{.key = "list", .value = "a:b"}};
	const char *ids[] = {"1", "2"};
	const struct declared_queue queue = {.name = "jobs",
	    .kind = "redis",
	    .url = "redis://h/0",
	    .count_to = 10,
	    .options = options,
	    .noptions = 1};

	(void)state;
	assert_string_equal(
	    request_line_queue(&arena, &queue, "observe",
	        &(struct request_more){.subject = "s", .timeout_ms = 1}),
	    "{\"kind\":\"queue\",\"subject\":\"s\",\"timeout_ms\":1,"
	    "\"queueKind\":\"redis\",\"url\":\"redis://h/0\",\"countTo\":10,"
	    "\"options\":{\"list\":\"a:b\"},\"op\":\"observe\","
	    "\"near\":true}");
	assert_string_equal(request_line_queue(&arena, &queue, "move",
	                        &(struct request_more){.subject = "s",
	                            .timeout_ms = 1,
	                            .part = "dead",
	                            .ids = ids,
	                            .nids = 2,
	                            .force = true}),
	    "{\"kind\":\"queue\",\"subject\":\"s\",\"timeout_ms\":1,"
	    "\"queueKind\":\"redis\",\"url\":\"redis://h/0\",\"countTo\":10,"
	    "\"options\":{\"list\":\"a:b\"},\"op\":\"move\",\"part\":\"dead\","
	    "\"force\":true,\"ids\":[\"1\",\"2\"]}");
}

static void
one_that_is_too_long_is_none(void **state)
{
	const struct declared_queue queue = {
	    .name = "jobs", .kind = "redis", .url = "redis://h/0"};
	size_t len = 2 << 20;
	char *payload = malloc(len + 1);

	(void)state;
	assert_non_null(payload);
	memset(payload, 'x', len);
	payload[len] = '\0';
	assert_null(request_line_queue(&arena, &queue, "submit",
	    &(struct request_more){
	        .subject = "s", .timeout_ms = 1, .payload = payload}));
	assert_null(request_line(&arena, "http", NULL,
	    &(struct request_more){
	        .subject = "s", .timeout_ms = 1, .canary = payload}));
	free(payload);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        what_a_check_declares_stands_beside_what_is_ours, setup,
	        teardown),
	    cmocka_unit_test_setup_teardown(
	        a_queue_is_asked_with_its_options, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        one_that_is_too_long_is_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
