/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_FOREIGN_H
#define REEVE_MANIFESTS_FOREIGN_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "manifests/declared.h"

/*
 * Other descriptions of the same system: Kubernetes objects and Compose files,
 * read into one neutral form so that checks/ can hold them against reeve.yaml
 * and against each other. Only reads and notes; judges nothing. Bounded and
 * positioned as the manifest itself is (manifests/document.h).
 */
enum foreign_format {
	FOREIGN_UNKNOWN = 0,
	FOREIGN_REEVE, /* apiVersion: reeve/…: not for foreign_read() */
	FOREIGN_KUBERNETES,
	FOREIGN_COMPOSE,
};

/* One container of a workload, or one Compose service. */
struct foreign_component {
	enum foreign_format format;
	const char *kind;      /* "Deployment", "CronJob"…; "service" */
	const char *name;      /* of the object; of the service */
	const char *container; /* Kubernetes: the container; Compose: NULL */
	const char *space;     /* namespace or Compose project; NULL */
	const char *image;     /* NULL: not stated */
	bool init;             /* an init container */
	struct place place;    /* of the container or service */
	int64_t replicas;      /* -1: the form has none (CronJob, DaemonSet) */
	struct place replicas_place; /* line 0: the default */
	const char *const *command;  /* command + args; NULL: the image's */
	/* As in declared.h: in order, shadowed entries marked. Kubernetes:
	 * envFrom, then env. Compose: env_file, then environment. */
	struct declared_environment env;
	/* Names of Secrets and ConfigMaps that env or envFrom want whole or by
	 * key and that no description holds: "secret a", "config b". */
	const char *const *missing;
	size_t nmissing;
	const struct foreign_raw *raw; /* of the readers, until resolved */
};

/* A Secret, a ConfigMap or an env_file that a description holds. */
struct foreign_key {
	const char *name;
	const char *value; /* decoded; never print one of a secret */
	size_t len;
	struct place place;
	bool encoding_broken; /* `data` that isn't base64 */
};
struct foreign_source {
	bool secret;
	const char *kind; /* "Secret", "ConfigMap", "env_file" */
	const char *name;
	const char *space; /* NULL */
	struct place place;
	bool readable; /* false: an env_file that isn't there */
	const char *why;
	struct foreign_key *keys; /* in order */
	size_t nkeys;
};

struct foreign {
	struct foreign_component *components;
	size_t ncomponents;
	struct foreign_source *sources;
	size_t nsources;
	/* Documents that were seen and not understood: "line 40: Service". */
	const char **skipped;
	size_t nskipped;
	size_t ndocuments;
};

/* What a YAML file is, by the keys at its top: apiVersion reeve/…; apiVersion
 * and kind; services. -1 only when it can't be read. */
int foreign_format(const char *path, enum foreign_format *ret,
    struct manifest_errors *errors, struct arena *arena,
    struct err *err) MUST_CHECK;

/*
 * Adds what `path` describes to `foreign` (zeroed before the first call; all
 * in `arena`). Several documents in one file are fine. What isn't YAML, or has
 * the wrong types where we read, is -1 with `errors`; what is merely
 * unknown to us is skipped and counted. Values of Secrets go to `redactor`.
 * Environments are complete only after foreign_resolve().
 */
int foreign_read(const char *path, struct foreign *foreign, struct arena *arena,
    struct redactor *redactor, struct manifest_errors *errors,
    struct err *err) MUST_CHECK;
/* Once all files are read: fills every component's `env` from the sources. */
void foreign_resolve(
    struct foreign *foreign, struct arena *arena, struct redactor *redactor);

const struct foreign_component *foreign_component_find(
    const struct foreign *foreign, const char *name);

#endif
