/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "cli/terminal.h"

static const int64_t TERMINAL_EVERY_MS = 100;
static const int64_t LINE_EVERY_MS = 10000;

void
progress_begin(struct progress *progress, bool quiet)
{
	int64_t now_ms = clock_ms();
	bool terminal = terminal_is(STDERR_FILENO);

	*progress = (struct progress){
	    .terminal = terminal,
	    .quiet = quiet,
	    .started_ms = now_ms,
	    .next_ms = clock_after(
	        now_ms, terminal ? TERMINAL_EVERY_MS : LINE_EVERY_MS),
	};
}

void
progress_show(struct progress *progress, const char *fmt, ...)
{
	static const char wheel[] = {'|', '/', '-', '\\'};
	int64_t now_ms = clock_ms();
	char text[256];
	va_list args;

	if (progress->quiet || now_ms < progress->next_ms)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (progress->terminal)
		/* a line that wrapped could not be erased */
		(void)fprintf(stderr, "\r\033[K%c %.*s",
		    wheel[progress->turn++ % sizeof(wheel)],
		    MAX(terminal_columns(STDERR_FILENO) - 3, 0), text);
	else
		(void)fprintf(stderr, "%s (%lld s)\n", text,
		    (long long)((now_ms - progress->started_ms) / 1000));
	progress->shown = true;
	progress->next_ms = clock_after(
	    now_ms, progress->terminal ? TERMINAL_EVERY_MS : LINE_EVERY_MS);
}

void
progress_end(struct progress *progress)
{
	if (progress->terminal && progress->shown)
		(void)fprintf(stderr, "\r\033[K");
	progress->shown = false;
}
