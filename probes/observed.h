/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_OBSERVED_H
#define REEVE_PROBES_OBSERVED_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/finding.h"
#include "probes/queue/state.h"

/*
 * What was observed: plain facts, each with its time and source, no judgement.
 * Filled from verdict lines (one JSON object a line, schema
 * reeve.observation/1), so that a recorded file of such lines is a test case,
 * a bundle, or a live run alike.
 */

/* How far a look got. In the order of the ladder. */
enum step_kind {
	STEP_DNS,
	STEP_TCP,
	STEP_TLS,
	STEP_AUTH,
	STEP_PROTOCOL,
	STEP_QUERY
};
struct step {
	enum step_kind kind;
	enum result result;
	int64_t elapsed_ms;
	const char *detail; /* "10.0.0.5", "SQLSTATE 28P01: …"; redacted */
};

/* Why a look failed, as something a program can decide on. */
enum cause {
	CAUSE_NONE = 0,
	CAUSE_INTERNAL,   /* our own trouble; never evidence about the target */
	CAUSE_DEADLINE,   /* killed, or out of time, before an answer */
	CAUSE_UNRESOLVED, /* a $(NAME) or secret that it needs is missing */
	CAUSE_URL,        /* the URL itself is wrong */
	CAUSE_DNS,        /* no such name, or the resolver doesn't answer */
	CAUSE_REFUSED,
	CAUSE_UNREACHABLE, /* no route, connect timed out */
	CAUSE_SILENT,      /* connected, but no (whole) answer in time */
	CAUSE_TLS,
	CAUSE_AUTH,           /* 28P01, WRONGPASS, NOAUTH, 401 */
	CAUSE_PERMISSION,     /* 42501, NOPERM, 403 */
	CAUSE_WRONG_DATABASE, /* 3D000, DB index out of range */
	CAUSE_WRONG_TYPE,     /* WRONGTYPE, not the expected protocol */
	CAUSE_NOT_FOUND,      /* 404, table or file absent */
	CAUSE_MISMATCH,       /* it answered, but not what was expected */
	CAUSE_UNAVAILABLE,    /* 5xx, LOADING, 57P03, too many clients */
};
const char *cause_name(enum cause cause); /* "auth", "not-found"… */

struct fact { /* kind-specific: "table documents" = "missing" */
	const char *key;
	const char *value;
};

/* Jobs that were looked at, and which of those asked for were moved. */
struct observed_jobs {
	enum queue_part part;
	struct queue_page page;
};
struct observed_moved {
	const char *const *ids;
	const char *const *as; /* their new ids; NULL: they kept theirs */
	size_t count;
};

struct observed_supervisor;
struct observed_process;
struct observation {
	const char *kind;    /* "http", "postgres", "redis", "queue", … */
	const char *subject; /* the asker's: "check ocr endpoint", "queue jobs",
	                        "worker a env DATABASE_URL" */
	const char *target;  /* redacted URL or path */
	enum result result;
	enum cause cause;
	const char *code;     /* "28P01", "404", "ECONNREFUSED"; "" none */
	const char *summary;  /* one line; redacted */
	const char *identity; /* of the server that answered; "" unknown */
	int64_t at_wall_ms, elapsed_ms;
	const char *tag; /* of all but the times, for "unless"; "" none */
	struct step *steps;
	size_t nsteps;
	struct fact *facts;
	size_t nfacts;
	struct queue_state *queue; /* kind "queue", when it could be read */
	/* kind "queue", ops list and move */
	struct observed_jobs *jobs;
	struct observed_moved *moved;
	/* kind "supervisor" and "processes": what was found; also put into
	 * struct observed when the line is read */
	const struct observed_supervisor *supervisor;
	struct observed_process *processes;
	size_t nprocesses;
};

/* The running supervisor, as its status says (reeve.status/1). */
struct observed_instance {
	int64_t index, pid; /* pid -1: none */
	const char *state;  /* the init's word: "running", "backoff"… */
	bool ready;
	int64_t restarts;
	int64_t started_wall_ms;
	const char *config_digest;
	const char *last_exit; /* "exit 1", "signal 9", "exec: ENOENT"; "" */
	const char *waits_for; /* "waits for worker 'x' to be ready"; "" */
};
struct observed_worker {
	const char *name;
	int64_t desired, ready;
	const char
	    *held; /* why it is kept from what is declared; "" it isn't */
	const char *under_way; /* "a rolling restart: 1 of 3 …"; "" nothing */
	struct observed_instance *instances;
	size_t ninstances;
};
struct observed_drift {
	const char *worker, *class, *key, *summary, *evidence;
};
struct observed_supervisor {
	enum result reached; /* PASSED: it answered; FAILED: proven absent;
	                        UNKNOWN: could not look (why) */
	const char *why;
	const char *name;
	const char *operator_state;
	/* "memory cpu pids": those limits that no cgroup holds there, and why;
	 * "" they are held, or it isn't known */
	const char *limits_missing, *limits_why;
	const char *manifest_digest; /* of what it goes by; "" unknown */
	struct observed_worker *workers;
	size_t nworkers;
	struct observed_drift *drift;
	size_t ndrift;
};

/* Processes that look like a declared worker's command. */
struct observed_process {
	const char *worker; /* the declared worker it was compared with */
	int64_t pid;
	const char
	    *command; /* argv[0] and the script only: argv may hold secrets */
	int64_t started_wall_ms;
	bool exact; /* all its arguments are the command's */
};

/* Follow-up of one canary (filled by the smoke). */
struct observed_stage {
	const char *smoke, *stage;
	enum result before; /* the same expectation, tried before submission */
	enum result after;
	const char *summary, *by;
	enum cause cause;
	int64_t reached_ms; /* after the submission; -1 not */
};
struct observed_smoke {
	const char *name;
	bool submitted;
	const char *canary;
	const char *summary;
	int64_t submitted_wall_ms, total_ms;
	enum cause cause;
	struct observed_stage *stages;
	size_t nstages;
	bool cleaned;
	const char *cleanup_summary;
};

struct observed {
	struct arena *arena;
	int64_t at_wall_ms;
	const char *vantage; /* "host build-7 pid ns 4026531836" */
	struct observation *observations;
	size_t nobservations;
	size_t observations_max; /* room; 0 for an array made elsewhere */
	struct observed_supervisor supervisor;
	struct observed_process *processes;
	size_t nprocesses;
	enum result processes_searched; /* PASSED: /proc was readable whole */
	const char *processes_scope;    /* "212 processes of pid ns …" */
	struct observed_smoke *smokes;
	size_t nsmokes;
};

enum {
	/* Memory for one line of a prober (at most 4 MiB): more than what any
	 * such line comes to, since a full arena ends the process. */
	OBSERVED_ONE_BYTES_MAX = 32 << 20,
};
void observed_init(struct observed *observed, struct arena *arena);
/* Parses one line (observation, supervisor, processes or smoke: its "schema"
 * says) into `observed`. Bounded, strict in types, hostile input is ERR_INPUT.
 */
int observed_add_line(struct observed *observed, const char *line, size_t len,
    struct err *err) MUST_CHECK;
/* By subject; NULL: never looked. */
const struct observation *observed_find(
    const struct observed *observed, const char *subject);

#endif
