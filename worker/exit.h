/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_EXIT_H
#define REEVE_WORKER_EXIT_H

#include "base/base.h"

#include <sys/types.h>

/*
 * How a process ended, and what kind of end that is for the restart policy.
 * An end before exec is not an exit of the worker: it carries the stage and the
 * errno (pid1.md case 3).
 */
enum exit_kind {
	EXIT_UNKNOWN = 0, /* nothing has ended yet, or it couldn't be learnt */
	EXIT_CODE,        /* _exit(value) */
	EXIT_SIGNAL,      /* killed by signal `value` */
	EXIT_EXEC,        /* never became the worker: `stage` failed */
};

/* The child's steps between clone and exec, in their order. */
enum spawn_stage {
	STAGE_NONE = 0,
	STAGE_CLONE, /* in the parent: the process was never made */
	STAGE_SIGNALS,
	STAGE_SESSION,
	STAGE_STDIO,
	STAGE_CGROUP,
	STAGE_ENVIRONMENT,
	STAGE_OOM,
	STAGE_LIMITS,
	STAGE_SCHEDULING,
	STAGE_NICE,
	STAGE_IO,
	STAGE_CPUS,
	STAGE_GROUPS,
	STAGE_GID,
	STAGE_BOUNDING,
	STAGE_UID,
	STAGE_CAPABILITIES,
	STAGE_PARENT,
	STAGE_NO_NEW_PRIVS,
	STAGE_UMASK,
	STAGE_CHDIR,
	STAGE_EXEC,
	STAGE_TIMEOUT, /* exec didn't happen within its deadline */
	STAGE_COUNT
};

enum exit_oom {
	OOM_UNKNOWN = 0,
	OOM_NO,
	OOM_YES
};

struct worker_exit {
	uint8_t kind;  /* enum exit_kind */
	uint8_t stage; /* enum spawn_stage, for EXIT_EXEC */
	uint8_t oom;   /* enum exit_oom */
	uint8_t core_dumped;
	int32_t value; /* code, signal or errno */
	/* processes of its group that outlived it and were killed */
	uint32_t group_survivors;
	/* ... that had left its group, and its cgroup held; 0 also where it
	 * has none: not known */
	uint32_t escaped;
	uint8_t by_us;  /* the signal that we had sent it last, or 0 */
	uint8_t detail; /* STAGE_LIMITS: enum worker_limit_id + 1; else 0 */
	uint16_t zero;
};

/* Separate restart counters (pid1.md 5.4 rule 9): failures in a row in struct
 * backoff, starts that came after such an end in all in struct instance. */
enum exit_class {
	CLASS_NONE = 0,
	CLASS_CLEAN,  /* exit code 0 */
	CLASS_CONFIG, /* exec failed, or exit 78 */
	CLASS_CRASH,
	CLASS_PROBE,   /* we killed it: liveness or startup probe */
	CLASS_OOM,     /* the kernel killed it for memory */
	CLASS_ORDERED, /* asked for: restart, new configuration; no penalty */
	CLASS_COUNT
};

const char *spawn_stage_name(enum spawn_stage stage);
const char *exit_class_name(enum exit_class kind);
/* `how` (si_code) and `status` as waitid gives them. */
void exit_from_wait(int how, int status, struct worker_exit *ret);
/* A child of ours, alive or not yet reaped: its number is its own. */
bool exit_is_child(pid_t pid);
enum exit_class exit_classify(const struct worker_exit *ended);
/* 0..255 as a shell would say it: 128 + signal; 126/127 for a failed exec. */
int exit_shell_code(const struct worker_exit *ended);

enum {
	EXIT_TEXT_SIZE = 160
};
/* "exit code 3", "killed by SIGKILL (out of memory)", "not started: exec:
 * No such file or directory (ENOENT)". No locale, no allocation. */
const char *exit_text(const struct worker_exit *ended, char *dst, size_t size);
/* "SIGTERM", "SIGRTMIN+2"; never NULL. `dst` of at least 16 bytes is used where
 * the name must be made. */
const char *exit_signal_name(int signo, char *dst, size_t size);
/* The other way: "SIGTERM", "TERM", "15", "SIGRTMIN+2", "RTMAX-1"; 0 when the
 * text is no signal. */
int exit_signal_number(const char *text);
/* "ENOENT", or NULL for an errno that has no name here. */
const char *exit_errno_name(int number);

#endif
