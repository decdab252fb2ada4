/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
an_error_has_kind_and_text_and_returns_minus_one(void **state)
{
	(void)state;
	struct err err = ERR_INIT;

	assert_int_equal(err_set(&err, ERR_INPUT, "line %d", 7), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_int_equal(err.sys, 0);
	assert_string_equal(err.text, "line 7");
}

static void
a_system_error_keeps_errno_and_says_its_text(void **state)
{
	(void)state;
	struct err err = ERR_INIT;

	errno = ENOENT;
	assert_int_equal(err_sys(&err, "open '%s'", "/x"), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_int_equal(err.sys, ENOENT);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(err.text, "open '/x': No such file or directory");
}

static void
an_errno_that_nobody_knows_is_said_as_a_number(void **state)
{
	(void)state;
	struct err err = ERR_INIT;

	errno = 4711;
	(void)err_sys(&err, "read");
	assert_string_equal(err.text, "read: error 4711");
}

static void
context_is_put_in_front(void **state)
{
	(void)state;
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_TIMEOUT, "no answer");
	assert_int_equal(err_wrap(&err, "plan '%s'", "p"), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_string_equal(err.text, "plan 'p': no answer");
}

static void
an_error_may_be_made_of_its_own_text(void **state)
{
	(void)state;
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_INPUT, "inner");
	(void)err_set(&err, ERR_SYSTEM, "outer (%s)", err.text);
	assert_string_equal(err.text, "outer (inner)");
}

static void
nobody_need_want_the_details(void **state)
{
	(void)state;
	errno = ENOENT;
	assert_int_equal(err_set(NULL, ERR_INPUT, "x"), -1);
	assert_int_equal(err_sys(NULL, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
}

static void
a_text_too_long_is_cut_and_the_reason_survives(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char longer[2 * ERR_TEXT_MAX];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	(void)err_set(&err, ERR_INPUT, "%s", longer);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	errno = EACCES;
	(void)err_sys(&err, "%s", longer);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_non_null(strstr(err.text, "x: Permission denied"));
}

static void
a_cut_never_halves_a_character(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char longer[2 * ERR_TEXT_MAX + 1];

	for (size_t i = 0; i < sizeof(longer) - 1; i += 2)
		memcpy(longer + i, "\xC3\xA9", 2);
	longer[sizeof(longer) - 1] = '\0';
	(void)err_set(&err, ERR_INPUT, "%s", longer);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_error_has_kind_and_text_and_returns_minus_one),
	    cmocka_unit_test(a_system_error_keeps_errno_and_says_its_text),
	    cmocka_unit_test(an_errno_that_nobody_knows_is_said_as_a_number),
	    cmocka_unit_test(context_is_put_in_front),
	    cmocka_unit_test(an_error_may_be_made_of_its_own_text),
	    cmocka_unit_test(nobody_need_want_the_details),
	    cmocka_unit_test(a_text_too_long_is_cut_and_the_reason_survives),
	    cmocka_unit_test(a_cut_never_halves_a_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
