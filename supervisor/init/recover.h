/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_RECOVER_H
#define REEVE_SUPERVISOR_INIT_RECOVER_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"
#include "supervisor/init/state.h"

/*
 * A fault in the init itself (SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, a
 * stack that is full, a failed assertion) ends the image, not the process: the
 * handler writes `struct core` into the state memfd, in which the tables lie
 * already, and executes the same image again:
 *
 *     reeve --recover FD run …      FD: the state; then the first command line
 *     reeve --recover-drain FD      the second fault within RECOVER_AGAIN_MS
 *
 * The same way leads to another build (upgrade.c), and back again when that one
 * can't take the state:
 *
 *     reeve --take-over FD SELF run …   SELF: a descriptor of that build
 *     reeve --take-back FD run …
 *
 * The process keeps its number and every child. Descriptors that the next image
 * needs lose close-on-exec only here. resume.c is what the next image does.
 */
enum {
	RECOVER_AGAIN_MS = 10 * 1000,
};

/* What the state memfd begins with. */
struct kept {
	struct state_head head;
	uint32_t core_bytes, instance_bytes; /* the same image wrote it */
	uint32_t max_workers;
	uint32_t crashes, upgrades;
	int64_t crashed_ms; /* monotonic, of the last one; 0: none */
	int64_t grace_ms;   /* the longest of the workers; for the drain */
	uint64_t address;   /* that the fault was about */
	int32_t signo, code;
	/* for the guard, as it is at any time */
	int32_t operator_pid;
	uint32_t zero;
	uint64_t run_id;  /* REEVE_RUN */
	char version[32]; /* of the build that wrote it */
	char what[128];   /* the assertion that failed, or "" */
	siginfo_t taken;  /* reaped and not noted yet; si_pid 0: nobody */
	struct core core;
};

/* In one page: where we have written, the kernel has room to write (reap.c). */
static_assert(offsetof(struct kept, taken) / 4096 ==
                  (offsetof(struct kept, taken) + sizeof(siginfo_t) - 1) / 4096,
    "`taken` lies in one page");

/* Installs the handlers and unblocks the faults. `argv`: the first command
 * line, from "run" on. */
void recover_arm(struct core *core, int argc, char *argv[]);
/* Whether the first command line can be handed on. */
bool recover_possible(void);
/* Executes the other build, with the first command line; returns only when that
 * can't be done, with everything as it was. */
void recover_take_over(struct core *core, int exec_fd);
/* Until recover_arm(): a fault or a failed assertion in what was just executed,
 * or 10 s without coming so far, lead back to the build before, whose
 * descriptor is `fd`. */
void recover_arm_back(const char *state_text, int argc, char *argv[]);
void recover_back_to(int fd);
/* Executes it; returns when that can't be done, or isn't known. */
void recover_go_back(void);
/* From now on `core` is worth being kept. */
void recover_ready(struct core *core);
/* A plan came: how long the workers may take. */
void recover_note_plan(struct core *core);
/* What the image that faulted knows, within it; else NULL. */
const struct core *recover_known(void);
/* last.c: `reeve --recover-drain FD`: TERM to all, their grace, KILL; the exit
 * code. */
int recover_drain(const char *fd_text);

/* resume.c: rebuilds `core` (that was reset) from the state in `fd`. */
int resume_state(struct core *core, int fd, struct err *err) MUST_CHECK;
/* The same from the state of another build, which stays as it was: there may be
 * a way back until resume_commit(). `self_fd` is our own program. */
int resume_other(
    struct core *core, int fd, int self_fd, struct err *err) MUST_CHECK;
void resume_commit(struct core *core, int fd);
/* What comes after: timers, probes, lists; the loop may turn. */
void resume_work(struct core *core);
/* Says what the fault was. */
void resume_tell(const struct core *core);

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
	POINT_DUE,    /* a run was due, and isn't made yet */
};

enum {
	RECOVER_POINT_SIGNAL = 40 /* + enum recover_point */
};

bool recover_point_armed(int signo);
/* As REEVE_TEST_TAKE_OVER says (fail, fault, assert, hang): between the state
 * of another build and being the init. */
int recover_test_take_over(struct err *err) MUST_CHECK;
void recover_point(enum recover_point point);
#define RECOVER_POINT(point) recover_point(point)
#define RECOVER_TAKE_OVER(err)                         \
	do {                                           \
		if (recover_test_take_over(err) == -1) \
			return -1;                     \
	} while (0)
#else
#define RECOVER_POINT(point)   ((void)0)
#define RECOVER_TAKE_OVER(err) ((void)0)
#endif

#endif
