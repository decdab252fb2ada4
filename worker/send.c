/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/send.h"

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2)
#endif

static int
send_signal(pid_t pid, bool group, int signo)
{
	if (pid <= 1) {
		errno = EINVAL;
		return -1;
	}
	return kill(group ? -pid : pid, signo);
}

int
send_to_process(pid_t pid, int signo)
{
	return send_signal(pid, false, signo);
}

int
send_to_opened(int pidfd, pid_t pid, int signo)
{
	if (pidfd < 0 || pid <= 1)
		return send_signal(pid, false, signo);
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

int
send_to_led(int pidfd, int signo)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL,
	    PIDFD_SIGNAL_PROCESS_GROUP);
}

bool
send_knows_led(void)
{
	/* the kernel looks at flags before it looks at the descriptor */
	return send_to_led(-1, 0) == -1 && errno == EBADF;
}

int
send_to_group(pid_t pgid, int pidfd, int signo)
{
	if (pidfd >= 0 && pgid > 1) {
		if (send_to_led(pidfd, signo) == 0)
			return 0;
		if (errno == ESRCH)
			return -1;
	}
	return send_signal(pgid, true, signo);
}

bool
send_group_exists(pid_t pgid)
{
	/* EPERM is an answer too: there is somebody, who changed his uid */
	return send_signal(pgid, true, 0) == 0 || errno == EPERM;
}
