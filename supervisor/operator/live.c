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
#include "probes/inspect.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

enum {
	LOOK_EVERY_MS = 10 * 1000,
	LOOK_SOON_MS = 1000, /* at something new */
	/* Looked at in their turn at once: of more than these, each is seen
	 * less often. */
	BATCH_MAX = 500,
	KILL_MS = 5 * 1000,
	HEX_SIZE = 33,
};

/* One process as it was when it was looked at. */
struct process {
	int32_t pid;
	int64_t started_wall_ms;  /* with the pid: which process */
	int64_t uid, gid;         /* -1: unknown */
	struct fingerprint print; /* of its environment */
	char *why;     /* its environment can't be read; NULL: it was */
	cJSON *detail; /* "env", "limits", "peers", where asked for; or NULL */
	bool differs;  /* its environment does */
};

struct live {
	struct operator_core *op;
	struct helper child;
	struct loop_timer timer;
	struct process *seen; /* ascending pids */
	size_t nseen;
	cJSON *strangers, *before; /* of the last answer, and the one before */
	char *scope;
	const char *trouble;
	bool asked, whole;
	size_t cursor; /* instance at which the next look begins */
};

/* --- what was seen ----------------------------------------------------- */

static void
process_forget(struct process *process)
{
	free(process->why);
	record_free(&process->detail);
	*process = (struct process){0};
}

static int
by_pid(const void *a, const void *b)
{
	const struct process *x = a;
	const struct process *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct process *
seen_pid(const struct live *live, int32_t pid)
{
	const struct process wanted = {.pid = pid};

	return live->nseen == 0 ? NULL
	                        : bsearch(&wanted, live->seen, live->nseen,
	                              sizeof(wanted), by_pid);
}

static struct process *
seen_of(const struct live *live, const struct wire_instance *wire)
{
	struct process *process = seen_pid(live, wire->pid);

	return process != NULL &&
	               process->started_wall_ms == wire->started_wall_ms
	           ? process
	           : NULL;
}

static void
forget_seen(struct live *live)
{
	for (size_t i = 0; i < live->nseen; i++)
		process_forget(&live->seen[i]);
	free(live->seen);
	live->seen = NULL;
	live->nseen = 0;
}

/* --- asking ------------------------------------------------------------ */

static bool
is_up(const struct running_instance *instance)
{
	return instance->wire.pid > 0 &&
	       (instance->wire.state == INSTANCE_RUNNING ||
	           instance->wire.state == INSTANCE_READY);
}

/* Calls `each` for every process of a worker; returns how many. */
typedef void each_fn(struct live *live, const struct running_instance *instance,
    size_t at, void *arg);
static size_t
each_process(struct live *live, each_fn *each, void *arg)
{
	const struct running *running = &live->op->running;
	size_t at = 0;

	for (size_t i = 0; i < running->count; i++) {
		const struct running_worker *worker = &running->workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid > 0)
				each(live, &worker->instances[k], at++, arg);
	}
	return at;
}

static void
write_pid(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	(void)live;
	(void)at;
	jsonw_i64(arg, NULL, instance->wire.pid);
}

struct picking {
	struct jsonw *json;
	size_t first, last, all; /* the part that has its turn */
	size_t extra;            /* others that may be added */
};

/* Those whose turn it is, and those that can't wait: never seen, or known to
 * differ. */
static void
write_target(struct live *live, const struct running_instance *instance,
    size_t at, void *arg)
{
	const struct wire_instance *wire = &instance->wire;
	struct picking *picking = arg;
	struct jsonw *json = picking->json;
	const struct process *seen = seen_of(live, wire);
	bool turn = (at + picking->all - picking->first) % picking->all <
	            picking->last - picking->first;

	if (!turn && (seen == NULL || seen->differs) && picking->extra > 0) {
		picking->extra--;
		turn = true;
	}
	if (!turn)
		return;
	struct worker_spec spec;
	bool known = history_find(
	    &live->op->history, wire->name, wire->config_digest, &spec);

	jsonw_object(json, NULL);
	jsonw_i64(json, "pid", wire->pid);
	if (known && spec.process.limited != 0)
		jsonw_bool(json, "limits", true);
	if (instance->peers_wanted)
		jsonw_bool(json, "peers", true);
	if (known && seen != NULL && seen->differs) {
		jsonw_array(json, "env");
		for (size_t i = 0; spec.envp != NULL && spec.envp[i] != NULL;
		     i++)
			if (inspect_compares(spec.envp[i]))
				jsonw_format(json, NULL, "%.*s",
				    (int)strcspn(spec.envp[i], "="),
				    spec.envp[i]);
		jsonw_end(json);
	}
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
	jsonw_array(&json, "workers");
	struct picking picking = {
	    .json = &json,
	    .all = each_process(live, write_pid, &json),
	    .extra = BATCH_MAX,
	};
	jsonw_end(&json);
	jsonw_array(&json, "targets");
	if (picking.all > 0) {
		picking.first = live->cursor % picking.all;
		picking.last =
		    picking.first + MIN(picking.all, (size_t)BATCH_MAX);
		(void)each_process(live, write_target, &picking);
		live->cursor = picking.last % picking.all;
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

	look_at(live, clock_beat(now_ms, LOOK_EVERY_MS));
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
unhex(const char *text, struct fingerprint *ret)
{
	if (text == NULL || strlen(text) != HEX_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(ret->bytes); i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], '\0'};
		ret->bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

/* Everything that an answer says, in the order of the pids. */
struct learning {
	cJSON **answers; /* ascending pids */
	size_t count;
	struct process *now;
	size_t nnow;
	bool ask_more; /* which variables of it differ isn't known yet */
	bool news;     /* something isn't as it was at the last look */
};

static int
by_answer(const void *a, const void *b)
{
	cJSON *const *x = a;
	cJSON *const *y = b;
	int64_t one = record_i64(*x, "pid", 0);
	int64_t two = record_i64(*y, "pid", 0);

	return one < two ? -1 : one > two;
}

static int
is_answer(const void *pid, const void *answer)
{
	const int64_t *wanted = pid;
	cJSON *const *one = answer;
	int64_t has = record_i64(*one, "pid", 0);

	return *wanted < has ? -1 : *wanted > has;
}

static void
learn_new(struct live *live, const struct wire_instance *wire, cJSON *answer,
    struct learning *learning, struct process *ret)
{
	const struct fingerprint *expected = history_print(&live->op->history,
	    &live->op->key, wire->name, wire->config_digest);
	const char *why = record_text(answer, "why", "");

	ret->pid = wire->pid;
	ret->started_wall_ms = wire->started_wall_ms;
	ret->uid = record_i64(answer, "uid", -1);
	ret->gid = record_i64(answer, "gid", -1);
	if (!unhex(record_text(answer, "print", NULL), &ret->print))
		ret->why = strdup(*why == '\0' ? "?" : why);
	ret->differs = ret->why == NULL && expected != NULL &&
	               !fingerprint_equal(&ret->print, expected);
	if (ret->differs &&
	    cJSON_GetObjectItemCaseSensitive(answer, "env") == NULL)
		learning->ask_more = true;
	if (cJSON_GetObjectItemCaseSensitive(answer, "env") != NULL ||
	    cJSON_GetObjectItemCaseSensitive(answer, "limits") != NULL ||
	    cJSON_GetObjectItemCaseSensitive(answer, "peers") != NULL)
		ret->detail = cJSON_Duplicate(answer, 1);
}

static bool
same_process(const struct process *a, const struct process *b)
{
	return a->uid == b->uid && a->gid == b->gid &&
	       a->differs == b->differs && text_equal(a->why, b->why) &&
	       fingerprint_equal(&a->print, &b->print) &&
	       (a->detail == NULL
	               ? b->detail == NULL
	               : cJSON_Compare(a->detail, b->detail, true) != 0);
}

static void
learn_one(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	const struct wire_instance *wire = &instance->wire;
	struct learning *learning = arg;
	struct process *old = seen_of(live, wire);
	int64_t pid = wire->pid;
	cJSON **answer = learning->count == 0
	                     ? NULL
	                     : bsearch(&pid, learning->answers, learning->count,
	                           sizeof(cJSON *), is_answer);

	(void)at;
	if (answer != NULL) {
		struct process *now = &learning->now[learning->nnow++];
		learn_new(live, wire, *answer, learning, now);
		learning->news |= old == NULL || !same_process(old, now);
	} else if (old != NULL) {
		learning->now[learning->nnow++] = *old;
		*old = (struct process){.pid = old->pid};
	}
}

static void
count_one(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	size_t *count = arg;

	(void)live;
	(void)instance;
	*count = at + 1;
}

/* Returns whether there is any news; `ret_more`: another look is wanted at
 * once. */
static bool
learn(struct live *live, cJSON *answer, bool *ret_more)
{
	const cJSON *list = record_array(answer, "targets");
	struct learning learning = {.count = 0};
	cJSON *item = NULL;
	size_t count = 0;

	(void)each_process(live, count_one, &count);
	learning.now = calloc(count + 1, sizeof(*learning.now));
	learning.answers =
	    calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(cJSON *));
	*ret_more = false;
	if (learning.now == NULL || learning.answers == NULL) {
		free(learning.now);
		free(learning.answers);
		return true;
	}
	cJSON_ArrayForEach(item, list) learning.answers[learning.count++] =
	    item;
	qsort(learning.answers, learning.count, sizeof(cJSON *), by_answer);
	(void)each_process(live, learn_one, &learning);
	qsort(learning.now, learning.nnow, sizeof(*learning.now), by_pid);
	forget_seen(live);
	live->seen = learning.now;
	live->nseen = learning.nnow;
	free(learning.answers);
	*ret_more = learning.ask_more;
	return learning.news;
}

static bool
any(const cJSON *strangers)
{
	return cJSON_GetArraySize(strangers) > 0;
}

static void
answered(struct helper *child, int status, bool killed)
{
	struct live *live = child->owner;
	CLEANUP(record_free)
	cJSON *answer = WIFEXITED(status) && WEXITSTATUS(status) == 0
	                    ? record_parse(child->out.data, child->out.len)
	                    : NULL;

	bool news = !live->asked || answer == NULL || live->trouble != NULL ||
	            any(live->strangers);
	bool more = false;

	live->asked = true;
	record_free(&live->before);
	live->before = live->strangers;
	live->strangers =
	    cJSON_DetachItemFromObjectCaseSensitive(answer, "strangers");
	news = news || live->whole != record_true(answer, "whole");
	live->whole = record_true(answer, "whole");
	free(live->scope);
	live->scope = strdup(record_text(answer, "scope", ""));
	live->trouble = killed ? "the look at the processes took too long"
	                : answer == NULL ? "the look at the processes failed"
	                                 : NULL;
	if (answer != NULL && learn(live, answer, &more))
		news = true;

	buffer_wipe(&child->in);
	buffer_wipe(&child->out);
	/* Who is there twice is no passer-by. */
	if (more)
		look_at(live, clock_ms());
	else if (any(live->strangers) && !any(live->before))
		look_at(live, clock_after(clock_ms(), LOOK_SOON_MS));
	if (news || any(live->strangers))
		operator_wake(live->op, 0);
}

/* --- comparing --------------------------------------------------------- */

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
compare_environment(struct live_found *found, const struct process *process,
    const struct worker_spec *spec)
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
compare_limits(struct live_found *found, const struct process *process,
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

	if (!is_up(instance))
		return false;
	if (live->trouble != NULL) {
		drift_unknown(
		    list, "the processes as they are: %s", live->trouble);
		return false;
	}
	const struct process *process = seen_of(live, &instance->wire);
	if (process == NULL) {
		/* Younger than the last look. */
		if (live->asked)
			look_at(live, clock_after(clock_ms(), LOOK_SOON_MS));
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

const cJSON *
live_peers(struct live *live, int32_t pid)
{
	const struct process *process = seen_pid(live, pid);

	return process == NULL ? NULL : record_array(process->detail, "peers");
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
	live->child.part = HELPER_PROCESSES;
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
	forget_seen(live);
	record_free(&live->strangers);
	record_free(&live->before);
	free(live->scope);
	free(live);
}
