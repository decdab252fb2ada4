/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/redis_stream.h"

/* A canary of a stream: one entry, with the field `payload`. */

int
stream_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "XADD");
	redis_command_text(&command, stream->stream);
	/* nobody's stream is made by a canary */
	redis_command_text(&command, "NOMKSTREAM");
	redis_command_text(&command, "*");
	redis_command_text(&command, "payload");
	redis_command_bytes(&command, job->payload, job->len);
	if (redis_send(queue, &command, "put a job in", &reply, err) == -1)
		return -1;
	if (reply->type != REDIS_REPLY_STRING)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED, "there is no stream '%s'", stream->stream);
	*ret_receipt = arena_text(arena, reply->str);
	return 0;
}

/* "MS-SEQ" after "MS-SEQ"? */
static bool
id_after(const char *a, const char *b)
{
	char *rest_a = NULL;
	char *rest_b = NULL;
	unsigned long long ms_a = strtoull(a, &rest_a, 10);
	unsigned long long ms_b = strtoull(b, &rest_b, 10);

	if (ms_a != ms_b || *rest_a != '-' || *rest_b != '-')
		return ms_a > ms_b;
	return strtoull(rest_a + 1, NULL, 10) > strtoull(rest_b + 1, NULL, 10);
}

static int
judge_entry(struct queue *queue, const char *id, const redisReply *groups,
    const redisReply *pending, struct queue_sighting *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	const redisReply *last = NULL;

	for (size_t i = 0; i < groups->elements; i++) {
		const redisReply *name =
		    stream_row_field(groups->element[i], "name");

		if (name != NULL && text_equal(name->str, stream->group))
			last = stream_row_field(
			    groups->element[i], "last-delivered-id");
	}
	if (last == NULL || last->type != REDIS_REPLY_STRING)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "NOGROUP", err,
		    ERR_REFUSED, "stream '%s' has no group '%s'",
		    stream->stream, stream->group);
	if (pending->elements > 0 &&
	    pending->element[0]->type == REDIS_REPLY_ARRAY &&
	    pending->element[0]->elements == 4 &&
	    pending->element[0]->element[1]->type == REDIS_REPLY_STRING) {
		const redisReply *row = pending->element[0];

		ret->place = PLACE_TAKEN;
		ret->by = arena_text(&queue->arena, row->element[1]->str);
		ret->attempts = row->element[3]->integer;
		ret->detail = "delivered, not acknowledged";
	} else if (id_after(id, last->str)) {
		ret->place = PLACE_VISIBLE;
		ret->detail = arena_format(
		    &queue->arena, "the group is at %s", last->str);
	} else {
		/* only an acknowledgement takes it out of the pending ones */
		ret->place = PLACE_GONE;
		ret->done = true;
		ret->detail = "delivered and acknowledged";
	}
	return 0;
}

int
stream_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	struct redis_batch batch;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "there is no receipt");
	redis_batch_init(&batch, redis_handle_of(queue)->server);
	/* in this order: what was delivered before is pending after, until it
	 * is acknowledged */
	size_t groups =
	    redis_batch_ask(&batch, "XINFO", "GROUPS", stream->stream);
	size_t entry = redis_batch_ask(
	    &batch, "XRANGE", stream->stream, job->receipt, job->receipt);
	size_t pending = redis_batch_ask(&batch, "XPENDING", stream->stream,
	    stream->group, job->receipt, job->receipt, "1");
	int rc = redis_batch_send(queue, &batch, "look for the job", err);

	for (size_t i = groups; rc == 0 && i <= pending; i++)
		rc = redis_checked(queue, redis_batch_reply(&batch, i),
		    "look for the job", err);
	if (rc == 0 && redis_batch_reply(&batch, entry)->elements == 0 &&
	    redis_batch_reply(&batch, pending)->elements == 0) {
		ret->place = PLACE_GONE;
		ret->detail = "it was deleted from the stream";
	} else if (rc == 0) {
		rc = judge_entry(queue, job->receipt,
		    redis_batch_reply(&batch, groups),
		    redis_batch_reply(&batch, pending), ret, err);
	}
	/* an answer outlives the handle */
	ret->by = arena_text(arena, ret->by);
	ret->detail = arena_text(arena, ret->detail);
	redis_batch_fini(&batch);
	return rc;
}

int
stream_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	static const char script[] =
	    "local p=redis.call('XPENDING',KEYS[1],ARGV[1],ARGV[2],ARGV[2],1)\n"
	    "if #p>0 then return 0 end\n"
	    "return redis.call('XDEL',KEYS[1],ARGV[2])\n";
	const struct stream_queue *stream = queue->state;
	CLEANUP(redis_reply_free) redisReply *reply = NULL;

	if (job->receipt == NULL)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "there is no receipt");
	if (redis_ask(queue, "remove the job", &reply, err, "EVAL", script, "1",
	        stream->stream, stream->group, job->receipt) == -1)
		return -1;
	*ret_removed = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
	return 0;
}
