/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

/* --- hold-down ----------------------------------------------------------- */

/* Whether looks have shown it for long enough; `seen_ms` is the last one. */
static bool
confirmed(struct consumers *consumers, const char *key, int64_t seen_ms)
{
	struct suspect *found = NULL;

	for (size_t i = 0; i < consumers->count && found == NULL; i++)
		if (text_equal(consumers->list[i].key, key))
			found = &consumers->list[i];
	if (found == NULL) {
		if (consumers->count == SUSPECTS_MAX)
			return false;
		found = &consumers->list[consumers->count++];
		*found = (struct suspect){.since_ms = seen_ms};
		(void)snprintf(found->key, sizeof(found->key), "%s", key);
	}
	found->marked = true;
	found->last_ms = seen_ms;
	return found->last_ms - found->since_ms >= CONSUMERS_HOLD_MS;
}

void
consumers_begin(struct consumers *consumers)
{
	for (size_t i = 0; i < consumers->count; i++)
		consumers->list[i].marked = false;
}

void
consumers_end(struct consumers *consumers)
{
	size_t kept = 0;

	for (size_t i = 0; i < consumers->count; i++)
		if (consumers->list[i].marked)
			consumers->list[kept++] = consumers->list[i];
	consumers->count = kept;
}

/* --- matching ------------------------------------------------------------ */

/* Each worker is a session of its own. */
static bool
is_process_of(const struct queue_consumer *who, int32_t pid)
{
	return who->pid > 0 && pid > 0 &&
	       (who->pid == pid || who->session == pid);
}

/* By its process where that can be seen, else by what it says. */
static bool
belongs(
    const struct queue_consumer *who, const struct running_instance *instance)
{
	char name[WORKER_NAME_MAX + 16];

	if (who->pid > 0)
		return is_process_of(who, instance->wire.pid);
	(void)snprintf(name, sizeof(name), "%s/%" PRIu32, instance->wire.name,
	    instance->wire.replica);
	return text_equal(who->worker, name);
}

static bool
is_there(const struct queue_consumer *who)
{
	return who->where == NULL || who->where[0] == '\0';
}

/* At the queue itself, as far as is known: what doesn't say what it reads may
 * read it. */
static bool
is_right(const struct queue_consumer *who, const struct declared_queue *queue)
{
	return is_there(who) && (who->reads == NULL || who->reads[0] == '\0' ||
	                            text_equal(who->reads, queue->real_name));
}

/* The same connection is at another queue that the worker is meant to read. */
static bool
is_for_another(struct operator_core *op, const struct declared_worker *declared,
    const struct declared_queue *queue, const struct queue_consumer *who)
{
	struct queue_view view;

	for (size_t i = 0; i < declared->nconsumes; i++) {
		const struct declared_queue *other =
		    declared->consumes[i].queue;
		if (other == queue ||
		    !queues_view_find(op->queues, other->name, &view))
			continue;
		for (size_t k = 0; k < view.state->nwho; k++)
			if (text_equal(
			        view.state->who[k].address, who->address) &&
			    is_right(&view.state->who[k], other))
				return true;
	}
	return false;
}

static bool
is_server_of_another(struct operator_core *op, const char *peer)
{
	const struct declared *declared = op->intent->declared;
	struct queue_view view;

	for (size_t i = 0; i < declared->nqueues; i++)
		if (queues_view_find(
		        op->queues, declared->queues[i].name, &view) &&
		    text_equal(view.server, peer))
			return true;
	return false;
}

/* --- a worker that is elsewhere ------------------------------------------ */

static const char *
port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon == NULL ? "" : colon;
}

/* A server of the same kind, by its port, that no declaration knows; NULL: it
 * has none, or it is connected to the right one. */
static const char *
other_server(struct operator_core *op, const struct cJSON *peers,
    const struct queue_view *view)
{
	const char *found = NULL;
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, peers)
	{
		const char *peer =
		    cJSON_IsString(item) ? item->valuestring : "";
		if (text_equal(peer, view->server))
			return NULL;
		if (text_equal(port_of(peer), port_of(view->server)) &&
		    !is_server_of_another(op, peer))
			found = peer;
	}
	return found;
}

static void
add_wrong(struct operator_core *op, struct live_found *found,
    const struct queue_view *view, const char *observed)
{
	struct arena *arena = found->list->arena;
	const char *key = arena_format(arena, "%s/%" PRIu32 " %" PRId32 " %s",
	    found->declared->name, found->instance->wire.replica,
	    found->instance->wire.pid, view->name);

	if (confirmed(&op->consumers, key, view->known_ms))
		live_add(found, DRIFT_CLASS_QUEUE,
		    arena_format(arena, "connection %s", view->name),
		    arena_format(arena,
		        "the process isn't connected to queue %s, but elsewhere",
		        view->name),
		    observed,
		    view->state->target == NULL ? view->url
		                                : view->state->target);
}

/* Returns whether it is seen where it should be. */
static bool
compare_queue(struct operator_core *op, struct live_found *found,
    const struct declared_queue *queue)
{
	struct arena *arena = found->list->arena;
	const struct queue_consumer *wrong = NULL;
	struct queue_view view;

	if (!queues_view_find(op->queues, queue->name, &view) ||
	    view.trouble != NULL)
		return false;
	for (size_t i = 0; i < view.state->nwho; i++) {
		const struct queue_consumer *who = &view.state->who[i];
		if (!belongs(who, found->instance))
			continue;
		if (is_right(who, queue))
			return true;
		if (who->pid > 0 &&
		    !is_for_another(op, found->declared, queue, who))
			wrong = who;
	}
	if (wrong != NULL) {
		add_wrong(op, found, &view,
		    arena_format(arena, "%s%s%s%s (%s, from %s)",
		        is_there(wrong) ? "" : wrong->where,
		        is_there(wrong) || *wrong->reads == '\0' ? "" : ", ",
		        *wrong->reads == '\0' ? "" : "reading ", wrong->reads,
		        wrong->id, wrong->address));
		return false;
	}
	if (*view.server == '\0')
		return false;
	found->instance->peers_wanted = true;
	const char *other = other_server(
	    op, live_peers(op->live, found->instance->wire.pid), &view);

	if (other != NULL)
		add_wrong(op, found, &view,
		    arena_format(arena, "connected to %s", other));
	return false;
}

bool
consumers_compare(struct operator_core *op, struct drift_list *list,
    const struct declared_worker *declared, struct running_instance *instance)
{
	struct live_found found = {.live = op->live,
	    .list = list,
	    .declared = declared,
	    .instance = instance};

	instance->peers_wanted = false;
	if (!running_is_up(&instance->wire) || declared->schedule.text != NULL)
		return false;
	bool right = true;

	for (size_t i = 0; i < declared->nconsumes; i++) {
		bool seen =
		    compare_queue(op, &found, declared->consumes[i].queue);
		right = right && seen;
	}
	/* A restart for it has mended it only then. */
	if (right && instance->mended_pid != instance->wire.pid)
		instance->mended &= ~(1U << DRIFT_CLASS_QUEUE);
	return found.repair;
}

/* --- consumers that nobody declared -------------------------------------- */

static bool
may_be_there(
    const struct declared_queue *queue, const struct queue_consumer *who)
{
	for (size_t i = 0; queue->other_consumers != NULL &&
	                   queue->other_consumers[i] != NULL;
	     i++)
		if (fnmatch(queue->other_consumers[i], who->id, 0) == 0)
			return true;
	return false;
}

/* The worker of ours that it is: a process here, or a replica elsewhere, which
 * has the same manifest and says its name. */
static bool
is_ours(struct operator_core *op, const struct intent_queue *readers,
    const struct queue_consumer *who)
{
	const char *slash = strchr(who->worker, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - who->worker);

	if (running_leads(&op->running, who->pid) ||
	    (who->pid > 0 && running_leads(&op->running, who->session)))
		return true;
	for (size_t i = 0; who->pid <= 0 && i < readers->nreaders; i++) {
		const char *name =
		    op->intent->declared->workers[readers->readers[i]].name;
		if (strlen(name) == len && strncmp(name, who->worker, len) == 0)
			return true;
	}
	return false;
}

static void
judge_consumer(struct operator_core *op, struct drift_list *list,
    const struct declared_queue *queue, const struct queue_view *view,
    const struct queue_consumer *who)
{
	struct arena *arena = list->arena;
	const struct intent_queue *readers =
	    intent_queue_find(op->intent, queue->name);

	/* Only who is seen to read this very queue, where one of ours should.
	 */
	if (readers->nreaders == 0 || !is_there(who) ||
	    !text_equal(who->reads, queue->real_name) ||
	    is_ours(op, readers, who) || may_be_there(queue, who) ||
	    !confirmed(&op->consumers,
	        arena_format(
	            arena, "%s %s %s", view->name, who->id, who->address),
	        view->known_ms))
		return;
	const struct declared_worker *reader =
	    &op->intent->declared->workers[readers->readers[0]];

	drift_add(list,
	    &(struct drift){
	        .worker = reader->name,
	        .instances = "",
	        .kind = DRIFT_CLASS_CONSUMERS,
	        .policy = reader->on_drift.consumers,
	        .key = arena_format(arena, "consumer %s", who->id),
	        .summary = arena_format(arena,
	            "queue %s has a consumer that is no worker of this manifest",
	            view->name),
	        .observed = who->pid > 0 ? arena_format(arena,
	                                       "%s from %s, pid %" PRId64,
	                                       who->id, who->address, who->pid)
	                                 : arena_format(arena, "%s from %s",
	                                       who->id, who->address),
	        .expected = "declared workers only",
	        .source = arena_text(arena, view->url),
	        .place = queue->place,
	    });
}

void
consumers_strangers(struct operator_core *op, struct drift_list *list)
{
	const struct declared *declared = op->intent->declared;
	struct queue_view view;

	for (size_t i = 0; i < declared->nqueues; i++) {
		const struct declared_queue *queue = &declared->queues[i];
		if (!queues_view_find(op->queues, queue->name, &view) ||
		    view.trouble != NULL)
			continue;
		for (size_t k = 0; k < view.state->nwho; k++)
			judge_consumer(
			    op, list, queue, &view, &view.state->who[k]);
	}
}
