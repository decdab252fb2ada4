/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_KAFKA_H
#define REEVE_PROBES_QUEUE_KAFKA_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/ladder.h"
#include "probes/queue/queue.h"

/*
 * A topic of Kafka as one consumer group reads it. All of librdkafka is in
 * kafka_session.c and kafka_group.c; its threads live in probers only, and end
 * with the session. Nothing here joins the group: its offsets are asked for,
 * and messages are read from assigned partitions, without a commit.
 */
enum {
	KAFKA_PARTITIONS_MAX = 10000,
	KAFKA_TOPICS_MAX = 100000
};
#define KAFKA_NONE (-1001) /* of an offset: the group has committed none */

struct kafka_partition {
	int32_t id;
	bool led;          /* it has a leader: only then has it offsets */
	int64_t low, end;  /* the first that is kept, the next to come */
	int64_t committed; /* KAFKA_NONE */
};

struct kafka_cluster {
	const char **topics; /* all that we may see */
	size_t ntopics;
	bool exists; /* ours does */
	struct kafka_partition *partitions;
	size_t count;
};

struct kafka_message {
	int32_t partition;
	int64_t offset, at_ms; /* -1: it has no time */
	const char *payload;   /* its first bytes */
	size_t len, whole;
};

enum kafka_group_state {
	KAFKA_GROUP_UNKNOWN = 0, /* `why` */
	KAFKA_GROUP_MISSING,
	KAFKA_GROUP_EMPTY,
	KAFKA_GROUP_REBALANCING,
	KAFKA_GROUP_STABLE
};

struct kafka_group {
	enum kafka_group_state state;
	const char *why;
	bool simple;     /* offsets are kept in it, and nobody ever joined */
	int64_t members; /* of any topic */
	int64_t readers; /* that have partitions of ours */
	struct queue_consumer *who; /* QUEUE_WHO_MAX at most */
	size_t nwho;
};

struct kafka_session;

/* Everything below sets the queue's cause and code when it fails, and waits no
 * longer than its deadline. Texts are in the arena. */
int kafka_session_open(struct queue *queue, struct kafka_session **ret,
    struct err *err) MUST_CHECK;
void kafka_session_close(struct kafka_session *session);
const char *kafka_session_address(const struct kafka_session *session);

/* All topics, and the partitions of `topic`. The full list is asked for: asking
 * for one topic may make it. */
int kafka_look(struct queue *queue, const char *topic, struct arena *arena,
    struct kafka_cluster *ret, struct err *err) MUST_CHECK;
/* low and end of all partitions with a leader. */
int kafka_ends(struct queue *queue, const char *topic,
    struct kafka_cluster *cluster, struct err *err) MUST_CHECK;
/* What the group has committed, of every partition. */
int kafka_committed(struct queue *queue, const char *topic,
    struct kafka_cluster *cluster, struct err *err) MUST_CHECK;
/* Up to `each` messages of every partition from `committed` on (`low` where
 * that is later), `most` in all; fewer when they don't come by `until_ms`. */
struct kafka_wanted {
	const char *topic;
	size_t each, most;
	int64_t until_ms; /* monotonic */
};
struct kafka_messages {
	struct kafka_message *all; /* room for `most`, the caller's */
	size_t count;
};
int kafka_read(struct queue *queue, const struct kafka_wanted *wanted,
    const struct kafka_cluster *cluster, struct arena *arena,
    struct kafka_messages *ret, struct err *err) MUST_CHECK;
int kafka_produce(struct queue *queue, const char *topic,
    const struct queue_submission *job, int32_t *ret_partition,
    int64_t *ret_offset, struct err *err) MUST_CHECK;

/* A group that can't be described is one of state UNKNOWN, not an error. */
void kafka_describe(struct queue *queue, const char *group, const char *topic,
    struct arena *arena, struct kafka_group *ret);
/* The names of all groups that we may see; none when they can't be listed. */
size_t kafka_groups(
    struct queue *queue, struct arena *arena, const char ***ret);

struct kafka_queue {
	struct kafka_session *session;
	const char *group;
	const char *dead; /* the topic of dead letters; NULL */
};

#endif
