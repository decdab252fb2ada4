/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "worker/limit.h"

enum {
	LIMIT_US = 1000
};

int64_t
limit_take(struct limit *limit, const struct limit_spec *spec, int64_t now_ms)
{
	if (spec->count == 0)
		return now_ms;
	int64_t every_us = spec->window_ms * LIMIT_US / spec->count;
	int64_t full_us = MAX(limit->full_at_us, now_ms * LIMIT_US);
	/* a bucket that lacks fewer than `count` tokens has one */
	int64_t at_us = full_us - every_us * (int64_t)(spec->count - 1);

	limit->full_at_us = clock_after(full_us, every_us);
	return MAX(now_ms, at_us / LIMIT_US + (at_us % LIMIT_US > 0));
}
