/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_PROBER_H
#define REEVE_PROBES_PROBER_H

#include <sys/types.h>

#include "base/base.h"
#include "base/err.h"

/* One prober's process, from outside: `TOOL probe` in a group of its own. */
struct prober {
	pid_t pid;
	/* our ends: a socket that doesn't block on it, and two pipes */
	int in, out, errors;
};

/* The descriptors are the caller's to close. */
int prober_start(
    struct prober *ret, const char *tool, struct err *err) MUST_CHECK;
/* Kills its whole group and waits for it, REAP_MS at most; its status. */
int prober_reap(pid_t pid);

#endif
