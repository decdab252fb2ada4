/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <regex.h>

#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/queue_form.h"
#include "manifests/validate.h"

/* --- numbers of a document that may be wrong: then these don't complain --- */

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

/* --- queues --- */

static void
queue_keys(
    struct validation *v, const struct node *queue, enum queue_kind_id kind)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	const char *valid[ROWS_queue + 1] = {0};
	uint64_t bit = UINT64_C(1) << kind;
	size_t n = 0;

	for (size_t i = 0; i < mapping->nrows; i++) {
		if ((mapping->rows[i].kinds & bit) != 0)
			valid[n++] = mapping->rows[i].key;
	}
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(queue, row->key);
		if (value != NULL && row->kinds != 0 && (row->kinds & bit) == 0)
			complain(v->complaints, value->key,
			    "a queue of kind %s has no key '%s'; valid: %s",
			    queue_kinds[kind].word, row->key,
			    words_listed(v->arena, valid));
		if (value == NULL && (row->needed_by & bit) != 0)
			complain(v->complaints, queue,
			    "a queue of kind %s needs '%s'",
			    queue_kinds[kind].word, row->key);
	}
}

static void
queue_one_url(struct validation *v, const struct node *queue)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	const struct node *url = node_get(queue, "url");
	struct queue_form form;
	bool outside = false;
	struct err err;

	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(queue, row->key);
		if (value == NULL || row->kinds == 0)
			continue;
		outside = true;
		complain(v->complaints, value->key,
		    "'%s' without 'kind': in the one-URL form it "
		    "belongs into 'url' (…?%s=…); or say 'kind'",
		    row->key,
		    text_equal(row->key, "deadLetter") ? "dlq" : row->key);
	}
	if (outside || node_text(url) == NULL)
		return;
	const char *query = strchr(url->text, '?');
	if (strstr(url->text, "$(") == NULL) {
		if (queue_form_take(v->arena, url->text, &form, &err) == -1)
			complain(v->complaints, url, "'url': %s", err.text);
	} else if (query != NULL && strchr(query + 1, '?') != NULL) {
		complain(v->complaints, url,
		    "'url': a second '?': in the one-URL form everything "
		    "after the first is key=value&…");
	}
}

static void
check_queue(struct validation *v, const struct node *queue)
{
	const struct node *kind = node_get(queue, "kind");
	const struct node *url = node_get(queue, "url");
	enum queue_kind_id id = queue_kind_find(node_text(kind));

	if (kind == NULL) {
		queue_one_url(v, queue);
		return;
	}
	if (id == QUEUE_KINDS)
		return;
	queue_keys(v, queue, id);
	if (node_text(url) != NULL && queue_form_plain(id, url->text) == NULL)
		complain(v->complaints, url,
		    "'url': a queue of kind %s has a URL of scheme %s",
		    queue_kinds[id].word, queue_kinds[id].schemes);
	const char *end = node_text(node_get(queue, "consume"));
	if (end != NULL && !text_equal(end, "left") &&
	    !text_equal(end, "right") && strstr(end, "$(") == NULL)
		complain(v->complaints, node_get(queue, "consume"),
		    "'consume' must be left or right");
}

/* --- $(NAME) within env --- */

struct env_look {
	struct validation *v;
	const struct node *list; /* the list that the entry stands in */
	const struct node *self; /* the entry */
	const struct node *worker;
};

static bool
same_name(const struct node *entry, const char *name, size_t len)
{
	const char *text = node_text(node_get(entry, "name"));

	return text != NULL && strlen(text) == len &&
	       strncmp(text, name, len) == 0;
}

static const struct node *
env_entry(const struct node *list, const char *name, size_t len)
{
	const struct node *it = node_items(list);

	while (it != NULL && !same_name(it, name, len))
		it = it->next;
	return it;
}

static bool
environ_has(const struct validation *v, const char *name, size_t len)
{
	for (size_t i = 0; v->environ != NULL && v->environ[i] != NULL; i++) {
		if (strncmp(v->environ[i], name, len) == 0 &&
		    v->environ[i][len] == '=')
			return true;
	}
	return false;
}

/* Self and later references never resolve (Kubernetes has only what stands
 * before), unless a layer below holds the name too. */
static bool
look_at_reference(void *arg, const char *name, size_t len, struct buffer *out)
{
	const struct env_look *look = arg;
	const struct validation *v = look->v;
	const struct node *top = node_get(v->root, "env");
	const struct node *at = env_entry(look->list, name, len);

	(void)out;
	if (at == NULL || at->line < look->self->line ||
	    (at->line == look->self->line && at->column < look->self->column))
		return false;
	if (environ_has(v, name, len) ||
	    (look->list != top && env_entry(top, name, len) != NULL) ||
	    node_get(look->worker, "envFrom") != NULL)
		return false;
	const struct node *value = node_get(look->self, "value");
	if (at != look->self)
		complain(v->complaints, value,
		    "$(%.*s) is declared only later, in line %d: a reference "
		    "sees what stands before it",
		    (int)MIN(len, 100), name, at->line);
	else if (v->environ != NULL)
		complain(v->complaints, value, "$(%.*s) refers to itself",
		    (int)MIN(len, 100), name);
	return false;
}

static void
check_env(struct validation *v, const struct node *owner)
{
	struct buffer none;
	struct env_look look = {
	    .v = v, .list = node_get(owner, "env"), .worker = owner};

	buffer_init(&none, 1);
	for (const struct node *it = node_items(look.list); it != NULL;
	     it = it->next) {
		const struct node *value = node_get(it, "value");
		look.self = it;
		if (node_text(value) != NULL)
			expand(&none, value->text, value->len,
			    look_at_reference, &look);
	}
	buffer_fini(&none);
}

/* --- $(NAME) elsewhere --- */

struct place_look {
	struct validation *v;
	const struct node *at;
	bool smoke;
};

static bool
somebody_has(const struct validation *v, const char *name, size_t len)
{
	if (environ_has(v, name, len) ||
	    env_entry(node_get(v->root, "env"), name, len) != NULL)
		return true;
	for (const struct node *it = node_items(node_get(v->root, "workers"));
	     it != NULL; it = it->next) {
		if (env_entry(node_get(it, "env"), name, len) != NULL)
			return true;
		for (const struct node *queue =
		         node_items(node_get(it, "consumes"));
		     queue != NULL; queue = queue->next) {
			const char *env = node_text(node_get(queue, "env"));
			if (env != NULL && strlen(env) == len &&
			    strncmp(env, name, len) == 0)
				return true;
		}
	}
	return false;
}

/* Whether names come from where only resolving can look. */
static bool
names_from_outside(const struct validation *v)
{
	if (v->environ == NULL)
		return true;
	for (const struct node *it = node_items(node_get(v->root, "workers"));
	     it != NULL; it = it->next) {
		if (node_get(it, "envFrom") != NULL)
			return true;
	}
	return false;
}

static bool
look_at_name(void *arg, const char *name, size_t len, struct buffer *out)
{
	const struct place_look *look = arg;
	const struct validation *v = look->v;

	(void)out;
	if (len == 6 && strncmp(name, "CANARY", 6) == 0) {
		if (!look->smoke)
			complain(v->complaints, look->at,
			    "$(CANARY) has a value only within 'smoke'");
		return false;
	}
	if (!names_from_outside(v) && !somebody_has(v, name, len))
		complain(v->complaints, look->at,
		    "$(%.*s) is declared nowhere: not in 'env', in a "
		    "worker's 'env' or in the supervisor's environment",
		    (int)MIN(len, 100), name);
	return false;
}

static void check_expansions(struct place_look *look,
    const struct mapping *mapping, const struct node *node);

static void
check_expansion(
    struct place_look *look, const struct row *row, const struct node *node)
{
	struct buffer none;

	if (node->kind == NODE_MAPPING && row->type == ROW_MAP) {
		check_expansions(look, mapping_of(row->sub), node);
		return;
	}
	if (row->type == ROW_LIST) {
		for (const struct node *it = node_items(node); it != NULL;
		     it = it->next)
			check_expansions(look, mapping_of(row->sub), it);
		return;
	}
	if ((row->flags & F_EXPAND) == 0)
		return;
	if (node->kind != NODE_SCALAR) { /* a list of texts, or pairs */
		for (const struct node *it = node->first; it != NULL;
		     it = it->next) {
			if (it->kind == NODE_SCALAR)
				check_expansion(look, row, it);
		}
		return;
	}
	buffer_init(&none, 1);
	look->at = node;
	expand(&none, node->text, node->len, look_at_name, look);
	buffer_fini(&none);
}

/* As deep as the table is, whatever the document. */
static void
check_expansions(struct place_look *look, const struct mapping *mapping,
    const struct node *node)
{
	const struct node *it = node->kind == NODE_MAPPING ? node->first : NULL;

	for (; it != NULL; it = it->next) {
		const struct row *row = mapping_row(mapping, it->key->text);
		bool smoke = look->smoke;
		if (row == NULL)
			continue;
		look->smoke = smoke || row->sub == MAPPING_smoke;
		check_expansion(look, row, it);
		look->smoke = smoke;
	}
}

/* --- workers --- */

/* `what` without `needs` says nothing. */
static void
check_goes_with(struct validation *v, const struct node *map, const char *what,
    const char *needs)
{
	const struct node *node = node_get(map, what);

	if (node != NULL && node_get(map, needs) == NULL)
		complain(v->complaints, node->key, "'%s' needs '%s' beside it",
		    what, needs);
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

/* Keys of what ends, beside a policy by which it never does. */
static void
check_ends(struct validation *v, const struct node *worker)
{
	const struct node *restart = node_get(worker, "restart");
	const char *policy = node_text(node_get(restart, "policy"));
	const struct node *limit = node_get(restart, "backoffLimit");
	const struct node *deadline = node_get(worker, "activeDeadlineSeconds");

	bool scheduled = node_get(worker, "schedule") != NULL;

	if (limit != NULL && !text_equal(policy, "OnFailure") &&
	    (policy != NULL || !scheduled))
		complain(v->complaints, limit->key,
		    "'backoffLimit' needs 'policy: OnFailure' beside it");
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
		check_goes_with(v, worker, with[i], "schedule");
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

static void
check_worker(struct validation *v, const struct node *worker)
{
	int64_t most = int_of(
	    node_get(worker, "scale"), "max", int_of(worker, "replicas", 1));

	check_env(v, worker);
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
	check_ends(v, worker);
	check_schedule(v, worker);
}

/* What makes sense for what is started again for ever, or isn't. */
static void
check_init_worker(struct validation *v, const struct node *worker)
{
	static const char *const not_here[] = {"schedule", "replicas", "scale",
	    "consumes", "readinessProbe", "livenessProbe", "startupProbe",
	    "dependsOn", "maxUnavailable"};
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
	check_env(v, worker);
	check_backoff(v, worker);
	const struct node *policy =
	    node_get(node_get(worker, "restart"), "policy");
	if (text_equal(node_text(policy), "Always"))
		complain(v->complaints, policy,
		    "an init worker has to end: valid: OnFailure, Never");
}

/* --- checks and smoke --- */

static void
check_check(struct validation *v, const struct node *check)
{
	static const char *const sql[] = {"postgres", "mysql", "sqlite"};
	const struct node *redis = node_get(check, "redis");

	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		const struct node *look = node_get(check, sql[i]);
		check_goes_with(v, look, "equals", "query");
		check_goes_with(v, look, "atLeast", "query");
		if (node_get(look, "query") != NULL &&
		    node_get(look, "equals") == NULL)
			check_goes_with(v, look, "query", "atLeast");
	}
	check_goes_with(v, redis, "equals", "key");
	check_goes_with(v, redis, "exists", "key");
	if (node_get(redis, "key") != NULL && node_get(redis, "equals") == NULL)
		check_goes_with(v, redis, "key", "exists");
}

static void
check_smoke(struct validation *v, const struct node *smoke)
{
	const struct node *submit = node_get(smoke, "submit");
	const struct node *payload = node_get(submit, "payload");
	const char *queue = node_text(node_get(submit, "queue"));

	if (node_text(payload) != NULL &&
	    strstr(payload->text, "$(CANARY)") == NULL)
		complain(v->complaints, payload,
		    "'payload' must hold $(CANARY): without it the job can't "
		    "be told from another");
	for (const struct node *it = node_items(node_get(smoke, "stages"));
	     it != NULL; it = it->next) {
		const struct node *log = node_get(it, "log");

		check_goes_with(v, it, "state", "queue");
		check_goes_with(v, it, "queue", "state");
		if (node_get(log, "path") != NULL &&
		    node_get(log, "worker") != NULL)
			complain(v->complaints, node_get(log, "worker"),
			    "'worker' and 'path' exclude each other: a line is "
			    "looked for in a worker's output or in a file");
	}
	if (!text_equal(node_text(node_get(smoke, "mode")), "isolated"))
		return;
	for (const struct node *it = node_items(node_get(v->root, "queues"));
	     it != NULL; it = it->next) {
		if (text_equal(node_text(node_get(it, "name")), queue) &&
		    node_get(it, "kind") != NULL &&
		    node_get(it, "test") == NULL)
			complain(v->complaints, node_get(smoke, "mode"),
			    "'isolated' needs the key 'test' of queue '%s'",
			    queue);
	}
}

static void
check_jobs(struct validation *v, const struct node *queue)
{
	const struct node *jobs = node_get(queue, "jobs");

	check_goes_with(v, jobs, "version", "versions");
	check_goes_with(v, jobs, "versions", "version");
}

/* What the name of a queue must match has to be an expression at all. */
static void
check_queue_names(struct validation *v)
{
	const struct node *node = node_get(v->root, "queueNames");
	const char *text = node_text(node);
	char why[100];
	regex_t pattern;

	if (text == NULL)
		return;
	int rc = regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB);

	if (rc == 0) {
		regfree(&pattern);
		return;
	}
	(void)regerror(rc, &pattern, why, sizeof(why));
	complain(v->complaints, node,
	    "'%s' is no extended regular expression: %s", text, why);
}

static void
for_each(struct validation *v, const char *list,
    void (*check)(struct validation *v, const struct node *node))
{
	for (const struct node *it = node_items(node_get(v->root, list));
	     it != NULL; it = it->next)
		check(v, it);
}

void
validate_together(struct validation *v)
{
	struct place_look look = {.v = v};

	for_each(v, "queues", check_queue);
	for_each(v, "queues", check_jobs);
	for_each(v, "workers", check_worker);
	for_each(v, "initWorkers", check_init_worker);
	validate_order(v);
	for_each(v, "producers", check_env);
	for_each(v, "checks", check_check);
	for_each(v, "smoke", check_smoke);
	check_queue_names(v);
	check_env(v, v->root);
	check_expansions(&look, mapping_of(MAPPING_manifest), v->root);
}
