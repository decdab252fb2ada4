/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/jsonw.h"

static struct buffer out;
static struct jsonw json;

static void
begin(bool pretty)
{
	buffer_fini(&out);
	buffer_init(&out, 1 << 20);
	jsonw_init(&json, &out, pretty);
}

static int
teardown(void **state)
{
	(void)state;
	buffer_fini(&out);
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	buffer_init(&out, 1);
	return 0;
}

static void
commas_and_nesting_are_kept(void **state)
{
	(void)state;
	begin(false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "a", "x");
	jsonw_array(&json, "b");
	jsonw_i64(&json, NULL, 1);
	jsonw_object(&json, NULL);
	jsonw_end(&json);
	jsonw_array(&json, NULL);
	jsonw_null(&json, NULL);
	jsonw_end(&json);
	jsonw_end(&json);
	jsonw_bool(&json, "c", true);
	jsonw_raw(&json, "d", "[1,2]");
	jsonw_end(&json);
	assert_string_equal(out.data,
	    "{\"a\":\"x\",\"b\":[1,{},[null]],\"c\":true,\"d\":[1,2]}");
	assert_int_equal(json.depth, 0);
}

static void
pretty_is_two_spaces_a_level_and_empty_stays_short(void **state)
{
	(void)state;
	begin(true);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "a");
	jsonw_i64(&json, NULL, 1);
	jsonw_i64(&json, NULL, 2);
	jsonw_end(&json);
	jsonw_object(&json, "b");
	jsonw_end(&json);
	jsonw_end(&json);
	assert_string_equal(
	    out.data, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

static void
every_text_is_escaped(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
		const char *json;
	} rows[] = {
	    {"", 0, "\"\""},
	    {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
	    {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
	    {"\x01\x1f\x7f", 3, "\"\\u0001\\u001f\\u007f\""},
	    {"a\0b", 3, "\"a\\u0000b\""},
	    {"\xC2\x9B", 2, "\"\\u009b\""},
	    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
	        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
	    /* not UTF-8: lone, overlong, surrogate, too large, cut */
	    {"\xFF", 1, "\"\xEF\xBF\xBD\""},
	    {"\x80x", 2, "\"\xEF\xBF\xBDx\""},
	    {"\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
	    {"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
	    {"\xF4\x90\x80\x80", 4,
	        "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
	    {"\xE2\x82", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		begin(false);
		jsonw_bytes(&json, NULL, rows[i].text, rows[i].len);
		assert_string_equal(out.data, rows[i].json);
	}
}

static void
keys_are_escaped_too(void **state)
{
	(void)state;
	begin(false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "a\"b", NULL);
	jsonw_format(&json, "f", "%s-%d", "\"", 3);
	jsonw_end(&json);
	assert_string_equal(out.data, "{\"a\\\"b\":null,\"f\":\"\\\"-3\"}");
}

static void
numbers_are_written_exactly(void **state)
{
	(void)state;
	begin(false);
	jsonw_array(&json, NULL);
	jsonw_i64(&json, NULL, INT64_MIN);
	jsonw_i64(&json, NULL, INT64_MAX);
	jsonw_double(&json, NULL, 0.1);
	jsonw_double(&json, NULL, 1.0 / 3);
	jsonw_double(&json, NULL, -2);
	jsonw_double(&json, NULL, 1e300);
	jsonw_double(&json, NULL, (double)NAN);
	jsonw_double(&json, NULL, (double)INFINITY);
	jsonw_end(&json);
	assert_string_equal(out.data,
	    "[-9223372036854775808,9223372036854775807,0.1,"
	    "0.33333333333333331,-2,1e+300,null,null]");
}

static void
a_document_that_does_not_fit_is_told_by_the_buffer(void **state)
{
	(void)state;
	buffer_fini(&out);
	buffer_init(&out, 10);
	jsonw_init(&json, &out, false);
	jsonw_array(&json, NULL);
	jsonw_text(&json, NULL, "more than ten bytes");
	jsonw_end(&json);
	assert_true(out.overflow);
}

static void
nesting_goes_to_the_stated_depth(void **state)
{
	(void)state;
	begin(false);
	for (int i = 0; i < JSONW_DEPTH_MAX; i++)
		jsonw_array(&json, NULL);
	for (int i = 0; i < JSONW_DEPTH_MAX; i++)
		jsonw_end(&json);
	assert_int_equal(out.len, 2 * JSONW_DEPTH_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(commas_and_nesting_are_kept),
	    cmocka_unit_test(
	        pretty_is_two_spaces_a_level_and_empty_stays_short),
	    cmocka_unit_test(every_text_is_escaped),
	    cmocka_unit_test(keys_are_escaped_too),
	    cmocka_unit_test(numbers_are_written_exactly),
	    cmocka_unit_test(
	        a_document_that_does_not_fit_is_told_by_the_buffer),
	    cmocka_unit_test(nesting_goes_to_the_stated_depth),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
