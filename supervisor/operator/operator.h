/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_OPERATOR_H
#define REEVE_SUPERVISOR_OPERATOR_OPERATOR_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/loop.h"
#include "base/secret.h"
#include "supervisor/operator/alerts.h"
#include "supervisor/operator/consumers.h"
#include "supervisor/operator/counters.h"
#include "supervisor/operator/deaths.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/events.h"
#include "supervisor/operator/files.h"
#include "supervisor/operator/history.h"
#include "supervisor/operator/http.h"
#include "supervisor/operator/intent.h"
#include "supervisor/operator/names.h"
#include "supervisor/operator/queues.h"
#include "supervisor/operator/reconcile.h"
#include "supervisor/operator/rules.h"
#include "supervisor/operator/running.h"
#include "supervisor/operator/samples.h"
#include "supervisor/operator/scale.h"
#include "supervisor/operator/scaling.h"
#include "supervisor/operator/trend.h"
#include "supervisor/wire/client.h"
#include "supervisor/wire/plan.h"

/*
 * The operator: keeps what runs at what is declared, and tells somebody where
 * that can't be. It may be killed at any moment: what it must not forget lies
 * with the init (the plan, with generations and scaled replicas) or in its
 * state directory (notes.h, the alert spool), and everything else it sees
 * again.
 *
 *     operator.c   life, the loop, the wire to the init
 *     reload.c     the manifest, read again (reading.c: by a child)
 *     plans.c      what the init should have, and sending it
 *     views.c      how each worker stands beside its declaration: drift
 *     live.c       the processes as they are now; live_compare.c judges
 *     consumers.c  to what they, and others, are connected
 *     judge.c      a pass: drift, reconcile, and doing it
 *     preview.c    the same without doing it: `reeve plan`
 *     ceiling.c    memory limits that no cgroup holds
 *     conditions.c what of it somebody should be told
 *     notes.c      what is remembered on disk
 *     watch.c      news of the manifest and of secrets (inotify)
 *     events.c     what happened, kept in store.c
 *     queues.c     observation of the declared queues: endpoint.c asks,
 *                  queue_seen.c keeps the answers
 *     scaling.c    replicas by a queue (scale.c)
 *     leases.c     who is told to end and holds a job gets more time
 *     deaths.c     what the dead held is given back
 *     trend.c      how the queues were, kept in store.c
 *     rules.c      what of them somebody should be told, by thresholds:
 *                  objectives.c, preset.c
 *     stall.c      who takes nothing of what waits
 *     status.c     what is said about it all; control.c to whom, ask.c who
 *                  asks, orders.c what is ordered
 *     serve.c      the same over TCP, for reading: metrics.c, page.c, ready.c
 */
struct reload;
struct watch;
struct control;
struct serve;

enum {
	STALL_RESTARTS_MAX = 3 /* of a worker, in an hour */
};

/* What is known of one declared worker beside what is declared and what runs.
 */
struct tracked {
	char name[WORKER_NAME_MAX + 1];
	struct reconcile_memory memory;
	struct reconcile_standing standing; /* at the last pass */
	uint64_t generation; /* wanted; goes up with each ordered restart */
	int64_t scale;       /* replicas by order, or -1 */
	int64_t scale_over;  /* the declared number that it overrides */
	struct scale_memory by_queue; /* with `scale` */
	/* restarts because it stalled; monotonic, 0: none */
	int64_t stall_ms[STALL_RESTARTS_MAX];
	const char *held; /* why not the declared configuration; NULL */
	bool in_manifest;
};

/* A plan on its way, or in force. */
struct operator_plan {
	struct plan plan; /* decoded, with a memfd */
	struct fingerprint print;
	struct names names; /* of its workers */
	bool known;
};

enum {
	OLD_PLANS_MAX = 16 /* that the init holds at once */
};

/* The actions of the last pass that had any. */
enum {
	LAST_MAX = 64
};
struct last_action {
	enum action_kind kind;
	uint32_t replica;
	char worker[WORKER_NAME_MAX + 1];
};
struct operator_last {
	int64_t wall_ms;
	struct last_action actions[LAST_MAX];
	size_t count;
};

enum {
	/* two for each server of queues, of which a manifest names at most
	 * some ten thousand, and a few dozen of our own */
	OPERATOR_TIMERS_MAX = 32768
};

struct operator_core {
	struct loop loop;
	/* OPERATOR_TIMERS_MAX of them, of which only what was used is memory */
	struct loop_timer **timers;
	struct loop_source init_source, signal_source;
	struct loop_timer pass_timer, alive_timer, rest_timer;
	const char *manifest;
	const char *const *environment;
	const char *const *secrets; /* --secret, as given */
	struct wire_client init;
	struct fingerprint_key key;
	char name[64];
	char socket_dir[108]; /* "": only abstract names */
	char *state_dir;      /* NULL: none */
	int64_t started_ms, started_wall_ms;

	struct intent *intent; /* NULL: the manifest was never readable */
	struct buffer refusal; /* why the manifest on disk is refused; "" */
	bool intent_refused;   /* the init won't have what it comes to */
	char plan_refusal[WIRE_TEXT_MAX];
	struct running running;
	struct operator_plan applied, sent;
	/* What the plan was composed of last, and what it came to. */
	struct fingerprint composed_of, composed;
	int64_t sent_ms;
	uint32_t sent_sequence, plan_sequence, kept_sequence;
	uint32_t old_sequences[OLD_PLANS_MAX]; /* awaited; 0: free */
	bool asked_old, has_composed;
	struct fingerprint refused; /* the plan that was refused last */
	bool has_refused;
	struct tracked *tracked;
	size_t ntracked, tracked_room;
	struct names tracked_names;
	struct history history;
	struct files files;
	int64_t files_since_ms; /* monotonic: older looks at them are stale */
	struct alerts alerts;
	struct rules rules;
	struct store store;
	struct events *events; /* NULL: none can be kept */
	struct trend *trend;   /* likewise */
	struct reload *reload;
	struct watch *watch;
	struct queues *queues;
	struct deaths *deaths;
	struct control *control;
	struct serve *serve;
	struct counters counters;
	struct samples samples;
	struct live *live;
	struct consumers consumers;

	struct arena drift_arena; /* of the list below; made anew each pass */
	struct drift_list drift;
	/* whether it is of this declaration, and of what the init has told */
	bool judged;
	bool plan_under_way; /* the init hasn't got yet what it should have */
	struct operator_last last;
	int64_t snapshot_due_ms;
	bool draining, ready, stop;
	bool trim_due;  /* much was allocated, and most of it freed */
	bool notes_due; /* something that notes.c keeps has changed */
	bool keep_due;  /* the good configurations have changed */
	int exit_code;
	char told[128]; /* what the init was last told about us */
};

struct operator_options {
	const char *manifest;
	const char *const *environment; /* NULL-terminated, as the two below */
	const char *const *secrets;     /* --secret NAME=dir:PATH|env:PREFIX */
	int wire_fd;
};

/* Runs until the init closes the wire or says so; returns an exit code. */
int operator_run(const struct operator_options *options);

/* --- operator.c --- */
/* Has a pass made soon: at once if `at_ms` is past. */
void operator_wake(struct operator_core *op, int64_t at_ms);
struct tracked *operator_track(struct operator_core *op, const char *name);
/* Without making one; `otherwise` where there is none. */
const struct tracked *operator_tracked(const struct operator_core *op,
    const char *name, const struct tracked *otherwise);
const struct declared_worker *operator_declared(
    const struct operator_core *op, const char *name, size_t *ret_index);

/* --- reload.c --- */
typedef void reload_done_fn(void *arg, bool ok, const char *text);

struct reload *reload_new(struct operator_core *op);
void reload_free(struct reload *reload);
/* Reads the manifest again, in a child: what it comes to is in force once it is
 * read, or op->refusal says why not. `why` is for the log, a static text or
 * NULL. */
void operator_reload(struct operator_core *op, const char *why);
/* The same; `done` is called once with how a reading that began after this call
 * ended. */
int operator_reload_then(struct operator_core *op, const char *why,
    reload_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The first reading of all: waits for it, or for op->stop. */
int reload_first(struct operator_core *op, struct err *err) MUST_CHECK;
/* Puts `intent` in force. */
void reload_take(struct operator_core *op, struct intent *intent);

/* --- plans.c --- */
/* Takes over `fd`, the memfd of the plan that the init has. */
int plans_adopt(struct operator_core *op, int fd, struct err *err) MUST_CHECK;
/* What the init has of a worker; false: nothing. */
bool plans_applied(
    const struct operator_core *op, const char *name, struct worker_spec *ret);
/* Whether the init has what it should have. */
bool plans_current(struct operator_core *op);
/* Makes the plan and sends it. */
void plans_send(struct operator_core *op);
/* What the plan depends on has changed: from now on, and not only from the next
 * pass on, another one is on its way to the init. */
void plans_want_another(struct operator_core *op);
void plans_replied(struct operator_core *op, const struct wire_reply *reply);
/* Has the init keep the good configurations for our successor; and takes in
 * what our predecessor had kept. */
void plans_keep(struct operator_core *op);
/* Asks for the plans that instances with an unknown configuration were started
 * from: a roll that was under way goes on by its policy. */
void plans_ask_old(struct operator_core *op);
/* An older plan: only known, not in force. */
void plans_learn(struct operator_core *op, int fd);
void plans_kept(struct operator_core *op, int fd);
void plans_drop_sent(struct operator_core *op);
void plans_fini(struct operator_core *op);

/* Which configuration a worker of `intent` is to have, and how many of it.
 * False: none, it has to wait. `ret_held` says why it isn't the declared one;
 * NULL: it is. Changes nothing. */
bool plans_choice(const struct operator_core *op, const struct intent *intent,
    size_t which, struct worker_spec *ret, const char **ret_held);

/* --- views.c --- */
/* The workers of `intent`, in its order, in `arena`; what differs is added to
 * `list`, which has its own. `planned`: as if the init had the plan that
 * `intent` comes to. */
struct reconcile_worker *views_make(struct operator_core *op,
    const struct intent *intent, bool planned, struct arena *arena,
    struct drift_list *list, int64_t now_ms);

/* --- preview.c --- */
/* What reconcile would do for `intent`, as reeve.plan/1. */
void preview_write(
    struct operator_core *op, const struct intent *intent, struct buffer *out);
/* --- judge.c --- */
/* Looks at everything and does what is to be done; returns when to look again
 * if nothing happens before. */
int64_t judge_pass(struct operator_core *op);

/* --- conditions.c --- */
/* Says what is wrong to alerts.c; returns when time alone may change it. */
int64_t conditions_judge(struct operator_core *op, int64_t now_ms);

typedef void condition_fn(void *arg, const struct alert_condition *condition);

/* --- stall.c --- */
/* The workers that are ready and take nothing of what waits. */
void stall_judge(
    struct operator_core *op, int64_t now_ms, condition_fn *fn, void *arg);
/* The replica to restart for it by `onStall`; it is counted. NULL: none. */
struct running_instance *stall_restart(struct operator_core *op,
    const struct declared_worker *declared, struct running_worker *worker,
    int64_t now_ms);

/* --- leases.c --- */
/* Whether `who` is a replica of the worker that holds a job. */
bool leases_holder(
    const struct queue_consumer *who, const char *worker, int64_t *ret_replica);
/* Puts off the end of those that hold one and were told to end. */
void leases_saw(struct operator_core *op, const struct queue_view *view);
void leases_judge(struct operator_core *op);

/* --- ceiling.c --- */
/* Looks once for workers above a memory limit that no cgroup holds. */
void ceiling_look(struct operator_core *op);

/* --- notes.c --- */
void notes_read(struct operator_core *op);
void notes_write(struct operator_core *op);
/* Opens the history and asks the init for the events that it hasn't got. It may
 * be missing: nothing depends on it. */
void notes_open_history(struct operator_core *op);

/* --- watch.c --- */
struct watch *watch_new(struct operator_core *op, struct err *err);
void watch_free(struct watch *watch);
/* After each reading of the manifest: what is to be watched now. */
void watch_set(struct watch *watch);

/* --- status.c --- */
void status_write(struct operator_core *op, struct buffer *out);
void status_diff(struct operator_core *op, struct buffer *out);
/* reeve.events/1, by the request's `since_ms`, `after`, `worker` and `limit`.
 * ERR_INPUT: they are wrong. */
int status_events(struct operator_core *op, struct http_request *request,
    struct err *err) MUST_CHECK;
/* reeve.history/1, by the request's `queue` and `since_ms`, likewise. */
int status_history(struct operator_core *op, struct http_request *request,
    struct err *err) MUST_CHECK;

/* What it is: "running", "degraded"… */
const char *status_operator_state(const struct operator_core *op);
/* Counts what is ready anew. */
void status_recount(struct running_worker *worker);

/* --- ready.c --- */
/* Whether every declared worker has its replicas, and all of it is known;
 * `why`, a line for each that hasn't or isn't. */
bool ready_judge(struct operator_core *op, struct buffer *why);

/* --- metrics.c --- */
void metrics_write(
    struct operator_core *op, struct buffer *out, bool openmetrics);

/* --- serve.c --- */
struct serve *serve_new(struct operator_core *op);
void serve_free(struct serve *serve);
/* After each reading of the manifest: listens where it says now. Before the
 * first one: where the last one that an operator of this init accepted said. */
void serve_set(struct serve *serve);
/* `status_server` of reeve.status/1. */
void serve_write(const struct serve *serve, struct jsonw *json);

/* --- control.c --- */
struct control *control_new(struct operator_core *op, struct err *err);
void control_free(struct control *control);

#endif
