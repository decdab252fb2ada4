/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_GATE_H
#define REEVE_CHECKS_GATE_H

#include "base/base.h"
#include "base/err.h"
#include "checks/report.h"
#include "checks/smoke.h"
#include "manifests/declared.h"
#include "probes/observed.h"

/*
 * The deployment gate: wait for the rollout (a new manifest, a rolling restart,
 * a scale-up), look at everything, judge, send
 * the canaries, let it settle, look once more. A canary is not sent into a
 * system that failed before it: it would only be left behind there; nor into
 * one in which what runs is still being replaced when the time for that is up.
 */
struct gate_options {
	struct smoke_options smoke; /* with the options of gathering */
	int64_t rollout_ms;         /* for all workers to become ready */
	int64_t settle_ms; /* after the last canary, before the last look */
	/* "rollout", "check", "smoke", "settle"; may be NULL */
	void (*phase)(void *arg, const char *phase);
	/* what is waited for, again and again: "worker a: 1 of 2 are ready";
	 * may be NULL */
	void (*waits)(void *arg, const char *what);
	void *arg;
};

/* Adds its findings to `report` (not concluded yet). -1 only for trouble of
 * our own. */
int gate_run(const struct declared *declared,
    const struct gate_options *options, struct observed *observed,
    struct report *report, struct err *err) MUST_CHECK;

#endif
