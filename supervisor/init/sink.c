/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/table.h"
#include "supervisor/init/tally.h"
#include "supervisor/init/writer.h"
#include "worker/spawn.h"

/*
 * Our stdout and stderr where they are files that may hang: descriptors 1 and 2
 * become pipes, for us and for every child from then on, and a writer's process
 * (writer.h) has the file. So from the start on a network file system; on any
 * other from the moment on at which the logger was seen to hang (hang.c). The
 * init keeps the read ends: a writer that dies loses what it has read, no more,
 * and how much that was is in the shared counts (tally.h).
 */
enum {
	SINK_PIPE = 1 << 20,
	SINK_FIRST_MS = 50,
	SINK_CAP_MS = 2000,
	SINK_LAST_MS = 2000, /* at our end, for a file that hangs */
};

static const char *const names[] = {"stdout", "stderr"};

/* File systems with somebody else behind them, by statfs(2)'s f_type. */
static bool
is_remote(int fd)
{
	static const uint32_t types[] = {
	    0x6969,     /* NFS */
	    0x517B,     /* SMB */
	    0xFE534D42, /* SMB2 */
	    0xFF534D42, /* CIFS */
	    0x65735546, /* FUSE: sshfs, s3fs, gluster, virtiofs… */
	    0x01021997, /* 9P */
	    0x00C36400, /* Ceph */
	    0x0BD00BD0, /* Lustre */
	    0x01161970, /* GFS2 */
	    0x7461636F, /* OCFS2 */
	    0x5346414F, /* AFS */
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if ((uint32_t)fs.f_type == types[i])
			return true;
	return false;
}

/* --- the writer's process --- */

static int
writer_spawn(struct core *core, size_t which, struct err *err)
{
	struct sink *sink = &core->sinks[which];
	const char *const argv[] = {"reeve", "--writer", which == 0 ? "0" : "1",
	    sink->mends ? "mend" : NULL, NULL};
	static const char *const envp[] = {NULL};
	const struct worker_spec spec = {.envp = envp};
	const struct spawn_fd fds[] = {
	    {sink->pipe_fd, STDIN_FILENO},
	    {sink->file_fd, STDOUT_FILENO},
	    {core->null_fd, STDERR_FILENO},
	    {core->tally_fd, WRITER_COUNTS_FD},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = core->self_fd,
	    .plain = true,
	    .die_with_parent = false, /* it ends when nobody writes any more */
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds),
	};
	struct spawned spawned = {.pidfd = -1, .report_fd = -1};

	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	fd_close(&spawned.pidfd);
	fd_close(&spawned.report_fd);
	sink->pid = spawned.pid;
	sink->started_ms = core->loop.now_ms;
	return owner_set(core, spawned.pid, OWNER_SINK, (int32_t)which, err);
}

static void
writer_later(struct core *core, struct sink *sink)
{
	int64_t delay_ms = backoff_next(&sink->backoff, CLASS_CRASH,
	    core->loop.now_ms - sink->started_ms, SINK_FIRST_MS, SINK_CAP_MS,
	    core_noise());

	core_wake(
	    core, &core->sink_timer, clock_after(core->loop.now_ms, delay_ms));
}

void
sink_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;
	struct err err = ERR_INIT;
	bool exact;

	(void)now_ms;
	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++) {
		struct sink *sink = &core->sinks[i];
		if (sink->file_fd == -1 || sink->pid != 0)
			continue;
		/* after a fault, of one whose end was never heard of */
		if (tally_file_settle(&core->tallies->files[i], &exact) > 0 ||
		    !exact)
			sink->mends = true;
		if (writer_spawn(core, i, &err) == 0)
			continue;
		log_error("output.writer", "%s: %s", names[i], err.text);
		if (sink->pid == 0)
			writer_later(core, sink);
	}
}

/* Bytes in the pipe, that no writer has taken. */
static uint64_t
in_pipe(const struct sink *sink)
{
	int bytes = 0;

	if (sink->pipe_fd == -1 || ioctl(sink->pipe_fd, FIONREAD, &bytes) == -1)
		return 0;
	return (uint64_t)bytes;
}

/* The file can't be written: as with a reader that is gone. What comes from now
 * on is counted by who writes it. */
static void
give_up(struct core *core, size_t which, uint64_t lost)
{
	struct sink *sink = &core->sinks[which];
	struct tally_file *file = &core->tallies->files[which];
	uint64_t unread = in_pipe(sink);

	fd_close(&sink->pipe_fd);
	fd_close(&sink->file_fd);
	file->taken += unread;
	file->lost += unread;
	log_error("output.closed",
	    "%s: its file can't be written any more; %llu bytes on their way "
	    "to it are lost",
	    names[which], (unsigned long long)(lost + unread));
}

void
sink_exited(struct core *core, int32_t which, const struct worker_exit *ended)
{
	struct sink *sink = &core->sinks[which];
	char text[EXIT_TEXT_SIZE];
	bool exact;

	sink->pid = 0;
	if (core->phase == PHASE_DONE)
		return;
	uint64_t lost = tally_file_settle(&core->tallies->files[which], &exact);
	if (ended->kind == EXIT_CODE && ended->value != EXIT_AGAIN) {
		give_up(core, (size_t)which, lost);
		return;
	}
	sink->mends = true;
	log_warning("output.writer",
	    "%s: its writer: %s; %s%llu bytes are lost", names[which],
	    exit_text(ended, text, sizeof(text)), exact ? "" : "at most ",
	    (unsigned long long)(exact || lost > 0 ? lost : WRITER_CHUNK));
	writer_later(core, sink);
}

/* --- from a file to a pipe --- */

static int
take_over(struct core *core, size_t which, struct err *err)
{
	struct sink *sink = &core->sinks[which];
	int fd = STDOUT_FILENO + (int)which;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		return err_sys(err, "pipe for the file at descriptor %d", fd);
	(void)!fcntl(ends[1], F_SETPIPE_SZ, SINK_PIPE);
	sink->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	/* without close-on-exec, as the descriptor that it replaces */
	if (sink->file_fd == -1 || dup2(ends[1], fd) == -1 ||
	    (core->outputs.one && dup2(ends[1], STDERR_FILENO) == -1)) {
		(void)err_sys(err, "copy descriptor %d", fd);
		fd_close(&sink->file_fd);
		fd_close(&ends[0]);
		fd_close(&ends[1]);
		return -1;
	}
	fd_close(&ends[1]);
	sink->pipe_fd = ends[0];
	core->outputs.file[which] = false;
	if (core->outputs.one)
		core->outputs.file[STDERR_FILENO - STDOUT_FILENO] = false;
	return 0;
}

/* Before anything is logged, which would go to the file. */
static void
replace(struct core *core, bool remote_only, bool mends)
{
	struct err err = ERR_INIT;
	bool taken = false;

	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++) {
		if (!core->outputs.file[i] || core->self_fd == -1 ||
		    (remote_only && !is_remote(STDOUT_FILENO + (int)i)))
			continue;
		core->sinks[i].mends = mends;
		if (take_over(core, i, &err) == 0)
			taken = true;
	}
	if (!taken)
		return;
	log_reopen();
	sink_timer(&core->sink_timer, core->loop.now_ms);
}

void
sinks_open(struct core *core)
{
	struct stat at[2];

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		core->outputs.file[i] =
		    fstat(STDOUT_FILENO + (int)i, &at[i]) == 0 &&
		    S_ISREG(at[i].st_mode);
	core->outputs.one = core->outputs.file[0] && core->outputs.file[1] &&
	                    at[0].st_dev == at[1].st_dev &&
	                    at[0].st_ino == at[1].st_ino;
	replace(core, true, false);
}

void
sinks_take(struct core *core)
{
	replace(core, false, true);
}

void
sinks_resume(struct core *core)
{
	sink_timer(&core->sink_timer, core->loop.now_ms);
}

/* --- the end --- */

static bool
any_writes(const struct core *core)
{
	return core->sinks[0].pid != 0 || core->sinks[1].pid != 0;
}

/* Nobody writes to the pipes any more: their writers end when they are empty.
 */
static void
close_pipes(const struct core *core)
{
	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++)
		if (core->sinks[i].file_fd != -1)
			(void)dup2(core->null_fd, STDOUT_FILENO + (int)i);
	if (core->outputs.one && core->sinks[0].file_fd != -1)
		(void)dup2(core->null_fd, STDERR_FILENO);
}

uint64_t
sinks_end(struct core *core)
{
	int64_t until_ms = clock_after(clock_ms(), SINK_LAST_MS);
	uint64_t all = 0;

	if (core->tallies == NULL) /* it ends before it began */
		return 0;
	core->phase = PHASE_DONE;
	close_pipes(core);
	while (any_writes(core) && clock_ms() < until_ms)
		if (loop_turn(&core->loop, until_ms, NULL) == -1)
			break;
	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++) {
		uint64_t left = in_pipe(&core->sinks[i]) +
		                tally_file_held(&core->tallies->files[i]);

		if (left > 0)
			log_warning("output.unwritten",
			    "%s: its file hasn't taken the last %llu bytes",
			    names[i], (unsigned long long)left);
		all += left;
	}
	return all;
}
