/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/kafka_session.h"
#include "probes/stream.h"

enum {
	KAFKA_PORT = 9092,
	BROKERS_MAX = 32,
	REASON_SIZE = 256,
	SLICE_MS = 100
};

struct kafka_session {
	rd_kafka_t *rk; /* a consumer that never subscribes */
	struct url url;
	const char *brokers;
	char reason[REASON_SIZE]; /* what a broker's thread had to say last */
	rd_kafka_resp_err_t trouble;
	char address[STREAM_ADDRESS_SIZE];
};

rd_kafka_t *
kafka_handle(const struct queue *queue)
{
	const struct kafka_queue *kafka = queue->state;

	return kafka->session->rk;
}

int
kafka_left_ms(const struct queue *queue)
{
	return (int)MIN(MAX(queue_remaining_ms(queue), 1), (int64_t)INT_MAX);
}

static enum cause
cause_of(rd_kafka_resp_err_t code)
{
	static const struct {
		rd_kafka_resp_err_t code;
		enum cause cause;
	} causes[] = {
	    {RD_KAFKA_RESP_ERR__AUTHENTICATION, CAUSE_AUTH},
	    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, CAUSE_AUTH},
	    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, CAUSE_PERMISSION},
	    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, CAUSE_PERMISSION},
	    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, CAUSE_PERMISSION},
	    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, CAUSE_NOT_FOUND},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, CAUSE_NOT_FOUND},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, CAUSE_NOT_FOUND},
	    {RD_KAFKA_RESP_ERR__TIMED_OUT, CAUSE_SILENT},
	    {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, CAUSE_SILENT},
	    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, CAUSE_SILENT},
	    {RD_KAFKA_RESP_ERR__SSL, CAUSE_TLS},
	};

	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (causes[i].code == code)
			return causes[i].cause;
	return CAUSE_UNAVAILABLE;
}

/* The threads of the brokers say by this why a call will only time out. */
static void
on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_session *session = opaque;

	(void)rk;
	/* that all are down is said after why each of them is */
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		return;
	session->trouble = (rd_kafka_resp_err_t)code;
	(void)snprintf(session->reason, sizeof(session->reason), "%s", reason);
}

/* Nothing is logged: what a call had to say, it says. */
static void
on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk, (void)level, (void)facility, (void)text;
}

int
kafka_failed(struct queue *queue, rd_kafka_resp_err_t code, const char *doing,
    struct err *err)
{
	const struct kafka_queue *kafka = queue->state;
	const struct kafka_session *session = kafka->session;
	bool late = code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
	            code == RD_KAFKA_RESP_ERR__TRANSPORT;

	(void)rd_kafka_poll(session->rk, 0); /* calls on_error */
	bool told = late && session->trouble != RD_KAFKA_RESP_ERR_NO_ERROR;

	if (told)
		code = session->trouble;
	return queue_trouble(queue, cause_of(code), rd_kafka_err2name(code),
	    err, cause_of(code) == CAUSE_SILENT ? ERR_TIMEOUT : ERR_REFUSED,
	    "%s: %s", doing, told ? session->reason : rd_kafka_err2str(code));
}

/* What became of the one message of a producer. */
struct delivery {
	bool over;
	rd_kafka_resp_err_t code;
	int32_t partition;
	int64_t offset;
};

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct delivery *delivery = message->_private;

	(void)rk, (void)opaque;
	delivery->over = true;
	delivery->code = message->err;
	delivery->partition = message->partition;
	delivery->offset = message->offset;
}

/* --- opening -------------------------------------------------------------- */

struct setting {
	const char *key, *value; /* NULL: left alone */
};

static int
configure(struct kafka_session *session, const struct setting *settings,
    size_t count, bool producer, rd_kafka_conf_t **ret, struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[REASON_SIZE];

	for (size_t i = 0; i < count; i++) {
		if (settings[i].value == NULL ||
		    rd_kafka_conf_set(conf, settings[i].key, settings[i].value,
		        why, sizeof(why)) == RD_KAFKA_CONF_OK)
			continue;
		rd_kafka_conf_destroy(conf);
		/* its text names the value, which may be a password */
		return err_set(
		    err, ERR_INPUT, "librdkafka refuses '%s'", settings[i].key);
	}
	rd_kafka_conf_set_opaque(conf, session);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	if (producer)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	*ret = conf;
	return 0;
}

/* What consumer and producer have in common, and `more`, to a key of NULL. */
static int
make_handle(struct queue *queue, struct kafka_session *session,
    rd_kafka_type_t type, const struct setting *more, rd_kafka_t **ret,
    struct err *err)
{
	bool producer = type == RD_KAFKA_PRODUCER;
	const struct url *url = &session->url;
	bool tls = text_equal(url->scheme, "tls");
	bool login = url->user != NULL && url->user[0] != '\0';
	const char *mechanism = url_query(url, "mechanism");
	const struct setting common[] = {
	    {"bootstrap.servers", session->brokers},
	    {"client.id", "reeve"},
	    {"security.protocol", tls     ? login ? "SASL_SSL" : "SSL"
	                          : login ? "SASL_PLAINTEXT"
	                                  : "PLAINTEXT"},
	    {"sasl.mechanism", !login              ? NULL
	                       : mechanism != NULL ? mechanism
	                                           : "PLAIN"},
	    {"sasl.username", login ? url->user : NULL},
	    {"sasl.password",
	        login && url->password != NULL ? url->password : NULL},
	    {"ssl.ca.location", url_query(url, "tls.ca")},
	};
	struct setting all[ARRAY_LEN(common) + 16];
	rd_kafka_conf_t *conf = NULL;
	char why[REASON_SIZE];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		all[count++] = common[i];
	for (; more->key != NULL; more++) {
		assert(count < ARRAY_LEN(all));
		all[count++] = *more;
	}
	if (configure(session, all, count, producer, &conf, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	*ret = rd_kafka_new(type, conf, why, sizeof(why));
	if (*ret != NULL)
		return 0;
	rd_kafka_conf_destroy(conf);
	return queue_trouble(
	    queue, CAUSE_URL, "", err, ERR_INPUT, "librdkafka: %.200s", why);
}

/* Our own rungs to the first broker that can be reached; librdkafka would wait
 * for the end of its time without a word. */
static int
reach(struct kafka_session *session, struct ladder *ladder)
{
	struct ladder trial = *ladder;
	char *rest = arena_text(ladder->arena, session->brokers);
	int rc = -1;

	for (int i = 0; rc == -1 && rest != NULL && i < BROKERS_MAX; i++) {
		char *broker = rest;
		struct stream *stream = NULL;
		struct url url;
		struct err err = ERR_INIT;

		rest = strchr(rest, ',');
		if (rest != NULL)
			*rest++ = '\0';
		trial = *ladder;
		if (url_parse(ladder->arena,
		        arena_format(ladder->arena, "kafka://%s", broker), &url,
		        &err) == -1) {
			ladder_begin(&trial, STEP_DNS, "");
			(void)ladder_fail(
			    &trial, CAUSE_URL, "", "%s", err.text);
			continue;
		}
		const struct endpoint endpoint = {.host = url.host,
		    .port = url.port == -1 ? KAFKA_PORT : url.port};

		rc = stream_open(&endpoint, &trial, &stream);
		if (rc == 0)
			(void)snprintf(session->address,
			    sizeof(session->address), "%s",
			    stream_address(stream));
		stream_close(stream);
	}
	*ladder = trial;
	return rc;
}

static const char *
brokers_of(struct arena *arena, const struct url *url)
{
	if (strchr(url->host, ',') != NULL)
		return url->host;
	return arena_format(arena,
	    strchr(url->host, ':') != NULL ? "[%s]:%d" : "%s:%d", url->host,
	    url->port == -1 ? KAFKA_PORT : url->port);
}

/* The first question, which logs in. */
static int
greet(struct queue *queue, struct err *err)
{
	const struct rd_kafka_metadata *metadata = NULL;
	struct ladder *ladder = &queue->ladder;

	ladder_begin(ladder, STEP_PROTOCOL, "ask for the brokers");
	rd_kafka_resp_err_t code = rd_kafka_metadata(
	    kafka_handle(queue), 0, NULL, &metadata, kafka_left_ms(queue));

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		(void)kafka_failed(queue, code, "ask for the brokers", err);
		return ladder_fail(
		    ladder, queue->cause, queue->code, "%s", err->text);
	}
	ladder_pass(ladder, "%d brokers", metadata->broker_cnt);
	rd_kafka_metadata_destroy(metadata);
	return 0;
}

int
kafka_session_open(
    struct queue *queue, struct kafka_session **ret, struct err *err)
{
	const struct kafka_queue *kafka = queue->state;
	/* small fetches: a look wants a few messages, not a stream of them */
	const struct setting settings[] = {{"group.id", kafka->group},
	    {"enable.auto.commit", "false"},
	    {"enable.auto.offset.store", "false"},
	    {"allow.auto.create.topics", "false"},
	    {"auto.offset.reset", "earliest"}, {"enable.partition.eof", "true"},
	    {"queued.min.messages", "1000"},
	    {"queued.max.messages.kbytes", "4096"},
	    {"fetch.message.max.bytes", "65536"}, {"fetch.wait.max.ms", "100"},
	    {NULL, NULL}};
	struct kafka_session *session =
	    arena_alloc(&queue->arena, sizeof(*session));

	*ret = session;
	if (url_parse(&queue->arena, queue->spec.url, &session->url, err) ==
	    -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	session->brokers = brokers_of(&queue->arena, &session->url);
	if (reach(session, &queue->ladder) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	if (make_handle(queue, session, RD_KAFKA_CONSUMER, settings,
	        &session->rk, err) == -1)
		return -1;
	(void)rd_kafka_poll_set_consumer(session->rk);
	return greet(queue, err);
}

void
kafka_session_close(struct kafka_session *session)
{
	if (session == NULL || session->rk == NULL)
		return;
	/* waits for its threads; there is no group to be left */
	rd_kafka_destroy_flags(
	    session->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	session->rk = NULL;
}

const char *
kafka_session_address(const struct kafka_session *session)
{
	return session->address;
}

/* --- producing ------------------------------------------------------------ */

int
kafka_produce(struct queue *queue, const char *topic,
    const struct queue_submission *job, int32_t *ret_partition,
    int64_t *ret_offset, struct err *err)
{
	const struct kafka_queue *kafka = queue->state;
	char timeout[24];
	/* sent once: a second try could put it in twice */
	const struct setting settings[] = {{"acks", "all"},
	    {"message.send.max.retries", "0"}, {"message.timeout.ms", timeout},
	    {NULL, NULL}};
	struct delivery delivery = {.over = false};
	struct buffer payload; /* librdkafka's pointer isn't const */
	rd_kafka_t *rk = NULL;

	(void)snprintf(timeout, sizeof(timeout), "%d", kafka_left_ms(queue));
	if (make_handle(queue, kafka->session, RD_KAFKA_PRODUCER, settings, &rk,
	        err) == -1)
		return -1;
	buffer_init(&payload, QUEUE_PAYLOAD_MAX);
	buffer_append(&payload, job->payload, job->len);
	rd_kafka_topic_t *to = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (payload.overflow)
		code = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
	else if (to == NULL ||
	         rd_kafka_produce(to, RD_KAFKA_PARTITION_UA,
	             RD_KAFKA_MSG_F_COPY, payload.data, payload.len,
	             job->canary, strlen(job->canary), &delivery) == -1)
		code = rd_kafka_last_error();

	while (code == RD_KAFKA_RESP_ERR_NO_ERROR && !delivery.over &&
	       queue_remaining_ms(queue) > 0)
		(void)rd_kafka_poll(
		    rk, MIN(kafka_left_ms(queue), (int)SLICE_MS));
	/* what wasn't sent by now never is */
	(void)rd_kafka_purge(
	    rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	(void)rd_kafka_poll(rk, 0);
	if (to != NULL)
		rd_kafka_topic_destroy(to);
	rd_kafka_destroy(rk);
	buffer_wipe(&payload);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = delivery.over ? delivery.code
		                     : RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_failed(queue, code, "produce a message", err);
	*ret_partition = delivery.partition;
	*ret_offset = delivery.offset;
	return 0;
}
