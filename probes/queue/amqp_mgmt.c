/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/http.h"
#include "probes/queue/amqp.h"

int
amqp_mgmt_read(struct queue *queue, struct arena *arena, const char *path,
    cJSON **ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	const char *base = amqp->mgmt;
	size_t len = strlen(base);
	struct ladder ladder;
	struct http_answer answer;
	struct http_request request = {.method = "GET"};
	int rc = -1;

	while (len > 0 && base[len - 1] == '/')
		len--;
	request.url = arena_format(arena, "%.*s%s", (int)len, base, path);
	ladder_init(&ladder, arena, queue->deadline_ms);
	if (http_perform(&request, &ladder, &answer) == -1)
		(void)err_set(
		    err, ERR_SYSTEM, "management API: %s", ladder.summary);
	else if (answer.status != 200)
		(void)err_set(err, ERR_REFUSED, "management API: HTTP %ld",
		    answer.status);
	else if (answer.body.overflow)
		(void)err_set(
		    err, ERR_CAPACITY, "management API: more than 1 MiB");
	else {
		const char *text =
		    arena_bytes(arena, answer.body.data, answer.body.len);

		*ret = json_read(text, answer.body.len, err);
		rc = *ret != NULL ? 0 : err_wrap(err, "management API");
	}
	http_answer_fini(&answer);
	return rc;
}

static int
consumer_of(struct arena *arena, const cJSON *one, struct amqp_counted *counted,
    size_t at, struct err *err)
{
	struct queue_consumer *ret = &counted->who[at];
	const cJSON *channel = NULL;
	const char *host = NULL;
	int64_t prefetch = 0;
	int64_t port = -1;

	*ret = (struct queue_consumer){.reads = "",
	    .worker = "",
	    .pid = -1,
	    .proof = PROOF_CONNECTED | PROOF_WAITS};
	if (!cJSON_IsObject(one))
		return err_set(err, ERR_INPUT, "a consumer is no object");
	if (json_object(one, "channel_details", &channel, err) == -1 ||
	    json_copy(arena, one, "consumer_tag", &ret->id, err) == -1 ||
	    json_i64(one, "prefetch_count", 0, &prefetch, err) == -1 ||
	    json_copy(arena, channel, "peer_host", &host, err) == -1 ||
	    json_copy(arena, channel, "name", &counted->channels[at], err) ==
	        -1 ||
	    (channel != NULL &&
	        json_i64(channel, "peer_port", -1, &port, err) == -1))
		return -1;
	ret->address = host[0] == '\0'
	                   ? ""
	                   : arena_format(arena, "%s:%" PRId64, host, port);
	/* 0 is no limit at all */
	if (prefetch <= 0 || prefetch > UINT16_MAX || counted->prefetch < 0)
		counted->prefetch = -1;
	else
		counted->prefetch += prefetch;
	return 0;
}

/* The name of the default exchange is the empty text. */
static bool
has_text(const cJSON *object, const char *key)
{
	return cJSON_IsString(cJSON_GetObjectItemCaseSensitive(object, key));
}

int
amqp_counted_of(struct arena *arena, const cJSON *answer,
    struct amqp_counted *ret, struct err *err)
{
	struct amqp_counted counted = {
	    .who = arena_array(arena, QUEUE_WHO_MAX, sizeof(*counted.who)),
	    .channels =
	        arena_array(arena, QUEUE_WHO_MAX, sizeof(*counted.channels))};
	const cJSON *arguments = NULL;
	const cJSON *policy = NULL;
	const cJSON *consumers = NULL;
	const cJSON *one = NULL;

	if (!cJSON_IsObject(answer))
		return err_set(err, ERR_INPUT, "a queue is no object");
	if (json_object(answer, "arguments", &arguments, err) == -1 ||
	    json_array(answer, "consumer_details", &consumers, err) == -1 ||
	    json_i64(answer, "messages_unacknowledged", -1, &counted.unacked,
	        err) == -1 ||
	    json_copy(arena, answer, "type", &counted.type, err) == -1 ||
	    json_copy(arena, arguments, "x-dead-letter-exchange",
	        &counted.dead_exchange, err) == -1 ||
	    json_copy(arena, arguments, "x-dead-letter-routing-key",
	        &counted.dead_key, err) == -1)
		return -1;
	/* without a policy it is an empty array in some versions */
	policy = cJSON_GetObjectItemCaseSensitive(
	    answer, "effective_policy_definition");
	counted.dead_lettered = has_text(arguments, "x-dead-letter-exchange") ||
	                        has_text(policy, "dead-letter-exchange");
	if (!has_text(arguments, "x-dead-letter-exchange") &&
	    cJSON_IsObject(policy) &&
	    (json_copy(arena, policy, "dead-letter-exchange",
	         &counted.dead_exchange, err) == -1 ||
	        json_copy(arena, policy, "dead-letter-routing-key",
	            &counted.dead_key, err) == -1))
		return -1;
	counted.delivery_limit = -1;
	if (arguments != NULL && json_i64(arguments, "x-delivery-limit", -1,
	                             &counted.delivery_limit, err) == -1)
		return -1;
	cJSON_ArrayForEach(one, consumers)
	{
		if (counted.nwho == QUEUE_WHO_MAX)
			break;
		if (consumer_of(arena, one, &counted, counted.nwho++, err) ==
		    -1)
			return -1;
	}
	*ret = counted;
	return 0;
}

void
amqp_held_of(struct amqp_counted *counted, const cJSON *channels)
{
	const cJSON *one = NULL;

	cJSON_ArrayForEach(one, channels)
	{
		const char *name = "";
		int64_t consumers = 0, unacked = 0;

		if (!cJSON_IsObject(one) ||
		    json_text(one, "name", "", &name, NULL) == -1 ||
		    json_i64(one, "consumer_count", 0, &consumers, NULL) ==
		        -1 ||
		    json_i64(one, "messages_unacknowledged", -1, &unacked,
		        NULL) == -1 ||
		    consumers != 1 || unacked < 0)
			continue;
		for (size_t i = 0; i < counted->nwho; i++)
			if (text_equal(counted->channels[i], name))
				counted->who[i].held = (struct queue_number){
				    .value = unacked, .know = KNOW_ESTIMATE};
	}
}

/* Under a direct exchange the keys are equal; under another one any single
 * queue is meant. */
const char *
amqp_bound_of(struct arena *arena, const cJSON *bindings, const char *key)
{
	const char *only = NULL;
	const char *exact = NULL;
	size_t count = 0;
	const cJSON *one = NULL;

	cJSON_ArrayForEach(one, bindings)
	{
		const char *to = NULL;
		const char *type = NULL;
		const char *by = NULL;

		if (!cJSON_IsObject(one) ||
		    json_copy(arena, one, "destination", &to, NULL) == -1 ||
		    json_copy(arena, one, "destination_type", &type, NULL) ==
		        -1 ||
		    json_copy(arena, one, "routing_key", &by, NULL) == -1 ||
		    !text_equal(type, "queue"))
			continue;
		if (text_equal(by, key))
			exact = exact == NULL ? to : "";
		only = to;
		count++;
	}
	if (exact != NULL && exact[0] != '\0')
		return exact;
	return count == 1 ? only : NULL;
}

int
amqp_mgmt_queue(struct queue *queue, struct arena *arena,
    struct amqp_counted *ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	CLEANUP(json_free) cJSON *answer = NULL;
	const char *path = arena_format(arena, "/api/queues/%s/%s",
	    url_encode(arena, amqp->vhost), url_encode(arena, queue->name));

	if (amqp->mgmt == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "only the management API shows it: 'mgmt'");
	return amqp_mgmt_read(queue, arena, path, &answer, err) == -1 ||
	               amqp_counted_of(arena, answer, ret, err) == -1
	           ? -1
	           : 0;
}

void
amqp_mgmt_held(
    struct queue *queue, struct arena *arena, struct amqp_counted *counted)
{
	const struct amqp_queue *amqp = queue->state;
	CLEANUP(json_free) cJSON *channels = NULL;
	const char *path = arena_format(arena,
	    "/api/vhosts/%s/channels?columns=name,consumer_count,"
	    "messages_unacknowledged",
	    url_encode(arena, amqp->vhost));

	if (counted->nwho > 1 &&
	    amqp_mgmt_read(queue, arena, path, &channels, NULL) == 0)
		amqp_held_of(counted, channels);
}

const char *
amqp_alarm_of(struct arena *arena, const cJSON *nodes)
{
	static const char *const alarms[] = {"mem_alarm", "disk_free_alarm"};
	const cJSON *node = NULL;

	cJSON_ArrayForEach(node, nodes)
	{
		const char *name = NULL;

		if (!cJSON_IsObject(node) ||
		    json_text(node, "name", "", &name, NULL) == -1)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(alarms); i++) {
			bool is = false;

			if (json_bool(node, alarms[i], false, &is, NULL) == 0 &&
			    is)
				return arena_format(
				    arena, "%s of node %s", alarms[i], name);
		}
	}
	return NULL;
}
