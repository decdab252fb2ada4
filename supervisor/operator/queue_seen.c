/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "supervisor/operator/queue_seen.h"
#include "supervisor/operator/record.h"

static const char SAME[] = "{\"same\":";
static const struct queue_state UNKNOWN = {.paused = -1};

void
queue_seen_fini(struct queue_seen *queue)
{
	free(queue->name);
	free(queue->kind);
	free(queue->url);
	secret_free(queue->request);
	arena_fini(&queue->arena);
	free(queue->trouble);
	*queue = (struct queue_seen){0};
}

void
queue_seen_trouble(struct queue_seen *queue, const char *why)
{
	if (why != NULL && queue->trouble == NULL)
		queue->trouble_wall_ms = clock_wall_ms();
	if (why == NULL)
		queue->trouble_wall_ms = 0;
	else
		queue->still_ms = 0;
	if (text_equal(why, queue->trouble))
		return;
	free(queue->trouble);
	queue->trouble = why == NULL ? NULL : strdup(why);
}

void
queue_seen_view(const struct queue_seen *queue, struct queue_view *ret)
{
	const struct observation *seen = queue->seen;

	*ret = (struct queue_view){
	    .name = queue->name,
	    .kind = queue->kind,
	    .url = queue->url,
	    .server = queue->server == NULL ? "" : queue->server,
	    .state = &UNKNOWN,
	    .trouble = queue->trouble,
	    .trouble_wall_ms = queue->trouble_wall_ms,
	    .at_wall_ms = queue->at_wall_ms,
	    .known_ms = queue->known_ms,
	    .still_ms = queue->still_ms,
	};
	if (seen == NULL && queue->trouble == NULL)
		ret->trouble = "not looked at yet";
	else if (seen != NULL && seen->queue != NULL && queue->trouble == NULL)
		ret->state = seen->queue;
}

static bool
changed(struct queue_number before, struct queue_number now)
{
	return before.know == KNOW_EXACT && now.know == KNOW_EXACT &&
	       before.value != now.value;
}

/* Whether something was seen to be done between two looks. */
static bool
moved(const struct queue_state *before, const struct queue_state *now)
{
	return changed(before->completed, now->completed) ||
	       changed(before->failed, now->failed) ||
	       changed(before->dead, now->dead) ||
	       changed(before->active, now->active) ||
	       !text_equal(before->head, now->head) ||
	       (changed(before->waiting, now->waiting) &&
	           now->waiting.value < before->waiting.value);
}

/* `before` is the answer that `queue->seen` replaces. */
static void
follow_progress(struct queue_seen *queue, const struct observation *before)
{
	const struct queue_state *now = queue->seen->queue;
	bool waits = now->waiting.know == KNOW_EXACT ||
	             now->waiting.know == KNOW_AT_LEAST;

	queue->known_ms = clock_ms();
	if (!waits || now->waiting.value == 0)
		queue->still_ms = 0;
	else if (queue->still_ms == 0 || before == NULL ||
	         before->queue == NULL || moved(before->queue, now))
		queue->still_ms = queue->known_ms;
}

/* What follows of an answer; `before` is the one that it replaces. */
static void
conclude(struct queue_seen *queue, const struct observation *before)
{
	if (queue->seen->result != RESULT_PASSED) {
		queue_seen_trouble(queue, queue->seen->summary);
	} else {
		queue_seen_trouble(queue, NULL);
		if (queue->seen->queue != NULL)
			follow_progress(queue, before);
	}
}

/* {"same":TAG,"at":…}: the last answer holds still. */
static void
learn_same(struct queue_seen *queue, const char *line, size_t len)
{
	CLEANUP(record_free) cJSON *same = record_parse(line, len);
	const char *tag = record_text(same, "same", "");

	/* An answer without a tag can't be referred to. */
	if (queue->seen == NULL || *tag == '\0' ||
	    !text_equal(queue->seen->tag, tag)) {
		queue_seen_trouble(queue, "no verdict");
		return;
	}
	queue->at_wall_ms = record_i64(same, "at", queue->at_wall_ms);
	conclude(queue, queue->seen);
}

/* Decodes an answer into memory of its own; the one before is forgotten. */
static bool
learn(struct queue_seen *queue, const char *line, size_t len)
{
	struct arena before_arena = queue->arena;
	const struct observation *before = queue->seen;
	struct observed observed;
	struct err err = ERR_INIT;
	struct arena arena;

	arena_init(&arena, OBSERVED_ONE_BYTES_MAX);
	observed_init(&observed, &arena);
	if (observed_add_line(&observed, line, len, &err) == -1 ||
	    observed.nobservations != 1) {
		arena_fini(&arena);
		queue_seen_trouble(
		    queue, err.text[0] == '\0' ? "no verdict" : err.text);
		return false;
	}
	queue->arena = arena;
	queue->seen = observed.observations;
	queue->at_wall_ms = queue->seen->at_wall_ms;
	conclude(queue, before);
	arena_fini(&before_arena);
	return true;
}

bool
queue_seen_answer(struct queue_seen *queue, const char *line, size_t len)
{
	if (len <= sizeof(SAME) - 1 ||
	    memcmp(line, SAME, sizeof(SAME) - 1) != 0)
		return learn(queue, line, len);
	learn_same(queue, line, len);
	return false;
}

/* Whether it speaks for the server rather than for this queue. */
static bool
of_endpoint(enum cause cause)
{
	switch (cause) {
	case CAUSE_DEADLINE:
	case CAUSE_DNS:
	case CAUSE_REFUSED:
	case CAUSE_UNREACHABLE:
	case CAUSE_SILENT:
	case CAUSE_TLS:
	case CAUSE_AUTH:
		return true;
	case CAUSE_NONE:
	case CAUSE_INTERNAL:
	case CAUSE_UNRESOLVED:
	case CAUSE_URL:
	case CAUSE_PERMISSION:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_WRONG_TYPE:
	case CAUSE_NOT_FOUND:
	case CAUSE_MISMATCH:
	case CAUSE_UNAVAILABLE:
		break;
	}
	return false;
}

bool
queue_seen_blames_server(const struct queue_seen *queue)
{
	return queue->trouble != NULL && queue->seen != NULL &&
	       of_endpoint(queue->seen->cause);
}

const char *
queue_seen_connected_to(const struct queue_seen *queue)
{
	static const char connected[] = "connected to ";

	for (size_t i = 0; queue->seen != NULL && i < queue->seen->nsteps;
	     i++) {
		const struct step *step = &queue->seen->steps[i];
		if (step->kind == STEP_TCP &&
		    text_starts(step->detail, connected))
			return step->detail + sizeof(connected) - 1;
	}
	return NULL;
}
