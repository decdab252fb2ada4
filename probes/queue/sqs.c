/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/json_read.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/sqs.h"

/*
 * Amazon SQS: `sqs://ACCESSKEY:SECRET@region/account/queue[?endpoint=URL]` by
 * its JSON protocol (AmazonSQS.*, application/x-amz-json-1.0), signed with
 * version 4. Without keys in the URL those of the environment sign.
 *
 * What it can't tell is unknown here: all counts are approximate; the age of
 * the oldest message is CloudWatch's; nobody is told who receives. A message
 * can't be looked at but by receiving it, which counts as an attempt: so only
 * dead letters are received (sqs_letters.c), and a canary is seen by what the
 * worker does.
 */
enum {
	BODY_MAX = 512 << 10,
	NAMES_MAX = 1000,
	MS_PER_S = 1000
};
static const char TYPE[] = "Content-Type: application/x-amz-json-1.0";
static const char APPROXIMATE[] = "CloudWatch alone knows the oldest's age";
static const char NOBODY[] = "SQS doesn't say who receives";

/* Who signs: the URL's user and password, else the environment's. */
static int
take_keys(struct queue *queue, struct sqs *sqs, const struct url *url,
    struct err *err)
{
	const char *key = url->user;
	const char *secret = url->password;

	if (key == NULL) {
		key = getenv("AWS_ACCESS_KEY_ID");
		secret = getenv("AWS_SECRET_ACCESS_KEY");
		sqs->token = getenv("AWS_SESSION_TOKEN");
	}
	if (key == NULL || secret == NULL || key[0] == '\0')
		return queue_trouble(queue, CAUSE_UNRESOLVED, "", err,
		    ERR_INPUT,
		    "nothing to sign with: sqs://KEY:SECRET@region/account/"
		    "queue, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	if (sqs->token != NULL && sqs->token[0] == '\0')
		sqs->token = NULL;
	sqs->credentials = arena_format(&queue->arena, "%s:%s", key, secret);
	return 0;
}

int
sqs_ask(struct queue *queue, struct arena *arena, const char *action,
    const char *body, struct cloud_reply *ret, struct err *err)
{
	const struct sqs *sqs = queue->state;
	struct http_request request = {
	    .url = sqs->endpoint,
	    .method = "POST",
	    .body = body,
	    .sigv4 = sqs->sigv4,
	    .credentials = sqs->credentials,
	    .headers = {TYPE,
	        arena_format(arena, "X-Amz-Target: AmazonSQS.%s", action)},
	    .nheaders = 2,
	    .body_max = CLOUD_ANSWER_MAX,
	};

	if (sqs->token != NULL)
		request.headers[request.nheaders++] =
		    arena_format(arena, "X-Amz-Security-Token: %s", sqs->token);
	if (cloud_ask(queue, arena, &request, ret, err) == -1)
		return -1;
	/* some actions answer with nothing */
	if (ret->status == 200 && (ret->json != NULL || ret->len == 0))
		return 0;
	/* {"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":…} */
	const char *type = cloud_text(ret->json, "__type");
	const char *words = cloud_text(ret->json, "message");
	const char *hash = strrchr(type, '#');

	type = arena_text(arena, hash != NULL ? hash + 1 : type);
	enum cause cause =
	    text_equal(type, "QueueDoesNotExist") ||
	            text_equal(type, "AWS.SimpleQueueService.NonExistentQueue")
	        ? CAUSE_NOT_FOUND
	    : text_starts(type, "AccessDenied") ? CAUSE_PERMISSION
	    : text_equal(type, "UnrecognizedClientException") ||
	            text_starts(type, "InvalidClientTokenId") ||
	            text_starts(type, "SignatureDoesNotMatch") ||
	            text_starts(type, "InvalidSignature")
	        ? CAUSE_AUTH
	        : CAUSE_NONE;
	const struct cloud_refusal refusal = {cause, type, words,
	    arena_format(arena, "%s of %s", action, queue->target)};
	int rc = cloud_refused(queue, ret, &refusal, err);

	cloud_reply_fini(ret);
	return rc;
}

const char *
sqs_object(struct arena *arena, const char *const *pairs)
{
	struct buffer text;
	struct jsonw json;

	buffer_init(&text, BODY_MAX);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	for (; pairs[0] != NULL; pairs += 2)
		if (pairs[1] != NULL)
			jsonw_text(&json, pairs[0], pairs[1]);
	jsonw_end(&json);
	const char *out = arena_bytes(arena, text.data, text.len);

	buffer_wipe(&text);
	return out;
}

static int
sqs_open(struct queue *queue, struct err *err)
{
	struct sqs *sqs = arena_alloc(&queue->arena, sizeof(*sqs));
	const char *endpoint = queue_option(queue, "endpoint");
	struct url url;

	*sqs = (struct sqs){.account = ""};
	queue->state = sqs;
	if (cloud_url(queue, &url, err) == -1)
		return -1;
	const char *slash = strchr(url.path, '/');

	if (slash != NULL)
		sqs->account = arena_bytes(
		    &queue->arena, url.path, (size_t)(slash - url.path));
	if (url.host[0] == '\0' || queue->name[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of SQS is sqs://region/account/queue");
	if (take_keys(queue, sqs, &url, err) == -1)
		return -1;
	sqs->endpoint = endpoint != NULL
	                    ? arena_format(&queue->arena, "%s/", endpoint)
	                    : arena_format(&queue->arena,
	                          "https://sqs.%s.amazonaws.com/", url.host);
	sqs->sigv4 = arena_format(&queue->arena, "aws:amz:%s:sqs", url.host);
	sqs->fifo = text_ends(queue->name, ".fifo");
	queue->target = arena_format(&queue->arena, "sqs %s %s%s%s", url.host,
	    sqs->account, sqs->account[0] != '\0' ? "/" : "", queue->name);
	return 0;
}

static void
sqs_close(struct queue *queue)
{
	(void)queue; /* nothing stays open between requests */
}

/* The queue's own URL, which all other actions want. */
int
sqs_find_url(struct queue *queue, struct err *err)
{
	struct sqs *sqs = queue->state;
	struct cloud_reply reply;
	const char *url = NULL;
	const char *const pairs[] = {"QueueName", queue->name,
	    "QueueOwnerAWSAccountId",
	    sqs->account[0] != '\0' ? sqs->account : NULL, NULL};

	if (sqs->queue_url != NULL)
		return 0;
	if (sqs_ask(queue, &queue->arena, "GetQueueUrl",
	        sqs_object(&queue->arena, pairs), &reply, err) == -1)
		return -1;
	int rc = json_text(reply.json, "QueueUrl", NULL, &url, err);

	if (rc == 0 && url != NULL)
		sqs->queue_url = arena_text(&queue->arena, url);
	else
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "SQS answers without a QueueUrl");
	cloud_reply_fini(&reply);
	return rc;
}

int
sqs_attributes(struct queue *queue, struct arena *arena, const char *queue_url,
    struct cloud_reply *ret, struct err *err)
{
	const char *body = arena_format(arena,
	    "{\"QueueUrl\":\"%s\",\"AttributeNames\":[\"All\"]}", queue_url);

	return sqs_ask(queue, arena, "GetQueueAttributes", body, ret, err);
}

struct queue_number
sqs_number(const cJSON *attributes, const char *name, enum know know)
{
	const char *text = NULL;
	int64_t value = 0;

	if (json_text(attributes, name, NULL, &text, NULL) == -1 ||
	    text == NULL || text_i64(text, 0, INT64_MAX, &value, NULL) == -1)
		return queue_unknown("SQS doesn't say");
	return (struct queue_number){.value = value, .know = know};
}

/* "arn:aws:sqs:REGION:ACCOUNT:NAME" -> the URL of that queue beside ours. */
static const char *
url_of_arn(struct arena *arena, const char *queue_url, const char *arn)
{
	const char *name = strrchr(arn, ':');
	const char *slash = strrchr(queue_url, '/');

	return name == NULL || slash == NULL
	           ? NULL
	           : arena_format(arena, "%.*s%s", (int)(slash + 1 - queue_url),
	                 queue_url, name + 1);
}

int
sqs_dead_queue(struct queue *queue, struct arena *arena,
    const cJSON *attributes, const char **ret_url, int64_t *ret_limit,
    struct err *err)
{
	const struct sqs *sqs = queue->state;
	const char *declared = queue_option(queue, "dlq");
	const char *text = cloud_text(attributes, "RedrivePolicy");
	CLEANUP(json_free)
	cJSON *policy = json_read(text, strlen(text), NULL);
	const char *arn = cloud_text(policy, "deadLetterTargetArn");
	int64_t limit = -1;

	if (policy != NULL &&
	    json_i64(policy, "maxReceiveCount", -1, &limit, NULL) == -1)
		limit = -1;
	*ret_limit = text[0] == '\0' ? 0 : limit;
	*ret_url = NULL;
	if (declared == NULL && text[0] == '\0')
		return 0;
	/* an ARN, or the name of a queue of the same account and region */
	const char *url = url_of_arn(arena, sqs->queue_url,
	    declared == NULL ? arn
	    : strchr(declared, ':') != NULL
	        ? declared
	        : arena_format(arena, ":%s", declared));

	if (url == NULL)
		return err_set(
		    err, ERR_REFUSED, "its RedrivePolicy can't be read");
	*ret_url = url;
	return 0;
}

static void
observe_dead(struct queue *queue, struct arena *arena, const cJSON *attributes,
    struct queue_state *ret)
{
	int64_t limit = -1;
	const char *url = NULL;
	struct err err = ERR_INIT;
	struct cloud_reply reply;
	int rc = sqs_dead_queue(queue, arena, attributes, &url, &limit, &err);

	if (limit >= 0)
		ret->attempts_limit = queue_exact(limit);
	if (rc == 0 && url == NULL) {
		ret->dead = queue_inapplicable();
		ret->dead_kept = (struct queue_flag){
		    HOLDS_NO, "the queue has no RedrivePolicy"};
		return;
	}
	if (rc == -1 || sqs_attributes(queue, arena, url, &reply, &err) == -1) {
		ret->dead = queue_unknown(arena_text(arena, err.text));
		ret->dead_kept = (struct queue_flag){HOLDS_UNKNOWN,
		    "the queue of its dead letters doesn't answer"};
		return;
	}
	ret->dead = sqs_number(
	    cJSON_GetObjectItemCaseSensitive(reply.json, "Attributes"),
	    "ApproximateNumberOfMessages", KNOW_ESTIMATE);
	ret->dead_kept = (struct queue_flag){HOLDS_YES, url};
	cloud_reply_fini(&reply);
}

static int
sqs_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sqs *sqs = queue->state;
	struct cloud_reply reply;

	ret->target = queue->target;
	ret->engine = "Amazon SQS";
	if (sqs_find_url(queue, err) == -1) {
		if (queue->cause != CAUSE_NOT_FOUND)
			return -1;
		ret->exists = EXISTS_NO;
		return 0;
	}
	if (sqs_attributes(queue, arena, sqs->queue_url, &reply, err) == -1)
		return -1;
	const cJSON *attributes =
	    cJSON_GetObjectItemCaseSensitive(reply.json, "Attributes");

	ret->exists = EXISTS_YES;
	ret->identity = arena_text(arena, sqs->queue_url);
	ret->as_of_wall_ms = clock_wall_ms();
	ret->waiting = sqs_number(
	    attributes, "ApproximateNumberOfMessages", KNOW_ESTIMATE);
	ret->active = sqs_number(
	    attributes, "ApproximateNumberOfMessagesNotVisible", KNOW_ESTIMATE);
	ret->delayed = sqs_number(
	    attributes, "ApproximateNumberOfMessagesDelayed", KNOW_ESTIMATE);
	ret->lease_ms = sqs_number(attributes, "VisibilityTimeout", KNOW_EXACT);
	ret->lease_ms.value *= MS_PER_S;
	ret->payload_max =
	    sqs_number(attributes, "MaximumMessageSize", KNOW_EXACT);
	ret->failed = queue_inapplicable();
	ret->completed = queue_inapplicable();
	ret->oldest_ms = queue_unknown(APPROXIMATE);
	ret->lease_expired = queue_inapplicable(); /* they are visible again */
	ret->lease_missing = queue_inapplicable();
	ret->attempts_max = queue_unknown("SQS shows it to receivers only");
	ret->consumers = queue_unknown(NOBODY);
	observe_dead(queue, arena, attributes, ret);
	cloud_reply_fini(&reply);
	return 0;
}

static int
sqs_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	struct cloud_reply reply;
	const cJSON *item = NULL;
	struct near near;
	size_t count = 0;

	if (sqs_ask(queue, arena, "ListQueues", "{\"MaxResults\":1000}", &reply,
	        err) == -1)
		return -1;
	near_init(&near, arena, queue->name);
	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(reply.json, "QueueUrls"))
	{
		const char *slash = cJSON_IsString(item)
		                        ? strrchr(item->valuestring, '/')
		                        : NULL;
		if (slash != NULL && count++ < NAMES_MAX)
			near_offer(
			    &near, arena_text(arena, slash + 1), "", "queue");
	}
	near_finish(&near, state);
	cloud_reply_fini(&reply);
	return 0;
}

static int
sqs_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct sqs *sqs = queue->state;
	struct cloud_reply reply;
	const char *id = NULL;

	if (sqs_find_url(queue, err) == -1)
		return -1;
	const char *const pairs[] = {"QueueUrl", sqs->queue_url, "MessageBody",
	    job->payload, "MessageGroupId", sqs->fifo ? job->canary : NULL,
	    "MessageDeduplicationId", sqs->fifo ? job->canary : NULL, NULL};

	if (sqs_ask(queue, arena, "SendMessage", sqs_object(arena, pairs),
	        &reply, err) == -1)
		return -1;
	int rc = json_text(reply.json, "MessageId", NULL, &id, err);

	if (rc == 0 && id != NULL)
		*ret_receipt = arena_text(arena, id);
	else
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "SQS took the message and gave no MessageId");
	cloud_reply_fini(&reply);
	return rc;
}

static int
sqs_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	(void)queue, (void)job, (void)arena, (void)err;
	ret->place = PLACE_UNKNOWN;
	ret->detail = "SQS shows a message only to who receives it: declare a "
	              "stage that sees what the worker did";
	return 0;
}

static int
sqs_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	(void)job;
	*ret_removed = false;
	return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_UNSUPPORTED,
	    "SQS can't take a message back that nobody has received: it goes "
	    "when a worker deletes it, or its retention is over");
}

static const char *const schemes[] = {"sqs", NULL};
static const char *const keys[] = {"queue", "endpoint", "region", "dlq", "test",
    "ts", "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_sqs = {
    .kind = "sqs",
    .schemes = schemes,
    .name_key = "queue",
    .name_in_path = true,
    .deep_path = true,
    .keys = keys,
    .open = sqs_open,
    .close = sqs_close,
    .observe = sqs_observe,
    .near = sqs_near,
    .submit = sqs_submit,
    .follow = sqs_follow,
    .remove = sqs_remove,
    .list = sqs_list,
    .move = sqs_move,
};
