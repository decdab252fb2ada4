/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/beanstalk.h"
#include "tests/unit/arena_try.h"

/* What beanstalkd answers, taken apart; the service tests have a real one. */

static void
first_lines_are_words_and_numbers(void **state)
{
	static const struct {
		const char *line, *word;
		int64_t first, second;
		bool has_body;
		int64_t body;
	} rows[] = {
	    {"NOT_FOUND", "NOT_FOUND", -1, -1, false, 0},
	    {"INSERTED 17", "INSERTED", 17, -1, false, 0},
	    {"OK 259", "OK", 259, -1, true, 259},
	    {"FOUND 9 3", "FOUND", 9, 3, true, 3},
	    {"USING a tube", "USING", -1, -1, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct beanstalk_line line;
		struct err err = ERR_INIT;

		if (beanstalk_line_of(rows[i].line, &line, &err) == -1)
			fail_msg("%s: %s", rows[i].line, err.text);
		assert_string_equal(line.word, rows[i].word);
		assert_int_equal(line.number[0], rows[i].first);
		assert_int_equal(line.number[1], rows[i].second);
		assert_int_equal(line.has_body, rows[i].has_body);
		if (line.has_body)
			assert_int_equal(line.body, rows[i].body);
	}
}

static void
a_line_that_is_none_is_refused(void **state)
{
	static const char *const lines[] = {"", " ", "ok 3", "OK", "OK x",
	    "OK -1", "OK 1 2 3", "OK 99999999999999999999", "FOUND",
	    "-ERR unknown command", "HTTP/1.1 400 Bad Request"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct beanstalk_line line;
		struct err err = ERR_INIT;

		if (beanstalk_line_of(lines[i], &line, &err) == 0)
			fail_msg("'%s' was taken", lines[i]);
	}
}

static void
statistics_are_keys_and_values(void **state)
{
	static const char text[] = "---\nname: jobs\ncurrent-jobs-ready: 3\n"
	                           "version: \"1.12\"\npause: none\n\n";
	struct beanstalk_stats stats;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    beanstalk_stats_of(&arena, text, strlen(text), &stats, &err), 0);
	assert_string_equal(beanstalk_text(&stats, "name"), "jobs");
	assert_string_equal(beanstalk_text(&stats, "version"), "1.12");
	assert_string_equal(beanstalk_text(&stats, "absent"), "");
	struct queue_number ready =
	    beanstalk_number(&stats, "current-jobs-ready");

	assert_int_equal(ready.know, KNOW_EXACT);
	assert_int_equal(ready.value, 3);
	/* what isn't said, or is no number, is unknown: never 0 */
	assert_int_equal(beanstalk_number(&stats, "absent").know, KNOW_UNKNOWN);
	assert_int_equal(beanstalk_number(&stats, "pause").know, KNOW_UNKNOWN);
}

static void
statistics_that_are_none_are_refused(void **state)
{
	static const char *const texts[] = {"", "name: jobs\n", "---\nname\n",
	    "---\n: 3\n", "---\nname:jobs\n", "---\nna\x01me: jobs\n",
	    "--\nname: jobs\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct beanstalk_stats stats;
		struct err err = ERR_INIT;

		if (beanstalk_stats_of(
		        &arena, texts[i], strlen(texts[i]), &stats, &err) == 0)
			fail_msg("'%s' was taken", texts[i]);
	}
}

static void
no_tube_holds_a_command(void **state)
{
	static const char list[] = "---\n- default\n- jobs\n\n";
	static const char hostile[] = "---\n- jobs\r\n- x\n";
	struct beanstalk_names names;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    beanstalk_names_of(&arena, list, strlen(list), &names, &err), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.names[1], "jobs");
	assert_int_equal(
	    beanstalk_names_of(&arena, hostile, strlen(hostile), &names, &err),
	    -1);
	assert_true(beanstalk_name_valid("a-b+c/d;e.f$g_h(i)"));
	assert_false(beanstalk_name_valid(""));
	assert_false(beanstalk_name_valid("-a"));
	assert_false(beanstalk_name_valid("a b"));
	assert_false(beanstalk_name_valid("a\r\ndelete 1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_lines_are_words_and_numbers),
	    cmocka_unit_test(a_line_that_is_none_is_refused),
	    cmocka_unit_test(statistics_are_keys_and_values),
	    cmocka_unit_test(statistics_that_are_none_are_refused),
	    cmocka_unit_test(no_tube_holds_a_command),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
