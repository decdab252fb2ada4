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
	return (struct declared_worker){
	    .name = "w",
	    .command = command,
	    .replicas = 2,
	    .env = {.entries = entries, .count = count},
	    .run_as_user = -1,
	    .run_as_group = -1,
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
	worker.env.entries = turned;
	worker.replicas = 9;
	worker.grace_ms = 1;
	assert_memory_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.readiness.kind = DECLARED_PROBE_TCP;
	assert_memory_not_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.readiness.kind = DECLARED_PROBE_NONE;
	worker.command = other;
	assert_memory_not_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.command = command;
	worker.working_dir = "/srv";
	assert_memory_not_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.working_dir = NULL;
	worker.run_as_group = 7;
	assert_memory_not_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
	worker.run_as_group = -1;
	worker.env.entries = shifted;
	assert_memory_not_equal(
	    first.config_digest, spec_of(&worker).config_digest, 16);
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
	    {"PLAIN", DRIFT_CLASS_ENV, "different"},
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
	old.run_as_group = 3;
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
	        a_command_that_is_nowhere_gets_a_path_that_says_so),
	    cmocka_unit_test(
	        shadowed_and_absent_variables_are_left_out_and_the_gap_is_found),
	    cmocka_unit_test(the_queues_name_is_set_where_nothing_else_sets_it),
	    cmocka_unit_test(
	        the_digest_is_of_what_is_executed_and_how_it_is_ready),
	    cmocka_unit_test(a_copy_borrows_nothing),
	    cmocka_unit_test(the_budget_is_what_the_probes_allow),
	    cmocka_unit_test(drift_names_key_class_and_place_and_never_a_value),
	    cmocka_unit_test(what_only_ignored_classes_differ_in_is_ignored),
	    cmocka_unit_test(
	        arguments_ids_and_probes_are_drift_without_being_shown),
	    cmocka_unit_test(an_unknown_configuration_is_drift_too),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
