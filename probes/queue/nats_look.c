/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/nats.h"
#include "probes/queue/timestamp.h"

enum {
	IDLE_LOOKS = 3,
	IDLE_STEP_MS = 1000,
	MARGIN_MS = 500 /* for the last answer before the deadline */
};
/* How long no pull request must be seen before nobody is said to pull: workers
 * that fetch leave gaps. Who judges looks twice, which makes it twice as long
 * (queues.md part 8). */
static const int64_t IDLE_MS = 3000;

static struct queue_number
estimate(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_ESTIMATE};
}

static struct queue_number
at_least(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_AT_LEAST};
}

/* --- who pulls -------------------------------------------------------------
 */

/* What one look says; false: look again. */
static bool
somebody_pulls(struct nats_queue *nats, struct arena *arena,
    const struct nats_consumer *consumer, struct queue_number *ret)
{
	bool pulled = consumer->deliver[0] == '\0';

	if (!pulled) {
		*ret = consumer->push_bound ? at_least(1) : queue_exact(0);
		return true;
	}
	if (consumer->waiting <= 0 && consumer->ack_pending == 0)
		return false;
	nats->idle_looks = 0;
	if (consumer->waiting > 0)
		*ret = at_least(1);
	else
		*ret = queue_unknown(arena_format(arena,
		    "%" PRId64
		    " in hand and no pull request waits: a worker that is busy "
		    "looks the same as one that died",
		    consumer->ack_pending));
	return true;
}

static struct queue_number
look_for_pullers(
    struct queue *queue, struct arena *arena, const struct nats_consumer *first)
{
	struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = first;
	struct queue_number ret = {0};
	struct err err = ERR_INIT;

	for (;;) {
		int64_t now_ms = clock_ms();

		if (somebody_pulls(nats, arena, consumer, &ret))
			return ret;
		if (nats->idle_looks++ == 0)
			nats->idle_since_ms = now_ms;
		if (nats->idle_looks >= IDLE_LOOKS &&
		    now_ms - nats->idle_since_ms >= IDLE_MS)
			return queue_exact(0);
		if (queue_remaining_ms(queue) < IDLE_STEP_MS + MARGIN_MS)
			return queue_unknown(arena_format(arena,
			    "no pull request was seen in %d looks over %" PRId64
			    " ms, which workers that fetch may leave between "
			    "two",
			    nats->idle_looks, now_ms - nats->idle_since_ms));
		(void)poll(NULL, 0, IDLE_STEP_MS);
		if (nats_get_consumer(queue, arena, &consumer, &err) == -1 ||
		    consumer == NULL)
			return queue_unknown(arena_text(arena, err.text));
	}
}

/* Names of connections: which consumer they pull from isn't shown. */
static void
list_connections(
    struct arena *arena, const cJSON *connz, struct queue_state *ret)
{
	const cJSON *array = NULL;
	const cJSON *one = NULL;
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	size_t count = 0;

	if (json_array(connz, "connections", &array, NULL) == -1)
		return;
	cJSON_ArrayForEach(one, array)
	{
		const char *name = NULL;
		const char *ip = NULL;
		int64_t port = -1;

		if (count == QUEUE_WHO_MAX)
			break;
		if (!cJSON_IsObject(one) ||
		    json_text(one, "name", "", &name, NULL) == -1 ||
		    json_text(one, "ip", "", &ip, NULL) == -1 ||
		    json_i64(one, "port", -1, &port, NULL) == -1 ||
		    text_equal(name, "reeve-probe"))
			continue;
		who[count++] =
		    (struct queue_consumer){.id = arena_text(arena, name),
		        .address = arena_format(arena,
		            strchr(ip, ':') != NULL ? "[%s]:%" PRId64
		                                    : "%s:%" PRId64,
		            ip, port),
		        .reads = "",
		        .worker = "",
		        .pid = -1,
		        .proof = PROOF_CONNECTED};
	}
	ret->who = who;
	ret->nwho = count;
}

/* The server's clock and its connections; what can't be had stays unknown. */
static void
look_at_monitor(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct nats_queue *nats = queue->state;
	CLEANUP(json_free) cJSON *connz = NULL;
	struct err err = ERR_INIT;
	const char *now = NULL;
	int64_t now_ms = -1;
	const char *path =
	    nats->account != NULL
	        ? arena_format(arena, "/connz?limit=%d&acc=%s", QUEUE_WHO_MAX,
	              url_encode(arena, nats->account))
	        : arena_format(arena, "/connz?limit=%d", QUEUE_WHO_MAX);

	if (nats->monitor == NULL ||
	    nats_monitor_read(queue, arena, path, &connz, &err) == -1)
		return;
	if (json_text(connz, "now", "", &now, &err) == 0 &&
	    timestamp_parse(now, &now_ms) == 0)
		ret->as_of_wall_ms = now_ms;
	list_connections(arena, connz, ret);
}

/* --- limits ----------------------------------------------------------------
 */

static struct queue_flag
holds(bool is, const char *why)
{
	return (struct queue_flag){
	    .is = is ? HOLDS_YES : HOLDS_NO, .why = is ? why : NULL};
}

static void
fill_limits(struct arena *arena, const struct nats_stream *stream,
    struct queue_state *ret)
{
	bool full_messages = stream->max_messages > 0 &&
	                     stream->messages >= stream->max_messages;
	bool full_bytes =
	    stream->max_bytes > 0 && stream->bytes >= stream->max_bytes;
	bool limited = stream->max_messages > 0 || stream->max_bytes > 0;

	ret->held = holds(stream->refuses_new && (full_messages || full_bytes),
	    full_messages
	        ? arena_format(arena, "it is full at %" PRId64 " messages",
	              stream->max_messages)
	        : arena_format(arena, "it is full at %" PRId64 " bytes",
	              stream->max_bytes));
	ret->evicts =
	    holds(stream->max_age_ms > 0 || (limited && !stream->refuses_new),
	        stream->max_age_ms > 0
	            ? arena_format(
	                  arena, "max_age %" PRId64 " ms", stream->max_age_ms)
	            : "discard old, with max_msgs or max_bytes");
}

static void
fill_consumer_limits(struct arena *arena, const struct nats_stream *stream,
    const struct nats_consumer *consumer, struct queue_state *ret)
{
	bool full = consumer->max_ack_pending > 0 &&
	            consumer->ack_pending >= consumer->max_ack_pending;

	ret->capacity = consumer->max_ack_pending > 0
	                    ? queue_exact(consumer->max_ack_pending)
	                    : queue_inapplicable();
	ret->attempts_limit = queue_exact(MAX(consumer->max_deliver, 0));
	if (consumer->ack_wait_ms >= 0)
		ret->lease_ms = queue_exact(consumer->ack_wait_ms);
	ret->stuck = holds(full && consumer->pending > 0,
	    arena_format(arena,
	        "max_ack_pending is reached: %" PRId64
	        " messages are not acknowledged",
	        consumer->ack_pending));
	if (nats_dead(stream, consumer) >= 0 && consumer->max_deliver > 0)
		ret->dead_kept = holds(
		    true, "what was given up stays in the work-queue stream");
}

/* --- numbers ---------------------------------------------------------------
 */

static void
fill_from_consumer(struct arena *arena, const struct nats_stream *stream,
    const struct nats_consumer *consumer, struct queue_state *ret)
{
	int64_t dead = nats_dead(stream, consumer);

	ret->paused = consumer->paused;
	ret->waiting = queue_exact(consumer->pending);
	ret->active = queue_exact(consumer->ack_pending);
	ret->dead = dead >= 0
	                ? queue_exact(dead)
	                : queue_unknown(
	                      "only a work-queue stream with one consumer that "
	                      "takes all of it shows what was given up");
	ret->attempts_max = consumer->redelivered > 0
	                        ? at_least(2)
	                        : queue_exact(consumer->ack_pending > 0);
	ret->lease_expired = queue_unknown(arena_format(arena,
	    "JetStream doesn't show which messages are past ack_wait (%" PRId64
	    " ms)",
	    consumer->ack_wait_ms));
	if (consumer->now_ms > 0)
		ret->as_of_wall_ms = consumer->now_ms;
	if (consumer->created_ms > 0)
		ret->consumer_age_ms =
		    queue_exact(MAX((ret->as_of_wall_ms > 0 ? ret->as_of_wall_ms
		                                            : clock_wall_ms()) -
		                        consumer->created_ms,
		        0));
	fill_consumer_limits(arena, stream, consumer, ret);
}

/* Of a stream whose consumer isn't there: all waits, for nobody. */
static void
fill_from_stream(const struct nats_stream *stream, struct queue_state *ret)
{
	ret->waiting = queue_exact(stream->messages);
	ret->active = queue_exact(0);
	ret->dead = queue_unknown("there is no consumer");
	ret->attempts_max = queue_exact(0);
	ret->lease_expired = queue_inapplicable();
	ret->consumers = queue_exact(0);
}

static void
fill_rest(struct queue_state *ret)
{
	ret->delayed = queue_inapplicable();
	ret->failed = queue_inapplicable();
	ret->completed = queue_unknown("JetStream doesn't count what is done");
	ret->lease_missing = queue_inapplicable();
}

static void
look_at_oldest(struct queue *queue, struct arena *arena,
    const struct nats_consumer *consumer, bool server_clock,
    struct queue_state *ret)
{
	const struct nats_queue *nats = queue->state;
	struct nats_message message = {0};
	struct err err = ERR_INIT;
	struct arena scratch;
	const struct nats_place first = {.stream = nats->stream,
	    .seq = consumer != NULL ? consumer->delivered + 1 : 1,
	    .filter = consumer != NULL ? consumer->filter : ""};

	arena_init(&scratch, NATS_SCRATCH_MAX);
	if (ret->waiting.value == 0) {
		ret->oldest_ms = queue_unknown("nothing waits");
	} else if (nats_get_message(queue, &first, &scratch, &message, &err) ==
	           -1) {
		ret->oldest_ms = queue_unknown(arena_text(arena, err.text));
	} else if (message.seq == 0 || message.time_ms < 0) {
		ret->oldest_ms = queue_unknown("it was taken meanwhile");
	} else {
		int64_t age_ms = MAX(ret->as_of_wall_ms - message.time_ms, 0);

		ret->oldest_ms =
		    server_clock ? queue_exact(age_ms) : estimate(age_ms);
		ret->head = arena_format(arena, "%" PRId64, message.seq);
	}
	arena_fini(&scratch);
}

static void
look_at_dead_stream(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct nats_queue *nats = queue->state;
	struct nats_stream stream = {0};
	struct err err = ERR_INIT;

	if (nats->dead == NULL)
		return;
	if (nats_get_stream(queue, nats->dead, arena, &stream, &err) == -1)
		ret->dead = queue_unknown(arena_text(arena, err.text));
	else
		ret->dead = queue_exact(
		    stream.messages +
		    (ret->dead.know == KNOW_EXACT ? ret->dead.value : 0));
}

/* --- what is amiss ---------------------------------------------------------
 */

static int
look_at_subject(struct queue *queue, struct arena *arena,
    const struct nats_consumer *consumer, struct queue_state *ret,
    struct err *err)
{
	struct nats_queue *nats = queue->state;
	const char *stored = NULL;

	if (nats->subject == NULL)
		return 0;
	if (nats_stored_by(queue, nats->subject, arena, &stored, err) == -1)
		return -1;
	const char *why = NULL;

	if (stored == NULL)
		why = arena_format(arena,
		    "subject '%s' is stored by no stream: what is published to "
		    "it is lost",
		    nats->subject);
	else if (!text_equal(stored, nats->stream))
		why = arena_format(arena,
		    "subject '%s' is stored by stream '%s', not by '%s'",
		    nats->subject, stored, nats->stream);
	else if (consumer != NULL && consumer->filter[0] != '\0' &&
	         !nats_subject_matches(consumer->filter, nats->subject))
		why = arena_format(arena,
		    "consumer '%s' takes '%s', not subject '%s'",
		    consumer->name, consumer->filter, nats->subject);
	if (why != NULL)
		nats->missing = MISSING_SUBJECT;
	ret->bound = (struct queue_flag){
	    .is = why != NULL ? HOLDS_NO : HOLDS_YES,
	    .why = why != NULL ? why
	                       : arena_format(arena,
	                             "subject '%s' is stored by stream '%s'",
	                             nats->subject, stored)};
	return 0;
}

/* Numbers where the API may not be used. */
static int
observe_by_monitor(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	CLEANUP(json_free) cJSON *jsz = NULL;
	const char *account = NULL;
	struct nats_stream stream = {0};
	struct nats_consumer consumer = {0};

	if (nats_monitor_read(queue, arena,
	        "/jsz?streams=1&consumers=1&config=1", &jsz, err) == -1)
		return -1;
	const cJSON *found =
	    nats_monitored(jsz, nats->account, nats->stream, NULL, &account);

	if (found == NULL) {
		ret->exists = EXISTS_NO;
		return 0;
	}
	if (nats_stream_of(arena, found, &stream, err) == -1)
		return err_wrap(err, "monitoring port");
	found = nats_monitored(
	    jsz, nats->account, nats->stream, nats->consumer, &account);
	ret->exists = EXISTS_YES;
	fill_from_stream(&stream, ret);
	ret->oldest_ms = queue_unknown("the JetStream API is not permitted");
	if (nats->consumer == NULL || found == NULL)
		return 0;
	if (nats_consumer_of(arena, found, &consumer, err) == -1)
		return err_wrap(err, "monitoring port");
	fill_from_consumer(arena, &stream, &consumer, ret);
	struct nats_queue once = {0};

	if (!somebody_pulls(&once, arena, &consumer, &ret->consumers))
		ret->consumers = queue_unknown(
		    "one look at the monitoring port sees no pull request");
	return 0;
}

static int
observe_by_api(struct queue *queue, struct arena *arena,
    const struct nats_stream *stream, struct queue_state *ret, struct err *err)
{
	struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;

	ret->exists = EXISTS_YES;
	fill_limits(arena, stream, ret);
	if (nats_get_consumer(queue, arena, &consumer, err) == -1) {
		if (!nats_refused(queue, NATS_NO_CONSUMER))
			return -1;
		nats->missing = MISSING_CONSUMER;
		ret->exists = EXISTS_NO;
		ret->amiss =
		    arena_format(arena, "stream '%s' has no consumer '%s'",
		        nats->stream, nats->consumer);
	} else if (look_at_subject(queue, arena, consumer, ret, err) == -1) {
		return -1;
	}
	bool server_clock = ret->as_of_wall_ms > 0;

	if (!server_clock)
		ret->as_of_wall_ms = clock_wall_ms();
	if (consumer != NULL) {
		fill_from_consumer(arena, stream, consumer, ret);
		server_clock = server_clock || consumer->now_ms > 0;
		ret->consumers = look_for_pullers(queue, arena, consumer);
	} else {
		fill_from_stream(stream, ret);
	}
	look_at_dead_stream(queue, arena, ret);
	look_at_oldest(queue, arena, consumer, server_clock, ret);
	return 0;
}

int
nats_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct nats_queue *nats = queue->state;
	const struct nats_server *server = nats_session_server(nats->session);
	struct nats_stream stream = {0};

	nats->missing = MISSING_NOTHING;
	ret->identity = arena_text(arena, server->id);
	ret->engine = arena_format(arena, "nats-server %s", server->version);
	ret->paused = 0;
	fill_rest(ret);
	if (server->max_payload > 0)
		ret->payload_max = queue_exact(server->max_payload);
	look_at_monitor(queue, arena, ret);
	int rc = nats_get_stream(queue, nats->stream, arena, &stream, err);

	if (rc == -1 && queue->cause == CAUSE_PERMISSION &&
	    nats->monitor != NULL)
		rc = observe_by_monitor(queue, arena, ret, err);
	else if (rc == -1 && nats_refused(queue, NATS_NO_STREAM))
		ret->exists = EXISTS_NO;
	else if (rc == -1)
		return -1;
	else
		return observe_by_api(queue, arena, &stream, ret, err);
	if (ret->exists == EXISTS_NO) {
		nats->missing = MISSING_STREAM;
		ret->amiss = arena_format(
		    arena, "there is no stream '%s'", nats->stream);
		return 0;
	}
	return rc;
}
