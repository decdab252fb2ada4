/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/finding_table.h"
#include "supervisor/operator/alert_cause.h"
#include "supervisor/operator/spool.h"

enum {
	DEPTH_MAX = 16
};

/* Between kinds of the operator's own, of the same worker (or of all, where
 * the cause is of none). */
static const struct {
	const char *cause, *symptom;
} edges[] = {
    {"plan-refused", "drift"},
    {"missing-value", "not-ready"},
    {"missing-value", "drift"},
    {"rollback", "not-ready"},
    {"rollback", "drift"},
};

static bool
same_worker(const struct alert *a, const struct alert *b)
{
	return a->worker != NULL && text_equal(a->worker, b->worker);
}

static bool
names(const char *list, const char *name, size_t len)
{
	while (list != NULL && *list != '\0') {
		size_t word = strcspn(list, " ");
		if (word == len && strncmp(list, name, len) == 0)
			return true;
		list += word;
		list += strspn(list, " ");
	}
	return false;
}

static bool
same_queue(const struct alert *a, const struct alert *b)
{
	const char *list = a->queues;

	while (list != NULL && *list != '\0') {
		size_t word = strcspn(list, " ");
		if (names(b->queues, list, word))
			return true;
		list += word;
		list += strspn(list, " ");
	}
	return false;
}

/* Labels that an alert hasn't got (a variable, an endpoint) are never equal. */
static bool
guarded(unsigned guard, const struct alert *a, const struct alert *b)
{
	unsigned known = LABEL_WORKER | LABEL_QUEUE;

	return (guard & ~known) == 0 &&
	       ((guard & LABEL_WORKER) == 0 || same_worker(a, b)) &&
	       ((guard & LABEL_QUEUE) == 0 || same_queue(a, b));
}

static bool
by_finding(const struct alert *cause, const struct alert *symptom)
{
	const struct finding_row *from =
	    cause->finding == NULL ? NULL : finding_row_find(cause->finding);
	const struct finding_row *to = symptom->finding == NULL
	                                   ? NULL
	                                   : finding_row_find(symptom->finding);

	if (from == NULL || to == NULL || from >= to)
		return false;
	for (const struct row_edge *edge = from->explains; edge->id != 0;
	     edge++)
		if (edge->id == to->number &&
		    guarded(edge->guard, cause, symptom))
			return true;
	return false;
}

static bool
by_kind(const struct alert *cause, const struct alert *symptom)
{
	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		if (text_equal(edges[i].cause, cause->kind) &&
		    text_equal(edges[i].symptom, symptom->kind))
			return cause->worker == NULL ||
			       same_worker(cause, symptom);
	return false;
}

/* Whoever would hear of the symptom hears of the cause: one that is muted, or
 * that is less severe, hides nothing. */
static const struct alert *
cause_of(const struct alerts *alerts, const struct alert *symptom)
{
	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		if (alert != symptom && !alert->muted &&
		    alert->severity >= symptom->severity &&
		    (by_kind(alert, symptom) || by_finding(alert, symptom)))
			return alert;
	return NULL;
}

void
alert_cause_find(struct alerts *alerts)
{
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		alert->cause = cause_of(alerts, alert);
	/* From the nearest cause to the root. The edges have no circle: the
	 * bound is for a table that got one by mistake. */
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		for (unsigned i = 0; i < DEPTH_MAX && alert->cause != NULL &&
		                     alert->cause->cause != NULL;
		     i++)
			alert->cause = alert->cause->cause;
}
