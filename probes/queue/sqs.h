/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_SQS_H
#define REEVE_PROBES_QUEUE_SQS_H

#include "base/base.h"
#include "probes/queue/cloud_letters.h"

struct sqs {
	const char *endpoint; /* "https://sqs.eu-west-1.amazonaws.com/" */
	const char *sigv4, *credentials;
	const char *token; /* NULL: none */
	const char *account;
	const char *queue_url; /* NULL: not asked yet */
	bool fifo;
};

/* A JSON object of texts: "key", "value", …, NULL; a pair without a value is
 * left out. */
const char *sqs_object(struct arena *arena, const char *const *pairs);
/* One action; `body` is its JSON. Also of a refusal `ret->status` is said, but
 * then there is nothing to clean up. */
int sqs_ask(struct queue *queue, struct arena *arena, const char *action,
    const char *body, struct cloud_reply *ret, struct err *err) MUST_CHECK;
/* The queue's own URL, which all other actions want, into its state. */
int sqs_find_url(struct queue *queue, struct err *err) MUST_CHECK;
int sqs_attributes(struct queue *queue, struct arena *arena,
    const char *queue_url, struct cloud_reply *ret, struct err *err) MUST_CHECK;
struct queue_number sqs_number(
    const cJSON *attributes, const char *name, enum know know);
/* The URL of the queue of the dead letters: the declared one, else the
 * RedrivePolicy's; NULL: none. `*ret_limit`: maxReceiveCount, 0 without a
 * policy, -1 unknown. */
int sqs_dead_queue(struct queue *queue, struct arena *arena,
    const cJSON *attributes, const char **ret_url, int64_t *ret_limit,
    struct err *err) MUST_CHECK;

int sqs_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int sqs_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
