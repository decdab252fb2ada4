/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/specs.h"

enum {
	UNKNOWN_SIZE = 512
};

struct comparison {
	struct drift_list *list;
	const struct fingerprint_key *key;
	const struct declared_worker *worker;
	const char *instances;
	enum drift_policy strongest;
	bool any;
};

static const char *const class_names[DRIFT_CLASSES] = {
    [DRIFT_CLASS_ENV] = "env",
    [DRIFT_CLASS_SECRET] = "secret",
    [DRIFT_CLASS_CONFIG] = "config",
    [DRIFT_CLASS_QUEUE] = "queue",
    [DRIFT_CLASS_EXECUTABLE] = "executable",
    [DRIFT_CLASS_FILES] = "files",
    [DRIFT_CLASS_USER] = "user",
    [DRIFT_CLASS_LIMITS] = "limits",
    [DRIFT_CLASS_PROCESSES] = "processes",
    [DRIFT_CLASS_CONSUMERS] = "consumers",
    [DRIFT_CLASS_REPLICAS] = "replicas",
};

const char *
drift_finding(enum drift_class kind)
{
	return kind == DRIFT_CLASS_QUEUE || kind == DRIFT_CLASS_CONSUMERS
	           ? "RV201"
	       : kind == DRIFT_CLASS_REPLICAS   ? "RV304"
	       : kind == DRIFT_CLASS_EXECUTABLE ? "RV318"
	                                        : "RV121";
}

const char *
drift_class_name(enum drift_class kind)
{
	return class_names[kind];
}

const char *
drift_policy_name(enum drift_policy policy)
{
	switch (policy) {
	case DRIFT_ALERT:
		return "alert";
	case DRIFT_RESTART:
		return "restart";
	case DRIFT_IGNORE:
		return "ignore";
	}
	UNREACHABLE("drift policy");
}

enum drift_policy
drift_policy_of(const struct declared_drift *policies, enum drift_class kind)
{
	switch (kind) {
	case DRIFT_CLASS_ENV:
		return policies->env;
	case DRIFT_CLASS_SECRET:
		return policies->secret;
	case DRIFT_CLASS_CONFIG:
		return policies->config;
	case DRIFT_CLASS_QUEUE:
		return policies->queue;
	case DRIFT_CLASS_EXECUTABLE:
		return policies->executable;
	case DRIFT_CLASS_FILES:
		return policies->files;
	case DRIFT_CLASS_USER:
		return policies->user;
	case DRIFT_CLASS_LIMITS:
		return policies->limits;
	case DRIFT_CLASS_PROCESSES:
		return policies->processes;
	case DRIFT_CLASS_CONSUMERS:
		return policies->consumers;
	case DRIFT_CLASS_REPLICAS:
		return policies->replicas;
	case DRIFT_CLASSES:
		break;
	}
	UNREACHABLE("drift class");
}

bool
drift_is_foreign(enum drift_class kind)
{
	return kind == DRIFT_CLASS_PROCESSES || kind == DRIFT_CLASS_CONSUMERS;
}

bool
drift_concerns(const struct drift *item, const char *index)
{
	size_t len = strlen(index);

	for (const char *at = item->instances; *at != '\0';) {
		size_t word = strcspn(at, ",");
		if (word == len && memcmp(at, index, len) == 0)
			return true;
		at += word;
		at += strspn(at, ", ");
	}
	return false;
}

void
drift_add(struct drift_list *list, const struct drift *item)
{
	if (list->count == DRIFT_MAX) {
		list->cut = true;
		return;
	}
	/* The room doubles: there mostly is little. */
	if ((list->count & (list->count - 1)) == 0) {
		struct drift *more = arena_array(list->arena,
		    MAX(2 * list->count, (size_t)1), sizeof(*more));
		if (list->count > 0)
			memcpy(more, list->items, list->count * sizeof(*more));
		list->items = more;
	}
	list->items[list->count++] = *item;
}

void
drift_unknown(struct drift_list *list, const char *fmt, ...)
{
	char text[UNKNOWN_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (size_t i = 0; i < list->nunknown; i++)
		if (text_equal(list->unknown[i], text))
			return;
	if (list->nunknown < DRIFT_UNKNOWN_MAX)
		list->unknown[list->nunknown++] = arena_text(list->arena, text);
}

static int
rank(enum drift_policy policy)
{
	switch (policy) {
	case DRIFT_IGNORE:
		return 0;
	case DRIFT_ALERT:
		return 1;
	case DRIFT_RESTART:
		return 2;
	}
	UNREACHABLE("drift policy");
}

static void
differs(struct comparison *comparison, struct drift item)
{
	item.worker = comparison->worker->name;
	item.instances = comparison->instances;
	item.policy = drift_policy_of(&comparison->worker->on_drift, item.kind);
	if (item.place.file == NULL)
		item.place = comparison->worker->place;
	if (!comparison->any || rank(item.policy) > rank(comparison->strongest))
		comparison->strongest = item.policy;
	comparison->any = true;
	drift_add(comparison->list, &item);
}

static const char *
print_of(struct comparison *comparison, const char *value)
{
	char text[FINGERPRINT_TEXT_SIZE];

	if (value == NULL)
		return "not set";
	struct fingerprint print =
	    fingerprint_of(comparison->key, value, strlen(value));
	return arena_text(
	    comparison->list->arena, fingerprint_text(&print, text));
}

/* The bytes without the white space at their ends. */
static const char *
trimmed(const char *value, size_t *ret_len)
{
	static const char SPACE[] = " \t\r\n";

	value += strspn(value, SPACE);
	size_t len = strlen(value);

	while (len > 0 && strchr(SPACE, value[len - 1]) != NULL)
		len--;
	*ret_len = len;
	return value;
}

static size_t
without_newlines(const char *value)
{
	size_t len = strlen(value);

	while (len > 0 && (value[len - 1] == '\n' || value[len - 1] == '\r'))
		len--;
	return len;
}

/* What people look for for an hour: values that look the same. */
static const char *
how_they_differ(const char *running, const char *declared)
{
	size_t a_len = without_newlines(running);
	size_t b_len = without_newlines(declared);

	if (a_len == b_len && memcmp(running, declared, a_len) == 0)
		return "same but for a trailing newline";
	const char *a = trimmed(running, &a_len);
	const char *b = trimmed(declared, &b_len);

	if (a_len == b_len && memcmp(a, b, a_len) == 0)
		return ": the same but for white space at the ends";
	if (strcasecmp(running, declared) == 0)
		return ": the same but for upper and lower case";
	return "";
}

static enum drift_class
class_of(const struct declared_worker *worker, const char *name,
    const struct declared_env *entry)
{
	for (size_t i = 0; i < worker->nconsumes; i++)
		if (text_equal(worker->consumes[i].env, name))
			return DRIFT_CLASS_QUEUE;
	if (entry == NULL)
		return DRIFT_CLASS_ENV;
	if (entry->secret)
		return DRIFT_CLASS_SECRET;
	if (entry->source != NULL && text_starts(entry->source, "config "))
		return DRIFT_CLASS_CONFIG;
	return DRIFT_CLASS_ENV;
}

static void
compare_variable(struct comparison *comparison, const char *name,
    const char *running, const char *declared)
{
	struct arena *arena = comparison->list->arena;
	const struct declared_env *entry =
	    declared_env_find(&comparison->worker->env, name);

	if (text_equal(running, declared))
		return;
	struct drift item = {
	    .kind = class_of(comparison->worker, name, entry),
	    .key = arena_text(arena, name),
	    .observed = print_of(comparison, running),
	    .expected = print_of(comparison, declared),
	    .source = entry == NULL ? "" : entry->source,
	};

	if (entry != NULL)
		item.place = entry->place;
	if (running == NULL)
		item.summary = arena_format(
		    arena, "%s is declared, but not in what runs", name);
	else if (declared == NULL)
		item.summary = arena_format(
		    arena, "%s is in what runs, but not declared", name);
	else
		item.summary = arena_format(arena,
		    "what runs has another %s than declared%s", name,
		    how_they_differ(running, declared));
	differs(comparison, item);
}

static const char *
name_of(struct arena *arena, const char *entry)
{
	return arena_bytes(arena, entry, strcspn(entry, "="));
}

static void
compare_environment(struct comparison *comparison, const char *const *running,
    const char *const *declared)
{
	struct arena *arena = comparison->list->arena;

	for (size_t i = 0; declared != NULL && declared[i] != NULL; i++) {
		const char *name = name_of(arena, declared[i]);
		compare_variable(comparison, name, specs_env(running, name),
		    specs_env(declared, name));
	}
	for (size_t i = 0; running != NULL && running[i] != NULL; i++) {
		const char *name = name_of(arena, running[i]);
		if (specs_env(declared, name) == NULL)
			compare_variable(
			    comparison, name, specs_env(running, name), NULL);
	}
}

static bool
lists_equal(const char *const *a, const char *const *b)
{
	static const char *const none[] = {NULL};
	size_t i = 0;

	a = a == NULL ? none : a;
	b = b == NULL ? none : b;

	for (; a[i] != NULL && b[i] != NULL; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return a[i] == NULL && b[i] == NULL;
}

static void
compare_numbers(struct comparison *comparison, const char *name,
    int64_t running, int64_t declared)
{
	struct arena *arena = comparison->list->arena;

	if (running == declared)
		return;
	differs(comparison,
	    (struct drift){
	        .kind = DRIFT_CLASS_CONFIG,
	        .key = name,
	        .observed = arena_format(arena, "%" PRId64, running),
	        .expected = arena_format(arena, "%" PRId64, declared),
	        .summary =
	            arena_format(arena, "%s changed in the manifest", name),
	        .source = "",
	    });
}

static bool
ports_equal(const struct worker_spec *a, const struct worker_spec *b)
{
	if (a->nports != b->nports)
		return false;
	for (uint32_t i = 0; i < a->nports; i++)
		if (a->ports[i].base != b->ports[i].base ||
		    !text_equal(a->ports[i].name, b->ports[i].name))
			return false;
	return true;
}

static bool
groups_equal(const struct worker_spec *a, const struct worker_spec *b)
{
	return a->ngroups == b->ngroups &&
	       (a->ngroups == 0 || memcmp(a->groups, b->groups,
	                               a->ngroups * sizeof(*a->groups)) == 0);
}

/* What a plan carried is "" where nothing was declared. */
static bool
same_or_unset(const char *a, const char *b)
{
	return text_equal(a == NULL ? "" : a, b == NULL ? "" : b);
}

static bool
probes_equal(const struct probe_spec *a, const struct probe_spec *b)
{
	return a->kind == b->kind && lists_equal(a->argv, b->argv) &&
	       same_or_unset(a->host, b->host) &&
	       same_or_unset(a->path, b->path) &&
	       lists_equal(a->headers, b->headers) && a->port == b->port &&
	       a->port_per_replica == b->port_per_replica &&
	       a->initial_delay_ms == b->initial_delay_ms &&
	       a->period_ms == b->period_ms && a->timeout_ms == b->timeout_ms &&
	       a->success_threshold == b->success_threshold &&
	       a->failure_threshold == b->failure_threshold;
}

static void
changed(struct comparison *comparison, const char *key, const char *observed,
    const char *expected)
{
	differs(comparison, (struct drift){
	                        .kind = DRIFT_CLASS_CONFIG,
	                        .key = key,
	                        .observed = observed,
	                        .expected = expected,
	                        .summary = arena_format(comparison->list->arena,
	                            "%s changed in the manifest", key),
	                        .source = "",
	                    });
}

static void
compare_probe(struct comparison *comparison, const char *key,
    const struct probe_spec *running, const struct probe_spec *declared)
{
	if (!probes_equal(running, declared))
		changed(comparison, key,
		    running->kind == PROBE_NONE ? "without one"
		                                : "with another one",
		    declared->kind == PROBE_NONE ? "none" : "this one");
}

static const char *
notify_word(enum notify_ready ready)
{
	switch (ready) {
	case NOTIFY_ABSENT:
		return "no notify";
	case NOTIFY_MESSAGE:
		return "message";
	case NOTIFY_NEWLINE:
		return "fd";
	case NOTIFY_NONE:
		return "none";
	}
	UNREACHABLE("notify");
}

static bool
limits_equal(const struct worker_process *a, const struct worker_process *b,
    enum worker_limit_id id)
{
	return (a->limited >> id & 1) == (b->limited >> id & 1) &&
	       a->limits[id].soft == b->limits[id].soft &&
	       a->limits[id].hard == b->limits[id].hard;
}

static void
compare_process(struct comparison *comparison, const struct worker_process *a,
    const struct worker_process *b)
{
	struct arena *arena = comparison->list->arena;
	uint32_t only_one = a->declared ^ b->declared;
	const struct {
		const char *key;
		bool same;
	} rows[] = {
	    {"nice", (only_one & PROCESS_NICE) == 0 && a->nice == b->nice},
	    {"scheduling", (only_one & PROCESS_SCHEDULING) == 0 &&
	                       a->scheduling == b->scheduling},
	    {"ioPriority", (only_one & PROCESS_IO) == 0 &&
	                       a->io_class == b->io_class &&
	                       a->io_level == b->io_level},
	    {"oomScoreAdj", (only_one & PROCESS_OOM) == 0 &&
	                        a->oom_score_adj == b->oom_score_adj},
	    {"cpus", (only_one & PROCESS_CPUS) == 0 &&
	                 memcmp(a->cpus, b->cpus, sizeof(a->cpus)) == 0},
	    {"securityContext.capabilities",
	        (only_one & PROCESS_CAPABILITIES) == 0 &&
	            a->cap_add == b->cap_add && a->cap_drop == b->cap_drop},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!rows[i].same)
			changed(comparison, rows[i].key, "another", "this one");
	for (enum worker_limit_id id = 0; id < WORKER_LIMITS; id++)
		if (!limits_equal(a, b, id))
			changed(comparison,
			    arena_format(
			        arena, "limits.%s", worker_limit_name(id)),
			    "another", "this one");
}

static void
compare_rest(struct comparison *comparison, const struct worker_spec *running,
    const struct worker_spec *declared)
{
	/* Arguments may hold what should not be shown. */
	if (!lists_equal(running->argv, declared->argv))
		changed(comparison, "command", "other arguments", "these");
	else if (!text_equal(running->executable, declared->executable))
		changed(comparison, "command", running->executable,
		    declared->executable);
	if (!text_equal(running->cwd, declared->cwd))
		changed(comparison, "workingDir",
		    running->cwd == NULL ? "/" : running->cwd,
		    declared->cwd == NULL ? "/" : declared->cwd);
	compare_numbers(comparison, "runAsUser", running->uid, declared->uid);
	compare_numbers(comparison, "runAsGroup", running->gid, declared->gid);
	if (running->umask != declared->umask)
		changed(comparison, "umask", "another", "this one");
	if (running->no_new_privs != declared->no_new_privs)
		changed(comparison, "allowPrivilegeEscalation",
		    running->no_new_privs ? "false" : "true",
		    declared->no_new_privs ? "false" : "true");
	compare_process(comparison, &running->process, &declared->process);
	if (!groups_equal(running, declared))
		changed(comparison, "groups", "with others", "these");
	if (!ports_equal(running, declared))
		changed(comparison, "ports", "with others", "these");
	compare_probe(
	    comparison, "startupProbe", &running->startup, &declared->startup);
	compare_probe(comparison, "readinessProbe", &running->readiness,
	    &declared->readiness);
	compare_probe(comparison, "livenessProbe", &running->liveness,
	    &declared->liveness);
	if (running->notify.ready != declared->notify.ready)
		changed(comparison, "notify.ready",
		    notify_word(running->notify.ready),
		    notify_word(declared->notify.ready));
	compare_numbers(
	    comparison, "notify.fd", running->notify.fd, declared->notify.fd);
	compare_numbers(comparison, "notify.watchdog",
	    running->notify.watchdog_ms, declared->notify.watchdog_ms);
	compare_probe(comparison, "lifecycle.preStop", &running->pre_stop,
	    &declared->pre_stop);
	compare_numbers(comparison, "resources.limits.memory",
	    (int64_t)running->memory_limit_bytes,
	    (int64_t)declared->memory_limit_bytes);
	compare_numbers(comparison, "resources.limits.cpu",
	    running->cpu_limit_milli, declared->cpu_limit_milli);
	compare_numbers(comparison, "resources.limits.pids",
	    running->pids_limit, declared->pids_limit);
}

enum drift_policy
drift_compare(struct drift_list *list, const struct fingerprint_key *key,
    const struct declared_worker *worker, const struct worker_spec *declared,
    const struct worker_spec *running, const char *instances)
{
	struct comparison comparison = {
	    .list = list,
	    .key = key,
	    .worker = worker,
	    .instances = instances,
	    .strongest = DRIFT_IGNORE,
	};

	if (running != NULL) {
		compare_environment(&comparison, running->envp, declared->envp);
		compare_rest(&comparison, running, declared);
	}
	if (!comparison.any)
		differs(&comparison,
		    (struct drift){
		        .kind = DRIFT_CLASS_ENV,
		        .key = "configuration",
		        .observed = "another configuration",
		        .expected = "declared",
		        .summary = "started with another configuration than "
		                   "declared; it is no longer known in what "
		                   "it differs",
		        .source = "",
		    });
	return comparison.strongest;
}
