/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_ASKED_H
#define REEVE_PROBES_QUEUE_ASKED_H

#include "probes/look.h"
#include "probes/queue/queue.h"

/*
 * For the files of request.h alone: what is asked for, out of the request, and
 * what they answer alike. Everything lives as long as the request.
 */
struct asked {
	struct queue_spec spec;
	const char *op;
	bool near;
	struct pids own; /* processes of the asker, for queue.asker */
	struct queue_submission job;
	enum queue_part part;
	int64_t limit;
	struct queue_move move;
	struct queue_reap reap;
};

/* request_read.c. A request that can't be read has its answer then, and -1 is
 * returned. */
int asked_read(struct look *look, struct asked *ret) MUST_CHECK;
/* What a handle is kept by between requests: all that it is opened with. */
const char *asked_key(struct look *look, const struct queue_spec *spec);

/* request.c: opens a handle of the heap; NULL: that is answered already. */
struct queue *asked_open(struct look *look, const struct asked *asked);
void asked_close(void *handle);

/* request_answer.c: of a look that succeeded; it takes the samples too. */
void answer_seen(
    struct look *look, struct queue *queue, struct queue_state *state);
/* Near names weren't to be had. */
void answer_no_near(struct look *look, const struct err *why);
/* Trouble of a call: what the other side said no to is a failure, what never
 * came is unknown. */
void answer_trouble(
    struct look *look, const struct queue *queue, const struct err *err);
/* Of a move. */
void answer_move_trouble(
    struct look *look, const struct queue *queue, const struct err *err);

#endif
