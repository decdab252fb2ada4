/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/calendar.h"
#include "base/text.h"
#include "manifests/cron.h"

enum {
	YEAR_MINUTES = 366 * 24 * 60,
	RECENT = 26 * 60, /* no local time comes again later than this */
};

static const int64_t START_S = INT64_C(1798761600); /* 2027-01-01 */

static struct calendar_rule
rule_of(const char *text)
{
	struct calendar_rule rule = {0};
	struct err err = ERR_INIT;

	if (cron_parse(text, &rule, &err) == -1)
		fail_msg("%s: %s", text, err.text);
	return rule;
}

/* --- the oracle: libc's local time of every minute, and the words of
 * docs/scheduling.md; it knows nothing of offsets and their changes --- */

struct local {
	int minute, hour, day, month, weekday;
	int64_t serial; /* minutes, as if there were no zones */
};

static struct local
local_of(int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm tm;

	assert_non_null(localtime_r(&at, &tm));
	struct tm flat = tm;
	flat.tm_isdst = 0;
	return (struct local){tm.tm_min, tm.tm_hour, tm.tm_mday, tm.tm_mon + 1,
	    tm.tm_wday, (int64_t)timegm(&flat) / 60};
}

static bool
fits(const struct calendar_rule *rule, const struct local *local)
{
	bool day = (rule->days >> local->day & 1) != 0;
	bool weekday = (rule->weekdays >> local->weekday & 1) != 0;

	return (rule->minutes >> local->minute & 1) != 0 &&
	       (rule->hours >> local->hour & 1) != 0 &&
	       (rule->months >> local->month & 1) != 0 &&
	       (rule->either_day ? day || weekday : day && weekday);
}

static struct local locals[YEAR_MINUTES + RECENT];

static bool
swallowed_fits(const struct calendar_rule *rule, const struct local *before,
    const struct local *after)
{
	for (int64_t serial = before->serial + 1; serial < after->serial;
	     serial++) {
		time_t at = (time_t)(serial * 60);
		struct tm tm;
		assert_non_null(gmtime_r(&at, &tm));
		struct local local = {tm.tm_min, tm.tm_hour, tm.tm_mday,
		    tm.tm_mon + 1, tm.tm_wday, serial};
		if (fits(rule, &local))
			return true;
	}
	return false;
}

static bool
seen_before(int at)
{
	for (int i = at - RECENT; i < at; i++)
		if (locals[i].serial == locals[at].serial)
			return true;
	return false;
}

static bool
due(const struct calendar_rule *rule, int at)
{
	const struct local *now = &locals[at];

	if (rule->hours == 0xffffff)
		return fits(rule, now);
	if (now->serial > locals[at - 1].serial + 1 &&
	    swallowed_fits(rule, &locals[at - 1], now))
		return true;
	return fits(rule, now) && !seen_before(at);
}

static void
compare_year(const char *zone_name, const char *const *rules, size_t nrules)
{
	struct arena arena;
	struct calendar_zone zone;
	struct err err = ERR_INIT;
	char tz[64];

	arena_init(&arena, 1 << 20);
	if (cron_zone(&arena, zone_name, START_S, &zone, &err) == -1)
		fail_msg("%s", err.text);
	assert_true(calendar_zone_valid(&zone));
	(void)snprintf(tz, sizeof(tz), ":%s", zone_name);
	(void)setenv("TZ", tz, 1);
	tzset();
	for (int i = 0; i < YEAR_MINUTES + RECENT; i++)
		locals[i] = local_of(START_S + (int64_t)(i - RECENT) * 60);
	for (size_t r = 0; r < nrules; r++) {
		struct calendar_rule rule = rule_of(rules[r]);
		int64_t next_s = calendar_next(&rule, &zone, START_S - 1);
		for (int i = RECENT; i < YEAR_MINUTES + RECENT; i++) {
			int64_t at_s = START_S + (int64_t)(i - RECENT) * 60;
			if (due(&rule, i) != (next_s == at_s))
				fail_msg("%s, '%s': at %lld %s, %s", zone_name,
				    rules[r], (long long)at_s,
				    next_s == at_s ? "due" : "not due",
				    next_s == at_s ? "and should not be"
				                   : "and should be");
			if (next_s == at_s)
				next_s = calendar_next(&rule, &zone, at_s);
		}
	}
	(void)unsetenv("TZ");
	tzset();
	arena_fini(&arena);
}

static void
every_minute_of_a_year_is_as_the_oracle_says(void **state)
{
	static const char *const zones[] = {"UTC", "Europe/Berlin",
	    "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham",
	    "America/Santiago", "Africa/Casablanca", "Asia/Kathmandu"};
	static const char *const rules[] = {"* * * * *", "*/5 * * * *",
	    "30 2 * * *", "0 2,3 * * *", "15 1-3 * * *", "59 23 * * *",
	    "0 0 1 * *", "0 0 * * *", "30 2 13 * FRI", "7 1,2 29 FEB *",
	    "*/7 0-3 * MAR,NOV SUN", "45 2 */2 * 1-5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		compare_year(zones[i], rules, ARRAY_LEN(rules));
}

static uint64_t seed = 88172645463325252U;

static unsigned
chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void
random_rules_are_as_the_oracle_says(void **state)
{
	static char texts[40][64];
	const char *rules[ARRAY_LEN(texts)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char hours[24], days[16], weekdays[16];
		(void)snprintf(hours, sizeof(hours),
		    chance(3) == 0 ? "*" : "%u,%u-%u", chance(24), chance(4),
		    4 + chance(4));
		(void)snprintf(days, sizeof(days), chance(2) == 0 ? "*" : "%u",
		    1 + chance(28));
		(void)snprintf(weekdays, sizeof(weekdays),
		    chance(2) == 0 ? "*" : "%u", chance(8));
		(void)snprintf(texts[i], sizeof(texts[i]), "%u,%u %s %s * %s",
		    chance(60), chance(60), hours, days, weekdays);
		rules[i] = texts[i];
	}
	compare_year("Europe/Berlin", rules, ARRAY_LEN(rules));
}

static void
the_last_of_many_is_found_and_they_are_counted(void **state)
{
	struct calendar_rule rule = rule_of("*/5 * * * *");
	struct calendar_zone utc = {0};
	uint32_t count = 0;

	(void)state;
	int64_t last_s =
	    calendar_last(&rule, &utc, START_S - 1, START_S + 3601, &count);
	assert_int_equal(last_s, START_S + 3600);
	assert_int_equal(count, 13);
	/* a year: too many to count, and the last one is right all the same */
	last_s = calendar_last(&rule, &utc, START_S - 1,
	    START_S + INT64_C(365) * 86400 + 299, &count);
	assert_int_equal(last_s, START_S + INT64_C(365) * 86400);
	assert_int_equal(count, CALENDAR_COUNT_MAX);
	assert_true(calendar_last(&rule, &utc, START_S, START_S + 1, &count) ==
	            CALENDAR_NEVER);
	assert_int_equal(count, 0);
	rule = rule_of("0 0 29 2 *");
	assert_int_equal(calendar_next(&rule, &utc, START_S),
	    INT64_C(1835395200)); /* 2028-02-29 */
}

static void
words_and_numbers_mean_what_crontab_says(void **state)
{
	static const char *const same[][2] = {{"@hourly", "0 * * * *"},
	    {"@weekly", "0 0 * * sun"}, {"0 0 * * 7", "0 0 * * 0"},
	    {"0 0 * jan-mar mon,TUE", "0 0 * 1,2,3 1,2"},
	    {"1-10/3 * * * *", "1,4,7,10 * * * *"},
	    {"0 0 * * 5-7", "0 0 * * 5,6,0"}, {"  0\t0  *  * * ", "0 0 * * *"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct calendar_rule a = rule_of(same[i][0]);
		struct calendar_rule b = rule_of(same[i][1]);
		assert_true(a.minutes == b.minutes && a.hours == b.hours &&
		            a.days == b.days && a.months == b.months &&
		            a.weekdays == b.weekdays &&
		            a.either_day == b.either_day);
	}
	assert_true(rule_of("0 0 1 * 1").either_day);
	assert_false(rule_of("0 0 */2 * 1").either_day);
}

static void
what_is_wrong_is_named_with_its_place(void **state)
{
	static const char *const wrong[][2] = {
	    {"60 * * * *", "minute, column 1: '60' is out of range"},
	    {"0 24 * * *", "hour, column 3: '24' is out of range"},
	    {"0 0 0 * *", "day of the month, column 5: '0' is out of range"},
	    {"0 0 * 13 *", "month, column 7"},
	    {"0 0 * * foo", "day of the week, column 9: 'foo' can't stand"},
	    {"0 5-2 * * *", "'5-2' goes backwards"},
	    {"5/15 * * * *", "has a step and no range"},
	    {"*/0 * * * *", "is no step that fits"},
	    {"0 0 * *", "has 4 fields and no day of the week"},
	    {"", "has 0 fields"}, {"0 0 * * * *", "column 11"},
	    {"0 0 30 2 *", "is never due"}, {"0 0 31 4,6 *", "is never due"},
	    {"@reboot", "isn't a time"}, {"@every 5m", "valid: @yearly"},
	    {"1,,2 * * * *", "column 3"}, {"1- * * * *", "column 3"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct calendar_rule rule;
		struct err err = ERR_INIT;
		assert_int_equal(cron_parse(wrong[i][0], &rule, &err), -1);
		if (strstr(err.text, wrong[i][1]) == NULL)
			fail_msg("'%s': %s", wrong[i][0], err.text);
	}
}

static void
a_zone_that_is_not_there_is_an_error(void **state)
{
	static const char *const wrong[] = {
	    "Europe/Berln", "../etc/passwd", "/etc/passwd", ""};
	struct arena arena;
	struct calendar_zone zone;

	(void)state;
	arena_init(&arena, 1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(
		    cron_zone(&arena, wrong[i], START_S, &zone, &err), -1);
		assert_int_equal(cron_zone_check(wrong[i], &err), -1);
	}
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_minute_of_a_year_is_as_the_oracle_says),
	    cmocka_unit_test(random_rules_are_as_the_oracle_says),
	    cmocka_unit_test(the_last_of_many_is_found_and_they_are_counted),
	    cmocka_unit_test(words_and_numbers_mean_what_crontab_says),
	    cmocka_unit_test(what_is_wrong_is_named_with_its_place),
	    cmocka_unit_test(a_zone_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
