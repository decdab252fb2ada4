/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "supervisor/operator/counters.h"
#include "worker/exit.h"

enum {
	ROOM_FIRST = 16
};

static void
worker_fini(struct worker_counters *worker)
{
	free(worker->seen);
}

void
counters_fini(struct counters *counters)
{
	for (size_t i = 0; i < counters->count; i++)
		worker_fini(&counters->workers[i]);
	free(counters->workers);
	*counters = (struct counters){0};
}

/* They are told in the order of the plan. */
static struct worker_counters *
find(struct counters *counters, const char *name)
{
	for (size_t i = 0; i < counters->count; i++) {
		size_t at = (counters->hint + i) % counters->count;
		if (text_equal(counters->workers[at].name, name)) {
			counters->hint = at;
			return &counters->workers[at];
		}
	}
	return NULL;
}

const struct worker_counters *
counters_find(struct counters *counters, const char *name)
{
	return find(counters, name);
}

/* NULL without memory: then it isn't counted. */
static struct worker_counters *
get(struct counters *counters, const char *name)
{
	struct worker_counters *worker = find(counters, name);

	if (worker != NULL)
		return worker;
	if (counters->workers == NULL || counters->count == counters->room) {
		size_t room = MAX(counters->room * 2, (size_t)ROOM_FIRST);
		void *more = reallocarray(
		    counters->workers, room, sizeof(*counters->workers));
		if (more == NULL)
			return NULL;
		counters->workers = more;
		counters->room = room;
	}
	worker = &counters->workers[counters->count++];
	*worker = (struct worker_counters){0};
	(void)snprintf(worker->name, sizeof(worker->name), "%s", name);
	return worker;
}

void
counters_forget(struct counters *counters, const char *name)
{
	struct worker_counters *worker = find(counters, name);

	if (worker == NULL)
		return;
	worker_fini(worker);
	*worker = counters->workers[--counters->count];
	counters->hint = 0;
}

/* --- instances --------------------------------------------------------- */

/* A count that fell began anew. */
static void
step(uint64_t *total, uint64_t *seen, uint64_t now)
{
	*total += now >= *seen ? now - *seen : now;
	*seen = now;
}

static struct instance_counters *
seen_of(struct worker_counters *worker, uint32_t replica)
{
	if (replica < worker->nseen)
		return &worker->seen[replica];
	size_t count = (size_t)replica + 1;
	struct instance_counters *more =
	    reallocarray(worker->seen, count, sizeof(*worker->seen));

	if (more == NULL)
		return NULL;
	worker->seen = more;
	memset(&worker->seen[worker->nseen], 0,
	    (count - worker->nseen) * sizeof(*worker->seen));
	worker->nseen = count;
	return &worker->seen[replica];
}

void
counters_instance(struct counters *counters, const struct wire_instance *wire)
{
	const struct wire_count *const output[OUTPUT_WAYS] = {
	    [OUTPUT_WRITTEN] = &wire->output.written,
	    [OUTPUT_DROPPED] = &wire->output.dropped,
	    [OUTPUT_LIMITED] = &wire->output.limited,
	    [OUTPUT_LOST] = &wire->output.lost,
	};
	struct worker_counters *worker = get(counters, wire->name);
	struct instance_counters *seen =
	    worker == NULL ? NULL : seen_of(worker, wire->replica);

	if (seen == NULL)
		return;
	for (unsigned i = 0; i < CLASS_COUNT; i++)
		step(&worker->total.restarts[i], &seen->restarts[i],
		    wire->restarted[i]);
	step(&worker->total.oom_kills, &seen->oom_kills, wire->oom_kills);
	worker->captured = worker->captured || wire->output.captured != 0;
	for (unsigned i = 0; i < OUTPUT_WAYS; i++) {
		step(&worker->total.output[i].lines, &seen->output[i].lines,
		    output[i]->lines);
		step(&worker->total.output[i].bytes, &seen->output[i].bytes,
		    output[i]->bytes);
	}
}

/* --- events ------------------------------------------------------------ */

/* An end that was asked for is no crash, whatever signal it took. */
static enum exit_class
class_of(const struct wire_event *wire)
{
	switch ((enum instance_why)wire->why) {
	case WHY_ORDER_STOP:
	case WHY_ORDER_RESTART:
	case WHY_SCALED:
	case WHY_REMOVED:
	case WHY_DRAIN:
		return CLASS_ORDERED;
	case WHY_LIVENESS:
	case WHY_STARTUP:
	case WHY_WATCHDOG:
		return CLASS_PROBE;
	case WHY_MEMORY:
		return CLASS_OOM;
	case WHY_NONE:
	case WHY_ENDED:
	case WHY_EXEC:
	case WHY_RESOURCES:
	case WHY_WAITS:
	case WHY_DEADLINE:
	case WHY_COUNT:
		break;
	}
	return exit_classify(&wire->exit);
}

static void
count_stop(struct worker_counters *worker, const struct wire_event *wire)
{
	if (wire->why == WHY_STARTUP)
		worker->probes[PROBE_COUNTER_STARTUP]++;
	else if (wire->why == WHY_LIVENESS)
		worker->probes[PROBE_COUNTER_LIVENESS]++;
	else if (wire->why == WHY_WATCHDOG)
		worker->probes[PROBE_COUNTER_WATCHDOG]++;
}

void
counters_event(struct counters *counters, const struct wire_event *wire)
{
	if (wire->number <= counters->last_event)
		return;
	counters->last_event = wire->number;
	struct worker_counters *worker = get(counters, wire->name);

	if (worker == NULL)
		return;
	if (wire->event == EVENT_EXITED)
		worker->exits[class_of(wire)]++;
	else if (wire->event == EVENT_UNREADY)
		worker->probes[PROBE_COUNTER_READINESS]++;
	else if (wire->event == EVENT_STOP)
		count_stop(worker, wire);
}

void
counters_alert(struct counters *counters, const char *kind)
{
	for (size_t i = 0; i < ALERT_KINDS_MAX; i++) {
		struct alert_counter *one = &counters->alerts[i];
		if (one->kind[0] == '\0')
			(void)snprintf(
			    one->kind, sizeof(one->kind), "%s", kind);
		if (text_equal(one->kind, kind)) {
			one->raised++;
			return;
		}
	}
}

void
counters_pass(struct counters *counters, int64_t us, int64_t cpu_us)
{
	counters->passes++;
	counters->passes_cpu_us += (uint64_t)MAX(cpu_us, (int64_t)0);
	counters->passes_us += (uint64_t)MAX(us, (int64_t)0);
}

const char *
probe_counter_name(enum probe_counter which)
{
	static const char *const names[PROBE_COUNTERS] = {
	    [PROBE_COUNTER_READINESS] = "readiness",
	    [PROBE_COUNTER_STARTUP] = "startup",
	    [PROBE_COUNTER_LIVENESS] = "liveness",
	    [PROBE_COUNTER_WATCHDOG] = "watchdog",
	};

	return names[which];
}

const char *
output_way_name(enum output_way way)
{
	static const char *const names[OUTPUT_WAYS] = {
	    [OUTPUT_WRITTEN] = "written",
	    [OUTPUT_DROPPED] = "dropped",
	    [OUTPUT_LIMITED] = "limited",
	    [OUTPUT_LOST] = "lost",
	};

	return names[way];
}
