/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_REQUEST_LINE_H
#define REEVE_CHECKS_REQUEST_LINE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "manifests/declared.h"
#include "probes/request.h"

/*
 * From what is declared to the line of JSON that asks a prober for it. A line
 * may hold secrets; NULL: it would be longer than 2 MiB.
 */

/* What a request line carries besides what it asks; NULL: not. */
struct request_more {
	const char *subject; /* required */
	int64_t timeout_ms;
	const char *canary;
	const char *by;                /* not for queues */
	const char *base;              /* metric: what it was before */
	const char *const *reader;     /* log: the command that prints them */
	const char *payload, *receipt; /* for queues alone */
	bool alone;                    /* observe: no near names */
	const char *part;              /* list and move */
	int64_t limit;                 /* list */
	const char *const *ids;        /* move */
	size_t nids;
	bool force; /* move */
};

/* The request line {"kind":…,"subject":…,"timeout_ms":…, params…} from a
 * declared request. In the arena. */
const char *request_line(struct arena *arena, const char *kind,
    const char *params, const struct request_more *request);
/* What was written, in the arena; `line` is wiped. NULL: it overflowed. */
const char *request_text(struct buffer *line, struct arena *arena);
/* Looks at queues of one endpoint go to one prober. */
void request_share_prober(
    struct probe_request *request, const struct declared_queue *queue);
/* {"kind":"queue",…,"op":op} */
const char *request_line_queue(struct arena *arena,
    const struct declared_queue *queue, const char *op,
    const struct request_more *request);

#endif
