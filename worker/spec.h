/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_SPEC_H
#define REEVE_WORKER_SPEC_H

#include "base/base.h"
#include "base/calendar.h"
#include "worker/process.h"

/*
 * What a worker is to whoever starts it: everything resolved to bytes and
 * numbers, nothing to look up. The operator fills it from the manifest, the
 * plan carries it, the init reads it out of its mapping of the plan. All
 * pointers are borrowed.
 */
enum worker_restart {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_NEVER
};

enum probe_kind {
	PROBE_NONE = 0,
	PROBE_EXEC,
	PROBE_HTTP,
	PROBE_TCP
};

struct probe_spec {
	enum probe_kind kind;
	const char *const *argv; /* exec: NULL-terminated */
	const char *host; /* http, tcp: numeric address; NULL: 127.0.0.1 */
	const char *path; /* http: "/health" */
	const char *const *headers; /* http: "Name: value", NULL-terminated */
	uint32_t port;
	bool port_per_replica; /* the replica's index is added to `port` */
	/* Kubernetes' meanings and defaults (0,10,1,1,3) */
	int64_t initial_delay_ms, period_ms, timeout_ms;
	uint32_t success_threshold, failure_threshold;
};

/* What a worker says of itself (worker/notify.h). */
enum notify_ready {
	NOTIFY_ABSENT =
	    0,          /* no NOTIFY_SOCKET; ready by its probe, or at once */
	NOTIFY_MESSAGE, /* ready when it has said READY=1 */
	NOTIFY_NEWLINE, /* ... written a newline to descriptor `fd` */
	NOTIFY_NONE,    /* heard, but not asked whether it is ready */
};

struct notify_spec {
	enum notify_ready ready;
	uint32_t fd;         /* 3..255 */
	int64_t watchdog_ms; /* between two WATCHDOG=1; 0: none */
};

/* At most `count` restarts at once, then `count` in each `window_ms`. */
struct limit_spec {
	uint32_t count; /* 0: no limit */
	int64_t window_ms;
};

struct worker_port {
	const char *name; /* PORT_<NAME>, upper case, '-' as '_' */
	uint32_t base;
};

/* What another worker must have reached before a start. */
enum worker_condition {
	CONDITION_STARTED,   /* it executes, or has */
	CONDITION_READY,     /* it is ready */
	CONDITION_COMPLETED, /* it has ended with exit code 0, for good */
	CONDITION_COUNT
};

/* What happens when a run is due while one still runs (CronJob's). */
enum worker_concurrency {
	CONCURRENCY_ALLOW,
	CONCURRENCY_FORBID,
	CONCURRENCY_REPLACE,
	CONCURRENCY_COUNT
};

/* A worker that runs by the calendar; `text` NULL: it doesn't. */
struct worker_schedule {
	const char *text; /* as declared, for people */
	const char *zone_name;
	struct calendar_rule rule;
	struct calendar_zone zone;
	enum worker_concurrency concurrency;
	int64_t starting_deadline_s; /* -1: none */
	bool suspended;
};

struct worker_dependency {
	const char *worker;
	uint32_t condition; /* enum worker_condition */
};

enum logs_format {
	LOGS_NONE = 0, /* pure pass-through: it inherits fds 1 and 2 */
	LOGS_PLAIN,    /* captured; lines go through unchanged (default) */
	LOGS_PREFIX,   /* "worker/replica | line" */
	LOGS_JSON,     /* one object a line */
};

/* What becomes of a line that can't be written now. */
enum logs_blocked {
	LOGS_DROP_NEW = 0, /* it is dropped */
	LOGS_DROP_OLDEST,  /* older ones are */
	LOGS_BLOCK,        /* the worker waits, once its pipe is full */
};

/* So that rate times burst stays a number. */
enum {
	LOGS_KEEP_MAX = 1000000,
	LOGS_RATE_LINES_MAX = 1000000000,
	LOGS_BURST_MAX_MS = 3600 * 1000,
};
#define LOGS_RATE_BYTES_MAX (INT64_C(1) << 40)

/* What happens to a worker's output. */
struct worker_logs {
	uint32_t format;       /* enum logs_format */
	uint32_t when_blocked; /* enum logs_blocked */
	uint32_t keep_lines;   /* of each replica */
	/* of each replica; 0: no limit */
	uint32_t rate_lines; /* a second */
	uint64_t rate_bytes; /* a second */
	int64_t burst_ms;    /* so much time's worth may come at once */
};

enum {
	WORKER_NAME_MAX = 63,
	WORKER_REPLICAS_MAX = 10000,
	WORKER_ID_NONE = -1,
	WORKER_DEPENDENCIES_MAX = 64,
	/* runs of a scheduled worker at once, with `Allow` */
	WORKER_RUNS_MAX = 64,
};

struct worker_spec {
	const char *name;
	const char *const *argv; /* NULL-terminated; argv[0] as declared */
	const char *executable;  /* absolute path, resolved by the operator */
	const char *const
	    *envp;        /* final "NAME=value", without what the init adds */
	const char *cwd;  /* NULL: the init's own, "/" */
	int64_t uid, gid; /* WORKER_ID_NONE: keep */
	const int64_t *groups;
	uint32_t ngroups;
	uint32_t umask;    /* 0xFFFFFFFF: keep */
	bool no_new_privs; /* default true */
	bool init; /* of initWorkers: the container ends when it gives up */
	uint32_t replicas; /* 0 is a declaration too */
	enum worker_restart restart;
	int64_t backoff_first_ms, backoff_cap_ms;
	struct limit_spec start_limit; /* of all replicas together */
	struct notify_spec notify;
	/* failures in a row after which it is given up: Job's backoffLimit and
	 * one; 0: never */
	uint32_t failures_max;
	int drain_signal;    /* SIGTERM unless declared */
	int64_t deadline_ms; /* activeDeadlineSeconds, with retries; 0: none */
	int64_t grace_ms;    /* terminationGracePeriodSeconds */
	struct probe_spec readiness, liveness, startup;
	/* lifecycle.preStop: as a probe, tried once before the drain signal */
	struct probe_spec pre_stop;
	const struct worker_dependency *dependencies;
	uint32_t ndependencies;
	/* longest chain of dependencies below it; the plan's writer fills it */
	uint32_t rank;
	struct worker_schedule schedule;
	const struct worker_port *ports;
	uint32_t nports;
	uint64_t memory_limit_bytes; /* 0: none */
	struct worker_process process;
	uint32_t cpu_limit_milli; /* thousandths of a processor; 0: none */
	uint32_t pids_limit;      /* processes and threads; 0: none */
	/* not part of config_digest: a change reaches running ones at once */
	struct worker_logs logs;
	/* configuration identity: fingerprint of environment, argv, cwd, ids,
	 * probes. Instances keep the one that they were started with. */
	uint8_t config_digest[16];
	/* goes up when the operator wants a rolling restart; REEVE_GENERATION
	 */
	uint64_t generation;
};

/* "Ready" is more than "executes": a probe or the worker itself says so. */
static inline bool
worker_says_ready(const struct worker_spec *spec)
{
	return spec->readiness.kind != PROBE_NONE ||
	       spec->notify.ready == NOTIFY_MESSAGE ||
	       spec->notify.ready == NOTIFY_NEWLINE;
}

#endif
