/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_LIMIT_H
#define REEVE_WORKER_LIMIT_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * Spreads the restarts of one worker's replicas (pid1.md 5.4 rule 9): a bucket
 * of `count` tokens that fills up within `window_ms`, kept as the time at which
 * it would be full. A zeroed one is full.
 */
struct limit {
	int64_t full_at_us; /* monotonic */
};

/* Takes a token, and gives the time from which it holds: `now_ms`, or later.
 * Whoever asks has that turn, also when it is long from now. */
int64_t limit_take(
    struct limit *limit, const struct limit_spec *spec, int64_t now_ms);

#endif
