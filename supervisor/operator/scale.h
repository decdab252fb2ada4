/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SCALE_H
#define REEVE_SUPERVISOR_OPERATOR_SCALE_H

#include "base/base.h"

/*
 * How many replicas a queue calls for: a pure function of what is declared,
 * what was seen, and what was wanted before. No clock, no I/O. The words have
 * KEDA's meaning, the window the HPA's:
 *
 *   wanted  = ceil(jobs / jobs_per_replica), in min..max; with a minimum of 0
 *             none while jobs <= activation, else at least 1
 *   result  = the most that was wanted in the last `stabilization`: it goes up
 *             at once and down late
 *   to none = only `cooldown` after there were last more jobs than `activation`
 *   unknown = what it is now is wanted: an unreadable queue never scales down
 */
struct scale_policy {
	int64_t min, max, jobs_per_replica, activation;
	int64_t cooldown_ms, stabilization_ms;
};

enum {
	SCALE_PARTS = 16 /* of the window: it may last so much longer */
};

/* What was wanted: the most in each part of the window. */
struct scale_memory {
	bool begun;
	bool decided;      /* since then */
	int64_t replicas;  /* the last result */
	int64_t active_ms; /* when there was last something to do */
	int64_t part[SCALE_PARTS + 1], most[SCALE_PARTS + 1];
};

struct scale_facts {
	bool known;
	int64_t jobs;
	/* Replicas below this number hold a job; those go down last. 0: none,
	 * or not known. */
	int64_t busy;
	int64_t now_ms; /* monotonic */
};

/* `replicas` is what there is when nothing is remembered; the first decision
 * counts it as wanted. */
void scale_begin(struct scale_memory *memory, int64_t replicas, int64_t now_ms);
/* Returns the number, which is also memory->replicas. */
int64_t scale_decide(const struct scale_policy *policy,
    struct scale_memory *memory, const struct scale_facts *facts);

#endif
