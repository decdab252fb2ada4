/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_PEEK_H
#define REEVE_CLI_QUEUE_PEEK_H

#include "base/jsonw.h"
#include "cli/cli.h"
#include "probes/queue/state.h"

/* `reeve queue peek` and `reeve queue dead`: the jobs of one part, looked at
 * without touching them. `part` NULL: as --part says, or waiting. Returns an
 * exit code. */
int queue_peek(struct cli *cli, const char *part, int argc, char **argv);

/* A copy in the arena, in which the values of known secrets are hidden. */
struct queue_item queue_item_clean(
    struct cli *cli, const struct queue_item *item);
/* A cleaned job as an object: an element of the array being written. */
void queue_item_write(struct jsonw *json, const struct queue_item *item);
/* The same for people: a line, and below it the error and the payload. */
void queue_item_show(
    struct cli *cli, const struct queue_item *item, struct buffer *out);

#endif
