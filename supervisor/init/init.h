/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_INIT_H
#define REEVE_SUPERVISOR_INIT_INIT_H

#include "base/base.h"

/*
 * The supervising init; called by main() with every signal
 * blocked but the faults. Returns the program's exit code.
 */

/* `reeve run [-f F] [--plan F] …`: `argv` are the arguments after "run". */
int init_main(int argc, char *argv[]);
/* `reeve --recover FD run …` and `reeve --recover-drain FD`, after a fault
 * (recover.h): what follows the option. Only the init itself calls them. */
int init_recover(int argc, char *argv[]);
int init_recover_drain(int argc, char *argv[]);
/* `reeve --take-over FD SELF run …`: instead of the build that ran before, and
 * `reeve --take-back FD run …`: that one again, when the other couldn't. */
int init_take_over(int argc, char *argv[]);
int init_take_back(int argc, char *argv[]);

#endif
