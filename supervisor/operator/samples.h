/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SAMPLES_H
#define REEVE_SUPERVISOR_OPERATOR_SAMPLES_H

#include "base/base.h"
#include "supervisor/operator/names.h"

/*
 * How each queue was, for the curves of the page: in memory, bounded, filled
 * from the history on disk when the operator first meets the queue; the last
 * hour finely and the last day coarsely. Of the looks within one step the
 * largest counts, so that a peak isn't lost. A time without a look, or without
 * an answer, is a gap.
 */
enum {
	SAMPLE_FINE_MS = 10 * 1000,
	SAMPLE_FINE_COUNT = 360,
	SAMPLE_COARSE_MS = 5 * 60 * 1000,
	SAMPLE_COARSE_COUNT = 288,
	SAMPLE_UNKNOWN = -1,
};

struct sample {
	int64_t step;             /* wall time / the step's length; 0: never */
	int64_t depth, oldest_ms; /* or SAMPLE_UNKNOWN */
};

struct queue_samples {
	char *name;
	struct sample fine[SAMPLE_FINE_COUNT];
	struct sample coarse[SAMPLE_COARSE_COUNT];
	int64_t last; /* the newest coarse step */
};

struct samples {
	struct queue_samples **all;
	size_t count, room;
	struct names names;
};

void samples_fini(struct samples *samples);
void samples_add(struct samples *samples, const char *queue, int64_t wall_ms,
    int64_t depth, int64_t oldest_ms);
bool samples_know(const struct samples *samples, const char *queue);
/* Forgets queues of which nothing is left to show. */
void samples_forget(struct samples *samples, int64_t wall_ms);

/* The `count` steps of `step_ms` (SAMPLE_FINE_MS or SAMPLE_COARSE_MS) that end
 * with `wall_ms`, oldest first; what isn't known is SAMPLE_UNKNOWN. Returns how
 * many have a depth. */
size_t queues_history(const struct samples *samples, const char *queue,
    int64_t wall_ms, int64_t step_ms, struct sample *ret, size_t count);

#endif
