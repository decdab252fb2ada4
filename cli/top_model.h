/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_TOP_MODEL_H
#define REEVE_CLI_TOP_MODEL_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/*
 * What `reeve top` shows: reeve.status/1 as rows, in the wanted order. No
 * terminal here, so that it can be tested without one.
 */
enum top_sort {
	TOP_BY_WORKER = 0, /* as declared, replica by replica */
	TOP_BY_STATE,      /* what is not ready first */
	TOP_BY_RESTARTS,   /* most first */
	TOP_BY_AGE,        /* youngest first */
	TOP_BY_MEMORY,     /* most first */
	TOP_SORTS
};

enum {
	TOP_UNKNOWN = -1,
	TOP_LABEL_SIZE = 128,
};

/* An instance, or a worker that has none. Texts live as long as the model. */
struct top_row {
	const char *worker;
	int64_t replica; /* TOP_UNKNOWN: the worker has no instance */
	const char *state;
	const char *note; /* why it isn't ready, or how it last ended; "" */
	bool ready;
	int64_t pid, restarts, age_ms, memory_bytes; /* or TOP_UNKNOWN */
	size_t order;                                /* as they came */
};

struct top_queue {
	const char *name, *error;                        /* "" none */
	const char *waiting, *active, *dead, *consumers; /* answer.h */
	bool nobody;                                     /* consumes it */
	int64_t oldest_ms;                               /* TOP_UNKNOWN */
};

struct top_trouble {
	const char *severity, *text;
	bool quiet;   /* nobody is told: silenced, or another one explains it */
	size_t order; /* as they came */
};

struct top_model {
	struct arena arena;
	const char *name, *state, *why;
	int64_t desired, ready; /* of all workers */
	struct top_row *rows;
	size_t nrows; /* those that the filter lets through come first */
	size_t nshown;
	struct top_queue *queues;
	size_t nqueues;
	struct top_trouble
	    *troubles; /* alerts, the worst first; drift; quiet ones */
	size_t ntroubles;
};

/* Replaces what `model` held (zeroed: nothing). `now_ms` is wall time. On
 * failure it is as it was. */
int top_model_read(struct top_model *model, const char *json, size_t len,
    int64_t now_ms, struct err *err) MUST_CHECK;
/* `filter`: a part of "worker/replica", of the state or of the note; "" all. */
void top_model_arrange(
    struct top_model *model, enum top_sort sort, const char *filter);
void top_model_fini(struct top_model *model);

/* "worker/replica" (or the worker alone) in at most `width` columns: one that
 * is longer loses what is before its end, for the replica's number and the end
 * of a name are what tells it from the next. */
void top_label(const char *worker, int64_t replica, size_t width,
    char dst[TOP_LABEL_SIZE]);

const char *top_sort_name(enum top_sort sort);

#endif
