/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/sqs.h"

/*
 * Dead letters of SQS, in the queue that the RedrivePolicy names. A letter that
 * was received is hidden for as long as the call may last, so that whatever
 * becomes of reeve it is visible again. SQS' own redrive (StartMessageMoveTask)
 * moves all of them or none. Source: the SQS API reference, ReceiveMessage,
 * SendMessage.
 */
enum {
	MESSAGE_MAX = 8 << 20, /* 1 MiB, as JSON escapes it */
	MS_PER_S = 1000,
	HIDDEN_MIN_S = 5
};

static int
find(struct queue *queue, struct arena *arena, const char **ret_from,
    int64_t *ret_about, struct err *err)
{
	const struct sqs *sqs = queue->state;
	struct cloud_reply reply;
	int64_t limit = 0;

	if (sqs_find_url(queue, err) == -1 ||
	    sqs_attributes(queue, arena, sqs->queue_url, &reply, err) == -1)
		return -1;
	int rc = sqs_dead_queue(queue, arena,
	    cJSON_GetObjectItemCaseSensitive(reply.json, "Attributes"),
	    ret_from, &limit, err);

	cloud_reply_fini(&reply);
	if (rc == -1)
		return -1;
	if (*ret_from == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "queue '%s' has no RedrivePolicy: what fails there comes "
		    "again until its retention is over",
		    queue->name);
	if (sqs_attributes(queue, arena, *ret_from, &reply, err) == -1)
		return -1;
	const cJSON *attributes =
	    cJSON_GetObjectItemCaseSensitive(reply.json, "Attributes");
	struct queue_number about = sqs_number(
	    attributes, "ApproximateNumberOfMessages", KNOW_ESTIMATE);

	*ret_about = about.know == KNOW_ESTIMATE ? about.value : -1;
	if (cloud_text(attributes, "RedrivePolicy")[0] != '\0')
		rc = err_set(err, ERR_UNSUPPORTED,
		    "'%s' has a RedrivePolicy of its own: each look counts "
		    "there, and would move the letters on",
		    *ret_from);
	cloud_reply_fini(&reply);
	return rc;
}

/* --- receiving -------------------------------------------------------------
 */

static int64_t
number_of(const cJSON *attributes, const char *name)
{
	struct queue_number number = sqs_number(attributes, name, KNOW_EXACT);

	return number.know == KNOW_EXACT ? number.value : -1;
}

/* One that somebody put there by hand comes from nowhere. */
static bool
is_ours(const struct queue *queue, const cJSON *attributes)
{
	const char *source = cloud_text(attributes, "DeadLetterQueueSourceArn");
	const char *name = strrchr(source, ':');

	return name == NULL || text_equal(name + 1, queue->name);
}

static void
read_letter(
    const struct queue *queue, const cJSON *json, struct cloud_letter *ret)
{
	const cJSON *attributes =
	    cJSON_GetObjectItemCaseSensitive(json, "Attributes");
	int64_t sent_ms = number_of(attributes, "SentTimestamp");
	int64_t received = number_of(attributes, "ApproximateReceiveCount");

	*ret = (struct cloud_letter){.id = cloud_text(json, "MessageId"),
	    .receipt = cloud_text(json, "ReceiptHandle"),
	    .payload = cloud_text(json, "Body"),
	    .age_ms = sent_ms < 0 ? -1 : MAX(clock_wall_ms() - sent_ms, 0),
	    .attempts = received < 1 ? -1 : received - 1, /* without this */
	    .ours = is_ours(queue, attributes),
	    .json = json};
	ret->len = strlen(ret->payload);
}

static int
receive(struct queue *queue, const char *from, struct arena *arena,
    struct cloud_batch *ret, struct err *err)
{
	const cJSON *item = NULL;
	int64_t hidden_s = queue_remaining_ms(queue) / MS_PER_S + HIDDEN_MIN_S;
	/* without a wait only some of SQS' servers are asked */
	const char *body = arena_format(arena,
	    "{\"QueueUrl\":\"%s\",\"MaxNumberOfMessages\":%d,"
	    "\"VisibilityTimeout\":%" PRId64 ",\"WaitTimeSeconds\":1,"
	    "\"AttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]}",
	    from, CLOUD_BATCH, hidden_s);

	if (sqs_ask(queue, arena, "ReceiveMessage", body, &ret->reply, err) ==
	    -1)
		return -1;
	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(ret->reply.json, "Messages"))
	{
		if (ret->count < CLOUD_BATCH)
			read_letter(queue, item, &ret->letters[ret->count++]);
	}
	return 0;
}

static int
give_back(struct queue *queue, const char *from, const char *const *receipts,
    size_t count, struct arena *arena, struct err *err)
{
	struct buffer text;
	struct jsonw json;
	struct cloud_reply reply;

	buffer_init(&text, MESSAGE_MAX);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "QueueUrl", from);
	jsonw_array(&json, "Entries");
	for (size_t i = 0; i < count; i++) {
		jsonw_object(&json, NULL);
		jsonw_format(&json, "Id", "%zu", i);
		jsonw_text(&json, "ReceiptHandle", receipts[i]);
		jsonw_i64(&json, "VisibilityTimeout", 0);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	int rc = sqs_ask(queue, arena, "ChangeMessageVisibilityBatch",
	    text.data, &reply, err);

	buffer_fini(&text);
	if (rc == -1)
		return -1;
	const cJSON *failed = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(reply.json, "Failed"), 0);

	if (failed != NULL)
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "ChangeMessageVisibility: %s", cloud_text(failed, "Code"));
	cloud_reply_fini(&reply);
	return rc;
}

/* --- moving ----------------------------------------------------------------
 */

/* The letter as a message of the original queue: its body, its attributes as
 * they came, its group. A FIFO queue's new id of deduplication is the letter's:
 * under its old one SQS would take it and throw it away, within five minutes
 * after it was sent at first; under this one that is so of a second copy. */
static void
write_message(const struct sqs *sqs, const struct cloud_letter *letter,
    struct arena *arena, struct buffer *out)
{
	const cJSON *attributes =
	    cJSON_GetObjectItemCaseSensitive(letter->json, "Attributes");
	const cJSON *own =
	    cJSON_GetObjectItemCaseSensitive(letter->json, "MessageAttributes");
	const char *group = cloud_text(attributes, "MessageGroupId");
	const char *trace = cloud_text(attributes, "AWSTraceHeader");
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "QueueUrl", sqs->queue_url);
	jsonw_text(&json, "MessageBody", letter->payload);
	if (cJSON_IsObject(own))
		jsonw_raw(
		    &json, "MessageAttributes", cloud_printed(arena, own));
	if (trace[0] != '\0') {
		jsonw_object(&json, "MessageSystemAttributes");
		jsonw_object(&json, "AWSTraceHeader");
		jsonw_text(&json, "DataType", "String");
		jsonw_text(&json, "StringValue", trace);
		jsonw_end(&json);
		jsonw_end(&json);
	}
	if (group[0] != '\0')
		jsonw_text(&json, "MessageGroupId", group);
	if (sqs->fifo)
		jsonw_format(&json, "MessageDeduplicationId",
		    "reeve-requeue-%s", letter->id);
	jsonw_end(&json);
}

static int
copy(struct queue *queue, const struct cloud_letter *letter,
    struct arena *arena, const char **ret_as, bool *ret_unsent, struct err *err)
{
	const struct sqs *sqs = queue->state;
	struct cloud_reply reply = {0};
	struct buffer text;

	buffer_init(&text, MESSAGE_MAX);
	write_message(sqs, letter, arena, &text);
	if (text.overflow) {
		*ret_unsent = true;
		buffer_fini(&text);
		return queue_trouble(queue, CAUSE_MISMATCH, "size", err,
		    ERR_CAPACITY, "the message is too long");
	}
	int rc = sqs_ask(queue, arena, "SendMessage", text.data, &reply, err);

	buffer_fini(&text);
	if (rc == -1) {
		*ret_unsent = cloud_said_no(&reply);
		return -1;
	}
	const char *id = cloud_text(reply.json, "MessageId");

	if (id[0] == '\0')
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "SQS took the message and gave no MessageId");
	else
		*ret_as = arena_text(arena, id);
	cloud_reply_fini(&reply);
	return rc;
}

static int
settle(struct queue *queue, const char *from, const char *receipt,
    struct arena *arena, struct err *err)
{
	struct cloud_reply reply;
	const char *const pairs[] = {
	    "QueueUrl", from, "ReceiptHandle", receipt, NULL};
	const char *body = sqs_object(arena, pairs);

	if (sqs_ask(queue, arena, "DeleteMessage", body, &reply, err) == -1)
		return -1;
	cloud_reply_fini(&reply);
	return 0;
}

static const struct cloud_letters how = {
    .find = find,
    .receive = receive,
    .give_back = give_back,
    .copy = copy,
    .settle = settle,
    .only_dead = "SQS shows a message only to who receives it, and each look "
                 "counts towards maxReceiveCount, at which it is dead: only "
                 "dead letters are shown",
    .no_claims = "SQS gives a message out again as soon as its visibility "
                 "timeout is over: there is nothing to reclaim",
};

int
sqs_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	if (cloud_letters_part(&how, part, err) == -1)
		return -1;
	return cloud_letters_list(queue, &how, limit, arena, ret, err);
}

int
sqs_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	return cloud_letters_move(queue, &how, move, arena, ret, err);
}
