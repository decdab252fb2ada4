/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_HELPER_H
#define REEVE_SUPERVISOR_OPERATOR_HELPER_H

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
struct helper;
/* The helper is over and reaped: `status` is as waitpid gives it, -1 when it
 * can't be known; `killed` says that its deadline passed. `out` holds what it
 * wrote. The helper may be started again from within. */
typedef void helper_over_fn(struct helper *helper, int status, bool killed);
/* More bytes are in `out`; the callee may take them off its front. */
typedef void helper_said_fn(struct helper *helper);

/* What a child is for, in the account of what looking costs. */
enum helper_part {
	HELPER_OTHER,     /* readings of the manifest, deliveries */
	HELPER_QUEUES,    /* probers */
	HELPER_PROCESSES, /* looks at /proc */
	HELPER_PARTS
};

struct helper {
	pid_t pid; /* 0: none */
	enum helper_part part;
	struct loop *loop;
	struct loop_source to, from;
	struct loop_timer deadline;
	struct buffer in, out; /* still to be told; answered */
	helper_over_fn *over;
	helper_said_fn *said; /* may be NULL */
	void *owner;
	bool keep_stdin; /* don't close it when `in` is told */
	bool killed;
	struct helper *next; /* of all that run */
};

enum {
	HELPER_TEXT_MAX = 4 << 20
};

void helper_init(struct helper *helper, struct loop *loop, helper_over_fn *over,
    void *owner);
/* Kills what runs, without calling `over`, and frees the buffers. */
void helper_fini(struct helper *helper);

/* Starts `argv` (argv[0] NULL: our own image) in a process group of its own,
 * with an empty signal mask, our environment and stderr. `in` is to be filled
 * before. */
int helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err) MUST_CHECK;
/* To be called after more was appended to `in` (with keep_stdin). */
int helper_tell(struct helper *helper, struct err *err) MUST_CHECK;
/* Moves the deadline; CLOCK_NEVER takes it away. */
int helper_deadline(
    struct helper *helper, int64_t deadline_ms, struct err *err) MUST_CHECK;
void helper_kill(struct helper *helper); /* `over` is called once it is gone */
bool helper_runs(const struct helper *helper);

/* Processor time of all children so far, those that run among them. */
int64_t helpers_cpu_us(enum helper_part part);

/* Reaps every helper that has ended; to be called at SIGCHLD. */
void helpers_reap(void);

#endif
