/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_QUEUE_FACTS_H
#define REEVE_CHECKS_QUEUE_FACTS_H

#include "checks/engine.h"

/* A queue that was looked at, for the rows that judge its numbers. */
struct queue_look {
	const struct declared_queue *queue;
	const struct observation *seen; /* never NULL here */
	const struct queue_state *state;
	const struct queue_state *later; /* the second sample, or NULL */
};

typedef void queue_fn(struct check *check, const struct queue_look *look);
/* Every declared queue whose state could be read; of one that could not the
 * finding is unknown (RV206 or RV401 says more, and blocks). */
void queues_each(struct check *check, queue_fn *judge);

/* Who consumes: the more of both samples. A poller between two polls, or one
 * that connects just now, is there all the same. */
const struct queue_number *queue_consumers(const struct queue_look *look);
/* As check_begin; NULL too when the number that the row is about isn't known
 * (the finding then says why) or the technology has no such notion. */
struct report_finding *queue_begin(struct check *check,
    const struct queue_look *look, const struct queue_number *number);
void queue_evidence(struct check *check, struct report_finding *finding,
    const struct queue_look *look, const char *observed, const char *expected);
/* What to type about it: "reeve queue dead jobs". */
const char *queue_command(
    struct check *check, const struct declared_queue *queue, const char *what);
/* "37 waiting", "at least 5000 waiting", "consumers unknown: why". */
const char *queue_number_text(
    struct check *check, const char *what, const struct queue_number *number);
/* Whether what a server answers with that code is a row of its own: RV225,
 * RV232. */
bool queue_code_has_row(const char *code);
bool queue_number_known(const struct queue_number *number);

#endif
