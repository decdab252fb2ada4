/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_SIGNALS_H
#define REEVE_BASE_SIGNALS_H

#include "base/base.h"

#include <signal.h>

/*
 * All signals. A libc keeps some real-time ones for its threads (glibc 32 and
 * 33, musl 34 too) and leaves them out of its sigfillset() and sigaction(); to
 * an init, which has no threads, they are as good as the others.
 */
void signals_all(sigset_t *ret);
/* The first thing that an init does: blocks all signals but these. musl
 * unblocks 33 and 34 when the first handler is installed, and only then: that
 * is over when this returns. */
void signals_block(const int *but, size_t count);
/* Every signal has its default action. */
void signals_reset(void);

#endif
