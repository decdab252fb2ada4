/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_CHILD_H
#define REEVE_SUPERVISOR_OPERATOR_CHILD_H

#include <sys/types.h>

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/loop.h"

/*
 * Whatever can block is a process: one child of the operator, with what it is
 * told on its stdin, what it answers on its stdout, and a deadline after which
 * its whole group is killed. Nothing here waits.
 */
struct child;
/* The child is over and reaped: `status` is as waitpid gives it, -1 when it
 * can't be known; `killed` says that its deadline passed. `out` holds what it
 * wrote. The child may be started again from within. */
typedef void child_over_fn(struct child *child, int status, bool killed);
/* More bytes are in `out`; the callee may take them off its front. */
typedef void child_said_fn(struct child *child);

struct child {
	pid_t pid; /* 0: none */
	struct loop *loop;
	struct loop_source to, from;
	struct loop_timer deadline;
	struct buffer in, out; /* still to be told; answered */
	child_over_fn *over;
	child_said_fn *said; /* may be NULL */
	void *owner;
	bool keep_stdin; /* don't close it when `in` is told */
	bool killed;
	struct child *next; /* of all that run */
};

enum {
	CHILD_TEXT_MAX = 4 << 20
};

void child_init(
    struct child *child, struct loop *loop, child_over_fn *over, void *owner);
/* Kills what runs, without calling `over`, and frees the buffers. */
void child_fini(struct child *child);

/* Starts `argv` (argv[0] NULL: our own image) in a process group of its own,
 * with an empty signal mask, our environment and stderr. `in` is to be filled
 * before. */
int child_start(struct child *child, const char *const *argv,
    int64_t deadline_ms, struct err *err) MUST_CHECK;
/* To be called after more was appended to `in` (with keep_stdin). */
int child_tell(struct child *child, struct err *err) MUST_CHECK;
/* Moves the deadline; CLOCK_NEVER takes it away. */
int child_deadline(
    struct child *child, int64_t deadline_ms, struct err *err) MUST_CHECK;
void child_kill(struct child *child); /* `over` is called once it is gone */
bool child_runs(const struct child *child);

/* Reaps every child that has ended; to be called at SIGCHLD. */
void children_reap(void);

#endif
