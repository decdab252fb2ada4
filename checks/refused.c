/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/refused.h"

static void
add(struct report *report, const char *where, const char *text)
{
	const struct subject subject = {.other = where};
	struct report_finding *finding = report_add(report, 100, &subject);

	finding->confirmed = true;
	report_set(report, finding, RESULT_FAILED, "%s", text);
	report_fix(report, finding,
	    "correct the line; nothing of the file is in force until all of it "
	    "is right",
	    NULL, "reeve lint");
}

void
report_refused(struct report *report, struct redactor *redactor,
    const char *path, const struct manifest_errors *errors,
    const struct err *err)
{
	struct arena *arena = report->arena;

	for (size_t i = 0; i < errors->count; i++) {
		const struct manifest_error *e = &errors->errors[i];

		add(report,
		    arena_format(arena, "%s:%d:%d", e->place.file,
		        e->place.line, e->place.column),
		    redactor_clean(redactor, arena, e->text));
	}
	if (errors->count == 0)
		add(report, path, redactor_clean(redactor, arena, err->text));
}
