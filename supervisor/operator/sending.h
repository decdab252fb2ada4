/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SENDING_H
#define REEVE_SUPERVISOR_OPERATOR_SENDING_H

#include "base/base.h"
#include "supervisor/operator/alerts.h"

/*
 * What is on its way to a receiver, on disk before it goes, so that whoever
 * comes after an operator that was killed knows it:
 *
 *   DIR/sending.HASH  {"receiver":NAME,"numbers":[7,8]}: it isn't known whether
 *                     the receiver has this message: the very same one goes
 *                     again, under the same Idempotency-Key
 *   DIR/taken.HASH    the same file, renamed by the child that delivers in the
 *                     moment in which the receiver says that it has it
 *
 * HASH is of the receiver's name. Without a directory none of it is kept.
 */
enum {
	SENDING_PATH_SIZE = 512
};
struct sending_paths {
	char sending[SENDING_PATH_SIZE], taken[SENDING_PATH_SIZE];
};

/* Writes down that receiver->sending goes now. `ret` is for the child; both
 * texts are empty where nothing could be written. */
void sending_begins(
    const struct alert_receiver *receiver, struct sending_paths *ret);
/* It is known how it came out, and the spool says so. */
void sending_is_over(const struct alert_receiver *receiver);
/* For a receiver that was just declared: what our predecessor's child brought
 * there is delivered; what it isn't known of goes again, as one message
 * (receiver->sending, receiver->unsure). */
void sending_resume(struct alert_receiver *receiver);

/* --- for the child --- */
/* The receiver has it. Both may be NULL. */
void sending_was_taken(const char *sending, const char *taken);

#endif
