/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/kafka_session.h"

/* Who reads: a group as its coordinator describes it. */

enum {
	SHOWN_PARTITIONS = 20, /* of one member */
	WHY_SIZE = 256
};

/* One request of the admin API, sent by `ask`; its event is the caller's. */
struct admin {
	struct queue *queue;
	rd_kafka_admin_op_t op;
	void (*ask)(rd_kafka_t *rk, const char *group,
	    const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *to);
	const char *group;
};

/* NULL with the reason in `why`. */
static rd_kafka_event_t *
admin_ask(const struct admin *admin, char why[WHY_SIZE])
{
	rd_kafka_t *rk = kafka_handle(admin->queue);
	int left_ms = kafka_left_ms(admin->queue);
	rd_kafka_queue_t *to = rd_kafka_queue_new(rk);
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(rk, admin->op);
	rd_kafka_event_t *event = NULL;

	(void)rd_kafka_AdminOptions_set_request_timeout(
	    options, left_ms, NULL, 0);
	admin->ask(rk, admin->group, options, to);
	event = rd_kafka_queue_poll(to, left_ms);
	if (event == NULL) {
		(void)snprintf(why, WHY_SIZE, "no answer in time");
	} else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		(void)snprintf(
		    why, WHY_SIZE, "%s", rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
		event = NULL;
	}
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(to);
	return event;
}

static void
ask_describe(rd_kafka_t *rk, const char *group,
    const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *to)
{
	rd_kafka_DescribeConsumerGroups(rk, &group, 1, options, to);
}

static void
ask_list(rd_kafka_t *rk, const char *group,
    const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *to)
{
	(void)group;
	rd_kafka_ListConsumerGroups(rk, options, to);
}

/* --- members -------------------------------------------------------------- */

/* "jobs 0,3,5"; "" when it has none of our topic. */
static const char *
share_of(struct arena *arena, const rd_kafka_MemberDescription_t *member,
    const char *topic)
{
	const rd_kafka_MemberAssignment_t *assignment =
	    rd_kafka_MemberDescription_assignment(member);
	const rd_kafka_topic_partition_list_t *list =
	    assignment != NULL
	        ? rd_kafka_MemberAssignment_partitions(assignment)
	        : NULL;
	const char *text = "";
	int count = 0;

	for (int i = 0; list != NULL && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *one = &list->elems[i];

		if (!text_equal(one->topic, topic))
			continue;
		if (count == SHOWN_PARTITIONS)
			return arena_format(arena, "%s…", text);
		text = count++ == 0 ? arena_format(arena, "%s %" PRId32, topic,
		                          one->partition)
		                    : arena_format(arena, "%s,%" PRId32, text,
		                          one->partition);
	}
	return text;
}

static void
take_member(struct arena *arena, const rd_kafka_MemberDescription_t *member,
    const char *topic, struct kafka_group *ret)
{
	const char *share = share_of(arena, member, topic);
	const char *host = rd_kafka_MemberDescription_host(member);
	const char *client = rd_kafka_MemberDescription_client_id(member);

	ret->members++;
	ret->readers += share[0] != '\0';
	if (ret->nwho == QUEUE_WHO_MAX)
		return;
	if (host != NULL && host[0] == '/') /* "/10.0.0.7" of Java */
		host++;
	ret->who[ret->nwho++] = (struct queue_consumer){
	    .id = arena_text(arena, client != NULL ? client : ""),
	    .address = arena_text(arena, host != NULL ? host : ""),
	    .reads = share,
	    .worker = "",
	    .pid = -1,
	    /* one that didn't beat is no member any more */
	    .proof =
	        PROOF_HEARTBEAT | (share[0] != '\0' ? PROOF_HOLDS_LEASE : 0U)};
}

static enum kafka_group_state
state_of(rd_kafka_consumer_group_state_t state)
{
	switch (state) {
	case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE:
	case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE:
		return KAFKA_GROUP_REBALANCING;
	case RD_KAFKA_CONSUMER_GROUP_STATE_STABLE:
		return KAFKA_GROUP_STABLE;
	case RD_KAFKA_CONSUMER_GROUP_STATE_DEAD: /* how a broker says: none */
		return KAFKA_GROUP_MISSING;
	case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY:
		return KAFKA_GROUP_EMPTY;
	case RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN:
	case RD_KAFKA_CONSUMER_GROUP_STATE__CNT:
		break;
	}
	return KAFKA_GROUP_UNKNOWN;
}

static void
take_group(struct arena *arena,
    const rd_kafka_ConsumerGroupDescription_t *described, const char *topic,
    struct kafka_group *ret)
{
	const rd_kafka_error_t *error =
	    rd_kafka_ConsumerGroupDescription_error(described);

	if (error != NULL) {
		ret->why = arena_text(arena, rd_kafka_error_string(error));
		return;
	}
	ret->state =
	    state_of(rd_kafka_ConsumerGroupDescription_state(described));
	ret->why = "the group is in a state that isn't known";
	ret->simple =
	    rd_kafka_ConsumerGroupDescription_is_simple_consumer_group(
	        described) != 0;
	ret->who = arena_array(arena, QUEUE_WHO_MAX, sizeof(*ret->who));
	size_t count =
	    rd_kafka_ConsumerGroupDescription_member_count(described);

	for (size_t i = 0; i < count; i++)
		take_member(arena,
		    rd_kafka_ConsumerGroupDescription_member(described, i),
		    topic, ret);
}

void
kafka_describe(struct queue *queue, const char *group, const char *topic,
    struct arena *arena, struct kafka_group *ret)
{
	const struct admin admin = {queue,
	    RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, ask_describe, group};
	char why[WHY_SIZE] = "";
	rd_kafka_event_t *event = admin_ask(&admin, why);
	size_t count = 0;

	*ret = (struct kafka_group){
	    .state = KAFKA_GROUP_UNKNOWN, .why = arena_text(arena, why)};
	if (event == NULL)
		return;
	const rd_kafka_DescribeConsumerGroups_result_t *result =
	    rd_kafka_event_DescribeConsumerGroups_result(event);
	const rd_kafka_ConsumerGroupDescription_t **groups =
	    result != NULL
	        ? rd_kafka_DescribeConsumerGroups_result_groups(result, &count)
	        : NULL;

	if (groups != NULL && count == 1)
		take_group(arena, groups[0], topic, ret);
	rd_kafka_event_destroy(event);
}

size_t
kafka_groups(struct queue *queue, struct arena *arena, const char ***ret)
{
	const struct admin admin = {
	    queue, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, ask_list, NULL};
	char why[WHY_SIZE];
	rd_kafka_event_t *event = admin_ask(&admin, why);
	size_t count = 0;

	*ret = NULL;
	if (event == NULL)
		return 0;
	const rd_kafka_ListConsumerGroups_result_t *result =
	    rd_kafka_event_ListConsumerGroups_result(event);
	const rd_kafka_ConsumerGroupListing_t **groups =
	    result != NULL
	        ? rd_kafka_ListConsumerGroups_result_valid(result, &count)
	        : NULL;

	if (groups == NULL)
		count = 0;
	*ret = arena_array(arena, count + 1, sizeof(**ret));
	for (size_t i = 0; i < count; i++)
		(*ret)[i] = arena_text(
		    arena, rd_kafka_ConsumerGroupListing_group_id(groups[i]));
	rd_kafka_event_destroy(event);
	return count;
}
