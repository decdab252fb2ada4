/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_REFERENCE_REFERENCE_H
#define REEVE_WORKER_REFERENCE_REFERENCE_H

#include "base/base.h"
#include "base/err.h"
#include "probes/queue/queue.h"

/*
 * The reference worker: takes jobs from one queue and runs a command for each
 * (docs/reference-worker.md). One loop, in which only the clients' calls block,
 * each with a deadline well below the lease; a lease is extended from it at a
 * third of its length. Work is done at least once: a result counts only while
 * the claim still holds.
 */
struct reference_options {
	struct queue_spec queue;
	char *const *command; /* NULL-terminated; argv[0] found by PATH */
	unsigned concurrency; /* jobs at once */
	int64_t max_attempts;
	int64_t lease_ms;
	int64_t backoff_first_ms, backoff_cap_ms; /* between attempts */
	int64_t drain_ms;   /* after the first TERM, for the running jobs */
	int64_t job_max_ms; /* a job that runs longer has failed; 0: none */
	const char *health; /* "ADDRESS:PORT"; NULL: no server */
};

enum {
	REFERENCE_CONCURRENCY_MAX = 64,
	REFERENCE_LEASE_MIN_MS = 1000
};

/* Works until it is told to stop by SIGTERM or SIGINT. Returns an exit code;
 * for other than 0, `err` says why. */
int reference_run(const struct reference_options *options, struct err *err);

#endif
