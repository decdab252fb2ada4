/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/drivers.h"

/* Every technology, and what all of them say their answers with. */
static const struct queue_driver *const drivers[] = {
    &queue_redis_list,
    &queue_redis_stream,
    &queue_bullmq,
    &queue_bullmqpg,
    &queue_bull,
    &queue_bee,
    &queue_postgres_table,
    &queue_pgboss,
    &queue_graphile,
    &queue_river,
    &queue_oban,
    &queue_solidqueue,
    &queue_pgmq,
    &queue_que,
    &queue_procrastinate,
    &queue_goodjob,
    &queue_delayedjob,
    &queue_mysql_table,
    &queue_mssql_table,
    &queue_sqlite_table,
    &queue_sqlite_embedded,
    &queue_celery,
    &queue_resque,
    &queue_rq,
    &queue_sidekiq,
    &queue_pubsub,
    &queue_servicebus,
    &queue_sqs,
    &queue_nats,
    &queue_amqp,
    &queue_beanstalk,
    &queue_kafka,
};

const struct queue_driver *const *
queue_drivers(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(drivers);
	return drivers;
}

const struct queue_driver *
queue_driver_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (text_equal(drivers[i]->kind, kind))
			return drivers[i];
	}
	return NULL;
}

bool
queue_observes_together(const char *kind)
{
	const struct queue_driver *driver = queue_driver_find(kind);

	return driver != NULL && driver->observe_many != NULL;
}

const struct queue_driver *
queue_driver_of_url(const char *url, size_t *ret_len)
{
	const char *colon = strstr(url, "://");

	if (colon == NULL)
		return NULL;
	size_t len = (size_t)(colon - url);

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		for (const char *const *s = drivers[i]->schemes; *s != NULL;
		     s++) {
			if (strlen(*s) == len && memcmp(*s, url, len) == 0) {
				*ret_len = len;
				return drivers[i];
			}
		}
	}
	return NULL;
}

const char *
queue_option(const struct queue *queue, const char *key)
{
	for (size_t i = 0; i < queue->spec.noptions; i++) {
		if (text_equal(queue->spec.options[i].key, key))
			return queue->spec.options[i].value;
	}
	return NULL;
}

int
queue_trouble(struct queue *queue, enum cause cause, const char *code,
    struct err *err, enum err_kind kind, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	queue->cause = cause;
	(void)snprintf(queue->code, sizeof(queue->code), "%s", code);
	return err_set(err, kind, "%s", text);
}

struct queue_number
queue_exact(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_EXACT};
}

struct queue_number
queue_counted(int64_t count, int64_t count_to)
{
	return (struct queue_number){.value = count,
	    .know = count < count_to ? KNOW_EXACT : KNOW_AT_LEAST};
}

struct queue_number
queue_unknown(const char *why)
{
	return (struct queue_number){.know = KNOW_UNKNOWN, .why = why};
}

struct queue_number
queue_inapplicable(void)
{
	return (struct queue_number){.know = KNOW_NOT_APPLICABLE};
}

int64_t
queue_remaining_ms(const struct queue *queue)
{
	int64_t left = queue->deadline_ms - clock_ms();

	return left > 0 ? left : 0;
}

void
queue_nonce(char dst[QUEUE_NONCE_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[(QUEUE_NONCE_SIZE - 1) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort(); /* 16 bytes are never short once the pool is up */
	for (size_t i = 0; i < sizeof(bytes); i++) {
		dst[2 * i] = digits[bytes[i] >> 4];
		dst[2 * i + 1] = digits[bytes[i] & 15];
	}
	dst[QUEUE_NONCE_SIZE - 1] = '\0';
}

size_t
queue_move_wanted(
    const struct queue_move *move, const bool *moved, const char *id)
{
	size_t i = 0;

	while (i < move->nids && (moved[i] || !text_equal(move->ids[i], id)))
		i++;
	return i;
}

int
queue_moved_so_far(
    struct queue *queue, size_t count, size_t wanted, struct err *err)
{
	if (count == 0)
		return -1;
	queue->code[0] = '\0'; /* it doesn't say "nothing was moved" */
	return err_wrap(err, "%zu of %zu moved, then", count, wanted);
}
