/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "checks/engine.h"
#include "checks/waiver.h"

const char *
check_text(struct check *check, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	const char *text = report_format_v(check->report, fmt, args);

	va_end(args);
	return text;
}

const char *
check_place(struct check *check, const struct place *place)
{
	if (place->file == NULL)
		return "manifest";
	if (place->line == 0)
		return place->file;
	return check_text(check, "%s:%d", place->file, place->line);
}

const struct observation *
check_observation(struct check *check, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	const char *subject = report_format_v(check->report, fmt, args);

	va_end(args);
	return observed_find(check->observed, subject);
}

void
check_set(struct check *check, struct report_finding *finding,
    enum result result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_set_v(check->report, finding, result, fmt, args);
	va_end(args);
}

void
check_evidence(struct check *check, struct report_finding *finding,
    const char *source, const char *observed, const char *expected)
{
	const struct evidence evidence = {
	    .source = source,
	    .observed = observed,
	    .expected = expected,
	};

	report_evidence(check->report, finding, &evidence);
}

void
check_evidence_of(struct check *check, struct report_finding *finding,
    const struct observation *observation, const char *expected)
{
	const char *target = observation->target;
	const struct evidence evidence = {
	    .source =
	        target == NULL || target[0] == '\0'
	            ? observation->subject
	            : check_text(check, "%s %s", observation->kind, target),
	    .at_wall_ms = observation->at_wall_ms,
	    .observed = observation->summary,
	    .expected = expected,
	    .scope = check->observed->vantage,
	};

	report_evidence(check->report, finding, &evidence);
	finding->confirmed = true;
	finding->finding.elapsed_ms = observation->elapsed_ms;
}

void
check_fix(struct check *check, struct report_finding *finding, const char *fix,
    const char *command, const char *verify)
{
	report_fix(check->report, finding, fix, command, verify);
}

/* --- labels of what belongs to a subject -----------------------------------
 */

static void
label_worker(struct check *check, struct report_finding *finding,
    const char *name, bool queues_too)
{
	const struct declared_worker *worker =
	    declared_worker_find(check->declared, name);

	report_label(check->report, finding, LABEL_WORKER, name);
	if (worker == NULL || !queues_too)
		return;
	for (size_t i = 0; i < worker->nconsumes; i++)
		report_label(check->report, finding, LABEL_QUEUE,
		    worker->consumes[i].queue->name);
}

static void
label_queue(
    struct check *check, struct report_finding *finding, const char *name)
{
	const struct declared *declared = check->declared;

	report_label(check->report, finding, LABEL_QUEUE, name);
	for (size_t w = 0; w < declared->nworkers; w++)
		for (size_t i = 0; i < declared->workers[w].nconsumes; i++)
			if (text_equal(
			        declared->workers[w].consumes[i].queue->name,
			        name))
				report_label(check->report, finding,
				    LABEL_WORKER, declared->workers[w].name);
}

/* Does the check ask for what one of the worker's variables points at? */
static bool
check_is_of(
    const struct declared_check *check, const struct declared_worker *worker)
{
	const char *json = check->request.json;

	for (size_t i = 0; json != NULL && i < worker->env.count; i++) {
		const struct declared_env *env = worker->env.entries[i];

		if (!env->shadowed && env->value != NULL &&
		    strstr(env->value, "://") != NULL &&
		    strstr(json, env->value) != NULL)
			return true;
	}
	return false;
}

/* A declared check belongs to the workers whose variables it uses; one that
 * uses nobody's belongs to the whole manifest. */
static void
label_check(
    struct check *check, struct report_finding *finding, const char *name)
{
	const struct declared *declared = check->declared;
	bool any = false;

	for (size_t c = 0; c < declared->nchecks; c++) {
		if (!text_equal(declared->checks[c].name, name))
			continue;
		for (size_t w = 0; w < declared->nworkers; w++)
			if (check_is_of(
			        &declared->checks[c], &declared->workers[w])) {
				label_worker(check, finding,
				    declared->workers[w].name, true);
				any = true;
			}
	}
	if (any)
		return;
	for (size_t w = 0; w < declared->nworkers; w++)
		label_worker(check, finding, declared->workers[w].name, true);
	for (size_t q = 0; q < declared->nqueues; q++)
		report_label(check->report, finding, LABEL_QUEUE,
		    declared->queues[q].name);
	for (size_t s = 0; s < declared->nsmokes; s++)
		report_label(check->report, finding, LABEL_SMOKE,
		    declared->smokes[s].name);
}

static void
label_smoke(
    struct check *check, struct report_finding *finding, const char *name)
{
	const struct declared *declared = check->declared;

	for (size_t s = 0; s < declared->nsmokes; s++)
		if (text_equal(declared->smokes[s].name, name) &&
		    declared->smokes[s].queue != NULL)
			label_queue(
			    check, finding, declared->smokes[s].queue->name);
}

static void
label_belongings(struct check *check, struct report_finding *finding,
    const struct subject *subject)
{
	/* Where the queue is said, the worker's other queues are not meant. */
	if (subject->worker != NULL)
		label_worker(
		    check, finding, subject->worker, subject->queue == NULL);
	else if (subject->queue != NULL)
		label_queue(check, finding, subject->queue);
	if (subject->check != NULL)
		label_check(check, finding, subject->check);
	if (subject->smoke != NULL)
		label_smoke(check, finding, subject->smoke);
}

/* --- preconditions ---------------------------------------------------------
 */

static bool
is_needed(const struct finding_row *row, unsigned number)
{
	for (const unsigned *need = row->needs; *need != 0; need++)
		if (*need == number)
			return true;
	return false;
}

/* The first precondition of this subject that did not pass, or NULL. One that
 * was not judged for it does not apply to it. */
static const struct report_finding *
unmet(const struct check *check, const char *subject)
{
	const struct report *report = check->report;

	if (check->row->needs[0] == 0)
		return NULL;
	for (size_t i = 0; i < report->nfindings; i++) {
		const struct report_finding *f = report->findings[i];

		if (f->finding.result != RESULT_PASSED &&
		    is_needed(check->row, f->row->number) &&
		    strcmp(f->finding.subject, subject) == 0)
			return f;
	}
	return NULL;
}

struct report_finding *
check_begin(struct check *check, const struct subject *subject)
{
	struct report_finding *finding =
	    report_add(check->report, check->row->number, subject);
	const struct report_finding *need =
	    unmet(check, finding->finding.subject);

	label_belongings(check, finding, subject);
	if (need == NULL)
		return finding;
	/* what need not be, need not be well: not a look that is missing */
	if (need->finding.result == RESULT_SKIPPED) {
		check_set(check, finding, RESULT_SKIPPED, "%s",
		    need->finding.summary);
		return NULL;
	}
	check_set(check, finding, RESULT_BLOCKED, "needs %s %s, which %s %s",
	    need->finding.id, need->finding.slug,
	    need->finding.result == RESULT_FAILED ? "has" : "is",
	    result_name(need->finding.result));
	return NULL;
}

/* --- running ---------------------------------------------------------------
 */

/* What a row said in an earlier stage of the same report is replaced: the gate
 * judges again what may have changed since. */
static void
forget_row(struct report *report, const struct finding_row *row)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->nfindings; i++)
		if (report->findings[i]->row != row)
			report->findings[kept++] = report->findings[i];
	report->nfindings = kept;
}

static void
say_inert(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t i = 0; i < declared->ninert; i++)
		report_not_checked(check->report,
		    "%s (%s): declared, not acted on", declared->inert[i].key,
		    check_place(check, &declared->inert[i].place));
}

static void
say_targets(struct check *check)
{
	const struct observed *observed = check->observed;

	for (size_t i = 0; i < observed->nobservations; i++) {
		const struct observation *o = &observed->observations[i];

		if (o->target != NULL && o->target[0] != '\0' &&
		    !text_ends(o->subject, " later"))
			report_target(
			    check->report, o->subject, o->target, o->identity);
	}
}

static void
number_text(struct check *check, const char **ret, const char *word,
    const struct queue_number *number)
{
	if (number->know == KNOW_UNKNOWN || number->know == KNOW_NOT_APPLICABLE)
		return;
	*ret = check_text(check, "%s%s%s%lld %s", *ret,
	    (*ret)[0] == '\0' ? "" : ", ",
	    number->know == KNOW_AT_LEAST   ? "at least "
	    : number->know == KNOW_ESTIMATE ? "about "
	                                    : "",
	    (long long)number->value, word);
}

static void
say_queue(struct check *check, const struct declared_queue *queue)
{
	const struct observation *o =
	    check_observation(check, "queue %s", queue->name);
	const char *text = "";
	char age[32];

	if (o == NULL)
		return;
	if (o->queue == NULL) {
		report_queue(check->report, queue->name,
		    check_text(check, "could not be read: %s", o->summary),
		    false);
		return;
	}
	const struct queue_state *s = o->queue;

	number_text(check, &text, "waiting", &s->waiting);
	if (s->oldest_ms.know == KNOW_EXACT && s->oldest_ms.value > 0)
		text = check_text(check, "%s, oldest %s", text,
		    text_ms_for_people(s->oldest_ms.value, age, sizeof(age)));
	number_text(check, &text, "in work", &s->active);
	if (s->delayed.value > 0)
		number_text(check, &text, "delayed", &s->delayed);
	if (s->failed.value > 0)
		number_text(check, &text, "failed", &s->failed);
	if (s->dead.value > 0)
		number_text(check, &text, "dead", &s->dead);
	number_text(check, &text,
	    s->consumers.value == 1 ? "consumer" : "consumers", &s->consumers);
	if (text[0] == '\0')
		text = s->exists == EXISTS_NO ? "isn't there"
		                              : "none of its numbers is known";
	report_queue(check->report, queue->name, text,
	    s->waiting.know != KNOW_UNKNOWN && s->waiting.value > 0);
}

static void
say_coverage(struct check *check)
{
	struct report_coverage *c = &check->report->coverage;
	const struct observed *observed = check->observed;

	c->workers = check->declared->nworkers;
	c->queues = check->declared->nqueues;
	c->stages_declared = c->stages_reached = 0;
	if ((check->report->stages_run & (STAGE_SMOKE | STAGE_GATE)) == 0)
		return;
	for (size_t i = 0; i < check->declared->nsmokes; i++)
		c->stages_declared += check->declared->smokes[i].nstages;
	for (size_t i = 0; i < observed->nsmokes; i++)
		for (size_t k = 0; k < observed->smokes[i].nstages; k++)
			if (observed->smokes[i].stages[k].after ==
			    RESULT_PASSED)
				c->stages_reached++;
}

void
checks_run(const struct declared *declared, const struct observed *observed,
    unsigned stages, struct report *report)
{
	struct check check = {
	    .declared = declared,
	    .observed = observed,
	    .report = report,
	    .stages = stages,
	};

	fingerprint_key_random(&check.key);
	report->stages_run |= stages;
	if (report->name == NULL)
		report->name = declared->name;
	if (report->vantage == NULL)
		report->vantage = observed->vantage;
	for (size_t i = 0; i < finding_rows_count; i++) {
		check.row = &finding_rows[i];
		if (check.row->run == NULL || (check.row->stages & stages) == 0)
			continue;
		forget_row(report, check.row);
		check.row->run(&check);
	}
	for (size_t i = 0; i < declared->nqueues; i++)
		say_queue(&check, &declared->queues[i]);
	say_inert(&check);
	say_targets(&check);
	say_coverage(&check);
	waivers_apply(&check);
}
