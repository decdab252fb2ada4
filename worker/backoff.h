/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_BACKOFF_H
#define REEVE_WORKER_BACKOFF_H

#include "base/base.h"
#include "worker/exit.h"

/*
 * How long to wait before a worker is started again (pid1.md 5.4 rule 9):
 * min(cap, first * 2^failures) spread over its upper half, failures counted for
 * each class of end; forgiven after the worker was well for
 * max(60 s, 2 x the last delay).
 */
enum {
	BACKOFF_HEALTHY_MS = 60 * 1000
};

struct backoff {
	uint16_t failures[CLASS_COUNT]; /* in a row */
	uint16_t padding;
	int64_t last_delay_ms;
};

/* Notes an end after `well_ms` of being ready, and gives the delay before the
 * next start; `noise` is any 32 random bits. CLASS_ORDERED has no delay and no
 * memory. */
int64_t backoff_next(struct backoff *backoff, enum exit_class kind,
    int64_t well_ms, int64_t first_ms, int64_t cap_ms, uint32_t noise);
void backoff_reset(struct backoff *backoff);

#endif
