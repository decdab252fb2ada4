/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/kafka.h"
#include "probes/queue/near.h"

/*
 * Kafka: what a consumer group has not yet committed of a topic. queues.md part
 * 13. A message is never taken: it stays until its retention ends, and all that
 * is known of it is whether the group has committed an offset behind it.
 */
enum {
	AGES_LOOKED_AT = 16, /* partitions whose next message is read */
	READ_MS = 1500,      /* of a look */
	LIST_MS = 5000,
	NAMED_PARTITIONS = 8
};

/* --- looking -------------------------------------------------------------- */

/* "0, 3, 5…" of those without a leader; "" when there are none. */
static const char *
leaderless(struct arena *arena, const struct kafka_cluster *cluster)
{
	const char *text = "";
	int count = 0;

	for (size_t i = 0; i < cluster->count; i++) {
		if (cluster->partitions[i].led)
			continue;
		if (count == NAMED_PARTITIONS)
			return arena_format(arena, "%s…", text);
		text = arena_format(arena, "%s%s%" PRId32, text,
		    count++ == 0 ? "" : ", ", cluster->partitions[i].id);
	}
	return text;
}

struct sums {
	int64_t lag, lost, read, kept;
	int64_t unled, uncommitted; /* partitions, that hold messages */
	int64_t ahead;              /* partitions committed beyond their end */
	bool any;                   /* a committed offset */
};

static struct sums
sum(const struct kafka_cluster *cluster)
{
	struct sums sums = {0};

	for (size_t i = 0; i < cluster->count; i++) {
		const struct kafka_partition *one = &cluster->partitions[i];

		sums.any |= one->committed >= 0;
		if (!one->led) {
			sums.unled++;
			continue;
		}
		sums.kept += one->end - one->low;
		if (one->committed < 0) {
			sums.uncommitted += one->end > one->low;
			continue;
		}
		sums.read += one->committed;
		sums.ahead += one->committed > one->end;
		sums.lag += MAX(one->end - one->committed, 0);
		sums.lost += MAX(one->low - one->committed, 0);
	}
	return sums;
}

static void
read_lag(const struct queue *queue, struct arena *arena,
    const struct kafka_cluster *cluster, struct queue_state *ret)
{
	const struct kafka_queue *kafka = queue->state;
	const struct sums sums = sum(cluster);
	const char *unled = leaderless(arena, cluster);

	ret->waiting = queue_exact(sums.lag);
	ret->completed = (struct queue_number){sums.read, KNOW_ESTIMATE, NULL};
	ret->expired = queue_exact(sums.lost);
	if (sums.unled > 0) {
		ret->held = (struct queue_flag){.is = HOLDS_YES,
		    .why = arena_format(arena,
		        "partitions without a leader: %s of %zu", unled,
		        cluster->count)};
		ret->waiting.know = KNOW_AT_LEAST;
	} else {
		ret->held = (struct queue_flag){
		    .is = HOLDS_NO, .why = "every partition has a leader"};
	}
	if (sums.ahead > 0) {
		ret->waiting = queue_unknown(arena_format(arena,
		    "group '%s' has committed more than there is of %" PRId64
		    " partitions: the topic was made anew",
		    kafka->group, sums.ahead));
	} else if (!sums.any) {
		ret->waiting = queue_unknown(arena_format(arena,
		    "group '%s' has committed no offset of this topic",
		    kafka->group));
		ret->completed = ret->expired = ret->waiting;
	} else if (sums.uncommitted > 0) {
		ret->waiting.know = KNOW_AT_LEAST;
	}
}

/* The time of the oldest that isn't committed: its producer's clock, or the
 * broker's; compared with ours. */
static void
read_age(struct queue *queue, struct arena *arena,
    const struct kafka_cluster *cluster, struct queue_state *ret)
{
	const struct kafka_wanted wanted = {.topic = queue->name,
	    .each = 1,
	    .most = AGES_LOOKED_AT,
	    .until_ms = clock_after(clock_ms(), READ_MS)};
	struct kafka_message all[AGES_LOOKED_AT];
	struct kafka_messages found = {.all = all};
	struct err err = ERR_INIT;
	int64_t since_ms = INT64_MAX;

	ret->oldest_ms = queue_unknown("nothing waits");
	if (ret->waiting.know == KNOW_UNKNOWN || ret->waiting.value == 0)
		return;
	if (kafka_read(queue, &wanted, cluster, arena, &found, &err) == -1) {
		ret->oldest_ms = queue_unknown(arena_text(arena, err.text));
		return;
	}
	for (size_t i = 0; i < found.count; i++)
		if (all[i].at_ms >= 0 && all[i].at_ms < since_ms) {
			since_ms = all[i].at_ms;
			ret->head = arena_format(arena, "%" PRId32 ":%" PRId64,
			    all[i].partition, all[i].offset);
		}
	ret->oldest_ms =
	    since_ms == INT64_MAX
	        ? queue_unknown("the next message could not be read in time")
	        : (struct queue_number){MAX(ret->as_of_wall_ms - since_ms, 0),
	              KNOW_ESTIMATE, NULL};
}

/* The group's name that is like ours; NULL. */
static const char *
near_group(struct queue *queue, struct arena *arena)
{
	const struct kafka_queue *kafka = queue->state;
	const char **names = NULL;
	size_t count = kafka_groups(queue, arena, &names);
	struct near near;

	near_init(&near, arena, kafka->group);
	for (size_t i = 0; i < count; i++)
		near_offer(&near, names[i], "", "group");
	return near.count > 0 ? near.found[0].name : NULL;
}

static void
read_group(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct kafka_queue *kafka = queue->state;
	struct kafka_group group;
	const char *other = NULL;

	kafka_describe(queue, kafka->group, queue->name, arena, &group);
	ret->who = group.who;
	ret->nwho = group.nwho;
	switch (group.state) {
	case KAFKA_GROUP_STABLE:
		ret->consumers = queue_exact(group.readers);
		break;
	case KAFKA_GROUP_REBALANCING:
		ret->consumers = queue_unknown(arena_format(arena,
		    "the group is rebalancing: %" PRId64
		    " members, and nobody has its partitions yet",
		    group.members));
		break;
	case KAFKA_GROUP_EMPTY:
		ret->consumers =
		    group.simple
		        ? queue_unknown(
		              "offsets are committed without a group: whoever "
		              "assigns its partitions itself isn't seen")
		        : queue_exact(0);
		break;
	case KAFKA_GROUP_MISSING:
		ret->exists = EXISTS_NO;
		ret->consumers = queue_exact(0);
		other = near_group(queue, arena);
		ret->amiss = arena_format(arena, "there is no group '%s'%s%s%s",
		    kafka->group, other != NULL ? "; there is '" : "",
		    other != NULL ? other : "", other != NULL ? "'" : "");
		break;
	case KAFKA_GROUP_UNKNOWN:
		ret->consumers = queue_unknown(group.why);
		break;
	}
}

/* What is kept of the topic of dead letters: nobody deletes a message there, so
 * these are not only those that still matter. */
static void
read_dead(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct kafka_queue *kafka = queue->state;
	struct kafka_cluster cluster;
	struct err err = ERR_INIT;

	if (kafka->dead == NULL) {
		ret->dead = queue_unknown("no 'deadLetter' topic is declared");
		return;
	}
	if (kafka_look(queue, kafka->dead, arena, &cluster, &err) == -1 ||
	    kafka_ends(queue, kafka->dead, &cluster, &err) == -1)
		ret->dead = queue_unknown(arena_text(arena, err.text));
	else if (!cluster.exists)
		ret->dead = queue_unknown(
		    arena_format(arena, "there is no topic '%s'", kafka->dead));
	else
		ret->dead = (struct queue_number){
		    sum(&cluster).kept, KNOW_ESTIMATE, NULL};
}

static int
observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct kafka_cluster cluster;

	if (kafka_look(queue, queue->name, arena, &cluster, err) == -1)
		return -1;
	ret->engine = "kafka";
	ret->as_of_wall_ms = clock_wall_ms();
	if (!cluster.exists) {
		ret->exists = EXISTS_NO;
		ret->amiss =
		    arena_format(arena, "there is no topic '%s'", queue->name);
		return 0;
	}
	/* committed first: the ends are never behind it then */
	if (kafka_committed(queue, queue->name, &cluster, err) == -1 ||
	    kafka_ends(queue, queue->name, &cluster, err) == -1)
		return -1;
	ret->exists = EXISTS_YES;
	ret->paused = 0;
	ret->active = queue_inapplicable();
	ret->delayed = queue_inapplicable();
	ret->failed = queue_inapplicable();
	ret->lease_expired = queue_inapplicable();
	ret->lease_missing = queue_inapplicable();
	ret->attempts_max = queue_inapplicable();
	read_lag(queue, arena, &cluster, ret);
	read_group(queue, arena, ret);
	read_dead(queue, arena, ret);
	read_age(queue, arena, &cluster, ret);
	return 0;
}

static int
near_names(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	struct kafka_cluster cluster;
	struct near near;

	if (kafka_look(queue, queue->name, arena, &cluster, err) == -1)
		return -1;
	near_init(&near, arena, queue->name);
	for (size_t i = 0; i < cluster.ntopics; i++)
		near_offer(&near, cluster.topics[i], "", "kafka topic");
	for (size_t i = 0; i < near.count; i++)
		near.found[i].waiting =
		    queue_unknown("only the declared topic's lag is looked at");
	near_finish(&near, state);
	return 0;
}

/* --- canaries ------------------------------------------------------------- */

/* The receipt is "PARTITION OFFSET". */
static int
submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	struct kafka_cluster cluster;
	int32_t partition = 0;
	int64_t offset = 0;

	/* a producer's question for a topic may make it */
	if (kafka_look(queue, queue->name, arena, &cluster, err) == -1)
		return -1;
	if (!cluster.exists)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED, "there is no topic '%s'", queue->name);
	if (kafka_produce(queue, queue->name, job, &partition, &offset, err) ==
	    -1)
		return -1;
	*ret_receipt =
	    arena_format(arena, "%" PRId32 " %" PRId64, partition, offset);
	return 0;
}

static int
read_receipt(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, int64_t *ret_partition, int64_t *ret_offset,
    struct err *err)
{
	char *text = arena_text(arena, job->receipt);
	char *space = text != NULL ? strchr(text, ' ') : NULL;

	if (space != NULL)
		*space++ = '\0';
	if (space == NULL ||
	    text_i64(text, 0, INT32_MAX, ret_partition, NULL) == -1 ||
	    text_i64(space, 0, INT64_MAX, ret_offset, NULL) == -1)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "the receipt is none of a queue of this kind");
	return 0;
}

/* That the group committed an offset behind it says that one of its consumers
 * had it; whether what it did with it was a success, Kafka isn't told. */
static int
follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct kafka_queue *kafka = queue->state;
	struct kafka_cluster cluster = {.count = 1};
	int64_t partition = 0;
	int64_t offset = 0;

	if (read_receipt(queue, job, arena, &partition, &offset, err) == -1)
		return -1;
	cluster.partitions = arena_array(arena, 1, sizeof(*cluster.partitions));
	cluster.partitions[0] = (struct kafka_partition){
	    .id = (int32_t)partition, .committed = KAFKA_NONE};
	if (kafka_committed(queue, queue->name, &cluster, err) == -1)
		return -1;
	const int64_t committed = cluster.partitions[0].committed;

	if (committed > offset) {
		ret->place = PLACE_GONE;
		ret->detail = arena_format(arena,
		    "group '%s' has committed %" PRId64 " of partition %" PRId64
		    ", behind it: it was read; whether it was done Kafka isn't "
		    "told",
		    kafka->group, committed, partition);
	} else {
		ret->place = PLACE_VISIBLE;
		ret->detail = arena_format(arena,
		    "offset %" PRId64 " of partition %" PRId64
		    "; group '%s' has committed %s: it waits, or somebody is "
		    "at it",
		    offset, partition, kafka->group,
		    committed < 0 ? "nothing"
		                  : arena_format(arena, "%" PRId64, committed));
	}
	return 0;
}

static int
remove_canary(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	(void)queue, (void)job, (void)err;
	*ret_removed = false; /* a message stays until its retention ends */
	return 0;
}

/* --- looking at jobs ------------------------------------------------------ */

static int
by_age(const void *a, const void *b)
{
	const struct kafka_message *x = a;
	const struct kafka_message *y = b;

	return x->at_ms != y->at_ms
	           ? (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms)
	           : (x->offset > y->offset) - (x->offset < y->offset);
}

static struct queue_item
item_of(
    struct arena *arena, const struct kafka_message *message, int64_t now_ms)
{
	return (struct queue_item){
	    .id = arena_format(arena, "%" PRId32 ":%" PRId64,
	        message->partition, message->offset),
	    .error = "",
	    .owner = "",
	    .payload = message->payload,
	    .payload_len = message->len,
	    .payload_whole = (int64_t)message->whole,
	    .age_ms =
	        message->at_ms >= 0 ? MAX(now_ms - message->at_ms, 0) : -1,
	    .attempts = -1};
}

/* What waits begins at the committed offset, dead letters at the first one. */
static int
find_messages(struct queue *queue, const char *topic, bool dead,
    struct arena *arena, struct kafka_cluster *ret, struct err *err)
{
	if (kafka_look(queue, topic, arena, ret, err) == -1)
		return -1;
	if (!ret->exists)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED, "there is no topic '%s'", topic);
	if (!dead && kafka_committed(queue, topic, ret, err) == -1)
		return -1;
	return kafka_ends(queue, topic, ret, err);
}

static int
list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct kafka_queue *kafka = queue->state;
	bool dead = part == PART_DEAD;
	struct kafka_cluster cluster;
	struct kafka_wanted wanted = {.topic = dead ? kafka->dead : queue->name,
	    .each = limit,
	    .most = limit,
	    .until_ms = clock_after(clock_ms(), LIST_MS)};
	struct kafka_messages found = {
	    .all = arena_array(arena, limit + 1, sizeof(*found.all))};
	struct queue_item *items =
	    arena_array(arena, limit + 1, sizeof(*items));
	struct queue_state state = {.amiss = ""};

	if (part != PART_WAITING && (!dead || kafka->dead == NULL))
		return err_set(err, ERR_UNSUPPORTED,
		    dead ? "no topic of dead letters is declared ('deadLetter')"
		         : "Kafka knows messages that the group hasn't "
		           "committed, and no others");
	if (find_messages(queue, wanted.topic, dead, arena, &cluster, err) ==
	        -1 ||
	    kafka_read(queue, &wanted, &cluster, arena, &found, err) == -1)
		return -1;
	qsort(found.all, found.count, sizeof(*found.all), by_age);
	for (size_t i = 0; i < found.count; i++)
		items[i] = item_of(arena, &found.all[i], clock_wall_ms());
	read_lag(queue, arena, &cluster, &state);
	ret->items = items;
	ret->count = found.count;
	ret->total = dead ? (struct queue_number){sum(&cluster).kept,
	                        KNOW_ESTIMATE, NULL}
	                  : state.waiting;
	return 0;
}

/* --- the handle ----------------------------------------------------------- */

static int
open_kafka(struct queue *queue, struct err *err)
{
	struct kafka_queue *kafka = arena_alloc(&queue->arena, sizeof(*kafka));
	const char *dlq = queue_option(queue, "dlq");

	kafka->group = queue_option(queue, "group");
	kafka->dead = dlq != NULL ? dlq : queue_option(queue, "deadLetter");
	if (kafka->group == NULL || kafka->group[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of kind 'kafka' needs the key 'group': what waits "
		    "is what a group hasn't read");
	queue->state = kafka;
	if (kafka_session_open(queue, &kafka->session, err) == -1)
		return -1;
	queue->target = arena_format(&queue->arena, "%s topic %s group %s",
	    kafka_session_address(kafka->session), queue->name, kafka->group);
	return 0;
}

static void
close_kafka(struct queue *queue)
{
	struct kafka_queue *kafka = queue->state;

	kafka_session_close(kafka->session);
	kafka->session = NULL;
}

static const char *const schemes[] = {
    "kafka", "kafka+kafka", "kafka+tls", NULL};
static const char *const keys[] = {"topic", "group", "dlq", "deadLetter",
    "test", "ts", "tz", "timeout", "budget", "pass", NULL};
static const char *const client_keys[] = {"tls.ca", "mechanism", NULL};

/* No move: a copy of a dead letter could be put in, but the letter can't be
 * taken away: it would be put in again by the next one who looks. */
const struct queue_driver queue_kafka = {
    .kind = "kafka",
    .schemes = schemes,
    .name_key = "topic",
    .keys = keys,
    .client_keys = client_keys,
    .open = open_kafka,
    .close = close_kafka,
    .observe = observe,
    .near = near_names,
    .submit = submit,
    .follow = follow,
    .remove = remove_canary,
    .list = list,
};
