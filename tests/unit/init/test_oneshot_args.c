/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/init/oneshot_args.h"
#include "worker/exit.h"

static struct oneshot_args args;
static struct err err;

/* Reads `words`, which ends with NULL. */
static int
read_words(const char *const words[])
{
	static char room[16][64];
	static char *argv[17];
	int argc = 0;

	memset(argv, 0, sizeof(argv));
	for (; words[argc] != NULL; argc++) {
		assert_in_range(argc, 0, 15);
		assert_in_range(strlen(words[argc]), 0, 63);
		memcpy(room[argc], words[argc], strlen(words[argc]) + 1);
		argv[argc] = room[argc];
	}
	memset(&err, 0, sizeof(err));
	return oneshot_args_read(argc, argv, &args, &err);
}

#define READ(...) read_words((const char *const[]){__VA_ARGS__, NULL})
#define assert_refused(says, ...)                        \
	do {                                             \
		assert_int_equal(READ(__VA_ARGS__), -1); \
		assert_non_null(strstr(err.text, says)); \
	} while (0)

static void
without_options_every_signal_goes_on_as_itself(void **state)
{
	(void)state;
	assert_int_equal(READ("--", "cmd", "-v"), 0);
	assert_string_equal(args.command[0], "cmd");
	assert_string_equal(args.command[1], "-v");
	assert_null(args.command[2]);
	assert_false(args.to_group);
	assert_int_equal(args.verbose, 0);
	assert_int_equal(args.grace_ms, 5000);
	assert_int_equal(args.parent_death, 0);
	for (int signo = 1; signo < NSIG; signo++)
		assert_int_equal(args.sent_as[signo], signo);
	for (int code = 0; code < ONESHOT_CODES; code++)
		assert_false(args.as_zero[code]);
}

static void
options_are_spelled_as_getopt_takes_them(void **state)
{
	(void)state;
	assert_int_equal(READ("-sgvve143", "-e", "7", "-pKILL", "--", "c"), 0);
	assert_true(args.to_group);
	assert_int_equal(args.verbose, 2);
	assert_true(args.say_reaped);
	assert_true(args.as_zero[143]);
	assert_true(args.as_zero[7]);
	assert_false(args.as_zero[0]);
	assert_int_equal(args.parent_death, SIGKILL);
	assert_int_equal(
	    READ("--single-child", "--verbose", "--rewrite", "15:3",
	        "--rewrite=HUP:0", "--grace=1s", "--", "c"),
	    0);
	assert_int_equal(args.sent_as[SIGTERM], SIGQUIT);
	assert_int_equal(args.sent_as[SIGHUP], 0);
	assert_int_equal(args.sent_as[SIGINT], SIGINT);
	assert_int_equal(args.verbose, 1);
	assert_false(args.say_reaped);
	assert_int_equal(args.grace_ms, 1000);
	assert_int_equal(READ("-w", "--grace", "0", "--", "c"), 0);
	assert_true(args.say_reaped);
	assert_int_equal(args.verbose, 0);
	assert_int_equal(args.grace_ms, 0);
}

static void
the_last_rewrite_of_a_signal_counts(void **state)
{
	(void)state;
	assert_int_equal(
	    READ("-r", "TERM:INT", "-r", "SIGTERM:SIGRTMIN+1", "--", "c"), 0);
	assert_int_equal(args.sent_as[SIGTERM], SIGRTMIN + 1);
	assert_int_equal(READ("-r15:9", "-r", "TSTP:STOP", "--", "c"), 0);
	assert_int_equal(args.sent_as[SIGTERM], SIGKILL);
	assert_int_equal(args.sent_as[SIGTSTP], SIGSTOP);
}

static void
what_is_wrong_is_refused_with_what_would_be_right(void **state)
{
	(void)state;
	assert_refused("-e CODE, -g, -p SIGNAL", "-x", "--", "c");
	assert_refused("-e CODE, -g, -p SIGNAL", "-gx", "--", "c");
	assert_refused("--grace D", "--rewritten=1:2", "--", "c");
	assert_refused("--grace D", "--verbose=2", "--", "c");
	assert_refused("--grace D", "-", "--", "c");
	assert_refused("--grace D", "word", "--", "c");
	assert_refused("0..255", "-e", "256", "--", "c");
	assert_refused("0..255", "-e", "-1", "--", "c");
	assert_refused("0..255", "-e1x", "--", "c");
	assert_refused("needs a value", "-e", "--", "c");
	assert_refused("needs a value", "--rewrite", "--", "c");
	assert_refused("TERM, SIGTERM", "-p", "TREM", "--", "c");
	assert_refused("1 to 64", "-p", "0", "--", "c");
	assert_refused("1 to 64", "-p", "65", "--", "c");
	assert_refused("exclude each other", "-g", "-c", "--", "c");
	assert_refused("no command", "-g", "--");
}

static void
a_rewrite_that_could_do_nothing_is_refused(void **state)
{
	(void)state;
	assert_refused("RECEIVED:SENT", "-r", "15", "--", "c");
	assert_refused("RECEIVED:SENT", "-r", "1500000000000000:1", "--", "c");
	assert_refused("'0' is no signal", "-r", "0:15", "--", "c");
	assert_refused("'' is no signal", "-r", ":15", "--", "c");
	assert_refused("'' is no signal", "-r", "15:", "--", "c");
	assert_refused("or 0 to drop", "-r", "15:00", "--", "c");
	assert_refused("or 0 to drop", "-r", "15:65", "--", "c");
	assert_refused("KILL, STOP and CHLD", "-r", "9:15", "--", "c");
	assert_refused("KILL, STOP and CHLD", "-r", "STOP:15", "--", "c");
	assert_refused("KILL, STOP and CHLD", "-r", "SIGCHLD:15", "--", "c");
}

static void
a_signal_has_one_number_under_all_its_names(void **state)
{
	char spare[16];

	(void)state;
	for (int signo = 1; signo < NSIG; signo++) {
		const char *name =
		    exit_signal_name(signo, spare, sizeof(spare));

		if (strncmp(name, "SIG", 3) != 0)
			continue; /* no name but its number */
		assert_int_equal(exit_signal_number(name), signo);
		assert_int_equal(exit_signal_number(name + 3), signo);
	}
	assert_int_equal(exit_signal_number("15"), SIGTERM);
	assert_int_equal(exit_signal_number("RTMIN"), SIGRTMIN);
	assert_int_equal(exit_signal_number("SIGRTMAX"), SIGRTMAX);
	assert_int_equal(exit_signal_number("RTMAX-1"), SIGRTMAX - 1);
	static const char *const wrong[] = {"", "SIG", "term", "SIGSIGTERM",
	    "0", "65", "-15", "15 ", "TERMS", "RTMIN-1", "RTMIN+99", "RTMAX+1",
	    "RTMIN+", "RTMID"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(exit_signal_number(wrong[i]), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_options_every_signal_goes_on_as_itself),
	    cmocka_unit_test(options_are_spelled_as_getopt_takes_them),
	    cmocka_unit_test(the_last_rewrite_of_a_signal_counts),
	    cmocka_unit_test(what_is_wrong_is_refused_with_what_would_be_right),
	    cmocka_unit_test(a_rewrite_that_could_do_nothing_is_refused),
	    cmocka_unit_test(a_signal_has_one_number_under_all_its_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
