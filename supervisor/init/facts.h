/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_FACTS_H
#define REEVE_SUPERVISOR_INIT_FACTS_H

#include "base/base.h"
#include "base/loop.h"
#include "worker/backoff.h"
#include "worker/exit.h"
#include "worker/limit.h"
#include "worker/notify.h"

/*
 * What is known of workers and of their instances. Facts about instances lie in
 * one flat table without pointers, in a memfd, so that they outlive this image.
 * Wires (sources, timers, descriptors) lie beside it with the same index; the
 * next image takes only descriptors and counts from those.
 */

/* A build whose structs lie otherwise: what an upgrade is tested with. */
#ifdef REEVE_TEST_LAYOUT
#define TEST_LAYOUT uint64_t elsewhere[3];
#else
#define TEST_LAYOUT
#endif

/* Tables beside that of instances, whose rows only some need: no page of a row
 * that isn't in use is touched, not even to be read. */
enum instance_row {
	ROW_PAST = 1 << 0,
	ROW_NOTICE = 1 << 1,
	ROW_LINKS = 1 << 2,
	ROW_PIDFD = 1 << 3,
	ROW_TIMER = 1 << 4,
};

/* Facts; no pointers. A zeroed one is a free slot. */
struct instance {
	TEST_LAYOUT
	uint8_t state;       /* enum instance_state; written by change.c only */
	uint8_t why;         /* enum instance_why */
	uint8_t plan;        /* which of core.plans it belongs to */
	uint8_t last_signal; /* that we sent it, or 0 */
	uint8_t group_told;  /* its group was sent TERM in this stop */
	uint8_t cloning;     /* it may have a process that isn't noted yet */
	uint8_t ended_as;  /* enum exit_class that its next start comes after */
	uint8_t has_turn;  /* next_start_ms is its turn in run.limit */
	uint8_t wait_told; /* what it waits for was logged */
	uint8_t in_cgroup; /* it has a cgroup of its own */
	uint8_t said_ready; /* by notify, since it was cloned */
	uint8_t extended;   /* it asked for more time to end, and got it */
	uint8_t rows;       /* enum instance_row: those that are in use */
	uint16_t worker;    /* index in that plan */
	uint16_t replica;
	int32_t run;  /* index in core.runs, or CORE_NO_RUN: removed */
	int32_t pid;  /* of the main process until it is reaped, else 0 */
	int32_t pgid; /* until the group is empty, else 0 */
	int32_t next_in_run; /* list of a run's instances */
	int32_t next_queued; /* list of those that wait to start, or to end */
	int64_t active_ms;   /* the first start of past.failures; 0: none */
	int64_t started_ms, ready_ms; /* monotonic; 0: not */
	uint64_t generation, plan_number;
	uint8_t config_digest[16];
};

/* More facts: of who has ended once, is asked to, or is watched. */
struct past {
	uint32_t restarts, total_exits;
	/* both as they were at the start: counted from there, an end that is
	 * noted twice (a fault between) counts once */
	uint32_t restarts_before, exits_before;
	uint32_t restarted[CLASS_COUNT]; /* starts, by what they came after */
	uint32_t failures; /* in a row, since a start that was ordered */
	int64_t well_ms;   /* the longest that this process was ready on end */
	int64_t next_start_ms;
	int64_t kill_at_ms;     /* while stopping */
	int64_t watchdog_at_ms; /* 0: not watched */
	struct backoff backoff;
	struct worker_exit last_exit;
	uint32_t oom_kills; /* in its cgroups, over all starts */
	int64_t last_exit_wall_ms, last_ran_ms;
};

/* What it last said over NOTIFY_SOCKET. */
struct notice {
	char status[NOTIFY_STATUS_SIZE];
	uint8_t untold; /* to the peers */
	uint8_t warned; /* that something is refused */
	uint8_t padding[6];
};

/* What belongs to this image only. */
struct wires {
	TEST_LAYOUT
	int16_t start; /* index in core.starts, or -1 */
	bool queued;
	uint8_t lane; /* enum lane: of its last start */
};

/* What leads to others: of who is captured, probed, or has a descriptor of
 * readiness. */
struct links {
	struct loop_source newline; /* read end of that descriptor */
	uint32_t newline_bytes;     /* that came before the newline */
	int out[2];                 /* read ends of stdout and stderr; -1 */
	int log_pid;                /* the process that they were made for */
	bool attached[2];
	uint64_t logs_sum;  /* of the settings that the logger was told */
	int32_t probers[4]; /* index in core.probers + 1, or 0 */
};

/* Between clone and the news of exec. */
struct start {
	struct loop_source report;
	struct loop_timer deadline;
	int32_t slot; /* CORE_NO_SLOT: free */
	bool failed;  /* `exit` says where */
	struct worker_exit exit;
};

/* Those that wait to start (queue.c), linked by next_queued. */
enum lane {
	LANE_FIRST,
	LANE_QUICK, /* ended by itself soon after its last start */
	LANES
};

struct lane_queue {
	int32_t first, last;
};

/* Of the second lane, and only just started. */
struct young {
	int32_t slot, pid;
	int64_t until_ms;
};

/* A worker of the current plan at run time. */
struct run {
	TEST_LAYOUT
	int32_t first; /* of its instances, or CORE_NO_SLOT */
	uint32_t desired;
	bool held;          /* stopped by order */
	struct limit limit; /* of restarts, over all of its replicas */
	/* order.c: counted when something changed */
	bool needed; /* in a drain: who depends on it is still there */
	uint32_t alive, started, ready, completed;
	int64_t after_ms; /* what its dependencies may need after it */
	/* schedule.c: of one that runs by the calendar */
	uint32_t missed;
	int32_t making; /* the place of a run in the making; 0: none */
	int64_t due_s;  /* next, unix time; 0: it isn't scheduled */
	int64_t done_s; /* the last time that it was due; 0: never */
	int64_t last_run_ms, last_success_ms; /* wall time; 0: never */
	int64_t last_failure_ms;              /* that was given up */
	uint8_t schedule[16];                 /* fingerprint of the rule */
};

enum prober_kind {
	PROBER_READINESS,
	PROBER_LIVENESS,
	PROBER_STARTUP,
	PROBER_PRE_STOP, /* not a probe: the hook before the drain signal */
	PROBER_KINDS
};

struct prober {
	TEST_LAYOUT
	int32_t slot;  /* of its instance; CORE_NO_SLOT: free */
	uint8_t kind;  /* enum prober_kind */
	bool killed;   /* its deadline passed */
	bool orphaned; /* its instance ended: only reaped */
	int32_t pid;   /* 0: none runs */
	int report_fd, text_fd;
	uint32_t successes, failures; /* in a row */
	int64_t began_ms;
	struct loop_timer timer;
	int32_t next_free;
	char text[128]; /* of the last failure */
};

#endif
