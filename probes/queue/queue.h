/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_QUEUE_H
#define REEVE_PROBES_QUEUE_QUEUE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "probes/ladder.h"
#include "probes/observed.h"
#include "probes/pids.h"
#include "probes/queue/state.h"

/*
 * A queue, whatever it is made of: opened from what was declared (kind, url,
 * the kind's own keys) or from one URL, and asked through one table of
 * drivers. Calls block, within `deadline_ms`: they belong into a prober or a
 * reference worker, never into the init or the operator.
 *
 * A call that fails leaves, beside its struct err, what a program can decide
 * on in `queue->cause` and `queue->code` ("28P01", "NOPERM").
 */
struct queue_option {
	const char *key, *value;
};

struct queue_spec {
	const char *kind; /* "redis", "pgtable", "sqlitetable", "sqlite" */
	const char *url;  /* of the server or file, our own keys taken off */
	const struct queue_option *options;
	size_t noptions;
	/* Where jobs are counted one by one (tables): as far as this. One more
	 * than the largest number that anything judges the queue by tells
	 * "more" from "as many"; queue_open keeps it within QUEUE_COUNT_…. */
	int64_t count_to;
};

enum {
	QUEUE_CODE_SIZE = 32,
	QUEUE_ID_SIZE = 128,
	QUEUE_OWNER_SIZE = 192,
	QUEUE_NONCE_SIZE = 33,
	QUEUE_PAYLOAD_MAX = 1 << 20, /* of one job; larger: dead at once */
	QUEUE_NEAR_MAX = 8,
	QUEUE_WHO_MAX = 256,   /* consumers listed; all are counted */
	QUEUE_MOVE_MAX = 1000, /* jobs of one call of move */
	QUEUE_REAP_MAX = 1000, /* leases, or owners, of one call of reap */
	/* What an index gives in about the time that one row needs,
	 * connection, planning and answer included */
	QUEUE_COUNT_MIN = 5001,
	QUEUE_COUNT_MAX = 1000001,
};

/* Who consumes, for the calls that claim. Borrowed. */
struct queue_consuming {
	const char *owner;    /* "fileprocess/0 pid 17 3f2a…": this process */
	int64_t lease_ms;     /* of each claim and each extension */
	int64_t max_attempts; /* a job that would be claimed once more is dead;
	                         a table's own column wins where declared */
};

struct queue_driver;
struct queue {
	const struct queue_driver *driver;
	struct arena arena; /* lives as long as the handle */
	struct queue_spec spec;
	const char *name;    /* the real name: list, table or queue */
	const char *target;  /* for people: "127.0.0.1:6379 db 0 list a" */
	int64_t deadline_ms; /* monotonic, of every call; the caller's to set */
	enum cause cause;    /* of the last failure */
	char code[QUEUE_CODE_SIZE];
	struct ladder ladder; /* how far open came */
	struct queue_consuming consuming;
	/* The processes that the asker knows as its own. A server with many
	 * clients can show each of them for each of its queues: an asker that
	 * says so gets its own and a few others. NULL: all are listed. */
	struct pids asker;
	void *state; /* the driver's own */
};

/* Whether a consumer that doesn't say what it reads is to be listed: those of
 * the asker's sessions, and a few of the rest, counted in `passers`. */
bool queue_lists(
    const struct queue *queue, int64_t pid, int64_t session, size_t *passers);

/* A canary, or any other job that is put in. `payload` holds the canary's id
 * already. */
struct queue_submission {
	const char *canary;  /* UUID */
	const char *payload; /* bytes; may hold a NUL where the store allows */
	size_t len;
	const char *receipt; /* follow and remove: what submit answered */
};

enum queue_place {
	PLACE_UNKNOWN = 0, /* `detail` says why */
	PLACE_VISIBLE,     /* waits */
	PLACE_TAKEN,       /* a consumer has it, or had it and it will be
	                      tried again */
	PLACE_GONE,        /* it left the queue; `done` when that is known to
	                      be success */
	PLACE_DEAD,        /* dead letters, or failed for good */
};
const char *queue_place_name(enum queue_place place); /* "visible"… */

struct queue_sighting {
	enum queue_place place;
	bool done;          /* PLACE_GONE by success, as the queue recorded */
	const char *by;     /* owner, "" unknown */
	int64_t attempts;   /* -1 unknown */
	const char *detail; /* "status 'processing'", "retry in 3 s"; never NULL
	                     */
};

/* A job in hand. */
struct queue_job {
	char id[QUEUE_ID_SIZE];
	int64_t attempt;              /* 1 is the first */
	int64_t max_attempts;         /* the table's own; 0: the worker's */
	struct buffer payload;        /* the exact bytes */
	char nonce[QUEUE_NONCE_SIZE]; /* of this claim */
	char token[256];              /* the driver's proof of this claim */
};

/* --- jobs as people look at them, and move them back: struct queue_item and
 * struct queue_page are in state.h ------------------------------------------
 */

/* Jobs to be moved to the waiting ones: those of PART_DEAD or PART_EXPIRED
 * whose id is listed and which are still there, each once. */
struct queue_move {
	enum queue_part from;
	const char *const *ids;
	size_t nids; /* QUEUE_MOVE_MAX at most */
	bool force;  /* also where the queue might drop what it had before */
};
struct queue_moved {
	const bool *moved; /* of each id: false: it wasn't there any more */
	size_t count;      /* how many were moved */
	/* What each is called now: a system that can't but put a copy in gives
	 * it an id of its own. NULL: every one keeps its id. */
	const char *const *as;
};

/* Leases to be ended because their holder's process is over: those of replicas
 * of these workers, by owner.h, and of nobody else. */
struct queue_reap {
	const char *const *workers;
	size_t nworkers;
};
struct queue_reaped {
	const char **ids, **owners; /* of each lease that was ended */
	size_t count;
};

/* One queue of many that are looked at together. */
struct queue_pass {
	struct queue *queue;
	struct arena *arena; /* of the answer */
	struct queue_state state;
	int rc; /* as queue_observe's */
	struct err err;
	bool done; /* for whoever goes through the many */
};

/* Which jobs PART_NEWEST is of. */
enum queue_newest {
	NEWEST_NONE = 0,
	NEWEST_WAITING,
	NEWEST_ALL /* those in work too */
};

struct queue_driver {
	const char *kind;
	const char *const *schemes; /* of the one-URL form, NULL-terminated */
	const char *name_key;       /* which key is the real name: "list" */
	const char *const *keys; /* all own keys, NULL-terminated, name_key too
	                          */
	/* Keys of the client library or the connection, which stay on the URL,
	 * NULL-terminated; `any_key`: it refuses itself what it doesn't know */
	const char *const *client_keys;
	bool any_key;
	bool deep_path;    /* the URL's path may have more than one part */
	bool name_in_path; /* its last part is the name where name_key is
	                      absent */
	bool consumes;     /* claim … bury exist */
	bool left_out;     /* of this build: its row is all that there is */
	enum queue_newest newest; /* `list` has PART_NEWEST */
	int (*open)(struct queue *queue, struct err *err);
	void (*close)(struct queue *queue);
	int (*observe)(struct queue *queue, struct arena *arena,
	    struct queue_state *ret, struct err *err);
	/* NULL: one after the other. Drivers with the same function go
	 * together. */
	void (*observe_many)(struct queue_pass *all, size_t count);
	int (*near)(struct queue *queue, struct arena *arena,
	    struct queue_state *state, struct err *err);
	void (*near_many)(struct queue_pass *all, size_t count); /* as above */
	int (*submit)(struct queue *queue, const struct queue_submission *job,
	    struct arena *arena, const char **ret_receipt, struct err *err);
	int (*follow)(struct queue *queue, const struct queue_submission *job,
	    struct arena *arena, struct queue_sighting *ret, struct err *err);
	int (*remove)(struct queue *queue, const struct queue_submission *job,
	    bool *ret_removed, struct err *err);
	/* NULL: this technology can't show or move them */
	int (*list)(struct queue *queue, enum queue_part part, size_t limit,
	    struct arena *arena, struct queue_page *ret, struct err *err);
	int (*move)(struct queue *queue, const struct queue_move *move,
	    struct arena *arena, struct queue_moved *ret, struct err *err);
	/* NULL: it isn't known who holds what */
	int (*reap)(struct queue *queue, const struct queue_reap *reap,
	    struct arena *arena, struct queue_reaped *ret, struct err *err);
	int (*claim)(struct queue *queue, int64_t wait_ms,
	    struct queue_job *ret, bool *ret_got, struct err *err);
	int (*extend)(struct queue *queue, struct queue_job *job,
	    bool *ret_held, struct err *err);
	int (*finish)(struct queue *queue, struct queue_job *job,
	    bool *ret_held, struct err *err);
	int (*fail)(struct queue *queue, struct queue_job *job,
	    int64_t retry_ms, bool *ret_held, struct err *err);
	int (*bury)(struct queue *queue, struct queue_job *job,
	    const char *reason, bool *ret_held, struct err *err);
	int (*release)(struct queue *queue, struct queue_job *job,
	    bool *ret_held, struct err *err);
	int (*heartbeat)(struct queue *queue, bool leaving, struct err *err);
};

/* All drivers, for messages and for strict reading of manifests. */
const struct queue_driver *const *queue_drivers(size_t *ret_count);
const struct queue_driver *queue_driver_find(const char *kind); /* or NULL */
/* Whether looks at queues of this kind share round trips with others of their
 * server. */
bool queue_observes_together(const char *kind);

/*
 * Takes a one-URL form apart: `redis://h/0?list=a`, `pgtable+postgresql://…`,
 * `sqlite:///p.db?queue=jobs` (queues.md part 3). Our keys are taken off the
 * URL; an unknown key, a second '?' and a second path are errors that say so.
 */
int queue_spec_from_url(struct arena *arena, const char *url,
    struct queue_spec *ret, struct err *err) MUST_CHECK;
/* Whether `text` looks like a one-URL form, as opposed to a queue's name. */
bool queue_is_url(const char *text);

/*
 * Opens, which connects. The spec is copied. A kind of NULL or "" means that
 * `url` is the one-URL form. `ret` is filled as far as it came even when it
 * fails (cause, code, ladder): call queue_close in either case.
 */
int queue_open(struct queue *ret, const struct queue_spec *spec,
    int64_t deadline_ms, struct err *err) MUST_CHECK;
/* For a consumer, whose name the server will know. */
int queue_open_consuming(struct queue *ret, const struct queue_spec *spec,
    const struct queue_consuming *consuming, int64_t deadline_ms,
    struct err *err) MUST_CHECK;
void queue_close(struct queue *queue);

/* Counts, ages, consumers; every field that can't be known says why. Bounded
 * whatever the queue's size. Texts go into `arena`. -1 only when nothing could
 * be seen at all. */
int queue_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err) MUST_CHECK;
/* The same of many, each with a result of its own; `queue` and `arena` are set.
 * Those on one server share their round trips where the technology can. */
void queue_observe_many(struct queue_pass *all, size_t count);
/* Adds names that exist and are like the one asked for, the nearest first. */
int queue_near_names(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err) MUST_CHECK;
/* The same of many whose state was seen. */
void queue_near_names_many(struct queue_pass *all, size_t count);

/* The receipt is what follow and remove need to find the job again. */
int queue_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err) MUST_CHECK;
int queue_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret,
    struct err *err) MUST_CHECK;
/* Not while a consumer has it in hand; `ret_removed` says
 * whether it was there. */
int queue_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err) MUST_CHECK;

/* Looks at jobs without touching them: `limit` at most, the oldest first. A
 * part that the technology doesn't have is an error of kind ERR_UNSUPPORTED. */
int queue_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err) MUST_CHECK;
/* Moves jobs back to the waiting ones, atomically in the system's own way:
 * each that is still there, once. A dead letter's attempts are counted anew, an
 * expired claim's go on. An id that stands there twice means two equal jobs,
 * where a technology can't tell them apart. An error leaves every job where it
 * was, or says how far it came. */
int queue_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err) MUST_CHECK;

/* Ends the leases of dead processes of this machine, each at most once and only
 * while that very process holds it; the next claim takes the job back as if
 * the lease had run out, so that the attempt counts. A technology where it
 * isn't known who holds what: ERR_UNSUPPORTED. */
int queue_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err) MUST_CHECK;

/*
 * Consuming; the handle was opened for it. Each call but claim says in
 * `ret_held` whether this claim still held the job: false means that another
 * has it by now (or that this same call succeeded before and its answer was
 * lost), nothing was changed, and the result must be thrown away.
 */
int queue_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err) MUST_CHECK;
int queue_extend(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err) MUST_CHECK;
int queue_finish(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err) MUST_CHECK;
/* To be tried again, not before `retry_ms` from now. */
int queue_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err) MUST_CHECK;
/* To the dead letters. */
int queue_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err) MUST_CHECK;
/* Given back as if it had never been claimed: the attempt isn't counted. */
int queue_release(struct queue *queue, struct queue_job *job, bool *ret_held,
    struct err *err) MUST_CHECK;
/* Tells the store that this consumer lives, where it has a place for that. */
int queue_heartbeat(
    struct queue *queue, bool leaving, struct err *err) MUST_CHECK;

void queue_job_init(struct queue_job *job);
void queue_job_fini(struct queue_job *job);

/* For drivers. */
const char *queue_option(const struct queue *queue, const char *key);
int queue_trouble(struct queue *queue, enum cause cause, const char *code,
    struct err *err, enum err_kind kind, const char *fmt, ...)
    PRINTF_LIKE(6, 7);
struct queue_number queue_exact(int64_t value);
/* Of a count that stopped at `count_to`. */
struct queue_number queue_counted(int64_t count, int64_t count_to);
struct queue_number queue_unknown(const char *why);
struct queue_number queue_inapplicable(void);
/* Which of a move's ids `id` is, and not moved yet; `move->nids`: none. */
size_t queue_move_wanted(
    const struct queue_move *move, const bool *moved, const char *id);
/* The error of a move that came as far as `count` of `wanted`: where any was
 * moved it is no refusal any more. Returns -1. */
int queue_moved_so_far(
    struct queue *queue, size_t count, size_t wanted, struct err *err);
int64_t queue_remaining_ms(const struct queue *queue); /* >= 0 */
/* Whether the lease of that owner is to be ended. */
bool queue_reap_is_due(const struct queue_reap *reap, const char *owner);
void queue_reaped_add(struct queue_reaped *ret, struct arena *arena,
    const char *id, const char *owner);
/* Says of each consumer whether it is one of `owners`, who hold leases that are
 * in force; those that aren't listed and may live are added. */
void queue_mark_holders(struct arena *arena, struct queue_state *state,
    const char *const *owners, size_t count);
void queue_nonce(char dst[QUEUE_NONCE_SIZE]); /* 128 random bits, hex */

#endif
