/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/pool.h"
#include "probes/pool_answer.h"
#include "probes/prober.h"
#include "probes/words.h"

enum {
	LINE_MAX_BYTES = 1 << 20,
	ERRORS_MAX_BYTES = 4096,
	CHUNK_BYTES = 4096,
	/* of a line of many; a prober takes 4 MiB */
	TOGETHER_BYTES = 1 << 20,
	ASK_MAX_BYTES = 4 << 20
};
/* After its answer a prober may say goodbye to its server; then it is ended. */
static const int64_t GOODBYE_MS = 200;
/* Not done with its endpoint for so long, a prober may have help. */
static const int64_t SLOW_MS = 200;

/* --- answers ---------------------------------------------------------------
 */

static struct probe_request *
in_hand(const struct job *job, size_t at)
{
	return &job->pool->requests[job->hand[at]];
}

static void
job_answered(struct job *job)
{
	pool_done(job->pool, in_hand(job, job->answered++));
}

/* Nobody gets to this endpoint: the others of it needn't be asked. */
static void
answer_alike(struct job *job, const cJSON *verdict)
{
	struct pool *pool = job->pool;

	for (size_t i = pool_take(pool, job->group); i != POOL_NONE;
	     i = pool_take(pool, job->group)) {
		pool_answer_alike(pool->arena, &pool->requests[i], verdict);
		pool_done(pool, &pool->requests[i]);
	}
}

/* Whatever it was asked and hasn't answered in time; if it didn't even come to
 * asking, the others of the endpoint too. */
static void
answer_deadline(struct job *job)
{
	struct pool *pool = job->pool;
	const struct pool_hang hang = {.asked_ms = job->asked_ms,
	    .step = job->step,
	    .any_step = job->any_step,
	    .detail = job->detail};

	while (job->answered < job->asked) {
		pool_answer_deadline(
		    pool->arena, in_hand(job, job->answered), &hang);
		job_answered(job);
	}
	if (!job->any_step || job->step == STEP_QUERY)
		return;
	for (size_t i = pool_take(pool, job->group); i != POOL_NONE;
	     i = pool_take(pool, job->group)) {
		pool_answer_deadline(pool->arena, &pool->requests[i], &hang);
		pool_done(pool, &pool->requests[i]);
	}
}

/* It ended by itself: the request that it was at is to blame, and the others
 * go to another prober. */
static void
answer_crash(struct job *job, int status)
{
	pool_answer_crash(job->pool->arena, in_hand(job, job->answered),
	    &(struct pool_crash){.asked_ms = job->asked_ms,
	        .status = status,
	        .words = job->trouble.data,
	        .len = job->trouble.len});
	job_answered(job);
}

static void
answer_garbage(struct job *job, const char *why)
{
	pool_answer_garbage(
	    job->pool->arena, in_hand(job, job->answered), job->asked_ms, why);
	job_answered(job);
}

/* --- a prober --------------------------------------------------------------
 */

static void
job_stop_source(struct job *job, struct loop_source *source)
{
	if (source->added)
		loop_remove(&job->pool->loop, source);
	fd_close(&source->fd);
}

static void
job_release(struct job *job)
{
	buffer_wipe(&job->ask);
	job->group->probers--;
	job->group = NULL;
}

static void
job_patient(struct job *job)
{
	loop_timer_clear(&job->pool->loop, &job->patience);
	if (job->slow)
		job->group->slow--;
	job->slow = false;
}

void
pool_job_end(struct job *job, bool deadline)
{
	struct pool *pool = job->pool;

	loop_timer_clear(&pool->loop, &job->timer);
	job_patient(job);
	job_stop_source(job, &job->in);
	job_stop_source(job, &job->out);
	job_stop_source(job, &job->errors);
	int status = prober_reap(job->pid);
	if (job->answered < job->asked && !job->leaving) {
		if (deadline)
			answer_deadline(job);
		else
			answer_crash(job, status);
	}
	while (job->asked > job->answered)
		pool_return(pool, job->group, job->hand[--job->asked]);
	buffer_fini(&job->line);
	buffer_fini(&job->trouble);
	job_release(job);
	pool->running--;
}

/* --- asking ----------------------------------------------------------------
 */

/* The next request of the group that there is still time for. */
static size_t
next_in_time(struct pool *pool, struct group *group)
{
	for (size_t i = pool_take(pool, group); i != POOL_NONE;
	     i = pool_take(pool, group)) {
		struct probe_request *request = &pool->requests[i];

		if (request->deadline_ms > clock_ms())
			return i;
		pool_answer_not_asked(pool->arena, request, CAUSE_DEADLINE,
		    "its time was over before a prober was free");
		pool_done(pool, request);
	}
	return POOL_NONE;
}

static bool
joins(const struct job *job)
{
	const struct group *group = job->group;

	return job->asked < POOL_TOGETHER_MAX &&
	       job->ask.len < TOGETHER_BYTES && group->head != POOL_NONE &&
	       job->pool->requests[group->head].together;
}

static void
take_in_hand(struct job *job, const char *before, size_t index)
{
	job->hand[job->asked++] = index;
	buffer_text(&job->ask, before);
	buffer_text(&job->ask, job->pool->requests[index].json);
}

/* Takes in hand what is asked next, and writes it down; false: nothing is left.
 */
static bool
job_ask(struct job *job)
{
	struct pool *pool = job->pool;
	size_t index = next_in_time(pool, job->group);

	job->asked = job->answered = job->sent = 0;
	job->any_step = false;
	job->detail[0] = '\0';
	buffer_clear(&job->ask);
	if (index == POOL_NONE)
		return false;
	bool many = pool->requests[index].together && joins(job);

	take_in_hand(job, many ? "[" : "", index);
	while (many && joins(job) &&
	       (index = next_in_time(pool, job->group)) != POOL_NONE)
		take_in_hand(job, ",", index);
	buffer_text(&job->ask, many ? "]\n" : "\n");
	job->asked_ms = clock_ms();
	return true;
}

static int
job_send(struct job *job, struct err *err)
{
	struct loop *loop = &job->pool->loop;
	int64_t due_ms = in_hand(job, 0)->deadline_ms;

	for (size_t i = 1; i < job->asked; i++)
		due_ms = MIN(due_ms, in_hand(job, i)->deadline_ms);
	if (loop_timer_set(loop, &job->timer, due_ms, err) == -1 ||
	    (!job->slow && job->group->head != POOL_NONE &&
	        loop_timer_set(loop, &job->patience,
	            clock_after(job->started_ms, SLOW_MS), err) == -1))
		return -1;
	return job->in.added ? 0 : loop_add(loop, &job->in, EPOLLOUT, err);
}

/* --- what it says ----------------------------------------------------------
 */

static void
job_progress(struct job *job, const cJSON *line)
{
	const char *word = NULL;
	const char *detail = NULL;

	if (json_text(line, "progress", NULL, &word, NULL) == -1 ||
	    json_text(line, "detail", "", &detail, NULL) == -1 ||
	    word == NULL || !step_parse(word, &job->step))
		return;
	job->any_step = true;
	(void)snprintf(job->detail, sizeof(job->detail), "%s", detail);
}

/* Its verdict, checked as far as that it is one, for this request. */
static bool
job_verdict(struct job *job, const cJSON *json, size_t len)
{
	struct pool *pool = job->pool;
	struct probe_request *request = in_hand(job, job->answered);
	const char *schema = NULL;
	const char *subject = NULL;

	if (json_text(json, "schema", "", &schema, NULL) == -1 ||
	    json_text(json, "subject", "", &subject, NULL) == -1 ||
	    !text_equal(schema, OBSERVATION_SCHEMA) ||
	    !text_equal(subject, request->subject)) {
		answer_garbage(job, "not a verdict on what was asked");
		return false;
	}
	request->answer = arena_bytes(pool->arena, job->line.data, len);
	request->answer_len = len;
	job_answered(job);
	if (job->group->head != POOL_NONE && pool_answer_of_endpoint(json))
		answer_alike(job, json);
	return true;
}

/* False: nothing more that it says can be relied on. */
static bool
job_line(struct job *job, size_t len)
{
	struct err err = ERR_INIT;

	job->line.data[len] = '\0';
	CLEANUP(json_free) cJSON *json = json_read(job->line.data, len, &err);
	if (json == NULL || !cJSON_IsObject(json)) {
		answer_garbage(
		    job, json == NULL ? err.text : "not a JSON object");
		return false;
	}
	if (cJSON_GetObjectItemCaseSensitive(json, "progress") == NULL)
		return job_verdict(job, json, len);
	job_progress(job, json);
	return true;
}

static void
job_goodbye(struct job *job)
{
	job->leaving = true;
	job_patient(job);
	job_stop_source(job, &job->in);
	if (loop_timer_set(&job->pool->loop, &job->timer,
	        clock_after(clock_ms(), GOODBYE_MS), NULL) == -1)
		pool_job_end(job, false);
}

static void
job_next(struct job *job)
{
	struct err err = ERR_INIT;

	if (!job_ask(job))
		job_goodbye(job);
	else if (job_send(job, &err) == -1)
		pool_job_end(job, false);
}

/* Takes whole lines out of what it said; false: not to be relied on. */
static bool
job_lines(struct job *job)
{
	while (job->answered < job->asked && job->line.len > 0) {
		char *end = memchr(job->line.data, '\n', job->line.len);
		if (end == NULL)
			break;
		size_t len = (size_t)(end - job->line.data);
		if (!job_line(job, len))
			return false;
		buffer_drop_front(&job->line, len + 1);
	}
	if (job->answered < job->asked && job->line.overflow) {
		answer_garbage(job, "longer than a line may be");
		return false;
	}
	return true;
}

/* False: nothing is there to be read after all. Else `*ret_n` bytes; 0 or -1:
 * there will be no more. */
static bool
source_read(
    const struct loop_source *source, char bytes[CHUNK_BYTES], ssize_t *ret_n)
{
	*ret_n = read(source->fd, bytes, CHUNK_BYTES);
	return *ret_n != -1 || (errno != EAGAIN && errno != EINTR);
}

static void
job_out(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	char bytes[CHUNK_BYTES];
	ssize_t n = 0;

	(void)events;
	if (!source_read(source, bytes, &n))
		return;
	if (n <= 0) {
		pool_job_end(job, false);
		return;
	}
	if (job->leaving)
		return; /* all that was asked is answered */
	buffer_append(&job->line, bytes, (size_t)n);
	if (!job_lines(job))
		job_goodbye(job);
	else if (job->answered == job->asked)
		job_next(job);
}

static void
job_errors(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	char bytes[CHUNK_BYTES];
	ssize_t n = 0;

	(void)events;
	if (!source_read(source, bytes, &n))
		return;
	if (n <= 0) {
		job_stop_source(job, source);
		return;
	}
	size_t room = ERRORS_MAX_BYTES - job->trouble.len;
	buffer_append(&job->trouble, bytes, MIN((size_t)n, room));
}

static void
job_in(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;

	(void)events;
	while (job->sent < job->ask.len) {
		ssize_t n = send(source->fd, job->ask.data + job->sent,
		    job->ask.len - job->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == -1)
			break; /* it died: its stdout will say so */
		job->sent += (size_t)n;
	}
	loop_remove(&job->pool->loop, source);
}

static void
job_due(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	pool_job_end(timer->owner, true);
}

static void
job_slow(struct loop_timer *timer, int64_t now_ms)
{
	struct job *job = timer->owner;

	(void)now_ms;
	job->slow = true;
	job->group->slow++;
}

static int
job_watch(struct job *job, struct err *err)
{
	struct loop *loop = &job->pool->loop;

	if (loop_add(loop, &job->out, EPOLLIN, err) == -1 ||
	    loop_add(loop, &job->errors, EPOLLIN, err) == -1)
		return -1;
	return job_send(job, err);
}

static int
job_open(struct job *job, struct err *err)
{
	struct prober prober;

	if (prober_start(&prober, job->pool->tool, err) == -1)
		return -1;
	job->pid = prober.pid;
	job->in = (struct loop_source){
	    .fd = prober.in, .ready = job_in, .owner = job};
	job->out = (struct loop_source){
	    .fd = prober.out, .ready = job_out, .owner = job};
	job->errors = (struct loop_source){
	    .fd = prober.errors, .ready = job_errors, .owner = job};
	return 0;
}

int
pool_job_start(struct job *job, struct group *group, struct err *err)
{
	struct pool *pool = job->pool;
	size_t *hand = job->hand;

	*job = (struct job){.pool = pool,
	    .group = group,
	    .hand = hand,
	    .started_ms = clock_ms(),
	    .timer = {.fire = job_due, .owner = job},
	    .patience = {.fire = job_slow, .owner = job}};
	group->probers++;
	buffer_init(&job->ask, ASK_MAX_BYTES);
	if (!job_ask(job)) {
		job_release(job);
		return 0;
	}
	if (job_open(job, err) == -1) {
		while (job->asked > 0)
			pool_return(pool, group, job->hand[--job->asked]);
		job_release(job);
		return -1;
	}
	buffer_init(&job->line, LINE_MAX_BYTES);
	buffer_init(&job->trouble, ERRORS_MAX_BYTES);
	pool->running++;
	pool->any_started = true;
	if (job_watch(job, err) == -1)
		pool_job_end(job, false); /* it has its answer: unknown */
	return 0;
}
