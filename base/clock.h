/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_CLOCK_H
#define REEVE_BASE_CLOCK_H

#include "base/base.h"

/*
 * Time. Deadlines are absolute, on the monotonic clock, in milliseconds;
 * CLOCK_NEVER is later than all of them. Wall time is for people and for
 * comparing with what other systems recorded.
 */
#define CLOCK_NEVER INT64_MAX

int64_t clock_ms(void);      /* monotonic */
int64_t clock_cpu_ms(void);  /* that this process has computed; a system call */
int64_t clock_wall_ms(void); /* unix time */
/* now + delay without overflow; CLOCK_NEVER stays. */
int64_t clock_after(int64_t now_ms, int64_t delay_ms);
/* How far wall time is ahead of monotonic time: `kept_ms`, what it was the last
 * time (0 at first), for as long as that can be right. Two readings of
 * truncated clocks differ by a millisecond, and one moment shall have one wall
 * time until the clock is set. */
int64_t clock_wall_ahead(int64_t kept_ms);
/* The next multiple of `every_ms`: what is done as often is done in one go. */
int64_t clock_beat(int64_t now_ms, int64_t every_ms);
/* For poll and epoll_wait: -1 for CLOCK_NEVER, else 0..60000 ms. */
int clock_timeout(int64_t now_ms, int64_t deadline_ms);

/* The date of a day counted from 1 January 1970, Gregorian. */
void clock_civil(int64_t days, int64_t *year, int64_t *month, int64_t *day);

enum {
	CLOCK_TEXT_SIZE = sizeof("2026-11-22T02:18:00.123Z")
};
/* RFC 3339 in UTC with milliseconds. No locale, no time zone data. */
const char *clock_text(int64_t wall_ms, char dst[CLOCK_TEXT_SIZE]);

#endif
