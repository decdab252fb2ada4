/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "checks/gather.h"
#include "checks/request_line.h"
#include "probes/queue/queue.h"

enum {
	LINE_MAX = 2 << 20,
	LOOKS_MAX = 8192,
};
static const int64_t LOOK_TIMEOUT_MS = 5000;
/* Of a watch (probes/queue/arrivals.h): two seconds, five more for the last
 * row, and a little. */
static const int64_t ARRIVALS_TIMEOUT_MS = 8000;
/* A prober that minds its own timeout answers before it is killed. */
static const int64_t KILL_SLACK_MS = 1000;

/* The looks of one round. */
struct looks {
	struct arena *arena;
	const struct gather_options *options;
	struct observed *observed;
	struct probe_request *requests;
	size_t count;
};

/* A look that can't be made is an observation too. */
static int
cannot_look(struct looks *looks, const char *kind, const char *subject,
    const char *cause, const char *why, struct err *err)
{
	struct buffer line;
	struct jsonw json;

	buffer_init(&line, LINE_MAX);
	jsonw_init(&json, &line, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.observation/1");
	jsonw_text(&json, "kind", kind);
	jsonw_text(&json, "subject", subject);
	jsonw_text(&json, "result", result_name(RESULT_UNKNOWN));
	jsonw_text(&json, "cause", cause);
	jsonw_text(&json, "summary", why);
	jsonw_i64(&json, "at", clock_wall_ms());
	jsonw_end(&json);
	int rc = observed_add_line(looks->observed, line.data, line.len, err);

	buffer_fini(&line);
	return rc;
}

static int64_t
look_timeout(const struct gather_options *options, int64_t wanted_ms)
{
	int64_t left_ms = options->deadline_ms - clock_ms();

	if (wanted_ms <= 0)
		wanted_ms = options->look_timeout_ms > 0
		                ? options->look_timeout_ms
		                : LOOK_TIMEOUT_MS;
	return MAX(MIN(wanted_ms, left_ms), 1);
}

static int
add_look(struct looks *looks, const char *kind, const char *subject,
    const char *line, int64_t timeout_ms, struct err *err)
{
	if (line == NULL)
		return cannot_look(looks, kind, subject,
		    cause_name(CAUSE_INTERNAL), "the request is too large",
		    err);
	if (looks->count == LOOKS_MAX)
		return err_set(err, ERR_CAPACITY,
		    "more than %d things to look at", LOOKS_MAX);
	looks->requests[looks->count++] = (struct probe_request){
	    .json = line,
	    .subject = subject,
	    .kind = kind,
	    .deadline_ms = clock_after(clock_ms(), timeout_ms + KILL_SLACK_MS),
	};
	return 0;
}

static int
add_queue(struct looks *looks, const struct declared_queue *queue,
    const char *subject, struct err *err)
{
	int64_t timeout_ms = look_timeout(looks->options, 0);
	const char *line = request_line_queue(looks->arena, queue, "observe",
	    &(struct request_more){
	        .subject = subject, .timeout_ms = timeout_ms});

	if (add_look(looks, "queue", subject, line, timeout_ms, err) == -1)
		return -1;
	if (line != NULL)
		request_share_prober(&looks->requests[looks->count - 1], queue);
	return 0;
}

static int
look_at_queues(struct looks *looks, const struct declared *declared,
    const char *suffix, struct err *err)
{
	for (size_t i = 0; i < declared->nqueues; i++) {
		const struct declared_queue *queue = &declared->queues[i];
		const char *subject = arena_format(
		    looks->arena, "queue %s%s", queue->name, suffix);
		int rc;

		if (queue->url == NULL)
			rc = cannot_look(looks, "queue", subject,
			    cause_name(CAUSE_UNRESOLVED),
			    arena_format(looks->arena,
			        "its url needs $(%s), which isn't set",
			        queue->url_unresolved),
			    err);
		else
			rc = add_queue(looks, queue, subject, err);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* Beside the queue's other look, in a prober of its own: it lasts. */
static int
look_at_arrivals(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	for (size_t i = 0; i < declared->nqueues; i++) {
		const struct declared_queue *queue = &declared->queues[i];
		const struct declared_probe_request *row = &queue->jobs.row;
		const char *subject =
		    arena_format(looks->arena, "queue %s rows", queue->name);
		int64_t timeout_ms =
		    look_timeout(looks->options, ARRIVALS_TIMEOUT_MS);
		int rc;

		if (row->kind == NULL || queue->url == NULL)
			continue;
		if (row->unresolved != NULL)
			rc = cannot_look(looks, "queue", subject,
			    cause_name(CAUSE_UNRESOLVED),
			    arena_format(looks->arena,
			        "its row needs $(%s), which isn't set",
			        row->unresolved),
			    err);
		else
			rc = add_look(looks, "queue", subject,
			    request_line_queue(looks->arena, queue, "arrivals",
			        &(struct request_more){.subject = subject,
			            .timeout_ms = timeout_ms}),
			    timeout_ms, err);
		if (rc == -1)
			return -1;
	}
	return 0;
}

static int
look_at_checks(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	for (size_t i = 0; i < declared->nchecks; i++) {
		const struct declared_check *check = &declared->checks[i];
		const struct declared_probe_request *request = &check->request;
		const char *subject =
		    arena_format(looks->arena, "check %s", check->name);
		int64_t timeout_ms =
		    look_timeout(looks->options, check->timeout_ms);
		int rc;

		if (request->unresolved != NULL)
			rc = cannot_look(looks, request->kind, subject,
			    cause_name(CAUSE_UNRESOLVED),
			    arena_format(looks->arena,
			        "it needs $(%s), which isn't set",
			        request->unresolved),
			    err);
		else
			rc = add_look(looks, request->kind, subject,
			    request_line(looks->arena, request->kind,
			        request->json,
			        &(struct request_more){.subject = subject,
			            .timeout_ms = timeout_ms}),
			    timeout_ms, err);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* How a variable's URL is looked at: by scheme. http only as far as the
 * connection: which path answers what is a declared check's business. */
static const struct {
	const char *scheme, *kind;
	int port;
} env_schemes[] = {
    {"postgres", "postgres", 5432},
    {"postgresql", "postgres", 5432},
    {"mysql", "mysql", 3306},
    {"mariadb", "mysql", 3306},
    {"redis", "redis", 6379},
    {"rediss", "redis", 6379},
    {"http", "tcp", 80},
    {"https", "tls", 443},
};

static const char *
env_look_params(
    struct arena *arena, const char *kind, int port, const char *value)
{
	struct buffer out;
	struct jsonw json;
	struct url url;
	struct err ignored;
	bool by_host = text_equal(kind, "tcp") || text_equal(kind, "tls");

	buffer_init(&out, LINE_MAX);
	jsonw_init(&json, &out, false);
	jsonw_object(&json, NULL);
	if (by_host && url_parse(arena, value, &url, &ignored) == 0) {
		jsonw_text(&json, "host", url.host);
		jsonw_i64(&json, "port", url.port == -1 ? port : url.port);
	} else {
		jsonw_text(&json, "url", value);
	}
	jsonw_end(&json);
	return request_text(&out, arena);
}

static int
look_at_variable(struct looks *looks, const struct declared_worker *worker,
    const struct declared_env *env, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(env_schemes); i++) {
		const char *prefix =
		    arena_format(looks->arena, "%s://", env_schemes[i].scheme);
		const char *kind = env_schemes[i].kind;

		if (!text_starts(env->value, prefix))
			continue;
		const char *subject = arena_format(
		    looks->arena, "env %s %s", worker->name, env->name);
		int64_t timeout_ms = look_timeout(looks->options, 0);
		const char *params = env_look_params(
		    looks->arena, kind, env_schemes[i].port, env->value);

		return add_look(looks, kind, subject,
		    request_line(looks->arena, kind, params,
		        &(struct request_more){
		            .subject = subject, .timeout_ms = timeout_ms}),
		    timeout_ms, err);
	}
	return 0;
}

/* Only what the manifest declares: what an image's environment happens to hold
 * is nobody's promise. */
static int
look_at_environments(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];

		for (size_t i = 0; i < worker->env.count; i++) {
			const struct declared_env *env = worker->env.entries[i];

			if (env->value == NULL || env->shadowed ||
			    env->place.line == 0)
				continue;
			if (look_at_variable(looks, worker, env, err) == -1)
				return -1;
		}
	}
	return 0;
}

static int
look_at_supervisor(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	struct buffer params;
	struct jsonw json;
	const char *url = looks->options->status_url;
	int64_t timeout_ms = look_timeout(looks->options, 0);

	buffer_init(&params, LINE_MAX);
	jsonw_init(&json, &params, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "name", declared->name);
	if (url != NULL) {
		jsonw_text(&json, "url", url);
	} else {
		jsonw_array(&json, "places");
		for (size_t i = 0; i < looks->options->nplaces; i++) {
			const struct gather_place *place =
			    &looks->options->places[i];

			jsonw_object(&json, NULL);
			jsonw_text(&json, "operator", place->operator_socket);
			jsonw_text(&json, "init", place->init_socket);
			jsonw_end(&json);
		}
		jsonw_end(&json);
	}
	jsonw_end(&json);
	return add_look(looks, "supervisor", "supervisor",
	    request_line(looks->arena, "supervisor",
	        request_text(&params, looks->arena),
	        &(struct request_more){
	            .subject = "supervisor", .timeout_ms = timeout_ms}),
	    timeout_ms, err);
}

static int
look_at_processes(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	struct buffer params;
	struct jsonw json;
	int64_t timeout_ms = look_timeout(looks->options, 0);

	buffer_init(&params, LINE_MAX);
	jsonw_init(&json, &params, false);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "workers");
	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *worker = &declared->workers[i];

		jsonw_object(&json, NULL);
		jsonw_text(&json, "name", worker->name);
		jsonw_array(&json, "command");
		for (const char *const *arg = worker->command; *arg != NULL;
		     arg++)
			jsonw_text(&json, NULL, *arg);
		jsonw_end(&json);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	return add_look(looks, "processes", "processes",
	    request_line(looks->arena, "processes",
	        request_text(&params, looks->arena),
	        &(struct request_more){
	            .subject = "processes", .timeout_ms = timeout_ms}),
	    timeout_ms, err);
}

/* Whom workers are to run as, as it is declared. */
static void
name_ids(struct jsonw *json, const struct declared *declared, bool users)
{
	jsonw_array(json, users ? "users" : "groups");
	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_security *security =
		    &declared->workers[i].security;
		const struct declared_id *id =
		    users ? &security->user : &security->group;

		if (id->text != NULL)
			jsonw_text(json, NULL, id->text);
		for (size_t k = 0; !users && k < security->ngroups; k++)
			jsonw_text(json, NULL, security->groups[k].text);
	}
	jsonw_end(json);
}

/* What a supervisor here could give its workers; the one at `status_url` is
 * somewhere else. */
static int
look_at_platform(
    struct looks *looks, const struct declared *declared, struct err *err)
{
	struct buffer params;
	struct jsonw json;
	int64_t timeout_ms = look_timeout(looks->options, 0);

	if (looks->options->status_url != NULL)
		return 0;
	buffer_init(&params, LINE_MAX);
	jsonw_init(&json, &params, false);
	jsonw_object(&json, NULL);
	name_ids(&json, declared, true);
	name_ids(&json, declared, false);
	jsonw_end(&json);
	return add_look(looks, "platform", "platform",
	    request_line(looks->arena, "platform",
	        request_text(&params, looks->arena),
	        &(struct request_more){
	            .subject = "platform", .timeout_ms = timeout_ms}),
	    timeout_ms, err);
}

/* A line that doesn't parse came from our own prober: a bug of ours, and no
 * evidence about the target. */
static int
take_answers(struct looks *looks, struct err *err)
{
	for (size_t i = 0; i < looks->count; i++) {
		const struct probe_request *r = &looks->requests[i];
		struct err bad = ERR_INIT;

		if (observed_add_line(looks->observed, r->answer, r->answer_len,
		        &bad) == -1 &&
		    cannot_look(looks, r->kind, r->subject,
		        cause_name(CAUSE_INTERNAL),
		        arena_format(looks->arena,
		            "the prober's answer is not usable: %s", bad.text),
		        err) == -1)
			return -1;
	}
	return 0;
}

static int
run_looks(struct looks *looks, struct err *err)
{
	if (looks->count == 0)
		return 0;
	if (probe_pool_run(looks->requests, looks->count, &looks->options->pool,
	        looks->arena, err) == -1)
		return -1;
	return take_answers(looks, err);
}

static void
looks_init(struct looks *looks, const struct gather_options *options,
    struct observed *observed)
{
	*looks = (struct looks){
	    .arena = observed->arena,
	    .options = options,
	    .observed = observed,
	    .requests = arena_array(
	        observed->arena, LOOKS_MAX, sizeof(struct probe_request)),
	};
}

/* The vantage point is part of every report: "not reachable" is only true from
 * somewhere. */
static void
set_vantage(struct observed *observed)
{
	char host[256] = "unknown host";
	char pid_ns[64] = "";

	(void)gethostname(host, sizeof(host) - 1);
	ssize_t len = readlink("/proc/self/ns/pid", pid_ns, sizeof(pid_ns) - 1);

	observed->at_wall_ms = clock_wall_ms();
	observed->vantage =
	    len > 0 ? arena_format(observed->arena, "host %s, %s", host, pid_ns)
	            : arena_format(observed->arena, "host %s", host);
}

static int
second_sample(struct looks *looks, const struct declared *declared,
    int64_t first_ms, struct err *err)
{
	int64_t due_ms = clock_after(first_ms, GATHER_TWICE_MS);

	for (int64_t now = clock_ms(); now < due_ms; now = clock_ms())
		(void)poll(NULL, 0, clock_timeout(now, due_ms));
	looks_init(looks, looks->options, looks->observed);
	if (look_at_queues(looks, declared, " later", err) == -1)
		return -1;
	return run_looks(looks, err);
}

/* Only a second look says whether the router takes what waits for it. */
static bool
waits_for_router(
    const struct declared *declared, const struct observation *seen)
{
	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];

		if (worker->produces == NULL || worker->produces[0] == NULL)
			continue;
		for (size_t i = 0; i < worker->nconsumes; i++)
			if (text_starts(seen->subject, "queue ") &&
			    text_equal(seen->subject + strlen("queue "),
			        worker->consumes[i].queue->name))
				return seen->queue->waiting.value > 0;
	}
	return false;
}

/* Facts that are alarming when they last, and normal for an instant: a worker
 * between taking a job and leasing it, a lease that nobody had the time to take
 * back, a poller between two polls. */
static bool
may_be_a_moment(
    const struct declared *declared, const struct observed *observed)
{
	for (size_t i = 0; i < observed->nobservations; i++) {
		const struct queue_state *state =
		    observed->observations[i].queue;

		if (state == NULL)
			continue;
		if (state->lease_missing.value > 0 ||
		    state->lease_expired.value > 0)
			return true;
		if (state->waiting.value > 0 &&
		    state->consumers.know == KNOW_EXACT &&
		    state->consumers.value == 0)
			return true;
		if (waits_for_router(declared, &observed->observations[i]))
			return true;
	}
	return false;
}

int
gather(const struct declared *declared, const struct gather_options *options,
    struct observed *observed, struct err *err)
{
	struct looks looks;
	int64_t first_ms = clock_ms();

	looks_init(&looks, options, observed);
	set_vantage(observed);
	if (look_at_queues(&looks, declared, "", err) == -1)
		return -1;
	if (!options->only_queues &&
	    (look_at_arrivals(&looks, declared, err) == -1 ||
	        look_at_checks(&looks, declared, err) == -1 ||
	        look_at_environments(&looks, declared, err) == -1 ||
	        look_at_supervisor(&looks, declared, err) == -1 ||
	        look_at_processes(&looks, declared, err) == -1 ||
	        look_at_platform(&looks, declared, err) == -1))
		return -1;
	if (run_looks(&looks, err) == -1)
		return -1;
	if (declared->nqueues == 0 ||
	    (!options->queues_twice && !may_be_a_moment(declared, observed)))
		return 0;
	return second_sample(&looks, declared, first_ms, err);
}

int
gather_supervisor(const struct declared *declared,
    const struct gather_options *options, struct observed *observed,
    struct err *err)
{
	struct looks looks;

	looks_init(&looks, options, observed);
	if (observed->vantage[0] == '\0')
		set_vantage(observed);
	if (look_at_supervisor(&looks, declared, err) == -1)
		return -1;
	return run_looks(&looks, err);
}
