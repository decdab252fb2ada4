/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "supervisor/operator/html.h"
#include "supervisor/operator/page.h"
#include "supervisor/operator/plot.h"

static struct buffer out;

static int
setup(void **state)
{
	(void)state;
	buffer_init(&out, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buffer_fini(&out);
	return 0;
}

static void
text_is_never_markup(void **state)
{
	(void)state;
	HTML(&out, "<a title=\"{}\">{}</a>{}", "\"><script>'&", "{}", NULL);
	assert_string_equal(
	    out.data, "<a title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">{}</a>");
}

static void
what_is_no_text_is_replaced(void **state)
{
	(void)state;
	html_text(&out, "a\x01\x7f\xff\xc3\xa4\n\t");
	assert_string_equal(
	    out.data, "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xc3\xa4\n\t");
}

static const char *
words(int64_t value, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%d", (int)value);
	return dst;
}

static void
plot(const int64_t *values, size_t count)
{
	const struct plot plot = {.title = "Depth",
	    .span = "1 h",
	    .values = values,
	    .count = count,
	    .words = words};

	plot_write(&out, &plot);
}

static unsigned
lines(void)
{
	unsigned count = 0;
	const char *at = out.data;

	while ((at = strstr(at, "class=\"line\"")) != NULL) {
		at++;
		count++;
	}
	return count;
}

static void
a_gap_is_no_line(void **state)
{
	const int64_t values[] = {4, 0, -1, -1, 2, -1};

	(void)state;
	plot(values, ARRAY_LEN(values));
	assert_int_equal(lines(), 2);
	/* in words the same, and the newest is not known */
	assert_non_null(strstr(
	    out.data, "Depth over the last 1 h: now unknown, least 0, most 4"));
	/* the largest at the top, 0 at the bottom */
	assert_non_null(strstr(out.data, "d=\"M0,0L144,100\""));
}

static void
nothing_known_is_said_and_not_drawn(void **state)
{
	const int64_t values[] = {-1, -1};

	(void)state;
	plot(values, ARRAY_LEN(values));
	assert_int_equal(lines(), 0);
	assert_non_null(strstr(out.data, "unknown for the last 1 h"));
}

static void
zero_for_an_hour_is_a_line(void **state)
{
	const int64_t values[] = {0, 0, 0};

	(void)state;
	plot(values, ARRAY_LEN(values));
	assert_int_equal(lines(), 1);
	assert_non_null(strstr(out.data, "now 0, least 0, most 0"));
}

/* Nothing is loaded from elsewhere, and the policy allows only what is there.
 */
static void
the_page_is_whole(void **state)
{
	char policy[PAGE_POLICY_MAX];

	(void)state;
	assert_int_equal(page_policy(policy), 0);
	assert_true(text_starts(policy, "default-src 'none'; "));
	assert_null(strstr(policy, "unsafe"));
	assert_null(strstr(page_html, "://"));
	assert_null(strstr(page_css, "url("));
	assert_null(strstr(page_css, "@import"));
	assert_null(strstr(page_js, "://"));
	assert_null(strstr(page_html, " style="));
	assert_null(strstr(page_html, " onload"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        text_is_never_markup, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_is_no_text_is_replaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_gap_is_no_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        nothing_known_is_said_and_not_drawn, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        zero_for_an_hour_is_a_line, setup, teardown),
	    cmocka_unit_test(the_page_is_whole),
	};

	return cmocka_run_group_tests_name("operator_page", tests, NULL, NULL);
}
