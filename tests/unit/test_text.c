/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void
texts_are_equal_with_null_equal_only_to_null(void **state)
{
	(void)state;
	assert_true(text_equal("a", "a"));
	assert_true(text_equal(NULL, NULL));
	assert_false(text_equal("a", "b"));
	assert_false(text_equal(NULL, ""));
	assert_false(text_equal("", NULL));
}

static void
beginnings_and_ends_are_found(void **state)
{
	(void)state;
	assert_true(text_starts("redis://h", "redis://"));
	assert_false(text_starts("redi", "redis"));
	assert_true(text_ends("a.sql", ".sql"));
	assert_true(text_ends("a", ""));
	assert_false(text_ends("l", "sql"));
}

static void
a_name_that_fits_exactly_is_copied(void **state)
{
	(void)state;
	char dst[5];

	assert_int_equal(text_copy(dst, sizeof(dst), "jobs", NULL), 0);
	assert_string_equal(dst, "jobs");
}

static void
a_name_one_byte_too_long_is_an_error_not_a_shorter_name(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char dst[5] = "left";

	assert_int_equal(text_copy(dst, sizeof(dst), "jobs2", &err), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	assert_string_equal(dst, "left");
}

static void
a_format_that_does_not_fit_is_an_error(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char dst[4];

	assert_int_equal(text_format(dst, sizeof(dst), &err, "%d", 999), 0);
	assert_string_equal(dst, "999");
	assert_int_equal(text_format(dst, sizeof(dst), &err, "%d", 1000), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
}

struct number_row {
	const char *text;
	int64_t value;
	bool good;
};

static void
check_numbers(const struct number_row *rows, size_t count,
    int (*read)(const char *, int64_t *, struct err *))
{
	for (size_t i = 0; i < count; i++) {
		struct err err = ERR_INIT;
		int64_t got = -77;
		int rc = read(rows[i].text, &got, &err);

		if (rc != (rows[i].good ? 0 : -1) ||
		    got != (rows[i].good ? rows[i].value : -77))
			fail_msg("'%s': rc %d, value %lld", rows[i].text, rc,
			    (long long)got);
		if (!rows[i].good) {
			assert_int_equal(err.kind, ERR_INPUT);
			assert_true(err.text[0] != '\0');
		}
	}
}

static int
read_any_i64(const char *text, int64_t *ret, struct err *err)
{
	return text_i64(text, INT64_MIN, INT64_MAX, ret, err);
}

static void
a_number_is_the_whole_text(void **state)
{
	(void)state;
	static const struct number_row rows[] = {
	    {"0", 0, true},
	    {"42", 42, true},
	    {"-1", -1, true},
	    {"-0", 0, true},
	    {"007", 7, true},
	    {"9223372036854775807", INT64_MAX, true},
	    {"-9223372036854775808", INT64_MIN, true},
	    {"9223372036854775808", 0, false},
	    {"-9223372036854775809", 0, false},
	    {"99999999999999999999999", 0, false},
	    {"", 0, false},
	    {"-", 0, false},
	    {"+1", 0, false},
	    {"--1", 0, false},
	    {"- 1", 0, false},
	    {" 5", 0, false},
	    {"5 ", 0, false},
	    {"5\n", 0, false},
	    {"2x", 0, false},
	    {"0x10", 0, false},
	    {"1e3", 0, false},
	    {"1.0", 0, false},
	    {"1_000", 0, false},
	    {"two", 0, false},
	};

	check_numbers(rows, ARRAY_LEN(rows), read_any_i64);
}

static void
a_number_out_of_its_range_is_refused_and_the_range_is_said(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	int64_t value = 3;

	assert_int_equal(text_i64("65", 0, 64, &value, &err), -1);
	assert_string_equal(err.text, "'65' is not a whole number in 0..64");
	assert_int_equal(text_i64("-1", 0, 64, &value, &err), -1);
	assert_int_equal(value, 3);
	assert_int_equal(text_i64("64", 0, 64, &value, &err), 0);
	assert_int_equal(value, 64);
}

static void
only_true_and_false_are_booleans(void **state)
{
	(void)state;
	static const char *const wrong[] = {
	    "", "True", "yes", "1", "0", "on", "maybe", "true ", "falsey"};
	bool value = false;

	assert_int_equal(text_bool("true", &value, NULL), 0);
	assert_true(value);
	assert_int_equal(text_bool("false", &value, NULL), 0);
	assert_false(value);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(text_bool(wrong[i], &value, NULL), -1);
}

static void
durations_are_those_of_kubernetes(void **state)
{
	(void)state;
	static const struct number_row rows[] = {
	    {"0", 0, true},
	    {"0s", 0, true},
	    {"30s", 30000, true},
	    {"1h30m", 5400000, true},
	    {"1h1m1s1ms", 3661001, true},
	    {"500ms", 500, true},
	    {"1.5s", 1500, true},
	    {".5s", 500, true},
	    {"1.s", 1000, true},
	    {"0.1h", 360000, true},
	    {"1ns", 1, true}, /* never 0 */
	    {"1us", 1, true},
	    {"1\xC2\xB5s", 1, true},
	    {"1000001ns", 2, true},
	    {"0.0000000001ms", 1, true},
	    {"0.3333333333333333333h", 1200000, true},
	    {"2562047h", INT64_C(9223369200000), true},
	    {"2562048h", 0, false}, /* 292 years */
	    {"99999999999999999999s", 0, false},
	    {"9223372036s9223372036s", 0, false},
	    {"", 0, false},
	    {"5", 0, false},
	    {"1", 0, false},
	    {"00", 0, false},
	    {"s", 0, false},
	    {".s", 0, false},
	    {"1h30", 0, false},
	    {"1e3s", 0, false},
	    {"-5s", 0, false},
	    {"+5s", 0, false},
	    {" 5s", 0, false},
	    {"5s ", 0, false},
	    {"5 s", 0, false},
	    {"5S", 0, false},
	    {"5d", 0, false},
	    {"5sec", 0, false},
	    {"5minutes", 0, false},
	    {"1.5.5s", 0, false},
	};

	check_numbers(rows, ARRAY_LEN(rows), text_duration_ms);
}

static void
quantities_in_thousandths_are_those_of_kubernetes(void **state)
{
	(void)state;
	static const struct number_row rows[] = {
	    {"0", 0, true},
	    {"1", 1000, true},
	    {"250m", 250, true},
	    {"0.5", 500, true},
	    {".5", 500, true},
	    {"1.", 1000, true},
	    {"1Ki", 1024000, true},
	    {"512Mi", INT64_C(536870912000), true},
	    {"0.5Gi", INT64_C(536870912000), true},
	    {"1.5Gi", INT64_C(1610612736000), true},
	    {"2k", 2000000, true},
	    {"1e3", 1000000, true},
	    {"1E3", 1000000, true},
	    {"1e+3", 1000000, true},
	    {"1.5e-2", 15, true},
	    {"1M", 1000000000, true},
	    {"1u", 1, true}, /* rounded up */
	    {"1n", 1, true},
	    {"1.0001m", 2, true},
	    {"0.0000", 0, true},
	    {"0e400", 0, true},
	    {"1e-400", 1, true},
	    {"9223372036854775.807", INT64_MAX, true},
	    {"9223372036854775.808", 0, false},
	    {"1e400", 0, false},
	    {"1E", 0, false},
	    {"9Ei", 0, false},
	    {"", 0, false},
	    {".", 0, false},
	    {"Mi", 0, false},
	    {"-1", 0, false},
	    {"+1", 0, false},
	    {" 5", 0, false},
	    {"5 ", 0, false},
	    {"5 Mi", 0, false},
	    {"1K", 0, false}, /* as Kubernetes: k or Ki */
	    {"1mi", 0, false},
	    {"1MB", 0, false},
	    {"1Mib", 0, false},
	    {"1e", 0, false},
	    {"1e3.5", 0, false},
	    {"1e3Mi", 0, false},
	    {"1.5.5", 0, false},
	    {"0x10", 0, false},
	};

	check_numbers(rows, ARRAY_LEN(rows), text_quantity_milli);
}

static void
quantities_in_whole_units_are_rounded_up(void **state)
{
	(void)state;
	static const struct number_row rows[] = {
	    {"1", 1, true},
	    {"250m", 1, true},
	    {"1001m", 2, true},
	    {"1Ki", 1024, true},
	    {"0.5Ki", 512, true},
	    {"0.0001Ki", 1, true},
	    {"0.33333333333333333333333333333333Pi", INT64_C(375299968947542),
	        true},
	    {"7Ei", INT64_C(8070450532247928832), true},
	    {"8Ei", 0, false},
	    {"9E", INT64_C(9000000000000000000), true},
	    {"10E", 0, false},
	    {"9223372036854775807", INT64_MAX, true},
	    {"9223372036854775808", 0, false},
	    {"0.00000000000000000000000001Ei", 1, true},
	};

	check_numbers(rows, ARRAY_LEN(rows), text_quantity);
}

static void
ratios_are_percent_or_fractions_of_one(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double value;
		bool good;
	} rows[] = {
	    {"10%", 0.1, true},
	    {"0.1", 0.1, true},
	    {"0", 0, true},
	    {"1", 1, true},
	    {"100%", 1, true},
	    {"2.5%", 0.025, true},
	    {"100.1%", 0, false},
	    {"1.01", 0, false},
	    {"10", 0, false},
	    {"-1%", 0, false},
	    {"%", 0, false},
	    {"", 0, false},
	    {"10 %", 0, false},
	    {"10%%", 0, false},
	    {"1e-1", 0, false},
	    {"nan", 0, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		double got = -1;
		int rc = text_ratio(rows[i].text, &got, NULL);
		if (rc != (rows[i].good ? 0 : -1))
			fail_msg("'%s': rc %d", rows[i].text, rc);
		if (rows[i].good)
			assert_float_equal(got, rows[i].value, 1e-12);
	}
}

static void
the_distance_counts_a_swap_of_neighbours_once(void **state)
{
	(void)state;
	assert_int_equal(text_distance("jobs", "jobs", 3), 0);
	assert_int_equal(text_distance("jobs", "jbos", 3), 1);
	assert_int_equal(text_distance("jobs", "job", 3), 1);
	assert_int_equal(text_distance("", "job", 3), 3);
	assert_int_equal(text_distance("kitten", "sitting", 9), 3);
	/* seed 000 */
	assert_int_equal(
	    text_distance("VOYAGE_API_KEY", "VOYAGEAI_API_KEY", 5), 2);
	assert_int_equal(
	    text_distance("fileprocess:jobs", "fileprocess-jobs", 5), 1);
}

static void
the_distance_stops_beyond_its_limit(void **state)
{
	(void)state;
	char longer[300];

	assert_int_equal(text_distance("abcdef", "uvwxyz", 2), 3);
	assert_int_equal(text_distance("a", "abcdef", 2), 3);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(text_distance(longer, longer, 2), 0);
	assert_int_equal(text_distance(longer, "x", 2), 3);
	longer[255] = '\0'; /* the longest that is compared */
	char other[256];
	memcpy(other, longer, sizeof(other));
	other[128] = 'y';
	assert_int_equal(text_distance(longer, other, 2), 1);
}

static void
the_nearest_word_is_near_enough_to_be_meant(void **state)
{
	(void)state;
	static const char *const words[] = {
	    "replicas", "restart", "resources", "env"};

	assert_string_equal(text_nearest("replcas", words, 4), "replicas");
	assert_string_equal(text_nearest("resource", words, 4), "resources");
	assert_string_equal(text_nearest("evn", words, 4), "env");
	assert_null(text_nearest("xyzzy", words, 4));
	assert_null(text_nearest("", words, 4));
	assert_null(text_nearest("env", words, 0));
}

static void
times_are_written_for_people(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
	    {0, "0 ms"},
	    {350, "350 ms"},
	    {999, "999 ms"},
	    {1000, "1 s"},
	    {1500, "1.5 s"},
	    {42999, "42 s"},
	    {60000, "1 min"},
	    {65000, "1 min 05 s"},
	    {41 * 60000, "41 min"},
	    {125 * 60000, "2 h 05 min"},
	    {INT64_C(49) * 3600000, "2 d 01 h"},
	    {-350, "-350 ms"},
	    {INT64_MIN, "-106751991167 d 07 h"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char dst[32];
		assert_string_equal(
		    text_ms_for_people(rows[i].ms, dst, sizeof(dst)),
		    rows[i].text);
	}
}

static void
bytes_are_written_as_two_small_digits(void **state)
{
	const uint8_t bytes[] = {0x00, 0x0f, 0xa0, 0xff};
	char text[10] = "xxxxxxxxx";

	(void)state;
	assert_string_equal(text_hex(bytes, sizeof(bytes), text), "000fa0ff");
	assert_int_equal(text[9], '\0');
	assert_string_equal(text_hex(bytes, 0, text), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_equal_with_null_equal_only_to_null),
	    cmocka_unit_test(beginnings_and_ends_are_found),
	    cmocka_unit_test(a_name_that_fits_exactly_is_copied),
	    cmocka_unit_test(
	        a_name_one_byte_too_long_is_an_error_not_a_shorter_name),
	    cmocka_unit_test(a_format_that_does_not_fit_is_an_error),
	    cmocka_unit_test(a_number_is_the_whole_text),
	    cmocka_unit_test(
	        a_number_out_of_its_range_is_refused_and_the_range_is_said),
	    cmocka_unit_test(only_true_and_false_are_booleans),
	    cmocka_unit_test(durations_are_those_of_kubernetes),
	    cmocka_unit_test(quantities_in_thousandths_are_those_of_kubernetes),
	    cmocka_unit_test(quantities_in_whole_units_are_rounded_up),
	    cmocka_unit_test(ratios_are_percent_or_fractions_of_one),
	    cmocka_unit_test(the_distance_counts_a_swap_of_neighbours_once),
	    cmocka_unit_test(the_distance_stops_beyond_its_limit),
	    cmocka_unit_test(the_nearest_word_is_near_enough_to_be_meant),
	    cmocka_unit_test(times_are_written_for_people),
	    cmocka_unit_test(bytes_are_written_as_two_small_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
