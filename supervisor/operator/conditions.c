/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/specs.h"
#include "worker/exit.h"

enum {
	CONDITIONS_MAX = 4096,
	RESTART_SHOWN_MS = 60 * 1000,
	LOOK_AGAIN_MS = 10 * 1000, /* a window moves on by itself */
	/* Until a new operator has looked at the processes itself. */
	DRIFT_HOLD_MS = 5 * 1000,
	REPLICAS_SHOWN = 15, /* beside the first that differs */
	QUEUES_TEXT_MAX = 1 << 20,
};

struct judged {
	struct operator_core *op;
	struct arena *arena;
	struct alert_condition *conditions;
	size_t count;
	int64_t now_ms, wake_ms;
};

static void
add(struct judged *judged, const struct alert_condition *condition)
{
	if (judged->count < CONDITIONS_MAX)
		judged->conditions[judged->count++] = *condition;
}

static void
add_one(void *arg, const struct alert_condition *condition)
{
	add(arg, condition);
}

static const char *
subject_of(struct judged *judged, const char *worker)
{
	return *worker == '\0'
	           ? "supervisor"
	           : arena_format(judged->arena, "worker %s", worker);
}

/* Those that the worker consumes, as alerts name them. */
static const char *
queues_of(struct judged *judged, const struct declared_worker *worker)
{
	struct buffer list;

	if (worker->nconsumes == 0)
		return NULL;
	buffer_init(&list, QUEUES_TEXT_MAX);
	for (size_t i = 0; i < worker->nconsumes; i++)
		buffer_format(&list, "%s%s", i == 0 ? "" : " ",
		    worker->consumes[i].queue->name);
	const char *text = arena_bytes(judged->arena, list.data, list.len);

	buffer_fini(&list);
	return text;
}

static const char *
fix_of(struct judged *judged, const char *command, const char *worker)
{
	return arena_format(judged->arena, "reeve %s %s", command, worker);
}

static const char *
last_words(struct judged *judged, const struct running_worker *worker)
{
	const struct running_instance *latest = NULL;
	char text[EXIT_TEXT_SIZE];

	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct running_instance *one = &worker->instances[i];
		if (one->wire.last_exit.kind != EXIT_UNKNOWN &&
		    (latest == NULL || one->wire.last_exit_wall_ms >
		                           latest->wire.last_exit_wall_ms))
			latest = one;
	}
	if (latest == NULL)
		return "";
	return arena_format(judged->arena, "last end of %s/%" PRIu32 ": %s",
	    worker->wire.name, latest->wire.replica,
	    exit_text(&latest->wire.last_exit, text, sizeof(text)));
}

static void
crash_looping(struct judged *judged, const struct declared_worker *declared,
    const struct running_worker *worker)
{
	char window[32];
	int64_t window_ms = declared->alert_after_window_ms;
	unsigned count = running_crashes(worker, window_ms, judged->now_ms);

	if (declared->alert_after_count <= 0 ||
	    (int64_t)count < declared->alert_after_count)
		return;
	judged->wake_ms =
	    MIN(judged->wake_ms, clock_after(judged->now_ms, LOOK_AGAIN_MS));
	add(judged,
	    &(struct alert_condition){
	        .key = arena_format(
	            judged->arena, "crash-looping:%s", declared->name),
	        .kind = "crash-looping",
	        .severity = SEVERITY_CRITICAL,
	        .subject = subject_of(judged, declared->name),
	        .summary = arena_format(judged->arena,
	            "had to be restarted %u times or more within %s",
	            (unsigned)declared->alert_after_count,
	            text_ms_for_people(window_ms, window, sizeof(window))),
	        .evidence = last_words(judged, worker),
	        .hold_ms = window_ms,
	        .worker = declared->name,
	        .queues = queues_of(judged, declared),
	        .finding = "RV506",
	        .fix = fix_of(judged, "logs --previous", declared->name),
	    });
}

static const char *
why_not_ready(struct judged *judged, const struct running_worker *worker)
{
	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct wire_instance *wire = &worker->instances[i].wire;
		const char *why = *wire->probe_text != '\0' ? wire->probe_text
		                                            : wire->wait_text;
		if ((wire->state == INSTANCE_RUNNING ||
		        wire->state == INSTANCE_PENDING) &&
		    *why != '\0')
			return arena_format(judged->arena, "%s/%" PRIu32 ": %s",
			    wire->name, wire->replica, why);
	}
	return last_words(judged, worker);
}

/* Waiting for another worker is no fault of its own, and that one is judged by
 * itself; unless it is known to get no further (the init says so behind ';').
 */
static bool
waits_in_order(const struct wire_instance *wire)
{
	return wire->state == INSTANCE_PENDING && wire->why == WHY_WAITS &&
	       strchr(wire->wait_text, ';') == NULL;
}

static void
not_ready(struct judged *judged, const struct declared_worker *declared,
    const struct worker_spec *spec, struct running_worker *worker)
{
	uint32_t missing = 0;

	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct wire_instance *wire = &worker->instances[i].wire;
		if (wire->replica < worker->wire.desired &&
		    wire->state != INSTANCE_READY &&
		    wire->state != INSTANCE_FINISHED &&
		    wire->state != INSTANCE_STOPPED && !waits_in_order(wire))
			missing++;
	}
	if (missing == 0) {
		worker->short_since_ms = 0;
		return;
	}
	if (worker->short_since_ms == 0)
		worker->short_since_ms = judged->now_ms;
	int64_t late_ms =
	    clock_after(worker->short_since_ms, specs_budget_ms(spec));

	if (judged->now_ms < late_ms) {
		judged->wake_ms = MIN(judged->wake_ms, late_ms);
		return;
	}
	add(judged, &(struct alert_condition){
	                .key = arena_format(
	                    judged->arena, "not-ready:%s", declared->name),
	                .kind = "not-ready",
	                .severity = SEVERITY_ERROR,
	                .subject = subject_of(judged, declared->name),
	                .summary = arena_format(judged->arena,
	                    "%" PRIu32 " of %" PRIu32 " replicas are not ready",
	                    missing, worker->wire.desired),
	                .evidence = why_not_ready(judged, worker),
	                .hold_ms = specs_budget_ms(spec),
	                .worker = declared->name,
	                .queues = queues_of(judged, declared),
	                .finding = "RV304",
	                .fix = fix_of(judged, "logs", declared->name),
	            });
}

/* Given up: what is tried again is under way. */
static void
schedule_failed(struct judged *judged, const struct declared_worker *declared,
    const struct worker_spec *spec, const struct running_worker *worker)
{
	int64_t passed_ms = worker->wire.last_success_wall_ms;
	char age[32] = "never";

	if (worker->wire.schedule[0] == '\0' ||
	    worker->wire.last_failure_wall_ms <= passed_ms)
		return;
	if (passed_ms != 0)
		(void)text_ms_for_people(
		    MAX(clock_wall_ms() - passed_ms, INT64_C(0)), age,
		    sizeof(age));
	add(judged,
	    &(struct alert_condition){
	        .key = arena_format(
	            judged->arena, "schedule-failed:%s", declared->name),
	        .kind = "schedule-failed",
	        .severity = SEVERITY_ERROR,
	        .subject = subject_of(judged, declared->name),
	        .summary = arena_format(judged->arena,
	            "its last run failed; the last success: %s%s", age,
	            passed_ms == 0 ? "" : " ago"),
	        .evidence = last_words(judged, worker),
	        .worker = declared->name,
	        .queues = queues_of(judged, declared),
	        .fix = fix_of(judged, "logs --previous", declared->name),
	        .hold_ms = specs_budget_ms(spec),
	    });
}

static const char *
place_text(struct judged *judged, const struct place *place)
{
	if (place->file == NULL)
		return "";
	return arena_format(judged->arena, "%s:%d", place->file, place->line);
}

static void
missing_value(struct judged *judged, const struct declared_worker *declared)
{
	const struct declared_env *gap = specs_gap(declared);

	if (gap == NULL)
		return;
	add(judged,
	    &(struct alert_condition){
	        .key = arena_format(judged->arena, "missing-value:%s:%s",
	            declared->name, gap->name),
	        .kind = "missing-value",
	        .severity = SEVERITY_ERROR,
	        .subject = subject_of(judged, declared->name),
	        .summary = arena_format(judged->arena, "%s has no value: %s",
	            gap->name, gap->why == NULL ? "absent" : gap->why),
	        .evidence = arena_format(judged->arena, "%s %s",
	            place_text(judged, &gap->place),
	            gap->source == NULL ? "" : gap->source),
	        .worker = declared->name,
	        .queues = queues_of(judged, declared),
	        .finding = "RV101",
	        .fix = "reeve check --verbose",
	    });
}

static void
rolled_back(struct judged *judged, const struct declared_worker *declared)
{
	const struct tracked *tracked =
	    operator_track(judged->op, declared->name);

	if (!tracked->memory.has_bad)
		return;
	add(judged,
	    &(struct alert_condition){
	        .key =
	            arena_format(judged->arena, "rollback:%s", declared->name),
	        .kind = "rollback",
	        .severity = SEVERITY_ERROR,
	        .subject = subject_of(judged, declared->name),
	        .summary = "the declared configuration did not become ready; "
	                   "the last good one runs until the declaration "
	                   "changes",
	        .evidence = place_text(judged, &declared->place),
	        .worker = declared->name,
	        .queues = queues_of(judged, declared),
	        .fix = "reeve diff",
	    });
}

/* The same difference, of other replicas perhaps: one alert. */
static bool
same_difference(const struct drift *a, const struct drift *b)
{
	return a->policy == b->policy && a->kind == b->kind &&
	       text_equal(a->key, b->key);
}

/* "replicas 0, 2: " of all that differ so; NULL: the alert is that of an
 * earlier one. What is found of a worker lies together. */
static const char *
replicas_of(struct judged *judged, const struct drift_list *list, size_t which)
{
	const struct drift *item = &list->items[which];
	const char *replicas = item->instances;
	size_t count = 0;

	for (size_t i = which; i > 0; i--) {
		const struct drift *before = &list->items[i - 1];
		if (!text_equal(before->worker, item->worker))
			break;
		if (same_difference(before, item))
			return NULL;
	}
	if (*replicas == '\0')
		return "";
	for (size_t i = which + 1; i < list->count; i++) {
		const struct drift *other = &list->items[i];
		if (!text_equal(other->worker, item->worker))
			break;
		if (same_difference(other, item) && count++ < REPLICAS_SHOWN)
			replicas = arena_format(judged->arena, "%s, %s",
			    replicas, other->instances);
	}
	return arena_format(judged->arena,
	    "%s %s%s: ", strchr(replicas, ',') == NULL ? "replica" : "replicas",
	    replicas, count > REPLICAS_SHOWN ? " and more" : "");
}

static void
drifted(struct judged *judged)
{
	const struct drift_list *list = &judged->op->drift;

	for (size_t i = 0; i < list->count; i++) {
		const struct drift *item = &list->items[i];
		const char *replicas = item->policy == DRIFT_ALERT
		                           ? replicas_of(judged, list, i)
		                           : NULL;
		if (replicas == NULL)
			continue;
		add(judged,
		    &(struct alert_condition){
		        .key = arena_format(judged->arena, "drift:%s:%s:%s",
		            item->worker, drift_class_name(item->kind),
		            item->key),
		        .kind = "drift",
		        .severity = SEVERITY_WARNING,
		        .hold_ms = DRIFT_HOLD_MS,
		        .subject = subject_of(judged, item->worker),
		        .summary = item->summary,
		        .evidence = arena_format(judged->arena,
		            "%s%s%sruns %s, declared %s (%s)", replicas,
		            item->source, *item->source == '\0' ? "" : ": ",
		            item->observed, item->expected,
		            place_text(judged, &item->place)),
		        .worker = item->worker,
		        .finding = drift_finding(item->kind),
		        .fix = item->kind == DRIFT_CLASS_REPLICAS
		                   ? item->command
		                   : fix_of(judged, "restart", item->worker),
		    });
	}
}

static void
sources(struct judged *judged)
{
	const struct declared *declared = judged->op->intent->declared;

	for (size_t i = 0; i < declared->nsources; i++) {
		const struct declared_source *source = &declared->sources[i];
		if (source->readable)
			continue;
		add(judged,
		    &(struct alert_condition){
		        .key = arena_format(
		            judged->arena, "source:%s", source->name),
		        .kind = "source-unreadable",
		        .severity = SEVERITY_ERROR,
		        .subject = arena_format(judged->arena, "%s %s",
		            source->secret ? "secret" : "config", source->name),
		        .summary =
		            arena_format(judged->arena, "can't be read: %s",
		                source->why == NULL ? "" : source->why),
		        .evidence = place_text(judged, &source->place),
		        .fix = "reeve check --verbose",
		    });
	}
}

static void
ourselves(struct judged *judged)
{
	const struct operator_core *op = judged->op;
	uint32_t restarts = op->running.snapshot.operator_restarts;
	int64_t shown_until_ms = clock_after(op->started_ms, RESTART_SHOWN_MS);

	if (op->refusal.len > 0)
		add(judged,
		    &(struct alert_condition){
		        .key = "manifest-refused",
		        .kind = "manifest-refused",
		        .severity = SEVERITY_ERROR,
		        .subject = arena_format(
		            judged->arena, "manifest %s", op->manifest),
		        .summary = "what is on disk is refused; the one "
		                   "before stays in force",
		        .evidence = op->refusal.data,
		        .fix = "reeve lint",
		    });
	if (op->intent_refused)
		add(judged,
		    &(struct alert_condition){
		        .key = "plan-refused",
		        .kind = "plan-refused",
		        .severity = SEVERITY_ERROR,
		        .subject = arena_format(
		            judged->arena, "manifest %s", op->manifest),
		        .summary = "the init refuses what is declared; what "
		                   "runs stays as it is",
		        .evidence = op->plan_refusal,
		        .fix = "reeve plan",
		    });
	if (restarts == 0 || judged->now_ms >= shown_until_ms)
		return;
	judged->wake_ms = MIN(judged->wake_ms, shown_until_ms);
	add(judged,
	    &(struct alert_condition){
	        .key = "operator-restarted",
	        .kind = "operator-restarted",
	        .severity = SEVERITY_WARNING,
	        .subject = "operator",
	        .summary = "the operator had to be started again; the workers "
	                   "were not touched",
	        .evidence =
	            arena_format(judged->arena, "restarts: %" PRIu32, restarts),
	    });
}

int64_t
conditions_judge(struct operator_core *op, int64_t now_ms)
{
	struct judged judged = {
	    .op = op,
	    .arena = &op->drift_arena,
	    .conditions = arena_array(
	        &op->drift_arena, CONDITIONS_MAX, sizeof(*judged.conditions)),
	    .now_ms = now_ms,
	    .wake_ms = CLOCK_NEVER,
	};

	ourselves(&judged);
	for (size_t i = 0;
	     op->intent != NULL && i < op->intent->declared->nworkers; i++) {
		const struct declared_worker *declared =
		    &op->intent->declared->workers[i];
		struct running_worker *worker =
		    running_find(&op->running, declared->name);
		missing_value(&judged, declared);
		rolled_back(&judged, declared);
		if (worker == NULL)
			continue;
		struct worker_spec spec;
		intent_spec(op->intent, i, &spec);
		crash_looping(&judged, declared, worker);
		schedule_failed(&judged, declared, &spec, worker);
		not_ready(&judged, declared, &spec, worker);
	}
	if (op->intent != NULL) {
		sources(&judged);
		drifted(&judged);
		judged.wake_ms = MIN(
		    judged.wake_ms, rules_judge(op, now_ms, add_one, &judged));
		stall_judge(op, now_ms, add_one, &judged);
	}
	alerts_judge(&op->alerts, judged.conditions, judged.count);
	return judged.wake_ms;
}
