/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/observed.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

/*
 * A round of an endpoint asks each of its queues once, a few at a time ahead of
 * the answers. An answer is decoded when it comes and kept until the next one.
 * What ends a round early (a prober that hangs, a server that can't be reached)
 * counts for every queue that had no answer yet. The next round begins behind
 * the queue at which this one ended, so one that can't be asked in time hides
 * no other; after a round without any answer it is put off, longer each time.
 */
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
	ANSWER_MS = 4 * 1000,
	KILL_MS = 6 * 1000,
	AHEAD_MAX = 1000, /* asked and not yet answered */
	REQUEST_MAX = 1 << 20,
	ANSWER_MAX = 4 << 20,
	SERVER_SIZE = 64,
};

static const char PROGRESS[] = "{\"progress\":";
static const char SAME[] = "{\"same\":";
static const struct queue_state UNKNOWN = {.paused = -1};

struct endpoint;
struct observed_queue {
	char *name, *kind, *url;        /* the URL without its password */
	char *request;                  /* JSON, holds secrets */
	struct arena arena;             /* of `seen` */
	const struct observation *seen; /* the last answer, or NULL */
	int64_t at_wall_ms;             /* when it was last true */
	char *trouble;                  /* why there is no newer one, or NULL */
	int64_t trouble_wall_ms, known_ms, still_ms;
	struct endpoint *endpoint;
};

struct endpoint {
	char *url;
	char server[SERVER_SIZE]; /* its address, as it was reached last */
	struct queues *queues;
	struct helper prober;
	struct loop_timer tick;
	size_t *own;            /* indices of its queues */
	size_t count, first;    /* of them; where the round began */
	size_t asked, answered; /* in this round; equal to count: it is over */
	int64_t round_ms;       /* monotonic: of its first answer */
	int64_t every_ms;       /* between rounds, as things are */
	unsigned failures;      /* rounds in a row without any answer */
	bool ending;            /* the prober was killed, and not yet reaped */
};

struct queues {
	struct operator_core *op;
	int64_t every_ms; /* between looks */
	struct observed_queue *list;
	size_t count;
	struct names names;
	struct endpoint **endpoints;
	size_t nendpoints;
};

static const char *
queue_name(const void *list, size_t at)
{
	const struct queues *queues = list;

	return queues->list[at].name;
}

static void
wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void
clear(struct queues *queues)
{
	for (size_t i = 0; i < queues->nendpoints; i++) {
		struct endpoint *endpoint = queues->endpoints[i];
		helper_fini(&endpoint->prober);
		loop_timer_clear(&queues->op->loop, &endpoint->tick);
		wipe(&endpoint->url);
		free(endpoint->own);
		free(endpoint);
	}
	for (size_t i = 0; i < queues->count; i++) {
		struct observed_queue *queue = &queues->list[i];
		free(queue->name);
		free(queue->kind);
		free(queue->url);
		wipe(&queue->request);
		arena_fini(&queue->arena);
		free(queue->trouble);
	}
	names_fini(&queues->names);
	free(queues->endpoints);
	free(queues->list);
	queues->endpoints = NULL;
	queues->list = NULL;
	queues->count = queues->nendpoints = 0;
}

/* --- one queue --------------------------------------------------------- */

static void
set_trouble(struct observed_queue *queue, const char *why)
{
	if (why != NULL && queue->trouble == NULL)
		queue->trouble_wall_ms = clock_wall_ms();
	if (why == NULL)
		queue->trouble_wall_ms = 0;
	else
		queue->still_ms = 0;
	if (text_equal(why, queue->trouble))
		return;
	free(queue->trouble);
	queue->trouble = why == NULL ? NULL : strdup(why);
}

static void
view_of(const struct observed_queue *queue, struct queue_view *ret)
{
	const struct observation *seen = queue->seen;

	*ret = (struct queue_view){
	    .name = queue->name,
	    .kind = queue->kind,
	    .url = queue->url,
	    .server = queue->endpoint == NULL ? "" : queue->endpoint->server,
	    .state = &UNKNOWN,
	    .trouble = queue->trouble,
	    .trouble_wall_ms = queue->trouble_wall_ms,
	    .at_wall_ms = queue->at_wall_ms,
	    .known_ms = queue->known_ms,
	    .still_ms = queue->still_ms,
	};
	if (seen == NULL && queue->trouble == NULL)
		ret->trouble = "not looked at yet";
	else if (seen != NULL && seen->queue != NULL && queue->trouble == NULL)
		ret->state = seen->queue;
}

static bool
changed(struct queue_number before, struct queue_number now)
{
	return before.know == KNOW_EXACT && now.know == KNOW_EXACT &&
	       before.value != now.value;
}

/* Whether something was seen to be done between two looks. */
static bool
moved(const struct queue_state *before, const struct queue_state *now)
{
	return changed(before->completed, now->completed) ||
	       changed(before->failed, now->failed) ||
	       changed(before->dead, now->dead) ||
	       changed(before->active, now->active) ||
	       !text_equal(before->head, now->head) ||
	       (changed(before->waiting, now->waiting) &&
	           now->waiting.value < before->waiting.value);
}

/* `before` is the answer that `queue->seen` replaces. */
static void
follow_progress(struct observed_queue *queue, const struct observation *before)
{
	const struct queue_state *now = queue->seen->queue;
	bool waits = now->waiting.know == KNOW_EXACT ||
	             now->waiting.know == KNOW_AT_LEAST;

	queue->known_ms = clock_ms();
	if (!waits || now->waiting.value == 0)
		queue->still_ms = 0;
	else if (queue->still_ms == 0 || before == NULL ||
	         before->queue == NULL || moved(before->queue, now))
		queue->still_ms = queue->known_ms;
}

/* Whether it speaks for the server rather than for this queue. */
static bool
of_endpoint(const struct observation *seen)
{
	switch (seen->cause) {
	case CAUSE_DEADLINE:
	case CAUSE_DNS:
	case CAUSE_REFUSED:
	case CAUSE_UNREACHABLE:
	case CAUSE_SILENT:
	case CAUSE_TLS:
	case CAUSE_AUTH:
		return true;
	case CAUSE_NONE:
	case CAUSE_INTERNAL:
	case CAUSE_UNRESOLVED:
	case CAUSE_URL:
	case CAUSE_PERMISSION:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_WRONG_TYPE:
	case CAUSE_NOT_FOUND:
	case CAUSE_MISMATCH:
	case CAUSE_UNAVAILABLE:
		break;
	}
	return false;
}

/* Only the answer that opened the connection has the step. */
static void
learn_server(struct observed_queue *queue)
{
	static const char connected[] = "connected to ";

	for (size_t i = 0; i < queue->seen->nsteps; i++) {
		const struct step *step = &queue->seen->steps[i];
		if (step->kind == STEP_TCP &&
		    text_starts(step->detail, connected))
			(void)snprintf(queue->endpoint->server, SERVER_SIZE,
			    "%s", step->detail + sizeof(connected) - 1);
	}
}

/* What follows of an answer; `before` is the one that it replaces. */
static void
conclude(struct observed_queue *queue, const struct observation *before)
{
	if (queue->seen->result != RESULT_PASSED) {
		set_trouble(queue, queue->seen->summary);
	} else {
		set_trouble(queue, NULL);
		if (queue->seen->queue != NULL)
			follow_progress(queue, before);
	}
}

/* {"same":TAG,"at":…}: the last answer holds still. */
static void
learn_same(struct observed_queue *queue, const char *line, size_t len)
{
	CLEANUP(record_free) cJSON *same = record_parse(line, len);

	if (queue->seen == NULL ||
	    !text_equal(queue->seen->tag, record_text(same, "same", ""))) {
		set_trouble(queue, "no verdict");
		return;
	}
	queue->at_wall_ms = record_i64(same, "at", queue->at_wall_ms);
	conclude(queue, queue->seen);
}

/* Decodes an answer into memory of its own; the one before is forgotten. */
static void
learn(struct observed_queue *queue, const char *line, size_t len)
{
	struct arena before_arena = queue->arena;
	const struct observation *before = queue->seen;
	struct observed observed;
	struct err err = ERR_INIT;
	struct arena arena;

	arena_init(&arena, ANSWER_MAX);
	observed_init(&observed, &arena);
	if (observed_add_line(&observed, line, len, &err) == -1 ||
	    observed.nobservations != 1) {
		arena_fini(&arena);
		set_trouble(
		    queue, err.text[0] == '\0' ? "no verdict" : err.text);
		return;
	}
	queue->arena = arena;
	queue->seen = observed.observations;
	queue->at_wall_ms = queue->seen->at_wall_ms;
	learn_server(queue);
	conclude(queue, before);
	arena_fini(&before_arena);
}

/* --- one endpoint ------------------------------------------------------ */

static struct observed_queue *
queue_at(const struct endpoint *endpoint, size_t at)
{
	size_t which = (endpoint->first + at) % endpoint->count;

	return &endpoint->queues->list[endpoint->own[which]];
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
	const struct queues *queues = endpoint->queues;
	int64_t idle_ms = IDLE_MS + (int64_t)endpoint->count * IDLE_EACH_MS;

	for (size_t i = 0; idle_ms < queues->every_ms && i < endpoint->count;
	     i++)
		if (is_idle(queues->op, queues->list[endpoint->own[i]].name))
			return idle_ms;
	return queues->every_ms;
}

/* Whoever goes by it learns what is known of the queue now. */
static void
tell(struct endpoint *endpoint, size_t at)
{
	struct queue_view view;

	view_of(queue_at(endpoint, at), &view);
	trend_add(endpoint->queues->op->trend, &view, endpoint->queues->count,
	    endpoint->every_ms);
	scaling_saw(endpoint->queues->op, &view);
	leases_saw(endpoint->queues->op, &view);
	deaths_queue(endpoint->queues->op->deaths, &view);
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

	if (loop_timer_set(&endpoint->queues->op->loop, &endpoint->tick, at_ms,
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
		set_trouble(queue_at(endpoint, i), text);
		tell(endpoint, i);
	}
	free(text);
	plan_round(endpoint, answered == 0);
	endpoint->first = (endpoint->first + answered + 1) % endpoint->count;
	endpoint->ending = true;
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
say_request(const struct queues *queues, const struct observed_queue *queue,
    struct buffer *out)
{
	struct operator_core *op = queues->op;
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
	       endpoint->asked - endpoint->answered < AHEAD_MAX) {
		buffer_text(&prober->in, between);
		say_request(endpoint->queues,
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
queues_is_step(const char *line, size_t len)
{
	return len > sizeof(PROGRESS) - 1 &&
	       memcmp(line, PROGRESS, sizeof(PROGRESS) - 1) == 0;
}

static void
take_answer(struct endpoint *endpoint, const char *line, size_t len)
{
	if (queues_is_step(line, len))
		return;
	if (endpoint->answered >= endpoint->asked)
		return;
	struct observed_queue *queue = queue_at(endpoint, endpoint->answered);

	/* The start of the prober isn't the server's time. */
	if (endpoint->answered == 0)
		endpoint->round_ms = clock_ms();
	if (len > sizeof(SAME) - 1 && memcmp(line, SAME, sizeof(SAME) - 1) == 0)
		learn_same(queue, line, len);
	else
		learn(queue, line, len);
	if (queue->trouble != NULL && queue->seen != NULL &&
	    of_endpoint(queue->seen)) {
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
		if (loop_timer_set(&endpoint->queues->op->loop, timer,
		        clock_after(now_ms, endpoint->queues->every_ms),
		        &err) == -1)
			log_warning("queues", "%s", err.text);
		return;
	}
	endpoint->round_ms = now_ms;
	endpoint->asked = endpoint->answered = 0;
	endpoint->ending = false;
	ask(endpoint);
}

/* --- what is declared -------------------------------------------------- */

void
queues_begin_request(struct jsonw *json, const struct declared_queue *queue,
    const char *op, int64_t timeout_ms)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "kind", "queue");
	jsonw_format(json, "subject", "queue %s", queue->name);
	jsonw_i64(json, "timeout_ms", timeout_ms);
	jsonw_text(json, "queueKind", queue->kind);
	jsonw_text(json, "url", queue->url);
	jsonw_text(json, "op", op);
	jsonw_i64(json, "countTo", queue->count_to);
	jsonw_object(json, "options");
	for (size_t i = 0; i < queue->noptions; i++)
		jsonw_text(
		    json, queue->options[i].key, queue->options[i].value);
	jsonw_end(json);
}

static char *
request_text(const struct declared_queue *queue)
{
	struct buffer text;
	struct jsonw json;

	if (queue->url == NULL)
		return NULL;
	buffer_init(&text, REQUEST_MAX);
	jsonw_init(&json, &text, false);
	queues_begin_request(&json, queue, "observe", ANSWER_MS);
	jsonw_end(&json);
	char *copy = text.overflow ? NULL : strdup(text.data);

	buffer_wipe(&text);
	return copy;
}

/* The endpoint of that URL, with room for one more queue; NULL: no memory. */
static struct endpoint *
endpoint_get(struct queues *queues, const char *url)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < queues->nendpoints; i++) {
		assert(queues->endpoints[i] != NULL);
		if (text_equal(queues->endpoints[i]->url, url))
			return queues->endpoints[i];
	}
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	assert(url != NULL);
	if (endpoint == NULL)
		return NULL;
	endpoint->url = strdup(url);
	endpoint->own = calloc(queues->count, sizeof(*endpoint->own));
	if (endpoint->url == NULL || endpoint->own == NULL) {
		wipe(&endpoint->url);
		free(endpoint->own);
		free(endpoint);
		return NULL;
	}
	endpoint->queues = queues;
	endpoint->every_ms = queues->every_ms;
	endpoint->tick = (struct loop_timer){.fire = tick, .owner = endpoint};
	helper_init(
	    &endpoint->prober, &queues->op->loop, prober_over, endpoint);
	endpoint->prober.part = HELPER_QUEUES;
	endpoint->prober.said = prober_said;
	endpoint->prober.keep_stdin = true;
	queues->endpoints[queues->nendpoints++] = endpoint;
	if (loop_timer_set(
	        &queues->op->loop, &endpoint->tick, clock_ms(), &err) == -1)
		log_warning("queues", "%s", err.text);
	return endpoint;
}

static bool
unchanged(const struct queues *queues, const struct declared *declared)
{
	if (queues->count != declared->nqueues)
		return false;
	for (size_t i = 0; i < queues->count; i++) {
		char *request = request_text(&declared->queues[i]);
		bool same =
		    text_equal(request, queues->list[i].request) &&
		    text_equal(declared->queues[i].name, queues->list[i].name);
		wipe(&request);
		if (!same)
			return false;
	}
	return true;
}

void
queues_set(struct queues *queues)
{
	const struct intent *intent = queues->op->intent;
	struct arena arena;

	if (intent == NULL)
		return;
	queues->every_ms = intent->declared->supervisor.observe_every_ms;
	if (unchanged(queues, intent->declared))
		return;
	size_t count = intent->declared->nqueues;

	clear(queues);
	queues->list = calloc(count + 1, sizeof(*queues->list));
	queues->endpoints = calloc(count + 1, sizeof(struct endpoint *));
	if (queues->list == NULL || queues->endpoints == NULL)
		return;
	queues->count = count;
	arena_init(&arena, REQUEST_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct declared_queue *from =
		    &intent->declared->queues[i];
		struct observed_queue *to = &queues->list[i];
		to->name = strdup(from->name);
		if (to->name != NULL)
			names_add(&queues->names, to->name, i);
		to->kind = strdup(from->kind == NULL ? "" : from->kind);
		to->url = strdup(
		    from->url == NULL ? "" : url_shown(&arena, from->url));
		to->request = request_text(from);
		if (to->request == NULL) {
			set_trouble(to, "its URL is not resolved");
			continue;
		}
		to->endpoint = endpoint_get(queues, from->url);
		if (to->endpoint != NULL) {
			struct endpoint *at = to->endpoint;
			at->own[at->count++] = i;
			at->asked = at->answered = at->count;
		}
	}
	arena_wipe(&arena);
}

/* --- asking ------------------------------------------------------------ */

void
queues_view_each(const struct queues *queues, queues_view_fn *fn, void *arg)
{
	struct queue_view view;

	for (size_t i = 0; i < queues->count; i++) {
		view_of(&queues->list[i], &view);
		fn(arg, &view);
	}
}

bool
queues_view_find(
    const struct queues *queues, const char *name, struct queue_view *ret)
{
	size_t at = names_find(&queues->names, name, queue_name, queues);

	if (at == NAMES_NONE)
		return false;
	view_of(&queues->list[at], ret);
	return true;
}

struct queues *
queues_new(struct operator_core *op)
{
	struct queues *queues = calloc(1, sizeof(*queues));

	if (queues != NULL)
		queues->op = op;
	return queues;
}

void
queues_free(struct queues *queues)
{
	if (queues == NULL)
		return;
	clear(queues);
	free(queues);
}
