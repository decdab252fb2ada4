/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_CRON_H
#define REEVE_MANIFESTS_CRON_H

#include "base/arena.h"
#include "base/base.h"
#include "base/calendar.h"
#include "base/err.h"

/*
 * `schedule`, written as in crontab(5): minute, hour, day of the month, month,
 * day of the week; lists, ranges, steps, English names of months and days,
 * 0 or 7 for Sunday; or @yearly, @annually, @monthly, @weekly, @daily,
 * @midnight, @hourly. When both kinds of day are given (neither begins with *),
 * either is enough. The error names the field, its column and what may stand
 * there.
 */
int cron_parse(
    const char *text, struct calendar_rule *ret, struct err *err) MUST_CHECK;

/*
 * `timeZone`: the offsets of a zone of the IANA database from `from_s` on for
 * the next `CRON_ZONE_YEARS` years, read through libc's own tz (which follows
 * $TZDIR). Fails when this host has no such zone. Memory is the arena's.
 */
enum {
	CRON_ZONE_YEARS = 20
};
int cron_zone(struct arena *arena, const char *name, int64_t from_s,
    struct calendar_zone *ret, struct err *err) MUST_CHECK;
/* Fails as cron_zone() would, but where the host has no time zone data at all
 * nothing is known: that is no error here. */
int cron_zone_check(const char *name, struct err *err) MUST_CHECK;

#endif
