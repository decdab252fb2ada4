/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "manifests/cron.h"

/* timeZone: what the init can't look up, because it has no time zone data. */

enum {
	LOOK_EVERY_S = 6 * 3600, /* no zone changes twice within it */
	YEAR_S = 31557600,
	STABLE_S = 360 * 86400,
	PATH_BYTES = 512,
};

static const char *
database(void)
{
	const char *dir = getenv("TZDIR");

	return dir != NULL && dir[0] == '/' ? dir : "/usr/share/zoneinfo";
}

static bool
is_utc(const char *name)
{
	return text_equal(name, "UTC") || text_equal(name, "Etc/UTC");
}

/* A name such as Europe/Berlin: never a path out of the database. */
static bool
is_name(const char *name)
{
	for (const char *p = name; *p != '\0'; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY"
		           "Z0123456789_+-/",
		        *p) == NULL)
			return false;
	return name[0] != '\0' && name[0] != '/' && strlen(name) < 128;
}

static int
find_zone(const char *name, bool unknown_is_well, struct err *err)
{
	char path[PATH_BYTES];

	if (!is_name(name))
		return err_set(err, ERR_INPUT,
		    "'%.64s' isn't a time zone's name such as Europe/Berlin or "
		    "UTC",
		    name);
	if (is_utc(name))
		return 0;
	if (access(database(), R_OK) == -1) {
		if (unknown_is_well)
			return 0;
		return err_set(err, ERR_SYSTEM,
		    "time zone '%s': there is no time zone data in '%s'; "
		    "install tzdata, or use UTC",
		    name, database());
	}
	if (text_format(path, sizeof(path), err, "%s/%s", database(), name) ==
	    -1)
		return -1;
	if (access(path, R_OK) == -1)
		return err_set(err, ERR_INPUT,
		    "there is no time zone '%s' in '%s'; names are those of "
		    "the IANA database, such as Europe/Berlin",
		    name, database());
	return 0;
}

int
cron_zone_check(const char *name, struct err *err)
{
	return find_zone(name, true, err);
}

static int64_t
offset_at(int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm local;

	if (localtime_r(&at, &local) == NULL)
		return 0;
	return (int64_t)local.tm_gmtoff - (int64_t)local.tm_gmtoff % 60;
}

/* Between `from_s` and `until_s` it changes once: when, to the minute. */
static int64_t
change_between(int64_t from_s, int64_t until_s)
{
	int64_t before_s = offset_at(from_s);

	while (until_s - from_s > 60) {
		int64_t middle_s = from_s + (until_s - from_s) / 120 * 60;
		if (offset_at(middle_s) == before_s)
			from_s = middle_s;
		else
			until_s = middle_s;
	}
	return until_s;
}

static void
read_changes(struct arena *arena, int64_t from_s, struct calendar_zone *ret)
{
	struct calendar_change *changes =
	    arena_array(arena, CALENDAR_CHANGES_MAX, sizeof(*changes));
	int64_t until_s = from_s + (int64_t)CRON_ZONE_YEARS * YEAR_S;
	size_t count = 0;

	changes[count++] = (struct calendar_change){from_s, offset_at(from_s)};
	for (int64_t at_s = from_s;
	     at_s < until_s && count < CALENDAR_CHANGES_MAX;
	     at_s += LOOK_EVERY_S) {
		int64_t next_s = at_s + LOOK_EVERY_S;
		if (offset_at(next_s) == changes[count - 1].offset_s)
			continue;
		changes[count++] = (struct calendar_change){
		    change_between(at_s, next_s), offset_at(next_s)};
	}
	ret->changes = changes;
	ret->count = count;
}

int
cron_zone(struct arena *arena, const char *name, int64_t from_s,
    struct calendar_zone *ret, struct err *err)
{
	const char *before = getenv("TZ");
	const char *kept = before == NULL ? NULL : arena_text(arena, before);

	if (find_zone(name, false, err) == -1)
		return -1;
	*ret = (struct calendar_zone){0};
	if (is_utc(name))
		return 0;
	if (setenv("TZ", arena_format(arena, ":%s", name), 1) == -1)
		return err_sys(err, "set TZ");
	tzset();
	/* the same table whenever it is asked for within most of a year: else
	 * every look would be another plan */
	read_changes(arena, from_s - from_s % STABLE_S, ret);
	int rc = kept == NULL ? unsetenv("TZ") : setenv("TZ", kept, 1);
	tzset();
	return rc == 0 ? 0 : err_sys(err, "set TZ");
}
