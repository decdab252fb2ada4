/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_CALENDAR_H
#define REEVE_BASE_CALENDAR_H

#include "base/base.h"

/*
 * When something that is scheduled by the calendar is due: a rule (crontab(5)'s
 * five fields as bit masks) in a zone (a table of its offsets from UTC). No
 * time zone data, no locale, no allocation: the init asks it too.
 *
 * Where the clocks change, as Debian's cron(8): a rule with fixed hours runs
 * once for local times that don't exist, at the end of the gap, and once for
 * those that exist twice, at the first of them. A rule with every hour runs
 * by real time: whenever the local time fits.
 */
struct calendar_rule {
	uint64_t minutes;  /* bits 0 to 59 */
	uint32_t hours;    /* bits 0 to 23 */
	uint32_t days;     /* bits 1 to 31 */
	uint32_t months;   /* bits 1 to 12 */
	uint32_t weekdays; /* bits 0 (Sunday) to 6 */
	/* both days and weekdays were given: either is enough */
	bool either_day;
};

/* From `at_s` on the local time is `offset_s` ahead of UTC. */
struct calendar_change {
	int64_t at_s, offset_s; /* whole minutes */
};

/* In ascending order; before the first its offset holds too. None: UTC. */
struct calendar_zone {
	const struct calendar_change *changes;
	size_t count;
};

#define CALENDAR_NEVER INT64_MAX

enum {
	CALENDAR_CHANGES_MAX = 1024,
	CALENDAR_OFFSET_MAX_S = 26 * 3600,
};

/* Everything is in its range, and each mask has a bit. */
bool calendar_rule_valid(const struct calendar_rule *rule);
bool calendar_zone_valid(const struct calendar_zone *zone);
/* Whether any day of any year fits. */
bool calendar_possible(const struct calendar_rule *rule);

/* The first time (unix time, a whole minute) after `after_s`; CALENDAR_NEVER
 * when there is none in the next nine years. */
int64_t calendar_next(const struct calendar_rule *rule,
    const struct calendar_zone *zone, int64_t after_s);
/* The last time in (after_s, until_s], or CALENDAR_NEVER; `ret_count` is how
 * many there are, CALENDAR_COUNT_MAX for that many or more. */
int64_t calendar_last(const struct calendar_rule *rule,
    const struct calendar_zone *zone, int64_t after_s, int64_t until_s,
    uint32_t *ret_count);

enum {
	CALENDAR_COUNT_MAX = 1000
};

#endif
