/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_TOOL_H
#define REEVE_SUPERVISOR_INIT_TOOL_H

#include "base/base.h"
#include "base/err.h"

/*
 * Finds the program `reeve-tool`, in which everything lies that needs more than
 * libc: beside this program (the build tree), then in ../libexec/reeve/ from
 * there, then in the compiled-in LIBEXECDIR. Never by PATH or the environment,
 * which the caller of a privileged supervisor may have made. The descriptor is
 * opened once at start, so that a file system that goes away or is replaced
 * later can't take the operator with it.
 */

/* Returns an O_PATH|O_CLOEXEC descriptor, or -1 with the places looked at. */
int tool_open(struct err *err) MUST_CHECK;
/* As tool_open for our own image: for --probe, --logger and --live. Works
 * when the file was replaced meanwhile; fails without /proc. */
int tool_open_self(struct err *err) MUST_CHECK;
/* What lies now where our own image came from: another build, perhaps. */
int tool_open_installed(struct err *err) MUST_CHECK;
/* Executes what `fd` stands for; returns only on failure, with errno. Safe
 * between clone and exec. */
void tool_exec(int fd, const char *const argv[], const char *const envp[]);

#endif
