/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "checks/names.h"
#include "checks/smoke.h"
#include "checks/smoke_look.h"

enum {
	AGE_TEXT_SIZE = 32
};

const struct observed_stage *
smoke_stage_seen(const struct smoke_look *look, size_t index)
{
	const struct declared_stage *stage = &look->smoke->stages[index];

	for (size_t i = 0; look->seen != NULL && i < look->seen->nstages; i++)
		if (text_equal(look->seen->stages[i].stage, stage->name))
			return &look->seen->stages[i];
	return NULL;
}

bool
smoke_stage_takes(const struct declared_stage *stage)
{
	return stage->queue != NULL && (text_equal(stage->state, "taken") ||
	                                   text_equal(stage->state, "gone"));
}

static void
count_stages(struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);
		enum result after = seen == NULL ? RESULT_UNKNOWN : seen->after;

		look->has_take = look->has_take || smoke_stage_takes(stage);
		look->has_effect =
		    look->has_effect || smoke_stage_is_effect(stage);
		look->dead = look->dead || text_equal(stage->state, "dead");
		if (after == RESULT_PASSED) {
			look->passed++;
			look->taken = look->taken || smoke_stage_takes(stage);
			look->last_ms = MAX(look->last_ms, seen->reached_ms);
		} else if (after == RESULT_FAILED) {
			look->failed++;
		} else {
			look->unknown++;
		}
	}
}

void
smokes_each(struct check *check, bool also_not_run, smoke_fn *judge)
{
	for (size_t s = 0; s < check->declared->nsmokes; s++) {
		struct smoke_look look = {
		    .smoke = &check->declared->smokes[s],
		    .last_ms = -1,
		};

		for (size_t i = 0; i < check->observed->nsmokes; i++)
			if (text_equal(check->observed->smokes[i].name,
			        look.smoke->name))
				look.seen = &check->observed->smokes[i];
		count_stages(&look);
		if (also_not_run || (look.seen != NULL && look.seen->submitted))
			judge(check, &look);
	}
}

struct report_finding *
smoke_begin(struct check *check, const struct smoke_look *look)
{
	const struct subject subject = {.smoke = look->smoke->name};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		finding->confirmed = true;
	return finding;
}

struct report_finding *
smoke_stage_begin(
    struct check *check, const struct smoke_look *look, size_t index)
{
	const struct subject subject = {
	    .smoke = look->smoke->name,
	    .stage = look->smoke->stages[index].name,
	};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		finding->confirmed = true;
	return finding;
}

void
smoke_say_stages(struct check *check, struct report_finding *finding,
    const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);
		char took[AGE_TEXT_SIZE], within[AGE_TEXT_SIZE];
		const char *text = "not looked at";

		if (seen != NULL && seen->after == RESULT_PASSED)
			text = check_text(check, "reached after %s",
			    text_ms_for_people(
			        seen->reached_ms, took, sizeof(took)));
		else if (seen != NULL)
			text = check_text(check, "not reached%s%s",
			    seen->summary == NULL ? "" : ": ",
			    seen->summary == NULL ? "" : seen->summary);
		check_evidence(check, finding,
		    check_text(check, "stage %s (%s)", stage->name,
		        check_place(check, &stage->place)),
		    text,
		    check_text(check, "within %s",
		        text_ms_for_people(
		            stage->within_ms, within, sizeof(within))));
	}
	check_evidence(check, finding, "canary",
	    look->seen->canary == NULL ? "" : look->seen->canary, NULL);
}
