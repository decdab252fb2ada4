/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "manifests/cron.h"
#include "supervisor/operator/settings.h"
#include "supervisor/operator/specs.h"
#include "supervisor/operator/texts.h"
#include "supervisor/wire/plan_encode.h"

enum {
	BUDGET_LEAST_MS = 10 * 1000,
	BUDGET_DEFAULT_MS = 30 * 1000,
	SETTLE_MS = 2000,
	DIGEST_BYTES_MAX = 256 << 20,
	ENVIRONMENT_BYTES_MAX = 512 << 20, /* as much as the whole intent */
};

/* What execvp uses where PATH is not set, and what images usually have. */
static const char DEFAULT_PATH[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const char *
specs_env(const char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp != NULL && *envp != NULL; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

const struct declared_env *
specs_gap(const struct declared_worker *worker)
{
	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *entry = worker->env.entries[i];
		if (!entry->shadowed && entry->value == NULL)
			return entry;
	}
	return NULL;
}

static bool
executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

/* As the worker itself would find it: by its own PATH, from its own directory.
 */
static const char *
resolve(struct arena *arena, const struct worker_spec *spec)
{
	const char *name = spec->argv[0];
	const char *cwd = spec->cwd == NULL ? "/" : spec->cwd;
	const char *first = NULL;

	if (name[0] == '/')
		return name;
	if (strchr(name, '/') != NULL)
		return arena_format(arena, "%s/%s", cwd, name);
	const char *path = specs_env(spec->envp, "PATH");

	if (path == NULL || *path == '\0')
		path = DEFAULT_PATH;
	for (const char *at = path; *at != '\0';) {
		size_t len = strcspn(at, ":");
		const char *dir = arena_bytes(arena, at, len);
		const char *try =
		    *dir == '/'
		        ? arena_format(arena, "%s/%s", dir, name)
		        : arena_format(arena, "%s/%s/%s", cwd, dir, name);
		if (executable(try))
			return try;
		if (first == NULL)
			first = try;
		at += len;
		at += *at == ':' ? 1 : 0;
	}
	return first != NULL ? first : arena_format(arena, "/%s", name);
}

/* Values that are absent are left out; that they are is told elsewhere. Where
 * nothing sets the variable that carries a queue's name, we do (decisions.md
 * 8). */
static const char *const *
environment(struct texts *texts, const struct declared_worker *worker)
{
	size_t room = worker->env.count + worker->nconsumes + 1;
	const char **envp = arena_array(texts->arena, room, sizeof(*envp));
	size_t count = 0;
	struct arena whole; /* each "NAME=value", equal to another's or not */

	arena_init(&whole, ENVIRONMENT_BYTES_MAX);
	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *entry = worker->env.entries[i];
		if (entry->shadowed || entry->value == NULL)
			continue;
		envp[count++] = texts_once(texts,
		    arena_format(&whole, "%s=%s", entry->name, entry->value));
	}
	for (size_t i = 0; i < worker->nconsumes; i++) {
		const struct declared_binding *binding = &worker->consumes[i];
		if (binding->env == NULL || binding->queue == NULL ||
		    binding->queue->real_name == NULL ||
		    declared_env_find(&worker->env, binding->env) != NULL ||
		    specs_env(envp, binding->env) != NULL)
			continue;
		envp[count++] = texts_once(
		    texts, arena_format(&whole, "%s=%s", binding->env,
		               binding->queue->real_name));
	}
	arena_wipe(&whole);
	return envp;
}

static uint32_t
bounded(int64_t value, int64_t max)
{
	return (uint32_t)MAX(MIN(value, max), (int64_t)0);
}

static struct probe_spec
probe(const struct declared_worker *worker, const struct declared_probe *from)
{
	struct probe_spec to = {
	    .argv = from->command,
	    .host = from->host,
	    .path = from->path,
	    .headers = from->headers,
	    .port = bounded(from->port, UINT16_MAX),
	    .initial_delay_ms = from->initial_delay_ms,
	    .period_ms = from->period_ms,
	    .timeout_ms = from->timeout_ms,
	    .success_threshold = bounded(from->success_threshold, INT32_MAX),
	    .failure_threshold = bounded(from->failure_threshold, INT32_MAX),
	};

	switch (from->kind) {
	case DECLARED_PROBE_NONE:
		return (struct probe_spec){.kind = PROBE_NONE};
	case DECLARED_PROBE_EXEC:
		to.kind = PROBE_EXEC;
		break;
	case DECLARED_PROBE_HTTP:
		to.kind = PROBE_HTTP;
		break;
	case DECLARED_PROBE_TCP:
		to.kind = PROBE_TCP;
		break;
	}
	for (size_t i = 0; i < worker->nports; i++) {
		if (!text_equal(worker->ports[i].name, from->port_name))
			continue;
		to.port = bounded(worker->ports[i].base, UINT16_MAX);
		to.port_per_replica = true;
	}
	return to;
}

static void
ports(struct arena *arena, const struct declared_worker *worker,
    struct worker_spec *spec)
{
	struct worker_port *list =
	    arena_array(arena, worker->nports + 1, sizeof(*list));

	for (size_t i = 0; i < worker->nports; i++)
		list[i] = (struct worker_port){
		    .name = worker->ports[i].name,
		    .base = bounded(worker->ports[i].base, UINT16_MAX),
		};
	spec->ports = list;
	spec->nports = (uint32_t)worker->nports;
}

static enum worker_restart
restart_policy(enum declared_restart policy)
{
	switch (policy) {
	case DECLARED_ALWAYS:
		return RESTART_ALWAYS;
	case DECLARED_ON_FAILURE:
		return RESTART_ON_FAILURE;
	case DECLARED_NEVER:
		return RESTART_NEVER;
	}
	UNREACHABLE("restart policy");
}

static enum notify_ready
notify_ready(enum declared_notify notify)
{
	switch (notify) {
	case DECLARED_NOTIFY_ABSENT:
		return NOTIFY_ABSENT;
	case DECLARED_NOTIFY_MESSAGE:
		return NOTIFY_MESSAGE;
	case DECLARED_NOTIFY_NEWLINE:
		return NOTIFY_NEWLINE;
	case DECLARED_NOTIFY_NONE:
		return NOTIFY_NONE;
	}
	UNREACHABLE("notify");
}

static uint32_t
condition(enum declared_condition declared)
{
	switch (declared) {
	case DECLARED_STARTED:
		return CONDITION_STARTED;
	case DECLARED_READY:
		return CONDITION_READY;
	case DECLARED_COMPLETED:
		return CONDITION_COMPLETED;
	}
	UNREACHABLE("a condition");
}

/* Init workers wait for the one before, all others for the last of them. */
static void
dependencies(struct arena *arena, const struct declared *declared,
    const struct declared_worker *from, struct worker_spec *to)
{
	struct worker_dependency *list =
	    arena_array(arena, from->ndependencies + 2, sizeof(*list));
	const struct declared_worker *before = NULL;
	size_t n = 0;

	for (size_t i = 0; i < declared->nworkers; i++)
		if (&declared->workers[i] < from && declared->workers[i].init)
			before = &declared->workers[i];
	if (before != NULL)
		list[n++] = (struct worker_dependency){
		    before->name, CONDITION_COMPLETED};
	for (size_t i = 0; i < from->ndependencies; i++)
		list[n++] =
		    (struct worker_dependency){from->dependencies[i].worker,
		        condition(from->dependencies[i].condition)};
	to->dependencies = list;
	to->ndependencies = (uint32_t)n;
}

/* Tried once; what it may take is the grace, which the init watches over. */
static struct probe_spec
hook(const struct declared_worker *from)
{
	struct probe_spec to = probe(from, &from->pre_stop);

	to.initial_delay_ms = 0;
	to.timeout_ms = to.period_ms = MAX(from->grace_ms, (int64_t)1);
	return to;
}

static uint32_t
word_index(const char *word, const char *const *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (text_equal(word, words[i]))
			return i;
	return 0;
}

static uint32_t
logs_format(const char *word)
{
	static const char *const formats[] = {
	    [LOGS_NONE] = "none",
	    [LOGS_PLAIN] = "plain",
	    [LOGS_PREFIX] = "prefix",
	    [LOGS_JSON] = "json",
	};

	return word_index(word, formats, ARRAY_LEN(formats));
}

static struct worker_logs
logs(const struct declared_logs *from)
{
	static const char *const whens[] = {
	    [LOGS_DROP_NEW] = "dropNew",
	    [LOGS_DROP_OLDEST] = "dropOldest",
	    [LOGS_BLOCK] = "block",
	};

	return (struct worker_logs){
	    .format = logs_format(from->format),
	    .when_blocked =
	        word_index(from->when_blocked, whens, ARRAY_LEN(whens)),
	    .keep_lines = bounded(from->keep_lines, LOGS_KEEP_MAX),
	    .rate_lines = bounded(from->rate_lines, LOGS_RATE_LINES_MAX),
	    .rate_bytes = (uint64_t)MIN(from->rate_bytes, LOGS_RATE_BYTES_MAX),
	    .burst_ms = MIN(from->burst_ms, (int64_t)LOGS_BURST_MAX_MS),
	};
}

static enum worker_concurrency
concurrency(enum declared_concurrency declared)
{
	switch (declared) {
	case DECLARED_ALLOW:
		return CONCURRENCY_ALLOW;
	case DECLARED_FORBID:
		return CONCURRENCY_FORBID;
	case DECLARED_REPLACE:
		return CONCURRENCY_REPLACE;
	}
	UNREACHABLE("a policy");
}

/* The zone's offsets go along: the init has no time zone data. */
static int
schedule(struct arena *arena, const struct declared_worker *worker,
    struct worker_schedule *ret, struct err *err)
{
	const struct declared_schedule *from = &worker->schedule;
	struct worker_schedule to = {.text = from->text,
	    .zone_name = from->zone,
	    .rule = from->rule,
	    .concurrency = concurrency(from->concurrency),
	    .starting_deadline_s = from->starting_deadline_s,
	    .suspended = from->suspended};

	if (from->text != NULL &&
	    cron_zone(
	        arena, from->zone, clock_wall_ms() / 1000, &to.zone, err) == -1)
		return err_wrap(err, "worker '%s'", worker->name);
	*ret = to;
	return 0;
}

static int
worker(struct texts *texts, const struct declared *declared,
    const struct declared_worker *from, const struct fingerprint_key *key,
    struct worker_spec *ret, struct err *err)
{
	struct arena *arena = texts->arena;
	struct worker_spec to = {
	    .name = from->name,
	    .argv = from->command,
	    .cwd = from->working_dir,
	    .replicas = bounded(from->replicas, WORKER_REPLICAS_MAX),
	    .restart = restart_policy(from->restart),
	    .backoff_first_ms = from->backoff_first_ms,
	    .backoff_cap_ms = from->backoff_cap_ms,
	    .start_limit = {.count =
	                        bounded(from->start_limit_count, INT32_MAX),
	        .window_ms = from->start_limit_window_ms},
	    .notify = {.ready = notify_ready(from->notify),
	        .fd = bounded(from->notify_fd, UINT8_MAX),
	        .watchdog_ms = from->watchdog_ms},
	    .failures_max = from->backoff_limit < 0
	                        ? 0
	                        : bounded(from->backoff_limit + 1, INT32_MAX),
	    .deadline_ms = from->deadline_ms,
	    .init = from->init,
	    .pre_stop = hook(from),
	    .grace_ms = from->grace_ms,
	    .drain_signal = SIGTERM,
	    .readiness = probe(from, &from->readiness),
	    .liveness = probe(from, &from->liveness),
	    .startup = probe(from, &from->startup),
	    .memory_limit_bytes = from->memory_limit_bytes > 0
	                              ? (uint64_t)from->memory_limit_bytes
	                              : 0,
	    .cpu_limit_milli = bounded(from->cpu_limit_milli, INT32_MAX),
	    .pids_limit = bounded(from->pids_limit, INT32_MAX),
	    .generation = 1,
	    .logs = logs(&from->logs),
	};

	to.envp = environment(texts, from);
	to.executable = resolve(arena, &to);
	if (settings_make(arena, from, &to, err) == -1 ||
	    schedule(arena, from, &to.schedule, err) == -1)
		return -1;
	ports(arena, from, &to);
	dependencies(arena, declared, from, &to);
	specs_digest(key, &to, arena, to.config_digest);
	*ret = to;
	return 0;
}

static int
settings(
    const struct declared *declared, struct plan_settings *ret, struct err *err)
{
	static const char *const second_terms[] = {
	    [SECOND_TERM_IGNORE] = "ignore",
	    [SECOND_TERM_HASTEN] = "hasten",
	    [SECOND_TERM_KILL] = "kill",
	};
	static const char *const exit_codes[] = {
	    [EXIT_CODE_WORST] = "worst",
	    [EXIT_CODE_FIRST] = "first",
	    [EXIT_CODE_FIXED] = "fixed",
	};
	const struct declared_supervisor *from = &declared->supervisor;

	plan_settings_default(ret);
	ret->name = declared->name;
	ret->grace_ms = from->grace_ms;
	ret->exit_on_term = (int32_t)from->exit_on_term;
	ret->second_term = word_index(
	    from->second_term, second_terms, ARRAY_LEN(second_terms));
	ret->exit_code =
	    word_index(from->exit_code, exit_codes, ARRAY_LEN(exit_codes));
	ret->logs = logs_format(from->logs.format);
	if (from->liveness_port > 0)
		ret->liveness_port = bounded(from->liveness_port, UINT16_MAX);
	if (from->control_group != NULL) {
		const struct group *group = getgrnam(from->control_group);
		if (group == NULL)
			return err_set(err, ERR_INPUT,
			    "supervisor.control.group '%s' doesn't exist",
			    from->control_group);
		ret->control_gid = (int64_t)group->gr_gid;
	}
	for (size_t i = 0; i < sizeof(ret->manifest_digest); i++) {
		char byte[3] = {
		    declared->digest[2 * i], declared->digest[2 * i + 1], '\0'};
		ret->manifest_digest[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

int
specs_make(const struct declared *declared, const struct fingerprint_key *key,
    struct arena *arena, struct specs *ret, struct err *err)
{
	struct specs made = {.count = declared->nworkers};

	if (settings(declared, &made.settings, err) == -1)
		return -1;
	made.specs = arena_array(arena, made.count + 1, sizeof(*made.specs));
	struct texts texts = {.arena = arena};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < made.count; i++)
		rc = worker(&texts, declared, &declared->workers[i], key,
		    &made.specs[i], err);
	texts_fini(&texts);
	if (rc == 0)
		*ret = made;
	return rc;
}

static void
digest_text(struct buffer *bytes, const char *text)
{
	uint64_t len = text == NULL ? UINT64_MAX : strlen(text);

	/* The length in front: no two lists give the same bytes. */
	buffer_append(bytes, &len, sizeof(len));
	if (text != NULL)
		buffer_append(bytes, text, (size_t)len);
}

static void
digest_number(struct buffer *bytes, int64_t number)
{
	buffer_append(bytes, &number, sizeof(number));
}

static size_t
digest_list(struct buffer *bytes, const char *const *list)
{
	size_t count = 0;

	for (; list != NULL && list[count] != NULL; count++)
		digest_text(bytes, list[count]);
	digest_number(bytes, -1 - (int64_t)count);
	return count;
}

static int
by_text(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return strcmp(*left, *right);
}

/* With its probe a worker is ready for another reason: what is ready under the
 * old one has not shown that it is under the new one. */
static void
digest_probe(
    struct buffer *bytes, const char *name, const struct probe_spec *probe)
{
	if (probe->kind == PROBE_NONE)
		return;
	digest_text(bytes, name);
	digest_number(bytes, probe->kind);
	(void)digest_list(bytes, probe->argv);
	digest_text(bytes, probe->host);
	digest_text(bytes, probe->path);
	(void)digest_list(bytes, probe->headers);
	digest_number(bytes, probe->port);
	digest_number(bytes, probe->port_per_replica ? 1 : 0);
	digest_number(bytes, probe->initial_delay_ms);
	digest_number(bytes, probe->period_ms);
	digest_number(bytes, probe->timeout_ms);
	digest_number(bytes, probe->success_threshold);
	digest_number(bytes, probe->failure_threshold);
}

void
specs_digest(const struct fingerprint_key *key, const struct worker_spec *spec,
    struct arena *arena, uint8_t ret[16])
{
	struct buffer bytes;
	size_t count = 0;

	while (spec->envp != NULL && spec->envp[count] != NULL)
		count++;
	const char **sorted = arena_array(arena, count + 1, sizeof(*sorted));

	if (count > 0)
		memcpy(sorted, spec->envp, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_text);
	buffer_init(&bytes, DIGEST_BYTES_MAX);
	digest_text(&bytes, "reeve configuration 1");
	(void)digest_list(&bytes, spec->argv);
	digest_text(&bytes, spec->executable);
	(void)digest_list(&bytes, sorted);
	digest_text(&bytes, spec->cwd);
	digest_number(&bytes, spec->uid);
	digest_number(&bytes, spec->gid);
	for (uint32_t i = 0; i < spec->ngroups; i++)
		digest_number(&bytes, spec->groups[i]);
	digest_number(&bytes, spec->umask);
	digest_number(&bytes, spec->no_new_privs ? 1 : 0);
	digest_number(&bytes, (int64_t)spec->memory_limit_bytes);
	digest_number(&bytes, spec->cpu_limit_milli);
	digest_number(&bytes, spec->pids_limit);
	buffer_append(&bytes, &spec->process, sizeof(spec->process));
	for (uint32_t i = 0; i < spec->nports; i++) {
		digest_text(&bytes, spec->ports[i].name);
		digest_number(&bytes, spec->ports[i].base);
	}
	digest_probe(&bytes, "startup", &spec->startup);
	digest_probe(&bytes, "readiness", &spec->readiness);
	digest_probe(&bytes, "liveness", &spec->liveness);
	if (spec->notify.ready != NOTIFY_ABSENT) {
		digest_text(&bytes, "notify");
		digest_number(&bytes, spec->notify.ready);
		digest_number(&bytes, spec->notify.fd);
		digest_number(&bytes, spec->notify.watchdog_ms);
	}
	digest_probe(&bytes, "preStop", &spec->pre_stop);
	struct fingerprint print = fingerprint_of(key, bytes.data, bytes.len);

	memcpy(ret, print.bytes, 16);
	buffer_wipe(&bytes);
}

static const char *const *
copy_list(struct arena *arena, const char *const *list)
{
	size_t count = 0;

	if (list == NULL)
		return NULL;
	while (list[count] != NULL)
		count++;
	const char **copy = arena_array(arena, count + 1, sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = arena_text(arena, list[i]);
	return copy;
}

static const struct worker_dependency *
copy_dependencies(struct arena *arena, const struct worker_spec *spec)
{
	struct worker_dependency *list =
	    arena_array(arena, spec->ndependencies + 1, sizeof(*list));

	for (uint32_t i = 0; i < spec->ndependencies; i++)
		list[i] = (struct worker_dependency){
		    arena_text(arena, spec->dependencies[i].worker),
		    spec->dependencies[i].condition};
	return list;
}

static struct worker_schedule
copy_schedule(struct arena *arena, const struct worker_schedule *from)
{
	struct worker_schedule copy = *from;
	struct calendar_change *changes =
	    arena_array(arena, from->zone.count + 1, sizeof(*changes));

	for (size_t i = 0; i < from->zone.count; i++)
		changes[i] = from->zone.changes[i];
	copy.zone.changes = changes;
	copy.text = arena_text(arena, from->text);
	copy.zone_name = arena_text(arena, from->zone_name);
	return copy;
}

static void
copy_probe(struct arena *arena, struct probe_spec *spec)
{
	spec->argv = copy_list(arena, spec->argv);
	spec->headers = copy_list(arena, spec->headers);
	spec->host = arena_text(arena, spec->host);
	spec->path = arena_text(arena, spec->path);
}

struct worker_spec
specs_copy(struct arena *arena, const struct worker_spec *spec)
{
	struct worker_spec copy = *spec;
	struct worker_port *port_list =
	    arena_array(arena, spec->nports + 1, sizeof(*port_list));
	int64_t *groups =
	    arena_array(arena, spec->ngroups + 1, sizeof(*groups));

	copy.name = arena_text(arena, spec->name);
	copy.argv = copy_list(arena, spec->argv);
	copy.executable = arena_text(arena, spec->executable);
	copy.envp = copy_list(arena, spec->envp);
	copy.cwd = arena_text(arena, spec->cwd);
	for (uint32_t i = 0; i < spec->ngroups; i++)
		groups[i] = spec->groups[i];
	for (uint32_t i = 0; i < spec->nports; i++)
		port_list[i] = (struct worker_port){
		    .name = arena_text(arena, spec->ports[i].name),
		    .base = spec->ports[i].base};
	copy.groups = groups;
	copy.ports = port_list;
	copy.dependencies = copy_dependencies(arena, spec);
	copy.schedule = copy_schedule(arena, &spec->schedule);
	copy_probe(arena, &copy.readiness);
	copy_probe(arena, &copy.liveness);
	copy_probe(arena, &copy.pre_stop);
	copy_probe(arena, &copy.startup);
	return copy;
}

int64_t
specs_budget_ms(const struct worker_spec *spec)
{
	const struct probe_spec *probes[] = {&spec->startup, &spec->readiness};
	int64_t budget_ms = 0;

	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		const struct probe_spec *one = probes[i];
		if (one->kind == PROBE_NONE)
			continue;
		int64_t looks = (int64_t)one->success_threshold +
		                (int64_t)one->failure_threshold;
		int64_t period_ms = MAX(one->period_ms, one->timeout_ms);
		budget_ms += one->initial_delay_ms + looks * period_ms;
	}
	return budget_ms == 0 ? BUDGET_DEFAULT_MS
	                      : MAX(budget_ms, (int64_t)BUDGET_LEAST_MS);
}

int64_t
specs_settle_ms(const struct worker_spec *spec)
{
	return worker_says_ready(spec) ? 0 : SETTLE_MS;
}
