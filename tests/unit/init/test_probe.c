/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "supervisor/init/probe.h"

static void
expect_argv(const struct probe_command *command, const char *const *want)
{
	size_t i = 0;

	for (; want[i] != NULL; i++) {
		assert_non_null(command->argv[i]);
		assert_string_equal(command->argv[i], want[i]);
	}
	assert_null(command->argv[i]);
}

static void
an_http_probe_has_its_replicas_port_and_all_headers(void **state)
{
	const char *headers[] = {"A: b", "C: d e", NULL};
	struct probe_spec spec = {.kind = PROBE_HTTP,
	    .path = "/health",
	    .headers = headers,
	    .port = 8080,
	    .port_per_replica = true,
	    .timeout_ms = 1500};
	struct probe_command command;
	(void)state;

	assert_int_equal(probe_command(&spec, 3, &command, NULL), 0);
	assert_true(command.self);
	expect_argv(&command,
	    (const char *const[]){"reeve", "--probe", "http", "127.0.0.1",
	        "8083", "/health", "1500", "A: b", "C: d e", NULL});
	spec.port_per_replica = false;
	spec.host = "::1";
	spec.path = NULL;
	spec.headers = NULL;
	assert_int_equal(probe_command(&spec, 3, &command, NULL), 0);
	expect_argv(&command, (const char *const[]){"reeve", "--probe", "http",
	                          "::1", "8080", "/", "1500", NULL});
}

static void
a_tcp_probe_has_host_port_and_timeout(void **state)
{
	struct probe_spec spec = {
	    .kind = PROBE_TCP, .port = 65535, .timeout_ms = 1000};
	struct probe_command command;
	(void)state;

	assert_int_equal(probe_command(&spec, 0, &command, NULL), 0);
	expect_argv(&command, (const char *const[]){"reeve", "--probe", "tcp",
	                          "127.0.0.1", "65535", "1000", NULL});
}

static void
an_exec_probe_is_the_users_command_itself(void **state)
{
	const char *argv[] = {"pg_isready", "-q", NULL};
	struct probe_spec spec = {.kind = PROBE_EXEC, .argv = argv};
	struct probe_command command;
	(void)state;

	assert_int_equal(probe_command(&spec, 0, &command, NULL), 0);
	assert_false(command.self);
	expect_argv(&command, argv);
}

static void
what_makes_no_sense_is_refused(void **state)
{
	const char *many[PROBE_ARGV_MAX + 1] = {NULL};
	struct probe_spec spec = {.kind = PROBE_NONE};
	struct probe_command command;
	struct err err = ERR_INIT;
	(void)state;

	assert_int_equal(probe_command(&spec, 0, &command, &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	spec = (struct probe_spec){.kind = PROBE_TCP, .port = 0};
	assert_int_equal(probe_command(&spec, 0, &command, &err), -1);
	spec = (struct probe_spec){
	    .kind = PROBE_TCP, .port = 65535, .port_per_replica = true};
	assert_int_equal(probe_command(&spec, 1, &command, &err), -1);
	for (size_t i = 0; i < PROBE_ARGV_MAX; i++)
		many[i] = "x";
	spec = (struct probe_spec){.kind = PROBE_EXEC, .argv = many};
	assert_int_equal(probe_command(&spec, 0, &command, &err), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	many[PROBE_ARGV_MAX - 1] = NULL;
	assert_int_equal(probe_command(&spec, 0, &command, &err), 0);
	assert_null(command.argv[PROBE_ARGV_MAX - 1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        an_http_probe_has_its_replicas_port_and_all_headers),
	    cmocka_unit_test(a_tcp_probe_has_host_port_and_timeout),
	    cmocka_unit_test(an_exec_probe_is_the_users_command_itself),
	    cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
