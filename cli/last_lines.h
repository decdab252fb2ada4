/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_LAST_LINES_H
#define REEVE_CLI_LAST_LINES_H

#include <cjson/cJSON.h>

#include "cli/control.h"

/*
 * What a process wrote last, beside the event of its end. The lines may hold
 * anything, so they are neither in the operator's history nor in what it
 * serves: the logger has them, and gives them to whom `reeve logs` would.
 */

/* Gives each `exited` of `events` a member "last_line", JSON already: null
 * where it isn't kept any more, or not for us. `worker` "": of all. */
void last_lines_add(const struct control_client *client, const char *worker,
    const cJSON *events);

#endif
