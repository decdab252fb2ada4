/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"

enum {
	TIMEOUT_MAX_MS = 60000
};

static int64_t
clock_read(clockid_t id)
{
	struct timespec ts = {0};

	/* fails only for a clock that doesn't exist */
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_ms(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t
clock_cpu_ms(void)
{
	return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t
clock_wall_ms(void)
{
	return clock_read(CLOCK_REALTIME);
}

int64_t
clock_wall_ahead(int64_t kept_ms)
{
	int64_t before_ms = clock_ms();
	int64_t wall_ms = clock_wall_ms();
	int64_t after_ms = clock_ms();

	/* Not being on a processor in between says nothing about the clocks. */
	if (kept_ms >= wall_ms - after_ms - 1 &&
	    kept_ms <= wall_ms - before_ms + 1)
		return kept_ms;
	return wall_ms - before_ms;
}

int64_t
clock_after(int64_t now_ms, int64_t delay_ms)
{
	int64_t at_ms;

	if (delay_ms == CLOCK_NEVER || now_ms == CLOCK_NEVER ||
	    __builtin_add_overflow(now_ms, delay_ms, &at_ms))
		return CLOCK_NEVER;
	return at_ms;
}

int64_t
clock_beat(int64_t now_ms, int64_t every_ms)
{
	return clock_after(now_ms - now_ms % every_ms, every_ms);
}

int
clock_timeout(int64_t now_ms, int64_t deadline_ms)
{
	int64_t wait_ms;

	if (deadline_ms == CLOCK_NEVER)
		return -1;
	if (deadline_ms <= now_ms)
		return 0;
	if (__builtin_sub_overflow(deadline_ms, now_ms, &wait_ms))
		return TIMEOUT_MAX_MS;
	return (int)MIN(wait_ms, TIMEOUT_MAX_MS);
}

static char *
put_digits(char *dst, int64_t value, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--) {
		dst[i - 1] = (char)('0' + value % 10);
		value /= 10;
	}
	return dst + digits;
}

/* Days since 1970 to year, month, day: the Gregorian calendar in years that
 * begin in March, so that the leap day is the last one. */
void
clock_civil(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	int64_t shifted = days + 719468; /* since 0000-03-01 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t doe = shifted - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

const char *
clock_text(int64_t wall_ms, char dst[CLOCK_TEXT_SIZE])
{
	/* the last millisecond that four digits of a year can say */
	const int64_t most_ms = INT64_C(253402300799999);
	int64_t ms = MIN(MAX(wall_ms, 0), most_ms);
	int64_t s = ms / 1000;
	int64_t year;
	int64_t month;
	int64_t day;
	char *p = dst;

	clock_civil(s / 86400, &year, &month, &day);
	p = put_digits(p, year, 4);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, day, 2);
	*p++ = 'T';
	p = put_digits(p, s / 3600 % 24, 2);
	*p++ = ':';
	p = put_digits(p, s / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, s % 60, 2);
	*p++ = '.';
	p = put_digits(p, ms % 1000, 3);
	*p++ = 'Z';
	*p = '\0';
	return dst;
}
