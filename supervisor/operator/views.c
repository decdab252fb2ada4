/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/specs.h"

/*
 * Each declared worker as reconcile() takes it, and on the way what differs
 * from its declaration. Looks only: nothing is ordered here.
 */
enum {
	ORDER_FORGET_MS = 10 * 1000, /* an order that nothing came of */
	INSTANCES_TEXT_MAX = 256,
	/* Files have no events here: looked at by the passes of judge.c that
	 * nothing else called for, which are further apart. */
	FILES_AGAIN_MS = 9 * 1000,
};

/* One worker while it is looked at. */
struct look {
	struct operator_core *op;
	struct arena *arena; /* what is gone with the views */
	struct drift_list *list;
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
	const char *copy =
	    arena_text(look->list->arena, text.data == NULL ? "" : text.data);

	buffer_fini(&text);
	return copy;
}

/* Every configuration that runs is compared once with the declared one. */
static void
compare_configurations(struct look *look)
{
	size_t count = look->running->ninstances;
	const uint8_t *declared = look->spec->config_digest;
	bool *done = arena_array(look->arena, count + 1, sizeof(*done));

	for (size_t i = 0; i < count; i++) {
		const struct reconcile_instance *one = &look->instances[i];
		if (done[i] || !comparable(one) ||
		    memcmp(one->digest, declared, 16) == 0)
			continue;
		struct worker_spec spec;
		bool known = history_find(&look->op->history,
		    look->declared->name, one->digest, &spec);
		enum drift_policy policy = drift_compare(look->list,
		    &look->op->key, look->declared, look->spec,
		    known ? &spec : NULL, names_with(look, one->digest));
		for (size_t k = i; k < count; k++) {
			if (memcmp(look->instances[k].digest, one->digest,
			        16) != 0)
				continue;
			done[k] = true;
			look->instances[k].repair = policy == DRIFT_RESTART;
		}
	}
}

/* The file as it was at the start of the process. One that is younger than
 * the process was another one then; which one can't be known. */
static const struct file_identity *
file_then(struct operator_core *op, struct running_instance *instance,
    const char *path, const struct file_identity *now)
{
	if (instance->files_pid != instance->wire.pid) {
		instance->files_pid = instance->wire.pid;
		instance->nfiles = 0;
	}
	struct file_identity *then = running_file(instance, files_name(path));

	if (then != NULL)
		return then;
	then = running_file_add(instance);
	*then = *now;
	then->path = files_name(path);
	if (now->known && now->changed_ms > instance->wire.started_wall_ms)
		then->sha256[0] = '?';
	op->notes_due = true;
	return then;
}

/* What a new process was started from has to be seen now. */
static int64_t
look_since_ms(const struct look *look, const struct running_instance *instance)
{
	return instance->files_pid == instance->wire.pid
	           ? MAX(look->now_ms - FILES_AGAIN_MS,
	                 look->op->files_since_ms)
	           : look->now_ms;
}

static void
compare_file(
    struct look *look, size_t which, const char *path, enum drift_class kind)
{
	struct arena *arena = look->list->arena;
	struct running_instance *instance = &look->running->instances[which];
	const struct file_identity *now =
	    files_look(&look->op->files, path, look_since_ms(look, instance));
	const struct file_identity *then =
	    file_then(look->op, instance, path, now);
	bool gone = !now->known && files_gone(then, path);
	enum drift_policy policy =
	    drift_policy_of(&look->declared->on_drift, kind);

	if (!now->known && !gone && then->known)
		drift_unknown(look->list, "worker %s: '%s' can't be read",
		    look->declared->name, path);
	if (!gone && !files_differ(then, now))
		return;
	drift_add(look->list,
	    &(struct drift){
	        .worker = look->declared->name,
	        .instances = arena_format(
	            arena, "%" PRIu32, look->instances[which].index),
	        .kind = kind,
	        .policy = policy,
	        .key = arena_text(arena, path),
	        .summary = arena_format(arena, "%s %s after the start", path,
	            gone                        ? "was deleted"
	            : kind == DRIFT_CLASS_FILES ? "was changed"
	                                        : "was replaced on disk"),
	        .observed =
	            *then->sha256 == '?'
	                ? "another file"
	                : arena_format(arena, "sha256:%.12s", then->sha256),
	        .expected =
	            gone ? "no file"
	                 : arena_format(arena, "sha256:%.12s", now->sha256),
	        .source = "",
	        .place = look->declared->place,
	    });
	/* Without its program it could only fail to start. */
	if (policy == DRIFT_RESTART && !gone)
		look->instances[which].repair = true;
}

static void
compare_files(struct look *look)
{
	char paths[FILES_OF_PROGRAM][FILES_PATH_MAX];
	const char *const *files = look->declared->files;
	const uint8_t *of = NULL; /* of which configuration `paths` are */
	struct worker_spec spec;
	size_t count = 0;

	for (size_t i = 0; i < look->running->ninstances; i++) {
		struct running_instance *instance =
		    &look->running->instances[i];
		const uint8_t *digest = instance->wire.config_digest;
		if (instance->wire.pid <= 0 ||
		    look->instances[i].state != RECONCILE_UP ||
		    !history_find(&look->op->history, look->declared->name,
		        digest, &spec))
			continue;
		if (of == NULL ||
		    memcmp(of, digest, sizeof(spec.config_digest)) != 0)
			count = files_of_program(&look->op->files, &spec,
			    look_since_ms(look, instance), paths);
		of = digest;
		for (size_t k = 0; k < count; k++)
			compare_file(look, i, paths[k], DRIFT_CLASS_EXECUTABLE);
		for (size_t k = 0; files != NULL && files[k] != NULL; k++)
			compare_file(look, i, files[k], DRIFT_CLASS_FILES);
	}
}

static void
compare_processes(struct look *look)
{
	for (size_t i = 0; i < look->running->ninstances; i++) {
		struct running_instance *instance =
		    &look->running->instances[i];
		struct worker_spec spec;
		if (history_find(&look->op->history, look->declared->name,
		        instance->wire.config_digest, &spec) &&
		    live_compare(look->op->live, look->list, look->declared,
		        &spec, instance))
			look->instances[i].repair = true;
		if (consumers_compare(
		        look->op, look->list, look->declared, instance))
			look->instances[i].repair = true;
	}
}

static void
compare_replicas(struct look *look)
{
	struct arena *arena = look->list->arena;
	const struct wire_worker *wire = &look->running->wire;
	static const struct tracked unknown = {.scale = -1};
	const struct tracked *tracked =
	    operator_tracked(look->op, look->declared->name, &unknown);
	bool by_queue = look->declared->scale.queue != NULL;
	int64_t declared =
	    by_queue ? scaling_replicas(look->op, look->declared, tracked)
	             : look->declared->replicas;

	/* A change of an instance may come before its worker is told. */
	if (wire->head.magic == 0 || (int64_t)wire->desired == declared)
		return;
	/* What its queue calls for may not have come to the init yet. */
	if (by_queue && tracked->scale < 0 && wire->held == 0)
		return;
	const char *name = look->declared->name;
	const char *summary =
	    "another number of replicas than declared, by order";
	const char *command =
	    arena_format(arena, "reeve scale %s %" PRId64, name, declared);
	if (wire->held != 0) {
		summary = "stopped by order";
		command = arena_format(arena, "reeve start %s", name);
	} else if (wire->desired == 0 && specs_gap(look->declared) != NULL) {
		summary = "not started: a declared value is missing";
		command = "reeve check --verbose";
	}
	drift_add(look->list,
	    &(struct drift){
	        .worker = name,
	        .instances = "",
	        .kind = DRIFT_CLASS_REPLICAS,
	        .policy = look->declared->on_drift.replicas,
	        .key = "replicas",
	        .summary = summary,
	        .command = command,
	        .observed = arena_format(arena, "%" PRIu32, wire->desired),
	        .expected = arena_format(arena, "%" PRId64, declared),
	        .source = "",
	        .place = look->declared->place,
	    });
}

/* What the init has of a worker; or, where a plan is only thought of, what it
 * would have then. */
static void
applied_of(struct operator_core *op, const struct intent *planned, size_t which,
    struct reconcile_worker *worker)
{
	struct worker_spec spec;
	const char *held = NULL;

	if (planned != NULL) {
		if (!plans_choice(op, planned, which, &spec, &held))
			return;
	} else if (!plans_applied(op, worker->name, &spec)) {
		return;
	}
	worker->known = true;
	worker->replicas = spec.replicas;
	worker->generation = spec.generation;
	worker->budget_ms = specs_budget_ms(&spec);
	worker->settle_ms = specs_settle_ms(&spec);
	memcpy(worker->applied, spec.config_digest, RECONCILE_DIGEST);
}

static void
look_at(struct look *look, struct reconcile_worker *ret)
{
	translate(look);
	compare_configurations(look);
	compare_files(look);
	compare_processes(look);
	compare_replicas(look);
	/* What has the applied configuration has what it can have now. */
	for (size_t i = 0; i < look->running->ninstances; i++)
		if (memcmp(look->instances[i].digest, ret->applied, 16) == 0 &&
		    memcmp(ret->applied, ret->declared, 16) != 0)
			look->instances[i].repair = false;
	ret->instances = look->instances;
	ret->ninstances = look->running->ninstances;
}

static size_t
instances_of(const struct running *running)
{
	size_t count = 0;

	for (size_t i = 0; i < running->count; i++)
		count += running->workers[i].ninstances;
	return count;
}

struct reconcile_worker *
views_make(struct operator_core *op, const struct intent *intent, bool planned,
    struct arena *arena, struct drift_list *list, int64_t now_ms)
{
	size_t count = intent->declared->nworkers;
	struct reconcile_worker *views =
	    arena_array(arena, count + 1, sizeof(*views));
	struct reconcile_instance *instances =
	    arena_array(arena, instances_of(&op->running), sizeof(*instances));

	/* All of them first: the table moves as it grows. */
	for (size_t i = 0; i < count; i++)
		(void)operator_track(op, intent->declared->workers[i].name);
	for (size_t i = 0; i < count; i++) {
		const struct declared_worker *declared =
		    &intent->declared->workers[i];
		struct worker_spec spec;
		intent_spec(intent, i, &spec);
		struct look look = {
		    .op = op,
		    .arena = arena,
		    .list = list,
		    .declared = declared,
		    .spec = &spec,
		    .running = running_find(&op->running, declared->name),
		    .instances = instances,
		    .now_ms = now_ms,
		};
		views[i] = (struct reconcile_worker){
		    .name = declared->name,
		    .max_unavailable = reconcile_portion(
		        declared->max_unavailable,
		        declared->max_unavailable_percent,
		        look.running == NULL ? 0 : look.running->wire.desired),
		    .memory = &operator_track(op, declared->name)->memory,
		};
		memcpy(views[i].declared, look.spec->config_digest,
		    RECONCILE_DIGEST);
		applied_of(op, planned ? intent : NULL, i, &views[i]);
		if (look.running == NULL)
			continue;
		instances += look.running->ninstances;
		look_at(&look, &views[i]);
	}
	live_strangers(op->live, list);
	return views;
}
