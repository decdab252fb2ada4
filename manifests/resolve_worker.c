/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/cron.h"
#include "manifests/expand.h"
#include "manifests/resolve.h"

/* --- command and args --- */

struct argument_look {
	struct resolve *r;
	const struct declared_environment *env;
	const struct node *node;
};

/* As in Kubernetes an unknown name stays; what the init alone knows (PORT_…,
 * REEVE_…) can't be in an argument, and must not silently stay there. */
static bool
look_up(void *arg, const char *text, size_t len, struct buffer *out)
{
	struct argument_look *look = arg;
	const char *name = arena_bytes(look->r->arena, text, len);
	const struct declared_env *found = declared_env_find(look->env, name);

	if (found == NULL &&
	    (text_starts(name, "PORT_") || text_starts(name, "REEVE_")))
		complain(look->r->complaints, look->node,
		    "$(%s) differs between replicas and can't stand in an "
		    "argument: the worker finds it in its environment",
		    name);
	if (found == NULL || found->value == NULL)
		return false;
	if (found->secret) {
		complain(look->r->complaints, look->node,
		    "$(%s) is secret: everybody on the host could read it in "
		    "the arguments; the worker finds it in its environment",
		    name);
		return false;
	}
	buffer_append(out, found->value, found->len);
	return true;
}

static size_t
append_arguments(struct resolve *r, const struct node *list,
    const struct declared_environment *env, const char **argv, size_t n)
{
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		struct argument_look look = {r, env, it};
		struct buffer text;
		buffer_init(&text, EXPANDED_MAX);
		expand(&text, it->text, it->len, look_up, &look);
		r->expanded_bytes += text.len;
		if (text.overflow || r->expanded_bytes > EXPANDED_ALL_MAX)
			complain(r->complaints, it,
			    "this is too long once $(…) is filled in");
		else
			argv[n++] = arena_bytes(
			    r->arena, text.len == 0 ? "" : text.data, text.len);
		buffer_fini(&text);
	}
	return n;
}

static const char *const *
arguments(struct resolve *r, const struct node *node,
    const struct declared_environment *env)
{
	const struct node *command = node_get(node, "command");
	const struct node *args = node_get(node, "args");
	const char **argv = arena_array(r->arena,
	    command->count + (args == NULL ? 0 : args->count) + 1,
	    sizeof(*argv));
	size_t n = append_arguments(r, command, env, argv, 0);

	(void)append_arguments(r, args, env, argv, n);
	return argv;
}

/* --- probes --- */

static const char *const *
headers_of(struct resolve *r, const struct manifest_http_get *get)
{
	const char **headers =
	    arena_array(r->arena, get->headers_count + 1, sizeof(*headers));

	for (unsigned i = 0; i < get->headers_count; i++)
		headers[i] = arena_format(r->arena, "%s: %s",
		    get->headers[i].name, get->headers[i].value);
	return headers;
}

static void
take_port(struct resolve *r, const char *port, struct declared_probe *ret)
{
	if (port[strspn(port, "0123456789")] != '\0')
		ret->port_name = arena_text(r->arena, port);
	else
		(void)!text_i64(port, 1, 65535, &ret->port, NULL);
}

static struct declared_probe
probe_of(struct resolve *r, const struct manifest_probe *raw)
{
	struct declared_probe probe = {0};

	if (raw == NULL)
		return probe;
	if (raw->http_get != NULL) {
		const struct manifest_http_get *get = raw->http_get;
		probe.kind = DECLARED_PROBE_HTTP;
		probe.host = arena_text(r->arena,
		    get->host == NULL ? DEFAULT_OF(http_get, host) : get->host);
		probe.path = arena_text(r->arena,
		    get->path == NULL ? DEFAULT_OF(http_get, path) : get->path);
		probe.headers = headers_of(r, get);
		take_port(r, get->port, &probe);
	} else if (raw->tcp_socket != NULL) {
		const struct manifest_tcp_socket *tcp = raw->tcp_socket;
		probe.kind = DECLARED_PROBE_TCP;
		probe.host = arena_text(
		    r->arena, tcp->host == NULL ? DEFAULT_OF(tcp_socket, host)
		                                : tcp->host);
		take_port(r, tcp->port, &probe);
	} else {
		probe.kind = DECLARED_PROBE_EXEC;
		probe.command = resolve_texts(
		    r, raw->exec->command, raw->exec->command_count);
	}
	probe.initial_delay_ms = 1000 * resolve_int(raw->initial_delay,
	                                    DEFAULT_OF(probe, initial_delay));
	probe.period_ms =
	    1000 * resolve_int(raw->period, DEFAULT_OF(probe, period));
	probe.timeout_ms =
	    1000 * resolve_int(raw->timeout, DEFAULT_OF(probe, timeout));
	probe.success_threshold =
	    resolve_int(raw->success, DEFAULT_OF(probe, success));
	probe.failure_threshold =
	    resolve_int(raw->failure, DEFAULT_OF(probe, failure));
	return probe;
}

static struct declared_probe
pre_stop_of(struct resolve *r, const struct manifest_lifecycle *raw)
{
	struct manifest_probe hook = {0};

	if (raw == NULL || raw->pre_stop == NULL)
		return probe_of(r, NULL);
	hook.http_get = raw->pre_stop->http_get;
	hook.exec = raw->pre_stop->exec;
	return probe_of(r, &hook);
}

/* --- the rest of a worker --- */

#define JOB_BACKOFF_LIMIT "6" /* Kubernetes' default of a Job */

/* "3 per 1h"; 0 for "off". */
static void
take_rate(const char *text, int64_t *ret_count, int64_t *ret_window_ms)
{
	const char *per = strstr(text, " per ");
	char digits[12] = {0};

	*ret_count = *ret_window_ms = 0;
	if (per == NULL)
		return;
	memcpy(digits, text, MIN((size_t)(per - text), sizeof(digits) - 1));
	(void)!text_i64(digits, 1, 1000000, ret_count, NULL);
	*ret_window_ms = resolve_duration(per + 5, NULL);
}

/* "More than so many", where the preset says it. */
static void
take_alert_after(const struct manifest_alert_presets *presets, const char *own,
    struct declared_worker *worker)
{
	const char *text = own;
	bool preset =
	    own == NULL && presets != NULL && presets->incident != NULL;

	if (preset)
		text = presets->incident->restarts != NULL
		           ? presets->incident->restarts
		           : DEFAULT_OF(preset_incident, restarts);
	take_rate(text == NULL ? DEFAULT_OF(restart, alert_after) : text,
	    &worker->alert_after_count, &worker->alert_after_window_ms);
	worker->alert_after_count += preset;
}

static void
take_restart(const struct manifest_restart *raw,
    const struct manifest_alert_presets *presets,
    struct declared_worker *worker)
{
	static const struct manifest_restart no_restart = {0};
	static const struct manifest_backoff no_backoff = {0};

	raw = raw == NULL ? &no_restart : raw;
	const struct manifest_backoff *backoff =
	    raw->backoff == NULL ? &no_backoff : raw->backoff;
	bool ends = worker->init || worker->schedule.text != NULL;
	worker->restart = ends ? DECLARED_ON_FAILURE : DECLARED_ALWAYS;
	worker->backoff_limit =
	    resolve_int(raw->backoff_limit, ends ? JOB_BACKOFF_LIMIT : "-1");
	if (raw->policy != NULL && *raw->policy == WORD_restart_policy_NEVER)
		worker->restart = DECLARED_NEVER;
	if (raw->policy != NULL &&
	    *raw->policy == WORD_restart_policy_ON_FAILURE)
		worker->restart = DECLARED_ON_FAILURE;
	worker->backoff_first_ms =
	    resolve_duration(backoff->first, DEFAULT_OF(backoff, first));
	worker->backoff_cap_ms =
	    resolve_duration(backoff->cap, DEFAULT_OF(backoff, cap));
	take_rate(raw->start_limit == NULL ? DEFAULT_OF(restart, start_limit)
	                                   : raw->start_limit,
	    &worker->start_limit_count, &worker->start_limit_window_ms);
	take_alert_after(presets, raw->alert_after, worker);
}

static void
take_max_unavailable(const char *text, struct declared_worker *worker)
{
	char digits[12] = {0};

	if (text == NULL)
		text = DEFAULT_OF(worker, max_unavailable);
	size_t len = strspn(text, "0123456789");

	memcpy(digits, text, MIN(len, sizeof(digits) - 1));
	(void)!text_i64(digits, 1, INT32_MAX, &worker->max_unavailable, NULL);
	worker->max_unavailable_percent = text[len] == '%';
}

static void
take_notify(const struct manifest_notify *raw, struct declared_worker *worker)
{
	if (raw == NULL)
		return;
	worker->notify = DECLARED_NOTIFY_MESSAGE;
	if (raw->fd != NULL)
		worker->notify = DECLARED_NOTIFY_NEWLINE;
	if (raw->ready != NULL && *raw->ready == WORD_notify_ready_NONE)
		worker->notify = DECLARED_NOTIFY_NONE;
	worker->notify_fd = resolve_int(raw->fd, "0");
	if (raw->watchdog != NULL)
		worker->watchdog_ms = resolve_duration(raw->watchdog, NULL);
}

static enum drift_policy
drift_of(const enum manifest_drift *word, const char *otherwise)
{
	enum manifest_drift drift = WORD_drift_ALERT;

	if (word != NULL)
		drift = *word;
	else if (text_equal(otherwise, "restart"))
		drift = WORD_drift_RESTART;
	switch (drift) {
	case WORD_drift_RESTART:
		return DRIFT_RESTART;
	case WORD_drift_IGNORE:
		return DRIFT_IGNORE;
	case WORD_drift_ALERT:
	case WORDS_drift:
		return DRIFT_ALERT;
	}
	UNREACHABLE("a policy");
}

static enum drift_policy
told_of(const enum manifest_drift_told *word)
{
	return word != NULL && *word == WORD_drift_told_IGNORE ? DRIFT_IGNORE
	                                                       : DRIFT_ALERT;
}

static struct declared_drift
on_drift(const struct manifest_on_drift *raw)
{
	static const struct manifest_on_drift none = {0};

	raw = raw == NULL ? &none : raw;
	return (struct declared_drift){
	    .env = drift_of(raw->env, DEFAULT_OF(on_drift, env)),
	    .secret = drift_of(raw->secret, DEFAULT_OF(on_drift, secret)),
	    .queue = drift_of(raw->queue, DEFAULT_OF(on_drift, queue)),
	    .executable =
	        drift_of(raw->executable, DEFAULT_OF(on_drift, executable)),
	    .config = drift_of(raw->config, DEFAULT_OF(on_drift, config)),
	    .files = drift_of(raw->files, DEFAULT_OF(on_drift, files)),
	    .user = drift_of(raw->user, DEFAULT_OF(on_drift, user)),
	    .limits = drift_of(raw->limits, DEFAULT_OF(on_drift, limits)),
	    .processes = told_of(raw->processes),
	    .consumers = told_of(raw->consumers),
	    .replicas = drift_of(raw->replicas, DEFAULT_OF(on_drift, replicas)),
	};
}

static void
take_limits(
    const struct manifest_resources *raw, struct declared_worker *worker)
{
	worker->memory_limit_bytes = worker->cpu_limit_milli = -1;
	worker->pids_limit = -1;
	if (raw == NULL || raw->limits == NULL)
		return;
	if (raw->limits->memory != NULL)
		(void)!text_quantity(
		    raw->limits->memory, &worker->memory_limit_bytes, NULL);
	if (raw->limits->cpu != NULL)
		(void)!text_quantity_milli(
		    raw->limits->cpu, &worker->cpu_limit_milli, NULL);
	if (raw->limits->pids != NULL)
		worker->pids_limit = resolve_int(raw->limits->pids, "1");
}

static void
take_schedule(struct resolve *r, const struct manifest_worker *raw,
    struct declared_worker *worker)
{
	struct declared_schedule *to = &worker->schedule;

	to->starting_deadline_s = resolve_int(raw->starting_deadline, "-1");
	if (raw->schedule == NULL ||
	    cron_parse(raw->schedule, &to->rule, NULL) == -1)
		return;
	to->text = arena_text(r->arena, raw->schedule);
	to->zone = arena_text(r->arena, raw->time_zone == NULL
	                                    ? DEFAULT_OF(worker, time_zone)
	                                    : raw->time_zone);
	to->suspended = raw->suspend != NULL && *raw->suspend;
	if (raw->concurrency != NULL &&
	    *raw->concurrency == WORD_concurrency_FORBID)
		to->concurrency = DECLARED_FORBID;
	if (raw->concurrency != NULL &&
	    *raw->concurrency == WORD_concurrency_REPLACE)
		to->concurrency = DECLARED_REPLACE;
	worker->replicas = 0;
}

static void
take_scale(struct resolve *r, const struct manifest_worker *raw,
    struct declared_worker *worker)
{
	const struct manifest_scale *scale = raw->scale;

	worker->replicas =
	    resolve_int(raw->replicas, DEFAULT_OF(worker, replicas));
	if (scale == NULL)
		return;
	worker->scale = (struct declared_scale){
	    .queue = declared_queue_find(r->declared, scale->queue),
	    .min = resolve_int(scale->min, DEFAULT_OF(scale, min)),
	    .max = resolve_int(scale->max, NULL),
	    .jobs_per_replica = resolve_int(
	        scale->jobs_per_replica, DEFAULT_OF(scale, jobs_per_replica)),
	    .activation =
	        resolve_int(scale->activation, DEFAULT_OF(scale, activation)),
	    .cooldown_ms =
	        resolve_duration(scale->cooldown, DEFAULT_OF(scale, cooldown)),
	    .stabilization_ms = resolve_duration(
	        scale->stabilization, DEFAULT_OF(scale, stabilization)),
	};
	worker->replicas = worker->scale.min;
}

static void
take_plain(struct resolve *r, const struct manifest_worker *raw,
    struct declared_worker *worker)
{
	take_scale(r, raw, worker);
	worker->on_stall =
	    drift_of(raw->on_stall, DEFAULT_OF(worker, on_stall));
	worker->stall_after_ms =
	    resolve_duration(raw->stall_after, DEFAULT_OF(worker, stall_after));
	take_schedule(r, raw, worker);
	worker->requires = resolve_texts(r, raw->requires, raw->requires_count);
	worker->working_dir = arena_text(r->arena, raw->working_dir);
	worker->files = resolve_texts(r, raw->files, raw->files_count);
	worker->nports = raw->ports_count;
	worker->ports =
	    arena_array(r->arena, worker->nports, sizeof(*worker->ports));
	for (size_t i = 0; i < worker->nports; i++)
		worker->ports[i] = (struct declared_port){
		    arena_text(r->arena, raw->ports[i].name),
		    resolve_int(raw->ports[i].base, NULL)};
	worker->readiness = probe_of(r, raw->readiness);
	worker->liveness = probe_of(r, raw->liveness);
	worker->startup = probe_of(r, raw->startup);
	worker->pre_stop = pre_stop_of(r, raw->lifecycle);
	worker->deadline_ms = 1000 * resolve_int(raw->active_deadline, "0");
	worker->grace_ms =
	    1000 * resolve_int(raw->grace, DEFAULT_OF(worker, grace));
	take_limits(raw->resources, worker);
	take_restart(raw->restart, r->raw->alert_presets, worker);
	take_notify(raw->notify, worker);
	take_max_unavailable(raw->max_unavailable, worker);
	worker->on_drift = on_drift(raw->on_drift);
	worker->logs = resolve_logs(r, raw->logs);
}

static void
publish(struct declared_environment *env, const struct env_list *list)
{
	env->entries = list->entries;
	env->count = list->count;
}

static struct env_list
taken_back(const struct declared_environment *env)
{
	return (struct env_list){env->entries, env->count, env->count};
}

/* Where workers stand: initWorkers first, as they run. */
struct worker_at {
	const struct manifest_worker *raw;
	const struct node *node;
	bool init;
};

static size_t
worker_list(const struct resolve *r, struct worker_at *list, const char *key,
    const struct manifest_worker *raw, size_t count)
{
	const struct node *node = node_items(node_get(r->root, key));

	for (size_t i = 0; i < count; i++, node = node->next)
		list[i] = (struct worker_at){
		    &raw[i], node, text_equal(key, "initWorkers")};
	return count;
}

static struct worker_at *
workers_of(struct resolve *r)
{
	const struct manifest_manifest *raw = r->raw;
	struct worker_at *list = arena_array(r->arena,
	    raw->init_workers_count + raw->workers_count + 1, sizeof(*list));
	size_t n = worker_list(
	    r, list, "initWorkers", raw->init_workers, raw->init_workers_count);

	(void)worker_list(
	    r, list + n, "workers", raw->workers, raw->workers_count);
	return list;
}

/* Queues may need variables of workers, and workers the names of queues: the
 * environments come first, then the queues, then what the queues add. */
static void
take_environments(struct resolve *r, const struct worker_at *list_of)
{
	for (size_t i = 0; i < r->declared->nworkers; i++) {
		const struct manifest_worker *raw = list_of[i].raw;
		const struct node *node = list_of[i].node;
		struct declared_worker *worker = &r->declared->workers[i];
		const struct node *inherit = node_get(node, "inheritEnv");
		struct resolve_layers layers = {.env = raw->env,
		    .env_count = raw->env_count,
		    .env_node = node_get(node, "env"),
		    .env_from = raw->env_from,
		    .env_from_count = raw->env_from_count,
		    .env_from_node = node_get(node, "envFrom"),
		    .inherit = inherit,
		    .inherits =
		        inherit == NULL || inherit->kind == NODE_SEQUENCE};
		struct env_list list = {0};
		resolve_env(r, &layers, &list);
		publish(&worker->env, &list);
		worker->imports =
		    resolve_imports(r, &layers, &worker->nimports);
	}
}

/* Without a condition: as far as a worker of its kind comes. */
static enum declared_condition
condition_of(const struct resolve *r, const char *name, const char *word)
{
	const struct declared_worker *on =
	    declared_worker_find(r->declared, name);

	if (text_equal(word, "started"))
		return DECLARED_STARTED;
	if (text_equal(word, "completed"))
		return DECLARED_COMPLETED;
	if (word == NULL && on != NULL && on->restart != DECLARED_ALWAYS)
		return DECLARED_COMPLETED;
	return DECLARED_READY;
}

static void
take_dependencies(
    struct resolve *r, const struct node *node, struct declared_worker *worker)
{
	const struct node *list = node_get(node, "dependsOn");
	size_t n = 0;

	worker->dependencies =
	    arena_array(r->arena, (list == NULL ? 0 : list->count) + 1,
	        sizeof(*worker->dependencies));
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		const struct node *name =
		    it->kind == NODE_MAPPING ? node_get(it, "worker") : it;
		worker->dependencies[n++] = (struct declared_dependency){
		    .worker = arena_text(r->arena, node_text(name)),
		    .condition = condition_of(r, node_text(name),
		        node_text(node_get(it, "condition"))),
		    .place = resolve_place(r, name)};
	}
	worker->ndependencies = n;
}

void
resolve_workers(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct worker_at *at = workers_of(r);

	declared->nworkers = r->raw->init_workers_count + r->raw->workers_count;
	declared->workers = arena_array(
	    r->arena, declared->nworkers, sizeof(*declared->workers));
	for (size_t i = 0; i < declared->nworkers; i++) {
		declared->workers[i].name =
		    arena_text(r->arena, at[i].raw->name);
		declared->workers[i].init = at[i].init;
	}
	take_environments(r, at);
	resolve_queues(r);
	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct manifest_worker *raw = at[i].raw;
		const struct node *node = at[i].node;
		struct declared_worker *worker = &declared->workers[i];
		const struct node *requires = node_get(node, "requires");
		struct env_list list = taken_back(&worker->env);
		worker->place = resolve_place(r, node);
		if (requires != NULL)
			worker->requires_place = resolve_place(r, requires);
		worker->produces =
		    resolve_texts(r, raw->produces, raw->produces_count);
		worker->nconsumes = raw->consumes_count;
		worker->consumes = resolve_bindings(r, raw->consumes,
		    raw->consumes_count, node_get(node, "consumes"));
		resolve_bindings_env(
		    r, worker->consumes, worker->nconsumes, &list);
		publish(&worker->env, &list);
		worker->command = arguments(r, node, &worker->env);
		take_plain(r, raw, worker);
		resolve_settings(r, node, raw, worker);
	}
	for (size_t i = 0; i < declared->nworkers; i++)
		take_dependencies(r, at[i].node, &declared->workers[i]);
	resolve_counts(r);
}

void
resolve_producers(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "producers"));

	declared->nproducers = r->raw->producers_count;
	declared->producers = arena_array(
	    r->arena, declared->nproducers, sizeof(*declared->producers));
	for (size_t i = 0; i < declared->nproducers; i++, node = node->next) {
		const struct manifest_producer *raw = &r->raw->producers[i];
		struct declared_producer *producer = &declared->producers[i];
		struct resolve_layers layers = {.env = raw->env,
		    .env_count = raw->env_count,
		    .env_node = node_get(node, "env"),
		    .env_from = raw->env_from,
		    .env_from_count = raw->env_from_count,
		    .env_from_node = node_get(node, "envFrom")};
		struct env_list list = {0};
		producer->name = arena_text(r->arena, raw->name);
		producer->place = resolve_place(r, node);
		producer->nproduces = raw->produces_count;
		producer->produces = resolve_bindings(r, raw->produces,
		    raw->produces_count, node_get(node, "produces"));
		resolve_env(r, &layers, &list);
		/* The top-level env is the workers': to a producer it is only
		 * what $(NAME) may refer to. */
		size_t top = declared->env.count;
		producer->env = (struct declared_environment){
		    list.count > top ? list.entries + top : NULL,
		    list.count - top};
		producer->imports =
		    resolve_imports(r, &layers, &producer->nimports);
	}
}
