/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <string.h>

#include "checks/names.h"
#include "checks/rows.h"
#include "checks/smoke_look.h"

/* Who did the canary's work: RV619 processed-by-known-worker, RV620
 * processed-by-producer. */

/* Is `word` a whole word of `text`? ("17" in "host:17", not in "1170") */
static bool
has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); len > 0 && p != NULL;
	     p = strstr(p + 1, word))
		if ((p == text || !isalnum((unsigned char)p[-1])) &&
		    !isalnum((unsigned char)p[len]))
			return true;
	return false;
}

static const char *
known_instance(struct check *check, const char *by)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;

	for (size_t w = 0; w < supervisor->nworkers; w++) {
		const struct observed_worker *worker = &supervisor->workers[w];

		for (size_t i = 0; i < worker->ninstances; i++) {
			const struct observed_instance *instance =
			    &worker->instances[i];
			const char *pid =
			    check_text(check, "%lld", (long long)instance->pid);
			const char *index = check_text(
			    check, "%lld", (long long)instance->index);

			if (instance->pid <= 0)
				continue;
			if (has_word(by, pid) ||
			    strcmp(by, worker->name) == 0 ||
			    (has_word(by, worker->name) && has_word(by, index)))
				return check_text(check, "%s/%s, pid %s",
				    worker->name, index, pid);
		}
	}
	for (size_t i = 0; i < check->observed->nprocesses; i++) {
		const struct observed_process *process =
		    &check->observed->processes[i];

		if (has_word(
		        by, check_text(check, "%lld", (long long)process->pid)))
			return check_text(check, "worker %s, pid %lld",
			    process->worker, (long long)process->pid);
	}
	return NULL;
}

static const char *
consumer_named(
    struct check *check, const struct smoke_look *look, const char *by)
{
	const struct observation *seen =
	    check_observation(check, "queue %s", look->smoke->queue->name);

	if (seen == NULL || seen->queue == NULL)
		return NULL;
	for (size_t i = 0; i < seen->queue->nwho; i++) {
		const struct queue_consumer *who = &seen->queue->who[i];

		if (who->id[0] != '\0' && strcmp(who->id, by) == 0)
			return check_text(check, "consumer %s", who->id);
	}
	return NULL;
}

/* Nothing to hold the name against: then it is unknown, not wrong. */
static bool
knows_workers(const struct observed *observed)
{
	return observed->supervisor.reached == RESULT_PASSED ||
	       observed->processes_searched == RESULT_PASSED;
}

static void
judge_processor(
    struct check *check, const struct smoke_look *look, size_t index)
{
	const struct declared_stage *stage = &look->smoke->stages[index];
	const struct observed_stage *seen = smoke_stage_seen(look, index);
	struct report_finding *finding = smoke_stage_begin(check, look, index);

	if (finding == NULL || seen == NULL)
		return;
	if (seen->by == NULL || seen->by[0] == '\0') {
		check_set(check, finding, RESULT_FAILED,
		    "'%s' is empty: nobody says that he did it", stage->by);
		check_evidence(check, finding,
		    check_place(check, &stage->place),
		    check_text(check, "%s is empty", stage->by),
		    "a worker's name");
		check_fix(check, finding,
		    "have the worker write who it is (REEVE_WORKER and "
		    "REEVE_REPLICA are in its environment)",
		    NULL, "reeve smoke");
		return;
	}
	const char *known = known_instance(check, seen->by);

	if (known == NULL)
		known = consumer_named(check, look, seen->by);
	if (known != NULL) {
		check_set(check, finding, RESULT_PASSED, "by '%s' (%s)",
		    seen->by, known);
		return;
	}
	if (!knows_workers(check->observed)) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "by '%s'; which workers live is not known from here",
		    seen->by);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "by '%s', which is no worker that we know to live", seen->by);
	check_evidence(check, finding, check_place(check, &stage->place),
	    check_text(check, "%s = '%s'", stage->by, seen->by),
	    "an instance of a declared worker");
	check_fix(check, finding,
	    "find who that is: an old deployment, another host, a developer's "
	    "machine reads this queue too",
	    NULL, "reeve smoke");
}

static void
judge_processors(struct check *check, const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct observed_stage *seen = smoke_stage_seen(look, i);

		if (seen == NULL || seen->after != RESULT_PASSED ||
		    look->smoke->stages[i].queue != NULL)
			continue;
		if (look->smoke->stages[i].by != NULL) {
			judge_processor(check, look, i);
			continue;
		}
		struct report_finding *finding =
		    smoke_stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		check_set(check, finding, RESULT_UNKNOWN,
		    "the stage has no `by`: who did the work can't be said");
		report_not_checked(check->report,
		    "smoke %s stage %s: who did the work (no `by`)",
		    look->smoke->name, look->smoke->stages[i].name);
	}
}

void
check_rv619(struct check *check)
{
	smokes_each(check, false, judge_processors);
}

static void
judge_producers(struct check *check, const struct smoke_look *look)
{
	for (size_t i = 0; i < look->smoke->nstages; i++) {
		const struct declared_stage *stage = &look->smoke->stages[i];
		const struct observed_stage *seen = smoke_stage_seen(look, i);
		const char *producer = NULL;

		if (stage->queue != NULL || seen == NULL ||
		    seen->after != RESULT_PASSED)
			continue;
		struct report_finding *finding =
		    smoke_stage_begin(check, look, i);

		if (finding == NULL)
			continue;
		if (stage->by == NULL || seen->by == NULL ||
		    seen->by[0] == '\0') {
			check_set(check, finding, RESULT_UNKNOWN,
			    stage->by == NULL ? "the stage has no `by`"
			                      : "nobody says that he did it");
			continue;
		}
		for (size_t p = 0; p < check->declared->nproducers; p++)
			if (has_word(
			        seen->by, check->declared->producers[p].name))
				producer = check->declared->producers[p].name;
		if (producer == NULL) {
			check_set(
			    check, finding, RESULT_PASSED, "not by a producer");
			continue;
		}
		check_set(check, finding, RESULT_FAILED,
		    "producer '%s' did the work itself: no worker had a part "
		    "in it",
		    producer);
		check_evidence(check, finding,
		    check_place(check, &stage->place),
		    check_text(check, "%s = '%s'", stage->by, seen->by),
		    "a worker");
		check_fix(check, finding,
		    "have the producer only submit; a job that it does itself "
		    "proves nothing about the workers",
		    NULL, "reeve smoke");
	}
}

void
check_rv620(struct check *check)
{
	smokes_each(check, false, judge_producers);
}
