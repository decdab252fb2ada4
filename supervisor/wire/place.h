/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_PLACE_H
#define REEVE_SUPERVISOR_WIRE_PLACE_H

#include "base/base.h"
#include "base/err.h"

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Where sockets and state lie (decisions.md 2): $REEVE_SOCKET; else
 * /run/reeve/NAME/; else $XDG_RUNTIME_DIR/reeve/NAME/; else the abstract
 * @reeve/NAME/UID. The same rule for whoever listens and whoever connects.
 */
enum {
	PLACE_DIR_MAX = 96
};

struct place_socket {
	/* directory of sockets and state, "" when only abstract names work */
	char dir[PLACE_DIR_MAX];
	char name[64];
	bool explicit_dir; /* by $REEVE_SOCKET */
};

/* The file in `dir`, or the abstract address
 * @reeve/NAME/UID/FILE. */
#define PLACE_INIT_SOCKET     "init.sock"
#define PLACE_OPERATOR_SOCKET "operator.sock"
#define PLACE_LOGS_SOCKET     "logs.sock"
#define PLACE_GUARD_SOCKET    "guard.sock"

/* The listener's choice: makes the directory (0700, or 0750 with a control
 * group) and tries to write there; falls back as above, never fails for want
 * of a place. `environment` is a getenv-like list ("NAME=value", NULL ended).
 */
int place_choose(const char *name, const char *const *environment,
    struct place_socket *ret, struct err *err) MUST_CHECK;
/* The address of one socket of a place. */
int place_address(const struct place_socket *place, const char *file,
    struct sockaddr_un *ret, socklen_t *ret_len, struct err *err) MUST_CHECK;
/* The n-th place to look for `name` (0…); -1 when there are no more. */
int place_candidate(const char *name, const char *const *environment,
    unsigned index, struct place_socket *ret, struct err *err) MUST_CHECK;

/* Whether somebody listens there now, with sockets of that type. What refuses
 * is left over from somebody who died. */
bool place_lives(const struct sockaddr_un *address, socklen_t len, int type);

#endif
