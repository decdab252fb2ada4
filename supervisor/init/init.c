/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/init.h"
#include "supervisor/init/life.h"
#include "supervisor/init/options.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/tool.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum {
	INIT_OLD_FDS = 65536, /* marked one by one on an old kernel */
};

/* One; zero pages until they are used. */
static struct core the_core;

/* --- a process like any other --- */

/* 0, 1 and 2 exist; nothing else that was inherited gets to a child. */
static void
sanitize_fds(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
		    open("/dev/null", O_RDWR) == -1)
			(void)!open("/", O_RDONLY | O_DIRECTORY);
	if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	for (int fd = 3; fd < INIT_OLD_FDS; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* What whoever started us meant for us alone: a worker that took it for its own
 * would speak to our service manager (pid1.md case 27). */
static void
forget_launcher(void)
{
	static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_PID=",
	    "WATCHDOG_USEC=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="};
	char **to = environ;

	for (char **from = environ; from != NULL && *from != NULL; from++) {
		bool ours = false;
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			ours = ours || text_starts(*from, names[i]);
		if (!ours)
			*to++ = *from;
	}
	if (to != NULL)
		*to = NULL;
}

static void
raise_files(struct core *core)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1 ||
	    files.rlim_cur >= files.rlim_max)
		return;
	core->nofile_soft = files.rlim_cur;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) == -1)
		core->nofile_soft = 0;
}

/* --- the first start --- */

static int
run_plan(struct core *core, const char *path, int fd, struct err *err)
{
	if (apply_plan(core, fd, false, err) == -1)
		return err_wrap(err, "plan '%s'", path);
	return 0;
}

/* What the command line names is opened before we leave its directory. */
static int
open_named(struct core *core, const char *plan, int *ret_fd, struct err *err)
{
	if (plan == NULL) {
		core->operate.exec_fd = tool_open(err);
		return core->operate.exec_fd == -1 ? -1 : 0;
	}
	int fd = open(plan, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return err_sys(err, "open '%s'", plan);
	*ret_fd = fd;
	return 0;
}

static int
fail(int code, const struct err *err)
{
	struct core *core = &the_core;

	log_error("init.failed", "%s", err->text);
	finish_termination_log(err->text, code, sinks_end(core));
	return code;
}

int
init_main(int argc, char *argv[])
{
	struct core *core = &the_core;
	struct run_options options = {
	    .max_workers = CORE_WORKERS_DEFAULT, .grace_ms = -1};
	struct err err = ERR_INIT;
	int plan_fd = -1;

	/* Whatever was inherited: signals that are ignored never reach a
	 * signalfd, and an ignored SIGCHLD makes the kernel reap in our place
	 * (pid1.md M3). All are blocked, so none is delivered meanwhile. */
	signals_reset();
	sanitize_fds();
	forget_launcher();
	log_open(STDERR_FILENO, LOG_TEXT, LOG_INFO, "init");
	if (options_parse(&options, &core->operate, argc, argv, &err) == -1)
		return fail(EXIT_USAGE, &err);
	core_reset(core, (uint32_t)options.max_workers);
	core->budget_ms = options.grace_ms;
	core->allow_exec_changes = options.allow_exec_changes;
	raise_files(core);
	if (open_named(core, options.plan, &plan_fd, &err) == -1)
		return fail(options.plan == NULL ? EXIT_BUG : EXIT_DATA, &err);
	if (core_start(core, &err) == -1)
		return fail(EXIT_BUG, &err);
	recover_arm(core, argc, argv);
	recover_ready(core);
	log_info("init.started", "version=%s pid=%d%s", REEVE_VERSION,
	    (int)core->pid, core->pid1 ? "" : " (not PID 1: subreaper)");
	if (options.plan == NULL)
		operator_start(core);
	else if (run_plan(core, options.plan, plan_fd, &err) == -1)
		return fail(
		    err.kind == ERR_INPUT ? EXIT_DATA : EXIT_MANIFEST, &err);
	fd_close(&plan_fd);
	return core_run(core);
}

/* --- in place of another image --- */

static void
begin_again(void)
{
	signals_reset();
	(void)prctl(PR_SET_NAME, "reeve");
	(void)prctl(PR_SET_DUMPABLE, 0);
	log_open(STDERR_FILENO, LOG_TEXT, LOG_INFO, "init");
}

static int
read_fd(const char *text, int *ret, struct err *err)
{
	int64_t fd = -1;

	if (text_i64(text, STDERR_FILENO + 1, INT32_MAX, &fd, err) == -1)
		return -1;
	*ret = (int)fd;
	return 0;
}

/* The operator's arguments; they were all right the first time. */
static void
parse_again(struct core *core, int argc, char *argv[])
{
	struct run_options options = {.grace_ms = -1};

	(void)!options_parse(&options, &core->operate, argc, argv, NULL);
}

static int
resume(struct core *core, const char *fd_text, int argc, char *argv[])
{
	struct err err = ERR_INIT;
	int fd = -1;

	parse_again(core, argc, argv);
	if (read_fd(fd_text, &fd, &err) == 0 &&
	    resume_state(core, fd, &err) == 0) {
		recover_arm(core, argc, argv);
		if (core_watch_signals(core, &err) == 0)
			return 0;
	}
	log_error("init.failed", "%s", err.text);
	return -1;
}

static int
go_on(struct core *core)
{
	core_mind_stalls(core);
	resume_work(core);
	recover_ready(core);
	return core_run(core);
}

int
init_recover(int argc, char *argv[])
{
	struct core *core = &the_core;

	begin_again();
	sanitize_fds();
	/* FD run … */
	if (argc < 2)
		return EXIT_USAGE;
	if (resume(core, argv[0], argc - 2, argv + 2) == -1)
		return recover_drain(argv[0]);
	resume_tell(core);
	return go_on(core);
}

int
init_take_back(int argc, char *argv[])
{
	struct core *core = &the_core;

	begin_again();
	sanitize_fds();
	if (argc < 2)
		return EXIT_USAGE;
	if (resume(core, argv[0], argc - 2, argv + 2) == -1)
		return recover_drain(argv[0]);
	core->kept->upgrades--;
	log_error("upgrade.failed",
	    "the other build couldn't take over; version=%s goes on",
	    REEVE_VERSION);
	return go_on(core);
}

/* Nothing that the build before has is changed by it. */
static int
take_over(struct core *core, int argc, char *argv[], struct err *err)
{
	int fd = -1, self_fd = -1;

	parse_again(core, argc - 3, argv + 3);
	if (read_fd(argv[0], &fd, err) == -1 ||
	    read_fd(argv[1], &self_fd, err) == -1 ||
	    resume_other(core, fd, self_fd, err) == -1)
		return -1;
	RECOVER_TAKE_OVER(err);
	if (core_watch_signals(core, err) == -1)
		return -1;
	sanitize_fds();
	recover_arm(core, argc - 3, argv + 3);
	resume_commit(core, fd);
	return 0;
}

/* What comes with it, if it does. */
static void
change_tool(struct core *core)
{
	int fd = core->operate.exec_fd == -1 ? -1 : tool_open(NULL);

	if (fd == -1)
		return;
	fd_close(&core->operate.exec_fd);
	core->operate.exec_fd = fd;
}

int
init_take_over(int argc, char *argv[])
{
	struct core *core = &the_core;
	struct err err = ERR_INIT;

	begin_again();
	/* FD SELF run … */
	if (argc < 3)
		return EXIT_USAGE;
	recover_arm_back(argv[0], argc - 3, argv + 3);
	if (take_over(core, argc, argv, &err) == -1) {
		log_error("upgrade.failed", "%s", err.text);
		recover_go_back();
		return recover_drain(argv[0]);
	}
	change_tool(core);
	core_mind_stalls(core);
	resume_work(core);
	operator_replace(core);
	recover_ready(core);
	return core_run(core);
}

int
init_recover_drain(int argc, char *argv[])
{
	(void)prctl(PR_SET_NAME, "reeve");
	(void)prctl(PR_SET_DUMPABLE, 0);
	log_open(STDERR_FILENO, LOG_TEXT, LOG_INFO, "init");
	return argc < 1 ? EXIT_USAGE : recover_drain(argv[0]);
}
