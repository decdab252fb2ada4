/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/retry_storm.h"

bool
storm_error_same(const char *a, const char *b)
{
	static const char digits[] = "0123456789";
	size_t seen = 0;

	/* what is kept of an error is its beginning */
	for (; *a != '\0' && *b != '\0' && seen < STORM_ERROR_KEPT; seen++) {
		size_t in_a = strspn(a, digits);
		size_t in_b = strspn(b, digits);

		if ((in_a == 0) != (in_b == 0) || (in_a == 0 && *a != *b))
			return false;
		a += MAX(in_a, (size_t)1);
		b += MAX(in_b, (size_t)1);
	}
	return seen == STORM_ERROR_KEPT || *a == *b;
}

struct queue_item
storm_unseen(const char *id)
{
	return (struct queue_item){.id = id,
	    .error = "",
	    .owner = "",
	    .payload = "",
	    .payload_whole = -1,
	    .age_ms = -1,
	    .attempts = -1};
}

static bool
is_unseen(const struct queue_item *item)
{
	return item->payload_whole == -1 && item->payload_len == 0 &&
	       item->age_ms == -1 && item->attempts == -1;
}

/* When it was moved last, with the error that it has now; NULL: it wasn't. */
static const struct moved_job *
came_back(const struct storm_question *question, const struct queue_item *item)
{
	bool unseen = is_unseen(item);

	for (size_t i = question->nbefore; i-- > 0;) {
		const struct moved_job *before = &question->before[i];

		if (text_equal(before->id, item->id) &&
		    (unseen || storm_error_same(before->error, item->error)))
			return before;
	}
	return NULL;
}

/* Itself, or another job with its error, which evidently has its cause still.
 * `back` has the answer of came_back() for each job that was found. */
static const struct moved_job *
would_fail_again(const struct storm_question *question,
    const struct held_job *back, size_t index)
{
	const char *error = question->found[index].error;

	if (back[index].before != NULL || error[0] == '\0')
		return back[index].before;
	for (size_t i = 0; i < question->nfound; i++) {
		if (back[i].before != NULL &&
		    storm_error_same(question->found[i].error, error))
			return back[i].before;
	}
	return NULL;
}

static bool
is_asked(const struct storm_question *question, const char *id)
{
	for (size_t i = 0; i < question->nasked; i++) {
		if (text_equal(question->asked[i], id))
			return true;
	}
	return question->nasked == 0;
}

void
storm_choose(struct arena *arena, const struct storm_question *question,
    struct storm_choice *ret)
{
	size_t room = question->nfound + 1;
	struct held_job *back = arena_array(arena, room, sizeof(*back));

	*ret = (struct storm_choice){
	    .chosen = arena_array(arena, room, sizeof(*ret->chosen)),
	    .held = arena_array(arena, room, sizeof(*ret->held))};
	for (size_t i = 0; i < question->nfound && !question->force; i++)
		back[i].before = came_back(question, &question->found[i]);
	for (size_t i = 0; i < question->nfound; i++) {
		const struct queue_item *item = &question->found[i];

		if (!is_asked(question, item->id))
			continue;
		const struct moved_job *before =
		    would_fail_again(question, back, i);

		if (before != NULL)
			ret->held[ret->nheld++] =
			    (struct held_job){item, before};
		else if (ret->nchosen < question->limit)
			ret->chosen[ret->nchosen++] = *item;
	}
}
