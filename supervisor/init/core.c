/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/signals.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "supervisor/init/tool.h"
#include "worker/send.h"

enum {
	INIT_SIGNALS_A_TURN = 16,
	/* Crediting what was only a busy machine does no harm: what is due is
	 * due now, and everything else as much later. */
	INIT_STALL_MS = 500,
	INIT_LOOK_MS = 250,
};

/* --- its parts --- */

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

/* --- signals and timers --- */

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

int
core_watch_signals(struct core *core, struct err *err)
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

/* --- its life --- */

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

void
core_mind_stalls(struct core *core)
{
	core->loop.stall_ms = INIT_STALL_MS;
	core->loop.stalled = core_stalled;
}

int
core_start(struct core *core, struct err *err)
{
	if (open_basics(core, err) == -1 || table_map(core, err) == -1 ||
	    capture_map(core, err) == -1 || core_watch_signals(core, err) == -1)
		return -1;
	sinks_open(core);
	core_mind_stalls(core);
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

int
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
