/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/parse.h"

enum {
	WORDS_MAX = 12,
	TEXT_MAX = 1 << 20
};

static const struct cli_option own[] = {
    {"keep", NULL, "a flag"},
    {"lines", "N", "a number"},
    {0},
};

static const struct cli_command command = {
    .name = "try",
    .arguments = "[NAME…]",
    .summary = "to be tested",
    .uses = CLI_MANIFEST | CLI_OUTPUT | CLI_TIMEOUT | CLI_VERDICT | CLI_REST,
    .args_max = 2,
    .options = own,
};

struct fixture {
	struct cli cli;
	char words[WORDS_MAX][64];
	char *argv[WORDS_MAX + 1];
	bool help;
	struct err err;
};

static int
setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.cli = {.command = &command}};
	arena_init(&fixture.cli.arena, TEXT_MAX);
	*state = &fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	arena_fini(&fixture->cli.arena);
	return 0;
}

/* Parses "try WORDS…", the words being split at blanks. */
static int
parse(struct fixture *fixture, const char *line)
{
	int argc = 0;

	fixture->argv[argc++] = fixture->words[0];
	while (*line != '\0' && argc < WORDS_MAX) {
		size_t len = strcspn(line, " ");

		assert_true(len < sizeof(fixture->words[0]));
		memcpy(fixture->words[argc], line, len);
		fixture->words[argc][len] = '\0';
		fixture->argv[argc] = fixture->words[argc];
		argc++;
		line += len + (line[len] == ' ');
	}
	fixture->argv[argc] = NULL;
	return cli_parse(
	    &fixture->cli, argc, fixture->argv, &fixture->help, &fixture->err);
}

static void
options_and_arguments_come_in_any_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    parse(f, "one -f a.yaml --lines 5 two --keep --timeout=2s"), 2);
	assert_string_equal(f->argv[0], "one");
	assert_string_equal(f->argv[1], "two");
	assert_string_equal(f->cli.manifest, "a.yaml");
	assert_string_equal(cli_value(&f->cli, "lines"), "5");
	assert_true(cli_flag(&f->cli, "keep"));
	assert_int_equal(f->cli.timeout_ms, 2000);
}

static void
a_short_option_takes_its_value_joined_or_apart(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "-fa.yaml"), 0);
	assert_string_equal(f->cli.manifest, "a.yaml");
	assert_int_equal(parse(f, "-f b.yaml"), 0);
	assert_string_equal(f->cli.manifest, "b.yaml");
}

static void
a_command_behind_two_dashes_is_left_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "one -- cmd --keep -f x"), 1);
	assert_int_equal(f->cli.nrest, 4);
	assert_string_equal(f->cli.rest[0], "cmd");
	assert_string_equal(f->cli.rest[1], "--keep");
	assert_false(cli_flag(&f->cli, "keep"));
}

static void
outputs_name_a_format_and_a_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "--output junit=out.xml -o text"), 0);
	assert_int_equal(f->cli.noutputs, 2);
	assert_string_equal(f->cli.outputs[0].format, "junit");
	assert_string_equal(f->cli.outputs[0].path, "out.xml");
	assert_string_equal(f->cli.outputs[1].format, "text");
	assert_null(f->cli.outputs[1].path);
	assert_true(cli_wants(&f->cli, "text"));
	assert_false(cli_wants(&f->cli, "junit"));
}

static void
what_is_wrong_is_refused_with_what_would_be_right(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
	    {"--kep", "did you mean '--keep'"},
	    {"--lines", "needs a value"},
	    {"--keep=yes", "takes no value"},
	    {"--timeout 5", "--timeout: "},
	    {"--timeout 0s", "leaves no time"},
	    {"--fail-on bad", "info, warning, error, critical"},
	    {"-x", "no option '-x'"},
	    {"a b c", "too many arguments"},
	    {"--jobs 3", "no option '--jobs'"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f->err = ERR_INIT;
		assert_int_equal(parse(f, cases[i].line), -1);
		if (strstr(f->err.text, cases[i].says) == NULL)
			fail_msg("'%s' says '%s', not '%s'", cases[i].line,
			    f->err.text, cases[i].says);
	}
}

/* Each option has one line, and what goes behind `--` is said once. */
static void
nothing_stands_twice_in_help(const struct cli_command *c, const char *text)
{
	const char *usage = strstr(text, "Usage: ");
	size_t len = strcspn(usage, "\n");
	const char *dashes = memmem(usage, len, " -- ", 4);

	if (dashes != NULL &&
	    memmem(dashes + 1, len - (size_t)(dashes + 1 - usage), " -- ", 4) !=
	        NULL)
		fail_msg("'%s': '%.*s'", c->name, (int)len, usage);
	for (const struct cli_option *o = c->options;
	     o != NULL && o->name != NULL; o++) {
		char line[64];

		(void)snprintf(line, sizeof(line), ", --%s ", o->name);
		if (strstr(text, line) != NULL)
			fail_msg("'%s': --%s is everybody's", c->name, o->name);
		(void)snprintf(line, sizeof(line), "      --%s ", o->name);
		const char *first = strstr(text, line);
		assert_non_null(first);
		if (strstr(first + 1, line) != NULL)
			fail_msg("'%s' has --%s twice", c->name, o->name);
	}
}

static void
every_command_has_what_its_help_needs(void **state)
{
	(void)state;
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
		struct buffer out;

		assert_non_null(c->run);
		assert_non_null(c->summary);
		if (c->hidden)
			continue;
		buffer_init(&out, TEXT_MAX);
		cli_help(c, &out);
		assert_non_null(strstr(out.data, "Usage: reeve "));
		if (strstr(out.data, "\nExamples:\n  reeve ") == NULL)
			fail_msg("'%s' has no example", c->name);
		nothing_stands_twice_in_help(c, out.data);
		buffer_fini(&out);
	}
}

static void
the_manual_page_is_what_the_table_makes(void **state)
{
	struct buffer made, kept;
	struct err err = ERR_INIT;

	(void)state;
	buffer_init(&made, TEXT_MAX);
	buffer_init(&kept, TEXT_MAX);
	cli_manual(&made);
	if (buffer_read_file(&kept, "docs/man/reeve.1", &err) == -1)
		fail_msg("%s", err.text);
	if (!text_equal(made.data, kept.data))
		fail_msg("docs/man/reeve.1 is not what the table makes: run "
		         "`reeve help --manual > docs/man/reeve.1`");
	buffer_fini(&made);
	buffer_fini(&kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(options_and_arguments_come_in_any_order),
	    TEST(a_short_option_takes_its_value_joined_or_apart),
	    TEST(a_command_behind_two_dashes_is_left_alone),
	    TEST(outputs_name_a_format_and_a_file),
	    TEST(what_is_wrong_is_refused_with_what_would_be_right),
	    TEST(every_command_has_what_its_help_needs),
	    TEST(the_manual_page_is_what_the_table_makes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
