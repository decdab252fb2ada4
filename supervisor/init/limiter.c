/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "supervisor/init/limiter.h"

enum {
	MILLE = 1000,
};

bool
limiter_limits(const struct worker_logs *logs)
{
	return logs->rate_lines > 0 || logs->rate_bytes > 0;
}

static int64_t
filled(int64_t has, uint64_t rate, int64_t ms, int64_t burst_ms)
{
	int64_t most = (int64_t)rate * burst_ms;
	int64_t more = 0;

	if (rate == 0 || __builtin_mul_overflow((int64_t)rate, ms, &more) ||
	    __builtin_add_overflow(has, more, &more))
		return most;
	return MIN(more, most);
}

void
limiter_fill(struct limiter *limiter, const struct worker_logs *logs,
    uint32_t incarnation, int64_t now_ms)
{
	if (!limiter->began || limiter->incarnation != incarnation)
		*limiter = (struct limiter){.began = true,
		    .incarnation = incarnation,
		    .at_ms = now_ms,
		    .lines = (int64_t)logs->rate_lines * logs->burst_ms,
		    .bytes = (int64_t)logs->rate_bytes * logs->burst_ms};
	int64_t ms = MAX(now_ms - limiter->at_ms, (int64_t)0);

	limiter->at_ms = now_ms;
	limiter->lines =
	    filled(limiter->lines, logs->rate_lines, ms, logs->burst_ms);
	limiter->bytes =
	    filled(limiter->bytes, logs->rate_bytes, ms, logs->burst_ms);
}

bool
limiter_take(
    struct limiter *limiter, const struct worker_logs *logs, uint32_t bytes)
{
	if ((logs->rate_lines > 0 && limiter->lines < MILLE) ||
	    (logs->rate_bytes > 0 && limiter->bytes <= 0)) {
		limiter->cut_lines++;
		limiter->cut_bytes += bytes;
		return false;
	}
	if (logs->rate_lines > 0)
		limiter->lines -= MILLE;
	if (logs->rate_bytes > 0)
		limiter->bytes -= (int64_t)bytes * MILLE;
	return true;
}
