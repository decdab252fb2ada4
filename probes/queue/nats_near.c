/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/nats.h"
#include "probes/queue/near.h"

enum {
	LIST_PAGES_MAX = 16 /* of 256 streams each */
};

/* What is looked through: streams for a name or for their subjects. */
static int
offer_stream(struct arena *arena, const cJSON *info, struct near *near,
    bool subjects, const char *where, struct err *err)
{
	struct nats_stream stream = {0};

	if (!cJSON_IsObject(info) ||
	    nats_stream_of(arena, info, &stream, err) == -1)
		return -1;
	if (!subjects) {
		near_offer(near, stream.name, where, "stream");
		for (size_t i = 0; i < near->count; i++) {
			if (text_equal(near->found[i].name, stream.name) &&
			    text_equal(near->found[i].where, where))
				near->found[i].waiting =
				    queue_exact(stream.messages);
		}
		return 0;
	}
	for (size_t i = 0; i < stream.subjects.count; i++)
		near_offer(near, stream.subjects.names[i],
		    arena_format(arena, "stream %s", stream.name), "subject");
	return 0;
}

static int
through_streams(struct queue *queue, struct arena *arena, struct near *near,
    bool subjects, struct err *err)
{
	int64_t offset = 0;
	int64_t total = 1;

	for (int page = 0; page < LIST_PAGES_MAX && offset < total; page++) {
		CLEANUP(json_free) cJSON *answer = NULL;
		const cJSON *streams = NULL;
		const cJSON *one = NULL;
		int64_t before = offset;

		if (nats_ask(queue, "list the streams", "STREAM.LIST",
		        arena_format(arena, "{\"offset\":%" PRId64 "}", offset),
		        &answer, err) == -1 ||
		    json_i64(answer, "total", 0, &total, err) == -1 ||
		    json_array(answer, "streams", &streams, err) == -1)
			return -1;
		cJSON_ArrayForEach(one, streams)
		{
			if (offer_stream(arena, one, near, subjects, "", err) ==
			    -1)
				return -1;
			offset++;
		}
		if (offset == before)
			break;
	}
	return 0;
}

static int
through_consumers(struct queue *queue, struct arena *arena, struct near *near,
    struct err *err)
{
	const struct nats_queue *nats = queue->state;
	CLEANUP(json_free) cJSON *answer = NULL;
	struct nats_names names = {0};

	if (nats_ask(queue, "list the consumers",
	        arena_format(arena, "CONSUMER.NAMES.%s", nats->stream), "",
	        &answer, err) == -1 ||
	    nats_names_of(arena, answer, "consumers", &names, err) == -1)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		near_offer(near, names.names[i], "", "consumer");
	return 0;
}

/* The same name, or one like it, in another account of the server: which only
 * the monitoring port shows. */
static int
through_accounts(struct queue *queue, struct arena *arena, struct near *near,
    struct err *err)
{
	const struct nats_queue *nats = queue->state;
	CLEANUP(json_free) cJSON *jsz = NULL;
	const cJSON *accounts = NULL;
	const cJSON *account = NULL;

	if (nats_monitor_read(queue, arena,
	        "/jsz?streams=1&consumers=1&config=1", &jsz, err) == -1 ||
	    json_array(jsz, "account_details", &accounts, err) == -1)
		return -1;
	cJSON_ArrayForEach(account, accounts)
	{
		const cJSON *streams = NULL;
		const cJSON *one = NULL;
		const char *name = NULL;

		if (!cJSON_IsObject(account) ||
		    json_text(account, "name", "", &name, err) == -1 ||
		    json_array(account, "stream_detail", &streams, err) == -1)
			return -1;
		if (text_equal(name, nats->account))
			continue;
		cJSON_ArrayForEach(one, streams)
		{
			if (offer_stream(arena, one, near, false,
			        arena_format(arena, "account %s", name),
			        err) == -1)
				return -1;
		}
	}
	return 0;
}

int
nats_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct nats_queue *nats = queue->state;
	struct near near;
	int rc = 0;

	switch (nats->missing) {
	case MISSING_CONSUMER:
		near_init(&near, arena, nats->consumer);
		rc = through_consumers(queue, arena, &near, err);
		break;
	case MISSING_SUBJECT:
		near_init(&near, arena, nats->subject);
		rc = through_streams(queue, arena, &near, true, err);
		break;
	case MISSING_NOTHING:
	case MISSING_STREAM:
		near_init(&near, arena, nats->stream);
		rc = through_streams(queue, arena, &near, false, err);
		/* whose account this is isn't told: a stream that is absent is
		 * no other account's by mistake */
		if (nats->monitor != NULL &&
		    (nats->account != NULL ||
		        nats->missing == MISSING_STREAM) &&
		    through_accounts(queue, arena, &near, err) == -1)
			rc = -1;
		break;
	}
	near_finish(&near, state);
	return rc;
}
