/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_LADDER_H
#define REEVE_PROBES_LADDER_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/observed.h"

/*
 * How far a look got, rung by rung (DNS, TCP, TLS, login, protocol, query),
 * and the first failure. Whatever connects writes into one of these; it knows
 * no protocol and connects to nothing itself.
 *
 * FAILED is a definite negative: the other side answered, or its kernel did
 * (refused, no such name, wrong certificate, wrong password). UNKNOWN is that
 * nothing came: no DNS answer, a connect or a reply that timed out. The cause
 * says which.
 */
enum {
	LADDER_STEPS_MAX = 16
};

struct ladder {
	struct arena *arena; /* all texts live here */
	int64_t deadline_ms; /* monotonic; nothing waits beyond it */
	struct step steps[LADDER_STEPS_MAX];
	size_t nsteps;
	enum step_kind current;
	int64_t current_ms; /* when it began */
	/* the first failure; CAUSE_NONE as long as there is none */
	enum result result;
	enum cause cause;
	const char *code;
	const char *summary;
};

/* Called as each step of any ladder of this process begins, so that whoever
 * kills it can say where it hung. Set once, by the prober; NULL: none. */
typedef void ladder_progress_fn(enum step_kind kind, const char *detail);
void ladder_on_progress(ladder_progress_fn *progress);

void ladder_init(
    struct ladder *ladder, struct arena *arena, int64_t deadline_ms);
/* `detail` (may be NULL) is what is being done: "name db.local",
 * "10.0.0.5:6379".
 */
void ladder_begin(
    struct ladder *ladder, enum step_kind kind, const char *detail);
/* The step that was begun succeeded. */
void ladder_pass(struct ladder *ladder, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The step that was begun failed. Both return -1. `code` is kept as a copy. */
int ladder_fail(struct ladder *ladder, enum cause cause, const char *code,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
int ladder_unknown(struct ladder *ladder, enum cause cause, const char *code,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "dns", "tcp", "tls", "auth", "protocol", "query". */
const char *step_name(enum step_kind kind);

#endif
