/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "checks/draining.h"

static bool
exact(const struct queue_number *number)
{
	return number->know == KNOW_EXACT;
}

/* All jobs that are not done: what leaves it is done, or dead. */
static struct queue_number
jobs_of(const struct queue_state *state)
{
	const struct queue_number *parts[] = {
	    &state->waiting, &state->active, &state->delayed};
	struct queue_number sum = {.know = KNOW_EXACT};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (exact(parts[i]))
			sum.value += parts[i]->value;
		else if (i == 0 || parts[i]->know == KNOW_AT_LEAST ||
		         parts[i]->know == KNOW_ESTIMATE)
			sum.know = KNOW_UNKNOWN;
	}
	return sum;
}

static double
rate(const struct queue_number *now, const struct queue_number *before,
    int64_t ms)
{
	if (!exact(now) || !exact(before) || ms <= 0)
		return (double)NAN;
	return (double)(now->value - before->value) * 1000 / (double)ms;
}

static void
look_at_head(struct draining *draining, const char *head, int64_t now_ms)
{
	char kept[DRAINING_HEAD_MAX];

	(void)snprintf(kept, sizeof(kept), "%s", head);
	bool same = text_equal(draining->head, kept);

	draining->head_moving = -1;
	if (kept[0] != '\0' && draining->head[0] != '\0')
		draining->head_moving = same ? 0 : 1;
	if (!same || draining->head_since_ms == 0)
		draining->head_since_ms = now_ms;
	memcpy(draining->head, kept, sizeof(kept));
}

/* Is there any of it? At least none says nothing. */
static enum result
is_none(const struct queue_number *number)
{
	if (number->know == KNOW_NOT_APPLICABLE)
		return RESULT_PASSED;
	if (number->know == KNOW_UNKNOWN)
		return RESULT_UNKNOWN;
	if (number->value > 0)
		return RESULT_FAILED;
	return number->know == KNOW_AT_LEAST ? RESULT_UNKNOWN : RESULT_PASSED;
}

static const char *
why_open(const struct queue_number *number)
{
	return number->why != NULL && number->why[0] != '\0'
	           ? number->why
	           : "there may be more than what was counted";
}

static void
look_at_rest(
    struct draining *draining, const struct queue_state *state, int64_t now_ms)
{
	enum result waiting = is_none(&state->waiting);
	enum result active = is_none(&state->active);
	bool none = waiting == RESULT_PASSED && active == RESULT_PASSED;
	bool about = state->waiting.know == KNOW_ESTIMATE ||
	             state->active.know == KNOW_ESTIMATE;

	if (!none)
		draining->none_since_ms = -1;
	else if (draining->none_since_ms == -1)
		draining->none_since_ms = now_ms;
	draining->why = NULL;
	draining->drained = RESULT_PASSED;
	if (waiting == RESULT_FAILED || active == RESULT_FAILED) {
		draining->drained = RESULT_FAILED;
	} else if (!none) {
		draining->drained = RESULT_UNKNOWN;
		draining->why =
		    why_open(waiting == RESULT_UNKNOWN ? &state->waiting
		                                       : &state->active);
	} else if (about &&
	           now_ms - draining->none_since_ms < DRAINING_REST_MS) {
		draining->drained = RESULT_UNKNOWN;
		draining->why = "these are estimates: drained once they stay "
		                "at none for a minute";
	}
}

void
draining_look(
    struct draining *draining, const struct queue_state *state, int64_t now_ms)
{
	if (state == NULL) {
		draining->drained = RESULT_UNKNOWN;
		draining->why = "it could not be looked at";
		draining->known = false;
		draining->none_since_ms = -1;
		return;
	}
	struct queue_number jobs = jobs_of(state);
	int64_t ms = draining->known ? now_ms - draining->at_ms : 0;

	if (!draining->known)
		draining->none_since_ms = -1;

	draining->net = rate(&jobs, &draining->jobs, ms);
	draining->out = rate(&state->completed, &draining->completed, ms);
	look_at_head(draining, state->head, now_ms);
	look_at_rest(draining, state, now_ms);
	draining->jobs = jobs;
	draining->completed = state->completed;
	draining->completed.why = NULL; /* the state's */
	draining->at_ms = now_ms;
	draining->known = true;
}
