/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LIMITER_H
#define REEVE_SUPERVISOR_INIT_LIMITER_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * The rate limit of an instance's output (logs.rateLimit): a bucket of lines
 * and one of bytes, that fill by the rate up to what a burst may be.
 */

/* What may still pass, in thousandths, so that a rate of one a second gains
 * something every millisecond; and what didn't since something last passed. */
struct limiter {
	uint32_t incarnation;
	bool began;
	int64_t at_ms;
	int64_t lines, bytes;
	uint64_t cut_lines, cut_bytes;
};

bool limiter_limits(const struct worker_logs *logs);
/* Brings it to `now_ms`; that of another incarnation begins anew. */
void limiter_fill(struct limiter *limiter, const struct worker_logs *logs,
    uint32_t incarnation, int64_t now_ms);
/* Whether a line of so many bytes passes; one that doesn't is counted. A line
 * may overdraw: else one that is longer than the whole burst would never pass.
 */
bool limiter_take(
    struct limiter *limiter, const struct worker_logs *logs, uint32_t bytes);

#endif
