/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_RECEIVERS_H
#define REEVE_SUPERVISOR_OPERATOR_RECEIVERS_H

#include "base/base.h"
#include "supervisor/operator/alerts.h"

/*
 * To whom events go, for alerts.c: one delivery at a time for each receiver,
 * the oldest first. What a receiver doesn't take it is given again; only an
 * event that it refuses for what the event holds is set aside, so that those
 * of other alerts get past it.
 */
enum {
	RETRY_SLOW_MS = 5 * 60 * 1000, /* where no retry will mend it */
};

/* What the answer to a delivery means. */
enum receiver_fault {
	FAULT_FOR_NOW, /* none, 408, 425, 429, 5xx: comes again by itself */
	FAULT_ADDRESS, /* another 3xx or 4xx: somebody has to mend it */
	FAULT_CONTENT, /* 400, 413, 415, 422: this message isn't taken */
};
enum receiver_fault receiver_fault(int64_t http_status);
/* How long until the next try, after so many that failed; `asked_ms` is what
 * the receiver asked for (Retry-After), 0 nothing. */
int64_t receiver_delay_ms(
    enum receiver_fault fault, unsigned attempts, int64_t asked_ms);

/* Has all get what waits for them; to be called after a pass. */
void receivers_send(struct alerts *alerts);
/* Whether something of that alert waits for it. */
bool receivers_waits(
    const struct alert_receiver *receiver, const struct alert *alert);
/* Of one that was just declared: it may be sent to, and what was on its way
 * when an operator before us ended is taken up. */
void receiver_begin(struct alert_receiver *receiver);
/* Brings it what waits, unless it is being brought or it isn't time. */
void receiver_next(struct alert_receiver *receiver);

/* --- receivers_declared.c --- */
void receivers_clear(struct alerts *alerts);

#endif
