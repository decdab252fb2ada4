/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_LIVE_SEEN_H
#define REEVE_SUPERVISOR_OPERATOR_LIVE_SEEN_H

#include "base/base.h"
#include "supervisor/operator/helper.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/record.h"

/*
 * What the last looks saw of the processes: live.c asks for it, live_compare.c
 * judges it, and nobody else includes this.
 */
enum {
	LIVE_SOON_MS = 1000, /* at something new */
};

/* One process as it was when it was looked at. */
struct live_process {
	int32_t pid;
	int64_t started_wall_ms;  /* with the pid: which process */
	int64_t uid, gid;         /* -1: unknown */
	struct fingerprint print; /* of its environment */
	char *why;     /* its environment can't be read; NULL: it was */
	cJSON *detail; /* "env", "limits", "peers", where asked for; or NULL */
	bool differs;  /* its environment does */
};

struct live {
	struct operator_core *op;
	struct helper child;
	struct loop_timer timer;
	struct live_process *seen; /* ascending pids */
	size_t nseen;
	cJSON *strangers, *before; /* of the last answer, and the one before */
	char *scope;
	const char *trouble;
	bool asked, whole;
	size_t cursor; /* instance at which the next look begins */
};

/* The one that the init says this instance is; NULL: it wasn't seen yet. */
struct live_process *live_process_of(
    const struct live *live, const struct wire_instance *wire);
/* Has a look made by then; one that is due earlier stays. */
void live_look_at(struct live *live, int64_t at_ms);

#endif
