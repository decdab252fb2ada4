/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_ONESHOT_AGAIN_H
#define REEVE_SUPERVISOR_INIT_ONESHOT_AGAIN_H

#include "base/base.h"

#include <sys/types.h>

#include "base/err.h"
#include "supervisor/init/oneshot_args.h"

/*
 * A fault in the init of one command, as recover.h has it for that of many: the
 * handler writes what is known into a memfd and executes the same image again,
 * in the same process, with the command as its child:
 *
 *     reeve --recover-run=FD [OPTION…] -- CMD ARG…
 *
 * A second fault within ten seconds ends it as it would have without all this.
 */
enum phase {
	PHASE_STARTING, /* between clone and exec: signals wait */
	PHASE_RUNNING,
	PHASE_LEAVING, /* CMD is gone; what it left behind has had TERM */
	PHASE_KILLING, /* … and KILL */
	PHASE_DONE,
};

struct oneshot {
	struct oneshot_args args;

	bool first;    /* we are PID 1: the whole namespace is ours */
	pid_t self;    /* our own pid */
	pid_t parent;  /* ours, as we began */
	pid_t pid;     /* CMD's */
	pid_t sweeper; /* the last child of sweep() */
	int pidfd;     /* -1: this kernel has none */
	int signal_fd;
	int exec_fd;      /* brings an errno, or its end when exec is done */
	int exec_errno;   /* 0: executed */
	bool foreground;  /* CMD has the terminal */
	bool no_children; /* waitid said ECHILD */
	enum phase phase;
	int64_t deadline_ms;
	int code; /* valid from PHASE_LEAVING on */
	/* faults that were sent to us before CMD was there to have them */
	uint64_t came;
	unsigned crashes;
	int64_t crashed_ms; /* of the last one; 0: none */
};

/* Where there is no descriptor for it, or of ourselves, a fault ends us.
 * `whole` is the command line, "reeve run …"; its second word is changed when
 * it comes to that. `sent` gets the faults that somebody sent. */
typedef void oneshot_sent_fn(struct oneshot *oneshot, int signo);
void oneshot_again_arm(
    struct oneshot *oneshot, char *whole[], oneshot_sent_fn *sent);
/* What the image before knew, but its arguments. */
int oneshot_again_take(
    const char *fd_text, struct oneshot *ret, struct err *err) MUST_CHECK;

/* Builds for tests, where $REEVE_TEST_ONESHOT is set: this signal is a fault.
 */
#ifdef REEVE_TEST_FAULTS
enum {
	ONESHOT_FAULT_SIGNAL = 46
};
void oneshot_point(int signo);
#define ONESHOT_POINT(signo) oneshot_point(signo)
#else
#define ONESHOT_POINT(signo) ((void)0)
#endif

#endif
