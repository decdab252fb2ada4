/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ALERTS_H
#define REEVE_SUPERVISOR_OPERATOR_ALERTS_H

#include "base/base.h"
#include "base/finding.h"
#include "base/jsonw.h"
#include "base/loop.h"
#include "manifests/declared.h"
#include "supervisor/operator/helper.h"
#include "supervisor/operator/silences.h"

/*
 * Somebody is told. What is wrong is given as a set of conditions at each pass;
 * here it is found out what of it is new, still there, or over, and every
 * receiver gets these in order: each event stays in the spool until the
 * receiver has taken it. With a directory the spool outlives the operator; an
 * event's file is written before anything else is done about it, so nothing is
 * lost when we are killed, and what had been raised isn't raised again.
 *
 *     alerts.c        what is new, still there, or over
 *     alert_cause.c   what another one explains: listed, not sent
 *     silences.c      what nobody wants to hear of for a while
 *     alert_events.c  what is said of it, and for whom that is
 *     receivers.c     brings it there in order, and again until it is taken
 *     receivers_declared.c  whom the manifest names
 *     spool.c         on disk until then
 *     sending.c       what is on its way there, also when we die meanwhile
 *     deliver.c       the child that takes it there
 */
struct alert_condition {
	const char *key;  /* identity: "drift:fileprocess:env:QUEUE_NAME" */
	const char *kind; /* "drift", "not-ready", … */
	/* A key keeps the one that it was raised with until it is over: who
	 * was told of it must hear of its end under the same labels. */
	enum severity severity;
	const char *subject; /* "worker fileprocess" */
	const char *summary;
	const char *evidence; /* never a secret; "" none */
	/* after a restart of the operator it isn't over before this long */
	int64_t hold_ms;
	int64_t for_ms; /* it must last so long first; a rule overrides it */
	/* The rest may be NULL. What it is about, for alert_cause.c: */
	const char *worker;
	const char *queues;  /* names, a space between them */
	const char *finding; /* what `check` calls it: "RV506" */
	const char *fix;     /* a command that mends it, or looks closer */
};

struct alert;       /* one that is known */
struct alert_event; /* one that waits to be delivered */
struct alerts;

/* An alert was raised or is over; `state` as in reeve.alert/1, or "silenced"
 * for one that is raised and told to nobody. */
typedef void alert_told_fn(
    void *arg, const struct alert *alert, const char *state);
/* A silence is over, by itself. */
typedef void alert_silence_fn(void *arg, const struct silence *silence);
/* A receiver doesn't take alerts (`why`), or does so again (NULL). */
typedef void alert_receiver_fn(void *arg, const char *name, const char *why);

enum {
	ALERT_RECEIVERS_MAX = 16,
	ALERT_EVENTS_MAX = 10000,
	ALERT_COMMAND_MAX = 32,
	ALERT_BATCH_MAX = 32, /* events in one message */
	ALERT_WHY_SIZE = 160,
};

struct alert_receiver {
	bool used;
	char *name, *kind, *url, *secret, *format;
	char *command[ALERT_COMMAND_MAX + 1];
	int64_t repeat_ms; /* 0: never */
	int64_t group_wait_ms;
	bool by_subject;
	enum severity min_severity;
	struct helper helper;
	struct loop_timer retry;
	bool only_aside; /* `retry` is for what was set aside: others may go */
	uint64_t sending[ALERT_BATCH_MAX]; /* numbers of what is under way */
	size_t nsending;
	/* nothing is under way, but it isn't known whether it has `sending`:
	 * the next message is the same one again */
	bool unsure;
	unsigned singly; /* so many go alone: one of them was refused */
	unsigned attempts;
	int64_t failing_since_wall_ms; /* 0: it takes what it gets */
	char why[ALERT_WHY_SIZE];      /* not, the last time; "": it does */
	char test_why[ALERT_WHY_SIZE]; /* why it didn't take the test */
	struct alerts *alerts;
};

struct alerts {
	struct loop *loop;
	char *system;
	char *dir; /* NULL: memory only */
	/* With the numbers, what makes ids unique: a container's state
	 * directory may be empty again while receivers remember. */
	char nonce[9];
	struct alert *known;
	struct alert_event *events; /* oldest first */
	size_t nevents;
	uint64_t next; /* number of the next event */
	uint64_t dropped;
	int64_t restored_ms; /* monotonic: when the spool was read */
	int64_t wake_ms;     /* when the last pass wants another */
	bool changed;        /* since the checkpoint */
	/* why what waits can't be written at the moment: it is in memory only;
	 * "" it is on disk, or there is no directory */
	char trouble[ALERT_WHY_SIZE];
	alert_told_fn *told; /* may be NULL, as the next */
	alert_receiver_fn *receiver_told;
	alert_silence_fn *silence_over;
	void *told_arg;
	struct declared_alert_rule *rules; /* copies */
	size_t nrules;
	struct silences silences;
	struct alert_receiver receivers[ALERT_RECEIVERS_MAX];
};

/* `dir` NULL or not writable: memory only (logged). Reads what is there. */
void alerts_init(struct alerts *alerts, struct loop *loop, const char *system,
    const char *dir);
void alerts_fini(struct alerts *alerts);
/* The rules of the manifest; copies. */
void alerts_rules(struct alerts *alerts,
    const struct declared_alert_rule *rules, size_t count);
/* All that is wrong now. */
void alerts_judge(struct alerts *alerts,
    const struct alert_condition *conditions, size_t count);
/* Elements of the array `alerts` of reeve.status/1. */
void alerts_write(const struct alerts *alerts, struct jsonw *json);
/* `by`: who asks. `ret_id` is what alerts_unsilence takes, `ret_count` how many
 * alerts that are known it fits. */
int alerts_silence(struct alerts *alerts, const struct silence *wanted,
    int64_t for_ms, int64_t *ret_id, size_t *ret_count,
    struct err *err) MUST_CHECK;
bool alerts_unsilence(struct alerts *alerts, int64_t id);
/* Elements of the array `silences` of reeve.status/1. */
void alerts_write_silences(const struct alerts *alerts, struct jsonw *json);
/* When alerts_judge wants to be called again; CLOCK_NEVER. */
int64_t alerts_wake_ms(const struct alerts *alerts);

/* --- receivers_declared.c --- */
/* The receivers of the manifest; copies. None: stderr. What waits for one that
 * is no longer declared is dropped. */
void alerts_receivers(
    struct alerts *alerts, const struct declared_alert *declared, size_t count);

/* --- receivers.c --- */
/* Elements of the array `receivers` of reeve.status/1. */
void alerts_write_receivers(const struct alerts *alerts, struct jsonw *json);
/* Sends a marked alert, raised and resolved, to one receiver (NULL: to all)
 * and tries at once. Returns to how many; alerts_write_receivers says of each
 * how it went. */
size_t alerts_test(struct alerts *alerts, const char *name);
/* Whether a receiver still has to answer to it. */
bool alerts_testing(const struct alerts *alerts);

#endif
