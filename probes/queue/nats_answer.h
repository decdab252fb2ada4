/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_NATS_ANSWER_H
#define REEVE_PROBES_QUEUE_NATS_ANSWER_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/json_read.h"

/*
 * What JetStream answers in JSON, taken apart: on the client port
 * ($JS.API.…, nats-server 2.9 and later) and on the monitoring port (/jsz,
 * whose inner objects are the same). Texts go into the arena. Numbers are
 * sequences and counts of messages, times unix ms. Absent numbers are -1,
 * absent texts "".
 */
enum {
	NATS_NAMES_MAX = 4096, /* of one answer */
	NATS_ANSWER_MAX = 8 << 20,
	NATS_DESCRIPTION_SIZE = 160
};

struct nats_names {
	const char *const *names;
	size_t count;
};

struct nats_stream {
	const char *name;
	const char *retention; /* "limits", "interest", "workqueue" */
	struct nats_names subjects;
	int64_t messages, bytes, first_seq, last_seq, consumers;
	bool refuses_new; /* when it is full; else it drops the oldest */
	int64_t max_messages, max_bytes, max_age_ms; /* 0 or less: no limit */
};

struct nats_consumer {
	const char *name;
	const char *filter;  /* subject; "" all */
	const char *deliver; /* subject of a push consumer; "" pulled from */
	bool push_bound;     /* somebody is subscribed to it */
	bool acks;           /* "none": what was delivered is done */
	bool paused;         /* 2.11 */
	int64_t ack_wait_ms, max_deliver, max_ack_pending;
	int64_t pending, ack_pending, redelivered, waiting;
	int64_t delivered, ack_floor; /* sequences in the stream */
	int64_t now_ms;               /* the server's clock; 2.10 */
	int64_t created_ms;           /* -1: not said */
};

struct nats_message {
	const char *subject;
	const char *data; /* NUL behind it */
	size_t len;
	const char *headers; /* "NATS/1.0\r\nKey: value\r\n\r\n" or "" */
	int64_t seq, time_ms;
};

/* What is asked: {"seq":N,"KEY":"TEXT"}; -1 and NULL leave one out. */
const char *nats_wanted(
    struct arena *arena, int64_t seq, const char *key, const char *text);

/* What is wrong, as the server says: err_code 0 when nothing is. */
struct nats_refusal {
	int64_t code, err_code;
	char description[NATS_DESCRIPTION_SIZE];
};

/* One answer as JSON, with the refusal that it may hold. NULL with `err` when
 * it isn't an answer of JetStream at all. */
cJSON *nats_answer_read(
    const char *text, size_t len, struct nats_refusal *ret, struct err *err);

int nats_stream_of(struct arena *arena, const cJSON *info,
    struct nats_stream *ret, struct err *err) MUST_CHECK;
int nats_consumer_of(struct arena *arena, const cJSON *info,
    struct nats_consumer *ret, struct err *err) MUST_CHECK;
/* {"message":{…}} of STREAM.MSG.GET. */
int nats_message_of(struct arena *arena, const cJSON *answer,
    struct nats_message *ret, struct err *err) MUST_CHECK;
/* An array of texts; absent and null are none. */
int nats_names_of(struct arena *arena, const cJSON *object, const char *key,
    struct nats_names *ret, struct err *err) MUST_CHECK;
/* {"stream":…,"seq":…,"duplicate":…} after a publish. */
int nats_stored_of(struct arena *arena, const cJSON *answer,
    const char **ret_stream, int64_t *ret_seq, bool *ret_duplicate,
    struct err *err) MUST_CHECK;
/* The stream (and, when `consumer` isn't NULL, its consumer) in what /jsz
 * answers, with the account that it is in; NULL: it isn't there. `account`
 * NULL: any. */
const cJSON *nats_monitored(const cJSON *jsz, const char *account,
    const char *stream, const char *consumer, const char **ret_account);

/* Messages of a work queue that no consumer will ever be given again: what is
 * left when all that is pending or in hand is taken off (queues.md 1.4). -1: it
 * can't be told of such a stream. */
int64_t nats_dead(
    const struct nats_stream *stream, const struct nats_consumer *consumer);
/* Does a filter with tokens, `*` and `>` take this subject? */
bool nats_subject_matches(const char *filter, const char *subject);

#endif
