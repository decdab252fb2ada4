/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "manifests/validate.h"

/* Numbers of a document that may be wrong: then these don't complain. */
static int64_t
int_of(const struct node *map, const char *key, int64_t otherwise)
{
	const char *text = node_text(node_get(map, key));
	int64_t value;

	return text != NULL &&
	               text_i64(text, INT64_MIN, INT64_MAX, &value, NULL) == 0
	           ? value
	           : otherwise;
}

static int64_t
duration_of(const struct node *map, const char *key, int64_t otherwise)
{
	const char *text = node_text(node_get(map, key));
	int64_t ms;

	return text != NULL && text_duration_ms(text, &ms, NULL) == 0
	           ? ms
	           : otherwise;
}

static const struct node *
port_named(const struct node *worker, const char *name)
{
	const struct node *it = node_items(node_get(worker, "ports"));

	while (it != NULL && !text_equal(node_text(node_get(it, "name")), name))
		it = it->next;
	return it;
}

static void
check_probe_port(struct validation *v, const struct node *worker,
    const struct node *port, int64_t most)
{
	if (node_text(port) == NULL || *port->text == '\0')
		return;
	if (port->text[strspn(port->text, "0123456789")] == '\0') {
		if (most > 1)
			complain(v->complaints, port,
			    "a fixed port with %" PRId64 " replicas: they "
			    "share one network, so give each its own by "
			    "'ports: [{name: …, base: %s}]' and name it here",
			    most, port->text);
		return;
	}
	if (port_named(worker, port->text) != NULL)
		return;
	const struct node *ports = node_get(worker, "ports");
	struct words names = {0};
	names.list = arena_array(v->arena,
	    (ports == NULL ? 0 : ports->count) + 1, sizeof(*names.list));
	for (const struct node *it = node_items(ports); it != NULL;
	     it = it->next) {
		const char *name = node_text(node_get(it, "name"));
		if (name != NULL)
			names.list[names.count++] = name;
	}
	validate_unknown(v, port, "unknown port", &names);
}

static void
check_probe(struct validation *v, const struct node *worker, const char *key,
    int64_t most)
{
	const struct node *probe = node_get(worker, key);
	const struct node *success = node_get(probe, "successThreshold");

	check_probe_port(
	    v, worker, node_get(node_get(probe, "httpGet"), "port"), most);
	check_probe_port(
	    v, worker, node_get(node_get(probe, "tcpSocket"), "port"), most);
	if (success != NULL && !text_equal(key, "readinessProbe") &&
	    int_of(probe, "successThreshold", 1) != 1)
		complain(v->complaints, success,
		    "'successThreshold' of '%s' must be 1", key);
}

static void
check_ports(struct validation *v, const struct node *worker, int64_t most)
{
	for (const struct node *it = node_items(node_get(worker, "ports"));
	     it != NULL; it = it->next) {
		int64_t base = int_of(it, "base", 1);
		if (base >= 1 && base <= 65535 && most >= 1 &&
		    base + most - 1 > 65535)
			complain(v->complaints, node_get(it, "base"),
			    "%" PRId64 " replicas from port %" PRId64
			    " go beyond 65535",
			    most, base);
	}
}

static void
check_scale(struct validation *v, const struct node *worker)
{
	const struct node *scale = node_get(worker, "scale");
	const struct node *replicas = node_get(worker, "replicas");

	if (scale != NULL && replicas != NULL)
		complain(v->complaints, replicas->key,
		    "'replicas' beside 'scale': only one of them may stand "
		    "here");
	if (scale != NULL &&
	    int_of(scale, "min", 0) > int_of(scale, "max", INT64_MAX))
		complain(v->complaints, scale, "'min' is greater than 'max'");
}

static void
check_notify(struct validation *v, const struct node *notify)
{
	const struct node *fd = node_get(notify, "fd");
	const struct node *watchdog = node_get(notify, "watchdog");

	if (fd != NULL && node_get(notify, "ready") != NULL)
		complain(v->complaints, fd,
		    "'fd' beside 'ready': only one of them may stand here");
	if (watchdog != NULL && duration_of(notify, "watchdog", 1) < 1)
		complain(v->complaints, watchdog,
		    "a watchdog of no time: leave it out");
}

static void
check_backoff(struct validation *v, const struct node *worker)
{
	const struct node *restart = node_get(worker, "restart");
	const struct node *backoff = node_get(restart, "backoff");

	if (backoff != NULL && duration_of(backoff, "first", 500) >
	                           duration_of(backoff, "cap", 60000))
		complain(v->complaints, backoff,
		    "'first' is longer than 'cap' (default 60s)");
}

static void
check_io_priority(struct validation *v, const struct node *worker)
{
	const struct node *io = node_get(worker, "ioPriority");
	const struct node *level = node_get(io, "level");

	if (level != NULL &&
	    text_equal(node_text(node_get(io, "class")), "idle"))
		complain(v->complaints, level->key,
		    "'level' beside 'class: idle', which has none");
}

/* `ends`: without a policy it is OnFailure. */
static void
check_backoff_limit(struct validation *v, const struct node *worker, bool ends)
{
	const struct node *restart = node_get(worker, "restart");
	const char *policy = node_text(node_get(restart, "policy"));
	const struct node *limit = node_get(restart, "backoffLimit");

	if (limit != NULL && !text_equal(policy, "OnFailure") &&
	    (policy != NULL || !ends))
		complain(v->complaints, limit->key,
		    "'backoffLimit' needs 'policy: OnFailure' beside it");
}

/* Keys of what ends, beside a policy by which it never does. */
static void
check_ends(struct validation *v, const struct node *worker)
{
	const char *policy =
	    node_text(node_get(node_get(worker, "restart"), "policy"));
	const struct node *deadline = node_get(worker, "activeDeadlineSeconds");
	bool scheduled = node_get(worker, "schedule") != NULL;

	check_backoff_limit(v, worker, scheduled);
	if (deadline != NULL && !scheduled &&
	    (policy == NULL || text_equal(policy, "Always")))
		complain(v->complaints, deadline->key,
		    "'activeDeadlineSeconds' is for a worker that ends: with "
		    "'restart: {policy: OnFailure}' or Never");
}

/* Keys that go with `schedule`, and those that don't. */
static void
check_schedule(struct validation *v, const struct node *worker)
{
	static const char *const with[] = {"timeZone", "concurrencyPolicy",
	    "startingDeadlineSeconds", "suspend"};
	static const char *const without[] = {
	    "replicas", "scale", "maxUnavailable", "consumes"};
	const struct node *policy =
	    node_get(node_get(worker, "restart"), "policy");

	for (size_t i = 0; i < ARRAY_LEN(with); i++)
		validate_goes_with(v, worker, with[i], "schedule");
	if (node_get(worker, "schedule") == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		const struct node *value = node_get(worker, without[i]);
		if (value != NULL)
			complain(v->complaints, value->key,
			    "'%s' beside 'schedule': it runs when it is due, "
			    "and ends",
			    without[i]);
	}
	if (text_equal(node_text(policy), "Always"))
		complain(v->complaints, policy,
		    "with 'schedule' a worker has to end: valid: OnFailure, "
		    "Never");
}

void
validate_worker(struct validation *v, const struct node *worker)
{
	int64_t most = int_of(
	    node_get(worker, "scale"), "max", int_of(worker, "replicas", 1));

	validate_env(v, worker);
	check_scale(v, worker);
	check_ports(v, worker, most);
	check_probe(v, worker, "readinessProbe", most);
	check_probe(v, worker, "livenessProbe", most);
	check_probe(v, worker, "startupProbe", most);
	check_notify(v, node_get(worker, "notify"));
	check_probe_port(v, worker,
	    node_get(
	        node_get(node_get(node_get(worker, "lifecycle"), "preStop"),
	            "httpGet"),
	        "port"),
	    most);
	check_backoff(v, worker);
	check_io_priority(v, worker);
	check_ends(v, worker);
	check_schedule(v, worker);
}

/* What makes sense for what is started again for ever, or isn't. */
void
validate_init_worker(struct validation *v, const struct node *worker)
{
	static const char *const not_here[] = {"schedule", "timeZone",
	    "concurrencyPolicy", "startingDeadlineSeconds", "suspend",
	    "replicas", "scale", "consumes", "onStall", "stallAfter",
	    "readinessProbe", "livenessProbe", "startupProbe", "dependsOn",
	    "maxUnavailable"};
	const struct node *name = node_get(worker, "name");

	for (size_t i = 0; i < ARRAY_LEN(not_here); i++) {
		const struct node *value = node_get(worker, not_here[i]);
		if (value != NULL)
			complain(v->complaints, value->key,
			    "'%s' means nothing in 'initWorkers': they run "
			    "once, one after the other",
			    not_here[i]);
	}
	if (node_text(name) != NULL && words_have(&v->workers, name->text))
		complain(v->complaints, name,
		    "'%s' is also a name in 'workers': both are known by it",
		    name->text);
	validate_env(v, worker);
	check_backoff(v, worker);
	check_io_priority(v, worker);
	check_backoff_limit(v, worker, true);
	const struct node *policy =
	    node_get(node_get(worker, "restart"), "policy");
	if (text_equal(node_text(policy), "Always"))
		complain(v->complaints, policy,
		    "an init worker has to end: valid: OnFailure, Never");
}
