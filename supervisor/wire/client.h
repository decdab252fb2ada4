/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_CLIENT_H
#define REEVE_SUPERVISOR_WIRE_CLIENT_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/wire/messages.h"

#include <sys/types.h>

/*
 * The tool's end of the wire to the init: used by the operator on the
 * descriptor that it is started with, and by commands on the control socket.
 * No allocation. Deadlines are absolute (base/clock.h).
 */
struct wire_client {
	int fd; /* -1: closed; non-blocking, for poll */
	uint32_t sequence;
	bool greeted;
	struct wire_hello hello; /* valid once `greeted` */
};

#define WIRE_CLIENT_INIT ((struct wire_client){.fd = -1})

/* Takes over `fd` (WIRE_OPERATOR_FD); the hello comes as the first message. */
void wire_client_adopt(struct wire_client *client, int fd);
/* Connects to the init's control socket of the system `name` ("" or NULL: the
 * only one that is found, else an error that lists them), by $REEVE_SOCKET, the
 * socket directories of decisions.md 2 or the abstract name; checks the peer's
 * credentials (root or the same user) and waits for the hello. ERR_REFUSED:
 * nothing listens there. */
int wire_client_connect(struct wire_client *client, const char *name,
    int64_t deadline_ms, struct err *err) MUST_CHECK;
void wire_client_close(struct wire_client *client);

/*
 * The next message, without waiting. 1: one is in `ret` (with its descriptors
 * in `ret_fds`, -1 where none, the caller's to close); 0: none waits; -1: the
 * connection is over or garbage came. PING is answered here and never seen by
 * the caller; HELLO is kept in `hello` and returned too.
 */
int wire_client_next(struct wire_client *client, union wire_message *ret,
    int ret_fds[WIRE_FDS_MAX], struct err *err) MUST_CHECK;
/* As wire_client_next, but waits until the deadline (then ERR_TIMEOUT). */
int wire_client_wait(struct wire_client *client, union wire_message *ret,
    int ret_fds[WIRE_FDS_MAX], int64_t deadline_ms, struct err *err) MUST_CHECK;

/* Sends; sets head and sequence. `fd` -1: none. ERR_CAPACITY with EAGAIN: the
 * init's queue is full, try when writable. `ret_sequence` may be NULL. */
int wire_client_send(struct wire_client *client, enum wire_type type,
    union wire_message *message, int fd, uint32_t *ret_sequence,
    struct err *err) MUST_CHECK;
/* The operator: hands over a plan's memfd. REPLY says accepted or refused. */
int wire_client_plan(struct wire_client *client, int memfd,
    uint32_t *ret_sequence, struct err *err) MUST_CHECK;
/* An order about a worker: START, STOP, RESTART, SCALE, SIGNAL. */
int wire_client_order(struct wire_client *client, enum wire_type type,
    const char *name, int32_t replica, int32_t value,
    struct err *err) MUST_CHECK;

/* Commands: sends `message`, waits for its reply and ignores all else. */
int wire_client_ask(struct wire_client *client, enum wire_type type,
    union wire_message *message, struct wire_reply *ret, int64_t deadline_ms,
    struct err *err) MUST_CHECK;
/* Commands: a whole snapshot, one call of `each` for every packet of it
 * (BEGIN, WORKER…, INSTANCE…, END). */
typedef void wire_each_fn(void *arg, const union wire_message *message);
int wire_client_snapshot(struct wire_client *client, wire_each_fn *each,
    void *arg, int64_t deadline_ms, struct err *err) MUST_CHECK;

#endif
