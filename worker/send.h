/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_SEND_H
#define REEVE_WORKER_SEND_H

#include "base/base.h"

#include <sys/types.h>

/*
 * The only place that sends signals to processes that we started. It refuses
 * pid and pgid 1 and below, which mean "everybody" to kill(2).
 */

/* 0, or -1 with errno (ESRCH: gone; EINVAL: refused). The caller has not
 * reaped `pid` yet, so the number can't belong to another process. */
int send_to_process(pid_t pid, int signo);
/* To whom `pidfd` is open; by number where the kernel opens none (-1). */
int send_to_opened(int pidfd, pid_t pid, int signo);
/* To every member of the group. With a pidfd of its (possibly reaped) leader
 * the kernel knows which group is meant (Linux 6.9); without, or on an older
 * kernel, by number, which the members still pin. */
int send_to_group(pid_t pgid, int pidfd, int signo);
/* To every member of the group of `pidfd`'s process, which may be reaped; never
 * to another one of the same number. -1 with ESRCH: it has no members. Only
 * where send_knows_led(). */
int send_to_led(int pidfd, int signo);
bool send_knows_led(void);
/* True when the group has members; zombies that nobody reaped count. */
bool send_group_exists(pid_t pgid);

#endif
