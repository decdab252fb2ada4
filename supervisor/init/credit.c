/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/table.h"

/*
 * Stall credit (pid1.md case 15): the container was frozen, or the init was
 * stopped. The loop moves its timers; what is here moves the times that those
 * timers are made from, so that nothing is due all at once when it goes on.
 * Times of the past (since when it runs, is ready, was probed) stay.
 */

static void
later(int64_t *at_ms, int64_t gap_ms)
{
	if (*at_ms != 0)
		*at_ms = clock_after(*at_ms, gap_ms);
}

void
core_stalled(struct loop *loop, int64_t gap_ms)
{
	struct core *core = CONTAINER_OF(loop, struct core, loop);

	log_warning("init.stalled",
	    "stood still for %lld ms: every deadline is that much later",
	    (long long)gap_ms);
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		later(&core->instances[slot].active_ms, gap_ms);
		if (!instance_has(core, (int32_t)slot, ROW_PAST))
			continue;
		struct past *past = &core->pasts[slot];
		later(&past->next_start_ms, gap_ms);
		later(&past->kill_at_ms, gap_ms);
		later(&past->watchdog_at_ms, gap_ms);
	}
	for (uint32_t run = 0; run < core->nruns; run++)
		later(&core->runs[run].limit.full_at_us, gap_ms * 1000);
	later(&core->drain_started_ms, gap_ms);
	later(&core->drain_deadline_ms, gap_ms);
	later(&core->operate.heard_ms, gap_ms);
}
