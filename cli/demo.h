/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_DEMO_H
#define REEVE_CLI_DEMO_H

#include "base/base.h"
#include "base/err.h"
#include "cli/cli.h"

/* Runs one statement on the demo's table of documents, through a prober as
 * every look does. `id` is bound to $(CANARY). */
int demo_execute(struct cli *cli, const char *database, const char *statement,
    const char *id, struct err *err) MUST_CHECK;

#endif
