/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_MOVE_LOG_H
#define REEVE_SUPERVISOR_OPERATOR_MOVE_LOG_H

#include "base/arena.h"
#include "checks/retry_storm.h"
#include "manifests/declared.h"
#include "probes/queue/state.h"

/*
 * What `reeve queue requeue` and `reclaim` did: JSON lines (reeve.move/1), one
 * "begun" before the server is asked and one with the outcome after, each
 * synced to the disk before anything else happens. So a crash in between is
 * told by a "begun" that has no end, and jobs that come back with the error
 * they had are known. Locked while a move is under way: two of them with one
 * log run one after the other.
 *
 * The file is --log; else $XDG_STATE_HOME/reeve/moves.jsonl; else
 * $HOME/.local/state/reeve/moves.jsonl. Longer than MOVE_LOG_MAX it becomes
 * FILE.1 when the next move begins, and that before it goes. Whatever is not a
 * line of this schema is passed over, so a line that a full disk cut does no
 * harm.
 */
struct move_log {
	const char *path;
	int fd; /* -1: closed, or not there yet */
};

/* A move that was begun, and of which no end is in the log. */
struct open_move {
	const char *move, *at;
	int64_t jobs;
};

struct move_history { /* of one queue */
	struct moved_job *jobs;
	size_t count;
	struct open_move *open;
	size_t nopen;
};

enum move_outcome {
	MOVE_MOVED,   /* `ids` were; the others were no longer there */
	MOVE_REFUSED, /* the server said no: nothing was moved */
	MOVE_UNKNOWN, /* no answer: `ids` were found where they had been */
};

struct move_entry {
	const char *move; /* 128 random bits, of one begun and one end */
	const char *verb; /* "requeue", "reclaim" */
	const char *queue;
	bool forced;
	const struct queue_item *items; /* of a begun */
	size_t nitems;
	enum move_outcome outcome; /* of an end, and what follows too */
	const char *const *ids;
	const char *const *as; /* their new ids; NULL: they kept theirs */
	size_t nids;
	const char *error;
};

/* Where it is: `given`, or what the environment says. */
int move_log_path(struct arena *arena, const char *given, const char **ret,
    struct err *err) MUST_CHECK;
/* To read only; that it doesn't exist is no error. `path` must outlive the log,
 * here and below. */
int move_log_open(
    const char *path, struct move_log *ret, struct err *err) MUST_CHECK;
/* Made where it isn't there, and locked: waits for another move until
 * `deadline_ms` (CLOCK_MONOTONIC), then ERR_TIMEOUT. Close it on failure too.
 */
int move_log_lock(struct arena *arena, const char *path, int64_t deadline_ms,
    struct move_log *ret, struct err *err) MUST_CHECK;
void move_log_close(struct move_log *log);

/* Which queue it is, as the log knows it: by its server, database and name and
 * by what else tells two queues apart; not by who asks, or how. In `arena`. */
const char *move_log_key(
    struct arena *arena, const struct declared_queue *queue);

/* What it says of `queue`, from the last MOVE_LOG_READ_MAX bytes of FILE.1 and
 * of FILE. */
enum {
	MOVE_LOG_MAX = 8 << 20,
	MOVE_LOG_READ_MAX = 16 << 20
};
int move_log_read(const struct move_log *log, struct arena *arena,
    const char *queue, struct move_history *ret, struct err *err) MUST_CHECK;
int move_log_begun(const struct move_log *log, const struct move_entry *entry,
    struct err *err) MUST_CHECK;
int move_log_ended(const struct move_log *log, const struct move_entry *entry,
    struct err *err) MUST_CHECK;

#endif
