/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/given.h"

const char *
given_source(struct check *check, const struct declared_env *env)
{
	return check_text(check, "%s (%s)", check_place(check, &env->place),
	    env->source == NULL ? "unknown source" : env->source);
}

void
given_well(
    struct check *check, const struct declared_worker *worker, const char *what)
{
	const struct subject subject = {.worker = worker->name};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		check_set(check, finding, RESULT_PASSED, "%s", what);
}

struct report_finding *
given_begin(struct check *check, const struct subject *subject,
    const struct place *place)
{
	struct report_finding *finding = check_begin(check, subject);

	if (finding != NULL && place->line > 0)
		report_label(check->report, finding, LABEL_ENDPOINT,
		    check_text(check, "%s %s", check->row->id,
		        check_place(check, place)));
	return finding;
}
