/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_SERVICEBUS_H
#define REEVE_PROBES_QUEUE_SERVICEBUS_H

#include "base/base.h"
#include "probes/queue/cloud.h"

/* Azure Service Bus by REST. */
enum { /* what it says yes with */
	SERVICEBUS_OK = 200,
	SERVICEBUS_CREATED = 201,
	SERVICEBUS_NOTHING = 204 /* no message is there to be locked */
};

struct servicebus {
	const char *base;   /* "https://ns.servicebus.windows.net" */
	const char *entity; /* "queue", "topic/subscriptions/name" */
	const char *sendto; /* "queue", "topic" */
	const char *key_name, *key;
};

/* Signs the request, whose URL is `path` below the namespace (as it is written
 * there: percent-encoded), and asks. -1 also when the answer is a no: its
 * status is in `ret` then, 0 where none came. */
int servicebus_ask(struct queue *queue, struct arena *arena, const char *path,
    struct http_request *request, struct cloud_reply *ret,
    struct err *err) MUST_CHECK;
/* GET. */
int servicebus_look(struct queue *queue, struct arena *arena, const char *path,
    struct cloud_reply *ret, struct err *err) MUST_CHECK;

int servicebus_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int servicebus_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
