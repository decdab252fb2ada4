/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/terminal.h"

enum {
	ARENA_MAX = 512 << 20,
	TEXT_MAX = 1 << 20,
	COMMANDS_MAX = 64
};
static const int64_t DEFAULT_TIMEOUT_MS = 60000;

static const struct cli_command *
find_command(const char *name, const char **near)
{
	const char *names[COMMANDS_MAX];
	size_t count = 0;

	for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
		if (text_equal(c->name, name))
			return c;
		if (!c->hidden && count < COMMANDS_MAX)
			names[count++] = c->name;
	}
	*near = text_nearest(name, names, count);
	return NULL;
}

static int
print_help(const struct cli *cli, const struct cli_command *command)
{
	struct buffer out;

	buffer_init(&out, TEXT_MAX);
	if (command == NULL)
		cli_overview(&out);
	else
		cli_help(command, &out);
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return rc;
}

static int
print_manual(const struct cli *cli)
{
	struct buffer out;

	buffer_init(&out, TEXT_MAX);
	cli_manual(&out);
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return rc;
}

static int
unknown_command(const struct cli *cli, const char *name, const char *near)
{
	if (near != NULL)
		return cli_usage(
		    cli, "no command '%s'; did you mean '%s'?", name, near);
	return cli_usage(cli, "no command '%s'", name);
}

/* `reeve help`, `reeve help COMMAND`, `reeve --help`; `reeve help --manual`
 * makes docs/man/reeve.1. */
static int
help_command(const struct cli *cli, int argc, char **argv)
{
	const char *near = NULL;

	if (argc < 2 || text_equal(argv[1], "help"))
		return print_help(cli, NULL);
	if (text_equal(argv[1], "--manual"))
		return print_manual(cli);
	const struct cli_command *command = find_command(argv[1], &near);

	if (command == NULL)
		return unknown_command(cli, argv[1], near);
	return print_help(cli, command);
}

static int
run_command(struct cli *cli, int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool help = false;
	int count = cli_parse(cli, argc, argv, &help, &err);

	if (count == -1)
		return cli_usage(cli, "%s", err.text);
	if (help)
		return print_help(cli, cli->command);
	return cli->command->run(cli, count, argv);
}

static int
dispatch(struct cli *cli, int argc, char **argv)
{
	if (argc < 2) {
		(void)print_help(cli, NULL);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	const char *near = NULL;

	if (text_equal(name, "help") || text_equal(name, "--help") ||
	    text_equal(name, "-h"))
		return help_command(cli, argc - 1, argv + 1);
	if (text_equal(name, "--version"))
		name = "version";
	cli->command = find_command(name, &near);
	if (cli->command == NULL)
		return unknown_command(cli, name, near);
	return run_command(cli, argc - 1, argv + 1);
}

int
main(int argc, char **argv)
{
	struct cli cli = {
	    .manifest = "reeve.yaml",
	    .jobs = 8,
	    .fail_on = SEVERITY_ERROR,
	    .timeout_ms = DEFAULT_TIMEOUT_MS,
	    .deadline_ms = clock_after(clock_ms(), DEFAULT_TIMEOUT_MS),
	};
	const char *no_color = getenv("NO_COLOR");

	/* Secrets are in this process: no core dump, no ptrace by others. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	arena_init(&cli.arena, ARENA_MAX);
	cli.redactor = redactor_new();
	cli.color = terminal_is(STDOUT_FILENO) &&
	            (no_color == NULL || no_color[0] == '\0');
	int rc = dispatch(&cli, argc, argv);

	redactor_free(cli.redactor);
	arena_wipe(&cli.arena);
	arena_fini(&cli.arena);
	return rc;
}
