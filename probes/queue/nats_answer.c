/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/queue/nats_answer.h"
#include "probes/queue/timestamp.h"

enum {
	WANTED_MAX = 64 << 10
};
static const int64_t NS_PER_MS = 1000000;

cJSON *
nats_answer_read(
    const char *text, size_t len, struct nats_refusal *ret, struct err *err)
{
	CLEANUP(json_free) cJSON *json = json_read(text, len, err);
	const cJSON *error = NULL;
	struct nats_refusal refusal = {0};
	const char *description = NULL;

	if (json == NULL)
		return NULL;
	if (!cJSON_IsObject(json)) {
		(void)err_set(err, ERR_INPUT, "the answer is no object");
		return NULL;
	}
	if (json_object(json, "error", &error, err) == -1)
		return NULL;
	if (error != NULL) {
		/* before 2.8 there was no err_code */
		if (json_i64(error, "code", -1, &refusal.code, err) == -1 ||
		    json_i64(error, "err_code", -1, &refusal.err_code, err) ==
		        -1 ||
		    json_text(error, "description", "it says no more",
		        &description, err) == -1)
			return NULL;
		(void)snprintf(refusal.description, sizeof(refusal.description),
		    "%s", description);
	}
	*ret = refusal;
	cJSON *answer = json;

	json = NULL;
	return answer;
}

const char *
nats_wanted(struct arena *arena, int64_t seq, const char *key, const char *text)
{
	struct buffer out;
	struct jsonw json;

	buffer_init(&out, WANTED_MAX);
	jsonw_init(&json, &out, false);
	jsonw_object(&json, NULL);
	if (seq >= 0)
		jsonw_i64(&json, "seq", seq);
	if (key != NULL)
		jsonw_text(&json, key, text);
	jsonw_end(&json);
	const char *ret = arena_bytes(arena, out.data, out.len);

	buffer_fini(&out);
	return ret;
}

/* --- small readers ---------------------------------------------------------
 */

static int
number(const cJSON *object, const char *key, int64_t *ret, struct err *err)
{
	*ret = -1;
	return object == NULL ? 0 : json_i64(object, key, -1, ret, err);
}

/* A time as text, to unix ms; -1 when there is none. */
static int
moment(const cJSON *object, const char *key, int64_t *ret_ms, struct err *err)
{
	const char *text = NULL;

	*ret_ms = -1;
	if (object == NULL)
		return 0;
	if (json_text(object, key, "", &text, err) == -1)
		return -1;
	if (text[0] != '\0' && timestamp_parse(text, ret_ms) == -1)
		return err_set(
		    err, ERR_INPUT, "'%s' is no time: '%.40s'", key, text);
	return 0;
}

int
nats_names_of(struct arena *arena, const cJSON *object, const char *key,
    struct nats_names *ret, struct err *err)
{
	const cJSON *array = NULL;
	const cJSON *item = NULL;
	size_t count = 0;

	if (json_array(object, key, &array, err) == -1)
		return -1;
	cJSON_ArrayForEach(item, array) count++;
	if (count > NATS_NAMES_MAX)
		return err_set(err, ERR_CAPACITY,
		    "more than %d %s in one answer", NATS_NAMES_MAX, key);
	const char **names = arena_array(arena, count + 1, sizeof(*names));

	count = 0;
	cJSON_ArrayForEach(item, array)
	{
		const char *name = NULL;

		if (json_item_text(item, &name, err) == -1)
			return -1;
		names[count++] = arena_text(arena, name);
	}
	*ret = (struct nats_names){.names = names, .count = count};
	return 0;
}

/* --- streams and consumers -------------------------------------------------
 */

static int
stream_limits_of(struct arena *arena, const cJSON *config,
    struct nats_stream *ret, struct err *err)
{
	const char *discard = NULL;
	int64_t max_age_ns = -1;

	if (json_copy(arena, config, "discard", &discard, err) == -1 ||
	    number(config, "max_msgs", &ret->max_messages, err) == -1 ||
	    number(config, "max_bytes", &ret->max_bytes, err) == -1 ||
	    number(config, "max_age", &max_age_ns, err) == -1)
		return -1;
	ret->refuses_new = text_equal(discard, "new");
	ret->max_age_ms = max_age_ns > 0 ? max_age_ns / NS_PER_MS : -1;
	return 0;
}

int
nats_stream_of(struct arena *arena, const cJSON *info, struct nats_stream *ret,
    struct err *err)
{
	struct nats_stream stream = {0};
	const cJSON *config = NULL;
	const cJSON *state = NULL;

	if (json_object(info, "config", &config, err) == -1 ||
	    json_object(info, "state", &state, err) == -1)
		return -1;
	if (config == NULL || state == NULL)
		return err_set(err, ERR_INPUT, "a stream without '%s'",
		    config == NULL ? "config" : "state");
	if (json_copy(arena, config, "name", &stream.name, err) == -1 ||
	    json_copy(arena, config, "retention", &stream.retention, err) ==
	        -1 ||
	    stream_limits_of(arena, config, &stream, err) == -1 ||
	    number(state, "bytes", &stream.bytes, err) == -1 ||
	    nats_names_of(arena, config, "subjects", &stream.subjects, err) ==
	        -1 ||
	    number(state, "messages", &stream.messages, err) == -1 ||
	    number(state, "first_seq", &stream.first_seq, err) == -1 ||
	    number(state, "last_seq", &stream.last_seq, err) == -1 ||
	    number(state, "consumer_count", &stream.consumers, err) == -1)
		return -1;
	if (stream.messages < 0 || stream.last_seq < 0)
		return err_set(err, ERR_INPUT, "a stream without its counts");
	*ret = stream;
	return 0;
}

static int
consumer_config_of(struct arena *arena, const cJSON *config,
    struct nats_consumer *ret, struct err *err)
{
	const char *policy = NULL;
	int64_t ack_wait_ns = -1;

	if (json_copy(arena, config, "filter_subject", &ret->filter, err) ==
	        -1 ||
	    json_copy(arena, config, "deliver_subject", &ret->deliver, err) ==
	        -1 ||
	    json_copy(arena, config, "ack_policy", &policy, err) == -1 ||
	    number(config, "ack_wait", &ack_wait_ns, err) == -1 ||
	    number(config, "max_deliver", &ret->max_deliver, err) == -1 ||
	    number(config, "max_ack_pending", &ret->max_ack_pending, err) == -1)
		return -1;
	ret->acks = !text_equal(policy, "none");
	ret->ack_wait_ms = ack_wait_ns < 0 ? -1 : ack_wait_ns / NS_PER_MS;
	return 0;
}

int
nats_consumer_of(struct arena *arena, const cJSON *info,
    struct nats_consumer *ret, struct err *err)
{
	struct nats_consumer consumer = {0};
	const cJSON *config = NULL;
	const cJSON *delivered = NULL;
	const cJSON *floor = NULL;

	if (json_object(info, "config", &config, err) == -1 ||
	    json_object(info, "delivered", &delivered, err) == -1 ||
	    json_object(info, "ack_floor", &floor, err) == -1 ||
	    consumer_config_of(arena, config, &consumer, err) == -1 ||
	    json_copy(arena, info, "name", &consumer.name, err) == -1 ||
	    json_bool(info, "push_bound", false, &consumer.push_bound, err) ==
	        -1 ||
	    json_bool(info, "paused", false, &consumer.paused, err) == -1 ||
	    number(info, "num_pending", &consumer.pending, err) == -1 ||
	    number(info, "num_ack_pending", &consumer.ack_pending, err) == -1 ||
	    number(info, "num_redelivered", &consumer.redelivered, err) == -1 ||
	    number(info, "num_waiting", &consumer.waiting, err) == -1 ||
	    number(delivered, "stream_seq", &consumer.delivered, err) == -1 ||
	    number(floor, "stream_seq", &consumer.ack_floor, err) == -1 ||
	    moment(info, "ts", &consumer.now_ms, err) == -1 ||
	    moment(info, "created", &consumer.created_ms, err) == -1)
		return -1;
	if (consumer.pending < 0 || consumer.ack_pending < 0)
		return err_set(err, ERR_INPUT, "a consumer without its counts");
	*ret = consumer;
	return 0;
}

int64_t
nats_dead(
    const struct nats_stream *stream, const struct nats_consumer *consumer)
{
	/* a filter leaves messages that are another consumer's, or nobody's */
	if (!text_equal(stream->retention, "workqueue") ||
	    stream->consumers > 1 || !consumer->acks ||
	    (consumer->filter[0] != '\0' &&
	        !(stream->subjects.count == 1 &&
	            text_equal(stream->subjects.names[0], consumer->filter))))
		return -1;
	int64_t left =
	    stream->messages - consumer->pending - consumer->ack_pending;

	return MAX(left, 0); /* two answers, a moment apart */
}

bool
nats_subject_matches(const char *filter, const char *subject)
{
	for (;;) {
		size_t f = strcspn(filter, ".");
		size_t s = strcspn(subject, ".");

		if (f == 1 && filter[0] == '>' && filter[1] == '\0')
			return subject[0] != '\0';
		if (!(f == 1 && filter[0] == '*') &&
		    (f != s || memcmp(filter, subject, f) != 0))
			return false;
		if (filter[f] == '\0' || subject[s] == '\0')
			return filter[f] == subject[s];
		filter += f + 1;
		subject += s + 1;
	}
}

/* --- messages --------------------------------------------------------------
 */

/* What a key holds in base64, with a NUL behind it. */
static int
decoded(struct arena *arena, const cJSON *object, const char *key,
    const char **ret, size_t *ret_len, struct err *err)
{
	const char *text = NULL;

	if (json_text(object, key, "", &text, err) == -1)
		return -1;
	size_t len = strlen(text);

	if (len % 4 != 0 || len > NATS_ANSWER_MAX)
		return err_set(err, ERR_INPUT, "'%s' is no base64", key);
	unsigned char *bytes = arena_alloc(arena, len / 4 * 3 + 1);
	int got = len == 0 ? 0
	                   : EVP_DecodeBlock(
	                         bytes, (const unsigned char *)text, (int)len);

	if (got < 0)
		return err_set(err, ERR_INPUT, "'%s' is no base64", key);
	size_t used = (size_t)got;

	/* EVP_DecodeBlock counts the padding */
	for (size_t i = 0;
	     i < 2 && used > 0 && len > i && text[len - 1 - i] == '='; i++)
		used--;
	bytes[used] = '\0';
	*ret = (const char *)bytes;
	*ret_len = used;
	return 0;
}

int
nats_message_of(struct arena *arena, const cJSON *answer,
    struct nats_message *ret, struct err *err)
{
	struct nats_message message = {0};
	const cJSON *object = NULL;
	size_t headers_len = 0;

	if (json_object(answer, "message", &object, err) == -1)
		return -1;
	if (object == NULL)
		return err_set(err, ERR_INPUT, "an answer without a message");
	if (json_copy(arena, object, "subject", &message.subject, err) == -1 ||
	    number(object, "seq", &message.seq, err) == -1 ||
	    moment(object, "time", &message.time_ms, err) == -1 ||
	    decoded(arena, object, "data", &message.data, &message.len, err) ==
	        -1 ||
	    decoded(arena, object, "hdrs", &message.headers, &headers_len,
	        err) == -1)
		return -1;
	if (message.seq < 1)
		return err_set(err, ERR_INPUT, "a message without a sequence");
	*ret = message;
	return 0;
}

int
nats_stored_of(struct arena *arena, const cJSON *answer,
    const char **ret_stream, int64_t *ret_seq, bool *ret_duplicate,
    struct err *err)
{
	const char *stream = NULL;
	int64_t seq = -1;
	bool duplicate = false;

	if (json_copy(arena, answer, "stream", &stream, err) == -1 ||
	    number(answer, "seq", &seq, err) == -1 ||
	    json_bool(answer, "duplicate", false, &duplicate, err) == -1)
		return -1;
	if (stream[0] == '\0' || seq < 1)
		return err_set(err, ERR_INPUT,
		    "what was published is answered, but not by a stream");
	*ret_stream = stream;
	*ret_seq = seq;
	*ret_duplicate = duplicate;
	return 0;
}

/* --- the monitoring port ---------------------------------------------------
 */

static const cJSON *
member(const cJSON *array, const char *name)
{
	const cJSON *item = NULL;
	const char *is = NULL;

	cJSON_ArrayForEach(item, array)
	{
		if (cJSON_IsObject(item) &&
		    json_text(item, "name", "", &is, NULL) == 0 &&
		    (name == NULL || text_equal(is, name)))
			return item;
	}
	return NULL;
}

static const cJSON *
children(const cJSON *object, const char *key)
{
	const cJSON *array = NULL;

	return json_array(object, key, &array, NULL) == 0 ? array : NULL;
}

const cJSON *
nats_monitored(const cJSON *jsz, const char *account, const char *stream,
    const char *consumer, const char **ret_account)
{
	const cJSON *one = NULL;

	cJSON_ArrayForEach(one, children(jsz, "account_details"))
	{
		const char *name = NULL;

		if (!cJSON_IsObject(one) ||
		    json_text(one, "name", "", &name, NULL) == -1 ||
		    (account != NULL && !text_equal(account, name)))
			continue;
		const cJSON *found =
		    member(children(one, "stream_detail"), stream);

		if (found != NULL && consumer != NULL)
			found = member(
			    children(found, "consumer_detail"), consumer);
		if (found != NULL) {
			*ret_account = name;
			return found;
		}
	}
	return NULL;
}
