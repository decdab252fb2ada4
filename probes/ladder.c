/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "probes/ladder.h"

enum {
	DETAIL_MAX = 1024
};

static ladder_progress_fn *on_progress;

void
ladder_on_progress(ladder_progress_fn *progress)
{
	on_progress = progress;
}

void
ladder_init(struct ladder *ladder, struct arena *arena, int64_t deadline_ms)
{
	*ladder = (struct ladder){.arena = arena,
	    .deadline_ms = deadline_ms,
	    .current_ms = clock_ms(),
	    .code = "",
	    .summary = ""};
}

void
ladder_begin(struct ladder *ladder, enum step_kind kind, const char *detail)
{
	ladder->current = kind;
	ladder->current_ms = clock_ms();
	if (on_progress != NULL)
		on_progress(kind, detail);
}

PRINTF_LIKE(3, 0)
static const char *
ladder_end(
    struct ladder *ladder, enum result result, const char *fmt, va_list args)
{
	char text[DETAIL_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, args);
	const char *detail = arena_text(ladder->arena, text);
	if (ladder->nsteps < LADDER_STEPS_MAX)
		ladder->steps[ladder->nsteps++] = (struct step){
		    .kind = ladder->current,
		    .result = result,
		    .elapsed_ms = clock_ms() - ladder->current_ms,
		    .detail = detail,
		};
	return detail;
}

void
ladder_pass(struct ladder *ladder, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)ladder_end(ladder, RESULT_PASSED, fmt, args);
	va_end(args);
}

static void
ladder_first(struct ladder *ladder, enum result result, enum cause cause,
    const char *code, const char *summary)
{
	if (ladder->cause != CAUSE_NONE)
		return;
	ladder->result = result;
	ladder->cause = cause;
	ladder->code = code == NULL ? "" : arena_text(ladder->arena, code);
	ladder->summary = summary;
}

int
ladder_fail(struct ladder *ladder, enum cause cause, const char *code,
    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	const char *text = ladder_end(ladder, RESULT_FAILED, fmt, args);
	va_end(args);
	ladder_first(ladder, RESULT_FAILED, cause, code, text);
	return -1;
}

int
ladder_unknown(struct ladder *ladder, enum cause cause, const char *code,
    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	const char *text = ladder_end(ladder, RESULT_UNKNOWN, fmt, args);
	va_end(args);
	ladder_first(ladder, RESULT_UNKNOWN, cause, code, text);
	return -1;
}

const char *
step_name(enum step_kind kind)
{
	switch (kind) {
	case STEP_DNS:
		return "dns";
	case STEP_TCP:
		return "tcp";
	case STEP_TLS:
		return "tls";
	case STEP_AUTH:
		return "auth";
	case STEP_PROTOCOL:
		return "protocol";
	case STEP_QUERY:
		return "query";
	}
	UNREACHABLE("step kind");
}
