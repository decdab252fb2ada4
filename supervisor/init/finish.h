/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_FINISH_H
#define REEVE_SUPERVISOR_INIT_FINISH_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"

/*
 * A freeze, and the end.
 */

/* --- credit.c --- */

void core_stalled(struct loop *loop, int64_t gap_ms);

/* --- finish.c --- */

/* Something has ended: the next phase, if this one is over. */
void finish_step(struct core *core);
void finish_timer(struct loop_timer *timer, int64_t now_ms);
/* Ends by itself when every worker has finished. */
void finish_if_complete(struct core *core);
void finish_note_exit(
    struct core *core, const struct worker_exit *ended, bool final);
/* Every child of ours that isn't the logger gets `signo`; how many. */
unsigned finish_sweep(struct core *core, int signo, pid_t session);
int finish_code(struct core *core);
/* `unwritten`: bytes that the file of our stdout or stderr hasn't taken. */
void finish_termination_log(const char *reason, int code, uint64_t unwritten);

#endif
