/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_PEERS_H
#define REEVE_SUPERVISOR_INIT_PEERS_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"

/*
 * The sockets: who is connected, what is asked there, what is told.
 */

/* --- journal.c --- */

/* Something happened to an instance: kept if it is worth it, and told. */
void journal_note(struct core *core, int32_t slot, enum instance_event event);
/* The peer wants every event above `number`. */
void journal_since(struct core *core, struct peer *peer, uint64_t number);
/* Sends what it has not got yet, as far as it takes it. */
void journal_pump(struct core *core, struct peer *peer);

/* --- peers.c, orders.c, snapshot.c --- */

/* False: another supervisor of that name listens at its place. */
bool peers_listen(struct core *core); /* once the name is known */
void peers_close(struct core *core);
/* The socket that says that our guard lives; err->sys EADDRINUSE: another's
 * does. */
int peers_listen_guard(struct core *core, struct err *err) MUST_CHECK;
void peers_resume(struct core *core); /* after a fault: listens again */
int peer_open(
    struct core *core, struct peer *peer, int fd, struct err *err) MUST_CHECK;
void peer_close(struct core *core, struct peer *peer);
/* False: it couldn't be sent now. */
bool peer_send(struct core *core, struct peer *peer,
    const union wire_message *message, int fd);
void peers_changed(struct core *core, int32_t slot, enum instance_event event);
/* What is known of the worker beside its instances. */
void peers_run_changed(struct core *core, uint32_t run);
void peers_text(struct core *core, enum wire_type type, int level,
    const char *event, const char *text);
struct peer *peers_operator(struct core *core);
/* A reply with words; `code` 0 is ok. */
void order_answer(struct core *core, struct peer *peer, uint32_t sequence,
    int code, const char *text);
void order_handle(
    struct core *core, struct peer *peer, union wire_message *message, int fd);
void snapshot_begin(struct core *core, struct peer *peer);
/* Sends as much of it as goes. */
void snapshot_pump(struct core *core, struct peer *peer);
void snapshot_worker(const struct core *core, uint32_t run, uint64_t number,
    union wire_message *ret);
void snapshot_instance(struct core *core, int32_t slot,
    enum instance_event event, union wire_message *ret);

#endif
