/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "probes/queue/queue.h"
#include "probes/queue/request.h"
#include "probes/queue/sample.h"

enum {
	OPTIONS_MAX = 64,
	LIST_DEFAULT = 20,
	PAGE_BYTES_MAX = 640 << 10, /* of an answer, which has 1 MiB */
	ERROR_SHOWN_MAX = 1000,
	REAPED_SHOWN_MAX = 8,
};

/* What is asked for, out of the request. */
struct asked {
	struct queue_spec spec;
	const char *op;
	bool near;
	struct queue_asker asker;
	struct queue_submission job;
	enum queue_part part;
	int64_t limit;
	struct queue_move move;
	struct queue_reap reap;
};

static int
read_options(struct look *look, struct queue_spec *spec)
{
	struct err err = ERR_INIT;
	const cJSON *object = NULL;
	const cJSON *item = NULL;
	struct queue_option *options = NULL;
	size_t count = 0;

	if (json_object(look->request, "options", &object, &err) == -1)
		goto bad;
	options = arena_array(look->arena, OPTIONS_MAX, sizeof(*options));
	cJSON_ArrayForEach(item, object)
	{
		if (count == OPTIONS_MAX) {
			(void)err_set(&err, ERR_CAPACITY,
			    "a queue has at most %d options", OPTIONS_MAX);
			goto bad;
		}
		options[count].key = item->string;
		if (json_item_text(item, &options[count].value, &err) == -1)
			goto bad;
		count++;
	}
	spec->options = options;
	spec->noptions = count;
	return 0;
bad:
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

/* A list of texts, `most` at most. */
static int
read_texts(struct look *look, const char *key, int most,
    const char *const **ret, size_t *ret_count)
{
	struct err err = ERR_INIT;
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	const char **texts =
	    arena_array(look->arena, (size_t)most, sizeof(*texts));

	*ret_count = 0;
	if (json_array(look->request, key, &list, &err) == -1)
		goto bad;
	if (cJSON_GetArraySize(list) > most) {
		(void)err_set(&err, ERR_CAPACITY, "more than %d %s", most, key);
		goto bad;
	}
	cJSON_ArrayForEach(item, list)
	{
		if (json_item_text(item, &texts[*ret_count], &err) == -1)
			goto bad;
		(*ret_count)++;
	}
	*ret = texts;
	return 0;
bad:
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

static int
by_number(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
read_pids(struct look *look, struct asked *ret)
{
	struct err err = ERR_INIT;
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	int64_t *pids = NULL;

	if (json_array(look->request, "pids", &list, &err) == -1)
		goto bad;
	if (list == NULL)
		return 0;
	pids = arena_array(
	    look->arena, (size_t)cJSON_GetArraySize(list) + 1, sizeof(*pids));
	cJSON_ArrayForEach(item, list)
	{
		if (json_item_i64(item, &pids[ret->asker.npids], &err) == -1)
			goto bad;
		ret->asker.npids++;
	}
	qsort(pids, ret->asker.npids, sizeof(*pids), by_number);
	ret->asker.pids = pids;
	return 0;
bad:
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

/* What list and move need. */
static int
read_part(struct look *look, struct asked *ret)
{
	const char *part = NULL;

	if (look_text(look, "part", "waiting", &part) == -1 ||
	    look_i64(look, "limit", LIST_DEFAULT, &ret->limit) == -1 ||
	    look_bool(look, "force", false, &ret->move.force) == -1 ||
	    read_texts(look, "ids", QUEUE_MOVE_MAX, &ret->move.ids,
	        &ret->move.nids) == -1 ||
	    read_texts(look, "workers", QUEUE_REAP_MAX, &ret->reap.workers,
	        &ret->reap.nworkers) == -1)
		return -1;
	if (!queue_part_parse(part, &ret->part)) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "a queue has no part '%.40s'", part);
		return -1;
	}
	ret->limit = MIN(MAX(ret->limit, 1), (int64_t)QUEUE_MOVE_MAX);
	ret->move.from = ret->part;
	return 0;
}

static int
read_request(struct look *look, struct asked *ret)
{
	const char *payload = NULL;

	if (look_text(look, "queueKind", "", &ret->spec.kind) == -1 ||
	    look_need(look, "url", &ret->spec.url) == -1 ||
	    look_text(look, "op", "observe", &ret->op) == -1 ||
	    look_bool(look, "near", false, &ret->near) == -1 ||
	    look_text(look, "payload", "", &payload) == -1 ||
	    look_text(look, "receipt", NULL, &ret->job.receipt) == -1 ||
	    look_i64(look, "countTo", 0, &ret->spec.count_to) == -1 ||
	    read_options(look, &ret->spec) == -1 ||
	    read_pids(look, ret) == -1 || read_part(look, ret) == -1)
		return -1;
	ret->job.canary = look->canary != NULL ? look->canary : "";
	ret->job.payload = look_canary(look, payload, false);
	ret->job.len = strlen(ret->job.payload);
	return 0;
}

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

/* Trouble of a call as an answer: what the other side said no to is a failure,
 * what never came is unknown. */
static void
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
static void
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

static void
no_near(struct look *look, const struct err *why)
{
	look_note(look, "near", "not looked: %s", why->text);
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

/* The answer of a look that succeeded. */
static void
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
		no_near(look, &near_err);
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
};

static void
close_kept(void *kept)
{
	queue_close(kept);
	free(kept);
}

/* Handles are kept by everything that they were opened with. */
static const char *
handle_key(struct look *look, const struct queue_spec *spec)
{
	const char *key = spec->url;

	for (size_t i = 0; i < spec->noptions; i++)
		key = arena_format(look->arena, "%s\n%s=%s", key,
		    spec->options[i].key, spec->options[i].value);
	return arena_format(look->arena, "%s\n%" PRId64 "\n%s", spec->kind,
	    spec->count_to, key);
}

static struct queue *
open_handle(struct look *look, const struct asked *asked)
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
		close_kept(queue);
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

	if (read_request(look, &asked) == -1)
		return;
	look_url(look, asked.spec.url);
	while (op < ARRAY_LEN(ops) && !text_equal(ops[op].name, asked.op))
		op++;
	if (op == ARRAY_LEN(ops)) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "a queue has no operation '%.40s'", asked.op);
		return;
	}
	const char *key = handle_key(look, &asked.spec);
	struct queue *queue = look_take(look, "queue", key);
	bool kept = queue != NULL;

	if (!kept)
		queue = open_handle(look, &asked);
	if (queue == NULL)
		return;
	queue->deadline_ms = look->ladder.deadline_ms;
	queue->asker = asked.asker;
	int rc = ops[op].run(look, queue, &asked, &err);

	/* a connection that died since the last request is no news; only a
	 * submission or a move may have arrived before it did */
	if (rc == -1 && kept && queue->cause == CAUSE_UNAVAILABLE &&
	    ops[op].run != op_submit && ops[op].run != op_move) {
		close_kept(queue);
		queue = open_handle(look, &asked);
		if (queue == NULL)
			return;
		queue->asker = asked.asker;
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
		close_kept(queue); /* the next request starts afresh */
		return;
	}
	look_keep(look, "queue", key, queue, close_kept);
}

/* --- many at once ----------------------------------------------------------
 */

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

/* One of many. */
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
		if (read_request(look, &one->asked) == -1)
			return NULL;
		look_url(look, one->asked.spec.url);
		one->key = handle_key(look, &one->asked.spec);
		struct queue *queue = look_take(look, "queue", one->key);

		one->kept = queue != NULL;
		if (one->kept)
			return queue;
	}
	return open_handle(look, &one->asked);
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
			no_near(all[which[i]].look, &wanting[i].err);
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
			    one.look, "queue", one.key, queue, close_kept);
			continue;
		}
		if (again && one.kept && queue->cause == CAUSE_UNAVAILABLE)
			all[left++] = one;
		else
			answer_trouble(one.look, queue, &passes[i].err);
		close_kept(queue);
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
		queue->asker = one.asked.asker;
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
