/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/nowait.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/oneshot.h"
#include "supervisor/init/oneshot_again.h"
#include "worker/exit.h"
#include "worker/send.h"

enum {
	EXEC_MS = 5000, /* an exec that hangs longer: forward all the same */
	KILL_MS = 2000, /* what SIGKILL doesn't end by then is unkillable */
	GROUP_LOOK_MS = 50, /* others' children don't tell us when they end */
	SAFETY_MS = 1000,   /* without a pidfd: a lost SIGCHLD heals */
	SIGNALS_BATCH = 16,
	REAP_BATCH = 256,
	EXIT_NOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL_BASE = 128,
};

/* One line of ours; lost rather than waited for when nobody reads stderr. */
static void
say_line(const struct err *text)
{
	char line[ERR_TEXT_MAX + 16];
	struct nowait out;

	if (text_format(
	        line, sizeof(line), NULL, "reeve run: %s\n", text->text) == -1)
		return;
	nowait_open(&out, STDERR_FILENO);
	(void)nowait_write(&out, line, strlen(line));
	nowait_close(&out);
}

static void say_more(const struct oneshot *oneshot, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

/* What only -v wants to hear. */
static void
say_more(const struct oneshot *oneshot, const char *fmt, ...)
{
	struct err text = ERR_INIT;
	va_list args;

	if (oneshot->args.verbose == 0)
		return;
	va_start(args, fmt);
	int len = vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	if (len > 0)
		say_line(&text);
}

/* What -w wants to hear. */
static void
say_reaped(const struct oneshot *oneshot, pid_t pid)
{
	struct err text = ERR_INIT;

	if (!oneshot->args.say_reaped || pid == oneshot->pid ||
	    pid == oneshot->sweeper)
		return;
	if (text_format(text.text, sizeof(text.text), NULL,
	        "reaped orphan process %d", (int)pid) == 0)
		say_line(&text);
}

/* Until CMD is reaped its pid can't belong to anybody else; afterwards only its
 * group is meant, which the pidfd still names. */
static int
send_signal(const struct oneshot *oneshot, int signo, bool group)
{
	return group ? send_to_group(oneshot->pid, oneshot->pidfd, signo)
	             : send_to_process(oneshot->pid, signo);
}

/* Everybody in our namespace but us. From a child, because kill(-1) can take
 * long; whoever waits here isn't PID 1. */
static void
sweep(struct oneshot *oneshot, int signo)
{
	if (getpid() != 1)
		return;
	oneshot->sweeper = fork();
	if (oneshot->sweeper == 0) {
		(void)kill(-1, signo);
		(void)kill(-1, SIGCONT); /* the stopped ones must see it */
		_exit(0);
	}
}

static void
enter(struct oneshot *oneshot, enum phase phase, int64_t delay_ms)
{
	oneshot->phase = phase;
	oneshot->deadline_ms = delay_ms == CLOCK_NEVER
	                           ? CLOCK_NEVER
	                           : clock_after(clock_ms(), delay_ms);
}

/* --- -p --- */

/* Has the kernel send us the signal of -p when our parent, which was `parent`,
 * ends. Did it end before we asked, we send it ourselves. */
static int
follow(const struct oneshot *oneshot, pid_t parent)
{
	int signo = oneshot->args.parent_death;

	if (signo == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, signo, 0, 0, 0) == -1)
		return -1;
	if (getppid() != parent)
		(void)kill(getpid(), signo);
	return 0;
}

/* --- the child --- */

static void
reset_signals(void)
{
	sigset_t none;

	signals_reset();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child(const struct oneshot *oneshot, int report_fd) NORETURN;

static void
child(const struct oneshot *oneshot, int report_fd)
{
	/* Parent and child both: whoever is first, nobody sees CMD in our own
	 * group. SIGTTOU is still blocked: we may take the terminal. */
	(void)setpgid(0, 0);
	if (oneshot->foreground)
		(void)tcsetpgrp(STDIN_FILENO, getpid());
	(void)follow(oneshot, oneshot->self);
	reset_signals();
	(void)execvp(oneshot->args.command[0], oneshot->args.command);
	int why = errno;
	ssize_t wrote = write(report_fd, &why, sizeof(why));
	_exit(wrote == -1 || why == ENOENT || why == ENOTDIR ? EXIT_NOT_FOUND
	                                                     : EXIT_NOT_RUN);
}

/* --- the parent --- */

/* We have a terminal, and it is ours to give: a job that the shell started in
 * the background must not snatch it. */
static bool
owns_terminal(void)
{
	pid_t now = tcgetpgrp(STDIN_FILENO);

	return now != -1 && now == getpgrp();
}

static int
start(struct oneshot *oneshot, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_sys(err, "pipe for the exec report");
	oneshot->foreground = owns_terminal();
	oneshot->pid = fork();
	if (oneshot->pid == 0)
		child(oneshot, fds[1]);
	int why = errno;
	fd_close(&fds[1]);
	if (oneshot->pid == -1) {
		fd_close(&fds[0]);
		errno = why;
		return err_sys(err, "start a process");
	}
	(void)setpgid(oneshot->pid, oneshot->pid);
	oneshot->pidfd = (int)syscall(SYS_pidfd_open, oneshot->pid, 0);
	oneshot->exec_fd = fds[0];
	enter(oneshot, PHASE_STARTING, EXEC_MS);
	return 0;
}

static void
executed(struct oneshot *oneshot)
{
	int why = 0;

	if (read(oneshot->exec_fd, &why, sizeof(why)) == sizeof(why)) {
		struct err err = ERR_INIT;

		errno = oneshot->exec_errno = why;
		(void)err_sys(
		    &err, "cannot execute '%s'", oneshot->args.command[0]);
		say_line(&err);
	} else {
		say_more(oneshot, "started '%s' as process %d",
		    oneshot->args.command[0], (int)oneshot->pid);
	}
	fd_close(&oneshot->exec_fd);
	enter(oneshot, PHASE_RUNNING, CLOCK_NEVER);
}

static void
forward(const struct oneshot *oneshot, int signo)
{
	bool gone = oneshot->phase != PHASE_RUNNING;
	int as = oneshot->args.sent_as[signo];
	char spare[2][16];
	const char *came = exit_signal_name(signo, spare[0], sizeof(spare[0]));
	const char *sent = exit_signal_name(as, spare[1], sizeof(spare[1]));

	if (as == 0)
		say_more(oneshot, "%s dropped", came);
	else if (send_signal(oneshot, as, gone || oneshot->args.to_group) == 0)
		say_more(oneshot, "%s forwarded%s%s", came,
		    as == signo ? "" : " as ", as == signo ? "" : sent);
	else if (!gone)
		say_more(oneshot, "%s: errno %d", sent, errno);
}

/* A fault that somebody sent, and that comes by a handler: forwarded as all. */
static void
sent_fault(struct oneshot *oneshot, int signo)
{
	if (oneshot->phase == PHASE_STARTING)
		oneshot->came |= UINT64_C(1) << signo;
	else
		forward(oneshot, signo);
}

static void
forward_what_came(struct oneshot *oneshot)
{
	for (int signo = 1; oneshot->came != 0 && signo < NSIG - 1; signo++)
		if ((oneshot->came >> signo & 1) != 0)
			forward(oneshot, signo);
	oneshot->came = 0;
}

static void
give_terminal(const struct oneshot *oneshot, pid_t group)
{
	if (oneshot->foreground)
		(void)tcsetpgrp(STDIN_FILENO, group);
}

static int
exit_code(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return info->si_status;
	return EXIT_SIGNAL_BASE + info->si_status;
}

/* CMD has ended and isn't reaped yet: its pid, and so its group's number, is
 * still its own. */
static void
command_ended(struct oneshot *oneshot, const siginfo_t *info)
{
	oneshot->code = exit_code(info);
	if (oneshot->exec_errno != 0)
		oneshot->code = oneshot->exec_errno == ENOENT ||
		                        oneshot->exec_errno == ENOTDIR
		                    ? EXIT_NOT_FOUND
		                    : EXIT_NOT_RUN;
	say_more(oneshot, "'%s' ended: %s %d", oneshot->args.command[0],
	    info->si_code == CLD_EXITED ? "exit code" : "signal",
	    info->si_status);
	if (oneshot->args.as_zero[oneshot->code]) {
		say_more(oneshot, "-e: %d counts as 0", oneshot->code);
		oneshot->code = 0;
	}
	give_terminal(oneshot, getpgrp());
	(void)send_signal(oneshot, SIGTERM, true);
	(void)send_signal(oneshot, SIGCONT, true);
	if (oneshot->first)
		sweep(oneshot, SIGTERM);
	enter(oneshot, PHASE_LEAVING, oneshot->args.grace_ms);
}

/* ^Z reached CMD's group, not ours: hand the terminal back and stop too, so
 * that the shell sees its job stopped; when it continues us, CMD goes on.
 * Nobody is there to continue an orphaned group: then SIGTSTP does nothing. */
static void
command_stopped(const struct oneshot *oneshot)
{
	sigset_t stop;

	give_terminal(oneshot, getpgrp());
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTSTP);
	(void)kill(getpid(), SIGTSTP);
	(void)sigprocmask(SIG_UNBLOCK, &stop, NULL);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	if (owns_terminal())
		give_terminal(oneshot, oneshot->pid);
	(void)send_signal(oneshot, SIGCONT, true);
}

static void
look_for_stop(const struct oneshot *oneshot)
{
	siginfo_t info = {.si_pid = 0};

	if (oneshot->phase == PHASE_RUNNING && oneshot->foreground &&
	    waitid(P_PID, (id_t)oneshot->pid, &info, WSTOPPED | WNOHANG) == 0 &&
	    info.si_pid == oneshot->pid)
		command_stopped(oneshot);
}

/* Looks first and reaps second, so that CMD's group is signalled while its
 * number is certain. Returns whether more may wait. */
static bool
reap(struct oneshot *oneshot)
{
	for (int i = 0; i < REAP_BATCH; i++) {
		siginfo_t info = {.si_pid = 0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ==
		    -1) {
			oneshot->no_children = errno == ECHILD;
			return false;
		}
		if (info.si_pid == 0)
			return false;
		if (info.si_pid == oneshot->pid &&
		    oneshot->phase <= PHASE_RUNNING)
			command_ended(oneshot, &info);
		say_reaped(oneshot, info.si_pid);
		(void)waitid(
		    P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	}
	return true;
}

/* One at a time: a fault on the way loses none that is still to be read. */
static void
read_signals(struct oneshot *oneshot)
{
	struct signalfd_siginfo info;

	for (int i = 0;
	     i < SIGNALS_BATCH && read(oneshot->signal_fd, &info,
	                              sizeof(info)) == (ssize_t)sizeof(info);
	     i++)
		if (info.ssi_signo != SIGCHLD) {
			ONESHOT_POINT((int)info.ssi_signo);
			forward(oneshot, (int)info.ssi_signo);
		}
}

static bool
nobody_left(const struct oneshot *oneshot)
{
	if (oneshot->first)
		return oneshot->no_children;
	return send_signal(oneshot, 0, true) == -1 && errno == ESRCH;
}

/* What is left after CMD: waited for, then killed, then given up. */
static void
leave(struct oneshot *oneshot)
{
	if (oneshot->phase < PHASE_LEAVING)
		return;
	if (nobody_left(oneshot)) {
		enter(oneshot, PHASE_DONE, CLOCK_NEVER);
		return;
	}
	if (clock_ms() < oneshot->deadline_ms)
		return;
	if (oneshot->phase == PHASE_KILLING) {
		struct err err = ERR_INIT;

		(void)err_set(&err, ERR_TIMEOUT,
		    "processes that SIGKILL doesn't end are left behind");
		say_line(&err);
		enter(oneshot, PHASE_DONE, CLOCK_NEVER);
		return;
	}
	say_more(oneshot, "the grace is over: what '%s' left behind is killed",
	    oneshot->args.command[0]);
	(void)send_signal(oneshot, SIGKILL, true);
	if (oneshot->first)
		sweep(oneshot, SIGKILL);
	enter(oneshot, PHASE_KILLING, KILL_MS);
}

static int
wait_ms(const struct oneshot *oneshot, bool more)
{
	int64_t now_ms = clock_ms();
	int64_t until_ms = oneshot->deadline_ms;

	if (more)
		return 0;
	if (oneshot->phase >= PHASE_LEAVING && !oneshot->first)
		until_ms = MIN(until_ms, clock_after(now_ms, GROUP_LOOK_MS));
	else if (oneshot->pidfd == -1 || oneshot->phase >= PHASE_LEAVING)
		until_ms = MIN(until_ms, clock_after(now_ms, SAFETY_MS));
	return clock_timeout(now_ms, until_ms);
}

/* One turn: exec report, reaping, signals, deadlines. */
static bool
turn(struct oneshot *oneshot, bool more)
{
	bool starting = oneshot->phase == PHASE_STARTING;
	bool running = oneshot->phase == PHASE_RUNNING;
	struct pollfd fds[] = {
	    {.fd = starting ? oneshot->exec_fd : -1, .events = POLLIN},
	    {.fd = starting ? -1 : oneshot->signal_fd, .events = POLLIN},
	    {.fd = running ? oneshot->pidfd : -1, .events = POLLIN},
	};

	if (poll(fds, ARRAY_LEN(fds), wait_ms(oneshot, more)) == -1)
		return true;
	if (starting) {
		if (fds[0].revents != 0 || clock_ms() >= oneshot->deadline_ms)
			executed(oneshot);
		if (oneshot->phase != PHASE_STARTING)
			forward_what_came(oneshot);
		return true;
	}
	/* signals before reaping: one that came first goes to CMD, which is
	 * still there to have it */
	if (fds[1].revents != 0)
		read_signals(oneshot);
	look_for_stop(oneshot);
	more = reap(oneshot);
	leave(oneshot);
	return more;
}

/* Signals, orphans: the same for whoever starts CMD and whoever goes on with
 * it. */
static int
prepare(struct oneshot *oneshot, char *whole[], struct err *err)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t set;

	/* ignored by whoever started us, the kernel would reap for itself and
	 * we never learn an exit code (tini, catatonit: wait for ever) */
	(void)sigaction(SIGCHLD, &plain, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		say_more(oneshot, "no subreaper here: errno %d", errno);
	signals_all(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	oneshot->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (oneshot->signal_fd == -1)
		return err_sys(err, "signalfd");
	oneshot_again_arm(oneshot, whole, sent_fault);
	return 0;
}

static int
oneshot_run(struct oneshot *oneshot, char *whole[], struct err *err)
{
	assert(oneshot->args.command != NULL);
	if (follow(oneshot, oneshot->parent) == -1)
		return err_sys(err, "-p");
	if (prepare(oneshot, whole, err) == -1 || start(oneshot, err) == -1)
		return -1;
	return 0;
}

static int
finish(struct oneshot *oneshot)
{
	bool more = true;

	while (oneshot->phase != PHASE_DONE)
		more = turn(oneshot, more);
	return oneshot->code;
}

/* A closed 0, 1 or 2 would be taken by a descriptor of ours. */
static void
fill_standard_fds(void)
{
	int fd = 0;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

bool
oneshot_wanted(int argc, char *const argv[])
{
	for (int i = 0; i < argc; i++)
		if (text_equal(argv[i], "--"))
			return true;
	return false;
}

int
oneshot_main(int argc, char *argv[])
{
	struct err err = ERR_INIT;
	struct oneshot oneshot = {
	    .first = getpid() == 1,
	    .self = getpid(),
	    .parent = getppid(),
	    .pidfd = -1,
	    .signal_fd = -1,
	    .exec_fd = -1,
	};

	fill_standard_fds();
	if (oneshot_args_read(argc, argv, &oneshot.args, &err) == -1) {
		say_line(&err);
		return EXIT_USAGE;
	}
	/* main's own vector: "reeve", "run", and what we were given */
	if (oneshot_run(&oneshot, argv - 2, &err) == -1) {
		say_line(&err);
		return EXIT_AGAIN;
	}
	return finish(&oneshot);
}

int
oneshot_recover(const char *fd_text, int argc, char *argv[])
{
	static struct oneshot oneshot;
	struct err err = ERR_INIT;

	(void)prctl(PR_SET_NAME, "reeve");
	if (oneshot_again_take(fd_text, &oneshot, &err) == -1 ||
	    oneshot_args_read(argc, argv, &oneshot.args, &err) == -1 ||
	    prepare(&oneshot, argv - 2, &err) == -1) {
		say_line(&err);
		return EXIT_BUG;
	}
	(void)err_set(&err, ERR_SYSTEM,
	    "fault %u of this init; process %d is kept", oneshot.crashes,
	    (int)oneshot.pid);
	say_line(&err);
	return finish(&oneshot);
}
