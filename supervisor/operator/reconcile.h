/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_RECONCILE_H
#define REEVE_SUPERVISOR_OPERATOR_RECONCILE_H

#include "base/base.h"

/*
 * What to do next, as a pure function of what is declared, what was observed
 * and what was learnt (the memory), at a moment: no clock, no I/O, no
 * allocation. Level-triggered: it looks at how things stand, never at what
 * changed, so a lost event or a restarted operator costs nothing but time; and
 * asked twice about the same facts it answers the same.
 *
 * The init keeps the number of replicas and restarts what crashed by itself.
 * What is decided here is only which configuration it shall have (the plan),
 * which instance may be replaced next, and when a new configuration has failed
 * and the last good one comes back.
 */
enum reconcile_state {
	RECONCILE_DOWN = 0, /* no process, and none is waited for */
	RECONCILE_WAITING,  /* no process, a start is due (backoff) */
	RECONCILE_STARTING,
	RECONCILE_UP,
	RECONCILE_DRAINING,
	RECONCILE_HELD,     /* stopped on order: stays so */
	RECONCILE_FINISHED, /* ended by itself and need not run again */
};

enum {
	RECONCILE_DIGEST = 16
};

struct reconcile_instance {
	uint32_t index;
	enum reconcile_state state;
	bool ready;
	int64_t since_ms; /* monotonic: of the present state and readiness */
	uint64_t generation;
	uint8_t digest[RECONCILE_DIGEST]; /* started (last) with this one */
	uint32_t failures; /* starts in a row that came to nothing */
	/* it differs from what is declared, and the policy says restart */
	bool repair;
};

/* What is known about one worker from one pass to the next. Zeroed: nothing. */
struct reconcile_memory {
	uint8_t good[RECONCILE_DIGEST]; /* all replicas were ready with it */
	bool has_good;
	/* it failed; held down for as long as it is what is declared */
	uint8_t bad[RECONCILE_DIGEST];
	bool has_bad;
	bool failed; /* the applied one failed, nothing to go back to */
	/* the configuration on trial: applied, not known to be good */
	uint8_t trial[RECONCILE_DIGEST];
	bool on_trial;
	int64_t progress_ms; /* when the trial last got further */
	uint32_t best;       /* the most that were available with it */
	/* a roll that waits for an instance to become available, since when */
	bool waits;
	int64_t waits_since_ms;
};

struct reconcile_worker {
	const char *name;
	uint32_t replicas;
	uint32_t max_unavailable; /* 0 counts as 1 */
	uint8_t declared[RECONCILE_DIGEST];
	uint8_t applied[RECONCILE_DIGEST]; /* of the plan that the init has */
	uint64_t generation;               /* of the plan that the init has */
	bool known;                        /* that plan has this worker */
	int64_t budget_ms; /* a new instance is to be ready within this */
	int64_t settle_ms; /* ready counts once it has lasted this long */
	const struct reconcile_instance *instances;
	size_t ninstances;
	struct reconcile_memory *memory; /* read and advanced */
};

struct reconcile_input {
	struct reconcile_worker *workers;
	size_t nworkers;
	bool plan_current; /* the init has the plan that it should have */
	bool plan_pending; /* one is on its way to the init */
	int64_t now_ms;    /* monotonic */
};

enum action_kind {
	ACTION_NONE = 0,
	ACTION_PLAN,     /* make the plan from the memory's choices, send it */
	ACTION_RESTART,  /* drain and start again instance `index` */
	ACTION_ROLLBACK, /* the trial failed: the good configuration again */
	ACTION_GOOD,     /* the applied configuration is the good one now */
};
struct action {
	size_t worker; /* index into the input */
	enum action_kind kind;
	uint32_t index;
};

/* Writes at most `max` actions, in the order in which they are to be done, and
 * returns how many; what didn't fit comes with the next pass. `ret_wake_ms` is
 * when to look again if nothing happens (CLOCK_NEVER: no need). */
size_t reconcile(const struct reconcile_input *input, struct action *actions,
    size_t max, int64_t *ret_wake_ms);

/* How far a worker is on its way to what it should be; all 0: it is there, or
 * more waiting won't help. */
struct reconcile_standing {
	uint32_t replicas; /* that ought to work */
	uint32_t stale;    /* of them, still to be replaced */
	uint32_t coming; /* with a configuration on trial, not available yet */
};
struct reconcile_standing reconcile_standing(
    const struct reconcile_worker *worker, int64_t now_ms);

/* `maxUnavailable` of so many replicas: as it is, or that percentage of them,
 * rounded down, as Kubernetes does; at least 1. */
uint32_t reconcile_portion(int64_t amount, bool percent, uint32_t replicas);

/* Whether the declared configuration is held down: the plan is to carry the
 * good one instead. */
bool reconcile_held(const struct reconcile_memory *memory,
    const uint8_t declared[RECONCILE_DIGEST]);

/* Whether an instance does what it is there for: up, ready, and settled. */
bool reconcile_available(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance, int64_t now_ms);
/* Whether an instance is to be replaced. */
bool reconcile_stale(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance);

#endif
