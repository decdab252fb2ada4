/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/base64.h"
#include "probes/google_token.h"
#include "probes/json_read.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/pubsub.h"
#include "probes/queue/timestamp.h"

/*
 * Google Pub/Sub by REST:
 * `pubsub://project/subscription?topic=T[&endpoint=URL]`. With an endpoint (or
 * $PUBSUB_EMULATOR_HOST) that is an emulator: no token is asked for. Counts are
 * Cloud Monitoring's, a minute old at best: estimates; the emulator has none. A
 * message is shown only by pulling it, which counts as an attempt: so only dead
 * letters are pulled (pubsub_letters.c), and a canary is seen by what the
 * worker does. Source: queues.md part 10, the Pub/Sub and Monitoring REST
 * references.
 */
enum {
	BODY_MAX = 4 << 20,
	MS_PER_S = 1000,
	OK = 200,
	NAMES_MAX = 1000
};
/* Of Monitoring: its points come late. */
static const int64_t WINDOW_MS = 600000;
static const char SERVICE[] = "https://pubsub.googleapis.com";
static const char MONITORING[] = "https://monitoring.googleapis.com";
static const char EMULATOR[] = "the emulator has no Cloud Monitoring";

static int
open_token(struct queue *queue, struct pubsub *pubsub, struct err *err)
{
	struct ladder ladder;
	const char *token = NULL;

	ladder_init(&ladder, &queue->arena, queue->deadline_ms);
	if (google_token(&ladder, &token, err) == -1) {
		queue->cause = CAUSE_AUTH;
		return -1;
	}
	pubsub->authorization =
	    arena_format(&queue->arena, "Authorization: Bearer %s", token);
	return 0;
}

/* As Google's own tools do it, for private endpoints. */
static const char *
overridden(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : otherwise;
}

static int
pubsub_open(struct queue *queue, struct err *err)
{
	struct pubsub *pubsub = arena_alloc(&queue->arena, sizeof(*pubsub));
	const char *emulator = getenv("PUBSUB_EMULATOR_HOST");
	struct url url;

	*pubsub = (struct pubsub){.topic = queue_option(queue, "topic"),
	    .endpoint = queue_option(queue, "endpoint")};
	queue->state = pubsub;
	if (cloud_url(queue, &url, err) == -1)
		return -1;
	pubsub->project = url.host;
	pubsub->subscription = url.path;
	if (url.host[0] == '\0' || url.path[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of Pub/Sub is pubsub://project/subscription");
	queue->name = pubsub->subscription;
	queue->target = arena_format(&queue->arena, "pubsub %s %s",
	    pubsub->project, pubsub->subscription);
	if (pubsub->endpoint == NULL && emulator != NULL && emulator[0] != '\0')
		pubsub->endpoint =
		    arena_format(&queue->arena, "http://%s", emulator);
	if (pubsub->endpoint != NULL)
		return 0;
	pubsub->endpoint =
	    overridden("CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB", SERVICE);
	pubsub->monitoring = overridden(
	    "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING", MONITORING);
	return open_token(queue, pubsub, err);
}

static void
pubsub_close(struct queue *queue)
{
	(void)queue; /* nothing stays open between requests */
}

/* A refusal by Google: {"error":{"code","message","status"}}. */
static int
refused(struct queue *queue, struct cloud_reply *reply, struct err *err)
{
	const cJSON *error =
	    cJSON_GetObjectItemCaseSensitive(reply->json, "error");
	const struct cloud_refusal refusal = {CAUSE_NONE,
	    cloud_text(error, "status"), cloud_text(error, "message"),
	    queue->target};
	int rc = cloud_refused(queue, reply, &refusal, err);

	cloud_reply_fini(reply);
	return rc;
}

int
pubsub_ask(struct queue *queue, struct arena *arena, const char *url,
    const char *body, struct cloud_reply *ret, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct http_request request = {
	    .url = url,
	    .method = body != NULL ? "POST" : "GET",
	    .body = body,
	    .headers = {"Content-Type: application/json"},
	    .nheaders = 1,
	    .body_max = CLOUD_ANSWER_MAX,
	};

	if (pubsub->authorization != NULL)
		request.headers[request.nheaders++] = pubsub->authorization;
	if (cloud_ask(queue, arena, &request, ret, err) == -1)
		return -1;
	if (ret->status == OK && ret->json != NULL)
		return 0;
	return refused(queue, ret, err);
}

const char *
pubsub_subscription(const struct pubsub *pubsub, struct arena *arena)
{
	return arena_format(arena, "%s/v1/projects/%s/subscriptions/%s",
	    pubsub->endpoint, pubsub->project,
	    url_encode(arena, pubsub->subscription));
}

/* --- counts ------------------------------------------------------------- */

/* The last point of a series of Monitoring. */
static struct queue_number
last_point(const cJSON *answer)
{
	const cJSON *series = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(answer, "timeSeries"), 0);
	const cJSON *point = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(series, "points"), 0);
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(point, "value");
	const char *text = NULL;
	int64_t number = 0;

	if (cJSON_IsObject(value) &&
	    json_text(value, "int64Value", NULL, &text, NULL) == 0 &&
	    text != NULL && text_i64(text, 0, INT64_MAX, &number, NULL) == 0)
		return (struct queue_number){number, KNOW_ESTIMATE, NULL};
	return queue_unknown("Cloud Monitoring has no point of the last ten "
	                     "minutes");
}

static const char *
time_text(struct arena *arena, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / MS_PER_S);
	struct tm tm;
	char text[32];

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return "";
	return arena_text(arena, text);
}

static struct queue_number
metric(struct queue *queue, struct arena *arena, const char *subscription,
    const char *name)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;
	struct err err = ERR_INIT;
	int64_t now = clock_wall_ms();

	if (pubsub->monitoring == NULL)
		return queue_unknown(EMULATOR);
	const char *filter = arena_format(arena,
	    "metric.type=\"pubsub.googleapis.com/subscription/%s\" AND "
	    "resource.labels.subscription_id=\"%s\"",
	    name, subscription);
	const char *url = arena_format(arena,
	    "%s/v3/projects/%s/timeSeries?filter=%s&interval.startTime=%s"
	    "&interval.endTime=%s",
	    pubsub->monitoring, pubsub->project, url_encode(arena, filter),
	    url_encode(arena, time_text(arena, now - WINDOW_MS)),
	    url_encode(arena, time_text(arena, now)));

	if (pubsub_ask(queue, arena, url, NULL, &reply, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	struct queue_number number = last_point(reply.json);

	cloud_reply_fini(&reply);
	return number;
}

/* --- the subscription ----------------------------------------------------- */

const char *
pubsub_short_name(struct arena *arena, const char *name)
{
	const char *slash = strrchr(name, '/');

	return arena_text(arena, slash == NULL ? name : slash + 1);
}

/* Whether what producers publish arrives here: the topic lives, and is the
 * declared one. */
static struct queue_flag
bound(struct queue *queue, struct arena *arena, const char *topic)
{
	const struct pubsub *pubsub = queue->state;

	if (text_equal(topic, PUBSUB_DELETED))
		return (struct queue_flag){HOLDS_NO,
		    "its topic was deleted; it gets nothing any more"};
	if (pubsub->topic != NULL &&
	    !text_equal(pubsub_short_name(arena, topic), pubsub->topic))
		return (struct queue_flag){HOLDS_NO,
		    arena_format(arena, "it is subscribed to '%s', not to '%s'",
		        pubsub_short_name(arena, topic), pubsub->topic)};
	return (struct queue_flag){
	    HOLDS_YES, arena_format(arena, "subscribed to %s",
	                   pubsub_short_name(arena, topic))};
}

static void
read_dead(struct queue *queue, struct arena *arena, const cJSON *subscription,
    struct queue_state *ret)
{
	const cJSON *policy =
	    cJSON_GetObjectItemCaseSensitive(subscription, "deadLetterPolicy");
	const char *dead = queue_option(queue, "dlq");
	const char *topic = NULL;
	int64_t limit = 5; /* Google's default */

	if (!cJSON_IsObject(policy) ||
	    json_text(policy, "deadLetterTopic", NULL, &topic, NULL) == -1 ||
	    topic == NULL) {
		ret->dead = queue_inapplicable();
		ret->attempts_limit = queue_exact(0);
		ret->dead_kept = (struct queue_flag){
		    HOLDS_NO, "the subscription has no deadLetterPolicy"};
		return;
	}
	if (json_i64(policy, "maxDeliveryAttempts", limit, &limit, NULL) == 0)
		ret->attempts_limit = queue_exact(limit);
	ret->dead_kept = (struct queue_flag){
	    HOLDS_YES, arena_format(arena, "dead letters go to topic %s",
	                   pubsub_short_name(arena, topic))};
	ret->dead =
	    dead == NULL
	        ? queue_unknown("declare 'deadLetter': a subscription "
	                        "of the dead letters' topic")
	        : metric(queue, arena, dead, "num_undelivered_messages");
}

static void
read_counts(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pubsub *pubsub = queue->state;
	const char *name = pubsub->subscription;

	ret->waiting = metric(queue, arena, name, "num_undelivered_messages");
	ret->active = metric(queue, arena, name, "num_outstanding_messages");
	ret->oldest_ms =
	    metric(queue, arena, name, "oldest_unacked_message_age");
	ret->oldest_ms.value *= MS_PER_S;
	ret->consumers = metric(queue, arena, name, "open_streaming_pulls");
	ret->delayed = queue_inapplicable();
	ret->failed = queue_inapplicable();
	ret->completed = queue_inapplicable();
	ret->lease_expired =
	    metric(queue, arena, name, "expired_ack_deadlines_count");
	ret->lease_missing = queue_inapplicable();
	ret->attempts_max = queue_unknown("Pub/Sub shows it to receivers only");
}

static int
pubsub_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;
	int64_t deadline_s = 0;

	ret->target = queue->target;
	ret->engine =
	    pubsub->monitoring != NULL ? "Google Pub/Sub" : "Pub/Sub emulator";
	if (pubsub_ask(queue, arena, pubsub_subscription(pubsub, arena), NULL,
	        &reply, err) == -1) {
		if (queue->cause != CAUSE_NOT_FOUND)
			return -1;
		ret->exists = EXISTS_NO;
		return 0;
	}
	ret->exists = EXISTS_YES;
	ret->as_of_wall_ms = clock_wall_ms();
	const char *state = cloud_text(reply.json, "state");

	ret->identity = arena_text(arena, cloud_text(reply.json, "topic"));
	ret->bound = bound(queue, arena, ret->identity);
	if (json_i64(reply.json, "ackDeadlineSeconds", 0, &deadline_s, NULL) ==
	        0 &&
	    deadline_s > 0)
		ret->lease_ms = queue_exact(deadline_s * MS_PER_S);
	ret->backs_off = cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(
	                     reply.json, "retryPolicy"))
	                     ? (struct queue_flag){HOLDS_YES, "retryPolicy"}
	                     : (struct queue_flag){HOLDS_NO,
	                           "the subscription has no retryPolicy: what "
	                           "is not acknowledged comes again at once"};
	ret->stuck = text_equal(state, "RESOURCE_ERROR")
	                 ? (struct queue_flag){HOLDS_YES,
	                       "state RESOURCE_ERROR: Google can't deliver"}
	                 : (struct queue_flag){HOLDS_NO, ""};
	read_dead(queue, arena, reply.json, ret);
	cloud_reply_fini(&reply);
	read_counts(queue, arena, ret);
	return 0;
}

static int
pubsub_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;
	const cJSON *item = NULL;
	struct near near;

	if (pubsub_ask(queue, arena,
	        arena_format(arena,
	            "%s/v1/projects/%s/subscriptions?pageSize=%d",
	            pubsub->endpoint, pubsub->project, NAMES_MAX),
	        NULL, &reply, err) == -1)
		return -1;
	near_init(&near, arena, queue->name);
	cJSON_ArrayForEach(
	    item, cJSON_GetObjectItemCaseSensitive(reply.json, "subscriptions"))
	{
		const char *name = NULL;

		if (json_text(item, "name", NULL, &name, NULL) == 0 &&
		    name != NULL)
			near_offer(&near, pubsub_short_name(arena, name), "",
			    "subscription");
	}
	near_finish(&near, state);
	cloud_reply_fini(&reply);
	return 0;
}

/* --- a canary ------------------------------------------------------------- */

/* The topic that producers publish to: the declared one, else the one that the
 * subscription has. */
static int
topic_of(
    struct queue *queue, struct arena *arena, const char **ret, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;

	if (pubsub->topic != NULL) {
		*ret = pubsub->topic;
		return 0;
	}
	if (pubsub_ask(queue, arena, pubsub_subscription(pubsub, arena), NULL,
	        &reply, err) == -1)
		return -1;
	*ret = pubsub_short_name(arena, cloud_text(reply.json, "topic"));
	cloud_reply_fini(&reply);
	return 0;
}

static const char *
message_of(struct arena *arena, const struct queue_submission *job)
{
	struct buffer data;
	struct buffer text;
	struct jsonw json;

	buffer_init(&data, BODY_MAX);
	buffer_init(&text, BODY_MAX);
	base64_encode(&data, job->payload, job->len);
	buffer_append(&data, "", 1);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "messages");
	jsonw_object(&json, NULL);
	jsonw_text(&json, "data", data.data);
	jsonw_object(&json, "attributes");
	jsonw_text(&json, "reeve", "canary");
	jsonw_text(&json, "canary", job->canary);
	jsonw_end(&json);
	jsonw_end(&json);
	jsonw_end(&json);
	jsonw_end(&json);
	const char *out = text.overflow || data.overflow
	                      ? NULL
	                      : arena_bytes(arena, text.data, text.len);

	buffer_wipe(&data);
	buffer_wipe(&text);
	return out;
}

static int
pubsub_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct pubsub *pubsub = queue->state;
	struct cloud_reply reply;
	const char *topic = NULL;
	const char *body = message_of(arena, job);

	if (body == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_CAPACITY,
		    "the message is too long");
	if (topic_of(queue, arena, &topic, err) == -1 ||
	    pubsub_ask(queue, arena,
	        arena_format(arena, "%s/v1/projects/%s/topics/%s:publish",
	            pubsub->endpoint, pubsub->project,
	            url_encode(arena, topic)),
	        body, &reply, err) == -1)
		return -1;
	const cJSON *id = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(reply.json, "messageIds"), 0);
	int rc = 0;

	if (cJSON_IsString(id))
		*ret_receipt = arena_text(arena, id->valuestring);
	else
		rc = queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    "Pub/Sub took the message and gave no messageId");
	cloud_reply_fini(&reply);
	return rc;
}

static int
pubsub_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	(void)queue, (void)job, (void)arena, (void)err;
	ret->place = PLACE_UNKNOWN;
	ret->detail = "Pub/Sub shows a message only to who pulls it: declare a "
	              "stage that sees what the worker did";
	return 0;
}

static int
pubsub_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	(void)job;
	*ret_removed = false;
	return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_UNSUPPORTED,
	    "Pub/Sub can't take a message back: it goes when a worker "
	    "acknowledges it, or its retention is over");
}

static const char *const schemes[] = {"pubsub", NULL};
static const char *const keys[] = {"topic", "endpoint", "dlq", "test", "ts",
    "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_pubsub = {
    .kind = "pubsub",
    .schemes = schemes,
    .name_key = "topic",
    .name_in_path = true,
    .keys = keys,
    .open = pubsub_open,
    .close = pubsub_close,
    .observe = pubsub_observe,
    .near = pubsub_near,
    .submit = pubsub_submit,
    .follow = pubsub_follow,
    .remove = pubsub_remove,
    .list = pubsub_list,
    .move = pubsub_move,
};
