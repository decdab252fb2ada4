/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/text.h"
#include "checks/finding_table.h"
#include "supervisor/operator/operator.h"
#include "supervisor/wire/status_encode.h"
#include "worker/exit.h"

enum {
	LINE_MAX_BYTES = 1024
};

/* What has begun and will go on by itself: whoever wants to judge had better
 * wait for it. */
static void
write_under_way(const struct operator_core *op, struct jsonw *json,
    const struct wire_worker *wire, const struct tracked *tracked)
{
	const struct reconcile_standing *standing = &tracked->standing;

	if (!op->judged || op->plan_under_way ||
	    tracked->generation > wire->generation)
		jsonw_text(json, "under_way",
		    "what it should be is on its way to the init");
	else if (standing->stale > 0)
		jsonw_format(json, "under_way",
		    "a rolling restart: %" PRIu32 " of %" PRIu32
		    " still to be replaced",
		    standing->stale, standing->replicas);
	else if (standing->coming > 0)
		jsonw_format(json, "under_way",
		    "a new configuration: %" PRIu32 " of %" PRIu32
		    " not ready with it yet",
		    standing->coming, standing->replicas);
	else
		jsonw_null(json, "under_way");
}

static void
write_worker(struct operator_core *op, struct jsonw *json,
    const struct running_worker *worker)
{
	const struct wire_worker *wire = &worker->wire;
	const struct tracked *tracked = operator_track(op, wire->name);

	jsonw_object(json, NULL);
	jsonw_text(json, "name", wire->name);
	jsonw_i64(json, "desired", wire->desired);
	jsonw_i64(json, "declared", wire->declared);
	jsonw_i64(json, "running", wire->running);
	jsonw_i64(json, "ready", wire->ready);
	jsonw_i64(json, "generation", (int64_t)wire->generation);
	jsonw_bool(json, "stopped", wire->held != 0);
	jsonw_text(json, "held", tracked->held);
	write_under_way(op, json, wire, tracked);
	scaling_write(op, json, wire->name, tracked);
	status_schedule(json, wire);
	status_digest(json, "config_digest", wire->config_digest);
	jsonw_array(json, "instances");
	for (size_t i = 0; i < worker->ninstances; i++)
		if (worker->instances[i].wire.state != INSTANCE_NONE)
			status_instance(json, &worker->instances[i].wire);
	jsonw_end(json);
	jsonw_end(json);
}

/* Counted from what is known of the instances: their news come one by one, a
 * worker's own numbers only with a snapshot. */
void
status_recount(struct running_worker *worker)
{
	worker->wire.running = worker->wire.ready = 0;
	for (size_t i = 0; i < worker->ninstances; i++) {
		uint32_t state = worker->instances[i].wire.state;
		if (state == INSTANCE_RUNNING || state == INSTANCE_READY)
			worker->wire.running++;
		if (state == INSTANCE_READY)
			worker->wire.ready++;
	}
}

static void
evidence_text(const struct drift *item, char *dst, size_t size)
{
	(void)snprintf(dst, size, "runs %s, declared %s%s%s (%s:%d)",
	    item->observed, item->expected, *item->source == '\0' ? "" : ": ",
	    item->source, item->place.file == NULL ? "" : item->place.file,
	    item->place.line);
}

static void
write_drift(struct jsonw *json, const struct drift *item)
{
	char text[LINE_MAX_BYTES];

	evidence_text(item, text, sizeof(text));
	jsonw_object(json, NULL);
	jsonw_text(json, "worker", item->worker);
	jsonw_text(json, "instances", item->instances);
	jsonw_text(json, "class", drift_class_name(item->kind));
	jsonw_text(json, "policy", drift_policy_name(item->policy));
	jsonw_text(json, "key", item->key);
	jsonw_text(json, "summary", item->summary);
	jsonw_text(json, "evidence", text);
	jsonw_end(json);
}

const char *
status_operator_state(const struct operator_core *op)
{
	if (op->draining)
		return "draining";
	if (!op->ready)
		return "starting";
	return op->intent == NULL || op->refusal.len > 0 || op->intent_refused
	           ? "degraded"
	           : "running";
}

static void
write_operator(const struct operator_core *op, struct jsonw *json)
{
	const struct wire_snapshot *snapshot = &op->running.snapshot;

	jsonw_object(json, "operator");
	jsonw_i64(json, "pid", getpid());
	jsonw_text(json, "state", status_operator_state(op));
	jsonw_text(json, "why",
	    op->refusal.len > 0  ? op->refusal.data
	    : op->intent_refused ? op->plan_refusal
	                         : NULL);
	jsonw_i64(json, "restarts", snapshot->operator_restarts);
	status_time(json, "started_at", op->started_wall_ms);
	jsonw_text(json, "manifest", op->manifest);
	jsonw_text(json, "manifest_digest",
	    op->intent == NULL ? NULL : op->intent->declared->digest);
	jsonw_text(json, "spool",
	    op->alerts.dir == NULL || op->alerts.trouble[0] != '\0' ? "memory"
	                                                            : "disk");
	jsonw_text(json, "spool_trouble",
	    op->alerts.trouble[0] == '\0' ? NULL : op->alerts.trouble);
	jsonw_text(json, "history_trouble",
	    op->store.trouble[0] == '\0' ? NULL : op->store.trouble);
	jsonw_end(json);
	jsonw_object(json, "init");
	jsonw_i64(json, "pid", op->init.hello.init_pid);
	jsonw_text(json, "version", op->init.hello.version);
	jsonw_bool(json, "draining", op->draining);
	status_time(json, "started_at", op->init.hello.started_wall_ms);
	status_cgroup(json, snapshot);
	status_files(json, snapshot);
	jsonw_end(json);
	serve_write(op->serve, json);
}

/* Before a manifest was read nobody knows which there are: that isn't none. */
static void
write_queues(const struct operator_core *op, struct jsonw *json)
{
	if (op->intent == NULL) {
		jsonw_null(json, "queues");
		return;
	}
	jsonw_array(json, "queues");
	queues_write(op, json);
	jsonw_end(json);
}

void
status_write(struct operator_core *op, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.status/1");
	jsonw_text(&json, "name", op->name);
	status_time(&json, "at", clock_wall_ms());
	write_operator(op, &json);
	jsonw_array(&json, "workers");
	for (size_t i = 0; i < op->running.count; i++) {
		status_recount(&op->running.workers[i]);
		write_worker(op, &json, &op->running.workers[i]);
	}
	jsonw_end(&json);
	write_queues(op, &json);
	/* false: not looked since this declaration or operator began */
	jsonw_bool(&json, "drift_known", op->judged);
	jsonw_array(&json, "drift");
	for (size_t i = 0; i < op->drift.count; i++)
		write_drift(&json, &op->drift.items[i]);
	jsonw_end(&json);
	jsonw_array(&json, "alerts");
	alerts_write(&op->alerts, &json);
	jsonw_end(&json);
	jsonw_array(&json, "silences");
	alerts_write_silences(&op->alerts, &json);
	jsonw_end(&json);
	jsonw_array(&json, "rules");
	rules_write(&op->rules, &json);
	jsonw_end(&json);
	jsonw_array(&json, "receivers");
	alerts_write_receivers(&op->alerts, &json);
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
write_finding(struct jsonw *json, const struct drift *item)
{
	bool ignored = item->policy == DRIFT_IGNORE;

	jsonw_object(json, NULL);
	jsonw_text(json, "id", drift_finding(item->kind));
	jsonw_text(
	    json, "slug", finding_row_find(drift_finding(item->kind))->slug);
	jsonw_text(json, "result", ignored ? "skipped" : "failed");
	jsonw_text(json, "severity", ignored ? "info" : "warning");
	jsonw_null(json, "role");
	if (*item->worker == '\0')
		jsonw_text(json, "subject", "supervisor");
	else if (*item->instances == '\0')
		jsonw_format(json, "subject", "worker %s", item->worker);
	else
		jsonw_format(json, "subject", "worker %s instances %s",
		    item->worker, item->instances);
	jsonw_text(json, "summary", item->summary);
	jsonw_array(json, "evidence");
	jsonw_object(json, NULL);
	jsonw_format(json, "source", "%s:%d%s%s",
	    item->place.file == NULL ? "" : item->place.file, item->place.line,
	    *item->source == '\0' ? "" : " ", item->source);
	status_time(json, "at", clock_wall_ms());
	jsonw_text(json, "observed", item->observed);
	jsonw_text(json, "expected", item->expected);
	jsonw_null(json, "scope");
	jsonw_end(json);
	jsonw_end(json);
	jsonw_array(json, "explains");
	jsonw_end(json);
	jsonw_text(json, "impact", "ro");
	jsonw_i64(json, "elapsed_ms", 0);
	jsonw_object(json, "fix");
	jsonw_format(json, "text", "onDrift.%s is '%s'",
	    drift_class_name(item->kind), drift_policy_name(item->policy));
	if (item->kind == DRIFT_CLASS_REPLICAS)
		jsonw_text(json, "command", item->command);
	else if (drift_is_foreign(item->kind))
		jsonw_format(json, "command", "ps -fp %s",
		    item->key + strcspn(item->key, "0123456789"));
	else
		jsonw_format(json, "command", "reeve restart %s", item->worker);
	jsonw_null(json, "patch");
	jsonw_text(json, "verify", "reeve diff");
	jsonw_end(json);
	jsonw_null(json, "waiver");
	jsonw_text(json, "class", drift_class_name(item->kind));
	jsonw_text(json, "key", item->key);
	jsonw_text(json, "policy", drift_policy_name(item->policy));
	jsonw_end(json);
}

static void
write_target(const struct operator_core *op, struct jsonw *json)
{
	jsonw_object(json, "target");
	jsonw_text(json, "name", op->name);
	jsonw_text(json, "file", op->manifest);
	jsonw_text(json, "digest",
	    op->intent == NULL ? NULL : op->intent->declared->digest);
	jsonw_end(json);
}

void
status_diff(struct operator_core *op, struct buffer *out)
{
	bool known = op->judged;
	size_t failed = 0;
	struct jsonw json;

	for (size_t i = 0; i < op->drift.count; i++)
		if (op->drift.items[i].policy != DRIFT_IGNORE)
			failed++;
	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.report/1");
	jsonw_text(&json, "command", "diff");
	jsonw_text(&json, "verdict",
	    !known       ? "inconclusive"
	    : failed > 0 ? "failed"
	                 : "passed");
	jsonw_i64(&json, "exit",
	    !known       ? EXIT_INCONCLUSIVE
	    : failed > 0 ? EXIT_FAILED
	                 : EXIT_PASSED);
	jsonw_bool(&json, "drift_known", known);
	write_target(op, &json);
	jsonw_object(&json, "coverage");
	jsonw_i64(&json, "workers", (int64_t)op->running.count);
	jsonw_i64(&json, "failed", (int64_t)failed);
	jsonw_end(&json);
	jsonw_array(&json, "findings");
	for (size_t i = 0; i < op->drift.count; i++)
		write_finding(&json, &op->drift.items[i]);
	jsonw_end(&json);
	jsonw_array(&json, "not_checked");
	if (op->drift.cut)
		jsonw_format(
		    &json, NULL, "more than %d differences", (int)DRIFT_MAX);
	for (size_t i = 0; i < op->drift.nunknown; i++)
		jsonw_text(&json, NULL, op->drift.unknown[i]);
	if (!known)
		jsonw_text(&json, NULL,
		    op->intent == NULL
		        ? "no declaration is in force"
		        : "the operator has not looked since it began, or "
		          "since the declaration changed");
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

int
status_events(
    struct operator_core *op, struct http_request *request, struct err *err)
{
	struct events_query query = {
	    .worker = http_argument(request, "worker"),
	    .limit = EVENTS_ANSWER_MAX,
	};

	if (http_number(request, "since_ms", INT64_MAX, &query.since_ms, err) ==
	        -1 ||
	    http_number(request, "after", INT64_MAX, &query.after, err) == -1 ||
	    http_number(
	        request, "limit", EVENTS_ANSWER_MAX, &query.limit, err) == -1)
		return -1;
	if (op->events == NULL)
		return err_set(err, ERR_SYSTEM, "no history is kept");
	return events_write(op->events, &query, &request->out, err);
}

int
status_history(
    struct operator_core *op, struct http_request *request, struct err *err)
{
	const char *name = http_argument(request, "queue");
	struct queue_view view;
	int64_t since_ms = 0;

	if (http_number(request, "since_ms", INT64_MAX, &since_ms, err) == -1)
		return -1;
	if (name == NULL || !queues_view_find(op->queues, name, &view))
		return err_set(err, ERR_INPUT, "no queue '%.63s' is declared",
		    name == NULL ? "" : name);
	return trend_write(op->trend, name, since_ms, &request->out, err);
}
