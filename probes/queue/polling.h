/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_POLLING_H
#define REEVE_PROBES_QUEUE_POLLING_H

#include "probes/queue/queue.h"

/* Claims of a technology that doesn't tell when a job comes: its tables are
 * asked again, less and less often. */
struct queue_polling {
	/* One try. 0: *ret_got says whether there was a job, or -1. */
	int (*claim_now)(struct queue *queue, struct queue_job *ret,
	    bool *ret_got, struct err *err);
	int first_ms, most_ms; /* between two tries: doubled from try to try */
};

/* As queue_claim(). A signal ends the wait, without a job: the caller looks at
 * what it was. */
int queue_poll_claim(struct queue *queue, const struct queue_polling *polling,
    int64_t wait_ms, struct queue_job *ret, bool *ret_got,
    struct err *err) MUST_CHECK;

#endif
