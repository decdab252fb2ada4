/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "supervisor/init/tool.h"

enum {
	RECOVER_STACK = 64 * 1024,
	RECOVER_ARGS = 96,
	RECOVER_HEAD_ARGS = 3, /* reeve --recover FD */
	RECOVER_SELF_SIZE = 16,
	RECOVER_PERCENT = 90, /* of the container's budget */
	RECOVER_TAKE_OVER_S = 10,
};

static const int faults[] = {
    SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

static struct {
	struct core *core;
	pid_t pid;
	int64_t again_ms;
	const char *argv[RECOVER_ARGS];
	char fd_text[16];
	bool whole;  /* argv holds the whole command line */
	int back_fd; /* of the build before, until its state is taken; -1 */
	volatile sig_atomic_t ready, depth, late;
} recover = {.back_fd = -1};

/* Of its own, so that a full stack can be told. */
static char recover_stack[RECOVER_STACK] __attribute__((aligned(16)));

/* --- descriptors for the next image -----------------------------------------
 */

/* `flags`: 0 for the next image, FD_CLOEXEC when it doesn't come to that. */
static void
keep(int fd, int flags)
{
	if (fd > STDERR_FILENO)
		(void)fcntl(fd, F_SETFD, flags);
}

static void
keep_slots(const struct core *core, int flags)
{
	uint32_t used = MIN(core->slots_used, core->kept->max_workers);

	for (uint32_t slot = 0; slot < used; slot++) {
		const struct links *links = links_of(core, (int32_t)slot);
		if (core->instances[slot].state == INSTANCE_NONE)
			continue;
		keep(pidfd_of(core, (int32_t)slot), flags);
		keep(links->newline.fd, flags);
		keep(links->out[0], flags);
		keep(links->out[1], flags);
	}
}

static void
keep_all(const struct core *core, int flags)
{
	const int own[] = {core->null_fd, core->self_fd, core->state_fd,
	    core->kept_fd, core->control.fd, core->operate.exec_fd,
	    core->operate.report_fd, core->operate.peer.source.fd,
	    core->logger.listen_fd, core->logger.socket.fd,
	    core->logger.beat.fd, core->tally_fd, core->sinks[0].file_fd,
	    core->sinks[0].pipe_fd, core->sinks[1].file_fd,
	    core->sinks[1].pipe_fd, core->answer.listen_fd,
	    core->notify.socket.fd, core->cgroup.dir, core->cgroup.oom_file};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		keep(own[i], flags);
	for (size_t i = 0; i < ARRAY_LEN(core->plans); i++)
		keep(core->plans[i].fd, flags);
	for (size_t i = 0; i < ARRAY_LEN(core->starts); i++)
		if (core->starts[i].slot != CORE_NO_SLOT)
			keep(core->starts[i].report.fd, flags);
	for (uint32_t i = 0; i < MIN(core->nstrays, CORE_STRAYS_MAX); i++)
		keep(core->strays[i].fd, flags);
	keep_slots(core, flags);
}

/* --- the fault --- */

static int64_t
now(void)
{
	struct timespec at = {0, 0};

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void
note_fault(struct kept *kept, int signo, const siginfo_t *info)
{
	kept->signo = signo;
	kept->code = info == NULL ? 0 : info->si_code;
	kept->address = 0;
	if (info != NULL && info->si_code > 0)
		kept->address = (uint64_t)(uintptr_t)info->si_addr;
	kept->crashes++;
}

/* It comes back only when nothing could be executed. */
static void
execute_drain(void)
{
	const char *const argv[] = {
	    "reeve", "--recover-drain", recover.fd_text, NULL};

	tool_exec(recover.core->self_fd, argv,
	    (const char *const *)recover.core->environment);
}

/* Nothing here but system calls and our own memory: it may be anywhere. */
static void
execute_again(int signo, const siginfo_t *info)
{
	struct core *core = recover.core;
	struct kept *kept = core->kept;
	int64_t now_ms = now();

	note_fault(kept, signo, info);
	bool again = kept->crashed_ms != 0 &&
	             now_ms - kept->crashed_ms < recover.again_ms;
	kept->crashed_ms = now_ms;
	if (recover.ready)
		memcpy(&kept->core, core, sizeof(*core));
	keep_all(core, 0);
	if (recover.ready && recover.whole && !again)
		tool_exec(core->self_fd, recover.argv,
		    (const char *const *)core->environment);
	execute_drain();
}

const struct core *
recover_known(void)
{
	return recover.core;
}

bool
recover_possible(void)
{
	return recover.whole;
}

void
recover_take_over(struct core *core, int exec_fd)
{
	char self[RECOVER_SELF_SIZE];
	const char *argv[RECOVER_ARGS + 1] = {
	    "reeve", "--take-over", recover.fd_text, self};

	(void)snprintf(self, sizeof(self), "%d", exec_fd);
	for (size_t i = RECOVER_HEAD_ARGS; recover.argv[i] != NULL; i++)
		argv[i + 1] = recover.argv[i];
	core->kept->upgrades++;
	memcpy(&core->kept->core, core, sizeof(*core));
	keep_all(core, 0);
	keep(exec_fd, 0);
	(void)alarm(RECOVER_TAKE_OVER_S);
	tool_exec(exec_fd, argv, (const char *const *)core->environment);
	int why = errno;
	(void)alarm(0);
	keep_all(core, FD_CLOEXEC);
	keep(exec_fd, FD_CLOEXEC);
	core->kept->upgrades--;
	errno = why;
}

/* --- back to the build before --- */

void
recover_back_to(int fd)
{
	recover.back_fd = fd;
}

/* Its descriptors and its state are as it left them. */
void
recover_go_back(void)
{
	recover.argv[1] = "--take-back";
	if (recover.back_fd != -1)
		tool_exec(recover.back_fd, recover.argv,
		    (const char *const *)environ);
}

static void
back(int signo)
{
	if (signo == SIGALRM)
		log_error("upgrade.hangs",
		    "the other build isn't there after "
		    "%d s",
		    RECOVER_TAKE_OVER_S);
	recover_go_back();
	_exit(recover_drain(recover.fd_text));
}

static void
assertion_back(const char *what, const char *file, int line)
{
	log_error("upgrade.bug", "%s (%s:%d)", what, file, line);
	back(SIGABRT);
}

static void
note_arguments(const char *state_text, int argc, char *argv[])
{
	size_t at = 0;

	(void)snprintf(
	    recover.fd_text, sizeof(recover.fd_text), "%s", state_text);
	recover.argv[at++] = "reeve";
	recover.argv[at++] = "--recover";
	recover.argv[at++] = recover.fd_text;
	recover.argv[at++] = "run";
	for (int i = 0; i < argc && at + 1 < ARRAY_LEN(recover.argv); i++)
		recover.argv[at++] = argv[i];
	recover.argv[at] = NULL;
	recover.whole = (size_t)argc + RECOVER_HEAD_ARGS + 1 == at;
}

static void
handle_faults(struct sigaction *action)
{
	const stack_t stack = {
	    .ss_sp = recover_stack, .ss_size = sizeof(recover_stack)};
	sigset_t set;

	(void)sigaltstack(&stack, NULL);
	action->sa_flags |= SA_ONSTACK | SA_NODEFER;
	(void)sigfillset(&action->sa_mask);
	signals_all(&set);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		/* a fault in the handler comes to the handler */
		(void)sigdelset(&action->sa_mask, faults[i]);
		(void)sigdelset(&set, faults[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		(void)sigaction(faults[i], action, NULL);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

void
recover_arm_back(const char *state_text, int argc, char *argv[])
{
	struct sigaction action = {.sa_handler = back};
	sigset_t hangs;

	note_arguments(state_text, argc, argv);
	assert_hook = assertion_back;
	handle_faults(&action);
	/* the build before has set the alarm */
	(void)sigaction(SIGALRM, &action, NULL);
	(void)sigemptyset(&hangs);
	(void)sigaddset(&hangs, SIGALRM);
	(void)sigprocmask(SIG_UNBLOCK, &hangs, NULL);
}

/* --- the handler of faults --- */

static void
fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	/* a child before its exec: its end is told by its parent */
	if (getpid() != recover.pid)
		_exit(128 + signo);
	/* somebody sent it while we come up again: a little later, then */
	if (!recover.ready && info->si_code <= 0 &&
	    info->si_pid != recover.pid) {
		recover.late = signo;
		return;
	}
	recover.depth++;
	if (recover.depth == 1)
		execute_again(signo, info);
	if (recover.depth <= 2)
		execute_drain();
	_exit(recover_drain(recover.fd_text));
}

static void
assertion(const char *what, const char *file, int line)
{
	struct kept *kept = recover.core->kept;

	if (getpid() != recover.pid)
		return;
	(void)snprintf(
	    kept->what, sizeof(kept->what), "%s (%s:%d)", what, file, line);
	recover.depth++;
	if (recover.depth == 1)
		execute_again(SIGABRT, NULL);
	/* abort() comes next */
}

void
recover_arm(struct core *core, int argc, char *argv[])
{
	struct sigaction action = {
	    .sa_sigaction = fault, .sa_flags = SA_SIGINFO};
	char fd_text[sizeof(recover.fd_text)];

	(void)alarm(0); /* recover_take_over(): we are there */
	recover.core = core;
	recover.pid = getpid();
	recover.again_ms = RECOVER_AGAIN_MS;
#ifdef REEVE_TEST_FAULTS
	if (getenv("REEVE_TEST_CRASH_AGAIN_OK") != NULL)
		recover.again_ms = 0;
#endif
	(void)snprintf(fd_text, sizeof(fd_text), "%d", core->state_fd);
	note_arguments(fd_text, argc, argv);
	assert_hook = assertion;
	handle_faults(&action);
}

void
recover_ready(struct core *core)
{
	(void)core;
	recover.ready = 1;
	if (recover.late != 0)
		(void)raise(recover.late);
}

void
recover_note_plan(struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	int64_t grace_ms = 0, budget_ms = core->budget_ms;
	struct worker_spec spec;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		grace_ms = MAX(grace_ms, spec.grace_ms);
	}
	if (budget_ms < 0)
		budget_ms = core->settings.grace_ms;
	if (budget_ms >= 0)
		grace_ms = MIN(grace_ms, budget_ms / 100 * RECOVER_PERCENT);
	if (core->kept != NULL)
		core->kept->grace_ms = grace_ms;
}

/* --- faults for tests --- */

#ifdef REEVE_TEST_FAULTS
static enum recover_point armed;

static unsigned
overflow(volatile const char *before)
{
	volatile char frame[4096];

	frame[0] = before == NULL ? 0 : *before;
	if (frame[0] != 0)
		return 1;
	return overflow(frame) + (unsigned)frame[0];
}

static void
store_nowhere(void)
{
	static volatile uintptr_t nowhere = 4096; /* never mapped */

	*(volatile int *)nowhere = 1;
}

void
recover_point(enum recover_point point)
{
	if (point != armed || point == POINT_NONE)
		return;
	store_nowhere();
}

int
recover_test_take_over(struct err *err)
{
	const char *how = getenv("REEVE_TEST_TAKE_OVER");

	if (how == NULL)
		return 0;
	assert(!text_equal(how, "assert"));
	if (text_equal(how, "fault"))
		store_nowhere();
	while (text_equal(how, "hang"))
		(void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	return err_set(err, ERR_SYSTEM, "REEVE_TEST_TAKE_OVER=%s", how);
}

bool
recover_point_armed(int signo)
{
	enum recover_point point =
	    (enum recover_point)(signo - RECOVER_POINT_SIGNAL);

	if (signo <= RECOVER_POINT_SIGNAL ||
	    signo > RECOVER_POINT_SIGNAL + (int)POINT_DUE)
		return false;
	armed = point;
	if (point == POINT_STACK)
		(void)overflow(NULL);
	assert(point != POINT_ASSERT);
	recover_point(POINT_STORE);
	return true;
}
#endif
