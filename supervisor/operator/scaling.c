/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

static bool
counted(const struct queue_number *number)
{
	return number->know == KNOW_EXACT || number->know == KNOW_AT_LEAST ||
	       number->know == KNOW_ESTIMATE;
}

/* What is to be done: what waits, and what is in hand where that is known.
 * False: it isn't known. */
static bool
jobs_of(const struct queue_view *view, int64_t *ret)
{
	const struct queue_state *state = view->state;

	if (view->trouble != NULL || !counted(&state->waiting))
		return false;
	*ret = state->waiting.value;
	if (counted(&state->active))
		*ret += state->active.value;
	return true;
}

/* One more than the highest replica of the worker that holds a job. */
static int64_t
busy_of(const struct queue_view *view, const char *worker)
{
	int64_t busy = 0;

	for (size_t i = 0; i < view->state->nwho; i++) {
		int64_t replica = 0;
		if (leases_holder(&view->state->who[i], worker, &replica))
			busy = MAX(busy, replica + 1);
	}
	return busy;
}

static struct scale_policy
policy_of(const struct declared_scale *scale)
{
	return (struct scale_policy){
	    .min = scale->min,
	    .max = scale->max,
	    .jobs_per_replica = scale->jobs_per_replica,
	    .activation = scale->activation,
	    .cooldown_ms = scale->cooldown_ms,
	    .stabilization_ms = scale->stabilization_ms,
	};
}

int64_t
scaling_replicas(const struct operator_core *op,
    const struct declared_worker *declared, const struct tracked *tracked)
{
	const struct declared_scale *scale = &declared->scale;
	int64_t replicas = scale->min;
	struct worker_spec spec;

	/* What our predecessor decided is in the plan that the init has. */
	if (tracked->by_queue.begun)
		replicas = tracked->by_queue.replicas;
	else if (plans_applied(op, declared->name, &spec))
		replicas = spec.replicas;
	return MIN(MAX(replicas, scale->min), scale->max);
}

static void
decide(struct operator_core *op, const struct declared_worker *declared,
    const struct queue_view *view)
{
	struct scale_policy policy = policy_of(&declared->scale);
	struct tracked *tracked = operator_track(op, declared->name);
	struct scale_facts facts = {
	    .busy = busy_of(view, declared->name),
	    .now_ms = clock_ms(),
	};
	int64_t before = scaling_replicas(op, declared, tracked);

	if (!tracked->by_queue.begun)
		scale_begin(&tracked->by_queue, before, facts.now_ms);
	facts.known = jobs_of(view, &facts.jobs);
	int64_t after = scale_decide(&policy, &tracked->by_queue, &facts);

	if (after == before)
		return;
	log_info("scaled",
	    "worker=%s queue=%s jobs=%" PRId64 " %" PRId64 " -> %" PRId64,
	    declared->name, view->name, facts.jobs, before, after);
	events_say(op->events, "scaled", declared->name,
	    "by queue %s: %" PRId64 " jobs, from %" PRId64 " to %" PRId64
	    " of at most %" PRId64,
	    view->name, facts.jobs, before, after, policy.max);
	plans_want_another(op);
}

void
scaling_saw(struct operator_core *op, const struct queue_view *view)
{
	/* Until then it isn't known what the init has. */
	if (!op->ready || op->intent == NULL)
		return;
	const struct intent_queue *queue =
	    intent_queue_find(op->intent, view->name);

	for (size_t i = 0; i < queue->nscaled; i++)
		decide(
		    op, &op->intent->declared->workers[queue->scaled[i]], view);
}

/* --- said -------------------------------------------------------------- */

static void
say_why(struct jsonw *json, const struct declared_scale *scale,
    const struct tracked *tracked, const struct queue_view *view)
{
	int64_t jobs = 0;

	if (tracked->scale >= 0)
		jsonw_format(json, "why",
		    "%" PRId64 " by order, instead of %" PRId64 " by queue %s",
		    tracked->scale, tracked->by_queue.replicas,
		    scale->queue->name);
	else if (!jobs_of(view, &jobs))
		jsonw_format(json, "why",
		    "queue %s can't be read: %" PRId64 " stay", view->name,
		    tracked->by_queue.replicas);
	else
		jsonw_format(json, "why",
		    "scaled by queue %s: %" PRId64 " waiting, %" PRId64
		    " in hand → %" PRId64 " of max %" PRId64,
		    view->name, view->state->waiting.value,
		    jobs - view->state->waiting.value,
		    tracked->by_queue.replicas, scale->max);
}

void
scaling_write(struct operator_core *op, struct jsonw *json, const char *worker,
    const struct tracked *tracked)
{
	const struct declared_worker *declared =
	    operator_declared(op, worker, NULL);
	struct queue_view view;

	if (declared == NULL || declared->scale.queue == NULL ||
	    !queues_view_find(op->queues, declared->scale.queue->name, &view))
		return;
	jsonw_object(json, "scale");
	jsonw_text(json, "queue", view.name);
	jsonw_i64(json, "min", declared->scale.min);
	jsonw_i64(json, "max", declared->scale.max);
	jsonw_i64(json, "replicas", tracked->by_queue.replicas);
	jsonw_bool(json, "by_order", tracked->scale >= 0);
	say_why(json, &declared->scale, tracked, &view);
	jsonw_end(json);
}

void
scaler_write(struct operator_core *op, struct http_request *request)
{
	const char *name = http_argument(request, "queue");
	struct queue_view view;
	struct jsonw json;
	int64_t jobs = 0;

	jsonw_init(&json, &request->out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "queue", name);
	if (name == NULL || !queues_view_find(op->queues, name, &view)) {
		request->status = MHD_HTTP_NOT_FOUND;
		jsonw_text(&json, "error", "no such queue");
	} else if (!jobs_of(&view, &jobs)) {
		/* Never a number: KEDA would scale by it. */
		request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		jsonw_text(&json, "error",
		    view.trouble == NULL ? "its length isn't known"
		                         : view.trouble);
	} else {
		jsonw_i64(&json, "value", jobs);
	}
	jsonw_end(&json);
	buffer_text(&request->out, "\n");
}
