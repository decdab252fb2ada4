/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_ONESHOT_H
#define REEVE_SUPERVISOR_INIT_ONESHOT_H

#include "base/base.h"

/*
 * `reeve run [OPTION…] -- CMD ARG…`: a correct init for one
 * command, without manifest, operator or socket. Forwards every signal, reaps
 * every orphan, and ends with CMD's exit code (128 + n for a signal n), after
 * what is left of its process group (as PID 1: of the whole namespace) had TERM
 * and at most D (5 s), then KILL. CMD that can't be executed: 127 when it isn't
 * there, else 126. The options are oneshot_args.h's.
 */

/* `argv` are the arguments after "run"; all signals but faults are blocked.
 * Returns the exit code of the program. */
int oneshot_main(int argc, char *argv[]);
/* `reeve --recover-run=FD …`, after a fault: `argv` as before. */
int oneshot_recover(const char *fd_text, int argc, char *argv[]);

/* True when `argv` has a "--" with a command after it. */
bool oneshot_wanted(int argc, char *const argv[]);

#endif
