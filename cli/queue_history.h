/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_HISTORY_H
#define REEVE_CLI_QUEUE_HISTORY_H

#include "cli/cli.h"

/* `reeve queue history NAME`: how a queue was, as its supervisor saw it.
 * Returns an exit code. */
int queue_history(struct cli *cli, int argc, char **argv);

#endif
