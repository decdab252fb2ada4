/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_STATE_H
#define REEVE_PROBES_QUEUE_STATE_H

#include "base/base.h"

/*
 * What a queue answers, whatever it is made of (queues.md part 2). Every
 * number carries how it is known; unknown is the zero value and never compares
 * as 0. Texts are borrowed from the arena of whoever asked.
 */
enum know {
	KNOW_UNKNOWN = 0, /* `why` says why */
	KNOW_EXACT,
	KNOW_AT_LEAST, /* a capped count */
	KNOW_ESTIMATE,
	KNOW_NOT_APPLICABLE, /* the technology has no such notion */
};

struct queue_number {
	int64_t value;
	enum know know;
	const char *why; /* of an unknown: "no permission for CLIENT LIST" */
};

/* Something that holds or doesn't, and what says so; unknown is the zero value.
 */
enum holds {
	HOLDS_UNKNOWN = 0,
	HOLDS_NO,
	HOLDS_YES
};
struct queue_flag {
	enum holds is;
	const char *why; /* for people: "role:slave of 10.0.0.7:6379" */
};

enum {
	PROOF_CONNECTED = 1 << 0,
	PROOF_WAITS = 1 << 1,
	PROOF_HEARTBEAT = 1 << 2,
	PROOF_HOLDS_LEASE = 1 << 3
};

struct queue_consumer {
	const char *id;      /* client name, application_name, "" unknown */
	const char *address; /* "10.0.0.7:51234", "" unknown */
	const char *reads;   /* what it says that it consumes, "" unknown */
	const char *worker;  /* "fileprocess/0" once matched, "" unknown */
	int64_t pid;         /* on this host, once matched; -1 unknown */
	int64_t session;     /* of that process; 0 or -1 unknown */
	unsigned proof;      /* PROOF_… */
	const char *where;   /* "db 1", "vhost /old" when that is another
	                        place than the queue's; "" or NULL: the same */
	struct queue_number held; /* jobs in its hands */
};

enum queue_exists {
	EXISTS_UNKNOWN = 0,
	EXISTS_NO,
	EXISTS_YES,
	EXISTS_EMPTY_OR_NOT
}; /* a Redis list: empty and absent are the same */

struct queue_near { /* a name that exists and is like the one asked for */
	const char *name;
	const char *where; /* "db 1", "schema audit"; "" the same place */
	const char *type;  /* "list", "table", "bullmq queue"… */
	struct queue_number waiting;
	unsigned distance;
};

struct queue_state {
	const char *engine;    /* "redis 7.0.15" */
	const char *identity;  /* run_id, system_identifier, file and inode */
	const char *target;    /* "127.0.0.1:6379 db 0 list fileprocess:jobs" */
	int64_t as_of_wall_ms; /* the server's clock */
	enum queue_exists exists;
	int paused; /* -1 unknown, 0, 1 */
	struct queue_number waiting, active, delayed, failed, dead, completed;
	struct queue_number oldest_ms, lease_expired, lease_missing;
	struct queue_number attempts_max;
	struct queue_number consumers;
	/* Limits that the technology itself holds, where it has them. */
	struct queue_number attempts_limit; /* then a job is dead; 0: never */
	struct queue_number lease_ms;       /* a claim lasts: ack_wait, lock */
	struct queue_number capacity;    /* jobs that all consumers together may
	                                    hold: prefetch, max_ack_pending */
	struct queue_number payload_max; /* bytes of one job */
	struct queue_number consumer_age_ms; /* since the broker's own record
	                                        of who reads was made: a
	                                        durable consumer */
	struct queue_number expired; /* jobs dropped by a time to live, ever
	                              */
	/* What the server lets happen. A driver leaves alone what it has no
	 * such notion of. */
	struct queue_flag read_only; /* it refuses writes: a replica, MISCONF */
	struct queue_flag held;      /* it takes nothing from producers: full,
	                                memory or disk alarm */
	struct queue_flag evicts;    /* it may drop jobs on its own */
	struct queue_flag bound;     /* what is sent under the declared name
	                                arrives in this queue */
	struct queue_flag dead_kept; /* a job that fails for good is kept where
	                                somebody can look at it */
	struct queue_flag backs_off; /* what failed waits before it is given
	                                out again */
	struct queue_flag stuck;     /* consumers are there and can't take
	                                anything: NOPERM, no more slots */
	const char *amiss; /* what of it isn't there, when that isn't its name:
	                      "stream 'S' has no consumer 'c'"; "" */
	const struct queue_consumer *who;
	size_t nwho;
	const struct queue_near *near;
	size_t nnear;
	/* for drivers: the owners of leases that are in force, one a line; NULL
	 * not known. Who asks finds them in `who`. */
	const char *holders;
	const char *head; /* identity of the oldest waiting job; ""
	                     none/unknown: changing means draining */
};

/* --- jobs as people look at them ------------------------------------------ */

enum queue_part {
	PART_WAITING = 0, /* the oldest first */
	PART_ACTIVE,
	PART_DELAYED,
	PART_DEAD,    /* dead letters, or failed for good: requeue's */
	PART_EXPIRED, /* taken by somebody whose lease is over: reclaim's */
	/* Of those that wait the newest, the newest first, by reading alone;
	 * nothing that people ask for by name. Of a stream: taken or not. */
	PART_NEWEST,
};
const char *queue_part_name(enum queue_part part); /* "waiting"… */
/* The other way round; false: no such part. */
bool queue_part_parse(const char *name, enum queue_part *ret);

enum {
	QUEUE_PEEK_MAX = 4096 /* bytes of a payload that are shown */
};

/* Texts are borrowed from the asker's arena. */
struct queue_item {
	const char *id;      /* the technology's own, which `move` takes */
	const char *error;   /* of its last failure; "" none or unknown */
	const char *owner;   /* who has or had it; "" none or unknown */
	const char *payload; /* its beginning, QUEUE_PEEK_MAX bytes at most */
	size_t payload_len;
	int64_t payload_whole; /* bytes of all of it; -1 unknown */
	int64_t age_ms;        /* since it was put in; -1 unknown */
	int64_t attempts;      /* -1 unknown */
};
struct queue_page {
	const struct queue_item *items;
	size_t count;
	struct queue_number total; /* in that part, shown or not */
};

#endif
