/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/http.h"
#include "probes/queue/drivers.h"
#include "probes/queue/nats.h"

enum {
	MONITOR_BYTES_MAX = 2 << 20 /* of the monitoring port's ladder */
};

/* --- questions -------------------------------------------------------------
 */

static int
call_failed(struct queue *queue, const struct nats_call *call,
    const char *doing, struct err *err)
{
	queue->cause = call->cause;
	(void)snprintf(queue->code, sizeof(queue->code), "%s", call->code);
	return err_wrap(err, "%s", doing);
}

int
nats_ask(struct queue *queue, const char *doing, const char *subject,
    const char *json, cJSON **ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	struct nats_call call = {.deadline_ms = queue->deadline_ms};
	const struct nats_refusal *refusal = &call.refusal;
	cJSON *answer = NULL;
	char code[QUEUE_CODE_SIZE];

	if (nats_api(nats->session, subject, json, &call, &answer, err) == -1)
		return call_failed(queue, &call, doing, err);
	if (refusal->err_code == 0) {
		*ret = answer;
		return 0;
	}
	cJSON_Delete(answer);
	(void)snprintf(code, sizeof(code), "%" PRId64, refusal->err_code);
	return queue_trouble(queue,
	    refusal->code == 404 || refusal->err_code == NATS_NOT_ENABLED ||
	            refusal->err_code == NATS_NOT_ENABLED_HERE
	        ? CAUSE_NOT_FOUND
	        : CAUSE_MISMATCH,
	    code, err, ERR_REFUSED, "%s: %s (%s)", doing, refusal->description,
	    code);
}

int
nats_stored_by(struct queue *queue, const char *subject, struct arena *arena,
    const char **ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	struct nats_call call = {.deadline_ms = queue->deadline_ms};

	if (nats_resolve(nats->session, subject, &call, arena, ret, err) == -1)
		return call_failed(
		    queue, &call, "which stream stores the subject", err);
	return 0;
}

bool
nats_refused(const struct queue *queue, int err_code)
{
	return strtol(queue->code, NULL, 10) == err_code;
}

static int
unreadable(struct queue *queue, const char *doing, struct err *err)
{
	queue->cause = CAUSE_WRONG_TYPE;
	queue->code[0] = '\0';
	return err_wrap(err, "%s", doing);
}

int
nats_get_stream(struct queue *queue, const char *name, struct arena *arena,
    struct nats_stream *ret, struct err *err)
{
	static const char doing[] = "look at the stream";
	CLEANUP(json_free) cJSON *answer = NULL;

	if (nats_ask(queue, doing, arena_format(arena, "STREAM.INFO.%s", name),
	        "", &answer, err) == -1)
		return -1;
	if (nats_stream_of(arena, answer, ret, err) == -1)
		return unreadable(queue, doing, err);
	return 0;
}

/* A stream that has one consumer needs no name for it. */
static int
only_consumer(struct queue *queue, struct arena *arena, const char **ret,
    size_t *ret_count, struct err *err)
{
	static const char doing[] = "list the stream's consumers";
	const struct nats_queue *nats = queue->state;
	CLEANUP(json_free) cJSON *answer = NULL;
	struct nats_names names = {0};

	if (nats_ask(queue, doing,
	        arena_format(arena, "CONSUMER.NAMES.%s", nats->stream), "",
	        &answer, err) == -1)
		return -1;
	if (nats_names_of(arena, answer, "consumers", &names, err) == -1)
		return unreadable(queue, doing, err);
	*ret = names.count > 0 ? names.names[0] : NULL;
	*ret_count = names.count;
	return 0;
}

int
nats_get_consumer(struct queue *queue, struct arena *arena,
    const struct nats_consumer **ret, struct err *err)
{
	static const char doing[] = "look at the consumer";
	const struct nats_queue *nats = queue->state;
	const char *name = nats->consumer;
	struct nats_consumer *consumer = arena_alloc(arena, sizeof(*consumer));
	CLEANUP(json_free) cJSON *answer = NULL;
	size_t count = 1;

	if (name == NULL &&
	    only_consumer(queue, arena, &name, &count, err) == -1)
		return -1;
	*ret = NULL;
	if (count == 0)
		return 0;
	if (count > 1)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "stream '%s' has %zu consumers: name one of them with "
		    "'consumer'",
		    nats->stream, count);
	/* a name out of an answer goes into a subject as little as one of ours
	 * would if it held a dot */
	if (strpbrk(name, ". *>\t\r\n") != NULL)
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
		    ERR_INPUT, "'%.60s' is no consumer's name", name);
	if (nats_ask(queue, doing,
	        arena_format(arena, "CONSUMER.INFO.%s.%s", nats->stream, name),
	        "", &answer, err) == -1)
		return -1;
	if (nats_consumer_of(arena, answer, consumer, err) == -1)
		return unreadable(queue, doing, err);
	*ret = consumer;
	return 0;
}

int
nats_get_message(struct queue *queue, const struct nats_place *place,
    struct arena *arena, struct nats_message *ret, struct err *err)
{
	static const char doing[] = "look at a message";
	CLEANUP(json_free) cJSON *answer = NULL;

	*ret = (struct nats_message){0};
	if (nats_ask(queue, doing,
	        arena_format(arena, "STREAM.MSG.GET.%s", place->stream),
	        nats_wanted(arena, MAX(place->seq, 1),
	            place->filter != NULL ? "next_by_subj" : NULL,
	            text_equal(place->filter, "") ? ">" : place->filter),
	        &answer, err) == -1)
		return nats_refused(queue, NATS_NO_MESSAGE) ? 0 : -1;
	if (nats_message_of(arena, answer, ret, err) == -1)
		return unreadable(queue, doing, err);
	return 0;
}

int64_t
nats_given_up(
    const struct nats_stream *stream, const struct nats_consumer *consumer)
{
	if (consumer == NULL || nats_dead(stream, consumer) < 0)
		return 0;
	/* which of those after the floor are in hand isn't told */
	return consumer->ack_pending == 0 ? consumer->delivered
	                                  : consumer->ack_floor;
}

int
nats_monitor_read(struct queue *queue, struct arena *arena, const char *path,
    cJSON **ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const char *base = nats->monitor;
	size_t len = strlen(base);
	struct ladder ladder;
	struct http_answer answer;
	struct http_request request = {.method = "GET"};

	while (len > 0 && base[len - 1] == '/')
		len--;
	request.url = arena_format(arena, "%.*s%s", (int)len, base, path);
	ladder_init(&ladder, arena, queue->deadline_ms);
	int rc = http_perform(&request, &ladder, &answer);

	if (rc == -1)
		(void)err_set(
		    err, ERR_SYSTEM, "monitoring port: %s", ladder.summary);
	else if (answer.status != 200)
		rc = err_set(err, ERR_REFUSED,
		    "monitoring port: HTTP %ld for %s", answer.status, path);
	else if (answer.body.overflow)
		rc = err_set(err, ERR_CAPACITY,
		    "monitoring port: more than 1 MiB for %s", path);
	else {
		buffer_append(&answer.body, "", 1);
		*ret = answer.body.overflow ? NULL
		                            : json_read(answer.body.data,
		                                  answer.body.len - 1, err);
		rc = *ret == NULL ? err_wrap(err, "monitoring port") : 0;
	}
	http_answer_fini(&answer);
	return rc;
}

/* --- the handle ------------------------------------------------------------
 */

/* Names are tokens of the API's subjects. */
static int
check_name(
    struct queue *queue, const char *key, const char *value, struct err *err)
{
	if (value == NULL ||
	    (value[0] != '\0' && strpbrk(value, ". *>/\\\t\r\n") == NULL))
		return 0;
	return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
	    "'%s' is the name of a stream or a consumer, which holds no dot, "
	    "space, '*' or '>': '%.60s'",
	    key, value);
}

static int
read_keys(struct queue *queue, struct nats_queue *nats, struct err *err)
{
	const char *dlq = queue_option(queue, "dlq");

	nats->stream = queue->name;
	nats->consumer = queue_option(queue, "consumer");
	nats->subject = queue_option(queue, "subject");
	nats->account = queue_option(queue, "account");
	nats->monitor = queue_option(queue, "monitor");
	nats->dead = dlq != NULL ? dlq : queue_option(queue, "deadLetter");
	if (check_name(queue, "stream", nats->stream, err) == -1 ||
	    check_name(queue, "consumer", nats->consumer, err) == -1 ||
	    check_name(queue, "deadLetter", nats->dead, err) == -1)
		return -1;
	if (nats->subject != NULL &&
	    (nats->subject[0] == '\0' ||
	        strpbrk(nats->subject, " *>\t\r\n") != NULL))
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'subject' is what a producer publishes to, without '*', "
		    "'>' and spaces: '%.60s'",
		    nats->subject);
	return 0;
}

static int
nats_open(struct queue *queue, struct err *err)
{
	struct nats_queue *nats = arena_alloc(&queue->arena, sizeof(*nats));

	if (read_keys(queue, nats, err) == -1)
		return -1;
	if (nats_session_open(queue->spec.url, queue_option(queue, "creds"),
	        &queue->ladder, &nats->session) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	queue->state = nats;
	queue->target = arena_format(&queue->arena, "%s stream %s%s%s",
	    nats_session_address(nats->session), nats->stream,
	    nats->consumer != NULL ? " consumer " : "",
	    nats->consumer != NULL ? nats->consumer : "");
	return 0;
}

static void
nats_close(struct queue *queue)
{
	struct nats_queue *nats = queue->state;

	nats_session_close(nats->session);
	nats->session = NULL;
}

static const char *const schemes[] = {"nats", "nats+nats", "nats+tls", NULL};
static const char *const keys[] = {"stream", "consumer", "subject", "account",
    "monitor", "creds", "dlq", "deadLetter", "test", "ts", "tz", "timeout",
    "budget", "pass", NULL};
static const char *const client_keys[] = {"tls.ca", NULL};

const struct queue_driver queue_nats = {
    .kind = "nats",
    .schemes = schemes,
    .name_key = "stream",
    .keys = keys,
    .client_keys = client_keys,
    .open = nats_open,
    .close = nats_close,
    .observe = nats_observe,
    .near = nats_near,
    .submit = nats_submit,
    .follow = nats_follow,
    .remove = nats_remove,
    .list = nats_list,
    .move = nats_move,
};
