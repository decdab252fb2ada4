/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/amqp_channel.h"
#include "probes/queue/digest.h"

/*
 * Messages that are taken with basic.get and given back with basic.nack, or
 * copied and then settled. The frames of their content are read here and not by
 * amqp_read_message(), which waits for ever.
 */
enum {
	HEADERS_MAX = 64,
	MS_PER_S = 1000
};

/* --- what a message says about itself --------------------------------------
 */

static bool
is_key(const amqp_table_entry_t *entry, const char *key)
{
	return entry->key.len == strlen(key) &&
	       memcmp(entry->key.bytes, key, entry->key.len) == 0;
}

static const amqp_field_value_t *
field(const amqp_table_t *table, const char *key)
{
	for (int i = 0; i < table->num_entries; i++) {
		if (is_key(&table->entries[i], key))
			return &table->entries[i].value;
	}
	return NULL;
}

static const char *
text_of(struct arena *arena, const amqp_field_value_t *value)
{
	if (value == NULL || (value->kind != AMQP_FIELD_KIND_UTF8 &&
	                         value->kind != AMQP_FIELD_KIND_BYTES))
		return "";
	return arena_bytes(arena,
	    value->value.bytes.bytes != NULL ? value->value.bytes.bytes : "",
	    value->value.bytes.len);
}

static int64_t
number_of(const amqp_field_value_t *value)
{
	if (value == NULL)
		return -1;
	if (value->kind == AMQP_FIELD_KIND_I64)
		return value->value.i64;
	return value->kind == AMQP_FIELD_KIND_I32 ? value->value.i32 : -1;
}

/* One row for each queue and reason for which it died: `count` times. */
static void
read_deaths(
    struct arena *arena, const amqp_table_t *headers, struct amqp_message *ret)
{
	const amqp_field_value_t *deaths = field(headers, "x-death");

	for (int i = 0;
	     deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY &&
	     i < deaths->value.array.num_entries;
	     i++) {
		const amqp_field_value_t *row = &deaths->value.array.entries[i];

		if (row->kind != AMQP_FIELD_KIND_TABLE)
			continue;
		const amqp_table_t *table = &row->value.table;
		const char *reason = text_of(arena, field(table, "reason"));
		int64_t times = number_of(field(table, "count"));

		if (text_equal(reason, "rejected"))
			ret->rejected =
			    MAX(ret->rejected, 0) +
			    MIN(MAX(times, (int64_t)1), (int64_t)INT32_MAX);
		else if (i == 0)
			ret->error = reason; /* expired, maxlen: no fault of
			                        the message itself */
	}
}

static void
read_headers(
    struct arena *arena, const amqp_table_t *headers, struct amqp_message *ret)
{
	/* as Spring, NServiceBus and MassTransit write them */
	static const char *const errors[] = {"x-exception-message",
	    "NServiceBus.ExceptionInfo.Message", "MT-Fault-Message"};

	read_deaths(arena, headers, ret);
	ret->origin = text_of(arena, field(headers, "x-first-death-queue"));
	ret->deliveries = number_of(field(headers, "x-delivery-count"));
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		const char *text = text_of(arena, field(headers, errors[i]));

		if (text[0] != '\0')
			ret->error = text;
	}
}

static void
describe(
    struct amqp_session *amqp, struct arena *arena, struct amqp_message *ret)
{
	const amqp_basic_properties_t *taken = amqp->taken;
	const struct buffer *body = &amqp->body;
	const char *bytes = body->len > 0 ? body->data : "";
	char digest[QUEUE_DIGEST_SIZE];

	if ((taken->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0 &&
	    taken->message_id.len > 0) {
		ret->id = arena_bytes(
		    arena, taken->message_id.bytes, taken->message_id.len);
	} else {
		queue_digest(bytes, body->len, digest);
		ret->id = arena_text(arena, digest);
	}
	if ((taken->_flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0 &&
	    taken->timestamp < (uint64_t)INT64_MAX / MS_PER_S)
		ret->since_ms = (int64_t)taken->timestamp * MS_PER_S;
	if ((taken->_flags & AMQP_BASIC_HEADERS_FLAG) != 0)
		read_headers(arena, &taken->headers, ret);
	ret->whole = (int64_t)body->len;
	ret->shown = MIN(body->len, (size_t)QUEUE_PEEK_MAX);
	ret->body = arena_bytes(arena, bytes, ret->shown);
}

/* --- taking ----------------------------------------------------------------
 */

/* A header frame, then the body's frames. */
static int
read_content(
    struct amqp_session *amqp, struct amqp_trouble *trouble, struct err *err)
{
	amqp_frame_t frame;

	if (amqp_next_frame(amqp, &frame, trouble, err) == -1)
		return -1;
	if (frame.frame_type != AMQP_FRAME_HEADER ||
	    frame.payload.properties.class_id != AMQP_BASIC_CLASS) {
		trouble->cause = CAUSE_WRONG_TYPE;
		return err_set(
		    err, ERR_REFUSED, "a message without its header");
	}
	uint64_t whole = frame.payload.properties.body_size;

	amqp->taken = frame.payload.properties.decoded;
	buffer_clear(&amqp->body);
	if (whole > AMQP_BODY_MAX) {
		trouble->cause = CAUSE_MISMATCH;
		return err_set(err, ERR_CAPACITY,
		    "a message of more than %d MiB", AMQP_BODY_MAX >> 20);
	}
	while (amqp->body.len < whole) {
		if (amqp_next_frame(amqp, &frame, trouble, err) == -1)
			return -1;
		const amqp_bytes_t part = frame.payload.body_fragment;

		if (frame.frame_type != AMQP_FRAME_BODY ||
		    part.len > whole - amqp->body.len) {
			trouble->cause = CAUSE_WRONG_TYPE;
			return err_set(
			    err, ERR_REFUSED, "a message that is cut");
		}
		buffer_append(&amqp->body, part.bytes, part.len);
		if (amqp->body.overflow)
			return err_set(err, ERR_SYSTEM, "out of memory");
	}
	return 0;
}

int
amqp_session_take(struct amqp_session *amqp, const char *queue,
    struct arena *arena, struct amqp_message *ret, struct amqp_trouble *trouble,
    struct err *err)
{
	*ret = (struct amqp_message){.error = "",
	    .origin = "",
	    .since_ms = -1,
	    .rejected = -1,
	    .deliveries = -1};
	if (amqp_channel(amqp, trouble, err) == -1)
		return -1;
	const amqp_rpc_reply_t reply = amqp_basic_get(
	    amqp->state, amqp->channel, amqp_cstring_bytes(queue), 0);

	if (amqp_checked(amqp, trouble, err) == -1)
		return -1;
	if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD)
		return 0;
	const amqp_basic_get_ok_t *ok = reply.reply.decoded;

	ret->tag = ok->delivery_tag;
	ret->behind = ok->message_count;
	if (read_content(amqp, trouble, err) == -1)
		return -1;
	describe(amqp, arena, ret);
	return 0;
}

int
amqp_session_release(struct amqp_session *amqp, const char *queue,
    struct amqp_trouble *trouble, struct err *err)
{
	struct amqp_depth depth = {0};

	/* 0, multiple: all of this channel */
	int status = amqp_basic_nack(amqp->state, amqp->channel, 0, true, true);

	if (status != AMQP_STATUS_OK) {
		trouble->cause = CAUSE_UNAVAILABLE;
		return err_set(
		    err, ERR_SYSTEM, "%s", amqp_error_string2(status));
	}
	/* one channel is worked through in order */
	return amqp_session_depth(amqp, queue, &depth, trouble, err);
}

int
amqp_session_settle(struct amqp_session *amqp, uint64_t tag, struct err *err)
{
	int status = amqp_basic_ack(amqp->state, amqp->channel, tag, false);

	return status == AMQP_STATUS_OK
	           ? 0
	           : err_set(err, ERR_SYSTEM, "%s", amqp_error_string2(status));
}

/* --- a copy ----------------------------------------------------------------
 */

/* What the broker wrote when it died, which would count on; and what would send
 * the copy to more queues than one. */
static bool
is_kept(const amqp_table_entry_t *entry)
{
	static const char *const left[] = {"x-death", "x-first-death-queue",
	    "x-first-death-reason", "x-first-death-exchange",
	    "x-last-death-queue", "x-last-death-reason",
	    "x-last-death-exchange", "x-delivery-count", "CC", "BCC"};

	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		if (is_key(entry, left[i]))
			return false;
	}
	return true;
}

/* -1: there are more than fit. */
static int
keep_headers(const amqp_table_t *headers, amqp_table_entry_t *dst)
{
	int count = 0;

	for (int i = 0; i < headers->num_entries; i++) {
		if (!is_kept(&headers->entries[i]))
			continue;
		if (count == HEADERS_MAX)
			return -1;
		dst[count++] = headers->entries[i];
	}
	return count;
}

int
amqp_session_copy(struct amqp_session *amqp, const char *queue,
    struct amqp_trouble *trouble, struct err *err)
{
	amqp_basic_properties_t properties = *amqp->taken;
	amqp_table_entry_t entries[HEADERS_MAX];

	if ((properties._flags & AMQP_BASIC_HEADERS_FLAG) != 0) {
		int count = keep_headers(&properties.headers, entries);

		if (count == -1) {
			trouble->cause = CAUSE_MISMATCH;
			(void)snprintf(
			    trouble->code, sizeof(trouble->code), "headers");
			return err_set(err, ERR_CAPACITY,
			    "a message of more than %d headers", HEADERS_MAX);
		}
		properties.headers.entries = entries;
		properties.headers.num_entries = count;
	}
	/* the broker compares it with who publishes; and who died of its time
	 * to live would again */
	properties._flags &= ~(
	    amqp_flags_t)(AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_EXPIRATION_FLAG);
	return amqp_confirmed_publish(
	    amqp, queue, &properties, &amqp->body, trouble, err);
}
