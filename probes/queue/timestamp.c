/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/queue/timestamp.h"

int64_t
timestamp_of_number(double number)
{
	if (!(number >= 0 && number < 1e15))
		return -1;
	return (int64_t)(number > 1e11 ? number : number * 1000);
}

static bool
digits(const char **at, size_t count, int *ret)
{
	int value = 0;

	for (size_t i = 0; i < count; i++) {
		char c = (*at)[i];

		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*at += count;
	*ret = value;
	return true;
}

static bool
word(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* ".123456" in ms; further digits are read and dropped. */
static int
fraction_ms(const char **at)
{
	int ms = 0;
	int scale = 100;

	if (!word(at, '.'))
		return 0;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		ms += (**at - '0') * scale;
		scale /= 10;
	}
	return ms;
}

int
timestamp_parse(const char *text, int64_t *ret_ms)
{
	struct tm tm = {0};
	const char *at = text;
	int hours = 0;
	int minutes = 0;
	int sign = 0;

	if (!digits(&at, 4, &tm.tm_year) || !word(&at, '-') ||
	    !digits(&at, 2, &tm.tm_mon) || !word(&at, '-') ||
	    !digits(&at, 2, &tm.tm_mday) ||
	    (!word(&at, 'T') && !word(&at, ' ')) ||
	    !digits(&at, 2, &tm.tm_hour) || !word(&at, ':') ||
	    !digits(&at, 2, &tm.tm_min) || !word(&at, ':') ||
	    !digits(&at, 2, &tm.tm_sec))
		return -1;
	int ms = fraction_ms(&at);

	if (word(&at, '+'))
		sign = 1;
	else if (word(&at, '-'))
		sign = -1;
	else
		(void)word(&at, 'Z');
	if (sign != 0) {
		if (!digits(&at, 2, &hours))
			return -1;
		(void)word(&at, ':');
		if (*at != '\0' && !digits(&at, 2, &minutes))
			return -1;
	}
	if (*at != '\0' || tm.tm_mon < 1 || tm.tm_mon > 12)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_ms = ((int64_t)timegm(&tm) -
	              (int64_t)sign * (hours * 60 + minutes) * 60) *
	              1000 +
	          ms;
	return 0;
}
