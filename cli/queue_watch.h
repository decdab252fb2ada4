/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_WATCH_H
#define REEVE_CLI_QUEUE_WATCH_H

#include "cli/cli.h"

/* `reeve queue watch`: how queues go on, look by look, until --for is over,
 * --until-drained is true, or a signal comes. The exit code says how they were
 * at the last look: 0 drained, 1 not, 3 not known. */
int queue_watch(struct cli *cli, int argc, char **argv);

#endif
