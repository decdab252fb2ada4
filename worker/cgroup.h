/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_CGROUP_H
#define REEVE_WORKER_CGROUP_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

/*
 * The tree of cgroups (version 2) below the one that the supervisor was
 * started in, where that one is its own to divide:
 *
 *     OWN/init                 the supervisor and its helpers
 *     OWN/worker.NAME.REPLICA  one instance with everything it starts
 *
 * A process can't leave its instance's cgroup, whatever session or parent it
 * gives itself: so limits hold for all of them, and all are killed by one
 * write. A cgroup with processes of its own can't hand on controllers
 * (cgroup-v2.rst, "No Internal Process Constraint"), hence OWN/init.
 *
 * Nothing here allocates or waits. What can't be had is left out and said in
 * `why`; a worker is started all the same.
 */
enum cgroup_have {
	CGROUP_MEMORY = 1,
	CGROUP_CPU = 2,
	CGROUP_PIDS = 4,
	CGROUP_KILL = 8,   /* cgroup.kill: since 5.14 */
	CGROUP_CLONE = 16, /* clone3 into a cgroup: 5.7, and seccomp lets it */
	CGROUP_TREE = 32,  /* instances have cgroups of their own */
};

enum {
	CGROUP_NAME_MAX = 96, /* "worker.NAME.REPLICA" */
	CGROUP_WHY_MAX = 128,
};

/* No pointers: it lies in the init's state. */
struct cgroup_tree {
	int dir;            /* OWN, or -1 */
	int oom_file;       /* what counts OOM kills of OWN as a whole, or -1 */
	uint32_t have;      /* enum cgroup_have */
	uint64_t oom_kills; /* of that file that are accounted for */
	char why[CGROUP_WHY_MAX]; /* what is missing, and why; "" nothing */
};

#define CGROUP_TREE_INIT ((struct cgroup_tree){.dir = -1, .oom_file = -1})

/* 0: not limited. */
struct cgroup_limits {
	uint64_t memory_bytes;
	uint32_t cpu_milli;
	uint32_t pids;
};

/* Makes the tree, before the first child: the calling process moves itself
 * into OWN/init. */
void cgroup_tree_open(struct cgroup_tree *tree);
/* Leaves OWN as it was found, as far as that goes. */
void cgroup_tree_close(struct cgroup_tree *tree);
/* What the kernel has of `limits` but the tree can't give: enum cgroup_have. */
uint32_t cgroup_missing(
    const struct cgroup_tree *tree, const struct cgroup_limits *limits);

/* Each takes the instance's `name` within OWN. */

/* An empty cgroup of that name; whoever is left in an old one is killed
 * (ERR_CAPACITY: and isn't gone yet). Its directory, or -1. */
int cgroup_prepare(const struct cgroup_tree *tree, const char *name,
    struct err *err) MUST_CHECK;
/* Sets those of `limits` that the tree can give in the cgroup `dir`. */
int cgroup_limit(const struct cgroup_tree *tree, int dir,
    const struct cgroup_limits *limits, struct err *err) MUST_CHECK;
/* Somebody is in it. */
bool cgroup_populated(const struct cgroup_tree *tree, const char *name);
/* SIGKILL to everybody in it. */
void cgroup_kill(const struct cgroup_tree *tree, const char *name);
/* How many in it left the process group `pgid`. Those that are our children
 * by now get `signo` (0: nobody does): their numbers can't be reused before
 * we reap them. */
uint32_t cgroup_escaped(
    const struct cgroup_tree *tree, const char *name, pid_t pgid, int signo);
/* OOM kills in it since it was made; false: it isn't known. */
bool cgroup_oom_kills(
    const struct cgroup_tree *tree, const char *name, uint64_t *ret);
void cgroup_remove(const struct cgroup_tree *tree, const char *name);

/* Whether the kernel killed somebody of OWN for memory that isn't accounted
 * for yet; accounts for one. For instances without a cgroup that counts:
 * version 1, or one that can't be written. false: not, or it isn't known. */
bool cgroup_take_oom_kill(struct cgroup_tree *tree);

#endif
