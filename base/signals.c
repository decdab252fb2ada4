/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/signals.h"

enum {
	KERNEL_SIGNALS = 64,
	KERNEL_MASK_BYTES = KERNEL_SIGNALS / 8,
	LIBC_FIRST = 32, /* that a libc takes for itself */
	LIBC_LAST = 34,
};

/* What the kernel calls a sigaction is no larger than this on any
 * architecture; its first word is the handler. */
struct kernel_action {
	unsigned long words[8];
};

void
signals_all(sigset_t *ret)
{
	memset(ret, 0xff, sizeof(*ret));
}

static void
act(int signo, uintptr_t action)
{
	const struct kernel_action how = {.words = {action}};

	(void)syscall(
	    SYS_rt_sigaction, (long)signo, &how, NULL, (long)KERNEL_MASK_BYTES);
}

static void
nothing(int signo)
{
	(void)signo;
}

static void
install_a_handler(void)
{
	struct sigaction handler = {.sa_handler = nothing};
	struct sigaction before;

	(void)sigemptyset(&handler.sa_mask);
	if (sigaction(SIGURG, &handler, &before) == 0)
		(void)sigaction(SIGURG, &before, NULL);
}

void
signals_block(const int *but, size_t count)
{
	sigset_t set;

	/* so that one of them that comes just now doesn't end us */
	for (int signo = LIBC_FIRST; signo <= LIBC_LAST; signo++)
		act(signo, (uintptr_t)SIG_IGN);
	install_a_handler();
	signals_all(&set);
	for (size_t i = 0; i < count; i++)
		(void)sigdelset(&set, but[i]);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	for (int signo = LIBC_FIRST; signo <= LIBC_LAST; signo++)
		act(signo, (uintptr_t)SIG_DFL);
}

void
signals_reset(void)
{
	for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
		act(signo, (uintptr_t)SIG_DFL);
}
