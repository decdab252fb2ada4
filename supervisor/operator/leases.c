/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

/*
 * A replica that was told to end and still holds a job by a lease gets more
 * time, a few looks' worth each time, until it has held it for ten times its
 * grace: whoever extends a lease for ever and does nothing else must end too.
 * The container's budget stands above all of it; the init sees to that. With
 * the operator dead nobody says a word, and the grace is what was declared.
 */
enum {
	EXTEND_MS = 15 * 1000, /* three looks at a queue */
	LOOK_MS = 5 * 1000,
	GRACES = 10,
};

bool
leases_holder(
    const struct queue_consumer *who, const char *worker, int64_t *ret_replica)
{
	size_t len = strlen(worker);

	return (who->proof & PROOF_HOLDS_LEASE) != 0 &&
	       strncmp(who->worker, worker, len) == 0 &&
	       who->worker[len] == '/' &&
	       text_i64(who->worker + len + 1, 0, WORKER_REPLICAS_MAX - 1,
	           ret_replica, NULL) == 0;
}

/* Until when it may hold on; 0: its grace isn't known. */
static int64_t
latest(const struct operator_core *op, const struct running_instance *instance)
{
	struct worker_spec spec;
	int32_t at = op->applied.known ? plan_worker_find(&op->applied.plan,
	                                     instance->wire.name)
	                               : -1;

	if (at < 0)
		return 0;
	plan_worker(&op->applied.plan, (uint32_t)at, &spec);
	return clock_after(instance->since_ms, spec.grace_ms * GRACES);
}

static void
extend(struct operator_core *op, struct running_instance *instance,
    const char *queue)
{
	const struct wire_instance *wire = &instance->wire;
	int64_t now_ms = clock_ms();
	int64_t until_ms =
	    MIN(clock_after(now_ms, EXTEND_MS), latest(op, instance));
	struct err err = ERR_INIT;

	if (instance->extended_ms > clock_after(now_ms, LOOK_MS) ||
	    until_ms <= now_ms || until_ms <= instance->extended_ms)
		return;
	if (wire_client_order(&op->init, WIRE_EXTEND, wire->name,
	        (int32_t)wire->replica, (int32_t)(until_ms - now_ms),
	        &err) == -1) {
		log_warning("drain.unextended", "worker=%s/%u %s", wire->name,
		    (unsigned)wire->replica, err.text);
		return;
	}
	log_info("drain.extended", "worker=%s/%u holds a job of queue %s",
	    wire->name, (unsigned)wire->replica, queue);
	instance->extended_ms = until_ms;
}

/* The worker that a consumer says it is of; NULL: none of ours. */
static struct running_worker *
worker_of(struct operator_core *op, const struct queue_consumer *who)
{
	char name[WORKER_NAME_MAX + 1];
	size_t len = strcspn(who->worker, "/");

	if (len >= sizeof(name))
		return NULL;
	memcpy(name, who->worker, len);
	name[len] = '\0';
	return running_find(&op->running, name);
}

void
leases_saw(struct operator_core *op, const struct queue_view *view)
{
	if (!op->ready || view->trouble != NULL)
		return;
	for (size_t i = 0; i < view->state->nwho; i++) {
		const struct queue_consumer *who = &view->state->who[i];
		struct running_worker *worker =
		    (who->proof & PROOF_HOLDS_LEASE) == 0 ? NULL
		                                          : worker_of(op, who);
		int64_t replica = 0;

		if (worker == NULL ||
		    !leases_holder(who, worker->wire.name, &replica))
			continue;
		struct running_instance *instance =
		    running_instance_find(worker, (uint32_t)replica);

		if (instance != NULL &&
		    instance->wire.state == INSTANCE_STOPPING)
			extend(op, instance, view->name);
	}
}

static void
saw(void *arg, const struct queue_view *view)
{
	leases_saw(arg, view);
}

void
leases_judge(struct operator_core *op)
{
	queues_view_each(op->queues, saw, op);
}
