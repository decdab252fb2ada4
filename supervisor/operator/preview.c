/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/wire/status_encode.h"

/*
 * `reeve plan`: reconcile() itself, run forward on a copy of what is known.
 * What it replaces counts as ready at the next step, and what it waits for
 * comes: so the order is the one that would be kept, and a failing
 * configuration is not foreseen.
 */
enum {
	ROWS_MAX = 4096,
	STEPS_MAX = 20000,
	ACTIONS_MAX = 256,
	PREVIEW_BYTES_MAX = 256 << 20,
	KEYS_SHOWN = 8,
};

struct row {
	unsigned step;
	const char *action; /* "start", "stop", "restart", … */
	const char *worker;
	int64_t replica; /* -1: none of them in particular */
	const char *key;
	const char *reason;
};

struct preview {
	struct operator_core *op;
	const struct intent *intent;
	struct arena arena;
	struct drift_list drift;
	struct reconcile_worker *workers;
	size_t nworkers;
	struct row *rows;
	size_t nrows;
	bool cut;
	unsigned step;
	bool acts; /* anything else than waiting */
	int64_t now_ms;
};

static void
add(struct preview *preview, struct row row)
{
	if (!text_equal(row.action, "wait"))
		preview->acts = true;
	if (preview->nrows == ROWS_MAX) {
		preview->cut = true;
		return;
	}
	row.step = preview->step;
	preview->rows[preview->nrows++] = row;
}

/* --- what the plan alone brings ---------------------------------------- */

static void
compare_replicas(struct preview *preview, const char *worker, uint32_t before,
    uint32_t after, const char *key, const char *reason)
{
	for (uint32_t i = before; i < after; i++)
		add(preview, (struct row){.action = "start",
		                 .worker = worker,
		                 .replica = i,
		                 .key = key,
		                 .reason = reason});
	for (uint32_t i = after; i < before; i++)
		add(preview, (struct row){.action = "stop",
		                 .worker = worker,
		                 .replica = i,
		                 .key = key,
		                 .reason = reason});
}

static void
plan_worker_changes(struct preview *preview, size_t which)
{
	struct operator_core *op = preview->op;
	const struct declared_worker *declared =
	    &preview->intent->declared->workers[which];
	struct worker_spec now, then;
	const char *held = NULL;
	int32_t at = op->applied.known
	                 ? plan_worker_find(&op->applied.plan, declared->name)
	                 : -1;
	bool had = at >= 0;

	if (had)
		plan_worker(&op->applied.plan, (uint32_t)at, &now);
	bool has = plans_choice(op, preview->intent, which, &then, &held);

	if (held != NULL)
		add(preview, (struct row){.action = "wait",
		                 .worker = declared->name,
		                 .replica = -1,
		                 .key = "held",
		                 .reason = held});
	if (!has)
		return;
	if (had && (!text_equal(now.executable, then.executable) ||
	               now.uid != then.uid || now.gid != then.gid))
		add(preview,
		    (struct row){.action = "exec",
		        .worker = declared->name,
		        .replica = -1,
		        .key = text_equal(now.executable, then.executable)
		                   ? "runAsUser"
		                   : "command",
		        .reason = "another program or user: the init refuses "
		                  "the whole manifest unless it was allowed "
		                  "before, or with --allow-exec-changes"});
	compare_replicas(preview, declared->name, had ? now.replicas : 0,
	    then.replicas, had ? "replicas" : "worker",
	    had ? "another number of replicas" : "newly declared");
}

static void
plan_changes(struct preview *preview)
{
	const struct operator_plan *applied = &preview->op->applied;

	for (size_t i = 0; i < preview->nworkers; i++)
		plan_worker_changes(preview, i);
	for (uint32_t i = 0; applied->known && i < applied->plan.nworkers;
	     i++) {
		struct worker_spec spec;
		bool declared = false;
		plan_worker(&applied->plan, i, &spec);
		for (size_t k = 0; k < preview->nworkers && !declared; k++)
			declared =
			    text_equal(preview->workers[k].name, spec.name);
		if (!declared)
			compare_replicas(preview,
			    arena_text(&preview->arena, spec.name),
			    spec.replicas, 0, "worker", "no longer declared");
	}
}

/* --- what reconcile does from there ------------------------------------ */

/* The keys for which an instance is replaced. */
static const char *
keys_of(struct preview *preview, const char *worker, uint32_t replica)
{
	char index[16];
	const char *keys = NULL;
	size_t shown = 0;

	(void)snprintf(index, sizeof(index), "%" PRIu32, replica);
	for (size_t i = 0; i < preview->drift.count; i++) {
		const struct drift *item = &preview->drift.items[i];
		if (item->policy == DRIFT_IGNORE ||
		    !text_equal(item->worker, worker) ||
		    !drift_concerns(item, index))
			continue;
		if (shown++ == KEYS_SHOWN)
			return arena_format(&preview->arena, "%s, …", keys);
		keys = keys == NULL ? item->key
		                    : arena_format(&preview->arena, "%s, %s",
		                          keys, item->key);
	}
	return keys;
}

static void
restart_row(struct preview *preview, const struct reconcile_worker *worker,
    const struct reconcile_instance *instance)
{
	const char *keys = keys_of(preview, worker->name, instance->index);
	bool ordered = instance->generation < worker->generation;
	bool failed = worker->memory->has_bad &&
	              memcmp(worker->memory->bad, instance->digest, 16) == 0;

	add(preview,
	    (struct row){.action = "restart",
	        .worker = worker->name,
	        .replica = instance->index,
	        .key = ordered        ? "generation"
	               : failed       ? "rollback"
	               : keys == NULL ? "configuration"
	                              : keys,
	        .reason = ordered  ? "a restart was ordered"
	                  : failed ? "its configuration failed its trial"
	                           : "differs from what is declared, and "
	                             "onDrift says restart"});
}

/* As it is once everything went well. */
static void
becomes_ready(const struct preview *preview,
    const struct reconcile_worker *worker, struct reconcile_instance *instance,
    bool fresh)
{
	instance->state = RECONCILE_UP;
	instance->ready = true;
	instance->since_ms = preview->now_ms - worker->settle_ms - 1;
	instance->failures = 0;
	if (!fresh)
		return;
	instance->generation = worker->generation;
	instance->repair = false;
	memcpy(instance->digest, worker->applied, RECONCILE_DIGEST);
}

static struct reconcile_instance *
instance_of(const struct reconcile_worker *worker, size_t at)
{
	/* views_make() allocated them, and they are this preview's own. */
	union {
		const struct reconcile_instance *given;
		struct reconcile_instance *own;
	} instances = {.given = worker->instances};

	return instances.own + at;
}

static void
take_actions(struct preview *preview, const struct action *actions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct reconcile_worker *worker =
		    &preview->workers[actions[i].worker];
		if (actions[i].kind == ACTION_ROLLBACK)
			add(preview,
			    (struct row){.action = "rollback",
			        .worker = worker->name,
			        .replica = -1,
			        .key = "trial",
			        .reason = "the configuration did not become "
			                  "ready in its time"});
		for (size_t k = 0; actions[i].kind == ACTION_RESTART &&
		                   k < worker->ninstances;
		     k++) {
			struct reconcile_instance *instance =
			    instance_of(worker, k);
			if (instance->index != actions[i].index)
				continue;
			restart_row(preview, worker, instance);
			becomes_ready(preview, worker, instance, true);
		}
	}
}

/* Who still has to be replaced and can't be yet. Returns whether there is
 * anybody; what is waited for then comes. */
static bool
wait_for_others(struct preview *preview)
{
	bool any = false;

	for (size_t i = 0; i < preview->nworkers; i++) {
		struct reconcile_worker *worker = &preview->workers[i];
		uint32_t missing = 0, stale = 0;
		for (size_t k = 0; k < worker->ninstances; k++) {
			struct reconcile_instance *instance =
			    instance_of(worker, k);
			bool drains = instance->state == RECONCILE_DRAINING;
			stale += reconcile_stale(worker, instance) ? 1 : 0;
			if (instance->index >= worker->replicas ||
			    instance->state == RECONCILE_HELD ||
			    instance->state == RECONCILE_FINISHED ||
			    reconcile_available(
			        worker, instance, preview->now_ms))
				continue;
			missing++;
			becomes_ready(preview, worker, instance, drains);
		}
		if (stale == 0 && missing == 0)
			continue;
		any = any || missing > 0;
		if (stale == 0)
			continue;
		add(preview,
		    (struct row){.action = "wait",
		        .worker = worker->name,
		        .replica = -1,
		        .key = worker->memory->failed ? "failed"
		                                      : "maxUnavailable",
		        .reason = worker->memory->failed
		                      ? "its first configuration failed: the "
		                        "roll pauses until it is declared anew"
		                      : arena_format(&preview->arena,
		                            "%" PRIu32
		                            " replicas are not available yet, "
		                            "maxUnavailable is %" PRIu32,
		                            missing, worker->max_unavailable)});
	}
	return any;
}

static void
run_forward(struct preview *preview)
{
	struct action actions[ACTIONS_MAX];
	int64_t wake_ms = 0;
	struct reconcile_input input = {
	    .workers = preview->workers,
	    .nworkers = preview->nworkers,
	    .plan_current = true,
	    .now_ms = preview->now_ms,
	};

	/* Ours: reconcile() advances them. */
	for (size_t i = 0; i < preview->nworkers; i++) {
		struct reconcile_memory *memory =
		    arena_array(&preview->arena, 1, sizeof(*memory));
		*memory = *preview->workers[i].memory;
		preview->workers[i].memory = memory;
	}
	while (preview->step < STEPS_MAX) {
		size_t before = preview->nrows;
		preview->step++;
		size_t n =
		    reconcile(&input, actions, ARRAY_LEN(actions), &wake_ms);
		take_actions(preview, actions, n);
		if (preview->cut ||
		    (preview->nrows == before && !wait_for_others(preview)))
			return;
	}
}

/* --- writing ----------------------------------------------------------- */

static void
write_rows(const struct preview *preview, struct jsonw *json)
{
	jsonw_array(json, "actions");
	for (size_t i = 0; i < preview->nrows; i++) {
		const struct row *row = &preview->rows[i];
		jsonw_object(json, NULL);
		jsonw_i64(json, "step", row->step);
		jsonw_text(json, "action", row->action);
		jsonw_text(json, "worker", row->worker);
		if (row->replica >= 0)
			jsonw_i64(json, "replica", row->replica);
		else
			jsonw_null(json, "replica");
		jsonw_text(json, "key", row->key);
		jsonw_text(json, "reason", row->reason);
		jsonw_end(json);
	}
	jsonw_end(json);
}

/* What differs and stays: nothing is done about it. */
static void
write_left(const struct preview *preview, struct jsonw *json)
{
	jsonw_array(json, "left");
	for (size_t i = 0; i < preview->drift.count; i++) {
		const struct drift *item = &preview->drift.items[i];
		if (item->policy == DRIFT_RESTART)
			continue;
		jsonw_object(json, NULL);
		jsonw_text(json, "worker", item->worker);
		jsonw_text(json, "instances", item->instances);
		jsonw_text(json, "class", drift_class_name(item->kind));
		jsonw_text(json, "key", item->key);
		jsonw_text(json, "policy", drift_policy_name(item->policy));
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_last(const struct operator_last *last, struct jsonw *json)
{
	static const char *const words[] = {
	    [ACTION_NONE] = "none",
	    [ACTION_PLAN] = "plan",
	    [ACTION_RESTART] = "restart",
	    [ACTION_ROLLBACK] = "rollback",
	    [ACTION_GOOD] = "good",
	};

	jsonw_object(json, "last_pass");
	status_time(json, "at", last->wall_ms);
	jsonw_array(json, "actions");
	for (size_t i = 0; i < last->count; i++) {
		const struct last_action *one = &last->actions[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "action", words[one->kind]);
		jsonw_text(
		    json, "worker", *one->worker == '\0' ? NULL : one->worker);
		if (one->kind == ACTION_RESTART)
			jsonw_i64(json, "replica", one->replica);
		else
			jsonw_null(json, "replica");
		jsonw_end(json);
	}
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_all(const struct preview *preview, bool known, struct buffer *out)
{
	const struct operator_core *op = preview->op;
	struct jsonw json;
	const char *why = op->draining ? "the supervisor is draining"
	                  : op->intent == NULL
	                      ? "no declaration is in force"
	                      : "no pass since the last reading yet";

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.plan/1");
	jsonw_text(&json, "name", op->name);
	status_time(&json, "at", clock_wall_ms());
	jsonw_text(&json, "digest",
	    preview->intent == NULL ? NULL : preview->intent->declared->digest);
	jsonw_text(&json, "verdict",
	    !known          ? "unknown"
	    : preview->acts ? "changes"
	                    : "nothing");
	jsonw_i64(&json, "exit",
	    !known          ? EXIT_INCONCLUSIVE
	    : preview->acts ? EXIT_FAILED
	                    : EXIT_PASSED);
	jsonw_text(&json, "why", known ? NULL : why);
	jsonw_bool(&json, "drift_known", known);
	jsonw_bool(&json, "cut", preview->cut);
	write_rows(preview, &json);
	write_left(preview, &json);
	write_last(&op->last, &json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

void
preview_write(
    struct operator_core *op, const struct intent *intent, struct buffer *out)
{
	struct preview preview = {
	    .op = op, .intent = intent, .now_ms = clock_ms()};
	bool known = intent != NULL && op->judged && !op->draining;

	arena_init(&preview.arena, PREVIEW_BYTES_MAX);
	preview.drift = (struct drift_list){.arena = &preview.arena};
	if (known) {
		preview.rows = arena_array(
		    &preview.arena, ROWS_MAX, sizeof(*preview.rows));
		preview.nworkers = intent->declared->nworkers;
		preview.workers = views_make(op, intent, true, &preview.arena,
		    &preview.drift, preview.now_ms);
		plan_changes(&preview);
		run_forward(&preview);
	}
	write_all(&preview, known, out);
	arena_fini(&preview.arena);
}
