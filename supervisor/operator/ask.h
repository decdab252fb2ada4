/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ASK_H
#define REEVE_SUPERVISOR_OPERATOR_ASK_H

#include <sys/socket.h>

#include "base/base.h"
#include "supervisor/operator/http.h"
#include "supervisor/operator/running.h"

/*
 * One request to the control socket: who asks, what is meant, and the answer.
 * control.c decides which function runs; what is ordered is done in orders.c.
 */
struct operator_core;

struct ask {
	struct operator_core *op;
	struct http_request *request;
};

typedef void ask_fn(struct ask *ask);

/* Answers with reeve.control/1. */
void ask_say(struct ask *ask, unsigned status, bool ok, const char *text);
const char *ask_argument(const struct ask *ask, const char *key); /* or NULL */
/* The uid of who asks; -1 where the kernel doesn't say. */
uid_t ask_uid(const struct ask *ask);
/* Root, our own user, or a member of supervisor.control.group. */
bool ask_may_change(const struct ask *ask);
/* Keeps an order in the history, with who gave it; `path` of its route. */
void ask_note_order(const struct ask *ask, const char *path);
/* The worker that is meant; NULL after the answer was given. `ret_replica` is
 * WIRE_ALL_REPLICAS where none is named. */
struct running_worker *ask_worker(struct ask *ask, int32_t *ret_replica);

/* --- orders.c: what changes something, by the name of its route --- */
ask_fn order_restart, order_stop, order_start, order_scale;
ask_fn order_alert_test, order_silence, order_unsilence, order_moved;

#endif
