/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_GUARD_H
#define REEVE_SUPERVISOR_INIT_GUARD_H

#include "base/base.h"

/*
 * Where the init isn't PID 1 nothing ends with it when it is killed: its
 * direct children do (PR_SET_PDEATHSIG), their children don't. So it has a
 * child that waits for just that:
 *
 *     reeve --guard PID        PID: of the init
 *
 * with the state memfd at GUARD_STATE_FD and a listening socket, which nobody
 * ever answers, at GUARD_SOCKET_FD. When the init is gone it kills every
 * session that was in the tables, what descends from them, and what has
 * REEVE_RUN of this init in its environment, until nothing is found any more.
 * The socket lives as long as the guard: the next init of that name starts no
 * worker before it has gone.
 */
enum {
	GUARD_STATE_FD = 3,
	GUARD_SOCKET_FD = 4,
	GUARD_KILL_MS = 10 * 1000, /* what isn't gone by then can't be killed */
};

/* The child; returns the exit code. */
int guard_main(int argc, char *argv[]);

#endif
