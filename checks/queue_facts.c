/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/names.h"
#include "checks/queue_facts.h"

void
queues_each(struct check *check, queue_fn *judge)
{
	const struct declared *declared = check->declared;

	for (size_t q = 0; q < declared->nqueues; q++) {
		const char *name = declared->queues[q].name;
		const struct observation *later =
		    check_observation(check, "queue %s later", name);
		struct queue_look look = {
		    .queue = &declared->queues[q],
		    .seen = check_observation(check, "queue %s", name),
		    .later = later == NULL ? NULL : later->queue,
		};
		const struct subject subject = {.queue = name};

		if (look.seen == NULL || look.seen->queue == NULL) {
			struct report_finding *finding =
			    check_begin(check, &subject);

			if (finding != NULL)
				check_set(check, finding, RESULT_UNKNOWN, "%s",
				    look.seen == NULL ? "not looked at"
				                      : look.seen->summary);
			continue;
		}
		look.state = look.seen->queue;
		judge(check, &look);
	}
}

bool
queue_number_known(const struct queue_number *number)
{
	/* "at least none" says nothing */
	return number->know == KNOW_EXACT || number->know == KNOW_ESTIMATE ||
	       (number->know == KNOW_AT_LEAST && number->value > 0);
}

const struct queue_number *
queue_consumers(const struct queue_look *look)
{
	const struct queue_number *now = &look->state->consumers;

	if (look->later != NULL && queue_number_known(now) &&
	    queue_number_known(&look->later->consumers) &&
	    look->later->consumers.value > now->value)
		return &look->later->consumers;
	return now;
}

struct report_finding *
queue_begin(struct check *check, const struct queue_look *look,
    const struct queue_number *number)
{
	const struct subject subject = {.queue = look->queue->name};

	if (number != NULL && number->know == KNOW_NOT_APPLICABLE)
		return NULL;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return NULL;
	finding->confirmed = true;
	finding->finding.elapsed_ms = look->seen->elapsed_ms;
	if (number == NULL || queue_number_known(number))
		return finding;
	check_set(check, finding, RESULT_UNKNOWN, "not known: %s",
	    number->why == NULL || number->why[0] == '\0' ? "no reason given"
	                                                  : number->why);
	return NULL;
}

void
queue_evidence(struct check *check, struct report_finding *finding,
    const struct queue_look *look, const char *observed, const char *expected)
{
	const char *target = look->state->target;
	const struct evidence evidence = {
	    .source = target == NULL || target[0] == '\0' ? look->seen->subject
	                                                  : target,
	    .at_wall_ms = look->seen->at_wall_ms,
	    .observed = observed,
	    .expected = expected,
	};

	report_evidence(check->report, finding, &evidence);
}

const char *
queue_command(
    struct check *check, const struct declared_queue *queue, const char *what)
{
	return check_text(check, "reeve queue %s %s", what,
	    shell_quote(check->report->arena, queue->name));
}

const char *
queue_number_text(
    struct check *check, const char *what, const struct queue_number *number)
{
	switch (number->know) {
	case KNOW_EXACT:
		return check_text(
		    check, "%lld %s", (long long)number->value, what);
	case KNOW_AT_LEAST:
		return check_text(
		    check, "at least %lld %s", (long long)number->value, what);
	case KNOW_ESTIMATE:
		return check_text(
		    check, "about %lld %s", (long long)number->value, what);
	case KNOW_UNKNOWN:
		return check_text(check, "%s: unknown (%s)", what,
		    number->why == NULL ? "" : number->why);
	case KNOW_NOT_APPLICABLE:
		return check_text(check, "%s: no such notion here", what);
	}
	UNREACHABLE("a way to know that is none");
}
