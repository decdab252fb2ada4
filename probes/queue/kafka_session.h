/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_KAFKA_SESSION_H
#define REEVE_PROBES_QUEUE_KAFKA_SESSION_H

#include <librdkafka/rdkafka.h>

#include "probes/queue/kafka.h"

/* What the files that speak to librdkafka share: one consumer that never
 * subscribes, the session's own. */
rd_kafka_t *kafka_handle(const struct queue *queue);
/* What is left of the queue's time, at least 1 ms. */
int kafka_left_ms(const struct queue *queue);
/* -1, with the queue's cause: the broker's reason where it said one, for a call
 * that isn't answered in time says none. */
int kafka_failed(struct queue *queue, rd_kafka_resp_err_t code,
    const char *doing, struct err *err);

#endif
