/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_MESSAGES_H
#define REEVE_SUPERVISOR_WIRE_MESSAGES_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "worker/cgroup.h"
#include "worker/exit.h"
#include "worker/spec.h"

/*
 * What the init says, and what is said to it: fixed structs, one a packet of a
 * SOCK_SEQPACKET socket, between the init and the operator (a socketpair) and
 * between the init and any client of its control socket. Versioned and
 * bounded. docs/design/wire.md describes the conversation.
 *
 * The init never waits for a peer. When a packet can't be sent at once, it
 * marks the peer dirty and later sends a whole snapshot in place of what was
 * lost; a snapshot is SNAPSHOT_BEGIN, WORKER…, INSTANCE…, SNAPSHOT_END with one
 * number. The receiver discards a snapshot that has no end.
 */
enum {
	WIRE_MAGIC = 0x57565231, /* "1RVW" in memory */
	WIRE_VERSION = 1,
	WIRE_MESSAGE_MAX = 32 * 1024,
	WIRE_TEXT_MAX = 512,
	WIRE_FDS_MAX = 2,
	/* the operator's end of the socketpair is this descriptor */
	WIRE_OPERATOR_FD = 3,
	WIRE_ALL_REPLICAS = -1,
	/* `value` of WIRE_RESTART: more memory than its limit, which no
	 * cgroup holds; counts as an OOM kill. 0: ordered */
	WIRE_RESTART_MEMORY = 1,
	WIRE_WAIT_MAX = 256,
	WIRE_EXTEND_MAX_MS = 60 * 60 * 1000, /* `value` of WIRE_EXTEND */
};

enum wire_type {
	WIRE_NONE = 0,
	/* from the init */
	WIRE_HELLO,          /* struct wire_hello: the first packet, always */
	WIRE_SNAPSHOT_BEGIN, /* struct wire_snapshot */
	WIRE_WORKER,         /* struct wire_worker */
	WIRE_INSTANCE,       /* struct wire_instance: in a snapshot, and alone
	                        whenever one changes (`event` says why) */
	WIRE_SNAPSHOT_END,   /* struct wire_snapshot, the same number */
	WIRE_NOTE,          /* struct wire_text: something people should know */
	WIRE_RELOAD_WANTED, /* struct wire_head: SIGHUP, or asked by a client */
	WIRE_DRAINING,      /* struct wire_text: the container is ending */
	WIRE_PING,          /* struct wire_head: answer with PONG within 30 s;
	                       client.h does */
	WIRE_REPLY,         /* struct wire_reply: to an order, same sequence */
	WIRE_EVENT,         /* struct wire_event: to who asked with EVENTS */
	/* to the init */
	WIRE_PONG = 64,    /* struct wire_head */
	WIRE_PLAN,         /* struct wire_head, with the memfd */
	WIRE_GET_PLAN,     /* struct wire_head: REPLY carries the memfd of the
	                      plan that is applied (ok = false: none) */
	WIRE_GET_SNAPSHOT, /* struct wire_head: REPLY, then a snapshot */
	WIRE_START,        /* struct wire_order */
	WIRE_STOP,         /* struct wire_order: stays stopped until START */
	WIRE_RESTART,      /* struct wire_order: drain, then start from the
	                      current plan, without penalty */
	WIRE_SCALE,  /* struct wire_order: `value` replicas, until the next
	                plan says otherwise */
	WIRE_SIGNAL, /* struct wire_order: `value` is a signal for the main
	                process */
	WIRE_LIVE,   /* struct wire_head: REPLY ok when the loop turns */
	WIRE_RELOAD, /* struct wire_head: hands WIRE_RELOAD_WANTED to the
	                operator; not ok when there is none */
	WIRE_WATCH,  /* struct wire_head: send me every change from now on,
	                beginning with a snapshot */
	WIRE_OPERATOR_STATE, /* struct wire_text: "ok", "degraded: …"; shown in
	                        snapshots (operator only) */
	WIRE_SHUTDOWN,       /* struct wire_head: as SIGTERM */
	WIRE_ALIVE,          /* struct wire_head: operator only: like PONG,
	                        unasked */
	WIRE_KEEP, /* struct wire_head, with a memfd: operator only: held
	              unread for its successor, in place of the one before */
	WIRE_GET_OLD_PLAN, /* struct wire_order: operator only: as GET_PLAN, the
	                      plan numbered `value` that some instance was
	                      started from (ok = false: none is) */
	WIRE_UPGRADE,  /* struct wire_head, with a descriptor of the program or
	                  without (what lies where the init came from): REPLY
	                  only  when it is refused; else the connection ends and
	                  HELLO  has `upgrades` one up */
	WIRE_GET_KEPT, /* struct wire_head: operator only: REPLY carries it (ok
	                  = false: none) */
	WIRE_EXTEND,   /* struct wire_order: operator only: the replica that was
	                  told to end gets `value` more ms from now, as by
	                  EXTEND_TIMEOUT_USEC */
	WIRE_EVENTS,   /* struct wire_since: operator only: send me every event
	                  above `number`, and from now on each that happens */
};

struct wire_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type;     /* enum wire_type */
	uint32_t length;   /* of the whole packet */
	uint32_t sequence; /* an order's number; REPLY repeats it; else 0 */
};

enum wire_operator {
	OPERATOR_NONE = 0, /* run without one */
	OPERATOR_STARTING, /* no word from it yet */
	OPERATOR_RUNNING,
	OPERATOR_BACKOFF, /* died; will be restarted */
	OPERATOR_HUNG,    /* doesn't answer */
};

struct wire_hello {
	struct wire_head head;
	struct fingerprint_key
	    key; /* for the operator only; zero for clients */
	int32_t init_pid;
	uint32_t max_workers;
	int64_t started_wall_ms;
	uint64_t plan_number; /* 0: no plan applied yet */
	uint64_t upgrades;    /* builds that took over since the start */
	char version[32];
	char name[64];        /* $REEVE_NAME or the plan's, may be empty */
	char socket_dir[108]; /* "" when only the abstract name exists */
};

struct wire_snapshot {
	struct wire_head head;
	uint64_t number;
	uint64_t plan_number;
	int64_t wall_ms;
	int64_t started_wall_ms;
	uint32_t workers, instances; /* packets that follow */
	int32_t init_pid, operator_pid, logger_pid;
	uint32_t operator_state; /* enum wire_operator */
	uint32_t operator_restarts;
	uint32_t draining; /* 1: the container is ending */
	uint64_t log_dropped;
	uint64_t orphans_reaped;
	char name[64];
	char operator_text[128]; /* what it last said of itself */
	uint32_t cgroup;         /* bits of enum cgroup_have */
	uint32_t padding;
	char cgroup_why[128];    /* what of it is missing, and why */
	uint64_t notify_dropped; /* messages of nobody that may speak */
	/* of stdout and stderr, lost with the process that wrote their file
	 * (docs/design/logger.md) */
	uint64_t files_lost[2];
	uint32_t files_unsure[2]; /* 1: that isn't exact */
};

struct wire_worker {
	struct wire_head head;
	uint64_t snapshot;
	char name[WORKER_NAME_MAX + 1];
	uint32_t desired; /* replicas, with SCALE and STOP taken into account */
	uint32_t declared;
	uint32_t running, ready;
	uint32_t held;   /* 1: stopped by order */
	uint32_t missed; /* runs that were due and were not made */
	uint64_t generation;
	uint8_t config_digest[16]; /* of the current plan */
	/* of one that runs by the calendar; "": it doesn't */
	char schedule[128];
	uint32_t suspended;
	uint32_t padding;
	int64_t last_run_wall_ms, last_success_wall_ms; /* 0: never */
	int64_t last_failure_wall_ms;                   /* given up */
	int64_t next_run_wall_ms;                       /* 0: none */
};

enum instance_state {
	INSTANCE_NONE = 0, /* the slot is free */
	INSTANCE_PENDING,  /* wants to start, waits for its turn */
	INSTANCE_STARTING, /* cloned; exec not yet seen */
	INSTANCE_RUNNING,  /* alive, not (or no longer) ready */
	INSTANCE_READY,
	INSTANCE_STOPPING, /* asked to end; its grace runs */
	INSTANCE_ENDING,   /* its main process has gone, its group not yet */
	INSTANCE_KILLING,  /* its group was killed; waiting for the end */
	INSTANCE_BACKOFF,  /* ended; will be started at `next_start_ms` */
	INSTANCE_FINISHED, /* ended; its restart policy says that was all */
	INSTANCE_STOPPED,  /* stopped by order */
	INSTANCE_STATES
};

/* Why an instance was asked to stop, or isn't running. */
enum instance_why {
	WHY_NONE = 0,
	WHY_ORDER_STOP,
	WHY_ORDER_RESTART,
	WHY_SCALED,    /* fewer replicas */
	WHY_REMOVED,   /* no such worker in the plan any more */
	WHY_DRAIN,     /* the container is ending */
	WHY_LIVENESS,  /* failed its liveness probe */
	WHY_STARTUP,   /* failed its startup probe */
	WHY_ENDED,     /* by itself */
	WHY_EXEC,      /* couldn't be started */
	WHY_RESOURCES, /* no process could be made: EAGAIN, ENOMEM, EMFILE */
	WHY_WAITS,     /* for a worker that it depends on */
	WHY_DEADLINE,  /* activeDeadlineSeconds are over */
	WHY_WATCHDOG,  /* didn't say that it lives */
	WHY_MEMORY,    /* above its memory limit, which no cgroup holds */
	WHY_COUNT
};

enum instance_event {
	EVENT_NONE = 0, /* part of a snapshot */
	EVENT_WANTED,   /* to be started, now */
	EVENT_CLONED,
	EVENT_CLONE_FAILED,
	EVENT_EXECED,
	EVENT_READY,
	EVENT_UNREADY,
	EVENT_STOP,
	EVENT_KILL,
	EVENT_EXITED, /* the main process ended; `last_exit` is new */
	EVENT_RETRY,  /* all of it has ended; to be started again later */
	EVENT_FINISH, /* all of it has ended, and that was all */
	EVENT_HELD,   /* all of it has ended, and it stays so by order */
	EVENT_FORGET, /* all of it has ended, and its slot is free */
	EVENT_COUNT
};

struct wire_count {
	uint64_t lines, bytes;
};

/* Its output: received = written + dropped + limited + lost + what the logger
 * holds. docs/design/logger.md. */
struct wire_output {
	uint32_t captured; /* 0: nothing was ever read for it */
	uint32_t unsure;   /* 1: off by at most one read or write */
	struct wire_count received, written, dropped, limited, lost, held;
};

struct wire_instance {
	struct wire_head head;
	uint64_t snapshot; /* 0: a change, not part of one */
	char name[WORKER_NAME_MAX + 1];
	uint32_t replica;
	uint32_t state;    /* enum instance_state */
	uint32_t event;    /* enum instance_event */
	uint32_t why;      /* enum instance_why */
	int32_t pid;       /* 0: none */
	uint32_t restarts; /* starts that nobody ordered, after the first */
	uint32_t failures[CLASS_COUNT]; /* in a row, by class */
	/* starts in all, by the class of the end that they came after */
	uint32_t restarted[CLASS_COUNT];
	uint32_t total_exits;
	uint32_t oom_kills;     /* in its cgroups, over all starts */
	uint32_t has_readiness; /* 0: ready means started */
	uint64_t generation;    /* REEVE_GENERATION that it was started with */
	uint64_t plan_number;   /* the plan that it was started from */
	uint8_t config_digest[16];
	int64_t started_wall_ms;    /* 0: never */
	int64_t ready_wall_ms;      /* 0: not ready */
	int64_t next_start_wall_ms; /* 0: none */
	/* the last end; kind EXIT_UNKNOWN: none yet */
	struct worker_exit last_exit;
	int64_t last_exit_wall_ms;
	int64_t last_ran_ms;
	char probe_text[128]; /* the last probe's failure, "" when none */
	char wait_text[WIRE_WAIT_MAX]; /* what it waits for, "" when nothing */
	char status_text[128]; /* what it says of itself (STATUS=), or "" */
	struct wire_output output;
};

/*
 * What happened to an instance, in order and each once: the init keeps the
 * last ones, so that an operator that was away learns of them when it is back.
 * A gap in the numbers is how many it couldn't keep.
 */
struct wire_event {
	struct wire_head head;
	uint64_t number; /* 1, 2, … since the init was started */
	int64_t wall_ms;
	int64_t ran_ms; /* EXITED: how long the process lived */
	char name[WORKER_NAME_MAX + 1];
	uint32_t replica;
	int32_t pid;
	uint32_t event;          /* enum instance_event */
	uint32_t why;            /* enum instance_why */
	struct worker_exit exit; /* EXITED, CLONE_FAILED */
	uint32_t padding;
};

struct wire_since {
	struct wire_head head;
	uint64_t number;
};

struct wire_order {
	struct wire_head head;
	char name[WORKER_NAME_MAX + 1]; /* "" : every worker */
	int32_t replica;                /* WIRE_ALL_REPLICAS */
	int32_t value;
};

struct wire_reply {
	struct wire_head head;
	uint32_t ok;
	int32_t code; /* enum exit_code's words: 0, 64, 65, 69, 75, 78 */
	uint64_t plan_number;
	uint32_t affected; /* instances */
	uint32_t padding;
	char text[WIRE_TEXT_MAX];
};

struct wire_text {
	struct wire_head head;
	uint32_t level; /* enum log_level */
	uint32_t padding;
	char event[64];
	char text[WIRE_TEXT_MAX];
};

union wire_message {
	struct wire_head head;
	struct wire_hello hello;
	struct wire_snapshot snapshot;
	struct wire_worker worker;
	struct wire_instance instance;
	struct wire_event event;
	struct wire_since since;
	struct wire_order order;
	struct wire_reply reply;
	struct wire_text text;
};

/* Sets the head, with the length that belongs to `type`. */
void wire_prepare(
    union wire_message *message, enum wire_type type, uint32_t sequence);
/* A packet of `len` bytes is a whole, well-formed message: magic, version,
 * type, its exact length, terminated texts, enums in range. */
int wire_check(
    const union wire_message *message, size_t len, struct err *err) MUST_CHECK;
/* The length of a type's packet; 0 for an unknown type. */
size_t wire_length(enum wire_type type);

const char *instance_state_name(enum instance_state state);
const char *instance_event_name(enum instance_event event);
const char *instance_why_name(enum instance_why why);
const char *wire_operator_name(enum wire_operator state);
/* There is a process. */
bool instance_state_alive(enum instance_state state);

#endif
