/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_AMQP_H
#define REEVE_PROBES_QUEUE_AMQP_H

#include "probes/json_read.h"
#include "probes/queue/queue.h"

/*
 * RabbitMQ: over AMQP 0-9-1 what holds at this moment (passive declares change
 * nothing), over the management API what it counted some seconds ago.
 */
struct amqp_session;

/* What the server closed the channel or the connection with, or what went wrong
 * with it: "404", "530", "" . */
struct amqp_trouble {
	enum cause cause;
	char code[QUEUE_CODE_SIZE];
};

struct amqp_depth { /* as of now */
	int64_t ready, consumers;
};

/* -1 with the reason in `ladder`, whose code is 530 when there is no such
 * vhost. The vhost is the URL's path. */
int amqp_session_open(const char *text, struct ladder *ladder,
    struct amqp_session **ret) MUST_CHECK;
void amqp_session_close(struct amqp_session *amqp);
const char *amqp_session_address(const struct amqp_session *amqp);
const char *amqp_session_vhost(const struct amqp_session *amqp);
void amqp_session_deadline(struct amqp_session *amqp, int64_t deadline_ms);

/* Trouble with code 404: there is none. */
int amqp_session_depth(struct amqp_session *amqp, const char *queue,
    struct amqp_depth *ret, struct amqp_trouble *trouble,
    struct err *err) MUST_CHECK;
int amqp_session_exchange(struct amqp_session *amqp, const char *exchange,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;
/* To the queue of that name, mandatory and confirmed; it expires after a
 * minute. Trouble with code 312: no such queue took it. */
int amqp_session_publish(struct amqp_session *amqp, const char *queue,
    const struct queue_submission *job, struct amqp_trouble *trouble,
    struct err *err) MUST_CHECK;

/* --- the management API ----------------------------------------------------
 */

struct amqp_counted { /* up to 5 s old; -1: not said (yet) */
	int64_t unacked;
	int64_t prefetch;       /* of all consumers; -1 one has no limit */
	int64_t delivery_limit; /* of a quorum queue */
	const char *dead_exchange, *dead_key; /* "" none */
	const char *type;                     /* "classic", "quorum" */
	const struct queue_consumer *who;
	size_t nwho;
};
int amqp_counted_of(struct arena *arena, const cJSON *answer,
    struct amqp_counted *ret, struct err *err) MUST_CHECK;
/* What alarm stops publishers, out of /api/nodes; NULL none. */
const char *amqp_alarm_of(struct arena *arena, const cJSON *nodes);

/* GET of `path`, which begins with "/api/". */
int amqp_mgmt_read(struct queue *queue, struct arena *arena, const char *path,
    cJSON **ret, struct err *err) MUST_CHECK;

struct amqp_queue {
	struct amqp_session *session;
	const char *mgmt; /* URL, or NULL */
	const char *dead; /* the queue of dead letters, or NULL */
};

#endif
