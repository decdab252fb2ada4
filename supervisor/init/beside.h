/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_BESIDE_H
#define REEVE_SUPERVISOR_INIT_BESIDE_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"

/*
 * The processes beside the workers: operator, logger and what it needs, the
 * answerer of liveness probes, the guard, another build.
 */

/* --- operate.c, capture.c --- */

void operator_start(struct core *core);
void operator_exited(struct core *core, const struct worker_exit *ended);
void operator_stop(struct core *core);
/* Its socket is closed: kills it, if it is still there. */
void operator_lost(struct core *core);
/* Without its wire it is of no use: it may end by itself, but soon. */
void operator_unwired(struct core *core);
void operator_heard(struct core *core);
/* After a fault: goes on with the process and its wire. */
void operator_resume(struct core *core, int64_t timer_ms);
void operator_timer(struct loop_timer *timer, int64_t now_ms);

/* Kills what is left of the session of one that ended. What a prober had
 * started is our child only once the prober is gone. */
void operator_sweep(struct core *core);
/* Ends it, and starts another one, from another build perhaps. */
void operator_replace(struct core *core);

/* upgrade.c: the program in `fd` (which stays the caller's; -1: what lies where
 * ours came from) is asked whether it can take over. `peer` hears of it only
 * when it can't. */
void upgrade_begin(
    struct core *core, struct peer *peer, uint32_t sequence, int fd);
void upgrade_exited(struct core *core, const struct worker_exit *ended);
void upgrade_timer(struct loop_timer *timer, int64_t now_ms);
/* At the end of a turn: becomes the other program, if that is due. */
void upgrade_step(struct core *core);
/* A client has gone. */
void upgrade_forget(struct core *core, const struct peer *peer);

/* answer.c: the liveness port, as the settings say. */
void answer_apply(struct core *core);
void answer_exited(struct core *core);
void answer_resume(struct core *core); /* after a fault: another process */
void answer_timer(struct loop_timer *timer, int64_t now_ms);

/* watchman.c: the guard; none as PID 1. */
void guard_start(struct core *core);
void guard_exited(struct core *core);
void guard_resume(struct core *core);
void guard_end(struct core *core);
void guard_timer(struct loop_timer *timer, int64_t now_ms);

/* The memory that it counts in; after a fault that of `tally_fd`. */
int capture_map(struct core *core, struct err *err) MUST_CHECK;
/* Starts, or goes on without, the logger, as the plan says. */
void capture_apply(struct core *core);
void capture_exited(struct core *core, const struct worker_exit *ended);
void capture_timer(struct loop_timer *timer, int64_t now_ms);
/* Makes the pipes of a start: `ret_write` for the worker. */
int capture_open(struct core *core, int32_t slot, int ret_write[2],
    struct err *err) MUST_CHECK;
/* The worker runs as `pid`: the logger may read. */
void capture_attach(struct core *core, int32_t slot, pid_t pid);
/* Its read ends are given up; the logger goes on with its own. */
void capture_release(struct core *core, int32_t slot);
/* The slot becomes another instance's. */
void capture_forget(struct core *core, int32_t slot);
/* A child has changed: was the logger stopped? */
void capture_look(struct core *core);
void capture_close(struct core *core);
void capture_resume(struct core *core); /* after a fault: its wire */

/* --- stray.c --- */

/* Takes `*fd` over, or closes it when nothing will come of it any more. */
void stray_add(struct core *core, int *fd, const struct logger_message *who,
    bool attached);
/* The logger has read all of that one. */
void stray_ended(struct core *core, const struct logger_message *who);
/* Hands over those that the logger doesn't have; false: it can take no more
 * now. */
bool strays_attach(struct core *core);
/* The logger is another one. */
void strays_detached(struct core *core);
void strays_close(struct core *core);
/* After a fault: `used` rows are there. */
void strays_take(struct core *core, uint32_t used);

/* --- hang.c --- */

/* Before the logger is started: the timer that it sets ahead, if it writes to
 * files. */
int hang_open(struct core *core, struct err *err) MUST_CHECK;
/* It has gone. */
void hang_close(struct core *core);
void hang_resume(struct core *core); /* after a fault */

/* --- sink.c --- */

/* At the start: files on network file systems are written by a child. */
void sinks_open(struct core *core);
/* From now on every file is. Whatever is logged before may hang. */
void sinks_take(struct core *core);
void sinks_resume(struct core *core); /* after a fault */
void sink_exited(
    struct core *core, int32_t which, const struct worker_exit *ended);
void sink_timer(struct loop_timer *timer, int64_t now_ms);
/* Nothing is written after it: waits until the files have what was. Returns how
 * many bytes they haven't. */
uint64_t sinks_end(struct core *core);

#endif
