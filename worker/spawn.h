/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_SPAWN_H
#define REEVE_WORKER_SPAWN_H

#include "base/base.h"
#include "base/err.h"
#include "worker/exit.h"
#include "worker/spec.h"

#include <sys/types.h>

/*
 * How a process is started: one clone, one fixed table of steps in the child
 * (child.c),
 * and a close-on-exec pipe on which the child reports the step that failed, or
 * whose end says that exec happened. Nothing allocates, nothing looks up a
 * name, and the parent doesn't wait.
 */
enum {
	SPAWN_FDS_MAX = 8,
	SPAWN_GROUPS_MAX = 1024,
	SPAWN_EXTRA_MAX = 72,
	SPAWN_EXTRA_BYTES = 8192,
	SPAWN_OOM_KEEP = INT16_MIN,
};

struct spawn_fd {
	int from, to; /* `from` of the parent becomes `to` of the child */
};

/* NAME=value entries beside the worker's own; they win over entries of the same
 * name. */
struct spawn_extra {
	const char *entries[SPAWN_EXTRA_MAX];
	size_t count;
	size_t used;
	char bytes[SPAWN_EXTRA_BYTES];
};

struct spawn_request {
	const struct worker_spec *spec; /* environment, ids, limits, cwd */
	const char *const *argv;        /* NULL: the spec's */
	int exec_fd;                    /* what to execute; -1: `path` */
	const char *path;               /* NULL: the spec's executable */
	/* a path without '/' is looked for along the worker's PATH */
	bool look_up;
	bool die_with_parent; /* SIGKILL when the init is gone (not PID 1) */
	bool plain;           /* our own children: no ids, umask, limits */
	/* directory of the cgroup that the child is born in (`cgroup_clone`)
	 * or joins; 0: it stays in ours */
	int cgroup_fd;
	bool cgroup_clone;
	int16_t oom_score_adj; /* SPAWN_OOM_KEEP */
	/* in memory that the child shares: it writes its number there first;
	 * NULL: nowhere */
	int32_t *pid_note;
	/* soft limit of descriptors that the init itself was started with,
	 * where the spec has none; 0: keep */
	uint64_t nofile_soft;
	const struct spawn_extra *extra; /* may be NULL */
	/* descriptors of the child; 0, 1 and 2 must be among them */
	const struct spawn_fd *fds;
	size_t nfds;
};

struct spawned {
	pid_t pid;
	int pidfd;     /* -1: the kernel has none */
	int report_fd; /* non-blocking, for spawn_report; the caller's */
};

/* -1: no process was made (err->sys: EAGAIN, ENOMEM, EMFILE…). */
int spawn_start(const struct spawn_request *request, struct spawned *ret,
    struct err *err) MUST_CHECK;
/* 1: it executes; 0: not yet known; -1: it failed, `ret` says where. */
int spawn_report(int report_fd, struct worker_exit *ret);

/* Adds "NAME=value"; false (nothing added) when there is no more room. */
bool spawn_extra_add(
    struct spawn_extra *extra, const char *name, const char *value);
bool spawn_extra_add_number(
    struct spawn_extra *extra, const char *name, uint64_t value);
/* REEVE_WORKER, REEVE_REPLICA, REEVE_GENERATION and PORT_* of a replica. */
bool spawn_extra_worker(struct spawn_extra *extra,
    const struct worker_spec *spec, uint32_t replica);

#endif
