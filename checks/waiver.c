/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "checks/waiver.h"

/* Longer than this nobody looks at it again (verifying.md 5.3, rule 16). */
static const int64_t LONGEST_MS = 90LL * 24 * 60 * 60 * 1000;

static bool
covers(const struct declared_waiver *waiver, const struct finding *finding)
{
	const struct finding_row *row = finding_row_find(waiver->id);

	return row != NULL && strcmp(row->id, finding->id) == 0 &&
	       (waiver->subject == NULL ||
	           strcmp(waiver->subject, finding->subject) == 0);
}

/* "YYYY-MM-DD" compares as text. */
static void
day_text(int64_t wall_ms, char day[CLOCK_TEXT_SIZE])
{
	(void)clock_text(wall_ms, day);
	day[sizeof("YYYY-MM-DD") - 1] = '\0';
}

static struct report_finding *
about(struct check *check, const struct declared_waiver *waiver)
{
	const struct subject subject = {
	    .other = check_text(check, "waiver %s%s%s", waiver->id,
	        waiver->subject == NULL ? "" : " ",
	        waiver->subject == NULL ? "" : waiver->subject),
	};
	struct report_finding *finding =
	    report_add(check->report, 904, &subject);

	check_evidence(check, finding, check_place(check, &waiver->place),
	    check_text(check, "%s, by %s, until %s", waiver->because,
	        waiver->owner, waiver->expires),
	    NULL);
	return finding;
}

static void
lapsed(struct check *check, const struct declared_waiver *waiver)
{
	struct report_finding *finding = about(check, waiver);

	check_set(check, finding, RESULT_FAILED,
	    "the waiver of %s lapsed on %s: what it covered counts again",
	    waiver->id, waiver->expires);
	check_fix(check, finding,
	    "mend what it covered, or have somebody answer for it anew",
	    check_text(check, "reeve explain %s", waiver->id), NULL);
}

static void
too_long(struct check *check, const struct declared_waiver *waiver)
{
	struct report_finding *finding = about(check, waiver);

	finding->finding.severity = SEVERITY_WARNING;
	check_set(check, finding, RESULT_FAILED,
	    "the waiver of %s holds until %s: more than 90 days", waiver->id,
	    waiver->expires);
	check_fix(check, finding, "choose an earlier day", NULL, NULL);
}

static void
useless(struct check *check, const struct declared_waiver *waiver)
{
	struct report_finding *finding = about(check, waiver);

	finding->finding.severity = SEVERITY_WARNING;
	check_set(check, finding, RESULT_FAILED,
	    "the waiver of %s covers nothing that fails", waiver->id);
	check_fix(check, finding, "take it out of the manifest", NULL, NULL);
}

static void
in_force(struct check *check, const struct declared_waiver *waiver)
{
	struct report_finding *finding = about(check, waiver);

	check_set(check, finding, RESULT_PASSED, "in force until %s",
	    waiver->expires);
}

static bool
apply(struct check *check, const struct declared_waiver *waiver)
{
	bool any = false;

	for (size_t i = 0; i < check->report->nfindings; i++) {
		struct finding *f = &check->report->findings[i]->finding;

		if (!covers(waiver, f))
			continue;
		if (f->result == RESULT_FAILED) {
			f->result = RESULT_WAIVED;
			f->waiver = check_text(check, "%s: %s, until %s",
			    waiver->owner, waiver->because, waiver->expires);
		}
		any = any || f->result == RESULT_WAIVED;
	}
	return any;
}

static void
forget_earlier(struct report *report)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->nfindings; i++)
		if (report->findings[i]->row->number != 904)
			report->findings[kept++] = report->findings[i];
	report->nfindings = kept;
}

void
waivers_apply(struct check *check)
{
	char today[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];
	int64_t now_ms = check->report->started_wall_ms > 0
	                     ? check->report->started_wall_ms
	                     : clock_wall_ms();

	forget_earlier(check->report);
	day_text(now_ms, today);
	day_text(now_ms + LONGEST_MS, last);
	for (size_t i = 0; i < check->declared->nwaivers; i++) {
		const struct declared_waiver *w = &check->declared->waivers[i];
		const struct finding_row *row = finding_row_find(w->id);

		if (row != NULL &&
		    (row->stages & check->report->stages_run) == 0)
			continue;
		if (strcmp(w->expires, today) < 0)
			lapsed(check, w);
		else if (!apply(check, w))
			useless(check, w);
		else if (strcmp(w->expires, last) > 0)
			too_long(check, w);
		else
			in_force(check, w);
	}
}
