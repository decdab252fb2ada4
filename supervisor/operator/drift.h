/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_DRIFT_H
#define REEVE_SUPERVISOR_OPERATOR_DRIFT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/secret.h"
#include "manifests/declared.h"
#include "worker/spec.h"

/*
 * How what runs differs from what is declared: by worker, class and key, with
 * the place of the declaration and fingerprints as evidence. Never a value,
 * whether secret or not.
 */
enum drift_class {
	DRIFT_CLASS_ENV = 0,
	DRIFT_CLASS_SECRET,
	DRIFT_CLASS_CONFIG, /* a config's value; command, directory, ids, limits
	                     */
	DRIFT_CLASS_QUEUE,  /* the variable that carries a queue's name */
	DRIFT_CLASS_EXECUTABLE,
	DRIFT_CLASS_FILES,     /* content of what `files` names */
	DRIFT_CLASS_USER,      /* of the process, as it is now */
	DRIFT_CLASS_LIMITS,    /* of the process, as they are now */
	DRIFT_CLASS_PROCESSES, /* that nobody declared */
	DRIFT_CLASS_CONSUMERS, /* that nobody declared */
	DRIFT_CLASS_REPLICAS,
	DRIFT_CLASSES
};

struct drift {
	const char *worker;
	const char *instances; /* "0, 2"; "" of the worker as a whole */
	enum drift_class kind;
	enum drift_policy policy;
	const char *key;      /* "VOYAGE_API_KEY", "command", "replicas" */
	const char *summary;  /* one line, for people */
	const char *observed; /* of what runs: a fingerprint, a number */
	const char *expected; /* of what is declared */
	const char *source;   /* where it comes from: "secret s key K" */
	struct place place;
	const char *command; /* of DRIFT_CLASS_REPLICAS: what mends it */
};

enum {
	DRIFT_MAX = 4096,
	DRIFT_UNKNOWN_MAX = 64
};
struct drift_list {
	struct arena *arena;
	struct drift *items;
	size_t count;
	bool cut; /* there are more than DRIFT_MAX */
	/* what could not be compared, each once */
	const char *unknown[DRIFT_UNKNOWN_MAX];
	size_t nunknown;
};

/* What `check` and `diagnose` call the same difference: "RV121". */
const char *drift_finding(enum drift_class kind);
const char *drift_class_name(enum drift_class kind);
const char *drift_policy_name(enum drift_policy policy);
enum drift_policy drift_policy_of(
    const struct declared_drift *policies, enum drift_class kind);

/* Somebody else's doing: a restart of the worker mends nothing. */
bool drift_is_foreign(enum drift_class kind);
/* Whether it is about the replica of this index ("2"). */
bool drift_concerns(const struct drift *item, const char *index);

void drift_add(struct drift_list *list, const struct drift *item);
/* Something that can't be seen, and why; said before, it isn't again. */
void drift_unknown(struct drift_list *list, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
/* Compares one configuration that runs with the one that is declared. Adds
 * what differs, and returns the strongest policy among it: restart before
 * alert before ignore. `running` NULL: it isn't known what they were started
 * with, only that it was something else. */
enum drift_policy drift_compare(struct drift_list *list,
    const struct fingerprint_key *key, const struct declared_worker *worker,
    const struct worker_spec *declared, const struct worker_spec *running,
    const char *instances);

#endif
