/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <poll.h>

#include "base/clock.h"
#include "probes/queue/polling.h"

int
queue_poll_claim(struct queue *queue, const struct queue_polling *polling,
    int64_t wait_ms, struct queue_job *ret, bool *ret_got, struct err *err)
{
	int64_t until_ms = clock_after(clock_ms(), wait_ms);
	int pause_ms = polling->first_ms;

	for (;;) {
		bool got = false;

		if (polling->claim_now(queue, ret, &got, err) == -1)
			return -1;
		int64_t left_ms = until_ms - clock_ms();

		if (got || left_ms <= 0 ||
		    poll(NULL, 0, (int)MIN(left_ms, pause_ms)) == -1) {
			*ret_got = got;
			return 0;
		}
		pause_ms = MIN(pause_ms * 2, polling->most_ms);
	}
}
