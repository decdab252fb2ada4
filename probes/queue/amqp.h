/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_AMQP_H
#define REEVE_PROBES_QUEUE_AMQP_H

#include "base/url.h"
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

/* The URL's path: "/%2F" is the vhost "/", and so is no path at all. */
const char *amqp_vhost_of(const struct url *url);
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
 * minute, or never. Trouble with code 312: no such queue took it. */
int amqp_session_publish(struct amqp_session *amqp, const char *queue,
    const struct queue_submission *job, bool expires,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;

/* --- messages that are taken for a moment ----------------------------------
 *
 * Nobody is shown a message but who takes it. What is taken here goes back when
 * it is released, to where it was; when the connection ends before that, the
 * broker does it. It is marked `redelivered` then.
 */
enum {
	AMQP_BODY_MAX = 64 << 20 /* of one message */
};
struct amqp_message {
	uint64_t tag;       /* 0: none waits */
	const char *id;     /* message-id, else the body's digest */
	const char *error;  /* what an application or the broker says of why it
	                       died; "" */
	const char *origin; /* the queue in which it died first; "" */
	const char *body;   /* its beginning, QUEUE_PEEK_MAX at most */
	size_t shown;
	int64_t whole;
	int64_t since_ms;   /* when it was put in, by who did; -1 */
	int64_t rejected;   /* times that a consumer refused it; -1 not known */
	int64_t deliveries; /* that a quorum queue has counted; -1: none */
	int64_t behind;     /* that wait after it */
};
/* Trouble with code 404: there is no such queue. */
int amqp_session_take(struct amqp_session *amqp, const char *queue,
    struct arena *arena, struct amqp_message *ret, struct amqp_trouble *trouble,
    struct err *err) MUST_CHECK;
/* Puts a copy of the message that was taken last into `queue`, without what
 * the broker wrote on it when it died, and waits until the broker has it. */
int amqp_session_copy(struct amqp_session *amqp, const char *queue,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;
/* It is gone for good. Nobody answers: what comes next shows that it arrived.
 */
int amqp_session_settle(
    struct amqp_session *amqp, uint64_t tag, struct err *err) MUST_CHECK;
/* Gives back what is taken and not settled, and waits until that is so. */
int amqp_session_release(struct amqp_session *amqp, const char *queue,
    struct amqp_trouble *trouble, struct err *err) MUST_CHECK;

/* --- the management API ----------------------------------------------------
 */

struct amqp_counted { /* up to 5 s old; -1: not said (yet) */
	int64_t unacked;
	int64_t prefetch;       /* of all consumers; -1 one has no limit */
	int64_t delivery_limit; /* of a quorum queue */
	bool dead_lettered;     /* its dead letters go to an exchange */
	const char *dead_exchange, *dead_key; /* "" the default one; "" none */
	const char *type;                     /* "classic", "quorum" */
	struct queue_consumer *who;
	const char **channels; /* of each: the name of its channel; "" */
	size_t nwho;
};
int amqp_counted_of(struct arena *arena, const cJSON *answer,
    struct amqp_counted *ret, struct err *err) MUST_CHECK;
/* How many each consumer holds, out of the vhost's channels: of one that has
 * its channel to itself. */
void amqp_held_of(struct amqp_counted *counted, const cJSON *channels);
/* What alarm stops publishers, out of /api/nodes; NULL none. */
const char *amqp_alarm_of(struct arena *arena, const cJSON *nodes);

/* GET of `path`, which begins with "/api/". */
int amqp_mgmt_read(struct queue *queue, struct arena *arena, const char *path,
    cJSON **ret, struct err *err) MUST_CHECK;

/* The one queue that is bound to an exchange for `key`, out of its bindings;
 * NULL: none, or several. */
const char *amqp_bound_of(
    struct arena *arena, const cJSON *bindings, const char *key);

struct amqp_queue {
	struct amqp_session *session; /* NULL: there is no such vhost */
	const char *vhost;
	const char *amiss; /* of a vhost that isn't there */
	const char *mgmt;  /* URL, or NULL */
	const char *dead;  /* the queue of dead letters, or NULL */
};
/* By the management API; -1 also when none is declared. */
int amqp_mgmt_queue(struct queue *queue, struct arena *arena,
    struct amqp_counted *ret, struct err *err) MUST_CHECK;
/* Fills in how many each of several consumers holds, as far as can be known. */
void amqp_mgmt_held(
    struct queue *queue, struct arena *arena, struct amqp_counted *counted);
/* As the trouble of the queue; returns -1. */
int amqp_failed(struct queue *queue, const struct amqp_trouble *trouble,
    const char *doing, struct err *err);

int amqp_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int amqp_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int amqp_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);
int amqp_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int amqp_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
