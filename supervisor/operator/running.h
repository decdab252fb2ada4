/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_RUNNING_H
#define REEVE_SUPERVISOR_OPERATOR_RUNNING_H

#include "base/base.h"
#include "supervisor/operator/files.h"
#include "supervisor/operator/names.h"
#include "supervisor/wire/messages.h"

/*
 * What runs, as the init tells it: kept up to date by its messages, replaced
 * by its snapshots. Facts only.
 */
enum {
	RUNNING_CRASHES_MAX = 64
};

struct running_instance {
	struct wire_instance wire;
	uint64_t marked;     /* the snapshot that last had it */
	int64_t since_ms;    /* monotonic: of its state and readiness */
	unsigned over;       /* looks in a row above its memory limit */
	uint32_t exits_seen; /* ends that were judged already */
	/* a restart was ordered and nothing was heard of it yet; monotonic,
	 * 0: none */
	int64_t ordered_ms;
	int64_t extended_ms; /* its end was put off until then; 0: never */
	/* bit of each drift class for which it was replaced, and the process
	 * that was to be: the next one had better not differ again */
	unsigned mended;
	int32_t mended_pid;
	/* it isn't seen at its queue: the next look says to whom it speaks */
	bool peers_wanted;
	/* the files that its process was started from, as they were then */
	int32_t files_pid;
	size_t nfiles;
	struct file_identity *files;
};

struct running_worker {
	struct wire_worker wire;
	uint64_t marked;
	struct running_instance *instances;
	size_t ninstances, room;
	/* when instances ended that had to be started again; a ring of
	 * RUNNING_CRASHES_MAX, NULL until there is one */
	int64_t *crashes_ms;
	uint64_t ncrashes;
	/* since when fewer are ready than should be; 0: they are */
	int64_t short_since_ms;
};

struct running {
	bool known; /* there was a whole snapshot */
	struct wire_snapshot snapshot;
	uint64_t number; /* of the snapshot that is being read */
	struct running_worker *workers;
	size_t count, room;
	struct names names;
	/* the processes of all instances, ascending; when `gathered` */
	int32_t *leaders;
	size_t nleaders;
	bool gathered;
};

void running_fini(struct running *running);
/* Takes in one message; returns whether it told something new. */
bool running_take(struct running *running, const union wire_message *message,
    int64_t now_ms, int64_t now_wall_ms);
struct running_worker *running_find(struct running *running, const char *name);
/* Whether it has a process that isn't ending. */
bool running_is_up(const struct wire_instance *wire);
/* Whether it is the process of an instance; each leads a session. */
bool running_leads(struct running *running, int64_t pid);
/* The file of this name (files_name()) of an instance; NULL: none. */
struct file_identity *running_file(
    const struct running_instance *instance, uint64_t path);
/* Adds one. */
struct file_identity *running_file_add(struct running_instance *instance);
struct running_instance *running_instance_find(
    struct running_worker *worker, uint32_t replica);
/* Ends that called for a new start within the last `window_ms`. */
unsigned running_crashes(
    const struct running_worker *worker, int64_t window_ms, int64_t now_ms);

#endif
