/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "supervisor/operator/endpoint.h"
#include "supervisor/operator/operator.h"

enum {
	BACKOFF_MAX_MS = 60 * 1000,
	/* A slow server is asked so much less often that it spends at most one
	 * part in so many of its time on us. */
	ROUND_SHARE = 5,
	SLOW_MAX_MS = 20 * 1000, /* but never less often than this */
	/* While a worker is scaled to zero its first job is waited for: so
	 * often, and later by so much for each queue that is asked along. */
	IDLE_MS = 1000,
	IDLE_EACH_MS = 40,
	KILL_MS = 6 * 1000,
	AHEAD_MAX = 1000,      /* asked and not yet answered */
	AHEAD_BYTES = 1 << 20, /* of a line, which a prober reads whole */
	SERVER_SIZE = 64,
};

static const char PROGRESS[] = "{\"progress\":";

struct endpoint {
	const struct endpoint_plan *plan;
	char *url;
	char server[SERVER_SIZE]; /* its address, as it was reached last */
	struct helper prober;
	struct loop_timer tick;
	struct queue_seen **queues; /* borrowed; room for all there are */
	size_t count, first;        /* of them; where the round began */
	size_t asked, answered; /* in this round; equal to count: it is over */
	int64_t round_ms;       /* monotonic: of its first answer */
	int64_t every_ms;       /* between rounds, as things are */
	unsigned failures;      /* rounds in a row without any answer */
	bool ending;            /* the prober was killed, and not yet reaped */
};

static struct queue_seen *
queue_at(const struct endpoint *endpoint, size_t at)
{
	size_t which = (endpoint->first + at) % endpoint->count;

	return endpoint->queues[which];
}

/* Whether a worker that is scaled by the queue has no replica now. */
static bool
is_idle(const struct operator_core *op, const char *queue)
{
	const struct intent_queue *of = intent_queue_find(op->intent, queue);

	for (size_t i = 0; i < of->nscaled; i++) {
		const struct tracked *tracked = operator_tracked(op,
		    op->intent->declared->workers[of->scaled[i]].name, NULL);
		if (tracked != NULL && tracked->by_queue.begun &&
		    tracked->by_queue.replicas == 0)
			return true;
	}
	return false;
}

/* Between two rounds, when all goes well. */
static int64_t
round_every_ms(const struct endpoint *endpoint)
{
	const struct endpoint_plan *plan = endpoint->plan;
	int64_t idle_ms = IDLE_MS + (int64_t)endpoint->count * IDLE_EACH_MS;

	for (size_t i = 0; idle_ms < plan->every_ms && i < endpoint->count; i++)
		if (is_idle(plan->op, endpoint->queues[i]->name))
			return idle_ms;
	return plan->every_ms;
}

/* Whoever goes by it learns what is known of the queue now. */
static void
tell(struct endpoint *endpoint, size_t at)
{
	struct queue_view view;

	queue_seen_view(queue_at(endpoint, at), &view);
	trend_add(endpoint->plan->op->trend, &view, endpoint->plan->nqueues,
	    endpoint->every_ms);
	scaling_saw(endpoint->plan->op, &view);
	leases_saw(endpoint->plan->op, &view);
	deaths_queue(endpoint->plan->op->deaths, &view);
}

/* The round is over; when is the next? */
static void
plan_round(struct endpoint *endpoint, bool failed)
{
	struct err err = ERR_INIT;
	int64_t now_ms = clock_ms();
	int64_t every_ms = round_every_ms(endpoint);

	endpoint->every_ms = every_ms;
	int64_t after_ms =
	    MAX(every_ms, MIN(ROUND_SHARE * (now_ms - endpoint->round_ms),
	                      (int64_t)SLOW_MAX_MS));

	endpoint->failures = failed ? endpoint->failures + 1 : 0;
	if (failed)
		after_ms = every_ms << MIN(endpoint->failures - 1, 8U);
	endpoint->asked = endpoint->answered = endpoint->count;
	int64_t most_ms = MAX((int64_t)BACKOFF_MAX_MS, every_ms);
	int64_t at_ms = after_ms == every_ms
	                    ? clock_beat(now_ms, every_ms)
	                    : clock_after(now_ms, MIN(after_ms, most_ms));

	if (loop_timer_set(&endpoint->plan->op->loop, &endpoint->tick, at_ms,
	        &err) == -1 ||
	    helper_deadline(&endpoint->prober, CLOCK_NEVER, &err) == -1)
		log_warning("queues", "%s", err.text);
}

/* Nothing more can be learnt from this endpoint in this round. */
static void
give_up(struct endpoint *endpoint, const char *why)
{
	size_t answered = endpoint->answered;
	char *text = strdup(why); /* may be one of the texts replaced below */

	for (size_t i = answered; text != NULL && i < endpoint->count; i++) {
		queue_seen_trouble(queue_at(endpoint, i), text);
		tell(endpoint, i);
	}
	free(text);
	plan_round(endpoint, answered == 0);
	endpoint->first = (endpoint->first + answered + 1) % endpoint->count;
	endpoint->ending = true;
	/* Or the next one would answer these first, as if they were its own. */
	buffer_clear(&endpoint->prober.in);
	helper_kill(&endpoint->prober);
}

static void
prober_over(struct helper *helper, int status, bool killed)
{
	struct endpoint *endpoint = helper->owner;

	(void)status;
	endpoint->ending = false;
	buffer_clear(&helper->in);
	if (endpoint->answered < endpoint->count)
		give_up(endpoint,
		    killed ? "no answer in time, the prober was killed"
		           : "the prober ended");
}

/* The request, with what is known already, and the processes that are meant to
 * read the queue: of a server's many clients theirs are told. */
static void
say_request(struct operator_core *op, const struct queue_seen *queue,
    struct buffer *out)
{
	const struct intent_queue *readers =
	    intent_queue_find(op->intent, queue->name);
	const char *between = "";

	/* without the closing brace */
	buffer_append(out, queue->request, strlen(queue->request) - 1);
	buffer_format(out, ",\"unless\":\"%s\",\"pids\":[",
	    queue->seen == NULL ? "" : queue->seen->tag);
	for (size_t i = 0; i < readers->nreaders; i++) {
		const struct running_worker *worker = running_find(&op->running,
		    op->intent->declared->workers[readers->readers[i]].name);
		for (size_t k = 0; worker != NULL && k < worker->ninstances;
		     k++) {
			if (worker->instances[k].wire.pid <= 0)
				continue;
			buffer_format(out, "%s%" PRId32, between,
			    worker->instances[k].wire.pid);
			between = ",";
		}
	}
	buffer_text(out, "]}");
}

/* The next questions when all are answered: as one line, which the prober
 * answers in as few round trips as the technology needs. */
static void
ask(struct endpoint *endpoint)
{
	static const char *const PROBE[] = {NULL, "probe", NULL};
	struct helper *prober = &endpoint->prober;
	struct err err = ERR_INIT;
	int64_t deadline_ms = clock_after(clock_ms(), KILL_MS);
	const char *between = "[";
	int rc = 0;

	while (endpoint->asked < endpoint->count &&
	       (between[0] == ',' || endpoint->asked == endpoint->answered) &&
	       endpoint->asked - endpoint->answered < AHEAD_MAX &&
	       prober->in.len < AHEAD_BYTES) {
		buffer_text(&prober->in, between);
		say_request(endpoint->plan->op,
		    queue_at(endpoint, endpoint->asked++), &prober->in);
		between = ",";
	}
	if (between[0] == ',')
		buffer_text(&prober->in, "]\n");
	if (!helper_runs(prober))
		rc = helper_start(prober, PROBE, deadline_ms, &err);
	else if (helper_deadline(prober, deadline_ms, &err) == -1 ||
	         (prober->in.len > 0 && helper_tell(prober, &err) == -1))
		rc = -1;
	if (rc == -1)
		give_up(endpoint, err.text);
}

bool
endpoint_is_step(const char *line, size_t len)
{
	return len > sizeof(PROGRESS) - 1 &&
	       memcmp(line, PROGRESS, sizeof(PROGRESS) - 1) == 0;
}

static void
learn_server(struct endpoint *endpoint, const char *server)
{
	if (server != NULL)
		(void)snprintf(endpoint->server, SERVER_SIZE, "%s", server);
}

static void
take_answer(struct endpoint *endpoint, const char *line, size_t len)
{
	if (endpoint_is_step(line, len))
		return;
	if (endpoint->answered >= endpoint->asked)
		return;
	struct queue_seen *queue = queue_at(endpoint, endpoint->answered);

	/* The start of the prober isn't the server's time. */
	if (endpoint->answered == 0)
		endpoint->round_ms = clock_ms();
	if (queue_seen_answer(queue, line, len))
		learn_server(endpoint, queue_seen_connected_to(queue));
	if (queue_seen_blames_server(queue)) {
		give_up(endpoint, queue->trouble);
		return;
	}
	tell(endpoint, endpoint->answered);
	endpoint->answered++;
	if (endpoint->answered == endpoint->count)
		plan_round(endpoint, false);
	else
		ask(endpoint);
}

static void
prober_said(struct helper *helper)
{
	struct endpoint *endpoint = helper->owner;
	const char *end = NULL;

	while (
	    helper->out.len > 0 && endpoint->answered < endpoint->count &&
	    (end = memchr(helper->out.data, '\n', helper->out.len)) != NULL) {
		size_t len = (size_t)(end - helper->out.data);
		helper->out.data[len] = '\0';
		take_answer(endpoint, helper->out.data, len);
		buffer_drop_front(&helper->out, len + 1);
	}
}

static void
tick(struct loop_timer *timer, int64_t now_ms)
{
	struct endpoint *endpoint = timer->owner;
	struct err err = ERR_INIT;

	if (endpoint->answered < endpoint->count)
		return; /* still asking */
	/* One that was killed may not be reaped yet. */
	if (endpoint->ending && helper_runs(&endpoint->prober)) {
		helper_kill(&endpoint->prober);
		if (loop_timer_set(&endpoint->plan->op->loop, timer,
		        clock_after(now_ms, endpoint->plan->every_ms),
		        &err) == -1)
			log_warning("queues", "%s", err.text);
		return;
	}
	endpoint->round_ms = now_ms;
	endpoint->asked = endpoint->answered = 0;
	endpoint->ending = false;
	ask(endpoint);
}

/* --- life -------------------------------------------------------------- */

struct endpoint *
endpoint_new(const struct endpoint_plan *plan, const char *url)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	struct err err = ERR_INIT;

	if (endpoint == NULL)
		return NULL;
	endpoint->url = strdup(url);
	endpoint->queues = calloc(plan->nqueues, sizeof(struct queue_seen *));
	if (endpoint->url == NULL || endpoint->queues == NULL) {
		secret_free(endpoint->url);
		free(endpoint->queues);
		free(endpoint);
		return NULL;
	}
	endpoint->plan = plan;
	endpoint->every_ms = plan->every_ms;
	endpoint->tick = (struct loop_timer){.fire = tick, .owner = endpoint};
	helper_init(&endpoint->prober, &plan->op->loop, prober_over, endpoint);
	endpoint->prober.part = HELPER_QUEUES;
	endpoint->prober.said = prober_said;
	endpoint->prober.keep_stdin = true;
	if (loop_timer_set(
	        &plan->op->loop, &endpoint->tick, clock_ms(), &err) == -1)
		log_warning("queues", "%s", err.text);
	return endpoint;
}

void
endpoint_free(struct endpoint *endpoint)
{
	helper_fini(&endpoint->prober);
	loop_timer_clear(&endpoint->plan->op->loop, &endpoint->tick);
	secret_free(endpoint->url);
	free(endpoint->queues);
	free(endpoint);
}

bool
endpoint_is(const struct endpoint *endpoint, const char *url)
{
	return text_equal(endpoint->url, url);
}

void
endpoint_add(struct endpoint *endpoint, struct queue_seen *queue)
{
	assert(endpoint->count < endpoint->plan->nqueues);
	queue->server = endpoint->server;
	endpoint->queues[endpoint->count++] = queue;
	endpoint->asked = endpoint->answered = endpoint->count;
}
