/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_RECOVER_H
#define REEVE_SUPERVISOR_INIT_RECOVER_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"

/*
 * A fault in the init itself (SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, a
 * stack that is full, a failed assertion) ends the image, not the process: the
 * handler writes `struct core` into the state memfd, in which the tables lie
 * already, and executes the same image again:
 *
 *     reeve --recover FD run …      FD: the state; then the first command line
 *     reeve --recover-drain FD      the second fault within RECOVER_AGAIN_MS
 *
 * The process keeps its number and every child. Descriptors that the next image
 * needs lose close-on-exec only here. resume.c is what the next image does.
 */
enum {
	RECOVER_AGAIN_MS = 10 * 1000,
};

#define RECOVER_MAGIC UINT64_C(0x3172657663655200)

/* The head of the state memfd; the same image wrote it. */
struct kept {
	uint64_t magic;
	uint32_t core_bytes, instance_bytes;
	uint32_t max_workers;
	uint32_t crashes;
	int64_t crashed_ms; /* monotonic, of the last one; 0: none */
	int64_t grace_ms;   /* the longest of the workers; for the drain */
	uint64_t address;   /* that the fault was about */
	int32_t signo, code;
	char what[128]; /* the assertion that failed, or "" */
	struct core core;
};

/* Installs the handlers and unblocks the faults. `argv`: the first command
 * line, from "run" on. */
void recover_arm(struct core *core, int argc, char *argv[]);
/* From now on `core` is worth being kept. */
void recover_ready(struct core *core);
/* A plan came: how long the workers may take. */
void recover_note_plan(struct core *core);
/* `reeve --recover-drain FD`: TERM to all, their grace, KILL; the exit code. */
int recover_drain(const char *fd_text);

/* resume.c: rebuilds `core` (that was reset) from the state in `fd`. */
int resume_state(struct core *core, int fd, struct err *err) MUST_CHECK;
/* What comes after: timers, probes, lists; the loop may turn. */
void resume_work(struct core *core);

#ifdef REEVE_TEST_FAULTS
/*
 * Debug builds only: real-time signals to the init that make it fault from
 * within. A signal of the kernel's kind (kill -SEGV) needs nothing of this.
 */
enum recover_point {
	POINT_NONE = 0,
	POINT_STACK,  /* the stack is full */
	POINT_ASSERT, /* an assertion fails */
	POINT_CLONED, /* between clone and its record, at the next start */
	POINT_REAPED, /* between reaping and its record, at the next end */
	POINT_DRAIN,  /* when half of the workers have been asked to end */
	POINT_STORE,  /* a write to nowhere */
};

enum {
	RECOVER_POINT_SIGNAL = 40 /* + enum recover_point */
};

bool recover_point_armed(int signo);
void recover_point(enum recover_point point);
#define RECOVER_POINT(point) recover_point(point)
#else
#define RECOVER_POINT(point) ((void)0)
#endif

#endif
