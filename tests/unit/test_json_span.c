/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probes/json_span.h"

static struct json_span
span_of(const char *text)
{
	return (struct json_span){text, strlen(text)};
}

static void
members_and_elements_are_their_bytes(void **state)
{
	static const struct {
		const char *text, *key; /* NULL: the element 1 */
		const char *is;         /* NULL: there is none */
	} rows[] = {
	    {"{\"a\":1}", "a", "1"},
	    {" { \"a\" : 1.0 , \"b\":[] } ", "b", "[]"},
	    {" { \"a\" : 1.0 , \"b\":[] } ", "a", "1.0"},
	    {"{\"x\":{\"a\":1},\"a\":2}", "a", "2"},
	    {"{\"x\":\"\\\"a\\\":3\",\"a\":{\"k\":[{}]}}", "a", "{\"k\":[{}]}"},
	    {"{\"x\":\"}\",\"a\":\"]\\\\\"}", "a", "\"]\\\\\""},
	    {"{\"aa\":1}", "a", NULL},
	    {"{}", "a", NULL},
	    {"[\"a\",1]", "a", NULL},
	    {"[0,{\"a\":[1,2]},3]", NULL, "{\"a\":[1,2]}"},
	    {"[ 0 , 123456789012345678901 ]", NULL, "123456789012345678901"},
	    {"[0]", NULL, NULL},
	    {"[]", NULL, NULL},
	    {"{\"a\":1,\"b\":2}", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_span got = {NULL, 0};
		const struct json_span of = span_of(rows[i].text);
		bool any = rows[i].key != NULL
		               ? json_span_member(of, rows[i].key, &got)
		               : json_span_element(of, 1, &got);

		if (any != (rows[i].is != NULL) ||
		    (any && (got.len != strlen(rows[i].is) ||
		                memcmp(got.at, rows[i].is, got.len) != 0)))
			fail_msg("%s: '%.*s'", rows[i].text, (int)got.len,
			    got.at != NULL ? got.at : "");
	}
}

/* Each cut of a text lies alone on the heap: a byte read behind it is seen by
 * the sanitizer. */
static void
what_is_cut_is_never_read_beyond(void **state)
{
	static const char text[] =
	    "{\"a\\\"\":[1,{\"b\":\"\\\\\"},[]],\"c\" : -1.5e3 , \"d\":{}}";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *cut = malloc(MAX(len, (size_t)1));
		struct json_span got = {NULL, 0};

		assert_non_null(cut);
		memcpy(cut, text, len);
		const struct json_span of = {cut, len};

		if (json_span_member(of, "d", &got))
			assert_true(got.at + got.len <= cut + len);
		if (json_span_element(of, 3, &got))
			assert_true(got.at + got.len <= cut + len);
		free(cut);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(members_and_elements_are_their_bytes),
	    cmocka_unit_test(what_is_cut_is_never_read_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
