/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/asked.h"
#include "probes/queue/request.h"

bool
probe_queue_joins(const struct look *look)
{
	const char *kind = "";
	const char *op = "";

	if (json_text(look->request, "queueKind", "", &kind, NULL) == -1 ||
	    json_text(look->request, "op", "observe", &op, NULL) == -1)
		return false;
	return queue_observes_together(kind) && text_equal(op, "observe");
}

/* One of many that are looked at together. */
struct joined {
	struct look *look;
	struct asked asked;
	const char *key;
	bool kept; /* its connection is of an earlier request */
};

static struct queue *
join_open(struct joined *one)
{
	struct look *look = one->look;

	if (one->key == NULL) {
		if (asked_read(look, &one->asked) == -1)
			return NULL;
		look_url(look, one->asked.spec.url);
		one->key = asked_key(look, &one->asked.spec);
		struct queue *queue = look_take(look, "queue", one->key);

		one->kept = queue != NULL;
		if (one->kept)
			return queue;
	}
	return asked_open(look, &one->asked);
}

/* The near names of those that want them, together too. */
static void
join_near(const struct joined *all, struct queue_pass *passes, size_t count)
{
	struct queue_pass *wanting =
	    arena_array(all[0].look->arena, count, sizeof(*wanting));
	size_t *which = arena_array(all[0].look->arena, count, sizeof(*which));
	size_t wanted = 0;

	for (size_t i = 0; i < count; i++)
		if (passes[i].rc == 0 && all[i].asked.near) {
			which[wanted] = i;
			wanting[wanted++] = passes[i];
		}
	queue_near_names_many(wanting, wanted);
	for (size_t i = 0; i < wanted; i++) {
		passes[which[i]].state = wanting[i].state;
		if (wanting[i].rc == -1)
			answer_no_near(all[which[i]].look, &wanting[i].err);
	}
}

/* Answers what can be answered; those whose kept connection turned out to have
 * died stay, to be asked again. */
static size_t
join_answer(
    struct joined *all, struct queue_pass *passes, size_t count, bool again)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		struct joined one = all[i];
		struct queue *queue = passes[i].queue;

		if (passes[i].rc == 0) {
			struct queue_state *state =
			    arena_alloc(one.look->arena, sizeof(*state));

			*state = passes[i].state;
			answer_seen(one.look, queue, state);
			look_keep(
			    one.look, "queue", one.key, queue, asked_close);
			continue;
		}
		if (again && one.kept && queue->cause == CAUSE_UNAVAILABLE)
			all[left++] = one;
		else
			answer_trouble(one.look, queue, &passes[i].err);
		asked_close(queue);
	}
	return left;
}

/* Opens them, looks at all together, and answers; how many are to be asked
 * again stay at the front of `all`. */
static size_t
join_round(
    struct joined *all, struct queue_pass *passes, size_t count, bool again)
{
	size_t open = 0;

	for (size_t i = 0; i < count; i++) {
		struct joined one = all[i];
		struct queue *queue = join_open(&one);

		if (queue == NULL)
			continue; /* it has its answer */
		queue->deadline_ms = one.look->ladder.deadline_ms;
		queue->asker = one.asked.own;
		passes[open] = (struct queue_pass){
		    .queue = queue, .arena = one.look->arena};
		all[open++] = one;
	}
	queue_observe_many(passes, open);
	if (open > 0)
		join_near(all, passes, open);
	return join_answer(all, passes, open, again);
}

void
probe_queues(struct look *looks, size_t count)
{
	struct joined *all = calloc(count, sizeof(*all));
	struct queue_pass *passes = calloc(count, sizeof(*passes));

	for (size_t i = 0; i < count && all != NULL && passes != NULL; i++)
		all[i].look = &looks[i];
	if (all != NULL && passes != NULL) {
		size_t left = join_round(all, passes, count, true);

		if (left > 0)
			(void)join_round(all, passes, left, false);
	}
	free(passes);
	free(all);
}
