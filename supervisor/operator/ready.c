/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/operator/operator.h"
#include "worker/exit.h"

/*
 * /readyz: every declared worker has what it should have, and all of it is
 * known. Unknown is not ready.
 */
enum {
	SILENT_MS = 45 * 1000, /* of the init: it reports every 10 to 20 s */
};

/* It runs and is ready, or it ran well and that was all. */
static bool
in_order(const struct wire_instance *wire)
{
	return wire->state == INSTANCE_READY ||
	       (wire->state == INSTANCE_FINISHED &&
	           exit_classify(&wire->last_exit) == CLASS_CLEAN);
}

static void
say_instance(const struct wire_instance *wire, struct buffer *why)
{
	char text[EXIT_TEXT_SIZE];

	buffer_format(why, "; replica %" PRIu32 " is %s", wire->replica,
	    instance_state_name((enum instance_state)wire->state));
	if (*wire->probe_text != '\0')
		buffer_format(why, ": %s", wire->probe_text);
	else if (*wire->wait_text != '\0')
		buffer_format(why, ": %s", wire->wait_text);
	else if (wire->last_exit.kind != EXIT_UNKNOWN)
		buffer_format(why, ", last end: %s",
		    exit_text(&wire->last_exit, text, sizeof(text)));
}

static bool
judge_worker(struct operator_core *op, const struct declared_worker *declared,
    struct buffer *why)
{
	const struct running_worker *worker =
	    running_find(&op->running, declared->name);
	const struct tracked *tracked = operator_track(op, declared->name);
	const struct wire_instance *first = NULL; /* that isn't in order */
	uint32_t ready = 0;

	if (tracked->held != NULL) {
		buffer_format(why, "worker %s: not as declared: %s\n",
		    declared->name, tracked->held);
		return false;
	}
	if (declared->schedule.text != NULL)
		return true;
	if (worker == NULL || worker->wire.head.magic == 0) {
		buffer_format(why,
		    "worker %s: unknown: the init has not told "
		    "of it\n",
		    declared->name);
		return false;
	}
	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct wire_instance *wire = &worker->instances[i].wire;
		if (wire->replica >= worker->wire.desired)
			continue;
		if (in_order(wire))
			ready++;
		else if (first == NULL)
			first = wire;
	}
	if (ready >= worker->wire.desired)
		return true;
	buffer_format(why, "worker %s: %" PRIu32 " of %" PRIu32 " ready",
	    declared->name, ready, worker->wire.desired);
	if (first != NULL)
		say_instance(first, why);
	buffer_text(why, "\n");
	return false;
}

struct queue_judging {
	struct buffer *why;
	bool known;
};

static void
judge_queue(void *arg, const struct queue_view *view)
{
	struct queue_judging *judging = arg;

	if (view->trouble == NULL)
		return;
	judging->known = false;
	buffer_format(
	    judging->why, "queue %s: unknown: %s\n", view->name, view->trouble);
}

bool
ready_judge(struct operator_core *op, struct buffer *why)
{
	const struct wire_snapshot *snapshot = &op->running.snapshot;
	int64_t age_ms = clock_wall_ms() - snapshot->wall_ms;
	struct queue_judging judging = {.why = why, .known = true};
	bool ready = true;

	if (op->draining) {
		buffer_text(why, "draining: the container is ending\n");
		return false;
	}
	if (!op->ready || !op->running.known) {
		buffer_text(why, "unknown: the init has not told yet what "
		                 "runs\n");
		return false;
	}
	if (op->intent == NULL) {
		buffer_format(why, "unknown: no manifest is in force%s%.*s\n",
		    op->refusal.len > 0 ? ": " : "",
		    (int)strcspn(op->refusal.data, "\n"), op->refusal.data);
		return false;
	}
	if (age_ms > SILENT_MS) {
		buffer_format(why,
		    "unknown: the init has told nothing for %" PRId64 " s\n",
		    age_ms / 1000);
		ready = false;
	}
	for (size_t i = 0; i < op->intent->declared->nworkers; i++)
		ready =
		    judge_worker(op, &op->intent->declared->workers[i], why) &&
		    ready;
	queues_view_each(op->queues, judge_queue, &judging);
	return judging.known && ready;
}
