/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_DECLARED_H
#define REEVE_MANIFESTS_DECLARED_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/calendar.h"
#include "base/err.h"
#include "base/finding.h"
#include "base/secret.h"

/*
 * What was declared, resolved: the manifest with its defaults filled in,
 * `$(NAME)` expanded, secrets and configs read, and for every value the place
 * that it came from. This is what the other rooms see of reeve.yaml; how it is
 * read is manifests/manifest.h's business. Everything lives in one arena.
 *
 * An error in the manifest's text is an error of loading. What the outside
 * lacks (a secret's key, a file, a variable) is not: it is recorded here, with
 * its place, and judged by checks/.
 */
struct place {
	const char *file; /* as given by the user */
	int line, column; /* 1-based; 0: unknown */
};

/* Why a value is not there. */
enum absence {
	ABSENT_NOT = 0,      /* it is there */
	ABSENT_SOURCE,       /* the secret or config itself can't be read */
	ABSENT_KEY,          /* it has no such key */
	ABSENT_VARIABLE,     /* $(NAME) isn't declared */
	ABSENT_UNRESOLVABLE, /* this host can't resolve it (decisions.md 32) */
};

struct declared_env {
	const char *name;
	const char *value; /* NULL: absent, see `absence` */
	size_t len;        /* exact bytes; values have no NUL */
	bool secret;       /* comes from a secret, or holds one by $(NAME) */
	bool literal;      /* `value:` in the manifest itself */
	bool shadowed;     /* a later entry of the same name wins */
	enum absence absence;
	struct place place; /* of the entry */
	const char *source; /* "secret nexus-secrets key DATABASE_URL",
	                       "config nexus-config", "literal",
	                       "supervisor's environment" */
	const char *ref_name, *ref_key; /* of valueFrom, else NULL */
	const char *why;        /* for people, when absent: "no such key" … */
	const char *unresolved; /* first $(NAME) left unresolved, or NULL */
};

/* An entry that comes from the same place is the same one for all workers. */
struct declared_environment {
	/* in order; shadowed ones stay, marked */
	const struct declared_env **entries;
	size_t count;
};

/* A secret or a config: where values come from. */
struct declared_source {
	const char *name;
	bool secret;
	const char *kind;   /* "dir", "envFile", "command", "data" */
	const char *origin; /* the path or the command */
	struct place place;
	bool readable;
	const char *why;         /* when not readable */
	const char *const *keys; /* sorted; names only */
	size_t nkeys;
	/* The value of keys[i], exact, so that RV104 can hold a literal against
	 * what the secret says; an entry is NULL where it wasn't read, the
	 * whole may be NULL. Never print one of a secret. */
	const char *const *values;
	/* Not readable, and on this host it can't be expected to be
	 * (decisions.md 32): unknown rather than failed. */
	bool unresolvable;
};

/* One `key: value` of a queue's own keys, in order, expanded; `deadLetter` has
 * the one-URL form's word, `dlq`, as the drivers do. */
struct declared_option {
	const char *key;
	const char *value;
	struct place place;
};

struct declared_objectives { /* -1: not declared */
	int64_t depth, oldest_ms, dead_letters;
	double failure_ratio, lease_expiry_ratio;
	int64_t hold_ms, window_ms, min_count;
};

/* A check, a smoke stage or a job's row: its kind and its parameters as JSON,
 * `$(NAME)` expanded, exactly what probes/ takes as a request
 * (probes/request.h). */
struct declared_probe_request {
	const char *kind;       /* "http", "postgres", "queue", "redis", … */
	const char *json;       /* parameters; may hold secrets: never print */
	const char *unresolved; /* a $(NAME) that is missing, or NULL */
};

/* What a queue's jobs are like; 0 and NULL: not declared. */
struct declared_jobs {
	int64_t longest_ms;
	bool extends;
	int64_t tries, most_tries;   /* tries: 1 at least */
	const char *id, *version;    /* fields of a payload of JSON */
	const char *const *versions; /* NULL-terminated */
	const char *size;            /* likewise a field; NULL: not declared */
	int64_t size_from, size_below;     /* -1: no end */
	struct declared_probe_request row; /* finds what `id` refers to; $(JOB)
	                                      stays in it; kind NULL: none */
};

struct declared_queue {
	const char *name;
	const char *kind; /* "redis", "pgtable", "sqlitetable", … */
	const char *url;  /* expanded, our keys stripped; NULL: unresolved */
	bool url_secret;  /* the URL holds a secret (password) */
	const char *url_unresolved; /* the $(NAME) that is missing */
	const char *real_name;      /* "fileprocess:jobs": list, table, … */
	const char *real_key;       /* which key that is: "list", "table" */
	struct declared_option *options; /* the kind's own keys, url apart */
	size_t noptions;
	struct declared_objectives objectives;
	int64_t count_to; /* one more than what it is judged or scaled by */
	struct declared_jobs jobs;
	const char *enabled_by; /* a variable; NULL: always in use */
	/* patterns; NULL-terminated */
	const char *const *other_names;
	const char *const *other_consumers;
	struct place place, real_name_place;
};

struct declared_binding { /* consumes / produces */
	const struct declared_queue *queue;
	const char
	    *env; /* the variable that must equal the real name; or NULL */
	struct place place;
};

enum drift_policy {
	DRIFT_ALERT = 0,
	DRIFT_RESTART,
	DRIFT_IGNORE
};
struct declared_drift {
	enum drift_policy env, secret, queue, executable, config, replicas;
	enum drift_policy files, user, limits, processes, consumers;
};

struct declared_port {
	const char *name;
	int64_t base;
};

enum declared_probe_kind {
	DECLARED_PROBE_NONE,
	DECLARED_PROBE_EXEC,
	DECLARED_PROBE_HTTP,
	DECLARED_PROBE_TCP
};
struct declared_probe {
	enum declared_probe_kind kind;
	const char *const *command; /* NULL-terminated */
	const char *host, *path;
	const char *const *headers; /* "Name: value" */
	const char *port_name;      /* NULL: port is a number */
	int64_t port;
	int64_t initial_delay_ms, period_ms, timeout_ms;
	int64_t success_threshold, failure_threshold;
};

enum declared_restart {
	DECLARED_ALWAYS,
	DECLARED_ON_FAILURE,
	DECLARED_NEVER
};

enum declared_notify {
	DECLARED_NOTIFY_ABSENT,
	DECLARED_NOTIFY_MESSAGE,
	DECLARED_NOTIFY_NEWLINE,
	DECLARED_NOTIFY_NONE, /* it may speak, but is ready without a word */
};

enum declared_condition {
	DECLARED_STARTED,
	DECLARED_READY,
	DECLARED_COMPLETED
};

enum declared_concurrency {
	DECLARED_ALLOW,
	DECLARED_FORBID,
	DECLARED_REPLACE
};

struct declared_schedule {
	const char *text; /* NULL: it isn't scheduled */
	const char *zone; /* "UTC" */
	struct calendar_rule rule;
	enum declared_concurrency concurrency;
	int64_t starting_deadline_s; /* -1: none */
	bool suspended;
};

/* One entry of dependsOn. */
struct declared_dependency {
	const char *worker;
	enum declared_condition condition;
	struct place place;
};

/* A user or a group: a number, or a name that the host knows. */
struct declared_id {
	const char *text; /* NULL: not declared */
	struct place place;
};

struct declared_security {
	struct place place;
	struct declared_id user, group;
	struct declared_id *groups; /* supplementalGroups */
	size_t ngroups;
	bool non_root;              /* runAsNonRoot */
	bool escalation;            /* allowPrivilegeEscalation */
	bool capabilities;          /* declared at all */
	uint64_t cap_add, cap_drop; /* a bit each; all bits: ALL */
};

enum {
	DECLARED_CPUS_MAX = 1024,
	DECLARED_CPU_WORDS = DECLARED_CPUS_MAX / 64,
};
#define DECLARED_UNLIMITED UINT64_MAX
#define DECLARED_UNSET     INT64_MIN

struct declared_limit {
	const char *name; /* "nofile" */
	uint64_t soft, hard;
};

struct declared_settings {
	struct declared_limit *limits;
	size_t nlimits;
	int64_t nice, oom_score_adj; /* DECLARED_UNSET */
	const char *scheduling;      /* "batch"; NULL */
	const char *io_class;        /* "idle"; NULL */
	int64_t io_level;
	bool has_cpus;
	uint64_t cpus[DECLARED_CPU_WORDS];
	struct place cpus_place;
	uint32_t umask; /* UINT32_MAX: as the init's */
};

/* Complete: what a worker doesn't say is as the supervisor's. */
struct declared_logs {
	const char *format;       /* "none", "plain"… */
	const char *when_blocked; /* "dropNew"… */
	int64_t keep_lines;
	int64_t rate_lines, rate_bytes; /* a second; 0: no limit */
	int64_t burst_ms;
};

/* One entry of envFrom. */
struct declared_import {
	const struct declared_source *source;
	const char *prefix; /* "" */
	bool optional;
	struct place place;
};

struct declared_scale {
	const struct declared_queue *queue; /* NULL: it isn't scaled */
	int64_t min, max, jobs_per_replica, activation;
	int64_t cooldown_ms, stabilization_ms;
};

struct declared_worker {
	const char *name;
	struct place place;
	const char *const *command; /* command + args, NULL-terminated */
	int64_t replicas;           /* with `scale` its minimum */
	struct declared_scale scale;
	enum drift_policy on_stall;
	int64_t stall_after_ms;
	struct declared_binding *consumes;
	size_t nconsumes;
	const char *const *produces; /* queues, by name; NULL-terminated */
	const char *const *requires; /* NULL-terminated */
	struct place requires_place;
	struct declared_import *imports; /* envFrom, in order */
	size_t nimports;
	struct declared_environment env; /* final, provenance kept */
	const char *working_dir;         /* NULL */
	const char *const *files; /* that it reads; NULL-terminated, or NULL */
	struct declared_security security;
	struct declared_settings settings;
	struct declared_port *ports;
	size_t nports;
	struct declared_probe readiness, liveness, startup;
	struct declared_probe pre_stop; /* only what it does */
	struct declared_dependency *dependencies;
	size_t ndependencies;
	struct declared_schedule schedule; /* then `replicas` is 0 */
	bool init;             /* of initWorkers: these come first */
	int64_t deadline_ms;   /* activeDeadlineSeconds; 0: none */
	int64_t backoff_limit; /* -1: retried for ever */
	int64_t grace_ms;
	int64_t memory_limit_bytes, cpu_limit_milli, pids_limit; /* -1 */
	enum declared_restart restart;
	int64_t backoff_first_ms, backoff_cap_ms;
	int64_t start_limit_count, start_limit_window_ms; /* 0: off */
	int64_t alert_after_count, alert_after_window_ms; /* 3 per 1h */
	enum declared_notify notify;
	int64_t notify_fd, watchdog_ms; /* 0: none */
	int64_t max_unavailable;        /* a number, or a percentage */
	bool max_unavailable_percent;
	struct declared_drift on_drift;
	struct declared_logs logs;
};

struct declared_producer {
	const char *name;
	struct place place;
	struct declared_binding *produces;
	size_t nproduces;
	struct declared_import *imports;
	size_t nimports;
	struct declared_environment env;
};

struct declared_check {
	const char *name;
	struct place place;
	struct declared_probe_request request;
	int64_t timeout_ms;
	bool required;
};

struct declared_stage {
	const char *name;
	struct place place;
	struct declared_probe_request request; /* kind "queue" too: state */
	const struct declared_queue *queue;    /* of kind "queue" */
	const char *state; /* "visible", "taken", "gone", "dead" */
	int64_t within_ms;
	const char *by; /* column, key or field that says who processed */
};

struct declared_smoke {
	const char *name;
	struct place place;
	bool isolated; /* mode: isolated */
	const struct declared_queue *queue;
	const char *payload; /* with $(CANARY) still in it */
	struct declared_stage *stages;
	size_t nstages;
	int64_t floor_ms; /* 0: not declared */
	struct declared_probe_request *cleanup;
	size_t ncleanup;
};

struct declared_alert {
	const char *name;
	struct place place;
	const char *kind;   /* "webhook", "slack", "command", "stderr", … */
	const char *url;    /* secret */
	const char *key;    /* secret: hmacKey, routingKey; NULL: none */
	const char *format; /* webhook: "json", "slack" */
	const char *const *command;
	int64_t repeat_ms; /* alertmanager: `resend` */
	int64_t group_wait_ms;
	bool by_subject; /* groupBy */
	enum severity min_severity;
};

struct declared_alert_rule {
	const char *kind;
	struct place place;
	int64_t for_ms;
	bool has_severity, send;
	enum severity severity;
};

/* alertPresets.default; the other preset is in the queues' objectives and the
 * workers' alertAfter. */
struct declared_preset {
	bool on;
	int64_t no_consumer_ms, lease_expired_ms, absent_ms, window_ms;
	int64_t oldest_factor, success_factor, canary_factor;
	int64_t attempts, dead_letters, min_count;
};

struct declared_waiver {
	const char *id, *subject, *because, *owner, *expires; /* YYYY-MM-DD */
	struct place place;
};

struct declared_inert {  /* accepted, not acted on yet (decisions.md 15) */
	const char *key; /* "workers[0].scale" */
	struct place place;
};

/* Where status is served; a reload may change each of it. */
struct declared_status {
	const char *listen; /* NULL: not declared, nothing listens */
	const char *token;  /* secret; NULL: whoever can connect may look */
	/* what the token lacks: then nothing may be served; or NULL */
	const char *token_unresolved;
	const char *certificate, *key; /* paths of PEM files; NULL: plain */
};

struct declared_supervisor {
	int64_t grace_ms;        /* -1 */
	int64_t exit_on_term;    /* 0 or 143 */
	const char *second_term; /* "ignore" */
	const char *exit_code;   /* "worst" */
	int64_t liveness_port;   /* -1 */
	int64_t observe_every_ms;
	struct declared_status status;
	struct declared_logs logs;
	const char *control_group; /* NULL */
};

struct declared {
	struct arena *arena;
	const char *file;
	const char *name;
	char digest[65]; /* SHA-256 of the text without secrets, hex */
	struct declared_source *sources;
	size_t nsources;
	struct declared_environment env; /* top level */
	const char *queue_names;         /* a regular expression, or NULL */
	struct declared_queue *queues;
	size_t nqueues;
	struct declared_worker *workers;
	size_t nworkers;
	struct declared_producer *producers;
	size_t nproducers;
	struct declared_check *checks;
	size_t nchecks;
	struct declared_smoke *smokes;
	size_t nsmokes;
	struct declared_alert *alerts;
	size_t nalerts;
	struct declared_alert_rule *alert_rules;
	size_t nalert_rules;
	struct declared_preset preset;
	struct declared_waiver *waivers;
	size_t nwaivers;
	struct declared_inert *inert;
	size_t ninert;
	struct declared_supervisor supervisor;
};

/* All errors of a manifest, in the order of their place. */
struct manifest_error {
	struct place place;
	const char *text; /* ends with the valid alternatives where there are */
};
struct manifest_errors {
	struct manifest_error *errors;
	size_t count;
};

struct inputs;
struct declared_options {
	const char *const *environ; /* the supervisor's environment; NULL: not
	                              known, so a name may be in it */
	/* --secret NAME=dir:PATH | NAME=env:PREFIX, as given; NULL-terminated
	 */
	const char *const *secret_overrides;
	int64_t command_timeout_ms; /* for `command:` secrets; 0: 10 s */
	int64_t deadline_ms;        /* monotonic: of all of them; 0: none */
	/* lint: runs no `command:`; what it would give is
	 * ABSENT_UNRESOLVABLE */
	bool no_commands;
	/* manifests/inputs.h: what another process has read, so that nothing is
	 * opened here; or where to put what is. NULL: neither. */
	struct inputs *inputs;
	struct buffer *record;
};

/*
 * Reads, validates and resolves. -1 with `errors` filled (in `arena`) when the
 * text is refused (exit 78), or with only `err` when it can't be read at all.
 * Secrets' values are added to `redactor` if it isn't NULL.
 */
int declared_load(const char *path, const struct declared_options *options,
    struct arena *arena, struct redactor *redactor, struct declared **ret,
    struct manifest_errors *errors, struct err *err) MUST_CHECK;

const struct declared_queue *declared_queue_find(
    const struct declared *declared, const char *name);
const struct declared_worker *declared_worker_find(
    const struct declared *declared, const char *name);
/* The winning entry, or NULL. */
const struct declared_env *declared_env_find(
    const struct declared_environment *env, const char *name);

#endif
