/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SPECS_H
#define REEVE_SUPERVISOR_OPERATOR_SPECS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "manifests/declared.h"
#include "supervisor/wire/plan.h"
#include "worker/spec.h"

/*
 * What was declared, as what the init can execute: names looked up, paths made
 * absolute, environments written out, and each worker's configuration given
 * its identity. Nothing of it is decided here but how a word becomes a number.
 */
struct specs {
	struct worker_spec *specs; /* in the order of the manifest */
	size_t count;
	struct plan_settings settings;
};

/* All memory is `arena`'s and what `declared` owns: both must live as long.
 * A command that is nowhere to be found gets the path at which it would be
 * looked for first: the init reports the failed start. */
int specs_make(const struct declared *declared,
    const struct fingerprint_key *key, struct arena *arena, struct specs *ret,
    struct err *err) MUST_CHECK;

/* The identity of a worker's configuration: arguments, environment, directory,
 * ids and limits, but neither replicas nor probes. The order of the
 * environment doesn't count. */
void specs_digest(const struct fingerprint_key *key,
    const struct worker_spec *spec, struct arena *arena, uint8_t ret[16]);

/* A copy that borrows nothing from `spec`. */
struct worker_spec specs_copy(
    struct arena *arena, const struct worker_spec *spec);

/* How long a new instance may take until it is ready: what its startup and
 * readiness probes allow, at least 10 s; 30 s without probes. */
int64_t specs_budget_ms(const struct worker_spec *spec);
/* How long it must have been ready to count: without a readiness probe, ready
 * only means that it was started. */
int64_t specs_settle_ms(const struct worker_spec *spec);

/* The value of NAME in a "NAME=value" list, or NULL. */
const char *specs_env(const char *const *envp, const char *name);

/* The first variable of a worker that has no value, or NULL. */
const struct declared_env *specs_gap(const struct declared_worker *worker);

#endif
