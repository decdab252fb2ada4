/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

/*
 * A logger that hangs in a write to a file. It can't say so, and the init may
 * not look every second whether it does. So they share a timer: the logger sets
 * it ahead whenever it has worked and a second has passed, and it fires
 * LOGGER_BEAT_MS after the last time. Then the init looks at the shared counts:
 * within no write, the logger only has nothing to do; within the same write as
 * a whole beat ago, it hangs. Nobody is woken while nothing is written.
 *
 * What follows: descriptors 1 and 2 become pipes (sink.c), the logger is
 * killed, and the next one writes to the pipes, where each worker's whenBlocked
 * decides. What it held is counted as lost; so it stays where every worker
 * would rather wait.
 */
enum {
	HANG_LINE_MS = 1000, /* within a write: we write nothing there */
	HANG_KILL_MS = 1000, /* one that is not gone by then can't be killed */
};

static void
beat_again(const struct logger *logger)
{
	const struct itimerspec in = {
	    .it_value = {.tv_sec = LOGGER_BEAT_MS / 1000}};

	(void)timerfd_settime(logger->beat.fd, 0, &in, NULL);
}

/* Somebody's lines may be dropped rather than wait. */
static bool
somebody_drops(const struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		if (spec.logs.format != LOGS_NONE &&
		    spec.logs.when_blocked != LOGS_BLOCK)
			return true;
	}
	return false;
}

static void
hangs(struct core *core)
{
	struct logger *logger = &core->logger;
	bool drops = somebody_drops(core);

	/* first: our own lines go to the same file */
	sinks_take(core);
	if (!logger->hang_told)
		log_error("logger.hangs",
		    "pid=%d is within the same write to a file for %d s: %s",
		    (int)logger->pid, LOGGER_BEAT_MS / 1000,
		    drops ? "killed; the next one has the file written by a "
		            "process of its own"
		          : "every worker waits, as its whenBlocked says");
	logger->hang_told = true;
	if (!drops) {
		beat_again(logger);
		return;
	}
	loop_remove(&core->loop, &logger->beat);
	logger->killed = true;
	(void)send_to_process(logger->pid, SIGKILL);
	core_wake(
	    core, &logger->timer, clock_after(core->loop.now_ms, HANG_KILL_MS));
}

static void
beat_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	struct logger *logger = &core->logger;
	const volatile struct tallies *shared = core->tallies;
	uint64_t times;

	(void)events;
	(void)!read(source->fd, &times, sizeof(times));
	uint32_t writes = shared->writes;
	bool same = logger->looked && writes == logger->writes;

	logger->looked = shared->writing != 0;
	logger->writes = writes;
	if (!logger->looked || logger->pid == 0)
		logger->hang_told = false;
	else if (same)
		hangs(core);
	else
		beat_again(logger);
}

/* Before a line of our own: the file may be the one that the logger hangs in,
 * and the beat comes seconds later. It need not hang for good. */
static void
before_line(void *of)
{
	struct core *core = of;
	int64_t since_ms =
	    ((const volatile struct tallies *)core->tallies)->write_ms;

	if (since_ms != 0 && clock_ms() - since_ms >= HANG_LINE_MS &&
	    core->outputs.file[STDERR_FILENO - STDOUT_FILENO])
		sinks_take(core);
}

int
hang_open(struct core *core, struct err *err)
{
	struct logger *logger = &core->logger;

	hang_close(core);
	if (!core->outputs.file[0] && !core->outputs.file[1])
		return 0;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd == -1)
		return err_sys(err, "timer of the logger");
	logger->beat =
	    (struct loop_source){.fd = fd, .ready = beat_ready, .owner = core};
	if (loop_add(&core->loop, &logger->beat, EPOLLIN, err) == -1) {
		fd_close(&logger->beat.fd);
		return -1;
	}
	log_before_line(before_line, core);
	return 0;
}

void
hang_close(struct core *core)
{
	struct logger *logger = &core->logger;

	log_before_line(NULL, NULL);
	core->tallies->write_ms = 0;
	loop_remove(&core->loop, &logger->beat);
	fd_close(&logger->beat.fd);
	logger->looked = logger->killed = logger->hang_told = false;
}

void
hang_resume(struct core *core)
{
	struct logger *logger = &core->logger;

	logger->beat.ready = beat_ready;
	logger->beat.owner = core;
	if (logger->beat.fd != -1 &&
	    loop_add(&core->loop, &logger->beat, EPOLLIN, NULL) == -1)
		fd_close(&logger->beat.fd);
	if (logger->beat.fd != -1)
		log_before_line(before_line, core);
	if (logger->killed && logger->pid != 0)
		core_wake(core, &logger->timer, core->loop.now_ms);
}
