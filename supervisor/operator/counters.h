/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_COUNTERS_H
#define REEVE_SUPERVISOR_OPERATOR_COUNTERS_H

#include "base/base.h"
#include "supervisor/wire/messages.h"

/*
 * What only ever goes up, for /metrics. The init counts by instance, and an
 * instance that is scaled away takes its counts with it; a worker's counter may
 * not fall for that. So the steps are added here. A new operator begins with
 * what the init says of the instances that are there.
 */
enum probe_counter {
	PROBE_COUNTER_READINESS,
	PROBE_COUNTER_STARTUP,
	PROBE_COUNTER_LIVENESS,
	PROBE_COUNTER_WATCHDOG,
	PROBE_COUNTERS
};

enum output_way {
	OUTPUT_WRITTEN,
	OUTPUT_DROPPED,
	OUTPUT_LIMITED,
	OUTPUT_LOST,
	OUTPUT_WAYS
};

/* Of an instance as it was last told, or of a worker in all. */
struct instance_counters {
	uint64_t restarts[CLASS_COUNT];
	uint64_t oom_kills;
	struct wire_count output[OUTPUT_WAYS];
};

struct worker_counters {
	char name[WORKER_NAME_MAX + 1];
	struct instance_counters total;
	bool captured; /* its output was ever read */
	uint64_t exits[CLASS_COUNT];
	/* times that a probe had failed as often as it may */
	uint64_t probes[PROBE_COUNTERS];
	struct instance_counters *seen; /* by replica */
	size_t nseen;
};

struct alert_counter {
	char kind[32];
	uint64_t raised;
};

enum {
	ALERT_KINDS_MAX = 32
};

struct counters {
	struct worker_counters *workers;
	size_t count, room, hint;
	uint64_t last_event; /* those up to it were counted, or are too old */
	struct alert_counter alerts[ALERT_KINDS_MAX];
	uint64_t passes, passes_us, passes_cpu_us;
};

void counters_fini(struct counters *counters);
void counters_instance(
    struct counters *counters, const struct wire_instance *wire);
void counters_event(struct counters *counters, const struct wire_event *wire);
void counters_alert(struct counters *counters, const char *kind);
/* How long a pass took, and the processor's time of it. */
void counters_pass(struct counters *counters, int64_t us, int64_t cpu_us);
/* NULL: nothing was told of it. */
const struct worker_counters *counters_find(
    struct counters *counters, const char *name);
/* Forgets the worker. */
void counters_forget(struct counters *counters, const char *name);

const char *probe_counter_name(enum probe_counter which);
const char *output_way_name(enum output_way way);

#endif
