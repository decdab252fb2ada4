/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "worker/backoff.h"

void
backoff_reset(struct backoff *backoff)
{
	*backoff = (struct backoff){.last_delay_ms = 0};
}

int64_t
backoff_next(struct backoff *backoff, enum exit_class kind, int64_t well_ms,
    int64_t first_ms, int64_t cap_ms, uint32_t noise)
{
	if (kind == CLASS_ORDERED || kind == CLASS_NONE)
		return 0;
	if (well_ms >= MAX(BACKOFF_HEALTHY_MS, 2 * backoff->last_delay_ms))
		backoff_reset(backoff);

	int64_t delay_ms = MIN(first_ms, cap_ms);
	for (unsigned n = 0; n < backoff->failures[kind]; n++) {
		if (delay_ms >= cap_ms || delay_ms == 0)
			break;
		delay_ms = delay_ms > cap_ms / 2 ? cap_ms : delay_ms * 2;
	}
	if (backoff->failures[kind] < UINT16_MAX)
		backoff->failures[kind]++;
	/* half of it, and a random part of the other half: replicas that fell
	 * together don't rise together */
	delay_ms =
	    delay_ms / 2 +
	    (int64_t)((uint64_t)noise * (uint64_t)(delay_ms - delay_ms / 2) >>
	              32);
	backoff->last_delay_ms = delay_ms;
	return delay_ms;
}
