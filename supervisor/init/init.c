/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
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
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "supervisor/init/tool.h"
#include "worker/send.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum {
	INIT_SIGNALS_A_TURN = 16,
	/* Crediting what was only a busy machine does no harm: what is due is
	 * due now, and everything else as much later. */
	INIT_STALL_MS = 500,
	INIT_LOOK_MS = 250,
	INIT_OLD_FDS = 65536, /* marked one by one on an old kernel */
};

/* One; zero pages until they are used. */
static struct core the_core;

struct options {
	const char *plan; /* NULL: with an operator */
	int64_t max_workers, grace_ms;
	bool allow_exec_changes;
};

/* --- the command line --- */

/* "--name VALUE" and "--name=VALUE". */
static const char *
option_value(int argc, char *argv[], int *at, const char *name)
{
	size_t len = strlen(name);

	if (argv[*at] == NULL || !text_starts(argv[*at], name))
		return NULL;
	if (argv[*at][len] == '=')
		return argv[*at] + len + 1;
	if (argv[*at][len] != '\0' || *at + 1 >= argc)
		return NULL;
	*at += 1;
	return argv[*at];
}

/* What isn't for the init goes to the operator. */
static int
pass_on(struct operate *operate, const char *argument, struct err *err)
{
	if ((size_t)operate->argc + 2 >= ARRAY_LEN(operate->argv))
		return err_set(err, ERR_INPUT, "too many arguments");
	operate->argv[operate->argc++] = argument;
	return 0;
}

static int
parse_one(struct options *options, struct operate *operate, int argc,
    char *argv[], int *at, struct err *err)
{
	const char *value;

	if (text_equal(argv[*at], "--allow-exec-changes")) {
		options->allow_exec_changes = true;
		return 0;
	}
	value = option_value(argc, argv, at, "--plan");
	if (value != NULL) {
		options->plan = value;
		return 0;
	}
	value = option_value(argc, argv, at, "--max-workers");
	if (value != NULL)
		return text_i64(value, 1, INT64_C(10) * WORKER_REPLICAS_MAX,
		    &options->max_workers, err);
	value = option_value(argc, argv, at, "--grace");
	if (value != NULL)
		return text_duration_ms(value, &options->grace_ms, err);
	return pass_on(operate, argv[*at], err);
}

static int
parse(struct options *options, struct operate *operate, int argc, char *argv[],
    struct err *err)
{
	const char *grace = getenv("REEVE_GRACE");

	operate->argv[0] = "reeve-tool";
	operate->argv[1] = "operate";
	operate->argc = 2;
	if (grace != NULL && *grace != '\0' &&
	    text_duration_ms(grace, &options->grace_ms, err) == -1)
		return err_wrap(err, "REEVE_GRACE");
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i];
		if (parse_one(options, operate, argc, argv, &i, err) == -1)
			return err_wrap(err, "%s", name);
	}
	if (options->plan != NULL && operate->argc > 2)
		return err_set(err, ERR_INPUT,
		    "'%s' means nothing beside --plan", operate->argv[2]);
	return 0;
}

/* --- the process itself --- */

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

static int
open_basics(struct core *core, struct err *err)
{
	core->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (core->null_fd == -1)
		/* an image without /dev: reading it says EISDIR, no more */
		core->null_fd = open("/", O_RDONLY | O_CLOEXEC);
	if (core->null_fd == -1)
		return err_sys(err, "open '/dev/null'");
	core->self_fd = tool_open_self(err);
	if (core->self_fd == -1)
		log_warning("init.self", "%s", err->text);
	return 0;
}

static void
become_init(struct core *core)
{
	core->pid = (int32_t)getpid();
	core->pid1 = core->pid == 1;
	/* as PID 1 the kernel kills all with us; else we ask for it */
	core->die_with_parent = !core->pid1;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 && !core->pid1)
		log_warning("init.subreaper",
		    "orphans of workers go elsewhere: error %d", errno);
	/* the environment of PID 1 may hold secrets */
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)umask(022);
	if (getcwd(core->cwd, sizeof(core->cwd)) == NULL)
		core->cwd[0] = '\0';
	if (chdir("/") == -1)
		log_warning("init.chdir", "/: error %d", errno);
}

/* --- the loop --- */

static void
signal_came(struct core *core, int signo)
{
	switch (signo) {
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		drain_signal(core, signo);
		return;
	case SIGHUP: {
		union wire_message message;
		struct peer *peer = peers_operator(core);
		wire_prepare(&message, WIRE_RELOAD_WANTED, 0);
		if (peer == NULL || !peer_send(core, peer, &message, -1))
			log_warning("reload.nobody",
			    "SIGHUP: the operator is not there");
		return;
	}
	default:
#ifdef REEVE_TEST_FAULTS
		if (recover_point_armed(signo))
			return;
#endif
		log_debug("signal.ignored", "signal %d", signo);
	}
}

static void
signals_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	struct signalfd_siginfo infos[INIT_SIGNALS_A_TURN];
	bool ended = false;
	ssize_t got = read(source->fd, infos, sizeof(infos));

	(void)events;
	/* a fault in the middle must not lose the rest */
	for (ssize_t i = 0; i * (ssize_t)sizeof(infos[0]) < got; i++)
		core->came |= UINT64_C(1) << (infos[i].ssi_signo & 63);
	for (ssize_t i = 0; i * (ssize_t)sizeof(infos[0]) < got; i++) {
		int signo = (int)infos[i].ssi_signo;
		if (signo == SIGCHLD)
			ended = true;
		else
			signal_came(core, signo);
		core->came &= ~(UINT64_C(1) << (signo & 63));
	}
	if (ended)
		reap(core);
}

static int
watch_signals(struct core *core, struct err *err)
{
	sigset_t all;

	signals_all(&all);
	int fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		return err_sys(err, "signalfd");
	core->signals = (struct loop_source){
	    .fd = fd, .ready = signals_ready, .owner = core};
	return loop_add(&core->loop, &core->signals, EPOLLIN, err);
}

/* A lost SIGCHLD is made up for where some worker has no pidfd in the wait set:
 * on a kernel without them always (decisions.md 18), elsewhere while there is
 * something that may end soon. */
static void
safety_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	reap(core);
	if (core->phase != PHASE_RUN ||
	    (core->alive > core->witnesses &&
	        (core->no_pidfd || core->hurried > 0)))
		core_look_later(core);
}

static void
set_timers(struct core *core)
{
	core->ending_timer =
	    (struct loop_timer){.fire = ending_timer_fired, .owner = core};
	core->safety_timer =
	    (struct loop_timer){.fire = safety_timer, .owner = core};
	core->young_timer =
	    (struct loop_timer){.fire = young_timer_fired, .owner = core};
	core->phase_timer =
	    (struct loop_timer){.fire = finish_timer, .owner = core};
	core->operate.timer =
	    (struct loop_timer){.fire = operator_timer, .owner = core};
	core->answer.timer =
	    (struct loop_timer){.fire = answer_timer, .owner = core};
	core->guard.timer =
	    (struct loop_timer){.fire = guard_timer, .owner = core};
	core->sink_timer =
	    (struct loop_timer){.fire = sink_timer, .owner = core};
	core->logger.timer =
	    (struct loop_timer){.fire = capture_timer, .owner = core};
	core->upgrade.timer =
	    (struct loop_timer){.fire = upgrade_timer, .owner = core};
}

void
core_reset(struct core *core, uint32_t max_workers)
{
	for (size_t i = 0; i < ARRAY_LEN(core->plans); i++)
		core->plans[i] = PLAN_INIT;
	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++)
		core->clients[i].source.fd = -1;
	core->operate.peer.source.fd = -1;
	core->operate.exec_fd = core->operate.report_fd = -1;
	core->logger.socket.fd = core->logger.listen_fd = -1;
	core->logger.beat.fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(core->sinks); i++)
		core->sinks[i].file_fd = core->sinks[i].pipe_fd = -1;
	core->answer.listen_fd = -1;
	core->upgrade.exec_fd = core->upgrade.said_fd = -1;
	core->upgrade.report_fd = core->upgrade.client = -1;
	core->cgroup = CGROUP_TREE_INIT;
	core->logger.attach_at = CORE_NO_SLOT;
	core->control.fd = core->kept_fd = core->tally_fd = -1;
	core->calendar.fd = -1;
	core->max_workers = max_workers;
	core->budget_ms = -1;
	core->null_fd = core->self_fd = core->state_fd = -1;
	core->settings.grace_ms = -1;
	core->settings.control_gid = -1;
	core->exit_code = -1;
	core->led = send_knows_led();
	core->environment = (const char *const *)environ;
	core->started_wall_ms = clock_wall_ms();
	set_timers(core);
	notify_reset(core);
}

static void
mind_stalls(struct core *core)
{
	core->loop.stall_ms = INIT_STALL_MS;
	core->loop.stalled = core_stalled;
}

static int
core_start(struct core *core, struct err *err)
{
	if (open_basics(core, err) == -1 || table_map(core, err) == -1 ||
	    capture_map(core, err) == -1 || watch_signals(core, err) == -1)
		return -1;
	sinks_open(core);
	mind_stalls(core);
	fingerprint_key_random(&core->key);
	become_init(core);
	limits_open(core);
	return 0;
}

/* A freeze within a long wait for a deadline can't be told from the wait, but
 * for the part that is beyond it. So while some deadline kills when it is over,
 * no wait is longer than what counts as a stall. */
static int64_t
look_at_ms(const struct core *core)
{
	if (core->reap_again || core->order_due)
		return core->loop.now_ms;
	return core->phase == PHASE_RUN && core->hurried == 0
	           ? CLOCK_NEVER
	           : clock_after(clock_ms(), INIT_LOOK_MS);
}

/* From here on nothing ends the process but the drain. */
static int
core_run(struct core *core)
{
	struct err err = ERR_INIT;

	while (core->phase != PHASE_DONE) {
		core->reaped = 0;
		if (loop_turn(&core->loop, look_at_ms(core), &err) == -1)
			log_error("loop", "%s", err.text);
		if (core->reap_again)
			reap(core);
		order_step(core);
		upgrade_step(core);
	}
	int code = finish_code(core);
	log_info("init.ends", "%s; exit code %d", core->end_reason, code);
	finish_termination_log(core->end_reason, code, 0);
	guard_end(core);
	peers_close(core);
	limits_close(core);
	uint64_t unwritten = sinks_end(core);
	if (unwritten > 0)
		finish_termination_log(core->end_reason, code, unwritten);
	return code;
}

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
	struct options options = {
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
	if (parse(&options, &core->operate, argc, argv, &err) == -1)
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

/* An image that was executed in place of another one. */
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
	struct options options = {.grace_ms = -1};

	(void)!parse(&options, &core->operate, argc, argv, NULL);
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
		if (watch_signals(core, &err) == 0)
			return 0;
	}
	log_error("init.failed", "%s", err.text);
	return -1;
}

static int
go_on(struct core *core)
{
	mind_stalls(core);
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
	if (watch_signals(core, err) == -1)
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
	mind_stalls(core);
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
