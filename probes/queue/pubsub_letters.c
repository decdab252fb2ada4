/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/base64.h"
#include "probes/queue/digest.h"
#include "probes/queue/pubsub.h"
#include "probes/queue/timestamp.h"

/*
 * Dead letters of Pub/Sub: in a subscription of the dead-letter topic. What is
 * published again goes to every subscription of the topic; so it isn't where
 * there are others, whose workers would do it twice. A letter is named by its
 * data, for each way through a topic gives it another messageId. Source:
 * queues.md part 10, the Pub/Sub REST reference.
 */
enum {
	MESSAGE_MAX = 16 << 20 /* 10 MB, as base64 */
};
/* What Google adds to a letter. */
static const char ADDED[] = "CloudPubSubDeadLetter";
static const char SOURCE[] = "CloudPubSubDeadLetterSourceSubscription";
static const char SOURCE_PROJECT[] =
    "CloudPubSubDeadLetterSourceSubscriptionProject";
static const char DELIVERIES[] = "CloudPubSubDeadLetterSourceDeliveryCount";
static const char PUBLISHED[] = "CloudPubSubDeadLetterSourceTopicPublishTime";

/* --- where they are --------------------------------------------------------
 */

/* `name`: "projects/P/topics/T", as the service writes it. */
static int
get(struct queue *queue, struct arena *arena, const char *name,
    struct cloud_reply *ret, struct err *err)
{
	const struct pubsub *pubsub = queue->state;

	return pubsub_ask(queue, arena,
	    arena_format(arena, "%s/v1/%s", pubsub->endpoint, name), NULL, ret,
	    err);
}

/* `what`: "projects/P/topics/T:publish". */
static int
post(struct queue *queue, struct arena *arena, const char *what,
    const struct buffer *body, struct cloud_reply *ret, struct err *err)
{
	const struct pubsub *pubsub = queue->state;

	*ret = (struct cloud_reply){.status = 0};
	if (body->overflow)
		return queue_trouble(queue, CAUSE_MISMATCH, "size", err,
		    ERR_CAPACITY, "the message is too long");
	return pubsub_ask(queue, arena,
	    arena_format(arena, "%s/v1/%s", pubsub->endpoint, what), body->data,
	    ret, err);
}

/* The only subscription of the dead letters' topic. */
static int
find_only(struct queue *queue, struct arena *arena, const char *topic,
    const char **ret, struct err *err)
{
	struct cloud_reply reply;

	if (get(queue, arena, arena_format(arena, "%s/subscriptions", topic),
	        &reply, err) == -1)
		return -1;
	const cJSON *names =
	    cJSON_GetObjectItemCaseSensitive(reply.json, "subscriptions");
	const cJSON *first = cJSON_GetArrayItem(names, 0);

	if (cJSON_GetArraySize(names) == 1 && cJSON_IsString(first))
		*ret = arena_text(arena, first->valuestring);
	cloud_reply_fini(&reply);
	if (*ret == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "dead letters go to topic '%s', to which no subscription, "
		    "or more than one, belongs: 'deadLetter' says which is "
		    "meant",
		    pubsub_short_name(arena, topic));
	return 0;
}

static int
find(struct queue *queue, struct arena *arena, const char **ret_from,
    int64_t *ret_about, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	const char *declared = queue_option(queue, "dlq");
	struct cloud_reply reply;

	*ret_about = -1;
	*ret_from = declared == NULL ? NULL
	            : strchr(declared, '/') != NULL
	                ? declared
	                : arena_format(arena, "projects/%s/subscriptions/%s",
	                      pubsub->project, declared);
	if (pubsub_ask(queue, arena, pubsub_subscription(pubsub, arena), NULL,
	        &reply, err) == -1)
		return -1;
	const char *topic =
	    arena_text(arena, cloud_text(cJSON_GetObjectItemCaseSensitive(
	                                     reply.json, "deadLetterPolicy"),
	                          "deadLetterTopic"));

	cloud_reply_fini(&reply);
	if (*ret_from == NULL && topic[0] == '\0')
		return err_set(err, ERR_UNSUPPORTED,
		    "subscription '%s' has no deadLetterPolicy: what fails "
		    "there comes again until its retention is over",
		    queue->name);
	if (*ret_from == NULL &&
	    find_only(queue, arena, topic, ret_from, err) == -1)
		return -1;
	if (get(queue, arena, *ret_from, &reply, err) == -1)
		return -1;
	bool counts = cJSON_IsObject(
	    cJSON_GetObjectItemCaseSensitive(reply.json, "deadLetterPolicy"));

	cloud_reply_fini(&reply);
	return counts ? err_set(err, ERR_UNSUPPORTED,
	                    "'%s' has a deadLetterPolicy of its own: each look "
	                    "counts there, and would move the letters on",
	                    *ret_from)
	              : 0;
}

/* --- pulling ---------------------------------------------------------------
 */

static int64_t
attempts_of(const cJSON *attributes)
{
	int64_t attempts = -1;

	return text_i64(cloud_text(attributes, DELIVERIES), 0, INT64_MAX,
	           &attempts, NULL) == -1
	           ? -1
	           : attempts;
}

static int64_t
age_of(const cJSON *message, const cJSON *attributes)
{
	int64_t at_ms = 0;

	if (timestamp_parse(cloud_text(attributes, PUBLISHED), &at_ms) == -1 &&
	    timestamp_parse(cloud_text(message, "publishTime"), &at_ms) == -1)
		return -1;
	return MAX(clock_wall_ms() - at_ms, 0);
}

/* One that somebody published there by hand comes from nowhere. */
static bool
is_ours(const struct pubsub *pubsub, const cJSON *attributes)
{
	const char *source = cloud_text(attributes, SOURCE);
	const char *project = cloud_text(attributes, SOURCE_PROJECT);

	return (source[0] == '\0' ||
	           text_equal(source, pubsub->subscription)) &&
	       (project[0] == '\0' || text_equal(project, pubsub->project));
}

static int
read_letter(const struct pubsub *pubsub, const cJSON *json, struct arena *arena,
    struct cloud_letter *ret, struct err *err)
{
	const cJSON *message =
	    cJSON_GetObjectItemCaseSensitive(json, "message");
	const cJSON *attributes =
	    cJSON_GetObjectItemCaseSensitive(message, "attributes");
	char digest[QUEUE_DIGEST_SIZE];

	*ret = (struct cloud_letter){.receipt = cloud_text(json, "ackId"),
	    .age_ms = age_of(message, attributes),
	    .attempts = attempts_of(attributes),
	    .ours = is_ours(pubsub, attributes),
	    .json = message};
	if (base64_decode(arena, cloud_text(message, "data"), &ret->payload,
	        &ret->len, err) == -1)
		return -1;
	queue_digest(ret->payload, ret->len, digest);
	ret->id = ret->len > 0 ? arena_text(arena, digest)
	                       : cloud_text(message, "messageId");
	return 0;
}

static int
receive(struct queue *queue, const char *from, struct arena *arena,
    struct cloud_batch *ret, struct err *err)
{
	const cJSON *item = NULL;
	struct buffer body;

	buffer_init(&body, MESSAGE_MAX);
	/* without the second it waits for messages until the deadline */
	buffer_format(&body, "{\"maxMessages\":%d,\"returnImmediately\":true}",
	    CLOUD_BATCH);
	int rc = post(queue, arena, arena_format(arena, "%s:pull", from), &body,
	    &ret->reply, err);

	buffer_fini(&body);
	if (rc == -1)
		return -1;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(
	                             ret->reply.json, "receivedMessages"))
	{
		if (ret->count == CLOUD_BATCH)
			break;
		if (read_letter(queue->state, item, arena,
		        &ret->letters[ret->count], err) == -1)
			return queue_trouble(queue, CAUSE_MISMATCH, "", err,
			    ERR_REFUSED,
			    "Pub/Sub shows data that are no base64");
		ret->count++;
	}
	return 0;
}

/* A request whose answer says nothing more. */
static int
done(struct queue *queue, struct arena *arena, const char *what,
    const struct buffer *body, struct err *err)
{
	struct cloud_reply reply;

	if (post(queue, arena, what, body, &reply, err) == -1)
		return -1;
	cloud_reply_fini(&reply);
	return 0;
}

static int
give_back(struct queue *queue, const char *from, const char *const *receipts,
    size_t count, struct arena *arena, struct err *err)
{
	struct buffer body;
	struct jsonw json;

	buffer_init(&body, MESSAGE_MAX);
	jsonw_init(&json, &body, false);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "ackIds");
	for (size_t i = 0; i < count; i++)
		jsonw_text(&json, NULL, receipts[i]);
	jsonw_end(&json);
	jsonw_i64(&json, "ackDeadlineSeconds", 0);
	jsonw_end(&json);
	int rc = done(queue, arena,
	    arena_format(arena, "%s:modifyAckDeadline", from), &body, err);

	buffer_fini(&body);
	return rc;
}

static int
settle(struct queue *queue, const char *from, const char *receipt,
    struct arena *arena, struct err *err)
{
	struct buffer body;
	struct jsonw json;

	buffer_init(&body, MESSAGE_MAX);
	jsonw_init(&json, &body, false);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "ackIds");
	jsonw_text(&json, NULL, receipt);
	jsonw_end(&json);
	jsonw_end(&json);
	int rc = done(queue, arena, arena_format(arena, "%s:acknowledge", from),
	    &body, err);

	buffer_fini(&body);
	return rc;
}

/* --- publishing again ------------------------------------------------------
 */

/* The topic that the queue's subscription gets its messages from. */
static int
topic_of(
    struct queue *queue, struct arena *arena, const char **ret, struct err *err)
{
	struct cloud_reply reply;

	if (pubsub_ask(queue, arena, pubsub_subscription(queue->state, arena),
	        NULL, &reply, err) == -1)
		return -1;
	*ret = arena_text(arena, cloud_text(reply.json, "topic"));
	cloud_reply_fini(&reply);
	return text_equal(*ret, PUBSUB_DELETED)
	           ? queue_trouble(queue, CAUSE_MISMATCH, "deleted", err,
	                 ERR_REFUSED,
	                 "the topic of subscription '%s' was deleted: there is "
	                 "no way back to it",
	                 queue->name)
	           : 0;
}

static int
check(struct queue *queue, struct arena *arena, struct err *err)
{
	struct pubsub *pubsub = queue->state;
	const char *own = arena_format(arena, "projects/%s/subscriptions/%s",
	    pubsub->project, pubsub->subscription);
	const char *other = NULL;
	const char *topic = NULL;
	const cJSON *item = NULL;
	struct cloud_reply reply;

	if (topic_of(queue, arena, &topic, err) == -1 ||
	    get(queue, arena, arena_format(arena, "%s/subscriptions", topic),
	        &reply, err) == -1)
		return -1;
	pubsub->way_back = topic;
	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(reply.json, "subscriptions"))
	{
		if (cJSON_IsString(item) && !text_equal(item->valuestring, own))
			other = pubsub_short_name(arena, item->valuestring);
	}
	cloud_reply_fini(&reply);
	if (other != NULL)
		return queue_trouble(queue, CAUSE_MISMATCH, "fan-out", err,
		    ERR_REFUSED,
		    "topic '%s' has other subscriptions too ('%s'), each of "
		    "which would get again what only '%s' failed at",
		    pubsub_short_name(arena, topic), other, queue->name);
	return 0;
}

static void
write_message(const cJSON *message, struct buffer *out)
{
	const char *key = cloud_text(message, "orderingKey");
	const cJSON *item = NULL;
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "messages");
	jsonw_object(&json, NULL);
	jsonw_text(&json, "data", cloud_text(message, "data"));
	jsonw_object(&json, "attributes");
	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(message, "attributes"))
	{
		if (cJSON_IsString(item) && item->string != NULL &&
		    !text_starts(item->string, ADDED))
			jsonw_text(&json, item->string, item->valuestring);
	}
	jsonw_end(&json);
	if (key[0] != '\0')
		jsonw_text(&json, "orderingKey", key);
	jsonw_end(&json);
	jsonw_end(&json);
	jsonw_end(&json);
}

static int
copy(struct queue *queue, const struct cloud_letter *letter,
    struct arena *arena, const char **ret_as, bool *ret_unsent, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;
	struct buffer body;

	buffer_init(&body, MESSAGE_MAX);
	write_message(letter->json, &body);
	bool whole = !body.overflow;
	int rc = post(queue, arena,
	    arena_format(arena, "%s:publish", pubsub->way_back), &body, &reply,
	    err);

	buffer_fini(&body);
	if (rc == -1) {
		*ret_unsent = !whole || cloud_said_no(&reply);
		return -1;
	}
	const cJSON *id = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(reply.json, "messageIds"), 0);

	if (!cJSON_IsString(id))
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "Pub/Sub took the message and gave no messageId");
	else
		*ret_as = letter->len > 0 ? letter->id
		                          : arena_text(arena, id->valuestring);
	cloud_reply_fini(&reply);
	return rc;
}

static const struct cloud_letters how = {
    .find = find,
    .check = check,
    .receive = receive,
    .give_back = give_back,
    .copy = copy,
    .settle = settle,
    .only_dead = "Pub/Sub shows a message only to who pulls it, and each pull "
                 "counts towards maxDeliveryAttempts, at which it is dead: "
                 "only dead letters are shown",
    .no_claims = "Pub/Sub gives a message out again as soon as its "
                 "acknowledgement deadline is over: there is nothing to "
                 "reclaim",
};

int
pubsub_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	if (cloud_letters_part(&how, part, err) == -1)
		return -1;
	return cloud_letters_list(queue, &how, limit, arena, ret, err);
}

int
pubsub_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	return cloud_letters_move(queue, &how, move, arena, ret, err);
}
