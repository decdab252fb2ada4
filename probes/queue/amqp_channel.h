/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_AMQP_CHANNEL_H
#define REEVE_PROBES_QUEUE_AMQP_CHANNEL_H

#include <amqp.h>
#include <amqp_framing.h>

#include "base/buffer.h"
#include "probes/queue/amqp.h"
#include "probes/stream.h"

/* What the files that speak AMQP share: one connection, and one channel at a
 * time on it. */
struct amqp_session {
	amqp_connection_state_t state;
	amqp_channel_t channel;
	bool channel_open, confirms;
	int64_t deadline_ms;
	struct arena arena;
	const char *vhost;
	char address[STREAM_ADDRESS_SIZE];
	/* The message that was taken last: its properties are the library's,
	 * until the next call that begins with amqp_channel. */
	const amqp_basic_properties_t *taken;
	struct buffer body; /* of it, whole */
};

/* Opens a channel where none is open. */
int amqp_channel(struct amqp_session *amqp, struct amqp_trouble *trouble,
    struct err *err) MUST_CHECK;
/* The last reply: an error ends the channel that it came on. */
int amqp_checked(struct amqp_session *amqp, struct amqp_trouble *trouble,
    struct err *err) MUST_CHECK;
/* The next frame, before the deadline; what the server closes the channel or
 * the connection with is an error. */
int amqp_next_frame(struct amqp_session *amqp, amqp_frame_t *ret,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;
/* Publishes to the queue of that name, mandatory, and waits until it is
 * confirmed. Code 312: no such queue took it. */
int amqp_confirmed_publish(struct amqp_session *amqp, const char *queue,
    const amqp_basic_properties_t *properties, const struct buffer *body,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;

#endif
