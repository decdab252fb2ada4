/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/calendar.h"
#include "base/clock.h"

enum {
	MINUTE_S = 60,
	HOUR_S = 3600,
	DAY_S = 86400,
	/* 29 February of a year that is none: 1896 to 1904, 2096 to 2104 */
	SEARCH_DAYS = 9 * 366,
};

#define ALL_MINUTES ((UINT64_C(1) << 60) - 1)
#define ALL_HOURS   ((UINT32_C(1) << 24) - 1)
#define ALL_DAYS    (UINT32_MAX - 1)
#define ALL_MONTHS  ((UINT32_C(1) << 13) - 2)
#define ALL_WEEK    ((UINT32_C(1) << 7) - 1)

bool
calendar_rule_valid(const struct calendar_rule *rule)
{
	return rule->minutes != 0 && (rule->minutes & ~ALL_MINUTES) == 0 &&
	       rule->hours != 0 && (rule->hours & ~ALL_HOURS) == 0 &&
	       rule->days != 0 && (rule->days & ~ALL_DAYS) == 0 &&
	       rule->months != 0 && (rule->months & ~ALL_MONTHS) == 0 &&
	       rule->weekdays != 0 && (rule->weekdays & ~ALL_WEEK) == 0;
}

bool
calendar_zone_valid(const struct calendar_zone *zone)
{
	if (zone->count > CALENDAR_CHANGES_MAX)
		return false;
	for (size_t i = 0; i < zone->count; i++) {
		const struct calendar_change *change = &zone->changes[i];
		if (change->offset_s < -CALENDAR_OFFSET_MAX_S ||
		    change->offset_s > CALENDAR_OFFSET_MAX_S ||
		    change->offset_s % MINUTE_S != 0 ||
		    change->at_s % MINUTE_S != 0 ||
		    change->at_s < INT64_MIN / 4 ||
		    change->at_s > INT64_MAX / 4 ||
		    (i > 0 && change->at_s <= zone->changes[i - 1].at_s))
			return false;
	}
	return true;
}

bool
calendar_possible(const struct calendar_rule *rule)
{
	static const uint32_t longest[] = {
	    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (rule->either_day)
		return true;
	for (uint32_t month = 1; month <= 12; month++)
		for (uint32_t day = 1; day <= longest[month - 1]; day++)
			if ((rule->months >> month & 1) != 0 &&
			    (rule->days >> day & 1) != 0)
				return true;
	return false;
}

/* --- local time --- */

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && a < 0);
}

static bool
day_fits(const struct calendar_rule *rule, int64_t day_number)
{
	int64_t year, month, day;

	clock_civil(day_number, &year, &month, &day);
	/* 1 January 1970 was a Thursday */
	int64_t weekday = day_number + 4 - floor_div(day_number + 4, 7) * 7;
	bool by_day = (rule->days >> day & 1) != 0;
	bool by_weekday = (rule->weekdays >> weekday & 1) != 0;

	if ((rule->months >> month & 1) == 0)
		return false;
	return rule->either_day ? by_day || by_weekday : by_day && by_weekday;
}

/* The first minute of a day that fits and isn't before `from_s` (seconds of the
 * day); DAY_S: none. */
static int64_t
minute_of_day(const struct calendar_rule *rule, int64_t from_s)
{
	int64_t first_hour = from_s / HOUR_S;

	for (int64_t hour = first_hour; hour < 24; hour++) {
		int64_t minute =
		    hour == first_hour ? from_s % HOUR_S / MINUTE_S : 0;
		if ((rule->hours >> hour & 1) == 0)
			continue;
		for (; minute < 60; minute++)
			if ((rule->minutes >> minute & 1) != 0)
				return hour * HOUR_S + minute * MINUTE_S;
	}
	return DAY_S;
}

/* The first local time in [from_s, until_s), as if there were no zones. */
static int64_t
next_local(const struct calendar_rule *rule, int64_t from_s, int64_t until_s)
{
	int64_t first_day = floor_div(from_s, DAY_S);

	for (int64_t day = first_day; day <= first_day + SEARCH_DAYS; day++) {
		int64_t start_s = day == first_day ? from_s - day * DAY_S : 0;
		if (day * DAY_S + start_s >= until_s)
			return CALENDAR_NEVER;
		if (!day_fits(rule, day))
			continue;
		int64_t at_s = minute_of_day(rule, start_s);
		if (at_s < DAY_S)
			return day * DAY_S + at_s < until_s ? day * DAY_S + at_s
			                                    : CALENDAR_NEVER;
	}
	return CALENDAR_NEVER;
}

/* --- in a zone --- */

/* A stretch of time with one offset. */
struct stretch {
	int64_t from_s, until_s; /* UTC; until_s: the next change, or far off */
	int64_t offset_s, before_s; /* this one, and that before from_s */
};

/* The stretch number `index`: 0 is before the first change. */
static struct stretch
stretch_at(const struct calendar_zone *zone, size_t index)
{
	struct stretch ret = {
	    .from_s = INT64_MIN / 2, .until_s = INT64_MAX / 2};

	if (index > 0)
		ret.from_s = zone->changes[index - 1].at_s;
	if (index < zone->count)
		ret.until_s = zone->changes[index].at_s;
	if (zone->count > 0) {
		ret.offset_s =
		    zone->changes[index > 0 ? index - 1 : 0].offset_s;
		ret.before_s =
		    zone->changes[index > 1 ? index - 2 : 0].offset_s;
	}
	return ret;
}

static bool
by_real_time(const struct calendar_rule *rule)
{
	return rule->hours == ALL_HOURS;
}

/* In this stretch, not before `least_s` (a whole minute). */
static int64_t
next_in_stretch(
    const struct calendar_rule *rule, const struct stretch *in, int64_t least_s)
{
	int64_t from_s = MAX(least_s, in->from_s);
	int64_t skipped_s = in->offset_s - in->before_s;

	if (!by_real_time(rule) && skipped_s > 0 && from_s == in->from_s &&
	    next_local(rule, in->from_s + in->before_s,
	        in->from_s + in->offset_s) != CALENDAR_NEVER)
		return in->from_s; /* what the gap swallowed, once */
	if (!by_real_time(rule) && skipped_s < 0)
		from_s = MAX(from_s, in->from_s - skipped_s); /* seen before */
	int64_t local_s =
	    next_local(rule, from_s + in->offset_s, in->until_s + in->offset_s);
	return local_s == CALENDAR_NEVER ? CALENDAR_NEVER
	                                 : local_s - in->offset_s;
}

int64_t
calendar_next(const struct calendar_rule *rule,
    const struct calendar_zone *zone, int64_t after_s)
{
	int64_t least_s = (floor_div(after_s, MINUTE_S) + 1) * MINUTE_S;
	int64_t most_s = least_s + (int64_t)SEARCH_DAYS * DAY_S;
	size_t index = 0;

	while (index < zone->count && zone->changes[index].at_s <= least_s)
		index++;
	for (; index <= zone->count; index++) {
		struct stretch stretch = stretch_at(zone, index);
		if (stretch.from_s > most_s)
			break;
		int64_t at_s = next_in_stretch(rule, &stretch, least_s);
		if (at_s != CALENDAR_NEVER)
			return at_s;
	}
	return CALENDAR_NEVER;
}

int64_t
calendar_last(const struct calendar_rule *rule,
    const struct calendar_zone *zone, int64_t after_s, int64_t until_s,
    uint32_t *ret_count)
{
	static const int64_t windows_s[] = {
	    INT64_C(2) * HOUR_S, INT64_C(2) * DAY_S, INT64_C(64) * DAY_S};
	int64_t last_s = CALENDAR_NEVER, at_s = after_s;
	uint32_t count = 0;

	while (count < CALENDAR_COUNT_MAX) {
		at_s = calendar_next(rule, zone, at_s);
		if (at_s > until_s)
			break;
		last_s = at_s;
		count++;
	}
	*ret_count = count;
	/* too many to go through: look back from the end */
	for (size_t i = 0;
	     count == CALENDAR_COUNT_MAX && i < ARRAY_LEN(windows_s); i++) {
		at_s = calendar_next(rule, zone, until_s - windows_s[i]);
		if (at_s > until_s)
			continue;
		for (; at_s <= until_s; at_s = calendar_next(rule, zone, at_s))
			last_s = MAX(last_s, at_s);
		break;
	}
	return last_s;
}
