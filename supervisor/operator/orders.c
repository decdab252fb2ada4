/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "supervisor/operator/ask.h"
#include "supervisor/operator/operator.h"

static void
tell_init(
    struct ask *ask, enum wire_type type, const char *name, int32_t replica)
{
	struct err err = ERR_INIT;

	if (wire_client_order(&ask->op->init, type, name, replica, 0, &err) ==
	    -1)
		ask_say(ask, MHD_HTTP_SERVICE_UNAVAILABLE, false, err.text);
	else
		ask_say(ask, MHD_HTTP_ACCEPTED, true, "ordered");
}

/* A whole worker is rolled, by a new generation in the plan, so that a restart
 * of the operator doesn't forget it. One replica is restarted at once. */
void
order_restart(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	const char *all = ask_argument(ask, "all");

	if (all != NULL) {
		for (size_t i = 0; i < ask->op->ntracked; i++)
			ask->op->tracked[i].generation++;
		operator_wake(ask->op, 0);
		ask_say(ask, MHD_HTTP_ACCEPTED, true,
		    "every worker is restarted, one after the other");
		return;
	}
	struct running_worker *worker = ask_worker(ask, &replica);

	if (worker == NULL)
		return;
	if (replica >= 0) {
		tell_init(ask, WIRE_RESTART, worker->wire.name, replica);
		return;
	}
	if (ask->op->intent == NULL) {
		ask_say(
		    ask, MHD_HTTP_CONFLICT, false, "no manifest is in force");
		return;
	}
	operator_track(ask->op, worker->wire.name)->generation++;
	operator_wake(ask->op, 0);
	ask_say(ask, MHD_HTTP_ACCEPTED, true,
	    "its replicas are restarted, one after the other");
}

void
order_stop(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	struct running_worker *worker = ask_worker(ask, &replica);

	if (worker != NULL)
		tell_init(ask, WIRE_STOP, worker->wire.name, replica);
}

void
order_start(struct ask *ask)
{
	int32_t replica = WIRE_ALL_REPLICAS;
	struct running_worker *worker = ask_worker(ask, &replica);

	if (worker != NULL)
		tell_init(ask, WIRE_START, worker->wire.name, replica);
}

void
order_scale(struct ask *ask)
{
	struct operator_core *op = ask->op;
	struct err err = ERR_INIT;
	int32_t replica = WIRE_ALL_REPLICAS;
	int64_t replicas = 0;
	struct running_worker *worker = ask_worker(ask, &replica);

	if (worker == NULL)
		return;
	const char *number = ask_argument(ask, "replicas");
	const struct declared_worker *declared =
	    operator_declared(op, worker->wire.name, NULL);

	if (declared == NULL) {
		ask_say(ask, MHD_HTTP_CONFLICT, false, "it is not declared");
		return;
	}
	if (number == NULL) {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false, "how many replicas?");
		return;
	}
	if (text_equal(number, "auto")) {
		operator_track(op, worker->wire.name)->scale = -1;
		op->notes_due = true;
		plans_want_another(op);
		ask_say(ask, MHD_HTTP_ACCEPTED, true,
		    declared->scale.queue != NULL ? "by its queue again"
		                                  : "as declared again");
		return;
	}
	if (text_i64(number, 0, WORKER_REPLICAS_MAX, &replicas, &err) == -1) {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return;
	}
	struct tracked *tracked = operator_track(op, worker->wire.name);
	bool by_queue = declared->scale.queue != NULL;

	tracked->scale =
	    replicas == declared->replicas && !by_queue ? -1 : replicas;
	tracked->scale_over = declared->replicas;
	op->notes_due = true;
	plans_want_another(op);
	ask_say(ask, MHD_HTTP_ACCEPTED, true,
	    by_queue ? "until `reeve scale WORKER auto`"
	             : "until the manifest says another number");
}

void
order_alert_test(struct ask *ask)
{
	const char *name = ask_argument(ask, "receiver");
	char text[160];

	if (alerts_test(&ask->op->alerts, name) > 0) {
		ask_say(ask, MHD_HTTP_ACCEPTED, true,
		    "sent; `receivers` of GET /status says how it went");
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "no receiver '%.63s': 'reeve alert ls' shows them", name);
	ask_say(ask, MHD_HTTP_NOT_FOUND, false, text);
}

void
order_silence(struct ask *ask)
{
	const char *match = ask_argument(ask, "match");
	const char *reason = ask_argument(ask, "reason");
	const char *length = ask_argument(ask, "for_ms");
	struct silence wanted = {0};
	struct err err = ERR_INIT;
	int64_t for_ms = 0;
	int64_t id = 0;
	size_t count = 0;
	char text[160];

	(void)snprintf(
	    wanted.by, sizeof(wanted.by), "uid %d", (int)ask_uid(ask));
	if (text_copy(wanted.match, sizeof(wanted.match),
	        match == NULL ? "" : match, &err) == -1 ||
	    text_copy(wanted.reason, sizeof(wanted.reason),
	        reason == NULL ? "" : reason, &err) == -1 ||
	    text_i64(length == NULL ? "" : length, 1, INT64_MAX, &for_ms,
	        &err) == -1 ||
	    alerts_silence(
	        &ask->op->alerts, &wanted, for_ms, &id, &count, &err) == -1) {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false, err.text);
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "silence %" PRId64 ": %zu alerts that are known fit now", id,
	    count);
	events_say(ask->op->events, "silence", NULL,
	    "silence %" PRId64 " of '%s' by %s: %s", id, wanted.match,
	    wanted.by, wanted.reason);
	operator_wake(ask->op, 0);
	ask_say(ask, MHD_HTTP_ACCEPTED, true, text);
}

void
order_unsilence(struct ask *ask)
{
	const char *number = ask_argument(ask, "id");
	int64_t id = 0;
	char text[96];

	if (text_i64(number == NULL ? "" : number, 1, INT64_MAX, &id, NULL) ==
	        -1 ||
	    !alerts_unsilence(&ask->op->alerts, id)) {
		(void)snprintf(text, sizeof(text),
		    "no silence '%.20s': 'reeve alert silences' shows them",
		    number == NULL ? "" : number);
		ask_say(ask, MHD_HTTP_NOT_FOUND, false, text);
		return;
	}
	events_say(ask->op->events, "silence-over", NULL,
	    "silence %" PRId64 " was taken back by uid %d", id,
	    (int)ask_uid(ask));
	operator_wake(ask->op, 0);
	ask_say(ask, MHD_HTTP_ACCEPTED, true, "taken back");
}

/* Somebody moved jobs of one of our queues back: worth remembering beside what
 * became of the workers then. */
void
order_moved(struct ask *ask)
{
	const char *queue = ask_argument(ask, "queue");
	const char *verb = ask_argument(ask, "verb");
	const char *text = ask_argument(ask, "text");

	if (queue == NULL || verb == NULL || text == NULL) {
		ask_say(ask, MHD_HTTP_BAD_REQUEST, false,
		    "of which queue, and what: queue, verb and text");
		return;
	}
	events_say(ask->op->events, "queue-moved", NULL,
	    "%.16s of queue '%.63s' by uid %d: %.160s", verb, queue,
	    (int)ask_uid(ask), text);
	ask_say(ask, MHD_HTTP_ACCEPTED, true, "noted");
}
