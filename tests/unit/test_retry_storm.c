/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "checks/retry_storm.h"
#include "tests/unit/arena_try.h"

static const struct moved_job before[] = {
    {.id = "7", .error = "timed out after 31 ms", .at = "early"},
    {.id = "7", .error = "timed out after 32 ms", .at = "late"},
    {.id = "9", .error = "refused", .at = "late"},
};

static const struct queue_item found[] = {
    {.id = "5", .error = "no such file"},
    {.id = "6", .error = "timed out after 8 ms"}, /* as 7 */
    {.id = "7", .error = "timed out after 9 ms"}, /* came back */
    {.id = "8", .error = ""},
    {.id = "9", .error = "no such file"}, /* moved before, another error */
};

static struct storm_choice
chosen_of(const struct storm_question *question)
{
	struct storm_choice choice;

	storm_choose(&arena, question, &choice);
	return choice;
}

static struct storm_question
all(void)
{
	return (struct storm_question){.found = found,
	    .nfound = ARRAY_LEN(found),
	    .limit = ARRAY_LEN(found),
	    .before = before,
	    .nbefore = ARRAY_LEN(before)};
}

static void
is_chosen(const struct storm_choice *choice, const char *ids)
{
	const char *text = "";

	for (size_t i = 0; i < choice->nchosen; i++)
		text = arena_format(&arena, "%s%s", text, choice->chosen[i].id);
	assert_string_equal(text, ids);
}

static void
what_came_back_and_what_has_its_error_are_held(void **state)
{
	struct storm_question question = all();
	struct storm_choice choice = chosen_of(&question);

	(void)state;
	is_chosen(&choice, "589");
	assert_int_equal(choice.nheld, 2);
	assert_string_equal(choice.held[0].item->id, "6");
	assert_string_equal(choice.held[0].before->id, "7");
	assert_string_equal(choice.held[1].item->id, "7");
	/* of two times the last is told */
	assert_string_equal(choice.held[1].before->at, "late");
}

static void
by_force_nothing_is_held(void **state)
{
	struct storm_question question = all();

	(void)state;
	question.force = true;
	struct storm_choice choice = chosen_of(&question);

	is_chosen(&choice, "56789");
	assert_int_equal(choice.nheld, 0);
}

static void
a_limit_is_of_those_that_go(void **state)
{
	struct storm_question question = all();

	(void)state;
	question.limit = 2;
	struct storm_choice choice = chosen_of(&question);

	is_chosen(&choice, "58");
	assert_int_equal(choice.nheld, 2);
}

static void
only_those_asked_for_are_chosen_or_held(void **state)
{
	static const char *const asked[] = {"8", "6"};
	struct storm_question question = all();

	(void)state;
	question.asked = asked;
	question.nasked = ARRAY_LEN(asked);
	struct storm_choice choice = chosen_of(&question);

	is_chosen(&choice, "8");
	/* 7 isn't asked for, and tells of 6 all the same */
	assert_int_equal(choice.nheld, 1);
	assert_string_equal(choice.held[0].before->id, "7");
}

static void
of_one_that_nobody_looked_at_the_id_decides(void **state)
{
	const struct queue_item items[] = {
	    storm_unseen("9"), storm_unseen("1")};
	struct storm_question question = all();

	(void)state;
	question.found = items;
	question.nfound = ARRAY_LEN(items);
	struct storm_choice choice = chosen_of(&question);

	is_chosen(&choice, "1");
	assert_int_equal(choice.nheld, 1);
	assert_string_equal(choice.held[0].before->id, "9");
}

static void
errors_are_the_same_but_for_their_numbers(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
	    {"", "", true},
	    {"", "x", false},
	    {"x", "", false},
	    {"a 1 b", "a 22 b", true},
	    {"a 1 b", "a  b", false},
	    {"1", "x", false},
	    {"pid 17 died", "pid 4711 died again", false},
	    {"timed out", "timed out", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (storm_error_same(rows[i].a, rows[i].b) != rows[i].same)
			fail_msg("'%s' and '%s'", rows[i].a, rows[i].b);
	}
}

static void
an_error_is_known_by_what_is_kept_of_it(void **state)
{
	char kept[STORM_ERROR_KEPT + 1];
	char whole[STORM_ERROR_KEPT + 8];

	(void)state;
	memset(kept, 'x', sizeof(kept));
	memset(whole, 'x', sizeof(whole));
	kept[STORM_ERROR_KEPT] = '\0';
	whole[sizeof(whole) - 1] = '\0';
	assert_true(storm_error_same(kept, whole));
	kept[STORM_ERROR_KEPT - 1] = '\0';
	assert_false(storm_error_same(kept, whole));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_came_back_and_what_has_its_error_are_held),
	    TEST(by_force_nothing_is_held),
	    TEST(a_limit_is_of_those_that_go),
	    TEST(only_those_asked_for_are_chosen_or_held),
	    TEST(of_one_that_nobody_looked_at_the_id_decides),
	    TEST(errors_are_the_same_but_for_their_numbers),
	    TEST(an_error_is_known_by_what_is_kept_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
