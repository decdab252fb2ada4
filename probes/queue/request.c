/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/arrivals.h"
#include "probes/queue/asked.h"
#include "probes/queue/request.h"

enum {
	PAGE_BYTES_MAX = 640 << 10, /* of an answer, which has 1 MiB */
	ERROR_SHOWN_MAX = 1000,
	REAPED_SHOWN_MAX = 8,
};

/* The steps live in the handle's arena; the answer outlives the handle. */
static void
copy_steps(struct look *look, const struct queue *queue)
{
	look->ladder.nsteps = 0;
	for (size_t i = 0; i < queue->ladder.nsteps; i++) {
		struct step *step = &look->ladder.steps[i];

		*step = queue->ladder.steps[i];
		step->detail = arena_text(look->arena, step->detail);
		look->ladder.nsteps++;
	}
}

static int
op_observe(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	struct queue_state *state = arena_alloc(look->arena, sizeof(*state));

	struct err near_err = ERR_INIT;

	if (queue_observe(queue, look->arena, state, err) == -1)
		return -1;
	if (asked->near &&
	    queue_near_names(queue, look->arena, state, &near_err) == -1)
		answer_no_near(look, &near_err);
	answer_seen(look, queue, state);
	return 0;
}

static int
op_submit(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	const char *receipt = NULL;

	look->out.queue = NULL;
	if (queue_submit(queue, &asked->job, look->arena, &receipt, err) == -1)
		return -1;
	look_note(look, "receipt", "%s", receipt);
	look_passed(look, "%s: acknowledged as %s", queue->target, receipt);
	return 0;
}

static int
op_follow(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	struct queue_sighting seen;

	if (queue_follow(queue, &asked->job, look->arena, &seen, err) == -1)
		return -1;
	look_note(look, "state", "%s", queue_place_name(seen.place));
	if (seen.done)
		look_note(look, "done", "yes");
	if (seen.by[0] != '\0')
		look_note(look, "by", "%s", seen.by);
	if (seen.attempts >= 0)
		look_note(look, "attempts", "%" PRId64, seen.attempts);
	look_note(look, "detail", "%s", seen.detail);
	if (seen.place == PLACE_UNKNOWN)
		look_unknown(look, CAUSE_MISMATCH, "", "%s", seen.detail);
	else
		look_passed(look, "%s: %s, %s", queue->target,
		    queue_place_name(seen.place), seen.detail);
	return 0;
}

static int
op_remove(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	bool removed = false;

	if (queue_remove(queue, &asked->job, &removed, err) == -1)
		return -1;
	look_note(look, "removed", "%s", removed ? "yes" : "no");
	look_passed(look, "%s: %s", queue->target,
	    removed ? "removed" : "was not there to be removed");
	return 0;
}

/* As JSON: base64, and texts of which every byte may be written as \u0000. */
static size_t
item_bytes(const struct queue_item *item)
{
	enum {
		KEYS = 128
	};

	return KEYS + item->payload_len / 3 * 4 +
	       6 * (strlen(item->id) + strlen(item->error) +
	               strlen(item->owner));
}

/* So many as fit into an answer; the total says that there are more. The part
 * of a payload that is shown becomes shorter the more jobs there are. */
static struct queue_page
fit_page(struct look *look, const struct queue_page *page)
{
	struct queue_item *items =
	    arena_array(look->arena, page->count + 1, sizeof(*items));
	struct queue_page fit = {.items = items, .total = page->total};
	size_t shown = PAGE_BYTES_MAX / 2 / MAX(page->count, (size_t)1);
	size_t bytes = 0;

	for (; fit.count < page->count; fit.count++) {
		struct queue_item *item = &items[fit.count];

		*item = page->items[fit.count];
		item->payload_len =
		    MIN(item->payload_len, MIN(shown, (size_t)QUEUE_PEEK_MAX));
		item->error = arena_format(
		    look->arena, "%.*s", ERROR_SHOWN_MAX, item->error);
		bytes += item_bytes(item);
		if (bytes > PAGE_BYTES_MAX)
			break;
	}
	return fit;
}

static int
op_list(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	struct observed_jobs *jobs = arena_alloc(look->arena, sizeof(*jobs));
	struct queue_page page;

	if (queue_list(queue, asked->part, (size_t)asked->limit, look->arena,
	        &page, err) == -1)
		return -1;
	jobs->part = asked->part;
	jobs->page = fit_page(look, &page);
	look->out.jobs = jobs;
	look_passed(look, "%s: %zu %s shown", queue->target, jobs->page.count,
	    queue_part_name(asked->part));
	return 0;
}

static int
op_move(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	struct observed_moved *ret = arena_alloc(look->arena, sizeof(*ret));
	const char **ids =
	    arena_array(look->arena, asked->move.nids + 1, sizeof(*ids));
	const char **as =
	    arena_array(look->arena, asked->move.nids + 1, sizeof(*as));
	struct queue_moved moved;

	if (asked->part != PART_DEAD && asked->part != PART_EXPIRED) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "jobs are moved out of dead or expired");
		return 0;
	}
	if (queue_move(queue, &asked->move, look->arena, &moved, err) == -1)
		return -1;
	for (size_t i = 0; i < asked->move.nids; i++) {
		if (!moved.moved[i])
			continue;
		ids[ret->count] = asked->move.ids[i];
		as[ret->count++] = moved.as != NULL ? moved.as[i] : NULL;
	}
	ret->ids = ids;
	ret->as = moved.as != NULL ? as : NULL;
	look->out.moved = ret;
	look_passed(look, "%s: %zu of %zu moved", queue->target, ret->count,
	    asked->move.nids);
	return 0;
}

static int
op_reap(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	struct queue_reaped reaped;

	if (queue_reap(queue, &asked->reap, look->arena, &reaped, err) == -1)
		return -1;
	for (size_t i = 0; i < MIN(reaped.count, (size_t)REAPED_SHOWN_MAX); i++)
		look_note(look, "reaped", "%s held by %s", reaped.ids[i],
		    reaped.owners[i]);
	look_note(look, "count", "%zu", reaped.count);
	look_passed(look, "%s: %zu leases of dead processes ended",
	    queue->target, reaped.count);
	return 0;
}

static int
op_arrivals(struct look *look, struct queue *queue, const struct asked *asked,
    struct err *err)
{
	(void)asked;
	return queue_arrivals(look, queue, err);
}

typedef int op_fn(struct look *look, struct queue *queue,
    const struct asked *asked, struct err *err);
static const struct {
	const char *name;
	op_fn *run;
} ops[] = {
    {"observe", op_observe},
    {"submit", op_submit},
    {"follow", op_follow},
    {"remove", op_remove},
    {"list", op_list},
    {"move", op_move},
    {"reap", op_reap},
    {"arrivals", op_arrivals},
};

void
asked_close(void *handle)
{
	queue_close(handle);
	free(handle);
}

struct queue *
asked_open(struct look *look, const struct asked *asked)
{
	struct err err = ERR_INIT;
	struct queue *queue = malloc(sizeof(*queue));

	if (queue == NULL) {
		look_unknown(look, CAUSE_INTERNAL, "", "out of memory");
		return NULL;
	}
	int rc =
	    queue_open(queue, &asked->spec, look->ladder.deadline_ms, &err);

	copy_steps(look, queue);
	if (rc == -1) {
		answer_trouble(look, queue, &err);
		look_note(look, "asked", "no"); /* nothing was done */
		asked_close(queue);
		return NULL;
	}
	return queue;
}

void
probe_queue(struct look *look)
{
	struct asked asked = {0};
	struct err err = ERR_INIT;
	size_t op = 0;

	if (asked_read(look, &asked) == -1)
		return;
	look_url(look, asked.spec.url);
	while (op < ARRAY_LEN(ops) && !text_equal(ops[op].name, asked.op))
		op++;
	if (op == ARRAY_LEN(ops)) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "a queue has no operation '%.40s'", asked.op);
		return;
	}
	const char *key = asked_key(look, &asked.spec);
	struct queue *queue = look_take(look, "queue", key);
	bool kept = queue != NULL;

	if (!kept)
		queue = asked_open(look, &asked);
	if (queue == NULL)
		return;
	queue->deadline_ms = look->ladder.deadline_ms;
	queue->asker = asked.own;
	int rc = ops[op].run(look, queue, &asked, &err);

	/* a connection that died since the last request is no news; only a
	 * submission or a move may have arrived before it did */
	if (rc == -1 && kept && queue->cause == CAUSE_UNAVAILABLE &&
	    ops[op].run != op_submit && ops[op].run != op_move) {
		asked_close(queue);
		queue = asked_open(look, &asked);
		if (queue == NULL)
			return;
		queue->asker = asked.own;
		rc = ops[op].run(look, queue, &asked, &err);
	}
	if (rc == -1) {
		if (err.kind == ERR_UNSUPPORTED)
			look_unknown(look, CAUSE_MISMATCH, "unsupported", "%s",
			    err.text);
		else if (ops[op].run == op_move)
			answer_move_trouble(look, queue, &err);
		else
			answer_trouble(look, queue, &err);
		asked_close(queue); /* the next request starts afresh */
		return;
	}
	look_keep(look, "queue", key, queue, asked_close);
}
