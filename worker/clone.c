/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/clone.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP UINT64_C(0x200000000)
#endif

/* struct clone_args up to what Linux 5.7 added; <linux/sched.h> of an older
 * system ends before it. */
struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
	uint64_t stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static long
clone_into(int cgroup, int *ret_pidfd)
{
	int pidfd = -1;
	const struct arguments arguments = {
	    .flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
	    .pidfd = (uint64_t)(uintptr_t)&pidfd,
	    .exit_signal = SIGCHLD,
	    .cgroup = (uint64_t)cgroup,
	};

	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
	*ret_pidfd = pidfd;
	return pid;
}

struct cloned
clone_process(int cgroup)
{
	struct cloned cloned = {.pidfd = -1};
	long pid = -1;

	if (cgroup >= 0)
		pid = clone_into(cgroup, &cloned.pidfd);
	cloned.into_cgroup = pid != -1;
	/* no process or no memory is an answer; every other refusal is about
	 * the way it was asked */
	if (cgroup < 0 || (pid == -1 && errno != EAGAIN && errno != ENOMEM)) {
		cloned.pidfd = -1;
		pid = syscall(SYS_clone, (unsigned long)CLONE_PIDFD | SIGCHLD,
		    NULL, &cloned.pidfd, 0L, 0L);
	}
	if (pid == -1 && (errno == EINVAL || errno == ENOSYS)) {
		cloned.pidfd = -1;
		pid = fork();
	}
	cloned.pid = (pid_t)pid;
	return cloned;
}

bool
clone_into_possible(void)
{
	int pidfd = -1;

	/* a descriptor that can't be open: whoever knows the flag looks there
	 */
	return clone_into(INT_MAX, &pidfd) == -1 && errno == EBADF;
}
