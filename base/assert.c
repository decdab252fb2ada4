/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

assert_hook_fn *assert_hook;

void
assert_failed(const char *what, const char *file, int line)
{
	char text[256];
	int len = snprintf(
	    text, sizeof(text), "reeve: bug: %s (%s:%d)\n", what, file, line);

	/* the init's doesn't return: what it tells comes without waiting */
	if (assert_hook != NULL)
		assert_hook(what, file, line);
	if (len > 0)
		(void)!write(
		    STDERR_FILENO, text, MIN((size_t)len, sizeof(text) - 1));
	abort();
}
