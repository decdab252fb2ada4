/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/stat.h>

#include "tests/unit/manifest_try.h"

/* What is declared once a text is accepted: defaults, layers, places. */

static const struct declared_env *
variable(const struct try *try, size_t worker, const char *name)
{
	const struct declared_env *env =
	    declared_env_find(&try->declared->workers[worker].env, name);

	assert_non_null(env);
	return env;
}

static void
products_example_loads_clean(void **state)
{
	static const char *const environment[] = {
	    "SLACK_URL=https://hooks.slack.example/T0/B0/xyzzy", "PATH=/bin",
	    NULL};
	const struct declared_options options = {.environ = environment};
	struct try try;

	(void)state;
	try_begin(&try);
	int rc = declared_load("tests/corpus/manifests/product.yaml", &options,
	    &try.arena, NULL, &try.declared, &try.errors, &try.err);
	try_good(&try);
	assert_int_equal(rc, 0);
	const struct declared *d = try.declared;
	assert_string_equal(d->name, "fileprocess");
	assert_int_equal(strlen(d->digest), 64);
	assert_string_equal(d->queues[0].kind, "redis");
	assert_string_equal(d->queues[0].url, "redis://nexus-redis:6379");
	assert_string_equal(d->queues[0].real_name, "fileprocess:jobs");
	assert_string_equal(d->queues[0].real_key, "list");
	assert_int_equal(d->queues[0].objectives.oldest_ms, 300000);
	assert_string_equal(d->queues[0].options[1].key, "dlq");
	const struct declared_worker *w = &d->workers[0];
	assert_int_equal(w->replicas, 2);
	assert_int_equal(w->grace_ms, 30000);
	assert_true(w->memory_limit_bytes == INT64_C(1) << 30);
	assert_int_equal(w->cpu_limit_milli, 1000);
	assert_int_equal(w->alert_after_count, 3);
	assert_int_equal(w->start_limit_count, 5);
	assert_int_equal(w->start_limit_window_ms, 1000);
	assert_int_equal(w->notify, DECLARED_NOTIFY_ABSENT);
	assert_int_equal(w->alert_after_window_ms, 3600000);
	assert_int_equal(w->on_drift.secret, DRIFT_RESTART);
	assert_int_equal(w->on_drift.executable, DRIFT_ALERT);
	assert_string_equal(w->readiness.port_name, "health");
	assert_int_equal(w->readiness.period_ms, 10000);
	assert_string_equal(
	    variable(&try, 0, "QUEUE_NAME")->value, "fileprocess:jobs");
	assert_string_equal(variable(&try, 0, "MAGEAGENT_URL")->source,
	    "config nexus-config key MAGEAGENT_URL");
	assert_string_equal(d->checks[1].request.json,
	    "{\"url\":\"http://nexus-mageagent:3000/api/ocr\","
	    "\"method\":\"POST\",\"body\":\"{}\",\"status\":[200,400,422]}");
	assert_string_equal(d->smokes[0].stages[0].state, "taken");
	assert_int_equal(d->smokes[0].floor_ms, 50);
	assert_string_equal(d->smokes[0].cleanup[0].kind, "postgres");
	assert_string_equal(d->alerts[0].format, "slack");
	assert_int_equal(d->ninert, 0);
	try_end(&try);
}

static void
an_exact_newline_in_a_secret_stays(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/secret", try.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	try_file(&try, "secret/A", "value\n", 6);
	try_load(&try,
	    TRY_HEAD
	    "secrets: [{name: s, dir: secret}]\n"
	    "workers:\n- name: w\n  command: [/w]\n"
	    "  env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: A}}}]\n",
	    NULL);
	try_good(&try);
	const struct declared_env *env = variable(&try, 0, "A");
	assert_int_equal(env->len, 6);
	assert_string_equal(env->value, "value\n");
	assert_true(env->secret);
	assert_false(env->literal);
	assert_string_equal(env->source, "secret s key A");
	assert_int_equal(env->place.line, 7);
	assert_int_equal(env->place.column, 9);
	try_end(&try);
}

static void
later_layers_win_and_earlier_entries_stay_marked(void **state)
{
	static const char *const environment[] = {
	    "A=own", "B=own", "C=own", "D=own", NULL};
	const struct declared_options options = {.environ = environment};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "configs: [{name: c, data: {A: config, B: config}}]\n"
	             "env: [{name: B, value: top}, {name: C, value: top}]\n"
	             "workers:\n- name: w\n  command: [/w]\n"
	             "  envFrom: [{configMapRef: {name: c}}]\n"
	             "  env: [{name: A, value: worker}]\n",
	    &options);
	try_good(&try);
	assert_string_equal(variable(&try, 0, "A")->value, "worker");
	assert_string_equal(variable(&try, 0, "B")->value, "config");
	assert_string_equal(variable(&try, 0, "C")->value, "top");
	assert_string_equal(variable(&try, 0, "D")->value, "own");
	size_t shadowed = 0;
	const struct declared_environment *env = &try.declared->workers[0].env;
	for (size_t i = 0; i < env->count; i++)
		shadowed += env->entries[i]->shadowed;
	assert_int_equal(env->count, 9);
	assert_int_equal(shadowed, 5);
	try_end(&try);
}

static const struct declared_env *
entry_of(const struct try *try, size_t worker, size_t which)
{
	return try->declared->workers[worker].env.entries[which];
}

static void
workers_share_what_they_have_from_one_place(void **state)
{
	static const char *const environment[] = {"A=own", NULL};
	const struct declared_options options = {.environ = environment};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "env: [{name: B, value: top}]\n"
	             "workers:\n"
	             "- {name: u, command: [/w]}\n"
	             "- {name: v, command: [/w],"
	             " env: [{name: A, value: of v}, {name: C, value: of v}]}\n"
	             "- {name: w, command: [/w]}\n",
	    &options);
	try_good(&try);
	assert_ptr_equal(entry_of(&try, 0, 0), entry_of(&try, 2, 0));
	assert_ptr_equal(entry_of(&try, 0, 1), entry_of(&try, 2, 1));
	assert_ptr_equal(entry_of(&try, 0, 1), entry_of(&try, 1, 1));
	/* what one of them overrides is its own affair */
	assert_true(entry_of(&try, 1, 0)->shadowed);
	assert_false(entry_of(&try, 0, 0)->shadowed);
	assert_string_equal(variable(&try, 1, "A")->value, "of v");
	assert_string_equal(variable(&try, 2, "A")->value, "own");
	try_end(&try);
}

static void
inherit_env_restricts_the_supervisors_own(void **state)
{
	static const char *const environment[] = {"A=own", "B=own", NULL};
	const struct declared_options options = {.environ = environment};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "workers:\n"
	             "- {name: v, command: [/w], inheritEnv: none}\n"
	             "- {name: w, command: [/w], inheritEnv: [B]}\n",
	    &options);
	try_good(&try);
	assert_int_equal(try.declared->workers[0].env.count, 0);
	assert_int_equal(try.declared->workers[1].env.count, 1);
	assert_string_equal(variable(&try, 1, "B")->value, "own");
	try_end(&try);
}

static void
references_expand_as_in_kubernetes(void **state)
{
	static const char *const environment[] = {"PATH=/bin", NULL};
	const struct declared_options options = {.environ = environment};
	static const struct {
		const char *name, *value, *unresolved;
	} expected[] = {
	    {"A", "a", NULL},
	    {"B", "a-a", NULL},
	    {"C", "$(A)", NULL},
	    {"D", "$a", NULL},
	    {"E", "$(NOPE)a", "NOPE"},
	    {"F", "$(A", NULL},
	    {"G", "5$", NULL},
	    {"PATH", "/bin:/opt", NULL},
	    {"H", "a $(x)", "x"},
	};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD
	    "workers:\n- name: w\n  command: [/w, $(A), $(date), $$(A)]\n"
	    "  args: [\"\", $(B)]\n  env:\n"
	    "  - {name: A, value: a}\n  - {name: B, value: $(A)-$(A)}\n"
	    "  - {name: C, value: $$(A)}\n  - {name: D, value: $$$(A)}\n"
	    "  - {name: E, value: $(NOPE)$(A)}\n  - {name: F, value: $(A}\n"
	    "  - {name: G, value: 5$}\n"
	    "  - {name: PATH, value: \"$(PATH):/opt\"}\n"
	    "  - {name: H, value: $(A) $(x)}\n",
	    &options);
	try_good(&try);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct declared_env *env =
		    variable(&try, 0, expected[i].name);
		if (!text_equal(env->value, expected[i].value) ||
		    !text_equal(env->unresolved, expected[i].unresolved))
			fail_msg("%s is '%s', unresolved '%s'", env->name,
			    env->value, env->unresolved);
	}
	const char *const *argv = try.declared->workers[0].command;
	assert_string_equal(argv[1], "a");
	assert_string_equal(argv[2], "$(date)");
	assert_string_equal(argv[3], "$(A)");
	assert_string_equal(argv[4], "");
	assert_string_equal(argv[5], "a-a");
	assert_null(argv[6]);
	try_end(&try);
}

static void
a_value_that_holds_a_secret_is_secret(void **state)
{
	static const char *const environment[] = {"P_PW=hunter22", NULL};
	static const char *const overrides[] = {"s=env:P_", NULL};
	const struct declared_options options = {
	    .environ = environment, .secret_overrides = overrides};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD
	    "secrets: [{name: s, dir: /nonexistent}]\n"
	    "env:\n"
	    "- {name: PW, valueFrom: {secretKeyRef: {name: s, key: PW}}}\n"
	    "- {name: U, value: \"redis://:$(PW)@h:6379\"}\n"
	    "- {name: V, value: \"$(U)/0\"}\n"
	    "queues: [{name: q, kind: redis, url: $(V), list: l}]\n"
	    "workers: [{name: w, command: [/w]}]\n",
	    &options);
	try_good(&try);
	assert_string_equal(
	    variable(&try, 0, "V")->value, "redis://:hunter22@h:6379/0");
	assert_true(variable(&try, 0, "U")->secret);
	assert_true(variable(&try, 0, "V")->secret);
	assert_true(try.declared->queues[0].url_secret);
	/* …and may not go into an argument */
	try_load(&try,
	    TRY_HEAD
	    "secrets: [{name: s, dir: /nonexistent}]\n"
	    "env:\n"
	    "- {name: PW, valueFrom: {secretKeyRef: {name: s, key: PW}}}\n"
	    "workers: [{name: w, command: [/w, -p, $(PW)]}]\n",
	    &options);
	assert_int_equal(try.errors.count, 1);
	assert_int_equal(try.errors.errors[0].place.line, 6);
	assert_non_null(strstr(try.errors.errors[0].text, "is secret"));
	try_end(&try);
}

static void
what_is_absent_is_recorded_with_the_reason(void **state)
{
	struct try try;
	char path[128];

	(void)state;
	try_begin(&try);
	(void)snprintf(path, sizeof(path), "%s/secret", try.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	try_file(&try, "secret/VOYAGEAI_API_KEY", "k", 1);
	try_load(&try,
	    TRY_HEAD
	    "secrets:\n- {name: s, dir: secret}\n- {name: t, dir: /nonexistent}\n"
	    "workers:\n- name: w\n  command: [/w]\n  env:\n"
	    "  - {name: A, valueFrom: {secretKeyRef: {name: s, key: "
	    "VOYAGE_API_KEY}}}\n"
	    "  - {name: B, valueFrom: {secretKeyRef: {name: t, key: K}}}\n"
	    "  - {name: C, valueFrom: {secretKeyRef: {name: s, key: K, "
	    "optional: true}}}\n"
	    "  - {name: D, value: $(A)}\n"
	    "checks: [{name: c, dns: {host: $(A)}}]\n",
	    NULL);
	try_good(&try);
	const struct declared_env *a = variable(&try, 0, "A");
	assert_null(a->value);
	assert_int_equal(a->absence, ABSENT_KEY);
	assert_string_equal(a->why, "no such key");
	assert_string_equal(a->ref_key, "VOYAGE_API_KEY");
	assert_int_equal(variable(&try, 0, "B")->absence, ABSENT_SOURCE);
	assert_null(declared_env_find(&try.declared->workers[0].env, "C"));
	const struct declared_env *d = variable(&try, 0, "D");
	assert_null(d->value);
	assert_string_equal(d->unresolved, "A");
	assert_true(d->secret);
	assert_string_equal(try.declared->checks[0].request.unresolved, "A");
	assert_string_equal(
	    try.declared->sources[0].keys[0], "VOYAGEAI_API_KEY");
	assert_false(try.declared->sources[1].readable);
	assert_non_null(
	    strstr(try.declared->sources[1].why, "No such file or directory"));
	(void)snprintf(
	    path, sizeof(path), "%s/secret/VOYAGEAI_API_KEY", try.dir);
	assert_int_equal(unlink(path), 0);
	try_end(&try);
}

static void
a_check_speaks_for_no_worker_when_they_differ(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "workers:\n"
	             "- {name: v, command: [/w], env: [{name: U, value: a}]}\n"
	             "- {name: w, command: [/w], env: [{name: U, value: b}]}\n"
	             "checks: [{name: c, dns: {host: $(U)}}]\n",
	    NULL);
	try_good(&try);
	assert_string_equal(try.declared->checks[0].request.unresolved,
	    "U (workers v and w differ)");
	try_end(&try);
}

static void
without_an_environment_a_name_may_still_be_there(void **state)
{
	const struct declared_options options = {0};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "queues: [{name: q, url: \"$(REDIS_URL)?list=l\"}]\n"
	             "env: [{name: PATH, value: \"$(PATH):/opt\"}]\n",
	    &options);
	try_good(&try);
	assert_null(try.declared->queues[0].url);
	assert_string_equal(
	    try.declared->queues[0].url_unresolved, "REDIS_URL");
	assert_string_equal(try.declared->queues[0].real_name, "l");
	try_end(&try);
}

static void
the_one_url_form_is_taken_apart(void **state)
{
	static const struct {
		const char *given, *kind, *url, *name;
		size_t noptions;
	} forms[] = {
	    {"redis://h:6379/0?list=a:b&dlq=dead&processing=p", "redis",
	        "redis://h:6379/0", "a:b", 3},
	    {"rediss://u:p%40w@h/1?list=l", "redis", "rediss://u:p%40w@h/1",
	        "l", 1},
	    {"pgtable+postgresql://u@h/db?sslmode=require&table=documents&"
	     "where=tenant_id%3D1",
	        "pgtable", "postgresql://u@h/db?sslmode=require", "documents",
	        2},
	    {"sqlitetable+file:///var/p.db?table=jobs", "sqlitetable",
	        "file:///var/p.db", "jobs", 1},
	    {"sqlite:///var/p.db?queue=jobs", "sqlite", "sqlite:///var/p.db",
	        "jobs", 1},
	    {"bullmq+redis://h/0?queue=x&prefix=bull", "bullmq", "redis://h/0",
	        "x", 2},
	    {"nats://h:4222?stream=S&consumer=C", "nats", "nats://h:4222", "S",
	        2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct try try;
		char text[512];
		(void)snprintf(text, sizeof(text),
		    TRY_HEAD "queues: [{name: q, url: \"%s\"}]\n",
		    forms[i].given);
		try_begin(&try);
		try_load(&try, text, NULL);
		try_good(&try);
		const struct declared_queue *q = &try.declared->queues[0];
		assert_string_equal(q->kind, forms[i].kind);
		assert_string_equal(q->url, forms[i].url);
		assert_string_equal(q->real_name, forms[i].name);
		assert_int_equal(q->noptions, forms[i].noptions);
		try_end(&try);
	}
}

static void
absent_and_zero_are_two_declarations(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "workers:\n- {name: v, command: [/w], replicas: 0, "
	             "terminationGracePeriodSeconds: 0}\n"
	             "- {name: w, command: [/w]}\n",
	    NULL);
	try_good(&try);
	const struct declared_worker *w = try.declared->workers;
	assert_int_equal(w[0].replicas, 0);
	assert_int_equal(w[1].replicas, 1);
	assert_int_equal(w[0].grace_ms, 0);
	assert_int_equal(w[1].grace_ms, 30000);
	assert_null(w[1].security.user.text);
	assert_int_equal(w[1].memory_limit_bytes, -1);
	assert_int_equal(w[1].restart, DECLARED_ALWAYS);
	assert_int_equal(w[1].backoff_cap_ms, 60000);
	assert_int_equal(w[1].readiness.kind, DECLARED_PROBE_NONE);
	assert_int_equal(try.declared->supervisor.grace_ms, -1);
	assert_string_equal(try.declared->supervisor.exit_code, "worst");
	try_end(&try);
}

static void
the_digest_ignores_layout_and_passwords_only(void **state)
{
	static const char *const same[] = {TRY_HEAD
	    "env: [{name: A, value: \"redis://:one@h\"}]\n",
	    TRY_HEAD "# a comment\nenv:\n  - name: A\n"
	             "    value: redis://:two@h\n"};
	char digests[3][65];
	struct try try;

	(void)state;
	try_begin(&try);
	for (size_t i = 0; i < 2; i++) {
		try_load(&try, same[i], NULL);
		try_good(&try);
		memcpy(digests[i], try.declared->digest, 65);
	}
	try_load(&try, TRY_HEAD "env: [{name: A, value: \"redis://:one@i\"}]\n",
	    NULL);
	try_good(&try);
	memcpy(digests[2], try.declared->digest, 65);
	assert_string_equal(digests[0], digests[1]);
	assert_string_not_equal(digests[0], digests[2]);
	try_end(&try);
}

static void
an_isolated_smoke_never_names_the_live_queue(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD
	    "queues:\n"
	    "- {name: q, url: \"redis://h/0?list=live&test=canaries&dlq=d\"}\n"
	    "smoke: [{name: s, mode: isolated, submit: {queue: q, payload: "
	    "$(CANARY)}, stages: [{name: t, queue: q, state: gone}]}]\n",
	    NULL);
	try_good(&try);
	const struct declared_smoke *smoke = &try.declared->smokes[0];
	assert_true(smoke->isolated);
	assert_string_equal(smoke->queue->real_name, "canaries");
	assert_ptr_equal(smoke->stages[0].queue, smoke->queue);
	assert_int_equal(smoke->queue->noptions, 2);
	for (size_t i = 0; i < smoke->queue->noptions; i++)
		assert_string_not_equal(smoke->queue->options[i].value, "live");
	assert_string_equal(try.declared->queues[0].real_name, "live");
	try_load(&try,
	    TRY_HEAD
	    "queues: [{name: q, url: \"redis://h/0?list=live\"}]\n"
	    "smoke: [{name: s, mode: isolated, submit: {queue: q, payload: "
	    "$(CANARY)}, stages: [{name: t, queue: q, state: gone}]}]\n",
	    NULL);
	assert_int_equal(try.errors.count, 1);
	assert_non_null(strstr(try.errors.errors[0].text, "'test'"));
	try_end(&try);
}

static void
an_override_must_name_a_declared_secret(void **state)
{
	static const char *const unknown[] = {"t=dir:/x", NULL};
	static const char *const garbled[] = {"s=/x", NULL};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try, TRY_HEAD "secrets: [{name: s, dir: /x}]\n",
	    &(struct declared_options){.secret_overrides = unknown});
	assert_null(try.declared);
	assert_int_equal(try.errors.count, 0);
	assert_non_null(strstr(try.err.text, "no such secret"));
	try_load(&try, TRY_HEAD "secrets: [{name: s, dir: /x}]\n",
	    &(struct declared_options){.secret_overrides = garbled});
	assert_null(try.declared);
	assert_non_null(strstr(try.err.text, "NAME=dir:PATH"));
	try_end(&try);
}

/* A queue's or a worker's own comes first, then the preset's, then the
 * preset's default. */
static void
presets_fill_what_is_not_declared(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD
	    "alertPresets:\n  default: {noConsumer: 5m, failureRatio: 20%}\n"
	    "  incident003: {depth: 70, restarts: 5 per 2h}\n"
	    "queues:\n- {name: a, url: 'redis://h/0?list=a'}\n"
	    "- {name: b, url: 'redis://h/0?list=b',"
	    " objectives: {depth: 9, failureRatio: 1%}}\n"
	    "workers:\n- {name: w, command: [/w]}\n"
	    "- {name: x, command: [/x], restart: {alertAfter: 2 per 1m}}\n",
	    NULL);
	try_good(&try);
	const struct declared *d = try.declared;
	const struct declared_objectives *a = &d->queues[0].objectives;
	const struct declared_objectives *b = &d->queues[1].objectives;

	assert_true(d->preset.on);
	assert_int_equal(d->preset.no_consumer_ms, 300000);
	assert_int_equal(d->preset.oldest_factor, 5);
	assert_int_equal(a->depth, 70);
	assert_int_equal(a->dead_letters, 10);
	assert_int_equal(a->min_count, 20);
	assert_int_equal((int)(1000 * a->failure_ratio), 100);
	assert_int_equal((int)(1000 * a->lease_expiry_ratio), 50);
	assert_int_equal(a->oldest_ms, -1);
	assert_int_equal(b->depth, 9);
	assert_int_equal((int)(1000 * b->failure_ratio), 10);
	/* more than five */
	assert_int_equal(d->workers[0].alert_after_count, 6);
	assert_int_equal(d->workers[0].alert_after_window_ms, 7200000);
	assert_int_equal(d->workers[1].alert_after_count, 2);
	try_load(
	    &try, TRY_HEAD "alertPresets: {incident003: {deph: 70}}\n", NULL);
	assert_null(try.declared);
	assert_non_null(strstr(try.errors.errors[0].text, "'depth'"));
	try_load(&try, TRY_HEAD "workers: [{name: w, command: [/w]}]\n", NULL);
	try_good(&try);
	assert_false(try.declared->preset.on);
	assert_int_equal(try.declared->workers[0].alert_after_count, 3);
	try_end(&try);
}

static void
a_portion_and_an_interval(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD "supervisor: {observe: {every: 30s}}\n"
	             "workers:\n- {name: a, command: [/w], maxUnavailable: 2}\n"
	             "- {name: b, command: [/w], maxUnavailable: 25%}\n"
	             "- {name: c, command: [/w]}\n",
	    NULL);
	try_good(&try);
	const struct declared *d = try.declared;
	assert_int_equal(d->supervisor.observe_every_ms, 30000);
	assert_int_equal(d->workers[0].max_unavailable, 2);
	assert_false(d->workers[0].max_unavailable_percent);
	assert_int_equal(d->workers[1].max_unavailable, 25);
	assert_true(d->workers[1].max_unavailable_percent);
	assert_int_equal(d->workers[2].max_unavailable, 1);
	for (size_t i = 0; i < 4; i++) {
		static const char *const wrong[] = {"0", "0%", "101%", "half"};
		char text[256];
		(void)snprintf(text, sizeof(text),
		    TRY_HEAD "workers: [{name: a, command: [/w],"
		             " maxUnavailable: %s}]\n",
		    wrong[i]);
		try_load(&try, text, NULL);
		assert_null(try.declared);
	}
	try_load(&try, TRY_HEAD "supervisor: {observe: {every: 10ms}}\n", NULL);
	assert_null(try.declared);
	assert_non_null(strstr(try.errors.errors[0].text, "1s"));
	try_end(&try);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(products_example_loads_clean),
	    cmocka_unit_test(an_exact_newline_in_a_secret_stays),
	    cmocka_unit_test(later_layers_win_and_earlier_entries_stay_marked),
	    cmocka_unit_test(workers_share_what_they_have_from_one_place),
	    cmocka_unit_test(inherit_env_restricts_the_supervisors_own),
	    cmocka_unit_test(references_expand_as_in_kubernetes),
	    cmocka_unit_test(a_value_that_holds_a_secret_is_secret),
	    cmocka_unit_test(what_is_absent_is_recorded_with_the_reason),
	    cmocka_unit_test(a_check_speaks_for_no_worker_when_they_differ),
	    cmocka_unit_test(without_an_environment_a_name_may_still_be_there),
	    cmocka_unit_test(the_one_url_form_is_taken_apart),
	    cmocka_unit_test(absent_and_zero_are_two_declarations),
	    cmocka_unit_test(the_digest_ignores_layout_and_passwords_only),
	    cmocka_unit_test(an_isolated_smoke_never_names_the_live_queue),
	    cmocka_unit_test(a_portion_and_an_interval),
	    cmocka_unit_test(presets_fill_what_is_not_declared),
	    cmocka_unit_test(an_override_must_name_a_declared_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
