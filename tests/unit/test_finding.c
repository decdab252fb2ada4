/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/finding.h"

static void
unknown_is_the_zero_value_and_every_word_is_the_manuals(void **state)
{
	(void)state;
	struct finding finding = {0};

	assert_string_equal(result_name(finding.result), "unknown");
	assert_string_equal(role_name(finding.role), "");
	assert_string_equal(result_name(RESULT_PASSED), "passed");
	assert_string_equal(result_name(RESULT_FAILED), "failed");
	assert_string_equal(result_name(RESULT_BLOCKED), "blocked");
	assert_string_equal(result_name(RESULT_SKIPPED), "skipped");
	assert_string_equal(result_name(RESULT_WAIVED), "waived");
	assert_string_equal(severity_name(SEVERITY_INFO), "info");
	assert_string_equal(severity_name(SEVERITY_WARNING), "warning");
	assert_string_equal(severity_name(SEVERITY_ERROR), "error");
	assert_string_equal(severity_name(SEVERITY_CRITICAL), "critical");
	assert_string_equal(role_name(ROLE_ROOT), "root");
	assert_string_equal(role_name(ROLE_EXPLAINED), "explained");
	assert_string_equal(role_name(ROLE_LATENT), "latent");
	assert_string_equal(role_name(ROLE_UNEXPLAINED), "unexplained");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        unknown_is_the_zero_value_and_every_word_is_the_manuals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
