/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_RETRY_STORM_H
#define REEVE_CHECKS_RETRY_STORM_H

#include "base/arena.h"
#include "probes/queue/state.h"

/*
 * Which dead letters or expired claims may go back to their queue, and which
 * would only fail once more: a job that was moved before and has come back with
 * the error that it had, and every other job with that error, whose cause
 * evidently holds. Pure: what is there and what was moved in, a choice out.
 */

/* A job that was moved before, as the log of moves knows it. */
struct moved_job {
	const char *id;    /* by which it is called since */
	const char *error; /* that it had then */
	const char *at;    /* RFC 3339 */
};

struct storm_question {
	const struct queue_item *found; /* what could be moved */
	size_t nfound;
	const char *const *asked; /* by id; none: all */
	size_t nasked;
	size_t limit; /* most that may be chosen */
	bool force;   /* hold nothing back */
	const struct moved_job *before;
	size_t nbefore; /* the newest last */
};

/* A job that is held back, and why. Both point into the question. */
struct held_job {
	const struct queue_item *item;
	const struct moved_job *before; /* itself, or one with its error */
};

struct storm_choice { /* in the arena, in the order in which they were found */
	struct queue_item *chosen;
	size_t nchosen;
	struct held_job *held;
	size_t nheld;
};

void storm_choose(struct arena *arena, const struct storm_question *question,
    struct storm_choice *ret);

/* A job of which nothing is known but the id that somebody gave: it may lie
 * beyond what one look shows. Of such a one only the id can be compared. */
struct queue_item storm_unseen(const char *id);

/* Numbers may differ: "timed out after 31 ms" is the same error as with 29. Of
 * both only the first STORM_ERROR_KEPT bytes count, which is what the log
 * keeps.
 */
enum {
	STORM_ERROR_KEPT = 256
};
bool storm_error_same(const char *a, const char *b);

#endif
