/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_POOL_H
#define REEVE_PROBES_POOL_H

#include "base/buffer.h"
#include "base/loop.h"
#include "probes/observed.h"
#include "probes/request.h"

/*
 * What the two files of the pool share: pool.c decides which endpoint gets a
 * prober, pool_job.c asks one prober and takes its answers.
 */
enum {
	POOL_TOGETHER_MAX = 1000, /* requests asked in one line */
	POOL_DETAIL_MAX = 128,
	POOL_TIMERS_PER_JOB = 2
};
#define POOL_NONE SIZE_MAX /* no request */

struct pool;

/* The requests of one endpoint that nobody has in hand yet, in order. */
struct group {
	const char *endpoint; /* NULL: one request alone */
	size_t head, tail;    /* POOL_NONE: nothing is left */
	unsigned probers, slow;
};

/* One prober at work, on what it has in hand. */
struct job {
	struct pool *pool;
	struct group *group; /* NULL: idle */
	size_t *hand;        /* indices of the requests, in the order asked */
	size_t asked, answered;
	pid_t pid;
	int64_t started_ms, asked_ms;
	struct buffer ask;
	size_t sent;
	struct loop_source in, out, errors;
	struct loop_timer timer, patience;
	struct buffer line;    /* of its stdout, not yet whole */
	struct buffer trouble; /* its stderr, the beginning */
	bool leaving;          /* all was answered: it may say goodbye */
	bool slow;
	enum step_kind step;
	bool any_step;
	char detail[POOL_DETAIL_MAX];
};

struct pool {
	struct probe_request *requests;
	size_t *next; /* of each request: the one behind it in its group */
	size_t count, done;
	const struct probe_pool_options *options;
	const char *tool;
	struct arena *arena;
	struct loop loop;
	struct group *groups;
	size_t ngroups;
	struct job *jobs;
	unsigned njobs, running;
	bool any_started;
};

/* The next that nobody has in hand, or POOL_NONE. */
size_t pool_take(struct pool *pool, struct group *group);
/* In front of the others: it was in a prober's hand, unanswered. */
void pool_return(struct pool *pool, struct group *group, size_t index);
/* A request has its answer. */
void pool_done(struct pool *pool, struct probe_request *request);

/* A prober for that endpoint; -1: it can't be had, and nothing was asked. */
int pool_job_start(
    struct job *job, struct group *group, struct err *err) MUST_CHECK;
/* Its end: what it didn't answer has an answer then, or waits for another. */
void pool_job_end(struct job *job, bool deadline);

#endif
