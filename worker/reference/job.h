/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_REFERENCE_JOB_H
#define REEVE_WORKER_REFERENCE_JOB_H

#include <limits.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/err.h"
#include "probes/queue/queue.h"

/*
 * One job's process: its own process group, the payload on its stdin, what it
 * prints on our stderr up to a limit. It dies with its worker: the next attempt
 * must not run beside it.
 */
enum {
	JOB_OUTPUT_MAX =
	    1 << 20 /* passed on of each job; the rest is counted */
};

struct job_process {
	pid_t pid;     /* 0: none */
	int output_fd; /* -1: at its end */
	int64_t output_bytes, dropped_bytes;
};

/* What is run for each job, found once. */
struct job_command {
	char path[PATH_MAX];
	char *const *argv; /* NULL-terminated */
};

/* What a job's end means for the queue. */
enum job_outcome {
	JOB_DONE,   /* exit 0 */
	JOB_RETRY,  /* exit 75: later, however often */
	JOB_FAILED, /* anything else: again, up to the maximum */
	JOB_DEAD,   /* exit 78: never again */
};

/* Finds argv[0], itself or by PATH: ERR_INPUT if it can't be run. */
int job_find_command(
    char *const *argv, struct job_command *ret, struct err *err) MUST_CHECK;
/* Whether our stderr takes output without blocking. */
bool job_output_room(void);
void job_process_init(struct job_process *process);
/* `queue_name` goes to REEVE_QUEUE. ERR_INPUT when the command can't be run. */
int job_start(struct job_process *process, const struct queue_job *job,
    const char *queue_name, const struct job_command *command,
    struct err *err) MUST_CHECK;
/* Passes on what there is, without blocking. */
void job_drain_output(struct job_process *process);
/* True once: it has ended, `status` as from waitpid; what was left of its
 * group is killed. */
bool job_ended(struct job_process *process, int *ret_status);
void job_kill(const struct job_process *process, int sig); /* the group */
void job_process_fini(struct job_process *process);

enum job_outcome job_outcome_of(int status);
/* "exit 3", "signal 9"; `dst` of at least 32 bytes. */
const char *job_status_text(int status, char *dst, size_t size);
/* half + random half of first·2^(attempt-1), capped. */
int64_t job_backoff_ms(
    int64_t attempt, int64_t first_ms, int64_t cap_ms, uint32_t noise);

#endif
