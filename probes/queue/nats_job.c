/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/nats.h"

enum {
	HEADERS_MAX = 32, /* of one message, when it is put in again */
	SCAN_MAX = 1000   /* messages looked through for one page */
};

/* --- canaries --------------------------------------------------------------
 */

/* The subject of a canary: the declared one, or the only one of the stream. */
static int
subject_for(
    struct queue *queue, struct arena *arena, const char **ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	struct nats_stream stream = {0};

	*ret = nats->subject;
	if (*ret != NULL)
		return 0;
	if (nats_get_stream(queue, nats->stream, arena, &stream, err) == -1)
		return -1;
	if (stream.subjects.count != 1 ||
	    strpbrk(stream.subjects.names[0], "*>") != NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "stream '%s' stores more than one subject: say with "
		    "'subject' which a job goes to",
		    nats->stream);
	*ret = stream.subjects.names[0];
	return 0;
}

/* Where it would go, before anything is published: another team's stream may
 * be behind that subject, or none. */
static int
check_way(struct queue *queue, struct arena *arena, const char *subject,
    struct err *err)
{
	struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;
	const char *stored = NULL;

	if (nats_stored_by(queue, subject, arena, &stored, err) == -1)
		return err_wrap(err, "'%s'", subject);
	if (stored == NULL)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED,
		    "nothing was published: subject '%s' is stored by no "
		    "stream",
		    subject);
	if (!text_equal(stored, nats->stream))
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED,
		    "nothing was published: subject '%s' is stored by stream "
		    "'%s', not by '%s'",
		    subject, stored, nats->stream);
	if (nats_get_consumer(queue, arena, &consumer, err) == -1)
		return err_wrap(err, "nothing was published");
	if (consumer != NULL && consumer->filter[0] != '\0' &&
	    !nats_subject_matches(consumer->filter, subject))
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED,
		    "nothing was published: consumer '%s' takes '%s', not '%s'",
		    consumer->name, consumer->filter, subject);
	queue->target = arena_format(&queue->arena,
	    "%s subject %s, stream %s%s%s", nats_session_address(nats->session),
	    subject, stored, consumer != NULL ? ", consumer " : "",
	    consumer != NULL ? consumer->name : "");
	return 0;
}

/* Publishes with an acknowledgement by the stream. */
static int
store(struct queue *queue, const struct nats_send *send, struct arena *arena,
    int64_t *ret_seq, bool *ret_duplicate, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	struct nats_call call = {.deadline_ms = queue->deadline_ms};
	const struct nats_refusal *refusal = &call.refusal;
	const char *text = NULL;
	const char *stream = NULL;
	size_t len = 0;

	if (nats_session_ask(nats->session, send, &call, &text, &len, err) ==
	    -1) {
		queue->cause = call.cause;
		(void)snprintf(
		    queue->code, sizeof(queue->code), "%s", call.code);
		return err_wrap(err, "publish to '%s'", send->subject);
	}
	CLEANUP(json_free)
	cJSON *answer = nats_answer_read(
	    arena_bytes(arena, text, len), len, &call.refusal, err);

	if (answer == NULL)
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
		    ERR_REFUSED,
		    "what was published to '%s' is answered, but not by "
		    "JetStream",
		    send->subject);
	if (refusal->err_code != 0)
		return queue_trouble(queue, CAUSE_MISMATCH,
		    arena_format(arena, "%" PRId64, refusal->err_code), err,
		    ERR_REFUSED, "publish to '%s': %s (%" PRId64 ")",
		    send->subject, refusal->description, refusal->err_code);
	if (nats_stored_of(
	        arena, answer, &stream, ret_seq, ret_duplicate, err) == -1) {
		queue->cause = CAUSE_WRONG_TYPE;
		return -1;
	}
	return 0;
}

int
nats_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const char *subject = NULL;
	int64_t seq = -1;
	bool duplicate = false;

	if (subject_for(queue, arena, &subject, err) == -1 ||
	    check_way(queue, arena, subject, err) == -1)
		return -1;
	const char *const headers[] = {"Nats-Msg-Id", job->canary,
	    "Nats-Expected-Stream", nats->stream, NULL};
	const struct nats_send send = {.subject = subject,
	    .data = job->payload,
	    .len = job->len,
	    .headers = job->canary[0] != '\0' ? headers : headers + 2};

	if (store(queue, &send, arena, &seq, &duplicate, err) == -1)
		return -1;
	if (duplicate)
		return queue_trouble(queue, CAUSE_MISMATCH, "duplicate", err,
		    ERR_REFUSED,
		    "stream '%s' has had a message of id %s already: it took "
		    "this one for the same",
		    nats->stream, job->canary);
	*ret_receipt = arena_format(arena, "%s:%" PRId64, nats->stream, seq);
	return 0;
}

/* "STREAM:SEQ", of this queue's stream or of its dead letters'. */
static int
take_id(struct queue *queue, const char *id, const char **ret_stream,
    int64_t *ret_seq, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const char *colon = id != NULL ? strrchr(id, ':') : NULL;
	size_t len = colon != NULL ? (size_t)(colon - id) : 0;
	const char *const streams[] = {nats->stream, nats->dead};

	if (colon == NULL ||
	    text_i64(colon + 1, 1, INT64_MAX, ret_seq, NULL) == -1)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a message is named STREAM:SEQUENCE, not '%.60s'",
		    id != NULL ? id : "");
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		if (streams[i] != NULL && strlen(streams[i]) == len &&
		    memcmp(streams[i], id, len) == 0) {
			*ret_stream = streams[i];
			return 0;
		}
	}
	return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
	    "'%.60s' is no message of stream '%s'", id, nats->stream);
}

/* Of a message that is still in the stream. */
static void
sight(const struct nats_stream *stream, const struct nats_consumer *consumer,
    int64_t seq, struct arena *arena, struct queue_sighting *ret)
{
	if (consumer == NULL || seq > consumer->delivered) {
		ret->place = PLACE_VISIBLE;
		ret->detail = arena_format(arena, "sequence %" PRId64 "%s", seq,
		    consumer == NULL ? ", and there is no consumer" : "");
	} else if (seq <= nats_given_up(stream, consumer)) {
		ret->place = PLACE_DEAD;
		ret->detail =
		    arena_format(arena, "given up after %" PRId64 " deliveries",
		        consumer->max_deliver);
	} else if (nats_dead(stream, consumer) < 0 &&
	           (seq <= consumer->ack_floor || !consumer->acks)) {
		ret->place = PLACE_GONE;
		ret->detail = arena_format(arena,
		    "acknowledged (or given up) by consumer '%s'",
		    consumer->name);
	} else {
		ret->place = PLACE_TAKEN;
		ret->detail = arena_format(arena,
		    "delivered by consumer '%s', not acknowledged",
		    consumer->name);
	}
}

int
nats_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;
	struct nats_message message = {0};
	struct nats_stream stream = {0};
	struct nats_place place = {0};

	/* the consumer first: what it gives out meanwhile was visible then */
	if (take_id(queue, job->receipt, &place.stream, &place.seq, err) ==
	        -1 ||
	    nats_get_consumer(queue, arena, &consumer, err) == -1 ||
	    nats_get_message(queue, &place, arena, &message, err) == -1)
		return -1;
	if (message.seq == 0) {
		ret->place = PLACE_GONE;
		ret->detail = "acknowledged (or terminated): it left the "
		              "stream, which records no more";
		return 0;
	}
	if (nats_get_stream(queue, nats->stream, arena, &stream, err) == -1)
		return -1;
	sight(&stream, consumer, place.seq, arena, ret);
	return 0;
}

static int
delete_message(struct queue *queue, const char *stream, int64_t seq,
    struct arena *arena, bool *ret_removed, struct err *err)
{
	CLEANUP(json_free) cJSON *answer = NULL;

	*ret_removed = false;
	/* erasing the bytes too would rewrite a block of the store */
	if (nats_ask(queue, "delete the message",
	        arena_format(arena, "STREAM.MSG.DELETE.%s", stream),
	        arena_format(
	            arena, "{\"seq\":%" PRId64 ",\"no_erase\":true}", seq),
	        &answer, err) == -1)
		return nats_refused(queue, NATS_NOT_DELETED) ? 0 : -1;
	*ret_removed = true;
	return 0;
}

int
nats_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	struct queue_sighting sighting = {0};
	struct arena arena;
	const char *stream = NULL;
	int64_t seq = 0;
	int rc = -1;

	*ret_removed = false;
	arena_init(&arena, NATS_SCRATCH_MAX);
	if (take_id(queue, job->receipt, &stream, &seq, err) == 0 &&
	    nats_follow(queue, job, &arena, &sighting, err) == 0) {
		rc = 0;
		if (sighting.place == PLACE_VISIBLE ||
		    sighting.place == PLACE_DEAD)
			rc = delete_message(
			    queue, stream, seq, &arena, ret_removed, err);
	}
	arena_fini(&arena);
	return rc;
}

/* --- looking at messages, and putting them in again ------------------------
 */

struct page {
	struct arena *arena;
	struct queue_item *items;
	size_t count, limit;
	int64_t now_ms;
};

static void
take_message(
    struct page *page, const char *stream, const struct nats_message *message)
{
	size_t shown = MIN(message->len, (size_t)QUEUE_PEEK_MAX);

	page->items[page->count++] = (struct queue_item){
	    .id =
	        arena_format(page->arena, "%s:%" PRId64, stream, message->seq),
	    .error = "",
	    .owner = "",
	    .payload = arena_bytes(page->arena, message->data, shown),
	    .payload_len = shown,
	    .payload_whole = (int64_t)message->len,
	    .age_ms = message->time_ms < 0
	                  ? -1
	                  : MAX(page->now_ms - message->time_ms, 0),
	    .attempts = -1};
}

/* The messages of a stream up to a sequence; the server passes over the gaps.
 */
static int
page_through(struct queue *queue, struct nats_place at, int64_t to,
    struct page *page, struct err *err)
{
	for (int i = 0;
	     i < SCAN_MAX && page->count < page->limit && at.seq <= to; i++) {
		struct nats_message message = {0};
		struct arena scratch;

		arena_init(&scratch, NATS_SCRATCH_MAX);
		int rc = nats_get_message(queue, &at, &scratch, &message, err);
		int64_t seq = message.seq;

		if (rc == 0 && seq >= at.seq && seq <= to)
			take_message(page, at.stream, &message);
		arena_fini(&scratch);
		if (rc == -1)
			return -1;
		/* an answer that goes back would go round for ever */
		if (seq < at.seq)
			break;
		at.seq = seq + 1;
	}
	return 0;
}

static int
list_dead(struct queue *queue, struct page *page, struct queue_page *ret,
    struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;
	struct nats_stream stream = {0};
	struct nats_stream dead = {0};

	if (nats_get_consumer(queue, page->arena, &consumer, err) == -1 ||
	    nats_get_stream(queue, nats->stream, page->arena, &stream, err) ==
	        -1)
		return -1;
	int64_t left = consumer != NULL ? nats_dead(&stream, consumer) : -1;

	if (left < 0 && nats->dead == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "stream '%s' doesn't show which messages were given up: "
		    "only a work-queue stream with one consumer that takes all "
		    "of it does; 'deadLetter' may name a stream of them",
		    nats->stream);
	if (left > 0 &&
	    page_through(queue, (struct nats_place){nats->stream, 1, ""},
	        nats_given_up(&stream, consumer), page, err) == -1)
		return -1;
	if (nats->dead != NULL &&
	    (nats_get_stream(queue, nats->dead, page->arena, &dead, err) ==
	            -1 ||
	        page_through(queue, (struct nats_place){nats->dead, 1, ""},
	            dead.last_seq, page, err) == -1))
		return -1;
	ret->total = queue_exact(MAX(left, 0) + MAX(dead.messages, 0));
	return 0;
}

static int
list_waiting(struct queue *queue, struct page *page, struct queue_page *ret,
    struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;
	struct nats_stream stream = {0};

	if (nats_get_consumer(queue, page->arena, &consumer, err) == -1 ||
	    nats_get_stream(queue, nats->stream, page->arena, &stream, err) ==
	        -1)
		return -1;
	ret->total =
	    queue_exact(consumer != NULL ? consumer->pending : stream.messages);
	return page_through(queue,
	    (struct nats_place){nats->stream,
	        consumer != NULL ? consumer->delivered + 1 : 1,
	        consumer != NULL ? consumer->filter : ""},
	    stream.last_seq, page, err);
}

int
nats_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct page page = {.arena = arena,
	    .items = arena_array(arena, limit + 1, sizeof(*page.items)),
	    .limit = limit,
	    .now_ms = clock_wall_ms()};
	int rc = -1;

	if (part == PART_WAITING)
		rc = list_waiting(queue, &page, ret, err);
	else if (part == PART_DEAD)
		rc = list_dead(queue, &page, ret, err);
	else
		return err_set(err, ERR_UNSUPPORTED,
		    part == PART_EXPIRED
		        ? "JetStream gives messages out again by itself once "
		          "ack_wait is over: there is nothing to reclaim"
		        : "JetStream counts the messages in hand, but doesn't "
		          "show which they are");
	ret->items = page.items;
	ret->count = page.count;
	return rc;
}

/* "Key: value" lines of a stored message, without those that tell the server
 * what to do with it. */
static void
keep_headers(struct arena *arena, const char *text,
    const char *dst[2 * HEADERS_MAX + 1], size_t *count)
{
	const char *line = strstr(text, "\r\n");

	for (; line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		size_t len = strcspn(line, "\r\n");
		const char *colon = memchr(line, ':', len);

		if (colon == NULL || *count + 2 > 2 * (size_t)HEADERS_MAX ||
		    text_starts(line, "Nats-"))
			continue;
		const char *value = colon + 1 + strspn(colon + 1, " ");

		dst[(*count)++] =
		    arena_bytes(arena, line, (size_t)(colon - line));
		dst[(*count)++] = arena_bytes(
		    arena, value, MAX(len - (size_t)(value - line), 0));
	}
	dst[*count] = NULL;
}

/* Published anew, then deleted: in between it is there twice, and the id, which
 * is made of its old place, keeps a second try from storing it once more. */
static int
move_one(struct queue *queue, const struct nats_place *place,
    struct arena *arena, int64_t *ret_stored, struct err *err)
{
	const char *stream = place->stream;
	int64_t seq = place->seq;
	const struct nats_queue *nats = queue->state;
	const char *headers[2 * HEADERS_MAX + 5];
	struct nats_message message = {0};
	size_t count = 0;
	bool duplicate = false;
	bool removed = false;
	int64_t stored = -1;

	*ret_stored = 0;
	if (nats_get_message(queue, place, arena, &message, err) == -1)
		return -1;
	if (message.seq == 0)
		return 0;
	const char *subject =
	    text_equal(stream, nats->stream) ? message.subject : nats->subject;

	if (subject == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a dead letter of stream '%s' goes back to the subject that "
		    "'subject' names, and there is none",
		    stream);
	keep_headers(arena, message.headers, headers, &count);
	headers[count++] = "Nats-Msg-Id";
	headers[count++] =
	    arena_format(arena, "reeve-requeue-%s-%" PRId64, stream, seq);
	headers[count++] = "Nats-Expected-Stream";
	headers[count++] = nats->stream;
	headers[count] = NULL;
	const struct nats_send send = {.subject = subject,
	    .data = message.data,
	    .len = message.len,
	    .headers = headers};

	if (store(queue, &send, arena, &stored, &duplicate, err) == -1)
		return -1;
	if (delete_message(queue, stream, seq, arena, &removed, err) == -1) {
		queue->code[0] = '\0'; /* not "nothing was moved" */
		return err_wrap(err,
		    "'%s:%" PRId64 "' is in the queue again as %" PRId64
		    ", but could not be deleted where it was",
		    stream, seq, stored);
	}
	/* of several who move it at once, who deleted it has moved it */
	*ret_stored = removed ? stored : 0;
	return 0;
}

/* Is it one that no consumer has, or may get, any more? */
static int
check_given_up(struct queue *queue, const char *stream, int64_t seq,
    int64_t given_up, struct err *err)
{
	const struct nats_queue *nats = queue->state;

	if (!text_equal(stream, nats->stream) || seq <= given_up)
		return 0;
	return queue_trouble(queue, CAUSE_MISMATCH, "", err, ERR_REFUSED,
	    "'%s:%" PRId64 "' waits or may be in somebody's hand: JetStream "
	    "shows as given up what was delivered up to %" PRId64,
	    stream, seq, given_up);
}

int
nats_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct nats_queue *nats = queue->state;
	const struct nats_consumer *consumer = NULL;
	struct nats_stream stream = {0};
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	const char **as = arena_array(arena, move->nids + 1, sizeof(*as));

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "JetStream gives messages out again by itself once "
		    "ack_wait is over: there is nothing to reclaim");
	if (nats_get_consumer(queue, arena, &consumer, err) == -1 ||
	    nats_get_stream(queue, nats->stream, arena, &stream, err) == -1)
		return -1;
	int64_t given_up = nats_given_up(&stream, consumer);

	/* all are looked at before the first is touched */
	for (size_t i = 0; i < move->nids; i++) {
		const char *from = NULL;
		int64_t seq = 0;

		if (take_id(queue, move->ids[i], &from, &seq, err) == -1 ||
		    check_given_up(queue, from, seq, given_up, err) == -1)
			return -1;
	}
	ret->moved = moved;
	ret->as = as;
	for (size_t i = 0; i < move->nids; i++) {
		struct nats_place place = {0};
		struct arena scratch;
		int64_t stored = 0;

		arena_init(&scratch, NATS_SCRATCH_MAX);
		int rc = take_id(
		    queue, move->ids[i], &place.stream, &place.seq, err);

		if (rc == 0)
			rc = move_one(queue, &place, &scratch, &stored, err);
		arena_fini(&scratch);
		if (rc == -1) {
			return queue_moved_so_far(
			    queue, ret->count, move->nids, err);
		}
		moved[i] = stored > 0;
		as[i] =
		    arena_format(arena, "%s:%" PRId64, nats->stream, stored);
		ret->count += moved[i];
	}
	return 0;
}
