/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/observed.h"
#include "supervisor/operator/operator.h"

/*
 * The declared queues, looked at every few seconds by probers: one process for
 * each endpoint, which keeps its connection, and is killed when it doesn't
 * answer in time. Only the last answers are kept.
 */
enum {
	LOOK_EVERY_MS = 5 * 1000,
	ANSWER_MS = 4 * 1000,
	KILL_MS = 6 * 1000,
	REQUEST_MAX = 1 << 20,
	ANSWER_MAX = 4 << 20,
};

static const char PROGRESS[] = "{\"progress\":";

struct endpoint;
struct observed_queue {
	char *name, *kind, *url; /* the URL without its password */
	char *request;           /* one line, holds secrets */
	char *answer;            /* the last verdict line, or NULL */
	char *trouble;           /* why there is no newer one, or NULL */
	struct endpoint *endpoint;
};

struct endpoint {
	char *url;
	struct queues *queues;
	struct helper prober;
	struct loop_timer tick;
	size_t
	    asking; /* index of the queue whose answer is awaited, or count */
};

struct queues {
	struct operator_core *op;
	struct observed_queue *list;
	size_t count;
	struct endpoint **endpoints;
	size_t nendpoints;
};

static void ask_next(struct endpoint *endpoint);

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
		free(endpoint);
	}
	for (size_t i = 0; i < queues->count; i++) {
		struct observed_queue *queue = &queues->list[i];
		free(queue->name);
		free(queue->kind);
		free(queue->url);
		wipe(&queue->request);
		free(queue->answer);
		free(queue->trouble);
	}
	free(queues->endpoints);
	free(queues->list);
	queues->endpoints = NULL;
	queues->list = NULL;
	queues->count = queues->nendpoints = 0;
}

static void
keep(char **at, const char *text, size_t len)
{
	free(*at);
	*at = text == NULL ? NULL : strndup(text, len);
}

static void
no_answer(struct endpoint *endpoint, const char *why)
{
	struct queues *queues = endpoint->queues;

	for (size_t i = 0; i < queues->count; i++)
		if (queues->list[i].endpoint == endpoint)
			keep(&queues->list[i].trouble, why, strlen(why));
	endpoint->asking = queues->count;
}

static void
prober_over(struct helper *helper, int status, bool killed)
{
	(void)status;
	no_answer(
	    helper->owner, killed ? "no answer in time, the prober was killed"
	                          : "the prober ended");
}

static void
take_answer(struct endpoint *endpoint, const char *line, size_t len)
{
	struct queues *queues = endpoint->queues;
	struct err err = ERR_INIT;

	/* Steps on the way to the answer matter only to who watches. */
	if (len > sizeof(PROGRESS) - 1 &&
	    memcmp(line, PROGRESS, sizeof(PROGRESS) - 1) == 0)
		return;
	if (endpoint->asking >= queues->count)
		return;
	struct observed_queue *queue = &queues->list[endpoint->asking];

	keep(&queue->answer, line, len);
	keep(&queue->trouble, NULL, 0);
	if (helper_deadline(&endpoint->prober, CLOCK_NEVER, &err) == -1)
		log_warning("queues", "%s", err.text);
	endpoint->asking++;
	ask_next(endpoint);
}

static void
prober_said(struct helper *helper)
{
	const char *end = NULL;

	while (helper->out.len > 0 && (end = memchr(helper->out.data, '\n',
	                                   helper->out.len)) != NULL) {
		size_t len = (size_t)(end - helper->out.data);
		take_answer(helper->owner, helper->out.data, len);
		buffer_drop_front(&helper->out, len + 1);
	}
}

static void
ask_next(struct endpoint *endpoint)
{
	static const char *const PROBE[] = {NULL, "probe", NULL};
	struct queues *queues = endpoint->queues;
	struct helper *prober = &endpoint->prober;
	struct err err = ERR_INIT;
	int64_t deadline_ms = clock_after(clock_ms(), KILL_MS);
	int rc = 0;

	while (endpoint->asking < queues->count &&
	       (queues->list[endpoint->asking].endpoint != endpoint ||
	           queues->list[endpoint->asking].request == NULL))
		endpoint->asking++;
	if (endpoint->asking >= queues->count)
		return;
	buffer_text(&prober->in, queues->list[endpoint->asking].request);
	if (helper_runs(prober)) {
		rc = helper_tell(prober, &err);
		if (rc == 0)
			rc = helper_deadline(prober, deadline_ms, &err);
	} else {
		rc = helper_start(prober, PROBE, deadline_ms, &err);
	}
	if (rc == -1)
		no_answer(endpoint, err.text);
}

static void
tick(struct loop_timer *timer, int64_t now_ms)
{
	struct endpoint *endpoint = timer->owner;
	struct err err = ERR_INIT;

	if (loop_timer_set(&endpoint->queues->op->loop, timer,
	        clock_after(now_ms, LOOK_EVERY_MS), &err) == -1)
		log_warning("queues", "%s", err.text);
	if (endpoint->asking < endpoint->queues->count)
		return; /* still asking */
	endpoint->asking = 0;
	ask_next(endpoint);
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
	jsonw_object(&json, NULL);
	jsonw_text(&json, "kind", "queue");
	jsonw_format(&json, "subject", "queue %s", queue->name);
	jsonw_i64(&json, "timeout_ms", ANSWER_MS);
	jsonw_text(&json, "queueKind", queue->kind);
	jsonw_text(&json, "url", queue->url);
	jsonw_text(&json, "op", "observe");
	jsonw_object(&json, "options");
	for (size_t i = 0; i < queue->noptions; i++)
		jsonw_text(
		    &json, queue->options[i].key, queue->options[i].value);
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(&text, "\n");
	char *copy = text.overflow ? NULL : strdup(text.data);

	buffer_wipe(&text);
	return copy;
}

static struct endpoint *
endpoint_get(struct queues *queues, const char *url)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < queues->nendpoints; i++)
		if (queues->endpoints[i] != NULL &&
		    text_equal(queues->endpoints[i]->url, url))
			return queues->endpoints[i];
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (endpoint == NULL)
		return NULL;
	endpoint->url = strdup(url);
	endpoint->queues = queues;
	endpoint->asking = SIZE_MAX;
	endpoint->tick = (struct loop_timer){.fire = tick, .owner = endpoint};
	helper_init(
	    &endpoint->prober, &queues->op->loop, prober_over, endpoint);
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

	if (intent == NULL || unchanged(queues, intent->declared))
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
		to->kind = strdup(from->kind == NULL ? "" : from->kind);
		to->url = strdup(
		    from->url == NULL ? "" : url_shown(&arena, from->url));
		to->request = request_text(from);
		if (to->request == NULL)
			keep(&to->trouble, "its URL is not resolved",
			    sizeof("its URL is not resolved"));
		else
			to->endpoint = endpoint_get(queues, from->url);
	}
	arena_wipe(&arena);
}

/* --- writing ----------------------------------------------------------- */

struct number {
	const char *key;
	struct queue_number number;
};

static void
write_numbers(struct jsonw *json, const struct number *numbers, size_t count)
{
	static const char *const qualities[] = {
	    [KNOW_UNKNOWN] = NULL,
	    [KNOW_EXACT] = NULL,
	    [KNOW_AT_LEAST] = "at-least",
	    [KNOW_ESTIMATE] = "estimate",
	    [KNOW_NOT_APPLICABLE] = "not-applicable",
	};

	for (size_t i = 0; i < count; i++) {
		enum know know = numbers[i].number.know;
		if (know == KNOW_UNKNOWN || know == KNOW_NOT_APPLICABLE)
			jsonw_null(json, numbers[i].key);
		else
			jsonw_i64(
			    json, numbers[i].key, numbers[i].number.value);
	}
	jsonw_object(json, "quality");
	for (size_t i = 0; i < count; i++)
		if (qualities[numbers[i].number.know] != NULL)
			jsonw_text(json, numbers[i].key,
			    qualities[numbers[i].number.know]);
	jsonw_end(json);
	jsonw_object(json, "why");
	for (size_t i = 0; i < count; i++)
		if (numbers[i].number.know == KNOW_UNKNOWN)
			jsonw_text(json, numbers[i].key,
			    numbers[i].number.why == NULL
			        ? "not known"
			        : numbers[i].number.why);
	jsonw_end(json);
}

/* Which worker a process belongs to; "" unknown. */
static const char *
worker_of(const struct operator_core *op, int64_t pid, struct arena *arena)
{
	for (size_t i = 0; pid > 0 && i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid == pid)
				return arena_format(arena, "%s/%u",
				    worker->wire.name,
				    worker->instances[k].wire.replica);
	}
	return "";
}

static void
write_consumers(const struct queues *queues, struct jsonw *json,
    const struct queue_state *state, struct arena *arena)
{
	jsonw_array(json, "consumer_list");
	for (size_t i = 0; i < state->nwho; i++) {
		const struct queue_consumer *who = &state->who[i];
		const char *worker =
		    who->worker == NULL || *who->worker == '\0'
		        ? worker_of(queues->op, who->pid, arena)
		        : who->worker;
		jsonw_object(json, NULL);
		jsonw_text(json, "id", who->id);
		jsonw_text(json, "address",
		    who->address[0] == '\0' ? NULL : who->address);
		if (who->pid > 0)
			jsonw_i64(json, "pid", who->pid);
		else
			jsonw_null(json, "pid");
		jsonw_text(json, "worker", worker);
		jsonw_text(json, "reads", who->reads);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_state(const struct queues *queues, struct jsonw *json,
    const struct queue_state *state, struct arena *arena)
{
	const struct number numbers[] = {
	    {"waiting", state->waiting},
	    {"active", state->active},
	    {"delayed", state->delayed},
	    {"failed", state->failed},
	    {"dead", state->dead},
	    {"completed", state->completed},
	    {"oldest_ms", state->oldest_ms},
	    {"lease_expired", state->lease_expired},
	    {"consumers", state->consumers},
	};

	if (state->paused < 0)
		jsonw_null(json, "paused");
	else
		jsonw_bool(json, "paused", state->paused == 1);
	write_numbers(json, numbers, ARRAY_LEN(numbers));
	write_consumers(queues, json, state, arena);
}

static void
write_queue(const struct queues *queues, const struct observed_queue *queue,
    struct jsonw *json)
{
	static const struct queue_state unknown = {.paused = -1};
	const struct queue_state *state = &unknown;
	const char *error = queue->trouble;
	struct observed observed;
	struct err err = ERR_INIT;
	struct arena arena;

	arena_init(&arena, ANSWER_MAX);
	observed_init(&observed, &arena);
	if (queue->answer != NULL && observed_add_line(&observed, queue->answer,
	                                 strlen(queue->answer), &err) == -1)
		error = err.text;
	const struct observation *one =
	    observed.nobservations > 0 ? &observed.observations[0] : NULL;

	if (one == NULL && error == NULL)
		error = "not looked at yet";
	/* An old answer isn't shown as if it were true now. */
	if (one != NULL && queue->trouble == NULL) {
		if (one->queue != NULL)
			state = one->queue;
		if (one->result != RESULT_PASSED)
			error = one->summary;
	}
	jsonw_object(json, NULL);
	jsonw_text(json, "name", queue->name);
	jsonw_text(json, "url", queue->url);
	jsonw_text(json, "kind", queue->kind);
	write_state(queues, json, state, &arena);
	jsonw_text(json, "error", error);
	if (one != NULL)
		jsonw_i64(json, "at_ms", one->at_wall_ms);
	jsonw_end(json);
	arena_fini(&arena);
}

void
queues_write(const struct queues *queues, struct jsonw *json)
{
	for (size_t i = 0; i < queues->count; i++)
		write_queue(queues, &queues->list[i], json);
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
