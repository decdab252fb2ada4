/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "worker/exit.h"

static const char *
text_of(struct worker_exit ended)
{
	static char text[EXIT_TEXT_SIZE];

	return exit_text(&ended, text, sizeof(text));
}

static void
an_end_is_said_in_words(void **state)
{
	(void)state;
	assert_string_equal(
	    text_of((struct worker_exit){.kind = EXIT_UNKNOWN}), "unknown");
	assert_string_equal(
	    text_of((struct worker_exit){.kind = EXIT_CODE, .value = 3}),
	    "exit code 3");
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_SIGNAL, .value = SIGSEGV, .core_dumped = 1}),
	    "killed by SIGSEGV, core dumped");
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_SIGNAL, .value = SIGKILL, .oom = OOM_YES}),
	    "killed by SIGKILL, out of memory");
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_SIGNAL, .value = SIGTERM, .by_us = SIGTERM}),
	    "killed by SIGTERM (sent by reeve)");
	assert_string_equal(text_of((struct worker_exit){
	                        .kind = EXIT_SIGNAL, .value = SIGRTMIN + 2}),
	    "killed by SIGRTMIN+2");
}

static void
a_failed_start_names_stage_and_error(void **state)
{
	(void)state;
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_EXEC, .stage = STAGE_EXEC, .value = ENOENT}),
	    "not started: exec: no such file or directory (ENOENT)");
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_EXEC, .stage = STAGE_UID, .value = EPERM}),
	    "not started: uid: operation not permitted (EPERM)");
	/* one that has no words here keeps its number */
	assert_string_equal(
	    text_of((struct worker_exit){
	        .kind = EXIT_EXEC, .stage = STAGE_EXEC, .value = EXFULL}),
	    "not started: exec: error 54");
}

static void
what_waitid_says_becomes_a_kind(void **state)
{
	struct worker_exit ended = {.kind = EXIT_UNKNOWN};

	(void)state;
	exit_from_wait(CLD_EXITED, 7, &ended);
	assert_int_equal(ended.kind, EXIT_CODE);
	assert_int_equal(ended.value, 7);
	exit_from_wait(CLD_DUMPED, SIGABRT, &ended);
	assert_int_equal(ended.kind, EXIT_SIGNAL);
	assert_int_equal(ended.core_dumped, 1);
	exit_from_wait(CLD_KILLED, SIGKILL, &ended);
	assert_int_equal(ended.core_dumped, 0);
}

static void
classes_follow_the_restart_policy(void **state)
{
	static const struct {
		struct worker_exit ended;
		enum exit_class expected;
		int shell;
	} rows[] = {
	    {{.kind = EXIT_UNKNOWN}, CLASS_NONE, 255},
	    {{.kind = EXIT_CODE, .value = 0}, CLASS_CLEAN, 0},
	    {{.kind = EXIT_CODE, .value = 1}, CLASS_CRASH, 1},
	    {{.kind = EXIT_CODE, .value = 78}, CLASS_CONFIG, 78},
	    {{.kind = EXIT_SIGNAL, .value = SIGKILL}, CLASS_CRASH, 137},
	    {{.kind = EXIT_SIGNAL, .value = SIGKILL, .oom = OOM_YES}, CLASS_OOM,
	        137},
	    {{.kind = EXIT_EXEC, .stage = STAGE_EXEC, .value = ENOENT},
	        CLASS_CONFIG, 127},
	    {{.kind = EXIT_EXEC, .stage = STAGE_CHDIR, .value = EACCES},
	        CLASS_CONFIG, 126},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
		    exit_classify(&rows[i].ended), rows[i].expected);
		assert_int_equal(
		    exit_shell_code(&rows[i].ended), rows[i].shell);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_end_is_said_in_words),
	    cmocka_unit_test(a_failed_start_names_stage_and_error),
	    cmocka_unit_test(what_waitid_says_becomes_a_kind),
	    cmocka_unit_test(classes_follow_the_restart_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
