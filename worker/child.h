/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_CHILD_H
#define REEVE_WORKER_CHILD_H

#include "base/base.h"
#include "worker/exit.h"
#include "worker/spawn.h"

#include <sys/types.h>

/*
 * The child between clone and exec: worker/ alone includes this. Every step
 * returns 0, or -1 with errno: it is reported, and the process never becomes
 * the worker. System calls only; what they need lies in the child's own copy
 * of the parent's memory.
 */
struct child {
	const struct spawn_request *request;
	const struct worker_spec *spec;
	int report_fd;
	int exec_fd;
	int cgroup_fd; /* still to be joined; -1: nothing to do */
	pid_t parent;
	const char **envp;
	uint32_t detail; /* of the step that failed; see struct worker_exit */
};

/* What the child writes on the pipe when a step fails. */
struct child_report {
	int32_t stage, number;
	uint32_t detail;
};

/* child.c: all steps in their order; never returns to the parent's code. */
NORETURN void child_become(struct child *child);

/* process.c: limits and priorities; while it still has the init's rights */
int child_oom(struct child *child);
int child_limits(struct child *child);
int child_scheduling(struct child *child);
int child_nice(struct child *child);
int child_io(struct child *child);
int child_cpus(struct child *child);

/* credentials.c: as whom, and what it may */
int child_groups(struct child *child);
int child_bounding(struct child *child);
int child_gid(struct child *child);
int child_uid(struct child *child);
int child_capabilities(struct child *child);
int child_no_new_privs(struct child *child);

#endif
