/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_CHILD_H
#define REEVE_CLI_CHILD_H

#include <sys/types.h>

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"

/* Programs that a command starts for its user: `demo` plays the user. */

/* The program `reeve` that belongs to this reeve-tool: beside it, or at its
 * place in an installation. */
int child_reeve_path(char *ret, size_t size, struct err *err) MUST_CHECK;

/* Runs argv to its end, standard output and error both into `out` (what
 * doesn't fit is read and dropped). Killed at the deadline (ERR_TIMEOUT).
 * `ret_exit` is its code, or 128 + the signal. */
int child_run(const char *const *argv, int64_t deadline_ms, struct buffer *out,
    int *ret_exit, struct err *err) MUST_CHECK;

/* For a signal handler: TERM to what child_run() waits for at the moment, and
 * to all that it started. */
void child_interrupt(void);

/* Starts argv with its output going to the file `log`; its own session. */
int child_start(const char *const *argv, const char *log, pid_t *ret,
    struct err *err) MUST_CHECK;
/* TERM, and KILL at the deadline; waits for it. */
void child_stop(pid_t pid, int64_t deadline_ms);

#endif
