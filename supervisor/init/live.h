/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LIVE_H
#define REEVE_SUPERVISOR_INIT_LIVE_H

#include "base/base.h"

/*
 * `supervisor: {liveness: {port}}`: a child of the init that answers HTTP on
 * that port, for a livenessProbe of the platform:
 *
 *     reeve --live
 *
 * with a listening TCP socket at LIVE_LISTEN_FD and a wire to the init at
 * LIVE_WIRE_FD. For each request it asks the init whether its loop turns: 200
 * when the answer comes within LIVE_ASK_MS, else 503. Whatever is asked for,
 * the answer is the same: the init alone is looked at, never the operator or a
 * worker, so that a platform restarts the container only when that helps.
 */
enum {
	LIVE_WIRE_FD = 3,
	LIVE_LISTEN_FD = 4,
	LIVE_ASK_MS = 500,
	LIVE_READ_MS = 2000, /* a client that says nothing is sent away */
	LIVE_CLIENTS = 16,   /* at once; more wait in the backlog */
};

/* The child; ends when the wire is closed. Returns the exit code. */
int live_main(void);

#endif
