/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/pool.h"
#include "probes/pool_answer.h"

enum {
	JOBS_DEFAULT = 8,
	JOBS_MAX = 256
};

/* --- groups ----------------------------------------------------------------
 */

static void
group_push(struct pool *pool, struct group *group, size_t index)
{
	pool->next[index] = POOL_NONE;
	if (group->head == POOL_NONE)
		group->head = index;
	else
		pool->next[group->tail] = index;
	group->tail = index;
}

void
pool_return(struct pool *pool, struct group *group, size_t index)
{
	pool->next[index] = group->head;
	if (group->head == POOL_NONE)
		group->tail = index;
	group->head = index;
}

size_t
pool_take(struct pool *pool, struct group *group)
{
	size_t index = group->head;

	if (index != POOL_NONE)
		group->head = pool->next[index];
	return index;
}

static void
group_request(struct pool *pool, size_t index)
{
	const char *endpoint = pool->requests[index].endpoint;
	size_t at = endpoint == NULL ? pool->ngroups : 0;

	while (at < pool->ngroups &&
	       !text_equal(pool->groups[at].endpoint, endpoint))
		at++;
	if (at == pool->ngroups)
		pool->groups[pool->ngroups++] = (struct group){
		    .endpoint = endpoint, .head = POOL_NONE, .tail = POOL_NONE};
	group_push(pool, &pool->groups[at], index);
}

void
pool_done(struct pool *pool, struct probe_request *request)
{
	pool->done++;
	if (pool->options->progress != NULL)
		pool->options->progress(
		    pool->options->arg, request, pool->done, pool->count);
}

/* --- the pool --------------------------------------------------------------
 */

static struct job *
idle_job(struct pool *pool)
{
	for (unsigned i = 0; i < pool->njobs; i++)
		if (pool->jobs[i].group == NULL)
			return &pool->jobs[i];
	return NULL;
}

/* No prober can be started: those that nobody has in hand are told so. */
static void
answer_unstarted(struct pool *pool, struct group *group, const char *why)
{
	for (size_t i = pool_take(pool, group); i != POOL_NONE;
	     i = pool_take(pool, group)) {
		pool_answer_not_asked(
		    pool->arena, &pool->requests[i], CAUSE_INTERNAL, why);
		pool_done(pool, &pool->requests[i]);
	}
}

/* Starts probers for groups that have none, or, with `more`, for one whose own
 * are all slow. */
static int
start_round(struct pool *pool, bool more, struct err *err)
{
	for (size_t i = 0; i < pool->ngroups; i++) {
		struct group *group = &pool->groups[i];
		bool wanted =
		    more ? group->slow == group->probers : group->probers == 0;
		struct err why = ERR_INIT;

		if (group->head == POOL_NONE || !wanted)
			continue;
		struct job *job = idle_job(pool);

		if (job == NULL)
			return 0;
		if (pool_job_start(job, group, &why) == 0)
			continue;
		if (!pool->any_started && pool->done == 0)
			return err_set(err, ERR_SYSTEM, "%s", why.text);
		if (group->probers == 0)
			answer_unstarted(pool, group, why.text);
	}
	return 0;
}

static int
pool_turns(struct pool *pool, struct err *err)
{
	while (pool->done < pool->count || pool->running > 0) {
		if (start_round(pool, false, err) == -1 ||
		    start_round(pool, true, err) == -1)
			return -1;
		if (pool->running > 0 &&
		    loop_turn(&pool->loop, CLOCK_NEVER, err) == -1)
			return -1;
	}
	return 0;
}

static void
pool_init(struct pool *pool)
{
	unsigned jobs =
	    pool->options->jobs == 0 ? JOBS_DEFAULT : pool->options->jobs;
	struct arena *arena = pool->arena;
	size_t most = MIN(pool->count, (size_t)POOL_TOGETHER_MAX);

	pool->njobs = (unsigned)MIN(MIN(jobs, JOBS_MAX), pool->count);
	pool->jobs = arena_array(arena, pool->njobs, sizeof(*pool->jobs));
	for (unsigned i = 0; i < pool->njobs; i++)
		pool->jobs[i] = (struct job){.pool = pool,
		    .hand = arena_array(arena, most, sizeof(size_t))};
	pool->tool = pool->options->tool != NULL ? pool->options->tool
	                                         : "/proc/self/exe";
	pool->next = arena_array(arena, pool->count, sizeof(*pool->next));
	pool->groups = arena_array(arena, pool->count, sizeof(*pool->groups));
	for (size_t i = 0; i < pool->count; i++) {
		pool->requests[i].answer = NULL;
		pool->requests[i].answer_len = 0;
		group_request(pool, i);
	}
}

int
probe_pool_run(struct probe_request *requests, size_t count,
    const struct probe_pool_options *options, struct arena *arena,
    struct err *err)
{
	static const struct probe_pool_options none;
	struct pool pool = {.requests = requests,
	    .count = count,
	    .options = options == NULL ? &none : options,
	    .arena = arena};

	if (count == 0)
		return 0;
	pool_init(&pool);
	uint32_t timers = pool.njobs * POOL_TIMERS_PER_JOB + 1;
	struct loop_timer **heap =
	    arena_array(arena, timers, sizeof(struct loop_timer *));
	if (loop_init(&pool.loop, heap, timers, err) == -1)
		return -1;
	int rc = pool_turns(&pool, err);
	for (unsigned i = 0; i < pool.njobs; i++)
		if (pool.jobs[i].group != NULL)
			pool_job_end(&pool.jobs[i], false);
	loop_fini(&pool.loop);
	return rc;
}
