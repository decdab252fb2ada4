/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "checks/names.h"
#include "tests/unit/arena_try.h"

static void
names_that_were_meant_to_be_one_are_near(void **state)
{
	(void)state;
	assert_true(names_near("VOYAGE_API_KEY", "VOYAGEAI_API_KEY"));
	assert_true(names_near("DATABASE_URL", "DATABSE_URL"));
	assert_true(names_near("tenant-test", "test-tenant"));
	assert_true(names_near("fileprocess:jobs", "fileprocess-jobs"));
	assert_true(names_near("DB_PASSWORD", "PASSWORD_DB"));
}

static void
names_of_other_things_are_not_near(void **state)
{
	(void)state;
	assert_false(names_near("VOYAGE_API_KEY", "OPENAI_API_KEY"));
	assert_false(names_near("VOYAGE_API_KEY", "STRIPE_API_KEY"));
	assert_false(names_near("REDIS_URL", "NATS_URL"));
	assert_false(names_near("A", "B"));
	assert_false(names_near("PORT", "HOST"));
	assert_false(names_near("X", ""));
	/* the same is not near */
	assert_false(names_near("A_KEY", "A_KEY"));
}

static void
a_variable_is_a_secret_by_its_name(void **state)
{
	(void)state;
	assert_true(name_is_secret("DB_PASSWORD"));
	assert_true(name_is_secret("VOYAGE_API_KEY"));
	assert_true(name_is_secret("SLACK_TOKEN"));
	assert_true(name_is_secret("signing_key"));
	assert_false(name_is_secret("API_KEY_FILE"));
	assert_false(name_is_secret("SECRET_NAME"));
	assert_false(name_is_secret("MONKEY"));
	assert_false(name_is_secret("LOG_LEVEL"));
}

static void
places_are_compared_with_defaults_filled_in(void **state)
{
	(void)state;
	assert_string_equal(
	    url_place(&arena, "redis://h"), "redis h:6379 db 0");
	assert_string_equal(
	    url_place(&arena, "redis://:pw@h:6379/0"), "redis h:6379 db 0");
	assert_string_equal(
	    url_place(&arena, "rediss://h/3"), "redis h:6379 db 3");
	assert_string_equal(url_place(&arena, "postgresql://app:pw@h/x?a=b"),
	    "postgres h:5432 db x");
	assert_string_equal(
	    url_place(&arena, "postgres://app@h"), "postgres h:5432 db app");
	assert_null(url_place(&arena, "sqlite:///tmp/q"));
	assert_null(url_place(&arena, "plain text"));
}

static void
an_unencoded_password_is_a_flaw_that_names_the_character(void **state)
{
	(void)state;
	assert_non_null(
	    strstr(url_flaw(&arena, "postgres://u:p@ss@h/db"), "%40"));
	assert_non_null(
	    strstr(url_flaw(&arena, "postgres://u:p/ss@h/db"), "%2F"));
	assert_non_null(
	    strstr(url_flaw(&arena, "postgres://u:p#ss@h/db"), "%23"));
	assert_non_null(
	    strstr(url_flaw(&arena, "postgres://u:100%@h/db"), "%25"));
	assert_null(url_flaw(&arena, "postgres://u:p%40ss@h/db?x=a@b"));
	assert_null(url_flaw(&arena, "http://h/mail/a@b"));
	assert_null(url_flaw(&arena, "no url"));
	assert_null(url_flaw(&arena, "redis://h"));
}

static void
a_flaw_never_holds_a_part_of_the_password(void **state)
{
	static const char *const urls[] = {"postgres://u:hunter2hunter2@@h/db",
	    "postgres://u:hunter2hunter2/@h/db",
	    "postgres://u:hunter2hunter2%zz@h/db",
	    "postgres://u:hunter2hunter2 @h/db",
	    "postgres://u:hunter2hunter2@h:port/db"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		const char *flaw = url_flaw(&arena, urls[i]);

		assert_non_null(flaw);
		assert_null(strstr(flaw, "hunter2"));
	}
}

static void
how_values_differ_is_said_without_showing_them(void **state)
{
	struct fingerprint_key key = {{1, 2, 3}};
	const char *text;

	(void)state;
	text =
	    values_differ(&arena, &key, "hunter2hunter2", "hunter2hunter2\n");
	assert_non_null(strstr(text, "white space at the end"));
	assert_null(strstr(text, "hunter2"));
	text = values_differ(&arena, &key, "Hunter2", "hunter2");
	assert_non_null(strstr(text, "case"));
	text = values_differ(&arena, &key, "hunter2", "correct-horse");
	assert_non_null(strstr(text, "length 7"));
	assert_non_null(strstr(text, "length 13"));
	assert_null(strstr(text, "hunter2"));
	assert_null(strstr(text, "horse"));
}

static void
a_name_is_one_word_for_the_shell_whatever_it_holds(void **state)
{
	(void)state;
	assert_string_equal(shell_quote(&arena, "jobs:a-b"), "jobs:a-b");
	assert_string_equal(shell_quote(&arena, "a b"), "'a b'");
	assert_string_equal(
	    shell_quote(&arena, "a'; reboot"), "'a'\\''; reboot'");
	assert_string_equal(shell_quote(&arena, ""), "''");
	assert_string_equal(shell_quote(&arena, "$(x)"), "'$(x)'");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_that_were_meant_to_be_one_are_near),
	    cmocka_unit_test(names_of_other_things_are_not_near),
	    cmocka_unit_test(a_variable_is_a_secret_by_its_name),
	    cmocka_unit_test(places_are_compared_with_defaults_filled_in),
	    cmocka_unit_test(
	        an_unencoded_password_is_a_flaw_that_names_the_character),
	    cmocka_unit_test(a_flaw_never_holds_a_part_of_the_password),
	    cmocka_unit_test(
	        a_name_is_one_word_for_the_shell_whatever_it_holds),
	    cmocka_unit_test(how_values_differ_is_said_without_showing_them),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
