/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/arena.h"
#include "base/text.h"
#include "probes/words.h"
#include "supervisor/operator/operator.h"

/* The queues in reeve.status/1. */
enum {
	NAMES_MAX = 1 << 20, /* of one queue's consumers */
};

struct number {
	const char *key;
	struct queue_number number;
};

static void
write_numbers(struct jsonw *json, const struct number *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum know know = numbers[i].number.know;
		if (know == KNOW_UNKNOWN || know == KNOW_NOT_APPLICABLE)
			jsonw_null(json, numbers[i].key);
		else
			jsonw_i64(
			    json, numbers[i].key, numbers[i].number.value);
	}
	jsonw_object(json, "quality");
	for (size_t i = 0; i < count; i++)
		if (know_quality(numbers[i].number.know) != NULL)
			jsonw_text(json, numbers[i].key,
			    know_quality(numbers[i].number.know));
	jsonw_end(json);
	jsonw_object(json, "why");
	for (size_t i = 0; i < count; i++)
		if (numbers[i].number.know == KNOW_UNKNOWN)
			jsonw_text(json, numbers[i].key,
			    numbers[i].number.why == NULL
			        ? "not known"
			        : numbers[i].number.why);
	jsonw_end(json);
}

/* Which worker a process belongs to; "" unknown. */
static const char *
worker_of(const struct operator_core *op, int64_t pid, struct arena *arena)
{
	for (size_t i = 0; pid > 0 && i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid == pid)
				return arena_format(arena, "%s/%u",
				    worker->wire.name,
				    worker->instances[k].wire.replica);
	}
	return "";
}

static void
write_consumers(const struct operator_core *op, struct jsonw *json,
    const struct queue_state *state, struct arena *arena)
{
	jsonw_array(json, "consumer_list");
	for (size_t i = 0; i < state->nwho; i++) {
		const struct queue_consumer *who = &state->who[i];
		const char *worker = who->worker == NULL || *who->worker == '\0'
		                         ? worker_of(op, who->pid, arena)
		                         : who->worker;
		jsonw_object(json, NULL);
		jsonw_text(json, "id", who->id);
		jsonw_text(json, "address",
		    who->address[0] == '\0' ? NULL : who->address);
		if (who->pid > 0)
			jsonw_i64(json, "pid", who->pid);
		else
			jsonw_null(json, "pid");
		jsonw_text(json, "worker", worker);
		jsonw_text(json, "reads", who->reads);
		/* nobody says of itself that it holds nothing */
		if ((who->proof & PROOF_HOLDS_LEASE) != 0)
			jsonw_bool(json, "holds_lease", true);
		else
			jsonw_null(json, "holds_lease");
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_state(const struct operator_core *op, struct jsonw *json,
    const struct queue_state *state, struct arena *arena)
{
	const struct number numbers[] = {
	    {"waiting", state->waiting},
	    {"active", state->active},
	    {"delayed", state->delayed},
	    {"failed", state->failed},
	    {"dead", state->dead},
	    {"completed", state->completed},
	    {"oldest_ms", state->oldest_ms},
	    {"lease_expired", state->lease_expired},
	    {"consumers", state->consumers},
	};

	if (state->paused < 0)
		jsonw_null(json, "paused");
	else
		jsonw_bool(json, "paused", state->paused == 1);
	write_numbers(json, numbers, ARRAY_LEN(numbers));
	write_consumers(op, json, state, arena);
}

struct writing {
	const struct operator_core *op;
	struct jsonw *json;
};

static void
write_queue(void *arg, const struct queue_view *view)
{
	struct writing *writing = arg;
	struct jsonw *json = writing->json;
	struct arena arena;

	arena_init(&arena, NAMES_MAX);
	jsonw_object(json, NULL);
	jsonw_text(json, "name", view->name);
	jsonw_text(json, "url", view->url);
	jsonw_text(json, "kind", view->kind);
	write_state(writing->op, json, view->state, &arena);
	jsonw_text(json, "error", view->trouble);
	if (view->trouble_wall_ms != 0)
		jsonw_i64(json, "error_since_ms", view->trouble_wall_ms);
	if (view->at_wall_ms != 0)
		jsonw_i64(json, "at_ms", view->at_wall_ms);
	jsonw_end(json);
	arena_fini(&arena);
}

void
queues_write(const struct operator_core *op, struct jsonw *json)
{
	struct writing writing = {.op = op, .json = json};

	queues_view_each(op->queues, write_queue, &writing);
}
