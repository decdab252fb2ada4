/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AddressSanitizer does in the init and in the workers of the tests where
 * ASAN_OPTIONS doesn't say otherwise; linked into them by `make asan` alone. It
 * reads that variable from /proc/self/environ: in a world without /proc it sees
 * none, and a worker is given none. LeakSanitizer then ends its program for
 * want of /proc/self/task; and it looks with a process of its own, which is an
 * orphan for the init when a worker is killed meanwhile.
 */
#include "base/base.h"

const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
