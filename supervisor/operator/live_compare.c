/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/inspect.h"
#include "supervisor/operator/live_seen.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

/* A restart that mended nothing is not tried again: whatever changed it then
 * is part of how the worker starts. */
static enum drift_policy
policy_for(
    struct live_found *found, enum drift_class kind, const char **ret_note)
{
	struct running_instance *instance = found->instance;
	enum drift_policy policy =
	    drift_policy_of(&found->declared->on_drift, kind);
	unsigned bit = 1U << kind;

	*ret_note = "";
	found->kinds |= bit;
	if (policy != DRIFT_RESTART)
		return policy;
	if ((instance->mended & bit) != 0 &&
	    instance->mended_pid != instance->wire.pid) {
		*ret_note = "; a restart did not mend it";
		return DRIFT_ALERT;
	}
	instance->mended |= bit;
	instance->mended_pid = instance->wire.pid;
	found->repair = true;
	return policy;
}

void
live_add(struct live_found *found, enum drift_class kind, const char *key,
    const char *what, const char *observed, const char *expected)
{
	struct arena *arena = found->list->arena;
	const char *note = "";
	enum drift_policy policy = policy_for(found, kind, &note);

	drift_add(found->list,
	    &(struct drift){
	        .worker = found->declared->name,
	        .instances = arena_format(
	            arena, "%" PRIu32, found->instance->wire.replica),
	        .kind = kind,
	        .policy = policy,
	        .key = arena_text(arena, key),
	        .summary = arena_format(arena, "%s%s", what, note),
	        .observed = arena_text(arena, observed),
	        .expected = arena_text(arena, expected),
	        .source = arena_format(
	            arena, "/proc/%" PRId32, found->instance->wire.pid),
	        .place = found->declared->place,
	    });
}

static void
compare_variable(struct live_found *found, const cJSON *env, const char *entry)
{
	struct arena *arena = found->list->arena;
	const char *name = arena_bytes(arena, entry, strcspn(entry, "="));
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(env, name);
	const char *value = entry + strlen(name) + 1;
	struct fingerprint print =
	    fingerprint_of(&found->live->op->key, value, strlen(value));
	char hex[RECORD_HEX_SIZE];
	char text[FINGERPRINT_TEXT_SIZE];

	if (item == NULL)
		return; /* not asked for */
	if (cJSON_IsString(item) &&
	    text_equal(item->valuestring, record_hex(print.bytes, hex)))
		return;
	live_add(found, DRIFT_CLASS_ENV, name,
	    arena_format(arena,
	        "%s of the process is not what it was started with", name),
	    cJSON_IsString(item)
	        ? arena_format(arena, "h:%.8s", item->valuestring)
	        : "not set",
	    fingerprint_text(&print, text));
}

static void
compare_environment(struct live_found *found,
    const struct live_process *process, const struct worker_spec *spec)
{
	const cJSON *env =
	    cJSON_GetObjectItemCaseSensitive(process->detail, "env");

	if (process->why != NULL)
		drift_unknown(found->list,
		    "worker %s: the environment of its process: %s",
		    found->declared->name, process->why);
	if (!process->differs || !cJSON_IsObject(env))
		return;
	for (size_t i = 0; spec->envp != NULL && spec->envp[i] != NULL; i++)
		if (inspect_compares(spec->envp[i]))
			compare_variable(found, env, spec->envp[i]);
}

static void
compare_id(struct live_found *found, int64_t has, const char *word,
    const char *key, int64_t expected)
{
	struct arena *arena = found->list->arena;

	if (expected == WORKER_ID_NONE || has == -1 || has == expected)
		return;
	live_add(found, DRIFT_CLASS_USER, key,
	    arena_format(
	        arena, "the process has another %s than declared", word),
	    arena_format(arena, "%" PRId64, has),
	    arena_format(arena, "%" PRId64, expected));
}

static uint64_t
limit_number(const char *text)
{
	return text_starts(text, "unlimited") ? WORKER_UNLIMITED
	                                      : strtoull(text, NULL, 10);
}

static const char *
limit_text(struct arena *arena, uint64_t soft, uint64_t hard)
{
	const char *a = soft == WORKER_UNLIMITED
	                    ? "unlimited"
	                    : arena_format(arena, "%" PRIu64, soft);
	const char *b = hard == WORKER_UNLIMITED
	                    ? "unlimited"
	                    : arena_format(arena, "%" PRIu64, hard);

	return arena_format(arena, "%s:%s", a, b);
}

/* Programs raise their own soft limit up to the hard one (Go's does, for
 * descriptors): only what nobody does to itself counts. */
static void
compare_limits(struct live_found *found, const struct live_process *process,
    const struct worker_spec *spec)
{
	struct arena *arena = found->list->arena;
	const cJSON *limits =
	    cJSON_GetObjectItemCaseSensitive(process->detail, "limits");

	for (enum worker_limit_id id = 0; id < WORKER_LIMITS; id++) {
		const struct worker_limit *wanted = &spec->process.limits[id];
		const char *text =
		    record_text(limits, worker_limit_name(id), "");
		const char *space = strchr(text, ' ');
		if ((spec->process.limited >> id & 1) == 0 || space == NULL)
			continue;
		uint64_t soft = limit_number(text);
		uint64_t hard = limit_number(space + 1);
		if (hard == wanted->hard && soft >= wanted->soft)
			continue;
		live_add(found, DRIFT_CLASS_LIMITS,
		    arena_format(arena, "limits.%s", worker_limit_name(id)),
		    arena_format(arena, "%s of the process was changed",
		        worker_limit_name(id)),
		    limit_text(arena, soft, hard),
		    limit_text(arena, wanted->soft, wanted->hard));
	}
}

bool
live_compare(struct live *live, struct drift_list *list,
    const struct declared_worker *declared, const struct worker_spec *spec,
    struct running_instance *instance)
{
	struct live_found found = {.live = live,
	    .list = list,
	    .declared = declared,
	    .instance = instance};

	if (!running_is_up(&instance->wire))
		return false;
	if (live->trouble != NULL) {
		drift_unknown(
		    list, "the processes as they are: %s", live->trouble);
		return false;
	}
	const struct live_process *process =
	    live_process_of(live, &instance->wire);
	if (process == NULL) {
		/* Younger than the last look. */
		if (live->asked)
			live_look_at(
			    live, clock_after(clock_ms(), LIVE_SOON_MS));
		return false;
	}
	compare_environment(&found, process, spec);
	compare_id(&found, process->uid, "uid", "runAsUser", spec->uid);
	compare_id(&found, process->gid, "gid", "runAsGroup", spec->gid);
	compare_limits(&found, process, spec);
	/* connections are consumers.c's */
	if (instance->mended_pid != instance->wire.pid)
		instance->mended &= found.kinds | 1U << DRIFT_CLASS_QUEUE;
	return found.repair;
}

/* --- strangers --------------------------------------------------------- */

static bool
was_there(const cJSON *strangers, int64_t pid)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, strangers)
	{
		if (record_i64(item, "pid", -1) == pid)
			return true;
	}
	return false;
}

static void
add_stranger(struct live *live, struct drift_list *list, const cJSON *stranger)
{
	const struct operator_core *op = live->op;
	int64_t pid = record_i64(stranger, "pid", -1);
	const char *name = record_text(stranger, "worker", "");
	const struct declared_worker *like = operator_declared(op, name, NULL);
	const char *command =
	    arena_text(list->arena, record_text(stranger, "command", ""));
	struct place place = {0};

	if (like != NULL)
		place = like->place;
	drift_add(list,
	    &(struct drift){
	        .worker = like == NULL ? "" : like->name,
	        .instances = "",
	        .kind = DRIFT_CLASS_PROCESSES,
	        .policy = like == NULL ? DRIFT_ALERT : like->on_drift.processes,
	        .key = arena_format(list->arena, "pid %" PRId64, pid),
	        .summary =
	            like == NULL
	                ? "a child of the init that belongs to no worker"
	                : "the worker's command runs outside of any supervisor",
	        .observed = command,
	        .expected = like == NULL ? "no such process"
	                                 : "only under the supervisor",
	        .source = arena_format(list->arena, "/proc/%" PRId64, pid),
	        .place = place,
	    });
}

void
live_strangers(struct live *live, struct drift_list *list)
{
	const cJSON *item = NULL;

	if (live->strangers == NULL)
		return;
	if (!live->whole)
		drift_unknown(list, "processes that nobody declared: %s",
		    live->scope == NULL ? "" : live->scope);
	cJSON_ArrayForEach(item, live->strangers)
	{
		if (was_there(live->before, record_i64(item, "pid", -1)))
			add_stranger(live, list, item);
	}
}
