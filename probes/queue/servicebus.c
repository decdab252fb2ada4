/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/base64.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/servicebus.h"
#include "probes/queue/timestamp.h"

/*
 * Azure Service Bus by its management REST:
 * `servicebus://KEYNAME:KEY@ns.servicebus.windows.net/queue`, or /topic/
 * subscription. Requests carry a shared access signature; counts want the claim
 * Manage (with Listen alone they are unknown, not 0). Locked messages are among
 * the active ones there, so `waiting` is at most. A message is shown only by
 * locking it, which counts as a delivery: so none that waits is, and a canary
 * is seen by what the worker does; dead letters: servicebus_jobs.c. Source:
 * queues.md part 11 (the SDK's own requests).
 */
enum {
	LIFE_S = 600,
	MS_PER_S = 1000,
	UNAUTHORIZED = 401,
	KEY_MAX = 512,
	TOPICS_MAX = 3, /* whose subscriptions are looked at */
	KIB = 1024
};
static const char VERSION[] = "api-version=2021-05";
static const char MANAGE[] =
    "the key may not look: its policy needs the claim Manage";

/* sr=<URI>&sig=<HMAC-SHA256 of URI \n expiry>&se=<expiry>&skn=<name>; the key
 * is used as it is written, not decoded. */
static const char *
signature(struct queue *queue, struct arena *arena, const char *uri)
{
	const struct servicebus *bus = queue->state;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buffer text;
	const char *encoded = url_encode(arena, uri);
	int64_t expiry = clock_wall_ms() / MS_PER_S + LIFE_S;
	const char *what = arena_format(arena, "%s\n%" PRId64, encoded, expiry);

	if (HMAC(EVP_sha256(), bus->key, (int)strlen(bus->key),
	        (const unsigned char *)what, strlen(what), mac, &len) == NULL)
		return NULL;
	buffer_init(&text, KEY_MAX);
	base64_encode(&text, mac, len);
	buffer_append(&text, "", 1);
	const char *header = arena_format(arena,
	    "Authorization: SharedAccessSignature sr=%s&sig=%s&se=%" PRId64
	    "&skn=%s",
	    encoded, url_encode(arena, text.data), expiry,
	    url_encode(arena, bus->key_name));

	buffer_wipe(&text);
	return header;
}

static int
servicebus_open(struct queue *queue, struct err *err)
{
	struct servicebus *bus = arena_alloc(&queue->arena, sizeof(*bus));
	const char *endpoint = queue_option(queue, "endpoint");
	struct url url;

	*bus = (struct servicebus){.base = ""};
	queue->state = bus;
	if (cloud_url(queue, &url, err) == -1)
		return -1;
	if (url.host[0] == '\0' || url.path[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of Service Bus is servicebus://namespace/queue or "
		    "servicebus://namespace/topic/subscription");
	bus->key_name = url.user != NULL ? url.user : "";
	bus->key = url.password != NULL ? url.password : "";
	if (bus->key[0] == '\0')
		return queue_trouble(queue, CAUSE_UNRESOLVED, "", err,
		    ERR_INPUT,
		    "nothing to sign with: servicebus://POLICY:KEY@namespace/"
		    "queue, or 'pass'");
	bus->base = endpoint != NULL
	                ? endpoint
	                : arena_format(&queue->arena, "https://%s", url.host);
	const char *slash = strchr(url.path, '/');

	bus->entity = url.path;
	bus->sendto = url.path;
	if (slash != NULL) {
		bus->sendto = arena_bytes(
		    &queue->arena, url.path, (size_t)(slash - url.path));
		bus->entity = arena_format(&queue->arena, "%s/subscriptions/%s",
		    bus->sendto, slash + 1);
	}
	queue->target = arena_format(
	    &queue->arena, "servicebus %s %s", url.host, bus->entity);
	return 0;
}

static void
servicebus_close(struct queue *queue)
{
	(void)queue; /* nothing stays open between requests */
}

int
servicebus_ask(struct queue *queue, struct arena *arena, const char *path,
    struct http_request *request, struct cloud_reply *ret, struct err *err)
{
	const struct servicebus *bus = queue->state;
	size_t plain = strcspn(path, "?"); /* what is signed */
	const char *uri =
	    arena_format(arena, "%s/%.*s", bus->base, (int)plain, path);
	const char *signed_by = signature(queue, arena, uri);

	if (signed_by == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_SYSTEM,
		    "HMAC can't be computed");
	assert(request->nheaders < HTTP_HEADERS_MAX);
	request->url = arena_format(arena, "%s/%s%s%s", bus->base, path,
	    path[plain] == '\0' ? "?" : "&", VERSION);
	request->headers[request->nheaders++] = signed_by;
	if (cloud_ask(queue, arena, request, ret, err) == -1)
		return -1;
	if (ret->status >= SERVICEBUS_OK && ret->status <= SERVICEBUS_NOTHING)
		return 0;
	/* <Error><Code>401</Code><Detail>…</Detail></Error> */
	const char *words = cloud_xml(arena, ret, "Detail");
	const struct cloud_refusal refusal = {
	    ret->status == UNAUTHORIZED && words != NULL &&
	            strstr(words, "claim") != NULL
	        ? CAUSE_PERMISSION
	        : CAUSE_NONE,
	    NULL, words, queue->target};
	int rc = cloud_refused(queue, ret, &refusal, err);

	cloud_reply_fini(ret);
	return rc;
}

int
servicebus_look(struct queue *queue, struct arena *arena, const char *path,
    struct cloud_reply *ret, struct err *err)
{
	struct http_request request = {.method = "GET"};

	return servicebus_ask(queue, arena, path, &request, ret, err);
}

/* --- looking ------------------------------------------------------------- */

static struct queue_number
count_of(struct arena *arena, const struct cloud_reply *reply, const char *name,
    enum know know)
{
	const char *text = cloud_xml(arena, reply, name);
	int64_t value = 0;

	if (text == NULL || text_i64(text, 0, INT64_MAX, &value, NULL) == -1)
		return queue_unknown("Service Bus doesn't say");
	return (struct queue_number){.value = value, .know = know};
}

/* ISO 8601 as the service writes it: "PT1M", "PT30S", "PT1M30S". */
static struct queue_number
lock_of(const char *text)
{
	int64_t total_s = 0;

	if (text == NULL || !text_starts(text, "PT"))
		return queue_unknown("Service Bus doesn't say");
	for (const char *at = text + 2; *at != '\0';) {
		char *end = NULL;
		double value = strtod(at, &end);
		double unit = *end == 'H' ? 3600 : *end == 'M' ? 60 : 1;

		if (end == at || strchr("HMS", *end) == NULL || *end == '\0' ||
		    value < 0 || value > LIFE_S)
			return queue_unknown("its LockDuration can't be read");
		total_s += (int64_t)(value * unit);
		at = end + 1;
	}
	return queue_exact(total_s * MS_PER_S);
}

static void
read_status(const char *status, struct arena *arena, struct queue_state *ret)
{
	const char *why =
	    arena_format(arena, "status %s", status == NULL ? "?" : status);

	ret->paused = status == NULL ? -1
	              : text_equal(status, "Disabled") ||
	                      text_equal(status, "ReceiveDisabled")
	                  ? 1
	                  : 0;
	if (status == NULL)
		return;
	ret->held = (struct queue_flag){
	    text_equal(status, "Disabled") || text_equal(status, "SendDisabled")
	        ? HOLDS_YES
	        : HOLDS_NO,
	    why};
}

static void
read_entity(struct queue *queue, struct arena *arena,
    const struct cloud_reply *reply, struct queue_state *ret)
{
	ret->exists = EXISTS_YES;
	ret->as_of_wall_ms = clock_wall_ms();
	ret->identity = queue->target;
	ret->waiting =
	    count_of(arena, reply, "ActiveMessageCount", KNOW_ESTIMATE);
	ret->active =
	    queue_unknown("locked messages are among the waiting ones");
	ret->delayed =
	    count_of(arena, reply, "ScheduledMessageCount", KNOW_EXACT);
	ret->dead =
	    count_of(arena, reply, "DeadLetterMessageCount", KNOW_EXACT);
	ret->dead_kept = (struct queue_flag){
	    HOLDS_YES, "every queue has a $DeadLetterQueue"};
	ret->attempts_limit =
	    count_of(arena, reply, "MaxDeliveryCount", KNOW_EXACT);
	ret->payload_max =
	    count_of(arena, reply, "MaxMessageSizeInKilobytes", KNOW_EXACT);
	ret->payload_max.value *= KIB;
	ret->lease_ms = lock_of(cloud_xml(arena, reply, "LockDuration"));
	ret->failed = queue_inapplicable();
	ret->completed = queue_inapplicable();
	ret->oldest_ms = queue_unknown("only a receiver is told");
	ret->attempts_max = queue_unknown("only a receiver is told");
	ret->lease_expired = queue_inapplicable(); /* they are active again */
	ret->lease_missing = queue_inapplicable();
	ret->consumers = queue_unknown("Service Bus doesn't say who receives");
	read_status(cloud_xml(arena, reply, "Status"), arena, ret);
}

/* An entity that isn't there is answered with 404, or with an empty feed. */
static int
servicebus_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct servicebus *bus = queue->state;
	struct cloud_reply reply = {.body = ""};

	ret->target = queue->target;
	ret->engine = "Azure Service Bus";
	if (servicebus_look(queue, arena, bus->entity, &reply, err) == -1) {
		if (queue->cause == CAUSE_PERMISSION)
			(void)err_wrap(err, "%s", MANAGE);
		if (queue->cause != CAUSE_NOT_FOUND)
			return -1;
		ret->exists = EXISTS_NO;
		return 0;
	}
	if (cloud_xml(arena, &reply, "QueueDescription") == NULL &&
	    cloud_xml(arena, &reply, "SubscriptionDescription") == NULL)
		ret->exists = EXISTS_NO;
	else
		read_entity(queue, arena, &reply, ret);
	cloud_reply_fini(&reply);
	return 0;
}

/* The titles of a list, offered as `type` at `where`. */
static int
offer_list(struct queue *queue, struct near *near, const char *list,
    const char *where, const char *type, struct err *err)
{
	struct cloud_reply reply = {.body = ""};
	const char *name = NULL;

	if (servicebus_look(queue, near->arena,
	        arena_format(near->arena, "%s?$skip=0&$top=100", list), &reply,
	        err) == -1)
		return -1;
	const char *at = reply.body;

	while ((name = cloud_xml_next(
	            near->arena, &at, reply.body + reply.len, "title")) != NULL)
		near_offer(near, name, where, type);
	cloud_reply_fini(&reply);
	return 0;
}

/* Subscriptions of the topics that are like ours: the nearest ones. */
static int
offer_topics(
    struct queue *queue, struct near *near, const char *topic, struct err *err)
{
	struct near topics;
	int rc;

	near_init(&topics, near->arena, topic);
	rc = offer_list(queue, &topics, "$Resources/Topics", "", "topic", err);
	for (size_t i = 0; rc == 0 && i < topics.count && i < TOPICS_MAX; i++) {
		const char *name = topics.found[i].name;

		rc = offer_list(queue, near,
		    arena_format(near->arena, "%s/Subscriptions", name),
		    arena_format(near->arena, "topic %s", name), "subscription",
		    err);
	}
	return rc;
}

static int
servicebus_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	const struct servicebus *bus = queue->state;
	bool topic = !text_equal(bus->entity, bus->sendto);
	struct near near;

	near_init(&near, arena, queue->name);
	if (offer_list(queue, &near,
	        topic ? arena_format(arena, "%s/Subscriptions", bus->sendto)
	              : "$Resources/Queues",
	        "", topic ? "subscription" : "queue", err) == -1 &&
	    (!topic || queue->cause != CAUSE_NOT_FOUND))
		return -1;
	if (topic && near.count == 0 && state->exists == EXISTS_NO &&
	    offer_topics(queue, &near, bus->sendto, err) == -1)
		return -1;
	near_finish(&near, state);
	return 0;
}

/* --- a canary ------------------------------------------------------------- */

static int
servicebus_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct servicebus *bus = queue->state;
	struct cloud_reply reply = {.body = ""};
	struct http_request request = {.method = "POST",
	    .body = job->payload,
	    .body_len = job->len,
	    .headers = {"Content-Type: application/octet-stream",
	        arena_format(arena,
	            "BrokerProperties: {\"MessageId\":\"%s\","
	            "\"TimeToLive\":60,\"Label\":\"reeve-canary\"}",
	            job->canary)},
	    .nheaders = 2};

	if (servicebus_ask(queue, arena,
	        arena_format(arena, "%s/messages", bus->sendto), &request,
	        &reply, err) == -1)
		return -1;
	*ret_receipt = arena_text(arena, job->canary);
	cloud_reply_fini(&reply);
	return 0;
}

static int
servicebus_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	(void)queue, (void)job, (void)arena, (void)err;
	ret->place = PLACE_UNKNOWN;
	ret->detail = "Service Bus shows a message only to who locks it: "
	              "declare a stage that sees what the worker did";
	return 0;
}

static int
servicebus_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	(void)job;
	*ret_removed = false;
	return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_UNSUPPORTED,
	    "Service Bus can't take a message back: a canary lives for 60 s "
	    "at most");
}

static const char *const schemes[] = {"servicebus", NULL};
static const char *const keys[] = {"queue", "endpoint", "dlq", "test", "ts",
    "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_servicebus = {
    .kind = "servicebus",
    .schemes = schemes,
    .name_key = "queue",
    .name_in_path = true,
    .deep_path = true,
    .keys = keys,
    .open = servicebus_open,
    .close = servicebus_close,
    .observe = servicebus_observe,
    .near = servicebus_near,
    .submit = servicebus_submit,
    .follow = servicebus_follow,
    .remove = servicebus_remove,
    .list = servicebus_list,
    .move = servicebus_move,
};
