/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_DRIVERS_H
#define REEVE_PROBES_QUEUE_DRIVERS_H

#include "probes/queue/queue.h"

/* The driver whose one-URL scheme `url` begins with, or NULL; the scheme's
 * length without "://" goes to `ret_len`. */
const struct queue_driver *queue_driver_of_url(
    const char *url, size_t *ret_len);
/* A key that queues of this kind don't have is an error that says which it
 * might be. */
int queue_key_check(const struct queue_driver *driver, const char *key,
    struct err *err) MUST_CHECK;

/* One row a technology; the table in drivers.c lists them all. */
extern const struct queue_driver queue_redis_list;
extern const struct queue_driver queue_redis_stream;
extern const struct queue_driver queue_bullmq;
extern const struct queue_driver queue_bull;
extern const struct queue_driver queue_bee;
extern const struct queue_driver queue_postgres_table;
extern const struct queue_driver queue_bullmqpg;
extern const struct queue_driver queue_pgboss;
extern const struct queue_driver queue_graphile;
extern const struct queue_driver queue_river;
extern const struct queue_driver queue_oban;
extern const struct queue_driver queue_solidqueue;
extern const struct queue_driver queue_pgmq;
extern const struct queue_driver queue_que;
extern const struct queue_driver queue_procrastinate;
extern const struct queue_driver queue_goodjob;
extern const struct queue_driver queue_delayedjob;
extern const struct queue_driver queue_mysql_table;
extern const struct queue_driver queue_mssql_table;
extern const struct queue_driver queue_sqlite_table;
extern const struct queue_driver queue_sqlite_embedded;
extern const struct queue_driver queue_celery;
extern const struct queue_driver queue_resque;
extern const struct queue_driver queue_rq;
extern const struct queue_driver queue_sidekiq;
extern const struct queue_driver queue_pubsub;
extern const struct queue_driver queue_servicebus;
extern const struct queue_driver queue_sqs;
extern const struct queue_driver queue_nats;
extern const struct queue_driver queue_amqp;
extern const struct queue_driver queue_beanstalk;
extern const struct queue_driver queue_kafka;

#endif
