/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <unistd.h>

#include "probes/queue/asked.h"
#include "probes/queue/sample.h"

void
answer_trouble(
    struct look *look, const struct queue *queue, const struct err *err)
{
	switch (queue->cause) {
	case CAUSE_NONE:
	case CAUSE_INTERNAL:
	case CAUSE_DEADLINE:
	case CAUSE_UNRESOLVED:
	case CAUSE_UNREACHABLE:
	case CAUSE_SILENT:
	case CAUSE_UNAVAILABLE:
		look_unknown(look, queue->cause, queue->code, "%s", err->text);
		return;
	case CAUSE_DNS:
		if (queue->ladder.result == RESULT_UNKNOWN)
			look_unknown(
			    look, queue->cause, queue->code, "%s", err->text);
		else
			look_failed(
			    look, queue->cause, queue->code, "%s", err->text);
		return;
	case CAUSE_URL:
	case CAUSE_REFUSED:
	case CAUSE_TLS:
	case CAUSE_AUTH:
	case CAUSE_PERMISSION:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_WRONG_TYPE:
	case CAUSE_NOT_FOUND:
	case CAUSE_MISMATCH:
		look_failed(look, queue->cause, queue->code, "%s", err->text);
		return;
	}
	UNREACHABLE("cause");
}

/* Only a server that says no in words of its own (a code) left the jobs where
 * they were; an answer that is no answer came after something was done. */
void
answer_move_trouble(
    struct look *look, const struct queue *queue, const struct err *err)
{
	if (queue->code[0] == '\0')
		look_unknown(look,
		    queue->cause == CAUSE_NONE ? CAUSE_INTERNAL : queue->cause,
		    "", "%s", err->text);
	else
		answer_trouble(look, queue, err);
}

/* Those that are to be listed, with their sessions. */
static void
pick_consumers(
    struct look *look, const struct queue *queue, struct queue_state *state)
{
	struct queue_consumer *kept =
	    arena_array(look->arena, state->nwho + 1, sizeof(*kept));
	size_t passers = 0;
	size_t count = 0;

	for (size_t i = 0; i < state->nwho; i++) {
		struct queue_consumer who = state->who[i];

		if (who.pid > 0 && who.session <= 0)
			who.session = getsid((pid_t)who.pid);
		if ((who.reads != NULL && who.reads[0] != '\0') ||
		    queue_lists(queue, who.pid, who.session, &passers))
			kept[count++] = who;
	}
	state->who = kept;
	state->nwho = count;
}

void
answer_no_near(struct look *look, const struct err *why)
{
	look_note(look, "near", "not looked for: %s", why->text);
}

/* "; near: jobs (db 1)", or nothing. */
static const char *
nearest(struct arena *arena, const struct queue_state *state)
{
	if (state->nnear == 0)
		return "";
	const struct queue_near *near = &state->near[0];

	return near->where[0] == '\0'
	           ? arena_format(arena, "; near: %s", near->name)
	           : arena_format(
	                 arena, "; near: %s (%s)", near->name, near->where);
}

void
answer_seen(struct look *look, struct queue *queue, struct queue_state *state)
{
	look->out.queue = state;
	look->out.identity = state->identity;
	state->target = arena_text(look->arena, queue->target);
	pick_consumers(look, queue, state);
	if (state->exists == EXISTS_NO) {
		const char *amiss = state->amiss[0] != '\0'
		                        ? state->amiss
		                        : arena_format(look->arena,
		                              "there is no '%s'", queue->name);

		look_failed(look, CAUSE_NOT_FOUND, "", "%s: %s%s",
		    state->target, amiss, nearest(look->arena, state));
		return;
	}
	queue_sample(look, queue);
	char waiting[32] = "?";

	if (state->waiting.know != KNOW_UNKNOWN)
		(void)snprintf(
		    waiting, sizeof(waiting), "%" PRId64, state->waiting.value);
	look_passed(look, "%s: %s waiting", state->target, waiting);
}
