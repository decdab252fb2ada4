/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"

static struct arena arena;

/* `text` as it leaves a program that knows `secret`. */
static const char *
clean(const char *secret, const char *text)
{
	struct redactor *redactor = redactor_new();

	assert_non_null(redactor);
	redactor_add(redactor, secret);
	const char *result = redactor_clean(redactor, &arena, text);
	redactor_free(redactor);
	return result;
}

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 24);
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
a_known_value_is_hidden_wherever_it_stands(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("hunter22", "key hunter22, xhunter22x: 'hunter22hunter22'"),
	    "key ***, x***x: '******'");
	assert_string_equal(clean("hunter22", "hunter2"), "hunter2");
	assert_string_equal(clean("hunter22", ""), "");
	assert_null(clean("hunter22", NULL));
}

static void
a_value_too_short_would_shred_ordinary_text(void **state)
{
	(void)state;
	assert_string_equal(clean("error", "error: permission denied"),
	    "error: permission denied");
	assert_string_equal(clean("", "text"), "text");
}

static void
its_encoded_form_is_hidden_in_capitals_and_in_small(void **state)
{
	(void)state;
	assert_string_equal(clean("p@s/s:wörd", "x p%40s%2Fs%3Aw%C3%B6rd "
	                                        "p%40s%2fs%3aw%c3%b6rd y"),
	    "x *** *** y");
}

/* verifying.md 5.6: libpq takes the first '@' for the end of the password and
 * prints the rest of it as the host's name. */
static void
half_a_password_that_libpq_shows_is_hidden(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("p@ssword",
	        "could not translate host name \"ssword@127.0.0.1\" to "
	        "address: Name or service not known"),
	    "could not translate host name \"***@127.0.0.1\" to address: "
	    "Name or service not known");
	assert_string_equal(
	    clean("secretp@ss",
	        "could not translate host name \"ss@127.0.0.1\" to address"),
	    "could not translate host name \"***@127.0.0.1\" to address");
	/* and yet the same letters elsewhere stay */
	assert_string_equal(
	    clean("secretp@ss", "process, access@x"), "process, access@x");
}

static void
a_password_is_found_in_the_secret_that_is_a_url(void **state)
{
	(void)state;
	static const char url[] =
	    "postgresql://worker:p%40ssw0rd%3Ax@nexus-postgres:5432/nexus";

	assert_string_equal(
	    clean(url, "FATAL: p@ssw0rd:x for \"worker\" at nexus-postgres"),
	    "FATAL: *** for \"worker\" at nexus-postgres");
	assert_string_equal(clean(url, "raw p%40ssw0rd%3Ax"), "raw ***");
	assert_string_equal(clean(url, "\"ssw0rd:x@nexus-postgres\""),
	    "\"***@nexus-postgres\"");
	/* its host and scheme are what a diagnosis is about */
	assert_string_equal(
	    clean(url, "postgresql at nexus-postgres:5432: refused"),
	    "postgresql at nexus-postgres:5432: refused");
}

static void
a_raw_at_sign_in_a_url_does_not_show_half_of_it(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("postgresql://u:secretp@ss@127.0.0.1/db",
	        "could not translate host name \"ss@127.0.0.1\""),
	    "could not translate host name \"***@127.0.0.1\"");
}

static void
a_webhook_is_secret_from_its_path_on(void **state)
{
	(void)state;
	static const char url[] =
	    "https://hooks.example.com/services/T0/B0/xyz";

	assert_string_equal(
	    clean(url, "POST /services/T0/B0/xyz to hooks.example.com: 404"),
	    "POST *** to hooks.example.com: 404");
	assert_string_equal(
	    clean(url, "https://hooks.example.com/services/T0/B0/xyz"), "***");
}

static void
an_unknown_password_is_hidden_by_the_shape_of_a_url(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("other-secret", "redis://:pw@h:6379"), "redis://:***@h:6379");
	assert_string_equal(
	    clean("other-secret", "connect amqp://u:p@h failed"),
	    "connect amqp://u:***@h failed");
	assert_string_equal(
	    redactor_clean(NULL, &arena, "redis://:pw@h"), "redis://:***@h");
}

static void
fragments_are_hidden_and_the_longest_match_wins(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("abcdef:ghijkl/mnopqr", "abcdef ghijkl mnopqr ab"),
	    "*** *** *** ab");
	assert_string_equal(clean("abcdef:ghijkl", "abcdef:ghijkl"), "***");
	assert_string_equal(
	    clean("abcdef:ghijkl:mn", "ghijkl:mn abcdef:ghijkl"), "*** ***");
}

static void
a_secret_of_several_lines_is_known_by_each(void **state)
{
	(void)state;
	assert_string_equal(
	    clean("first-line\nsecond-line\n", "a first-line b\nsecond-line"),
	    "a *** b\n***");
}

static void
many_secrets_are_hidden_together(void **state)
{
	(void)state;
	struct redactor *redactor = redactor_new();
	char secret[32];

	for (int i = 0; i < 500; i++) {
		(void)snprintf(secret, sizeof(secret), "secret-%d-value", i);
		redactor_add(redactor, secret);
		redactor_add(redactor, secret);
	}
	redactor_add(redactor, NULL);
	assert_string_equal(redactor_clean(redactor, &arena,
	                        "secret-0-value secret-499-value secret-500"),
	    "*** *** secret-500");
	redactor_free(redactor);
	redactor_free(NULL);
}

static void
a_secret_of_a_megabyte_is_taken_and_hidden(void **state)
{
	(void)state;
	size_t len = 1 << 20;
	char *secret = malloc(len + 1);

	assert_non_null(secret);
	for (size_t i = 0; i < len; i++)
		secret[i] = i % 64 == 63 ? '\n' : (char)('a' + i % 26);
	secret[len] = '\0';
	char *line = arena_bytes(&arena, secret, 63);
	assert_string_equal(clean(secret, line), "***");
	free(secret);
}

static void
flaws_of_a_secret_are_named_without_showing_it(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		unsigned flaws;
	} rows[] = {
	    {"", 0},
	    {"hunter2", 0},
	    {"hunter2\n", SECRET_TRAILING_SPACE},
	    {"hunter2\r\n", SECRET_TRAILING_SPACE},
	    {" hunter2", SECRET_LEADING_SPACE},
	    {" ", SECRET_LEADING_SPACE | SECRET_TRAILING_SPACE},
	    {"\"hunter2\"", SECRET_QUOTED},
	    {"'hunter2'\n", SECRET_QUOTED | SECRET_TRAILING_SPACE},
	    {"'hunter2\"", 0},
	    {"\"", 0},
	    {"\xEF\xBB\xBFhunter2", SECRET_BOM},
	    /* base64 of "hunter2\n": echo without -n into the Secret's data */
	    {"aHVudGVyMgo=", SECRET_DOUBLE_BASE64},
	    /* base64 of base64 of "hunter2 is the password" */
	    {"YUhWdWRHVnlNaUJwY3lCMGFHVWdjR0Z6YzNkdmNtUT0=",
	        SECRET_DOUBLE_BASE64},
	    /* base64 once, and words that look like it, are fine */
	    {"aHVudGVyMiBpcyB0aGUgcGFzc3dvcmQ=", 0},
	    {"correcthorsebattery1", 0},
	    {"deadbeefdeadbeef", 0},
	    {"AKIAIOSFODNN7EXAMPLE", 0},
	    {"AAAA", 0},
	    {"====", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned got =
		    secret_flaws(rows[i].value, strlen(rows[i].value));
		if (got != rows[i].flaws)
			fail_msg("'%s': %x", rows[i].value, got);
	}
}

/* Seen with a payload of which only the first bytes are shown. */
static void
bytes_are_cleaned_past_a_nul_and_a_cut_value_is_hidden_too(void **state)
{
	static const char bytes[] = "a\0hunter2-token b hunter2-";
	struct redactor *redactor = redactor_new();
	size_t len = 0;

	(void)state;
	redactor_add(redactor, "hunter2-token");
	const char *got = redactor_clean_bytes(
	    redactor, &arena, bytes, sizeof(bytes) - 1, true, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(got, "a\0*** b ", 9);
	got = redactor_clean_bytes(
	    redactor, &arena, bytes, sizeof(bytes) - 1, false, &len);
	assert_int_equal(len, 16);
	assert_memory_equal(got, "a\0*** b hunter2-", 17);
	got = redactor_clean_bytes(redactor, &arena, NULL, 0, true, &len);
	assert_int_equal(len, 0);
	redactor_free(redactor);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_known_value_is_hidden_wherever_it_stands),
	    cmocka_unit_test(a_value_too_short_would_shred_ordinary_text),
	    cmocka_unit_test(
	        its_encoded_form_is_hidden_in_capitals_and_in_small),
	    cmocka_unit_test(half_a_password_that_libpq_shows_is_hidden),
	    cmocka_unit_test(a_password_is_found_in_the_secret_that_is_a_url),
	    cmocka_unit_test(a_raw_at_sign_in_a_url_does_not_show_half_of_it),
	    cmocka_unit_test(a_webhook_is_secret_from_its_path_on),
	    cmocka_unit_test(
	        an_unknown_password_is_hidden_by_the_shape_of_a_url),
	    cmocka_unit_test(fragments_are_hidden_and_the_longest_match_wins),
	    cmocka_unit_test(a_secret_of_several_lines_is_known_by_each),
	    cmocka_unit_test(many_secrets_are_hidden_together),
	    cmocka_unit_test(a_secret_of_a_megabyte_is_taken_and_hidden),
	    cmocka_unit_test(
	        bytes_are_cleaned_past_a_nul_and_a_cut_value_is_hidden_too),
	    cmocka_unit_test(flaws_of_a_secret_are_named_without_showing_it),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
