/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/settings.h"
#include "supervisor/operator/specs.h"

static struct arena arena;
static const struct fingerprint_key key = {.bytes = {1, 2, 3}};

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 64 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static const char *const command[] = {"sh", "-c", "true", NULL};

static struct declared_env
env(const char *name, const char *value)
{
	return (struct declared_env){
	    .name = name,
	    .value = value,
	    .source = "literal",
	    .place = {.file = "reeve.yaml", .line = 7, .column = 3},
	};
}

static struct declared_worker
worker_with(struct declared_env *entries, size_t count)
{
	const struct declared_env **list =
	    arena_array(&arena, count, sizeof(struct declared_env *));

	for (size_t i = 0; i < count; i++)
		list[i] = &entries[i];
	return (struct declared_worker){
	    .name = "w",
	    .command = command,
	    .replicas = 2,
	    .env = {.entries = list, .count = count},
	    .settings = {.nice = DECLARED_UNSET,
	        .oom_score_adj = DECLARED_UNSET,
	        .umask = UINT32_MAX},
	    .memory_limit_bytes = -1,
	    .place = {.file = "reeve.yaml", .line = 5, .column = 1},
	    .on_drift = {.secret = DRIFT_RESTART,
	        .config = DRIFT_IGNORE,
	        .queue = DRIFT_RESTART},
	};
}

static struct worker_spec
spec_of(struct declared_worker *worker)
{
	struct declared declared = {
	    .name = "sys",
	    .workers = worker,
	    .nworkers = 1,
	    .supervisor = {.grace_ms = -1, .liveness_port = -1},
	};
	struct specs specs;
	struct err err = ERR_INIT;

	(void)snprintf(declared.digest, sizeof(declared.digest), "%064d", 0);
	assert_int_equal(specs_make(&declared, &key, &arena, &specs, &err), 0);
	assert_int_equal(specs.count, 1);
	return specs.specs[0];
}

static void
the_command_is_found_by_the_workers_own_path(void **state)
{
	char dir[] = "/tmp/test-specs-XXXXXX";
	char path[64];
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/sh", dir);
	assert_int_equal(fd_replace_file(path, 0755, "x", 1, &err), 0);
	assert_int_equal(chmod(path, 0755), 0);
	struct declared_env entries[] = {
	    env("PATH", arena_format(&arena, "/nowhere:%s:/bin", dir))};
	struct declared_worker worker = worker_with(entries, 1);
	struct worker_spec spec = spec_of(&worker);

	assert_string_equal(spec.executable, path);
	assert_string_equal(spec.argv[0], "sh");
	(void)unlink(path);
	(void)rmdir(dir);
}

static void
equal_variables_of_several_workers_are_stored_once(void **state)
{
	enum {
		WORKERS = 100
	};
	struct declared_worker *workers =
	    arena_array(&arena, WORKERS, sizeof(*workers));
	struct declared declared = {
	    .name = "sys",
	    .workers = workers,
	    .nworkers = WORKERS,
	    .supervisor = {.grace_ms = -1, .liveness_port = -1},
	};
	struct specs specs;
	struct err err = ERR_INIT;

	(void)state;
	(void)snprintf(declared.digest, sizeof(declared.digest), "%064d", 0);
	for (size_t i = 0; i < WORKERS; i++) {
		struct declared_env *entries =
		    arena_array(&arena, 2, sizeof(*entries));
		entries[0] = env("SHARED", arena_text(&arena, "same"));
		entries[1] = env("OWN", arena_format(&arena, "%zu", i));
		workers[i] = worker_with(entries, 2);
	}
	assert_int_equal(specs_make(&declared, &key, &arena, &specs, &err), 0);
	for (size_t i = 0; i < WORKERS; i++) {
		const char *const *envp = specs.specs[i].envp;
		assert_string_equal(envp[0], "SHARED=same");
		assert_ptr_equal(envp[0], specs.specs[0].envp[0]);
		assert_string_equal(
		    envp[1], arena_format(&arena, "OWN=%zu", i));
		assert_null(envp[2]);
	}
}

static void
a_command_that_is_nowhere_gets_a_path_that_says_so(void **state)
{
	static const char *const missing[] = {"no-such-program", NULL};
	static const char *const relative[] = {"bin/x", NULL};
	struct declared_env entries[] = {env("PATH", "/opt/a:/opt/b")};
	struct declared_worker worker = worker_with(entries, 1);

	(void)state;
	worker.command = missing;
	assert_string_equal(
	    spec_of(&worker).executable, "/opt/a/no-such-program");
	worker.command = relative;
	worker.working_dir = "/srv";
	assert_string_equal(spec_of(&worker).executable, "/srv/bin/x");
}

static void
shadowed_and_absent_variables_are_left_out_and_the_gap_is_found(void **state)
{
	struct declared_env entries[] = {
	    env("A", "old"), env("A", "new"), env("GONE", NULL)};
	struct declared_worker worker = worker_with(entries, 3);

	(void)state;
	entries[0].shadowed = true;
	struct worker_spec spec = spec_of(&worker);

	assert_string_equal(spec.envp[0], "A=new");
	assert_null(spec.envp[1]);
	assert_ptr_equal(specs_gap(&worker), &entries[2]);
	worker.env.count = 2;
	assert_null(specs_gap(&worker));
}

static void
the_queues_name_is_set_where_nothing_else_sets_it(void **state)
{
	const struct declared_queue queue = {
	    .name = "jobs", .real_name = "fileprocess:jobs"};
	struct declared_binding bindings[] = {
	    {.queue = &queue, .env = "QUEUE_NAME"},
	    {.queue = &queue, .env = "OTHER"}};
	struct declared_env entries[] = {env("OTHER", "mine")};
	struct declared_worker worker = worker_with(entries, 1);

	(void)state;
	worker.consumes = bindings;
	worker.nconsumes = 2;
	struct worker_spec spec = spec_of(&worker);

	assert_string_equal(
	    specs_env(spec.envp, "QUEUE_NAME"), "fileprocess:jobs");
	assert_string_equal(specs_env(spec.envp, "OTHER"), "mine");
}

static bool
differs(const struct worker_spec *first, struct declared_worker *worker)
{
	struct worker_spec spec = spec_of(worker);

	return memcmp(first->config_digest, spec.config_digest, 16) != 0;
}

static void
the_digest_is_of_what_is_executed_and_how_it_is_ready(void **state)
{
	static const char *const other[] = {"sh", "-c", "false", NULL};
	struct declared_env entries[] = {env("A", "1"), env("B", "2")};
	struct declared_env turned[] = {env("B", "2"), env("A", "1")};
	struct declared_env shifted[] = {env("A", "1B=2"), env("B", "")};
	struct declared_worker worker = worker_with(entries, 2);
	struct worker_spec first = spec_of(&worker);

	(void)state;
	worker.env = worker_with(turned, 2).env;
	worker.replicas = 9;
	worker.grace_ms = 1;
	assert_memory_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.readiness.kind = DECLARED_PROBE_TCP;
	assert_true(differs(&first, &worker));
	worker.readiness.kind = DECLARED_PROBE_NONE;
	worker.command = other;
	assert_true(differs(&first, &worker));
	worker.command = command;
	worker.working_dir = "/srv";
	assert_true(differs(&first, &worker));
	worker.working_dir = NULL;
	worker.security.group.text = "7";
	assert_true(differs(&first, &worker));
	worker.security.group.text = NULL;
	worker.env = worker_with(shifted, 2).env;
	assert_true(differs(&first, &worker));
}

static void
a_copy_borrows_nothing(void **state)
{
	struct declared_env entries[] = {env("A", "1")};
	struct declared_port ports[] = {{.name = "health", .base = 8080}};
	struct declared_worker worker = worker_with(entries, 1);
	struct arena own;
	uint8_t digest[16];

	(void)state;
	worker.ports = ports;
	worker.nports = 1;
	struct worker_spec spec = spec_of(&worker);

	arena_init(&own, 1 << 20);
	struct worker_spec copy = specs_copy(&own, &spec);

	arena_wipe(&arena);
	arena_init(&arena, 64 << 20);
	specs_digest(&key, &copy, &own, digest);
	assert_memory_equal(digest, copy.config_digest, 16);
	assert_string_equal(copy.ports[0].name, "health");
	arena_fini(&own);
}

static void
the_budget_is_what_the_probes_allow(void **state)
{
	struct worker_spec spec = {.name = "w"};

	(void)state;
	assert_int_equal(specs_budget_ms(&spec), 30000);
	spec.readiness = (struct probe_spec){.kind = PROBE_TCP,
	    .initial_delay_ms = 5000,
	    .period_ms = 10000,
	    .timeout_ms = 1000,
	    .success_threshold = 1,
	    .failure_threshold = 3};
	assert_int_equal(specs_budget_ms(&spec), 45000);
	spec.readiness.initial_delay_ms = 0;
	spec.readiness.period_ms = 100;
	assert_int_equal(specs_budget_ms(&spec), 10000);
	assert_int_equal(specs_settle_ms(&spec), 0);
}

/* --- drift ------------------------------------------------------------- */

static struct drift_list
compared(struct declared_worker *worker, const struct worker_spec *running,
    enum drift_policy *ret_policy)
{
	struct worker_spec declared = spec_of(worker);
	struct drift_list list = {.arena = &arena};

	*ret_policy =
	    drift_compare(&list, &key, worker, &declared, running, "0, 1");
	return list;
}

static void
drift_names_key_class_and_place_and_never_a_value(void **state)
{
	const struct declared_queue queue = {.name = "q", .real_name = "q:1"};
	struct declared_binding binding = {.queue = &queue, .env = "QUEUE"};
	struct declared_env before[] = {env("PLAIN", "SHOWN-1"),
	    env("SECRET", "SHOWN-2"), env("QUEUE", "SHOWN-3"),
	    env("CONFIG", "SHOWN-4"), env("LEFT", "SHOWN-5")};
	struct declared_env after[] = {env("PLAIN", "SHOWN-6"),
	    env("SECRET", "SHOWN-2\n"), env("QUEUE", "shown-3"),
	    env("CONFIG", " SHOWN-4"), env("NEW", "SHOWN-7")};
	struct declared_worker old = worker_with(before, 5);
	struct declared_worker worker = worker_with(after, 5);
	enum drift_policy policy = DRIFT_IGNORE;
	static const struct {
		const char *key;
		enum drift_class kind;
		const char *how;
	} expected[] = {
	    {"PLAIN", DRIFT_CLASS_ENV, "another PLAIN than declared"},
	    {"SECRET", DRIFT_CLASS_SECRET, "trailing newline"},
	    {"QUEUE", DRIFT_CLASS_QUEUE, "upper and lower case"},
	    {"CONFIG", DRIFT_CLASS_CONFIG, "white space at the ends"},
	    {"NEW", DRIFT_CLASS_ENV, "not in what runs"},
	    {"LEFT", DRIFT_CLASS_ENV, "not declared"},
	};

	(void)state;
	after[1].secret = true;
	after[1].source = "secret s key K";
	after[3].source = "config c";
	worker.consumes = &binding;
	worker.nconsumes = 1;
	struct worker_spec running = spec_of(&old);
	struct drift_list list = compared(&worker, &running, &policy);

	assert_int_equal(list.count, ARRAY_LEN(expected));
	for (size_t i = 0; i < list.count; i++) {
		const struct drift *item = &list.items[i];
		assert_string_equal(item->key, expected[i].key);
		assert_int_equal(item->kind, expected[i].kind);
		assert_non_null(strstr(item->summary, expected[i].how));
		assert_string_equal(item->place.file, "reeve.yaml");
		assert_null(strcasestr(item->summary, "shown"));
		assert_null(strcasestr(item->observed, "shown"));
		assert_null(strcasestr(item->expected, "shown"));
		assert_string_equal(item->instances, "0, 1");
	}
	/* secret and queue say restart: the strongest of them counts */
	assert_int_equal(policy, DRIFT_RESTART);
	assert_int_equal(list.items[3].policy, DRIFT_IGNORE);
}

static void
what_only_ignored_classes_differ_in_is_ignored(void **state)
{
	struct declared_env before[] = {env("C", "1")};
	struct declared_env after[] = {env("C", "2")};
	struct declared_worker old = worker_with(before, 1);
	struct declared_worker worker = worker_with(after, 1);
	enum drift_policy policy = DRIFT_RESTART;

	(void)state;
	after[0].source = "config c";
	struct worker_spec running = spec_of(&old);
	struct drift_list list = compared(&worker, &running, &policy);

	assert_int_equal(policy, DRIFT_IGNORE);
	assert_int_equal(list.count, 1);
}

static void
arguments_ids_and_probes_are_drift_without_being_shown(void **state)
{
	static const char *const old_command[] = {"sh", "-c", "password", NULL};
	struct declared_worker old = worker_with(NULL, 0);
	struct declared_worker worker = worker_with(NULL, 0);
	enum drift_policy policy = DRIFT_IGNORE;

	(void)state;
	old.command = old_command;
	old.security.group.text = "3";
	worker.readiness.kind = DECLARED_PROBE_TCP;
	struct worker_spec running = spec_of(&old);
	struct drift_list list = compared(&worker, &running, &policy);

	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[0].key, "command");
	assert_null(strstr(list.items[0].observed, "password"));
	assert_string_equal(list.items[1].key, "runAsGroup");
	assert_int_equal(list.items[1].kind, DRIFT_CLASS_CONFIG);
	assert_string_equal(list.items[2].key, "readinessProbe");
	assert_int_equal(list.items[2].kind, DRIFT_CLASS_CONFIG);
	assert_int_equal(policy, DRIFT_IGNORE);
}

static void
every_setting_is_drift_by_its_own_key(void **state)
{
	static struct declared_limit limit = {"nofile", 64, 128};
	static struct declared_id group = {.text = "4"};
	static const char *const keys[] = {"umask", "allowPrivilegeEscalation",
	    "nice", "scheduling", "ioPriority", "oomScoreAdj", "cpus",
	    "securityContext.capabilities", "limits.nofile", "groups"};
	struct declared_worker worker = worker_with(NULL, 0);
	struct declared_worker old = worker_with(NULL, 0);
	enum drift_policy policy = DRIFT_IGNORE;

	(void)state;
	/* zero is a declaration too */
	old.settings = (struct declared_settings){.limits = &limit,
	    .nlimits = 1,
	    .nice = 0,
	    .oom_score_adj = 0,
	    .scheduling = "other",
	    .io_class = "best-effort",
	    .has_cpus = true,
	    .cpus = {1},
	    .umask = 022};
	old.security = (struct declared_security){
	    .groups = &group, .ngroups = 1, .escalation = true};
	old.security.capabilities = true;
	struct worker_spec running = spec_of(&old);
	struct worker_spec declared = spec_of(&worker);
	struct drift_list list = compared(&worker, &running, &policy);

	assert_memory_not_equal(
	    running.config_digest, declared.config_digest, 16);
	assert_int_equal(list.count, ARRAY_LEN(keys));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_string_equal(list.items[i].key, keys[i]);
}

/* Who has to say something for the new one was not asked to by the old one. */
static void
what_a_worker_says_of_itself_is_digest_and_drift(void **state)
{
	static const char *const keys[] = {
	    "notify.ready", "notify.fd", "notify.watchdog"};
	struct declared_worker worker = worker_with(NULL, 0);
	struct worker_spec running = spec_of(&worker);
	enum drift_policy policy = DRIFT_IGNORE;

	(void)state;
	worker.notify = DECLARED_NOTIFY_NEWLINE;
	worker.notify_fd = 4;
	worker.watchdog_ms = 5000;
	struct drift_list list = compared(&worker, &running, &policy);
	assert_true(differs(&running, &worker));
	assert_int_equal(list.count, ARRAY_LEN(keys));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_string_equal(list.items[i].key, keys[i]);
	/* each by itself too */
	running = spec_of(&worker);
	worker.watchdog_ms = 6000;
	assert_true(differs(&running, &worker));
	worker.watchdog_ms = 5000;
	worker.notify_fd = 5;
	assert_true(differs(&running, &worker));
}

static void
order_and_schedule_take_effect_without_a_restart(void **state)
{
	struct declared_worker worker = worker_with(NULL, 0);
	struct worker_spec running = spec_of(&worker);

	(void)state;
	/* drift is looked for where digests differ */
	worker.schedule = (struct declared_schedule){.text = "@hourly",
	    .zone = "UTC",
	    .rule = {.minutes = 1,
	        .hours = 1,
	        .days = 2,
	        .months = 2,
	        .weekdays = 1}};
	assert_false(differs(&running, &worker));
}

static int
made(struct declared_worker *worker, struct worker_spec *ret, struct err *err)
{
	*ret = (struct worker_spec){0};
	*err = ERR_INIT;
	return settings_make(&arena, worker, ret, err);
}

static void
users_are_looked_up_and_their_groups_come_along(void **state)
{
	static struct declared_id groups[] = {{.text = "4001"}, {.text = "0"}};
	struct declared_worker worker = worker_with(NULL, 0);
	struct worker_spec spec;
	struct err err;

	(void)state;
	worker.security.user.text = "root";
	worker.security.groups = groups;
	worker.security.ngroups = 2;
	assert_int_equal(made(&worker, &spec, &err), 0);
	assert_int_equal(spec.uid, 0);
	assert_int_equal(spec.gid, 0);
	assert_int_equal(spec.groups[0], 0);
	assert_int_equal(spec.groups[spec.ngroups - 1], 4001);
	/* a number that nobody knows has no groups but those */
	worker.security.user.text = "4123456789";
	worker.security.group.text = "4123456788";
	assert_int_equal(made(&worker, &spec, &err), 0);
	assert_int_equal(spec.uid, 4123456789);
	assert_int_equal(spec.gid, 4123456788);
	assert_int_equal(spec.ngroups, 2);
}

static void
what_this_host_does_not_have_is_refused_with_its_place(void **state)
{
	const struct place place = {"reeve.yaml", 12, 9};
	struct declared_worker worker = worker_with(NULL, 0);
	struct declared_id nobody = {.text = "nobodyy", .place = place};
	struct worker_spec spec;
	struct err err;

	(void)state;
	worker.security.user = nobody;
	assert_int_equal(made(&worker, &spec, &err), -1);
	assert_non_null(strstr(err.text,
	    "reeve.yaml:12:9: worker 'w': securityContext.runAsUser: there is "
	    "no user 'nobodyy' here; did you mean 'nobody'?"));
	worker.security.user.text = NULL;
	worker.security.group = nobody;
	assert_int_equal(made(&worker, &spec, &err), -1);
	assert_non_null(strstr(err.text, "runAsGroup: there is no group"));
	worker.security.group.text = NULL;
	worker.security.groups = &nobody;
	worker.security.ngroups = 1;
	assert_int_equal(made(&worker, &spec, &err), -1);
	assert_non_null(strstr(err.text, "supplementalGroups: there is no"));
	worker.security.ngroups = 0;
	worker.security.place = place;
	worker.security.non_root = true;
	worker.security.user.text = "0";
	assert_int_equal(made(&worker, &spec, &err), -1);
	assert_non_null(strstr(err.text, "runAsNonRoot"));
	worker.security.user.text = "1";
	worker.settings.has_cpus = true;
	worker.settings.cpus_place = place;
	worker.settings.cpus[DECLARED_CPU_WORDS - 1] = UINT64_C(1) << 63;
	assert_int_equal(made(&worker, &spec, &err), -1);
	assert_non_null(strstr(err.text, "there is no CPU 1023 here"));
}

static void
an_unknown_configuration_is_drift_too(void **state)
{
	struct declared_worker worker = worker_with(NULL, 0);
	enum drift_policy policy = DRIFT_IGNORE;
	struct drift_list list = compared(&worker, NULL, &policy);

	(void)state;
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].key, "configuration");
	assert_int_equal(policy, DRIFT_ALERT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_command_is_found_by_the_workers_own_path),
	    cmocka_unit_test(
	        equal_variables_of_several_workers_are_stored_once),
	    cmocka_unit_test(
	        a_command_that_is_nowhere_gets_a_path_that_says_so),
	    cmocka_unit_test(
	        shadowed_and_absent_variables_are_left_out_and_the_gap_is_found),
	    cmocka_unit_test(the_queues_name_is_set_where_nothing_else_sets_it),
	    cmocka_unit_test(
	        the_digest_is_of_what_is_executed_and_how_it_is_ready),
	    cmocka_unit_test(a_copy_borrows_nothing),
	    cmocka_unit_test(what_a_worker_says_of_itself_is_digest_and_drift),
	    cmocka_unit_test(order_and_schedule_take_effect_without_a_restart),
	    cmocka_unit_test(the_budget_is_what_the_probes_allow),
	    cmocka_unit_test(drift_names_key_class_and_place_and_never_a_value),
	    cmocka_unit_test(what_only_ignored_classes_differ_in_is_ignored),
	    cmocka_unit_test(
	        arguments_ids_and_probes_are_drift_without_being_shown),
	    cmocka_unit_test(every_setting_is_drift_by_its_own_key),
	    cmocka_unit_test(users_are_looked_up_and_their_groups_come_along),
	    cmocka_unit_test(
	        what_this_host_does_not_have_is_refused_with_its_place),
	    cmocka_unit_test(an_unknown_configuration_is_drift_too),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
