/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ALERTS_H
#define REEVE_SUPERVISOR_OPERATOR_ALERTS_H

#include "base/base.h"
#include "base/finding.h"
#include "base/jsonw.h"
#include "base/loop.h"
#include "manifests/declared.h"
#include "supervisor/operator/helper.h"

/*
 * Somebody is told. What is wrong is given as a set of conditions at each pass;
 * here it is found out what of it is new, still there, or over, and every
 * receiver gets these in order: each event stays in the spool until the
 * receiver has taken it. With a directory the spool outlives the operator; an
 * event's file is written before anything else is done about it, so nothing is
 * lost when we are killed, and what had been raised isn't raised again.
 */
struct alert_condition {
	const char *key;  /* identity: "drift:fileprocess:env:QUEUE_NAME" */
	const char *kind; /* "drift", "not-ready", … */
	enum severity severity;
	const char *subject; /* "worker fileprocess" */
	const char *summary;
	const char *evidence; /* never a secret; "" none */
	/* after a restart of the operator it isn't over before this long */
	int64_t hold_ms;
};

struct alert;       /* one that is raised */
struct alert_event; /* one that waits to be delivered */

/* An alert was raised or is over; `state` as in reeve.alert/1. */
typedef void alert_told_fn(
    void *arg, const struct alert *alert, const char *state);

enum {
	ALERT_RECEIVERS_MAX = 16,
	ALERT_EVENTS_MAX = 10000,
	ALERT_COMMAND_MAX = 32,
};

struct alert_receiver {
	bool used;
	char *name, *kind, *url, *format;
	char *command[ALERT_COMMAND_MAX + 1];
	int64_t repeat_ms; /* 0: never */
	struct helper helper;
	struct loop_timer retry;
	uint64_t sending; /* number of the event under way; 0 none */
	unsigned attempts;
	struct alerts *alerts;
};

struct alerts {
	struct loop *loop;
	char *system;
	char *dir; /* NULL: memory only */
	struct alert *raised;
	struct alert_event *events; /* oldest first */
	size_t nevents;
	uint64_t next; /* number of the next event */
	uint64_t dropped;
	int64_t restored_ms; /* monotonic: when the spool was read */
	alert_told_fn *told; /* may be NULL */
	void *told_arg;
	struct alert_receiver receivers[ALERT_RECEIVERS_MAX];
};

/* `dir` NULL or not writable: memory only (logged). Reads what is there. */
void alerts_init(struct alerts *alerts, struct loop *loop, const char *system,
    const char *dir);
void alerts_fini(struct alerts *alerts);
/* The receivers of the manifest; copies. None: stderr. What waits for one that
 * is no longer declared is dropped. */
void alerts_receivers(
    struct alerts *alerts, const struct declared_alert *declared, size_t count);
/* All that is wrong now. */
void alerts_judge(struct alerts *alerts,
    const struct alert_condition *conditions, size_t count);
/* Elements of the array `alerts` of reeve.status/1. */
void alerts_write(const struct alerts *alerts, struct jsonw *json);
/* When alerts_judge wants to be called again for a repeat; CLOCK_NEVER. */
int64_t alerts_wake_ms(const struct alerts *alerts);

#endif
