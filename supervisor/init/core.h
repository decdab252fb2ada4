/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_CORE_H
#define REEVE_SUPERVISOR_INIT_CORE_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/secret.h"
#include "supervisor/init/children.h"
#include "supervisor/init/facts.h"
#include "supervisor/init/tally.h"
#include "supervisor/wire/messages.h"
#include "supervisor/wire/place.h"
#include "supervisor/wire/plan.h"
#include "worker/cgroup.h"

#include <signal.h>
#include <sys/types.h>

/*
 * What the init knows, in one struct, and who does what with it:
 *
 *     core.c     what it is at first, its signals, its loop
 *     table.c    memory: slots of instances and the rows beside them
 *     owners.c   process numbers -> owners
 *     change.c   the one function that changes an instance's state
 *     queue.c    who starts next
 *     start.c    pending -> starting -> running
 *     stop.c     asking an instance to end, escalating; the drain
 *     reap.c     who died, and what is left of its group
 *     outcome.c  what comes after: another start and when, or none
 *     limits.c   cgroups of instances: limits, whoever escaped, OOM kills
 *     order.c    who waits for whom, at the start and in the drain
 *     schedule.c workers that run by the calendar
 *     prober.c   readiness, liveness and startup probes; preStop hooks
 *     notify.c   what workers say of themselves; the watchdog
 *     apply.c    plans, and what should run
 *     peers.c    the sockets; orders.c what is asked there; snapshot.c
 *     journal.c  what happened, for an operator that was away
 *     operate.c  the operator's process; capture.c the logger's; answer.c
 *                that of the liveness port; watchman.c the guard's
 *     stray.c    pipes of processes before an instance's newest
 *     hang.c     a logger that hangs in a write; sink.c the files that may
 *     credit.c   what a freeze of the init does to all deadlines
 *     finish.c   the end: sweep, exit code, termination log
 *     recover.c  a fault in the init itself; resume.c the image after it;
 *                last.c after a second fault: everything ends in order
 *     upgrade.c  another build takes over; state.c what it finds
 *
 * Its parts are declared in facts.h (workers) and children.h (everything else);
 * what each file offers to the others in table.h, life.h, peers.h, beside.h and
 * finish.h.
 */
enum {
	CORE_WORKERS_DEFAULT = 10000,
	CORE_PLANS_MAX = 16,
	CORE_STARTS_MAX = 64, /* between clone and exec at once */
	CORE_YOUNG_MAX = 1,   /* of the second lane, only just started */
	CORE_CLIENTS_MAX = 16,
	CORE_REAP_BUDGET = 256, /* ends in a turn */
	/* ... of whoever it is: the others are of workers whose pidfd says so,
	 * of which a turn tells no more */
	CORE_REAP_SHARE = CORE_REAP_BUDGET - LOOP_BATCH,
	CORE_PIDFDS_MAX = 512, /* every clone copies them, every exec closes */
	CORE_MESSAGE_BUDGET = 64,
	CORE_EXEC_DEADLINE_MS = 5000,
	CORE_SAFETY_MS = 1000,
	ROOM_TEXT_SIZE = 160,
	CORE_JOURNAL = 512, /* events that are kept */
	CORE_STRAYS_MAX = 1024,
	CORE_NO_SLOT = -1,
	CORE_NO_RUN = -1,
};

struct kept; /* recover.h: the head of the state memfd */

struct core {
	TEST_LAYOUT
	struct kept *kept;
	uint64_t came; /* signals that were read and not handled yet, by bit */
	struct loop loop;
	struct loop_source signals, control;
	struct loop_source calendar; /* wall clock timer; fd -1: not needed */
	int null_fd, self_fd, state_fd;
	int kept_fd;  /* what the operator left for its successor; -1 */
	int tally_fd; /* of `tallies`, for the logger; -1 */
	int32_t pid;  /* our own */
	int64_t started_wall_ms;
	int64_t wall_ahead_ms; /* clock_wall_ahead() */
	uint64_t nofile_soft;  /* that we were started with */
	struct fingerprint_key key;
	unsigned reaped; /* in this turn */
	bool pid1, reap_again;
	bool no_pidfd; /* this kernel, or its seccomp filter, has none */
	bool led;      /* a pidfd leads to its process's group (Linux 6.9) */
	bool die_with_parent, allow_exec_changes, placed;
	bool ordered;     /* some worker depends on another */
	bool order_due;   /* something changed that somebody may wait for */
	uint8_t current;  /* the applied plan, if plans[current].bytes */
	bool limits_told; /* that declared limits don't hold */
	uint32_t max_workers;
	enum phase phase;

	struct tallies *tallies;
	struct instance *instances;
	struct past *pasts; /* rows of these by instance.rows */
	struct notice *notices;
	struct links *links;
	struct loop_source *pidfds; /* second witnesses of ends */
	struct loop_timer *timers;  /* of the states; see stop.c */
	struct wires *wires;
	struct run *runs, *spare_runs;
	struct start starts[CORE_STARTS_MAX];
	struct prober *probers;
	struct stray *strays;
	struct owner *owners, *owners_room; /* the first is in the second */
	uint32_t nstrays, nruns;
	uint32_t probers_max, probers_used;
	int32_t probers_free;
	uint32_t owners_mask, owners_used, owners_max;
	uint32_t slots_used; /* slots above were never used */
	int32_t free_first;  /* of those below, linked by next_queued */
	uint32_t witnesses;  /* pidfds in the wait set */
	uint32_t alive;      /* instances with a process */
	uint32_t hurried;    /* ... whose deadline kills (change.c) */
	uint32_t nallowed;
	struct lane_queue lanes[LANES]; /* waiting to start */
	struct young young[CORE_YOUNG_MAX];
	uint32_t passed;      /* starts while the second lane waited */
	int32_t ending_first; /* main process gone, group not */
	uint8_t *allowed;     /* exec allow-list: digests of its rows */
	struct loop_timer ending_timer, safety_timer, young_timer;
	int64_t ending_poll_ms;
	uint64_t orphans_reaped;
	char room[ROOM_TEXT_SIZE]; /* why no process could be made; "" */
	int64_t room_ms;           /* when that was looked at */
	struct cgroup_tree cgroup;

	struct plan plans[CORE_PLANS_MAX];
	uint32_t plan_users[CORE_PLANS_MAX];
	uint64_t plan_number;
	struct plan_settings settings; /* name: kept below */
	char name[64];

	struct loop_timer phase_timer;
	int64_t swept;     /* within a phase of the end: how far */
	int64_t budget_ms; /* $REEVE_GRACE or --grace; -1 */
	int64_t drain_started_ms, drain_deadline_ms;
	int64_t chain_ms; /* the longest row of graces, one after another */
	uint32_t chain_steps;
	uint32_t terms; /* signals that asked for an end */
	int exit_code;  /* -1: not decided */
	int first_code, worst_code;
	char end_reason[128];

	char cwd[4096]; /* that we were started in; the operator's */
	struct place_socket place;
	struct outputs outputs;
	struct operate operate;
	struct logger logger;
	struct sink sinks[2]; /* stdout, stderr */
	struct loop_timer sink_timer;
	struct notify notify;
	struct answer answer;
	struct upgrade upgrade;
	struct guard guard;
	struct peer clients[CORE_CLIENTS_MAX];
	const char *const *environment;
	uint64_t snapshots;
	struct wire_event *journal; /* the last CORE_JOURNAL, by number */
	uint64_t journalled;        /* number of the last one */
};

/* --- core.c --- */

/* What a zeroed struct isn't yet; core_start, or resume.c, comes next. */
void core_reset(struct core *core, uint32_t max_workers);
/* Everything that a first start needs: memory, descriptors, signals. */
int core_start(struct core *core, struct err *err) MUST_CHECK;
int core_watch_signals(struct core *core, struct err *err) MUST_CHECK;
/* A freeze is credited from now on. */
void core_mind_stalls(struct core *core);
/* Until the last group is empty; from here on nothing ends the process but the
 * drain. Returns the exit code. */
int core_run(struct core *core);

#endif
