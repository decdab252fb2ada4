/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

enum {
	ACTIONS_MAX = 256,
	ORDER_FORGET_MS = 10 * 1000, /* an order that nothing came of */
	LOOK_AGAIN_MS = 10 * 1000,   /* files on disk have no events here */
	SEND_AGAIN_MS = 200,
	DRIFT_BYTES_MAX = 256 << 20,
	INSTANCES_TEXT_MAX = 256,
};

/* One worker while a pass looks at it. */
struct look {
	struct operator_core *op;
	const struct declared_worker *declared;
	const struct worker_spec *spec; /* as declared */
	struct running_worker *running; /* NULL: the init hasn't got it */
	struct reconcile_instance *instances;
	int64_t now_ms;
};

static enum reconcile_state
state_of(const struct running_instance *instance, int64_t now_ms)
{
	if (instance->ordered_ms != 0 &&
	    now_ms - instance->ordered_ms < ORDER_FORGET_MS)
		return RECONCILE_DRAINING;
	switch ((enum instance_state)instance->wire.state) {
	case INSTANCE_NONE:
	case INSTANCE_PENDING:
		return RECONCILE_DOWN;
	case INSTANCE_STARTING:
		return RECONCILE_STARTING;
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
		return RECONCILE_UP;
	case INSTANCE_STOPPING:
	case INSTANCE_KILLING:
	case INSTANCE_ENDING:
		return RECONCILE_DRAINING;
	case INSTANCE_BACKOFF:
		return RECONCILE_WAITING;
	case INSTANCE_FINISHED:
		return RECONCILE_FINISHED;
	case INSTANCE_STOPPED:
		return RECONCILE_HELD;
	case INSTANCE_STATES:
		break;
	}
	UNREACHABLE("instance state");
}

static uint32_t
failures_of(const struct wire_instance *wire)
{
	return wire->failures[CLASS_CONFIG] + wire->failures[CLASS_CRASH] +
	       wire->failures[CLASS_PROBE] + wire->failures[CLASS_OOM];
}

static void
translate(struct look *look)
{
	for (size_t i = 0; i < look->running->ninstances; i++) {
		const struct running_instance *from =
		    &look->running->instances[i];
		struct reconcile_instance *to = &look->instances[i];
		*to = (struct reconcile_instance){
		    .index = from->wire.replica,
		    .state = state_of(from, look->now_ms),
		    .ready = from->wire.state == INSTANCE_READY,
		    .since_ms = from->since_ms,
		    .generation = from->wire.generation,
		    .failures = failures_of(&from->wire),
		};
		memcpy(to->digest, from->wire.config_digest, 16);
	}
}

/* Has a configuration that can be compared: started once, and not on its way
 * out. */
static bool
comparable(const struct reconcile_instance *instance)
{
	return instance->state == RECONCILE_STARTING ||
	       instance->state == RECONCILE_UP ||
	       instance->state == RECONCILE_WAITING;
}

static const char *
names_with(const struct look *look, const uint8_t digest[16])
{
	struct buffer text;
	const char *separator = "";

	buffer_init(&text, INSTANCES_TEXT_MAX);
	for (size_t i = 0; i < look->running->ninstances; i++) {
		const struct reconcile_instance *instance = &look->instances[i];
		if (!comparable(instance) ||
		    memcmp(instance->digest, digest, 16) != 0)
			continue;
		buffer_format(&text, "%s%" PRIu32, separator, instance->index);
		separator = ", ";
	}
	const char *copy = arena_text(
	    &look->op->drift_arena, text.data == NULL ? "" : text.data);

	buffer_fini(&text);
	return copy;
}

/* Every configuration that runs is compared once with the declared one. */
static void
compare_configurations(struct look *look)
{
	size_t count = look->running->ninstances;
	const uint8_t *declared = look->spec->config_digest;
	bool *done =
	    arena_array(&look->op->drift_arena, count + 1, sizeof(*done));

	for (size_t i = 0; i < count; i++) {
		const struct reconcile_instance *one = &look->instances[i];
		if (done[i] || !comparable(one) ||
		    memcmp(one->digest, declared, 16) == 0)
			continue;
		enum drift_policy policy = drift_compare(&look->op->drift,
		    &look->op->key, look->declared, look->spec,
		    history_find(
		        &look->op->history, look->declared->name, one->digest),
		    names_with(look, one->digest));
		for (size_t k = i; k < count; k++) {
			if (memcmp(look->instances[k].digest, one->digest,
			        16) != 0)
				continue;
			done[k] = true;
			look->instances[k].repair = policy == DRIFT_RESTART;
		}
	}
}

/* The files as they were at the start of the process. One that is younger than
 * the process was another one then; which one can't be known. */
static void
keep_files(struct operator_core *op, struct running_instance *instance,
    char paths[FILES_OF_WORKER][FILES_PATH_MAX], size_t count)
{
	if (instance->files_pid == instance->wire.pid)
		return;
	instance->files_pid = instance->wire.pid;
	instance->nfiles = count;
	for (size_t i = 0; i < count; i++) {
		const struct file_identity *now =
		    files_look(&op->files, paths[i]);
		instance->files[i] = *now;
		if (now->known &&
		    now->changed_ms > instance->wire.started_wall_ms)
			instance->files[i].sha256[0] = '?';
	}
	op->notes_due = true;
}

static void
file_drift(struct look *look, size_t which, const char *path,
    const struct file_identity *then, const struct file_identity *now)
{
	struct arena *arena = &look->op->drift_arena;
	enum drift_policy policy = look->declared->on_drift.executable;

	drift_add(&look->op->drift,
	    &(struct drift){
	        .worker = look->declared->name,
	        .instances = arena_format(
	            arena, "%" PRIu32, look->instances[which].index),
	        .kind = DRIFT_CLASS_EXECUTABLE,
	        .policy = policy,
	        .key = arena_text(arena, path),
	        .summary = arena_format(
	            arena, "%s was replaced on disk after the start", path),
	        .observed =
	            *then->sha256 == '?'
	                ? "another file"
	                : arena_format(arena, "sha256:%.12s", then->sha256),
	        .expected = arena_format(arena, "sha256:%.12s", now->sha256),
	        .source = "",
	        .place = look->declared->place,
	    });
	if (policy == DRIFT_RESTART)
		look->instances[which].repair = true;
}

static void
compare_files(struct look *look)
{
	char paths[FILES_OF_WORKER][FILES_PATH_MAX];

	for (size_t i = 0; i < look->running->ninstances; i++) {
		struct running_instance *instance =
		    &look->running->instances[i];
		const struct worker_spec *spec =
		    history_find(&look->op->history, look->declared->name,
		        instance->wire.config_digest);
		if (spec == NULL || instance->wire.pid <= 0 ||
		    look->instances[i].state != RECONCILE_UP)
			continue;
		size_t count = files_of_worker(spec, paths);
		keep_files(look->op, instance, paths, count);
		for (size_t k = 0; k < count && k < instance->nfiles; k++) {
			const struct file_identity *now =
			    files_look(&look->op->files, paths[k]);
			if (files_differ(&instance->files[k], now))
				file_drift(look, i, paths[k],
				    &instance->files[k], now);
		}
	}
}

static void
compare_replicas(struct look *look)
{
	struct arena *arena = &look->op->drift_arena;
	const struct wire_worker *wire = &look->running->wire;
	int64_t declared = look->declared->replicas;

	/* A change of an instance may come before its worker is told. */
	if (wire->head.magic == 0 || (int64_t)wire->desired == declared)
		return;
	drift_add(&look->op->drift,
	    &(struct drift){
	        .worker = look->declared->name,
	        .instances = "",
	        .kind = DRIFT_CLASS_REPLICAS,
	        .policy = look->declared->on_drift.replicas,
	        .key = "replicas",
	        .summary =
	            wire->held != 0
	                ? "stopped by order"
	                : "another number of replicas than declared, by order",
	        .observed = arena_format(arena, "%" PRIu32, wire->desired),
	        .expected = arena_format(arena, "%" PRId64, declared),
	        .source = "",
	        .place = look->declared->place,
	    });
}

static void
applied_of(const struct operator_core *op, struct reconcile_worker *worker)
{
	struct worker_spec spec;
	int32_t at = op->applied.known
	                 ? plan_worker_find(&op->applied.plan, worker->name)
	                 : -1;

	if (at < 0)
		return;
	plan_worker(&op->applied.plan, (uint32_t)at, &spec);
	worker->known = true;
	worker->replicas = spec.replicas;
	worker->generation = spec.generation;
	worker->budget_ms = specs_budget_ms(&spec);
	worker->settle_ms = specs_settle_ms(&spec);
	memcpy(worker->applied, spec.config_digest, RECONCILE_DIGEST);
}

static void
look_at(struct operator_core *op, size_t which, struct reconcile_worker *ret,
    int64_t now_ms)
{
	const struct declared_worker *declared =
	    &op->intent->declared->workers[which];
	struct look look = {
	    .op = op,
	    .declared = declared,
	    .spec = &op->intent->specs.specs[which],
	    .running = running_find(&op->running, declared->name),
	    .now_ms = now_ms,
	};

	*ret = (struct reconcile_worker){
	    .name = declared->name,
	    .max_unavailable = declared->max_unavailable > 0
	                           ? (uint32_t)MIN(declared->max_unavailable,
	                                 (int64_t)INT32_MAX)
	                           : 1,
	    .memory = &operator_track(op, declared->name)->memory,
	};
	memcpy(ret->declared, look.spec->config_digest, RECONCILE_DIGEST);
	applied_of(op, ret);
	if (look.running == NULL)
		return;
	look.instances = arena_array(&op->drift_arena,
	    look.running->ninstances + 1, sizeof(*look.instances));
	translate(&look);
	compare_configurations(&look);
	compare_files(&look);
	compare_replicas(&look);
	/* What has the applied configuration has what it can have now. */
	for (size_t i = 0; i < look.running->ninstances; i++)
		if (memcmp(look.instances[i].digest, ret->applied, 16) == 0 &&
		    memcmp(ret->applied, ret->declared, 16) != 0)
			look.instances[i].repair = false;
	ret->instances = look.instances;
	ret->ninstances = look.running->ninstances;
}

static int64_t
restart_one(
    struct operator_core *op, const char *name, uint32_t index, int64_t now_ms)
{
	struct err err = ERR_INIT;
	struct running_worker *worker = running_find(&op->running, name);
	struct running_instance *instance =
	    worker == NULL ? NULL : running_instance_find(worker, index);

	if (instance == NULL)
		return CLOCK_NEVER;
	if (wire_client_order(
	        &op->init, WIRE_RESTART, name, (int32_t)index, 0, &err) == -1) {
		log_warning("restart.unsent", "worker=%s/%" PRIu32 " %s", name,
		    index, err.text);
		return clock_after(now_ms, SEND_AGAIN_MS);
	}
	log_info("restart.ordered", "worker=%s/%" PRIu32 " pid=%d", name, index,
	    (int)instance->wire.pid);
	events_say(op->events, "restart", name,
	    "replica %" PRIu32 " is replaced", index);
	instance->ordered_ms = now_ms;
	return CLOCK_NEVER;
}

static int64_t
act(struct operator_core *op, const struct reconcile_input *input,
    const struct action *action)
{
	const struct reconcile_worker *worker = &input->workers[action->worker];

	switch (action->kind) {
	case ACTION_NONE:
		break;
	case ACTION_PLAN:
		plans_send(op);
		break;
	case ACTION_RESTART:
		return restart_one(
		    op, worker->name, action->index, input->now_ms);
	case ACTION_ROLLBACK:
		log_error("rollback",
		    "worker=%s the new configuration did not become ready; "
		    "back to the last good one until the declaration changes",
		    worker->name);
		events_say(op->events, "rollback", worker->name,
		    "the new configuration did not become ready");
		op->notes_due = true;
		break;
	case ACTION_GOOD:
		log_info("configuration.good", "worker=%s", worker->name);
		events_say(op->events, "good", worker->name,
		    "every replica is ready with this configuration");
		op->keep_due = true;
		break;
	}
	return CLOCK_NEVER;
}

/* Copies of what nothing runs with and nobody goes back to are wiped. */
static void
forget_old(struct operator_core *op)
{
	for (size_t i = 0; i < op->ntracked; i++)
		if (op->tracked[i].memory.has_good)
			history_want(&op->history, op->tracked[i].name,
			    op->tracked[i].memory.good);
	for (uint32_t i = 0; op->applied.known && i < op->applied.plan.nworkers;
	     i++) {
		struct worker_spec spec;
		plan_worker(&op->applied.plan, i, &spec);
		history_want(&op->history, spec.name, spec.config_digest);
	}
	for (size_t i = 0; i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			history_want(&op->history, worker->wire.name,
			    worker->instances[k].wire.config_digest);
	}
	history_prune(&op->history);
}

static int64_t
reconcile_all(struct operator_core *op, int64_t now_ms)
{
	struct action actions[ACTIONS_MAX];
	size_t count = op->intent->declared->nworkers;
	struct reconcile_worker *workers =
	    arena_array(&op->drift_arena, count + 1, sizeof(*workers));
	int64_t wake_ms = CLOCK_NEVER;

	for (size_t i = 0; i < count; i++)
		look_at(op, i, &workers[i], now_ms);
	struct reconcile_input input = {
	    .workers = workers,
	    .nworkers = count,
	    .plan_current = plans_current(op),
	    .plan_pending = op->sent.known,
	    .now_ms = now_ms,
	};
	size_t todo = reconcile(&input, actions, ACTIONS_MAX, &wake_ms);

	for (size_t i = 0; i < todo; i++) {
		/* MIN evaluates twice; this acts. */
		int64_t again_ms = act(op, &input, &actions[i]);
		wake_ms = MIN(wake_ms, again_ms);
	}
	if (todo == ACTIONS_MAX)
		wake_ms = now_ms;
	if (op->keep_due) {
		op->keep_due = false;
		plans_keep(op);
	}
	forget_old(op);
	return wake_ms;
}

int64_t
judge_pass(struct operator_core *op)
{
	int64_t now_ms = clock_ms();
	int64_t wake_ms = clock_after(now_ms, LOOK_AGAIN_MS);

	arena_fini(&op->drift_arena);
	arena_init(&op->drift_arena, DRIFT_BYTES_MAX);
	op->drift = (struct drift_list){.arena = &op->drift_arena};
	if (!op->ready || op->draining)
		return CLOCK_NEVER;
	const int64_t wakes[] = {
	    wake_ms,
	    op->intent == NULL ? CLOCK_NEVER : reconcile_all(op, now_ms),
	    conditions_judge(op, now_ms),
	    alerts_wake_ms(&op->alerts),
	};

	for (size_t i = 0; i < ARRAY_LEN(wakes); i++)
		wake_ms = MIN(wake_ms, wakes[i]);
	if (op->intent != NULL)
		events_drift(op->events, &op->drift);
	if (op->notes_due) {
		op->notes_due = false;
		notes_write(op);
	}
	return wake_ms;
}
