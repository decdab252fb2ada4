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
	unsigned proof;      /* PROOF_… */
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
	const char *type;  /* "list", "table"… */
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
	const struct queue_consumer *who;
	size_t nwho;
	const struct queue_near *near;
	size_t nnear;
	const char *head; /* identity of the oldest waiting job; ""
	                     none/unknown: changing means draining */
};

#endif
