/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/openmetrics.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/spool.h"
#include "supervisor/wire/status_encode.h"
#include "worker/cgroup.h"
#include "worker/exit.h"

/*
 * /metrics. Labels are what is declared and words of ours (worker, queue,
 * class…), so that their number is bounded; never a pid, a replica or a text.
 */
enum {
	LABELS_MAX = 3,
};

struct writing {
	struct operator_core *op;
	size_t hint; /* workers are declared in the order in which they run */
	struct openmetrics metrics;
};

/* "{name=value,more=word}"; `more` may be NULL. */
static void
number(struct writing *writing, int64_t value, const char *name,
    const char *worker, const char *more, const char *word)
{
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {name, worker}, {more, word}, {NULL, NULL}};

	openmetrics_number(&writing->metrics, value, labels);
}

static void
family(struct writing *writing, enum openmetrics_type type, const char *name,
    const char *unit, const char *help)
{
	openmetrics_family(&writing->metrics, type, name, unit, help);
}

/* --- ourselves ---------------------------------------------------------- */

static void
write_build(struct writing *writing)
{
	const struct wire_hello *hello = &writing->op->init.hello;
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {"version", REEVE_VERSION}, {"init_version", hello->version}};

	family(writing, OPENMETRICS_INFO, "reeve_build", NULL,
	    "The versions of the operator and of the init.");
	openmetrics_number(&writing->metrics, 1, labels);
}

/* Processor time of the operator and of the children that look for it. */
static void
write_cost(struct writing *writing)
{
	struct timespec own;
	const struct {
		const char *part;
		int64_t us;
	} rows[] = {
	    {"operator",
	        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) == 0
	            ? (int64_t)own.tv_sec * 1000000 + own.tv_nsec / 1000
	            : 0},
	    {"queues", helpers_cpu_us(HELPER_QUEUES)},
	    {"processes", helpers_cpu_us(HELPER_PROCESSES)},
	    {"other", helpers_cpu_us(HELPER_OTHER)},
	};

	family(writing, OPENMETRICS_COUNTER, "reeve_operator_cpu_seconds",
	    "seconds",
	    "Processor time of the operator itself, and of its children: "
	    "probers of queues, looks at the processes, all else.");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct openmetrics_label labels[LABELS_MAX] = {
		    {"part", rows[i].part}};
		openmetrics_milli(&writing->metrics, rows[i].us / 1000, labels);
	}
}

static void
write_operator(struct writing *writing)
{
	const struct operator_core *op = writing->op;
	const struct wire_snapshot *snapshot = &op->running.snapshot;
	struct openmetrics *metrics = &writing->metrics;

	family(writing, OPENMETRICS_GAUGE, "reeve_start_time_seconds",
	    "seconds", "When the init was started, in Unix time.");
	openmetrics_milli(metrics, op->init.hello.started_wall_ms, NULL);
	family(writing, OPENMETRICS_GAUGE, "reeve_operator_start_time_seconds",
	    "seconds", "When the operator was started, in Unix time.");
	openmetrics_milli(metrics, op->started_wall_ms, NULL);
	family(writing, OPENMETRICS_SUMMARY,
	    "reeve_operator_pass_duration_seconds", "seconds",
	    "Comparing what runs with what is declared, and acting on it.");
	openmetrics_summary(
	    metrics, op->counters.passes, op->counters.passes_us);
	family(writing, OPENMETRICS_SUMMARY, "reeve_operator_pass_cpu_seconds",
	    "seconds", "The same in time of the processor.");
	openmetrics_summary(
	    metrics, op->counters.passes, op->counters.passes_cpu_us);
	write_cost(writing);
	family(writing, OPENMETRICS_GAUGE, "reeve_manifest_refused", NULL,
	    "1: what is declared on disk is refused, and what was declared "
	    "before is in force.");
	openmetrics_number(
	    metrics, op->refusal.len > 0 || op->intent_refused, NULL);
	if (!op->running.known)
		return;
	family(writing, OPENMETRICS_COUNTER, "reeve_operator_restarts", NULL,
	    "Times that the operator had to be started again.");
	openmetrics_number(metrics, snapshot->operator_restarts, NULL);
	family(writing, OPENMETRICS_COUNTER, "reeve_log_dropped_lines", NULL,
	    "Lines of reeve's own log that nobody took.");
	openmetrics_number(
	    metrics, (int64_t)(snapshot->log_dropped + log_dropped()), NULL);
	family(writing, OPENMETRICS_COUNTER, "reeve_orphans_reaped", NULL,
	    "Processes that were no worker's own and that the init took in.");
	openmetrics_number(metrics, (int64_t)snapshot->orphans_reaped, NULL);
	family(writing, OPENMETRICS_COUNTER, "reeve_notify_dropped_messages",
	    NULL, "Messages to NOTIFY_SOCKET of nobody that may speak there.");
	openmetrics_number(metrics, (int64_t)snapshot->notify_dropped, NULL);
	family(writing, OPENMETRICS_COUNTER, "reeve_output_file_lost_bytes",
	    "bytes",
	    "Output lost with the process that writes a file that may hang.");
	for (size_t i = 0; i < ARRAY_LEN(snapshot->files_lost); i++)
		number(writing, (int64_t)snapshot->files_lost[i], "stream",
		    i == 0 ? "stdout" : "stderr", NULL, NULL);
	family(writing, OPENMETRICS_GAUGE, "reeve_observation_age_seconds",
	    "seconds", "How old the init's last whole report is.");
	openmetrics_milli(metrics,
	    MAX(clock_wall_ms() - snapshot->wall_ms, (int64_t)0), NULL);
}

static void
write_alerts(struct writing *writing)
{
	const struct operator_core *op = writing->op;

	family(writing, OPENMETRICS_COUNTER, "reeve_alerts_raised", NULL,
	    "Alerts that were raised, since the operator's start.");
	for (size_t i = 0;
	     i < ALERT_KINDS_MAX && op->counters.alerts[i].kind[0] != '\0'; i++)
		number(writing, (int64_t)op->counters.alerts[i].raised, "kind",
		    op->counters.alerts[i].kind, NULL, NULL);
	family(writing, OPENMETRICS_GAUGE, "reeve_alerts_active", NULL,
	    "Alerts that are raised now, by severity.");
	for (enum severity severity = 0; severity <= SEVERITY_CRITICAL;
	     severity++) {
		int64_t count = 0;
		for (const struct alert *alert = op->alerts.known;
		     alert != NULL; alert = alert->next)
			count += alert->told && alert->severity == severity;
		number(writing, count, "severity", severity_name(severity),
		    NULL, NULL);
	}
	int64_t silenced = 0;

	for (const struct alert *alert = op->alerts.known; alert != NULL;
	     alert = alert->next)
		silenced += alert->silence != 0;
	family(writing, OPENMETRICS_GAUGE, "reeve_alerts_silenced", NULL,
	    "Alerts, raised or not, of which a silence keeps receivers from "
	    "hearing.");
	openmetrics_number(&writing->metrics, silenced, NULL);
	family(writing, OPENMETRICS_GAUGE, "reeve_silences", NULL,
	    "Silences in force.");
	openmetrics_number(
	    &writing->metrics, (int64_t)op->alerts.silences.count, NULL);
	family(writing, OPENMETRICS_GAUGE, "reeve_alerts_undelivered", NULL,
	    "Messages of alerts that a receiver hasn't taken yet.");
	openmetrics_number(
	    &writing->metrics, (int64_t)op->alerts.nevents, NULL);
}

static int64_t
rules_with(const struct rules *rules, const char *rule, enum result result)
{
	int64_t count = 0;

	for (size_t i = 0; i < rules->nstates; i++)
		count += rules->states[i].result == result &&
		         text_equal(rules->states[i].rule, rule);
	return count;
}

/* Of how many subjects each rule says what. */
static void
write_rules(struct writing *writing)
{
	static const enum result results[] = {
	    RESULT_PASSED, RESULT_FAILED, RESULT_UNKNOWN};
	const struct rules *rules = &writing->op->rules;

	family(writing, OPENMETRICS_GAUGE, "reeve_alert_rules", NULL,
	    "Queues and workers by what a threshold says of them.");
	for (size_t i = 0; i < rules->nstates; i++) {
		const char *rule = rules->states[i].rule;
		size_t first = 0;
		while (!text_equal(rules->states[first].rule, rule))
			first++;
		for (size_t k = 0; first == i && k < ARRAY_LEN(results); k++)
			number(writing, rules_with(rules, rule, results[k]),
			    "rule", rule, "result", result_name(results[k]));
	}
}

/* --- workers ------------------------------------------------------------ */

typedef void worker_fn(
    struct writing *writing, const struct running_worker *worker);

static void
each_worker(struct writing *writing, worker_fn *write)
{
	const struct running *running = &writing->op->running;

	for (size_t i = 0; i < running->count; i++)
		/* its instances may be told before it is itself */
		if (running->workers[i].wire.head.magic != 0)
			write(writing, &running->workers[i]);
}

static const struct declared_worker *
declared_of(struct writing *writing, const struct running_worker *worker)
{
	const struct intent *intent = writing->op->intent;
	size_t count = intent == NULL ? 0 : intent->declared->nworkers;

	for (size_t i = 0; i < count; i++) {
		size_t at = (writing->hint + i) % count;
		if (text_equal(intent->declared->workers[at].name,
		        worker->wire.name)) {
			writing->hint = at + 1;
			return &intent->declared->workers[at];
		}
	}
	return NULL;
}

static void
declared_replicas(struct writing *writing, const struct running_worker *worker)
{
	const struct declared_worker *declared = declared_of(writing, worker);

	if (declared != NULL)
		number(writing, declared->replicas, "worker", declared->name,
		    NULL, NULL);
}

static void
desired_replicas(struct writing *writing, const struct running_worker *worker)
{
	number(writing, worker->wire.desired, "worker", worker->wire.name, NULL,
	    NULL);
}

static void
running_replicas(struct writing *writing, const struct running_worker *worker)
{
	number(writing, worker->wire.running, "worker", worker->wire.name, NULL,
	    NULL);
}

static void
ready_replicas(struct writing *writing, const struct running_worker *worker)
{
	number(writing, worker->wire.ready, "worker", worker->wire.name, NULL,
	    NULL);
}

static const struct worker_counters *
counters_of(struct writing *writing, const struct running_worker *worker)
{
	return counters_find(&writing->op->counters, worker->wire.name);
}

/* Every class from the beginning: a rate needs the 0 before the first. */
static void
restarts(struct writing *writing, const struct running_worker *worker)
{
	const struct worker_counters *counters = counters_of(writing, worker);

	for (unsigned i = CLASS_NONE + 1; counters != NULL && i < CLASS_COUNT;
	     i++)
		number(writing, (int64_t)counters->total.restarts[i], "worker",
		    worker->wire.name, "class",
		    exit_class_name((enum exit_class)i));
}

static void
exits(struct writing *writing, const struct running_worker *worker)
{
	static const struct worker_counters none = {0};
	const struct worker_counters *counters = counters_of(writing, worker);

	if (counters == NULL)
		counters = &none;
	for (unsigned i = CLASS_NONE + 1; i < CLASS_COUNT; i++)
		number(writing, (int64_t)counters->exits[i], "worker",
		    worker->wire.name, "class",
		    exit_class_name((enum exit_class)i));
}

static bool
has_probe(const struct declared_worker *declared, enum probe_counter which)
{
	switch (which) {
	case PROBE_COUNTER_READINESS:
		return declared->readiness.kind != DECLARED_PROBE_NONE;
	case PROBE_COUNTER_STARTUP:
		return declared->startup.kind != DECLARED_PROBE_NONE;
	case PROBE_COUNTER_LIVENESS:
		return declared->liveness.kind != DECLARED_PROBE_NONE;
	case PROBE_COUNTER_WATCHDOG:
		return declared->watchdog_ms > 0;
	case PROBE_COUNTERS:
		break;
	}
	UNREACHABLE("a probe");
}

static void
probes(struct writing *writing, const struct running_worker *worker)
{
	const struct worker_counters *counters = counters_of(writing, worker);
	const struct declared_worker *declared = declared_of(writing, worker);

	if (declared == NULL)
		return;
	for (unsigned i = 0; i < PROBE_COUNTERS; i++)
		if (has_probe(declared, (enum probe_counter)i))
			number(writing,
			    counters == NULL ? 0 : (int64_t)counters->probes[i],
			    "worker", worker->wire.name, "probe",
			    probe_counter_name((enum probe_counter)i));
}

static void
oom_kills(struct writing *writing, const struct running_worker *worker)
{
	const struct worker_counters *counters = counters_of(writing, worker);

	if (counters != NULL)
		number(writing, (int64_t)counters->total.oom_kills, "worker",
		    worker->wire.name, NULL, NULL);
}

static void
output_lines(struct writing *writing, const struct running_worker *worker)
{
	const struct worker_counters *counters = counters_of(writing, worker);

	for (unsigned i = 0;
	     counters != NULL && counters->captured && i < OUTPUT_WAYS; i++)
		number(writing, (int64_t)counters->total.output[i].lines,
		    "worker", worker->wire.name, "result",
		    output_way_name((enum output_way)i));
}

static void
output_bytes(struct writing *writing, const struct running_worker *worker)
{
	const struct worker_counters *counters = counters_of(writing, worker);

	for (unsigned i = 0;
	     counters != NULL && counters->captured && i < OUTPUT_WAYS; i++)
		number(writing, (int64_t)counters->total.output[i].bytes,
		    "worker", worker->wire.name, "result",
		    output_way_name((enum output_way)i));
}

/* Absent unless it is known of every process: a sum of some would look like
 * all. */
static void
memory(struct writing *writing, const struct running_worker *worker)
{
	uint64_t sum = 0, bytes = 0;
	bool any = false;

	if ((writing->op->running.snapshot.cgroup & CGROUP_MEMORY) == 0)
		return;
	for (size_t i = 0; i < worker->ninstances; i++) {
		int32_t pid = worker->instances[i].wire.pid;
		if (pid <= 0)
			continue;
		if (!status_memory_current(pid, &bytes))
			return;
		sum += bytes;
		any = true;
	}
	if (any)
		number(writing, (int64_t)sum, "worker", worker->wire.name, NULL,
		    NULL);
}

static void
drifts(struct writing *writing, const struct running_worker *worker)
{
	const struct drift_list *list = &writing->op->drift;
	int64_t counts[DRIFT_CLASSES] = {0};

	if (!writing->op->ready || writing->op->intent == NULL)
		return; /* nothing was compared */
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i].worker, worker->wire.name))
			counts[list->items[i].kind]++;
	for (unsigned i = 0; i < DRIFT_CLASSES; i++)
		number(writing, counts[i], "worker", worker->wire.name, "class",
		    drift_class_name((enum drift_class)i));
}

static void
last_run(struct writing *writing, const struct running_worker *worker)
{
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {"worker", worker->wire.name}};

	if (worker->wire.last_run_wall_ms > 0)
		openmetrics_milli(
		    &writing->metrics, worker->wire.last_run_wall_ms, labels);
}

static void
last_success(struct writing *writing, const struct running_worker *worker)
{
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {"worker", worker->wire.name}};

	if (worker->wire.last_success_wall_ms > 0)
		openmetrics_milli(&writing->metrics,
		    worker->wire.last_success_wall_ms, labels);
}

static void
write_workers(struct writing *writing)
{
	static const struct worker_family {
		enum openmetrics_type type;
		const char *name, *unit, *help;
		worker_fn *write;
	} families[] = {
	    {OPENMETRICS_GAUGE, "reeve_worker_replicas_declared", NULL,
	        "Replicas that the manifest says.", declared_replicas},
	    {OPENMETRICS_GAUGE, "reeve_worker_replicas_desired", NULL,
	        "Replicas that should run: as declared, or as was ordered.",
	        desired_replicas},
	    {OPENMETRICS_GAUGE, "reeve_worker_replicas_running", NULL,
	        "Replicas with a process, ready or not.", running_replicas},
	    {OPENMETRICS_GAUGE, "reeve_worker_replicas_ready", NULL,
	        "Replicas that are ready.", ready_replicas},
	    {OPENMETRICS_COUNTER, "reeve_worker_restarts", NULL,
	        "Starts after an end, by the class of that end.", restarts},
	    {OPENMETRICS_COUNTER, "reeve_worker_exits", NULL,
	        "Ends of processes by class, since the operator's start.",
	        exits},
	    {OPENMETRICS_COUNTER, "reeve_worker_probe_failures", NULL,
	        "Times that a probe failed as often as it may, since the "
	        "operator's start.",
	        probes},
	    {OPENMETRICS_COUNTER, "reeve_worker_oom_kills", NULL,
	        "Kills for memory in its cgroups.", oom_kills},
	    {OPENMETRICS_COUNTER, "reeve_worker_output_lines", NULL,
	        "Lines of output by what became of them.", output_lines},
	    {OPENMETRICS_COUNTER, "reeve_worker_output_bytes", "bytes",
	        "Bytes of output by what became of them.", output_bytes},
	    {OPENMETRICS_GAUGE, "reeve_worker_memory_bytes", "bytes",
	        "Memory of its cgroups.", memory},
	    {OPENMETRICS_GAUGE, "reeve_worker_drift", NULL,
	        "Differences between what runs and what is declared.", drifts},
	    {OPENMETRICS_GAUGE, "reeve_worker_last_run_timestamp_seconds",
	        "seconds", "When a scheduled worker last ran, in Unix time.",
	        last_run},
	    {OPENMETRICS_GAUGE, "reeve_worker_last_success_timestamp_seconds",
	        "seconds",
	        "When a scheduled worker last succeeded, in Unix time.",
	        last_success},
	};

	for (size_t i = 0; i < writing->op->running.count; i++)
		status_recount(&writing->op->running.workers[i]);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		family(writing, families[i].type, families[i].name,
		    families[i].unit, families[i].help);
		each_worker(writing, families[i].write);
	}
}

/* --- queues ------------------------------------------------------------- */

/* One number of every queue. */
struct queue_family {
	const char *name, *unit, *help;
	size_t offset; /* in struct queue_state */
	bool ms;
};

struct queue_writing {
	struct writing *writing;
	const struct queue_family *family;
	int64_t now_ms; /* wall time */
};

static void
queue_up(void *arg, const struct queue_view *view)
{
	const struct queue_writing *queue = arg;

	number(queue->writing, view->trouble == NULL, "queue", view->name,
	    "kind", view->kind);
}

static void
queue_paused(void *arg, const struct queue_view *view)
{
	const struct queue_writing *queue = arg;

	if (view->state->paused >= 0)
		number(queue->writing, view->state->paused, "queue", view->name,
		    NULL, NULL);
}

static void
queue_age(void *arg, const struct queue_view *view)
{
	const struct queue_writing *queue = arg;
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {"queue", view->name}};

	if (view->at_wall_ms > 0)
		openmetrics_milli(&queue->writing->metrics,
		    MAX(queue->now_ms - view->at_wall_ms, (int64_t)0), labels);
}

static void
queue_value(void *arg, const struct queue_view *view)
{
	const struct queue_writing *queue = arg;
	const struct openmetrics_label labels[LABELS_MAX] = {
	    {"queue", view->name}};
	struct queue_number value;

	memcpy(&value, (const char *)view->state + queue->family->offset,
	    sizeof(value));
	if (value.know == KNOW_UNKNOWN || value.know == KNOW_NOT_APPLICABLE)
		return;
	if (queue->family->ms)
		openmetrics_milli(
		    &queue->writing->metrics, value.value, labels);
	else
		openmetrics_number(
		    &queue->writing->metrics, value.value, labels);
}

static void
write_queues(struct writing *writing)
{
	static const struct queue_family families[] = {
	    {"reeve_queue_depth", NULL, "Jobs that wait.",
	        offsetof(struct queue_state, waiting), false},
	    {"reeve_queue_active", NULL, "Jobs that somebody has taken.",
	        offsetof(struct queue_state, active), false},
	    {"reeve_queue_delayed", NULL, "Jobs whose time hasn't come.",
	        offsetof(struct queue_state, delayed), false},
	    {"reeve_queue_failed", NULL, "Jobs that failed and are kept.",
	        offsetof(struct queue_state, failed), false},
	    {"reeve_queue_dead", NULL, "Jobs that nobody will try again.",
	        offsetof(struct queue_state, dead), false},
	    {"reeve_queue_oldest_age_seconds", "seconds",
	        "How long the oldest waiting job has waited.",
	        offsetof(struct queue_state, oldest_ms), true},
	    {"reeve_queue_lease_expired", NULL,
	        "Jobs whose taker let its lease run out.",
	        offsetof(struct queue_state, lease_expired), false},
	    {"reeve_queue_consumers", NULL, "Consumers that are connected.",
	        offsetof(struct queue_state, consumers), false},
	};
	const struct queues *queues = writing->op->queues;
	struct queue_writing queue = {
	    .writing = writing, .now_ms = clock_wall_ms()};

	family(writing, OPENMETRICS_GAUGE, "reeve_queue_up", NULL,
	    "1: the last look saw the queue. What a look did not see has no "
	    "value.");
	queues_view_each(queues, queue_up, &queue);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		queue.family = &families[i];
		family(writing, OPENMETRICS_GAUGE, families[i].name,
		    families[i].unit, families[i].help);
		queues_view_each(queues, queue_value, &queue);
	}
	family(writing, OPENMETRICS_GAUGE, "reeve_queue_paused", NULL,
	    "1: nobody is given a job.");
	queues_view_each(queues, queue_paused, &queue);
	family(writing, OPENMETRICS_GAUGE,
	    "reeve_queue_observation_age_seconds", "seconds",
	    "How long ago the queue last answered.");
	queues_view_each(queues, queue_age, &queue);
}

void
metrics_write(struct operator_core *op, struct buffer *out, bool openmetrics)
{
	struct writing writing = {.op = op};

	openmetrics_init(&writing.metrics, out, !openmetrics);
	write_build(&writing);
	write_operator(&writing);
	write_alerts(&writing);
	write_rules(&writing);
	write_workers(&writing);
	write_queues(&writing);
	openmetrics_end(&writing.metrics);
}
