/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/kafka_session.h"

/* What is asked about a topic: its partitions, where they end, how far a group
 * has come, and the messages themselves. */

enum {
	SLICE_MS = 100 /* of one wait, so that the end of the time is seen */
};

/* --- topics --------------------------------------------------------------- */

static int
take_partitions(struct queue *queue,
    const struct rd_kafka_metadata_topic *topic, struct arena *arena,
    struct kafka_cluster *ret, struct err *err)
{
	if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return 0;
	if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
	    topic->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		return kafka_failed(
		    queue, topic->err, "look at the topic", err);
	if (topic->partition_cnt > KAFKA_PARTITIONS_MAX)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_CAPACITY, "the topic has more than %d partitions",
		    KAFKA_PARTITIONS_MAX);
	ret->exists = true;
	ret->count = (size_t)topic->partition_cnt;
	ret->partitions =
	    arena_array(arena, ret->count + 1, sizeof(*ret->partitions));
	for (size_t i = 0; i < ret->count; i++)
		ret->partitions[i] =
		    (struct kafka_partition){.id = topic->partitions[i].id,
		        .led = topic->partitions[i].leader >= 0,
		        .low = -1,
		        .end = -1,
		        .committed = KAFKA_NONE};
	return 0;
}

int
kafka_look(struct queue *queue, const char *topic, struct arena *arena,
    struct kafka_cluster *ret, struct err *err)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t code = rd_kafka_metadata(
	    kafka_handle(queue), 1, NULL, &metadata, kafka_left_ms(queue));
	int rc = 0;

	*ret = (struct kafka_cluster){.count = 0};
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_failed(queue, code, "list the topics", err);
	size_t count =
	    MIN((size_t)metadata->topic_cnt, (size_t)KAFKA_TOPICS_MAX);

	ret->topics = arena_array(arena, count + 1, sizeof(*ret->topics));
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const char *name = metadata->topics[i].topic;

		ret->topics[ret->ntopics++] = arena_text(arena, name);
		if (text_equal(name, topic))
			rc = take_partitions(
			    queue, &metadata->topics[i], arena, ret, err);
	}
	rd_kafka_metadata_destroy(metadata);
	return rc;
}

/* --- offsets -------------------------------------------------------------- */

static rd_kafka_topic_partition_list_t *
partitions_of(const char *topic, const struct kafka_cluster *cluster,
    bool only_led, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new((int)cluster->count);

	for (size_t i = 0; i < cluster->count; i++)
		if (cluster->partitions[i].led || !only_led)
			rd_kafka_topic_partition_list_add(
			    list, topic, cluster->partitions[i].id)
			    ->offset = offset;
	return list;
}

/* The first, or the next to come: one request to each leader. A partition
 * whose leader doesn't answer is as one without. */
static int
ask_ends(struct queue *queue, const char *topic, struct kafka_cluster *cluster,
    bool low, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = partitions_of(topic, cluster,
	    true, low ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (list->cnt > 0)
		code = rd_kafka_offsets_for_times(
		    kafka_handle(queue), list, kafka_left_ms(queue));
	for (size_t i = 0;
	     code == RD_KAFKA_RESP_ERR_NO_ERROR && i < cluster->count; i++) {
		struct kafka_partition *one = &cluster->partitions[i];
		const rd_kafka_topic_partition_t *found =
		    rd_kafka_topic_partition_list_find(list, topic, one->id);

		if (found == NULL)
			continue;
		if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR ||
		    found->offset < 0)
			one->led = false;
		else if (low)
			one->low = found->offset;
		else
			one->end = found->offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR
	           ? 0
	           : kafka_failed(
	                 queue, code, "ask for the partitions' ends", err);
}

int
kafka_ends(struct queue *queue, const char *topic,
    struct kafka_cluster *cluster, struct err *err)
{
	return ask_ends(queue, topic, cluster, true, err) == -1
	           ? -1
	           : ask_ends(queue, topic, cluster, false, err);
}

int
kafka_committed(struct queue *queue, const char *topic,
    struct kafka_cluster *cluster, struct err *err)
{
	rd_kafka_topic_partition_list_t *list =
	    partitions_of(topic, cluster, false, RD_KAFKA_OFFSET_INVALID);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (list->cnt > 0)
		code = rd_kafka_committed(
		    kafka_handle(queue), list, kafka_left_ms(queue));
	for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt;
	     i++) {
		const rd_kafka_topic_partition_t *found = &list->elems[i];

		code = found->err;
		for (size_t k = 0; k < cluster->count; k++)
			if (cluster->partitions[k].id == found->partition &&
			    found->offset >= 0)
				cluster->partitions[k].committed =
				    found->offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR
	           ? 0
	           : kafka_failed(queue, code,
	                 "ask for the group's committed offsets", err);
}

/* --- messages ------------------------------------------------------------- */

/* Those that hold something to be read, from there on. */
static rd_kafka_topic_partition_list_t *
readable(const char *topic, const struct kafka_cluster *cluster)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new((int)cluster->count);

	for (size_t i = 0; i < cluster->count; i++) {
		const struct kafka_partition *one = &cluster->partitions[i];
		int64_t from = MAX(one->committed, one->low);

		if (one->led && from < one->end)
			rd_kafka_topic_partition_list_add(list, topic, one->id)
			    ->offset = from;
	}
	return list;
}

static struct kafka_message
message_of(struct arena *arena, const rd_kafka_message_t *from)
{
	rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
	int64_t at_ms = rd_kafka_message_timestamp(from, &type);
	size_t len = MIN(from->len, (size_t)QUEUE_PEEK_MAX);

	return (struct kafka_message){.partition = from->partition,
	    .offset = from->offset,
	    .at_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : at_ms,
	    .payload = arena_bytes(
	        arena, from->payload != NULL ? from->payload : "", len),
	    .len = len,
	    .whole = from->len};
}

/* How many of this partition there are already. */
static size_t
have(const struct kafka_messages *found, int32_t partition)
{
	size_t n = 0;

	for (size_t i = 0; i < found->count; i++)
		n += found->all[i].partition == partition;
	return n;
}

/* One message, or the end of a partition; `*left` counts those that have more
 * for us. */
static rd_kafka_resp_err_t
take_message(const rd_kafka_message_t *message, size_t each,
    struct arena *arena, struct kafka_messages *ret, int *left)
{
	size_t had = have(ret, message->partition);

	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		*left -= had < each;
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && had < each) {
		ret->all[ret->count++] = message_of(arena, message);
		*left -= had + 1 == each;
	}
	return message->err;
}

int
kafka_read(struct queue *queue, const struct kafka_wanted *wanted,
    const struct kafka_cluster *cluster, struct arena *arena,
    struct kafka_messages *ret, struct err *err)
{
	rd_kafka_t *rk = kafka_handle(queue);
	rd_kafka_topic_partition_list_t *list =
	    readable(wanted->topic, cluster);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int64_t until_ms = MIN(wanted->until_ms, queue->deadline_ms);
	int left = list->cnt;

	ret->count = 0;
	if (left > 0)
		code = rd_kafka_assign(rk, list);
	while (code == RD_KAFKA_RESP_ERR_NO_ERROR && left > 0 &&
	       ret->count < wanted->most && clock_ms() < until_ms) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk,
		    (int)MIN(MAX(until_ms - clock_ms(), 1), (int64_t)SLICE_MS));

		if (message == NULL)
			continue;
		code = take_message(message, wanted->each, arena, ret, &left);
		rd_kafka_message_destroy(message);
	}
	if (list->cnt > 0)
		(void)rd_kafka_assign(rk, NULL);
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR
	           ? 0
	           : kafka_failed(queue, code, "read messages", err);
}
