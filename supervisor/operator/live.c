/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

enum {
	LOOK_EVERY_MS = 10 * 1000,
	LOOK_SOON_MS = 1000, /* at something new */
	KILL_MS = 5 * 1000,
	HEX_SIZE = 33,
};

struct live {
	struct operator_core *op;
	struct helper child;
	struct loop_timer timer;
	cJSON *answer; /* the last one; NULL: none */
	cJSON *before; /* the one before that */
	const char *trouble;
	bool asked;
	const cJSON *hint; /* the target that was found last */
};

/* --- asking ------------------------------------------------------------ */

static bool
is_up(const struct running_instance *instance)
{
	return instance->wire.pid > 0 &&
	       (instance->wire.state == INSTANCE_RUNNING ||
	           instance->wire.state == INSTANCE_READY);
}

/* Not what the init adds at each start, nor what a shell between it and the
 * worker sets by itself or doesn't pass on. */
static bool
is_compared(const char *entry)
{
	static const char *const others[] = {"REEVE_", "PORT_",
	    "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "PWD=", "OLDPWD=", "SHLVL=",
	    "_="};
	static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "abcdefghijklmnopqrstuvwxyz_0123456789";

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (text_starts(entry, others[i]))
			return false;
	return entry[strspn(entry, name)] == '=';
}

static void
write_target(struct live *live, struct jsonw *json,
    const struct running_worker *worker,
    const struct running_instance *instance)
{
	const struct worker_spec *spec = history_find(&live->op->history,
	    worker->wire.name, instance->wire.config_digest);

	jsonw_object(json, NULL);
	jsonw_i64(json, "pid", instance->wire.pid);
	jsonw_array(json, "env");
	for (size_t i = 0;
	     spec != NULL && spec->envp != NULL && spec->envp[i] != NULL; i++)
		if (is_compared(spec->envp[i]))
			jsonw_format(json, NULL, "%.*s",
			    (int)strcspn(spec->envp[i], "="), spec->envp[i]);
	jsonw_end(json);
	if (instance->peers_wanted)
		jsonw_bool(json, "peers", true);
	jsonw_end(json);
}

static void
write_commands(const struct operator_core *op, struct jsonw *json)
{
	jsonw_array(json, "commands");
	for (size_t i = 0;
	     op->intent != NULL && i < op->intent->declared->nworkers; i++) {
		const struct declared_worker *worker =
		    &op->intent->declared->workers[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "name", worker->name);
		jsonw_array(json, "command");
		for (size_t k = 0; worker->command[k] != NULL; k++)
			jsonw_text(json, NULL, worker->command[k]);
		jsonw_end(json);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_request(struct live *live, struct buffer *out)
{
	struct operator_core *op = live->op;
	struct jsonw json;
	char hex[HEX_SIZE];

	for (size_t i = 0; i < sizeof(op->key.bytes); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", op->key.bytes[i]);
	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "key", hex);
	jsonw_i64(&json, "init", op->init.hello.init_pid);
	jsonw_array(&json, "known");
	jsonw_i64(&json, NULL, getpid());
	jsonw_i64(&json, NULL, op->running.snapshot.logger_pid);
	jsonw_end(&json);
	jsonw_array(&json, "targets");
	for (size_t i = 0; i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid > 0)
				write_target(
				    live, &json, worker, &worker->instances[k]);
	}
	jsonw_end(&json);
	write_commands(op, &json);
	jsonw_end(&json);
	buffer_text(out, "\n");
	explicit_bzero(hex, sizeof(hex));
}

static void
look_at(struct live *live, int64_t at_ms)
{
	struct err err = ERR_INIT;

	if (live->timer.slot != 0 && live->timer.at_ms <= at_ms)
		return;
	if (loop_timer_set(&live->op->loop, &live->timer, at_ms, &err) == -1)
		log_warning("live", "%s", err.text);
}

static void
look(struct loop_timer *timer, int64_t now_ms)
{
	static const char *const INSPECT[] = {NULL, "inspect", NULL};
	struct live *live = timer->owner;
	struct err err = ERR_INIT;

	look_at(live, clock_after(now_ms, LOOK_EVERY_MS));
	if (helper_runs(&live->child) || !live->op->ready || live->op->draining)
		return;
	buffer_clear(&live->child.in);
	buffer_clear(&live->child.out);
	write_request(live, &live->child.in);
	if (helper_start(&live->child, INSPECT, clock_after(now_ms, KILL_MS),
	        &err) == -1) {
		log_warning("live", "%s", err.text);
		live->trouble = "the look at the processes can't be started";
		live->asked = true;
	}
}

static bool
any_stranger(const cJSON *answer)
{
	return cJSON_GetArraySize(record_array(answer, "strangers")) > 0;
}

static void
answered(struct helper *child, int status, bool killed)
{
	struct live *live = child->owner;
	cJSON *answer = WIFEXITED(status) && WEXITSTATUS(status) == 0
	                    ? record_parse(child->out.data, child->out.len)
	                    : NULL;

	live->asked = true;
	live->hint = NULL;
	record_free(&live->before);
	live->before = live->answer;
	live->answer = answer;
	live->trouble = killed ? "the look at the processes took too long"
	                : answer == NULL ? "the look at the processes failed"
	                                 : NULL;
	/* Who is there twice is no passer-by. */
	if (any_stranger(answer) && !any_stranger(live->before))
		look_at(live, clock_after(clock_ms(), LOOK_SOON_MS));
	operator_wake(live->op, 0);
}

/* --- comparing --------------------------------------------------------- */

static const cJSON *
target_of(struct live *live, int32_t pid)
{
	const cJSON *list = record_array(live->answer, "targets");
	const cJSON *first = list == NULL ? NULL : list->child;
	const cJSON *at = live->hint != NULL && live->hint->next != NULL
	                      ? live->hint->next
	                      : first;

	/* Asked for in the order in which they were told. */
	for (int turn = 0; turn < 2; turn++, at = first)
		for (; at != NULL; at = at->next)
			if (record_i64(at, "pid", -1) == pid) {
				live->hint = at;
				return at;
			}
	return NULL;
}

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
	char hex[HEX_SIZE];
	char text[FINGERPRINT_TEXT_SIZE];

	if (item == NULL)
		return; /* not asked for */
	for (size_t i = 0; i < sizeof(print.bytes); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", print.bytes[i]);
	if (cJSON_IsString(item) && text_equal(item->valuestring, hex))
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
compare_environment(struct live_found *found, const cJSON *target,
    const struct worker_spec *spec)
{
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(target, "env");

	if (!cJSON_IsObject(env)) {
		drift_unknown(found->list,
		    "worker %s: the environment of its process: %s",
		    found->declared->name, record_text(target, "why", "?"));
		return;
	}
	for (size_t i = 0; spec->envp != NULL && spec->envp[i] != NULL; i++)
		if (is_compared(spec->envp[i]))
			compare_variable(found, env, spec->envp[i]);
}

static void
compare_id(struct live_found *found, const cJSON *target, const char *word,
    const char *key, int64_t expected)
{
	struct arena *arena = found->list->arena;
	int64_t has = record_i64(target, word, -1);

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
compare_limits(struct live_found *found, const cJSON *target,
    const struct worker_spec *spec)
{
	struct arena *arena = found->list->arena;
	const cJSON *limits =
	    cJSON_GetObjectItemCaseSensitive(target, "limits");

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

	if (!is_up(instance))
		return false;
	if (live->trouble != NULL) {
		drift_unknown(
		    list, "the processes as they are: %s", live->trouble);
		return false;
	}
	const cJSON *target = target_of(live, instance->wire.pid);
	if (target == NULL) {
		/* Younger than the last look. */
		if (live->asked)
			look_at(live, clock_after(clock_ms(), LOOK_SOON_MS));
		return false;
	}
	compare_environment(&found, target, spec);
	compare_id(&found, target, "uid", "runAsUser", spec->uid);
	compare_id(&found, target, "gid", "runAsGroup", spec->gid);
	compare_limits(&found, target, spec);
	/* connections are consumers.c's */
	if (instance->mended_pid != instance->wire.pid)
		instance->mended &= found.kinds | 1U << DRIFT_CLASS_QUEUE;
	return found.repair;
}

const cJSON *
live_peers(struct live *live, int32_t pid)
{
	return record_array(target_of(live, pid), "peers");
}

/* --- strangers --------------------------------------------------------- */

static bool
was_there(const cJSON *answer, int64_t pid)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, record_array(answer, "strangers"))
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
	        .place = like == NULL ? (struct place){0} : like->place,
	    });
}

void
live_strangers(struct live *live, struct drift_list *list)
{
	const cJSON *item = NULL;

	if (live->answer == NULL)
		return;
	if (!record_true(live->answer, "whole"))
		drift_unknown(list, "processes that nobody declared: %s",
		    record_text(live->answer, "scope", ""));
	cJSON_ArrayForEach(item, record_array(live->answer, "strangers"))
	{
		if (was_there(live->before, record_i64(item, "pid", -1)))
			add_stranger(live, list, item);
	}
}

/* --- life -------------------------------------------------------------- */

bool
live_known(const struct live *live)
{
	return live->asked;
}

struct live *
live_new(struct operator_core *op)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL)
		return NULL;
	live->op = op;
	live->timer = (struct loop_timer){.fire = look, .owner = live};
	helper_init(&live->child, &op->loop, answered, live);
	return live;
}

void
live_begin(struct live *live)
{
	look_at(live, clock_ms());
}

void
live_free(struct live *live)
{
	if (live == NULL)
		return;
	helper_fini(&live->child);
	loop_timer_clear(&live->op->loop, &live->timer);
	record_free(&live->answer);
	record_free(&live->before);
	free(live);
}
