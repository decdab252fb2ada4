/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_POSTGRES_COUNT_H
#define REEVE_PROBES_QUEUE_POSTGRES_COUNT_H

#include "probes/queue/postgres.h"
#include "probes/queue/state.h"

/*
 * The numbers of a queue that is a table: one statement, after the planner was
 * asked what each of its parts costs. A part that costs more than the limit
 * isn't run: a count becomes the planner's own guess, marked as an estimate,
 * and anything else unknown. A count stops at `count_to`.
 */
enum {
	PG_SAMPLE = 1000 /* jobs among which the most attempts are looked for */
};

enum pg_figure {
	PG_WAITING = 0,
	PG_ACTIVE,
	PG_DELAYED,
	PG_FAILED,
	PG_DEAD,
	PG_COMPLETED,
	PG_LEASE_EXPIRED,
	PG_LEASE_MISSING,
	PG_COUNTS, /* those before are counts */
	PG_OLDEST = PG_COUNTS,
	PG_ATTEMPTS,
	PG_HEAD,
	PG_PAUSED,
	PG_BACKS_OFF,
	PG_HOLDERS,
	PG_FIGURES
};

struct pg_figures {
	/* Of a count: what follows SELECT 1, "FROM t WHERE …"; of the others an
	 * expression: when the oldest waiting job was put in (unix ms), the
	 * most attempts, the id of the oldest, whether it is paused (0/1),
	 * whether what fails waits (0/1, NULL unknown), the
	 * owners of leases in force, one a line.
	 * NULL: there is no such thing. */
	const char *text[PG_FIGURES];
	const char *why[PG_FIGURES]; /* of a NULL: why it is unknown; NULL: it
	                                is not applicable */
	const char *hint;            /* what would make it cheap */
	int64_t cost_max;
	int64_t count_to; /* of the queue's spec */
};

/*
 * Within a transaction that the caller began. The parameters of `bound` are
 * those of all texts. -1 when the statement was refused (the session's trouble
 * says how); a timeout leaves the estimates and is no error, but ends the
 * transaction: `ret_ended`.
 */
int pg_count(struct postgres_session *session, const struct pg_figures *figures,
    const struct pg_sql *bound, struct queue_state *ret, bool *ret_ended,
    struct err *err) MUST_CHECK;

#endif
