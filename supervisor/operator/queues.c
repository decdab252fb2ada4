/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "supervisor/operator/endpoint.h"
#include "supervisor/operator/operator.h"

enum {
	ANSWER_MS = 4 * 1000,
	REQUEST_MAX = 1 << 20,
};

struct queues {
	struct endpoint_plan plan;
	struct queue_seen *list; /* plan.nqueues of them */
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
clear(struct queues *queues)
{
	for (size_t i = 0; i < queues->nendpoints; i++)
		endpoint_free(queues->endpoints[i]);
	for (size_t i = 0; i < queues->plan.nqueues; i++)
		queue_seen_fini(&queues->list[i]);
	names_fini(&queues->names);
	free(queues->endpoints);
	free(queues->list);
	queues->endpoints = NULL;
	queues->list = NULL;
	queues->plan.nqueues = queues->nendpoints = 0;
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

/* The endpoint of that URL; NULL: no memory. */
static struct endpoint *
endpoint_of(struct queues *queues, const char *url)
{
	for (size_t i = 0; i < queues->nendpoints; i++)
		if (endpoint_is(queues->endpoints[i], url))
			return queues->endpoints[i];
	struct endpoint *endpoint = endpoint_new(&queues->plan, url);

	if (endpoint != NULL)
		queues->endpoints[queues->nendpoints++] = endpoint;
	return endpoint;
}

static bool
unchanged(const struct queues *queues, const struct declared *declared)
{
	if (queues->plan.nqueues != declared->nqueues)
		return false;
	for (size_t i = 0; i < queues->plan.nqueues; i++) {
		char *request = request_text(&declared->queues[i]);
		bool same =
		    text_equal(request, queues->list[i].request) &&
		    text_equal(declared->queues[i].name, queues->list[i].name);
		secret_free(request);
		if (!same)
			return false;
	}
	return true;
}

static void
begin_queue(struct queues *queues, size_t at, const struct declared_queue *from)
{
	struct queue_seen *to = &queues->list[at];
	struct arena arena;

	arena_init(&arena, REQUEST_MAX);
	to->name = strdup(from->name);
	if (to->name != NULL)
		names_add(&queues->names, to->name, at);
	to->kind = strdup(from->kind == NULL ? "" : from->kind);
	to->url = strdup(from->url == NULL ? "" : url_shown(&arena, from->url));
	arena_wipe(&arena);
	to->request = request_text(from);
	if (to->request == NULL) {
		queue_seen_trouble(to, "its URL is not resolved");
		return;
	}
	struct endpoint *endpoint = endpoint_of(queues, from->url);

	if (endpoint != NULL)
		endpoint_add(endpoint, to);
}

void
queues_set(struct queues *queues)
{
	const struct intent *intent = queues->plan.op->intent;

	if (intent == NULL)
		return;
	queues->plan.every_ms = intent->declared->supervisor.observe_every_ms;
	if (unchanged(queues, intent->declared))
		return;
	size_t count = intent->declared->nqueues;

	clear(queues);
	queues->list = calloc(count + 1, sizeof(*queues->list));
	queues->endpoints = calloc(count + 1, sizeof(struct endpoint *));
	if (queues->list == NULL || queues->endpoints == NULL)
		return;
	queues->plan.nqueues = count;
	for (size_t i = 0; i < count; i++)
		begin_queue(queues, i, &intent->declared->queues[i]);
}

/* --- what was seen ------------------------------------------------------ */

void
queues_view_each(const struct queues *queues, queues_view_fn *fn, void *arg)
{
	struct queue_view view;

	for (size_t i = 0; i < queues->plan.nqueues; i++) {
		queue_seen_view(&queues->list[i], &view);
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
	queue_seen_view(&queues->list[at], ret);
	return true;
}

struct queues *
queues_new(struct operator_core *op)
{
	struct queues *queues = calloc(1, sizeof(*queues));

	if (queues != NULL)
		queues->plan.op = op;
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
