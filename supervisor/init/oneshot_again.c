/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/init/oneshot_again.h"
#include "supervisor/init/tool.h"

enum {
	AGAIN_MS = 10 * 1000,
	AGAIN_STACK = 64 * 1024,
};

static const int faults[] = {
    SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

static struct {
	struct oneshot *oneshot;
	oneshot_sent_fn *sent;
	char **whole;
	pid_t pid;
	int self_fd, state_fd;
	char word[32]; /* --recover-run=FD */
} again = {.self_fd = -1, .state_fd = -1};

static char again_stack[AGAIN_STACK] __attribute__((aligned(16)));

/* --- the fault --- */

static void
keep(int fd)
{
	if (fd > STDERR_FILENO)
		(void)fcntl(fd, F_SETFD, 0);
}

/* Comes back when it can't be done. System calls and our own memory only. */
static void
execute_again(void)
{
	struct oneshot *oneshot = again.oneshot;
	int64_t now_ms = clock_ms();
	bool soon =
	    oneshot->crashed_ms != 0 && now_ms - oneshot->crashed_ms < AGAIN_MS;

	if (soon || again.self_fd == -1 || again.state_fd == -1)
		return;
	oneshot->crashed_ms = now_ms;
	oneshot->crashes++;
	if (pwrite(again.state_fd, oneshot, sizeof(*oneshot), 0) !=
	    (ssize_t)sizeof(*oneshot))
		return;
	keep(again.state_fd);
	keep(oneshot->pidfd);
	keep(oneshot->exec_fd);
	again.whole[1] = again.word;
	tool_exec(again.self_fd, (const char *const *)again.whole,
	    (const char *const *)environ);
}

static void
as_without_us(int signo)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};

	(void)sigaction(signo, &plain, NULL);
	(void)raise(signo);
}

static void
fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (getpid() != again.pid)
		_exit(128 + signo);
	/* abort() and raise() are ours, all else that was sent is CMD's */
	if (info->si_code <= 0 && info->si_pid != again.pid) {
		int why = errno;
		again.sent(again.oneshot, signo);
		errno = why;
		return;
	}
	execute_again();
	as_without_us(signo);
}

void
oneshot_again_arm(struct oneshot *oneshot, char *whole[], oneshot_sent_fn *sent)
{
	const stack_t stack = {
	    .ss_sp = again_stack, .ss_size = sizeof(again_stack)};
	struct sigaction action = {.sa_sigaction = fault,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigset_t set;

	again.oneshot = oneshot;
	again.sent = sent;
	again.whole = whole;
	again.pid = getpid();
	again.self_fd = tool_open_self(NULL);
	again.state_fd = memfd_create("reeve-run", MFD_CLOEXEC);
	(void)snprintf(
	    again.word, sizeof(again.word), "--recover-run=%d", again.state_fd);
	(void)sigaltstack(&stack, NULL);
	(void)sigfillset(&action.sa_mask);
	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		(void)sigaction(faults[i], &action, NULL);
		(void)sigaddset(&set, faults[i]);
	}
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* --- the image after it --- */

int
oneshot_again_take(const char *fd_text, struct oneshot *ret, struct err *err)
{
	static struct oneshot old;
	int64_t fd = -1;

	if (text_i64(fd_text, STDERR_FILENO + 1, INT32_MAX, &fd, err) == -1)
		return -1;
	if (pread((int)fd, &old, sizeof(old), 0) != (ssize_t)sizeof(old) ||
	    old.self != getpid() || old.phase >= PHASE_DONE || old.pid <= 1)
		return err_set(
		    err, ERR_SYSTEM, "what the faulted image left is lost");
	(void)close((int)fd);
	*ret = old;
	if (ret->pidfd > STDERR_FILENO)
		(void)fcntl(ret->pidfd, F_SETFD, FD_CLOEXEC);
	if (ret->exec_fd > STDERR_FILENO)
		(void)fcntl(ret->exec_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

#ifdef REEVE_TEST_FAULTS
void
oneshot_point(int signo)
{
	static volatile uintptr_t nowhere = 4096; /* never mapped */

	if (signo == ONESHOT_FAULT_SIGNAL &&
	    getenv("REEVE_TEST_ONESHOT") != NULL)
		*(volatile int *)nowhere = 1;
}
#endif
