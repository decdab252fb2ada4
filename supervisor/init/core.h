/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_CORE_H
#define REEVE_SUPERVISOR_INIT_CORE_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/secret.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/tally.h"
#include "supervisor/wire/messages.h"
#include "supervisor/wire/place.h"
#include "supervisor/wire/plan.h"
#include "worker/backoff.h"
#include "worker/cgroup.h"
#include "worker/exit.h"
#include "worker/limit.h"
#include "worker/notify.h"
#include "worker/spawn.h"

#include <signal.h>
#include <sys/types.h>

/*
 * What the init knows, in one struct, and who does what with it:
 *
 *     table.c    memory: slots of instances, process numbers -> owners
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
 *     recover.c  a fault in the init itself; resume.c the image after it
 *     upgrade.c  another build takes over; state.c what it finds
 *
 * Facts about instances lie in one flat table without pointers, in a memfd, so
 * that they outlive this image. Wires (sources, timers, descriptors) lie
 * beside it with the same index; the next image takes only descriptors and
 * counts from those.
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

/* A build whose structs lie otherwise: what an upgrade is tested with. */
#ifdef REEVE_TEST_LAYOUT
#define TEST_LAYOUT uint64_t elsewhere[3];
#else
#define TEST_LAYOUT
#endif

/* --- instances --- */

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

/* --- processes --- */

enum owner_kind {
	OWNER_NONE = 0,
	OWNER_INSTANCE,
	OWNER_PROBER,
	OWNER_OPERATOR,
	OWNER_LOGGER,
	OWNER_ANSWER,
	OWNER_UPGRADE,
	OWNER_GUARD,
	OWNER_SINK,
};

struct owner {
	int32_t pid;
	uint32_t kind : 4; /* enum owner_kind */
	uint32_t index : 28;
};

struct peer {
	struct loop_source source; /* fd -1: free */
	bool is_operator;
	bool watching;
	bool dirty;        /* something was not sent: a snapshot is due */
	bool wants_out;    /* EPOLLOUT is asked for */
	bool full_control; /* root or our uid */
	uint8_t snapshot_part;
	int32_t snapshot_at;
	uint64_t snapshot_number; /* 0: none under way */
	uint64_t journal_at;      /* the next event for it; 0: wants none */
};

struct operate {
	int exec_fd; /* O_PATH of reeve-tool, or -1: no operator */
	int argc;
	const char *argv[64];
	const char *const *environment;
	int32_t pid;
	int report_fd;
	bool replaced; /* its wire was closed: another one comes at once */
	/* the session of one that ended, while any of it is left; 0: none */
	pid_t left_session;
	enum wire_operator state;
	uint32_t restarts;
	int64_t started_ms, heard_ms;
	struct loop_timer timer; /* restart, or next ping */
	struct peer peer;
	struct backoff backoff;
	char text[128];
};

/* stray.c: a pipe that the newest process of its instance doesn't have. */
struct stray {
	int fd; /* read end */
	uint8_t attached;
	struct logger_message who;
};

/* sink.c: our stdout or stderr while a child of ours has its file. */
struct sink {
	int32_t pid; /* of the writer; 0: none */
	int file_fd; /* -1: whoever has the descriptor writes it */
	int pipe_fd; /* the read end of what took its place */
	bool mends;  /* half a line may be at the end of the file */
	int64_t started_ms;
	struct backoff backoff;
};

/* Of stdout and stderr. */
struct outputs {
	bool file[2]; /* a regular file, which the logger writes itself */
	bool one;     /* both are the same file */
};

struct logger {
	int32_t pid;
	int listen_fd; /* of `reeve logs`, handed to it */
	struct loop_source socket;
	struct loop_timer timer;
	struct loop_source beat; /* hang.c; -1: it writes to no file */
	struct backoff backoff;
	int64_t started_ms;
	uint32_t writes;   /* tallies.writes at the last look, if `looked` */
	uint32_t protocol; /* LOGGER_MAGIC of the image that started it */
	int32_t attach_at; /* next slot to look at; CORE_NO_SLOT: none */
	bool wanted;       /* the plan asks for it, and it can be had */
	bool closing;      /* told to end */
	bool looked;       /* and it was within a write */
	bool killed;       /* for hanging */
	bool hang_told;
	bool json;    /* its own lines: as it was started */
	bool counted; /* there has been one: its memory is in use */
};

struct notify {
	struct loop_source socket; /* -1: no worker has a notify yet */
	struct loop_timer timer;   /* the peers are told of statuses */
	uint64_t dropped;          /* datagrams of nobody that may speak */
	uint64_t gone;             /* ... among them, of who had ended before */
};

/* The process that answers liveness probes over HTTP. */
struct answer {
	int32_t pid;
	int listen_fd;
	uint32_t port; /* 0: none asked for */
	uint32_t padding;
	int64_t started_ms;
	struct loop_timer timer;
	struct backoff backoff;
};

/* Another build of reeve that is to take over (upgrade.c). */
struct upgrade {
	int32_t pid;    /* of the child that asks it what it can; 0: none */
	int exec_fd;    /* the program, or -1 */
	int report_fd;  /* of the exec; -1 */
	int said_fd;    /* what it says of itself; -1 */
	int32_t client; /* in core.clients, that wants to know; -1 */
	uint32_t sequence;
	bool late;  /* it didn't answer in time */
	bool ready; /* it can: executed when this turn is over */
	struct loop_timer timer;
	char version[32];
};

/* guard.h: who ends what is left when the init is killed (not PID 1). */
struct guard {
	int32_t pid;
	bool waits; /* for that of the init before: nothing is started yet */
	int64_t started_ms;
	struct loop_timer timer;
	struct backoff backoff;
};

enum phase {
	PHASE_RUN = 0,
	PHASE_DRAIN,    /* workers end */
	PHASE_OPERATOR, /* the operator ends */
	PHASE_SWEEP,    /* adopted and escaped processes end */
	PHASE_LOGGER,   /* the logger writes out what is left */
	PHASE_DONE,
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
	int kept_fd; /* what the operator left for its successor; -1 */
	int32_t pid; /* our own */
	int64_t started_wall_ms;
	uint64_t nofile_soft; /* that we were started with */
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

	int tally_fd; /* of `tallies`, for the logger; -1 */
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
	uint32_t nstrays;
	struct owner *owners, *owners_room; /* the first is in the second */
	uint32_t nruns;
	uint32_t probers_max, probers_used;
	int32_t probers_free;
	uint32_t owners_mask, owners_used, owners_max;
	uint32_t slots_used; /* slots above were never used */
	int32_t free_first;  /* of those below, linked by next_queued */
	uint32_t witnesses;  /* pidfds in the wait set */
	uint32_t alive;      /* instances with a process */
	uint32_t hurried;    /* ... whose deadline kills (change.c) */
	struct lane_queue lanes[LANES]; /* waiting to start */
	struct young young[CORE_YOUNG_MAX];
	uint32_t passed;      /* starts while the second lane waited */
	int32_t ending_first; /* main process gone, group not */
	uint32_t nallowed;
	uint8_t *allowed; /* exec allow-list: digests of its rows */
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
	uint32_t chain_steps;
	int64_t chain_ms; /* the longest row of graces, one after another */
	enum phase phase;
	uint32_t terms; /* signals that asked for an end */
	int exit_code;  /* -1: not decided */
	int first_code, worst_code;
	char end_reason[128];

	char cwd[4096]; /* that we were started in; the operator's */
	struct place_socket place;
	struct operate operate;
	struct logger logger;
	struct outputs outputs;
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

/* --- table.c --- */

/* init.c: what a zeroed struct isn't yet; table_map comes next. */
void core_reset(struct core *core, uint32_t max_workers);
int table_map(struct core *core, struct err *err) MUST_CHECK;
/* The same from the state that another image left in `fd`; what `old` says of
 * the order of runs. */
int table_remap(struct core *core, int fd, const struct core *old,
    struct err *err) MUST_CHECK;
/* From the state of another build: into a new memfd of our own, whose `kept`
 * then holds what could be taken. `fd` stays as it is. */
int table_convert(struct core *core, int fd, struct err *err) MUST_CHECK;
/* Which of the two tables of runs is in use, as `old` had it. */
void table_take_turns(struct core *core, const struct core *old);
/* The tables in `fd`, of another process, to be read: maps them. */
int table_look(struct core *core, int fd, struct err *err) MUST_CHECK;
/* No start under way. */
void table_reset_wires(struct core *core, int32_t slot);
/* Its row, to be read: one of nothing where it has none. */
const struct past *past_of(const struct core *core, int32_t slot);
const struct links *links_of(const struct core *core, int32_t slot);
/* ... to be written: now it has one. */
struct past *past_make(struct core *core, int32_t slot);
struct links *links_make(struct core *core, int32_t slot);
/* Its pidfd, or -1. */
int pidfd_of(const struct core *core, int32_t slot);
/* Closes it. */
void pidfd_forget(struct core *core, int32_t slot);
/* A zeroed slot, or CORE_NO_SLOT. */
int32_t table_take(struct core *core);
void table_release(struct core *core, int32_t slot);
/* Sets a timer; the heap has room for all that there can be. */
void core_wake(struct core *core, struct loop_timer *timer, int64_t at_ms);
int owner_set(struct core *core, pid_t pid, enum owner_kind kind, int32_t index,
    struct err *err) MUST_CHECK;
struct owner owner_of(const struct core *core, pid_t pid);
void owner_clear(struct core *core, pid_t pid);
int32_t prober_take(struct core *core);
void prober_release(struct core *core, int32_t index);
uint32_t core_noise(void); /* random bits, for spreading only */

static inline bool
instance_has(const struct core *core, int32_t slot, enum instance_row row)
{
	return (core->instances[slot].rows & row) != 0;
}

/* --- change.c --- */

/* The only way to another state: looks it up, keeps the counts, logs from,
 * event and to, tells the peers. */
void instance_change(
    struct core *core, int32_t slot, enum instance_event event);
/* `by` (1, -1) more instances that are in that state. */
void instance_count(struct core *core, enum instance_state state, int by);
/* The instance's own worker, in the plan that it belongs to. */
void instance_spec(
    const struct core *core, int32_t slot, struct worker_spec *ret);
/* "name/replica" in a buffer that the next call overwrites. */
const char *instance_label(const struct core *core, int32_t slot);
/* Sets its timer; there is a heap slot for every instance. */
void instance_wake_at(struct core *core, int32_t slot, int64_t at_ms);
void instance_wake_never(struct core *core, int32_t slot);
/* Looks for ends in a second, whether or not a signal says so. */
void core_look_later(struct core *core);

/* --- queue.c --- */

/* Puts it at the end of its lane of those that wait to start. */
void start_queue(struct core *core, int32_t slot);
/* Takes it out again, if it is there. */
void start_dequeue(struct core *core, int32_t slot);
/* Somebody waits to start. */
bool start_waiting(const struct core *core);
/* Who may start now, or CORE_NO_SLOT. */
int32_t start_next(struct core *core);
/* It has just been started. */
void start_note_young(struct core *core, int32_t slot);
void young_timer_fired(struct loop_timer *timer, int64_t now_ms);

/* --- start.c --- */

/* What a process for a worker has in its environment beside the worker's own;
 * false: no room. */
bool start_extra(const struct core *core, struct spawn_extra *extra,
    const struct worker_spec *spec, uint32_t replica);
/* Starts as many as may start now. */
void start_pump(struct core *core);
/* The news of an exec, if there is any; called by the pipe and by the reaper.
 */
void start_collect(struct core *core, int32_t slot);
void start_forget(struct core *core, int32_t slot);
/* After a fault: it has a process; whether it executes isn't known, or is. */
void start_resume(struct core *core, int32_t slot);
/* After a fault: was cloned, but nothing was noted but the process. */
void start_adopt(struct core *core, int32_t slot);
/* Waits for the end of the process that `pidfd` stands for; takes it. */
void start_watch(struct core *core, int32_t slot, int pidfd);

/* When its activeDeadlineSeconds are over, or CLOCK_NEVER. */
int64_t start_deadline(const struct core *core, int32_t slot);
/* It is up: wakes it at that time, or at its watchdog's, if there is one. */
void start_limits(struct core *core, int32_t slot);

/* --- order.c --- */

/* A plan was applied. */
void order_apply(struct core *core);
/* It is to start: true when it has somebody to wait for first. */
bool order_waits(struct core *core, int32_t slot);
/* After each turn: starts what need wait no longer, or goes on draining. */
void order_step(struct core *core);
/* What it waits for, for people; "" when for nothing. */
void order_text(const struct core *core, int32_t slot, char *dst, size_t size);
/* A drain begins: the graces that follow one another. */
void order_drain(struct core *core);
/* Of `budget_ms`, what is kept for whom the instance depends on. */
int64_t order_reserve_ms(
    const struct core *core, int32_t slot, int64_t budget_ms);
/* In a drain: notes who is needed by somebody that still lives. */
void order_note_needed(struct core *core);
bool order_is_needed(const struct core *core, int32_t slot);

/* --- room.c --- */

/* What limits the number of processes, to go behind "clone: no more": ": …", or
 * nothing when that can't be read. */
/* ": pids.current=… of pids.max=…, N zombies", as far as it is known. */
void room_for_processes(char *dst, size_t size);

/* --- schedule.c --- */

/* A plan was applied, or this is the image after a fault: what is due, and
 * when the next is. */
void schedule_apply(struct core *core);
/* Runs by the calendar. */
bool schedule_is(const struct core *core, int32_t run);
/* A run now, whatever the time is; false: there is one too many. */
bool schedule_run(struct core *core, uint32_t run);
/* A run of it is over. */
void schedule_ended(struct core *core, int32_t slot);
/* The same worker in another plan. */
void schedule_carry(struct run *to, const struct run *from);

/* --- stop.c --- */

/* Asks a living instance to end, or takes one that isn't alive out of the race.
 * Idempotent; the first reason stays unless the new one is final. */
void instance_stop(struct core *core, int32_t slot, enum instance_why why);
void instance_kill(struct core *core, int32_t slot);
/* It asks for so much more time to end, from now. */
void instance_extend(struct core *core, int32_t slot, int64_t ms);
/* What its main process is told to end with. */
int instance_stop_signal(const struct core *core, int32_t slot);
/* Its state's timer fired. */
void instance_timer(struct loop_timer *timer, int64_t now_ms);
/* The preStop hook is over, or there is none: the drain signal. */
void stop_hooked(struct core *core, int32_t slot);
/* Asks everybody to end whom nobody needs any more. */
void drain_tell(struct core *core);
/* All workers, then everything else, then exit. */
void drain_begin(struct core *core, const char *reason, int exit_code);
/* After a fault: asks whom the drain had not asked yet. */
void drain_resume(struct core *core);
/* TERM, INT or QUIT came. */
void drain_signal(struct core *core, int signo);

/* --- reap.c --- */

/* Reaps whoever has ended, as many as a turn has room and time for, however
 * often it is called; sets core->reap_again when there may be more. */
void reap(struct core *core);
/* The worker's own pidfd says that it has ended: it need not wait until all
 * orphans are reaped that the kernel tells before it. */
void reap_witnessed(struct core *core, int32_t slot);
/* Looks whether groups without main process have become empty. */
void reap_endings(struct core *core);
void ending_timer_fired(struct loop_timer *timer, int64_t now_ms);
/* After a fault: is it still our child? Its end is noted where it isn't:
 * `taken` says how it ended if that was not noted before; else NULL. */
void reap_resume(struct core *core, int32_t slot, const siginfo_t *taken);

/* --- outcome.c --- */

/* Its whole group has ended: what now? */
void instance_ended(struct core *core, int32_t slot);
/* It has no process, and its slot is given back. */
void instance_forget(struct core *core, int32_t slot);
/* It has no process: it is to start now. */
void instance_want(struct core *core, int32_t slot);
/* Its backoff is over: it is to start now, or in its turn (run.limit). */
void instance_due(struct core *core, int32_t slot);
/* It is to start, because somebody says so: no failure of the past counts. */
void instance_order(struct core *core, int32_t slot);

/* --- limits.c --- */

/* Before the first child: makes cgroups where they can be made. */
void limits_open(struct core *core);
/* At the end: leaves the cgroup as it was found. */
void limits_close(struct core *core);
/* A plan came: says which of its limits don't hold. */
void limits_judge(struct core *core);
/* The cgroup for a start: `ret_dir` is its directory, 0 none. -1: an old one
 * isn't empty, so it would run twice. */
int limits_prepare(struct core *core, int32_t slot,
    const struct worker_spec *spec, int *ret_dir, struct err *err) MUST_CHECK;
/* Its main process has ended: adds to the exit what the kernel did to it. */
void limits_note_exit(
    struct core *core, int32_t slot, struct worker_exit *ended);
/* SIGTERM: to those who left its group and are ours to reach; how many they
 * are. SIGKILL: to everybody in its cgroup. */
uint32_t limits_signal(struct core *core, int32_t slot, int signo);
/* Somebody is left in its cgroup. */
bool limits_populated(const struct core *core, int32_t slot);
/* ... or of its group. */
bool limits_left(const struct core *core, int32_t slot);
/* Nobody is left. */
void limits_gone(struct core *core, int32_t slot);

/* --- prober.c --- */

/* The instance executes: begins its probes; it is ready at once without. */
void probers_begin(struct core *core, int32_t slot);
void probers_end(struct core *core, int32_t slot);
/* Runs its preStop hook; false: it has none. */
bool prober_hook(struct core *core, int32_t slot);
/* Gives up its hook; false: none runs. */
bool prober_hook_end(struct core *core, int32_t slot);
/* Ready, when nothing is missing any more: neither a probe nor its own word. */
void instance_check_ready(struct core *core, int32_t slot);
/* After a fault: takes over those that instances still name, ends what was
 * under way, which says nothing. */
void probers_take(struct core *core, uint32_t used);
/* ... and goes on with the instance's, or begins them. */
void probers_resume(struct core *core, int32_t slot);
void prober_exited(
    struct core *core, int32_t index, const struct worker_exit *ended);
const char *prober_text(const struct core *core, int32_t slot);

/* --- notify.c --- */

/* Before a start: what it needs to speak; `ret_write`: the worker's end of the
 * pipe for its descriptor of readiness, or -1. */
int notify_open(struct core *core, int32_t slot, struct spawn_extra *extra,
    int *ret_write, struct err *err) MUST_CHECK;
/* It executes. */
void notify_begin(struct core *core, int32_t slot);
/* Its main process is gone. */
void notify_end(struct core *core, int32_t slot);
/* It has to say that it is ready, and hasn't. */
bool notify_awaited(const struct core *core, int32_t slot);
/* The watchdog's time begins (again), or is over. */
void notify_watch(struct core *core, int32_t slot);
void notify_due(struct core *core, int32_t slot, int64_t now_ms);
/* What has come, up to a budget: before processes are reaped, so that the last
 * words of one still have a sender. */
void notify_read(struct core *core);
void notify_reset(struct core *core);
void notify_resume(struct core *core); /* after a fault */
void notify_resume_slot(struct core *core, int32_t slot);

/* --- apply.c --- */

/* Takes the plan in `fd` (which stays the caller's). On failure the old one
 * goes on. */
int apply_plan(
    struct core *core, int fd, bool sealed, struct err *err) MUST_CHECK;
/* An instance of it, which is to start. */
bool run_add(struct core *core, int32_t run, uint32_t replica);
/* Starts what is missing and stops what is too much of one worker. */
void run_reconcile(struct core *core, int32_t run);
/* The instance belongs to no plan any more, or to another. */
void plan_bind(struct core *core, int32_t slot, uint8_t plan, uint16_t worker);
void plan_unbind(struct core *core, int32_t slot);
/* Moves an instance without process to the current plan; false: its worker is
 * gone from it, or it is one replica too many. */
bool plan_rebind(struct core *core, int32_t slot);
bool plan_applied(const struct core *core);
/* After a fault: opens the plans that `old` had, settings and runs. */
int apply_resume(
    struct core *core, const struct core *old, struct err *err) MUST_CHECK;

/* --- journal.c --- */

/* Something happened to an instance: kept if it is worth it, and told. */
void journal_note(struct core *core, int32_t slot, enum instance_event event);
/* The peer wants every event above `number`. */
void journal_since(struct core *core, struct peer *peer, uint64_t number);
/* Sends what it has not got yet, as far as it takes it. */
void journal_pump(struct core *core, struct peer *peer);

/* --- peers.c, orders.c, snapshot.c --- */

/* False: another supervisor of that name listens at its place. */
bool peers_listen(struct core *core); /* once the name is known */
void peers_close(struct core *core);
/* The socket that says that our guard lives; err->sys EADDRINUSE: another's
 * does. */
int peers_listen_guard(struct core *core, struct err *err) MUST_CHECK;
void peers_resume(struct core *core); /* after a fault: listens again */
int peer_open(
    struct core *core, struct peer *peer, int fd, struct err *err) MUST_CHECK;
void peer_close(struct core *core, struct peer *peer);
/* False: it couldn't be sent now. */
bool peer_send(struct core *core, struct peer *peer,
    const union wire_message *message, int fd);
void peers_changed(struct core *core, int32_t slot, enum instance_event event);
/* What is known of the worker beside its instances. */
void peers_run_changed(struct core *core, uint32_t run);
void peers_text(struct core *core, enum wire_type type, int level,
    const char *event, const char *text);
struct peer *peers_operator(struct core *core);
/* A reply with words; `code` 0 is ok. */
void order_answer(struct core *core, struct peer *peer, uint32_t sequence,
    int code, const char *text);
void order_handle(
    struct core *core, struct peer *peer, union wire_message *message, int fd);
void snapshot_begin(struct core *core, struct peer *peer);
/* Sends as much of it as goes. */
void snapshot_pump(struct core *core, struct peer *peer);
void snapshot_worker(const struct core *core, uint32_t run, uint64_t number,
    union wire_message *ret);
void snapshot_instance(const struct core *core, int32_t slot,
    enum instance_event event, union wire_message *ret);

/* --- operate.c, capture.c --- */

void operator_start(struct core *core);
void operator_exited(struct core *core, const struct worker_exit *ended);
void operator_stop(struct core *core);
/* Its socket is closed: kills it, if it is still there. */
void operator_lost(struct core *core);
/* Without its wire it is of no use: it may end by itself, but soon. */
void operator_unwired(struct core *core);
void operator_heard(struct core *core);
/* After a fault: goes on with the process and its wire. */
void operator_resume(struct core *core, int64_t timer_ms);
void operator_timer(struct loop_timer *timer, int64_t now_ms);

/* Kills what is left of the session of one that ended. What a prober had
 * started is our child only once the prober is gone. */
void operator_sweep(struct core *core);
/* Ends it, and starts another one, from another build perhaps. */
void operator_replace(struct core *core);

/* upgrade.c: the program in `fd` (which stays the caller's; -1: what lies where
 * ours came from) is asked whether it can take over. `peer` hears of it only
 * when it can't. */
void upgrade_begin(
    struct core *core, struct peer *peer, uint32_t sequence, int fd);
void upgrade_exited(struct core *core, const struct worker_exit *ended);
void upgrade_timer(struct loop_timer *timer, int64_t now_ms);
/* At the end of a turn: becomes the other program, if that is due. */
void upgrade_step(struct core *core);
/* A client has gone. */
void upgrade_forget(struct core *core, const struct peer *peer);

/* answer.c: the liveness port, as the settings say. */
void answer_apply(struct core *core);
void answer_exited(struct core *core);
void answer_resume(struct core *core); /* after a fault: another process */
void answer_timer(struct loop_timer *timer, int64_t now_ms);

/* watchman.c: the guard; none as PID 1. */
void guard_start(struct core *core);
void guard_exited(struct core *core);
void guard_resume(struct core *core);
void guard_end(struct core *core);
void guard_timer(struct loop_timer *timer, int64_t now_ms);

/* The memory that it counts in; after a fault that of `tally_fd`. */
int capture_map(struct core *core, struct err *err) MUST_CHECK;
/* Starts, or goes on without, the logger, as the plan says. */
void capture_apply(struct core *core);
void capture_exited(struct core *core, const struct worker_exit *ended);
void capture_timer(struct loop_timer *timer, int64_t now_ms);
/* Makes the pipes of a start: `ret_write` for the worker. */
int capture_open(struct core *core, int32_t slot, int ret_write[2],
    struct err *err) MUST_CHECK;
/* The worker runs as `pid`: the logger may read. */
void capture_attach(struct core *core, int32_t slot, pid_t pid);
/* Its read ends are given up; the logger goes on with its own. */
void capture_release(struct core *core, int32_t slot);
/* The slot becomes another instance's. */
void capture_forget(struct core *core, int32_t slot);
/* A child has changed: was the logger stopped? */
void capture_look(struct core *core);
void capture_close(struct core *core);
void capture_resume(struct core *core); /* after a fault: its wire */

/* --- stray.c --- */

/* Takes `*fd` over, or closes it when nothing will come of it any more. */
void stray_add(struct core *core, int *fd, const struct logger_message *who,
    bool attached);
/* The logger has read all of that one. */
void stray_ended(struct core *core, const struct logger_message *who);
/* Hands over those that the logger doesn't have; false: it can take no more
 * now. */
bool strays_attach(struct core *core);
/* The logger is another one. */
void strays_detached(struct core *core);
void strays_close(struct core *core);
/* After a fault: `used` rows are there. */
void strays_take(struct core *core, uint32_t used);

/* --- hang.c --- */

/* Before the logger is started: the timer that it sets ahead, if it writes to
 * files. */
int hang_open(struct core *core, struct err *err) MUST_CHECK;
/* It has gone. */
void hang_close(struct core *core);
void hang_resume(struct core *core); /* after a fault */

/* --- sink.c --- */

/* At the start: files on network file systems are written by a child. */
void sinks_open(struct core *core);
/* From now on every file is. Whatever is logged before may hang. */
void sinks_take(struct core *core);
void sinks_resume(struct core *core); /* after a fault */
void sink_exited(
    struct core *core, int32_t which, const struct worker_exit *ended);
void sink_timer(struct loop_timer *timer, int64_t now_ms);
/* Nothing is written after it: waits until the files have what was. */
void sinks_end(struct core *core);

/* --- credit.c --- */

void core_stalled(struct loop *loop, int64_t gap_ms);

/* --- finish.c --- */

/* Something has ended: the next phase, if this one is over. */
void finish_step(struct core *core);
void finish_timer(struct loop_timer *timer, int64_t now_ms);
/* Ends by itself when every worker has finished. */
void finish_if_complete(struct core *core);
void finish_note_exit(
    struct core *core, const struct worker_exit *ended, bool final);
/* Every child of ours that isn't the logger gets `signo`; how many. */
unsigned finish_sweep(struct core *core, int signo, pid_t session);
int finish_code(struct core *core);
void finish_termination_log(const struct core *core, int code);

#endif
