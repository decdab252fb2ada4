/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_PARSE_H
#define REEVE_CLI_PARSE_H

#include "base/buffer.h"
#include "cli/cli.h"

/*
 * Options of a command line against a command's row, and the help from the same
 * rows. Options and positional arguments may come in any order; `--` ends them.
 */

/* Moves the positional arguments to the front of `argv` (without the command's
 * name). Returns their number, or -1 with the text of the usage error. `help`
 * is set when -h or --help was given. */
int cli_parse(struct cli *cli, int argc, char **argv, bool *help,
    struct err *err) MUST_CHECK;

/* The command's --help. */
void cli_help(const struct cli_command *command, struct buffer *out);
/* `reeve help`: every command with its line. */
void cli_overview(struct buffer *out);
/* The manual page reeve(1), from the same rows. */
void cli_manual(struct buffer *out);

#endif
