/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "cli/cli.h"

/*
 * The table of commands, in the order of `reeve help`; the same rows make the
 * help, the shell completion and the manual's synopsis. `run` is the program
 * `reeve` itself.
 */
const struct cli_command cli_commands[] = {
    {
        .name = "version",
        .arguments = "",
        .summary = "version and build facts",
        .examples = "  reeve version --verbose\n",
        .uses = CLI_OUTPUT,
        .run = cmd_version,
    },
    {0},
};
