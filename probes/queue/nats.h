/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_NATS_H
#define REEVE_PROBES_QUEUE_NATS_H

#include "probes/queue/nats_answer.h"
#include "probes/queue/queue.h"

/*
 * What the files of the NATS JetStream driver share. libnats has threads of its
 * own: nothing may be forked without exec once a connection was opened, which
 * is why this runs in probers only.
 *
 * The API is spoken as JSON over requests of ours instead of libnats' js_…
 * calls, because the server drops a request that isn't permitted: the reason
 * comes by itself, and only who waits in slices can tell it from a timeout
 * (queues.md 1.10).
 */
enum {
	NATS_NO_MESSAGE = 10037,
	NATS_NOT_DELETED = 10057, /* it was not there */
	NATS_NO_CONSUMER = 10014,
	NATS_NO_STREAM = 10059,
	NATS_NOT_ENABLED = 10076,
	NATS_NOT_ENABLED_HERE = 10039, /* for this account */
	NATS_OTHER_STREAM = 10060      /* than the one expected */
};

struct nats_session; /* a connection with the inbox of its answers */

struct nats_server { /* what it says before anybody logs in */
	const char *id, *version;
	bool jetstream, tls;
	int64_t max_payload; /* bytes; -1 not said */
};

/* DNS, TCP, INFO, then login by libnats. `text` is the URL, `creds` a file or
 * NULL. -1 with the reason in `ladder`. */
int nats_session_open(const char *text, const char *creds,
    struct ladder *ladder, struct nats_session **ret) MUST_CHECK;
void nats_session_close(struct nats_session *nats);
const struct nats_server *nats_session_server(const struct nats_session *nats);
const char *nats_session_address(const struct nats_session *nats);

/* One exchange: until when, and what went wrong for a queue or a check. */
struct nats_call {
	int64_t deadline_ms;
	enum cause cause;
	char code[QUEUE_CODE_SIZE];
	struct nats_refusal refusal; /* of JetStream: err_code 0 when none */
};

/* A message with headers ("Key: value" lines, NULL none). */
struct nats_send {
	const char *subject;
	const char *data;
	size_t len;
	const char *const *headers; /* key, value, key, value …; NULL-terminated
	                             */
};
/* Asks and waits for the one answer; `ret` stays valid until the next request.
 * -1 when the server refused (no permission, no responder, closed). */
int nats_session_ask(struct nats_session *nats, const struct nats_send *send,
    struct nats_call *call, const char **ret, size_t *ret_len,
    struct err *err) MUST_CHECK;
/* The same of the JetStream API, its answer read: `subject` without "$JS.API."
 * An error in the answer is in the call's refusal, with rc 0. */
int nats_api(struct nats_session *nats, const char *subject, const char *json,
    struct nats_call *call, cJSON **ret, struct err *err) MUST_CHECK;
/* The stream that would store what is published to `subject`; NULL: none. */
int nats_resolve(struct nats_session *nats, const char *subject,
    struct nats_call *call, struct arena *arena, const char **ret,
    struct err *err) MUST_CHECK;

/* --- of one queue ----------------------------------------------------------
 */

enum {
	NATS_SCRATCH_MAX = 4 * NATS_ANSWER_MAX /* of one message taken apart */
};

enum nats_missing {
	MISSING_NOTHING = 0,
	MISSING_STREAM,
	MISSING_CONSUMER,
	MISSING_SUBJECT /* is stored by no stream, or by another */
};

struct nats_queue {
	struct nats_session *session;
	const char *stream, *consumer, *subject, *account; /* NULL: not given */
	const char *monitor;                               /* URL, or NULL */
	const char *dead; /* the stream of dead letters, or NULL */
	/* since when nobody was seen to wait for messages, in how many looks;
	 * the handle is kept from one observation to the next */
	int64_t idle_since_ms;
	int idle_looks;
	enum nats_missing missing; /* as the last observation found */
};

/* As nats_api, with the queue's deadline: a refusal is an error, its code the
 * err_code. `doing` begins the text. */
int nats_ask(struct queue *queue, const char *doing, const char *subject,
    const char *json, cJSON **ret, struct err *err) MUST_CHECK;
/* Whether the last failure was this refusal of JetStream. */
bool nats_refused(const struct queue *queue, int err_code);

int nats_get_stream(struct queue *queue, const char *name, struct arena *arena,
    struct nats_stream *ret, struct err *err) MUST_CHECK;
/* The declared one, or the only one of its stream; `ret` NULL: there is none.
 */
int nats_get_consumer(struct queue *queue, struct arena *arena,
    const struct nats_consumer **ret, struct err *err) MUST_CHECK;
struct nats_place {
	const char *stream;
	int64_t seq;
	/* NULL: this sequence; else the first message from there on whose
	 * subject the filter takes ("": any) */
	const char *filter;
};
/* `ret` with sequence 0: there is none. */
int nats_get_message(struct queue *queue, const struct nats_place *place,
    struct arena *arena, struct nats_message *ret, struct err *err) MUST_CHECK;
/* The stream that stores a subject, with the queue's deadline. */
int nats_stored_by(struct queue *queue, const char *subject,
    struct arena *arena, const char **ret, struct err *err) MUST_CHECK;
/* Messages up to this sequence that are still there were given up (0: none can
 * be told). */
int64_t nats_given_up(
    const struct nats_stream *stream, const struct nats_consumer *consumer);

int nats_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err);
int nats_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err);

/* By the monitoring port: numbers where the API isn't permitted; the clock and
 * who is connected where it is. */
int nats_monitor_read(struct queue *queue, struct arena *arena,
    const char *path, cJSON **ret, struct err *err) MUST_CHECK;

int nats_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int nats_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int nats_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);
int nats_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int nats_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
