/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/notify.h"

static struct notify_message
parsed(const char *text)
{
	struct notify_message message;

	notify_parse(text, strlen(text), &message);
	return message;
}

static void
lines_are_taken_one_by_one(void **state)
{
	struct notify_message message =
	    parsed("READY=1\nSTATUS=at work\nWATCHDOG=1\n"
	           "EXTEND_TIMEOUT_USEC=2500000\n");

	(void)state;
	assert_true(message.ready && message.alive && message.has_status);
	assert_false(message.stopping || message.trigger);
	assert_string_equal(message.status, "at work");
	assert_int_equal(message.extend_us, 2500000);
	assert_null(message.refused);
	message = parsed("STOPPING=1\nWATCHDOG=trigger");
	assert_true(message.stopping && message.trigger);
	assert_false(message.ready || message.alive || message.has_status);
	assert_int_equal(message.extend_us, NOTIFY_NEVER);
}

static void
only_the_whole_line_counts(void **state)
{
	static const char *const nothing[] = {"", "\n\n", "READY",
	    "READY=", "READY=10", " READY=1", "ready=1", "READY=1 ", "XREADY=1",
	    "WATCHDOG=2", "STATUS", "X_READY=1", "RELOADING=1", "BARRIER=1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		struct notify_message message = parsed(nothing[i]);
		assert_false(message.ready || message.stopping ||
		             message.alive || message.trigger ||
		             message.has_status);
		assert_null(message.refused);
	}
}

static void
a_string_sent_with_its_end_is_the_same_and_a_nul_within_is_no_end(void **state)
{
	struct notify_message message;

	(void)state;
	notify_parse("READY=1\0\0", 9, &message);
	assert_true(message.ready);
	notify_parse("STATUS=a\0b\nREADY=1", 18, &message);
	assert_true(message.ready);
	assert_string_equal(message.status, "a?b");
}

static void
times_are_whole_numbers_or_nothing(void **state)
{
	static const char *const wrong[] = {"", "-1", "+1", "1s", " 1", "0x1",
	    "9999999999999999999", "99999999999999999999999"};
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		(void)snprintf(
		    line, sizeof(line), "EXTEND_TIMEOUT_USEC=%s", wrong[i]);
		assert_int_equal(parsed(line).extend_us, NOTIFY_NEVER);
	}
	assert_int_equal(parsed("EXTEND_TIMEOUT_USEC=0").extend_us, 0);
}

static void
what_is_asked_in_vain_is_named(void **state)
{
	(void)state;
	assert_string_equal(parsed("MAINPID=17").refused, "MAINPID");
	assert_string_equal(parsed("FDSTORE=1").refused, "FDSTORE");
	assert_string_equal(parsed("WATCHDOG_USEC=5").refused, "WATCHDOG_USEC");
}

static void
a_text_is_one_line_of_whole_characters(void **state)
{
	char text[12];
	static const struct {
		const char *bytes, *text;
	} cases[] = {
	    {"plain", "plain"},
	    {"\033[2Jx\r\t\x7f", "?[2Jx???"},
	    {"\xc2\x9b"
	     "2J",
	        "?2J"},
	    {"\xff\xfe", "??"},
	    {"\xed\xa0\x80", "???"},
	    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	    {"0123456789abc", "0123456789a"},
	    /* no half of a character where there is no more room */
	    {"0123456789\xc3\xbc", "0123456789"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		notify_text(
		    cases[i].bytes, strlen(cases[i].bytes), text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
	notify_text("x", 1, text, 1);
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_taken_one_by_one),
	    cmocka_unit_test(only_the_whole_line_counts),
	    cmocka_unit_test(
	        a_string_sent_with_its_end_is_the_same_and_a_nul_within_is_no_end),
	    cmocka_unit_test(times_are_whole_numbers_or_nothing),
	    cmocka_unit_test(what_is_asked_in_vain_is_named),
	    cmocka_unit_test(a_text_is_one_line_of_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
