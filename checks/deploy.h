/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_DEPLOY_H
#define REEVE_CHECKS_DEPLOY_H

#include "checks/engine.h"

/* A declared worker beside what runs of it. */
struct worker_look {
	const struct declared_worker *worker;
	/* NULL: no supervisor, or it doesn't know this worker */
	const struct observed_worker *supervised;
	size_t processes; /* that look like it, supervised or not */
	size_t running;   /* instances with a process */
	size_t ready;
	int64_t restarts; /* of all instances */
	bool waits;       /* for a worker that it depends on */
};

typedef void worker_fn(struct check *check, const struct worker_look *look);
/* Every declared worker that should run: not those with 0 replicas. */
void workers_each(struct check *check, worker_fn *judge);
/* What the supervisor says of each instance, as evidence. */
void say_instances(struct check *check, struct report_finding *finding,
    const struct worker_look *look);
/* What the supervisor says a difference consists of. */
const char *drift_evidence(const struct observed_drift *drift);
/* Has it ended, and need not run again? (`Never`, `OnFailure`) */
bool worker_is_finished(const struct worker_look *look);
/* ... and not well? `ret_last`: how. */
bool worker_gave_up(const struct worker_look *look, const char **ret_last);
/* Judges one that waits for others; false: it doesn't. */
bool worker_waits(struct check *check, struct report_finding *finding,
    const struct worker_look *look);

#endif
