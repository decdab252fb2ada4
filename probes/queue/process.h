/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_PROCESS_H
#define REEVE_PROBES_QUEUE_PROCESS_H

#include <sys/types.h>

#include "base/base.h"

/*
 * Whether a consumer that left a note of itself still runs: a pid counts only
 * on the same host and in the same pid namespace, and with the same start time
 * (proc(5), stat, field 22), for pids are used again.
 */
enum {
	PROCESS_HOST_SIZE = 128
};

/* "hostname pid:[4026531836]" */
void process_host(char dst[PROCESS_HOST_SIZE]);
/* Clock ticks since boot; -1 when there is no such process, or it is a
 * zombie. */
int process_started(pid_t pid, int64_t *ret);

#endif
