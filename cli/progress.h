/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_PROGRESS_H
#define REEVE_CLI_PROGRESS_H

#include "base/base.h"

/*
 * Progress on stderr while something is awaited: on a terminal one line that
 * is rewritten, otherwise one line every ten seconds. With --quiet nothing.
 */
struct progress {
	bool terminal, quiet, shown;
	int64_t started_ms, next_ms;
	unsigned turn;
};

void progress_begin(struct progress *progress, bool quiet);
/* `what` is one short line: "3 of 12 looks", "smoke: waiting for 'claimed'". */
void progress_show(struct progress *progress, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
/* Takes the line off the terminal again. */
void progress_end(struct progress *progress);

#endif
