/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_CLONE_H
#define REEVE_WORKER_CLONE_H

#include "base/base.h"

#include <sys/types.h>

struct cloned {
	pid_t pid;        /* 0: the child; -1: errno says why not */
	int pidfd;        /* in the parent; -1: the kernel has none */
	bool into_cgroup; /* it was born in the cgroup */
};

/* Like fork, with a pidfd where the kernel has them. glibc's fork runs handlers
 * and its posix_spawn needs clone3, which old seccomp profiles refuse (pid1.md
 * M11). `cgroup`: the directory of the cgroup to be born in, or -1; where the
 * kernel, seccomp or the file's owner won't have that, the child is made
 * without, and joins by itself. */
struct cloned clone_process(int cgroup);

/* Whether the kernel knows how to, and seccomp lets it; makes no process. */
bool clone_into_possible(void);

#endif
