/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "manifests/foreign.h"
#include "tests/unit/manifest_try.h"

#define CORPUS "tests/corpus/manifests/foreign/"

static void
read_good(struct foreign *foreign, struct arena *arena, const char *path)
{
	struct manifest_errors errors;
	struct err err = ERR_INIT;

	if (foreign_read(path, foreign, arena, NULL, &errors, &err) == -1)
		fail_msg("%s: %s", path,
		    errors.count > 0 ? errors.errors[0].text : err.text);
}

static const struct declared_env *
variable(const struct foreign_component *component, const char *name)
{
	const struct declared_env *env =
	    declared_env_find(&component->env, name);

	if (env == NULL)
		fail_msg("%s has no %s", component->name, name);
	return env;
}

static void
the_incidents_deployment_is_read_with_its_places(void **state)
{
	struct foreign foreign = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, TRY_ARENA_MAX);
	read_good(&foreign, &arena, CORPUS "deployment.yaml");
	foreign_resolve(&foreign, &arena, NULL);
	assert_int_equal(foreign.ncomponents, 1);
	assert_int_equal(foreign.ndocuments, 3);
	const struct foreign_component *c =
	    foreign_component_find(&foreign, "nexus-fileprocess-worker");
	assert_non_null(c);
	assert_string_equal(c->kind, "Deployment");
	assert_string_equal(c->container, "worker");
	assert_string_equal(c->space, "nexus");
	assert_int_equal(c->replicas, 2);
	assert_int_equal(c->replicas_place.line, 7);
	assert_null(c->command);
	const struct declared_env *voyage = variable(c, "VOYAGE_API_KEY");
	assert_string_equal(voyage->value, "pa-not-a-real-voyage-key");
	assert_string_equal(voyage->ref_key, "VOYAGEAI_API_KEY");
	assert_string_equal(
	    voyage->source, "secret nexus-secrets key VOYAGEAI_API_KEY");
	assert_true(voyage->secret);
	assert_int_equal(voyage->place.line, 30);
	assert_string_equal(
	    variable(c, "JOBS_URL")->value, "redis://nexus-redis:6379/0");
	assert_true(variable(c, "REDIS_URL")->literal);
	assert_int_equal(variable(c, "POD_NAME")->absence, ABSENT_UNRESOLVABLE);
	assert_int_equal(variable(c, "BROKEN")->absence, ABSENT_KEY);
	assert_string_equal(variable(c, "DATABASE_URL")->value,
	    "postgresql://fileprocess:s3cr3t-pw@nexus-postgres:5432/nexus");
	assert_int_equal(c->nmissing, 1);
	assert_string_equal(c->missing[0], "config nexus-config");
	assert_int_equal(foreign.nskipped, 1);
	assert_non_null(strstr(foreign.skipped[0], "Service 'nexus-redis'"));
	arena_fini(&arena);
}

static void
compose_services_are_read_with_merges_files_and_defaults(void **state)
{
	struct foreign foreign = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, TRY_ARENA_MAX);
	read_good(&foreign, &arena, CORPUS "docker-compose.yml");
	foreign_resolve(&foreign, &arena, NULL);
	const struct foreign_component *api =
	    foreign_component_find(&foreign, "api");
	const struct foreign_component *worker =
	    foreign_component_find(&foreign, "worker");
	assert_non_null(api);
	assert_non_null(worker);
	assert_int_equal(api->replicas, 1);
	assert_int_equal(worker->replicas, 2);
	assert_int_equal(worker->replicas_place.line, 25);
	assert_string_equal(worker->command[1], "--verbose");
	assert_string_equal(
	    variable(api, "REDIS_URL")->value, "redis://redis:6379/1");
	assert_string_equal(variable(api, "LOG_LEVEL")->value, "info");
	assert_string_equal(variable(api, "API_PORT")->value, "3000");
	assert_string_equal(variable(api, "PORT")->value, "8080");
	assert_string_equal(variable(worker, "MODEL")->value, "small");
	assert_null(variable(worker, "TOKEN")->value);
	assert_string_equal(variable(worker, "TOKEN")->unresolved, "TOKEN");
	assert_int_equal(
	    variable(worker, "VOYAGE_API_KEY")->absence, ABSENT_UNRESOLVABLE);
	assert_int_equal(variable(worker, "DATABASE_URL")->place.line, 19);
	assert_int_equal(worker->nmissing, 1);
	arena_fini(&arena);
}

static void
each_format_is_told_by_the_keys_at_its_top(void **state)
{
	static const struct {
		const char *text;
		enum foreign_format format;
	} files[] = {
	    {"apiVersion: reeve/v1\nname: a\n", FOREIGN_REEVE},
	    {"workers: []\n", FOREIGN_REEVE},
	    {"apiVersion: v1\nkind: Secret\n", FOREIGN_KUBERNETES},
	    {"---\n---\napiVersion: v1\nkind: Pod\n", FOREIGN_KUBERNETES},
	    {"services: {a: {image: b}}\n", FOREIGN_COMPOSE},
	    {"a: b\n", FOREIGN_UNKNOWN},
	    {"[a]\n", FOREIGN_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		enum foreign_format format = FOREIGN_UNKNOWN;
		struct try try;
		try_begin(&try);
		try_file(
		    &try, "reeve.yaml", files[i].text, strlen(files[i].text));
		assert_int_equal(foreign_format(try.path, &format, &try.errors,
		                     &try.arena, &try.err),
		    0);
		assert_int_equal(format, files[i].format);
		try_end(&try);
	}
}

static void
every_workload_kind_gives_its_containers(void **state)
{
	static const struct {
		const char *text, *kind;
		int64_t replicas;
		size_t components;
	} files[] = {
	    {"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\n"
	     "spec: {template: {spec: {containers: [{name: b}]}}}\n",
	        "StatefulSet", 1, 1},
	    {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\n"
	     "spec: {jobTemplate: {spec: {template: {spec: {containers: "
	     "[{name: b}]}}}}}\n",
	        "CronJob", -1, 1},
	    {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n"
	     "spec: {template: {spec: {initContainers: [{name: m}], "
	     "containers: [{name: b}]}}}\n",
	        "Job", -1, 2},
	    {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n"
	     "  kind: Pod\n  metadata: {name: a}\n"
	     "  spec: {containers: [{name: b}]}\n",
	        "Pod", 1, 1},
	    {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
	     "spec: {replicas: 0, template: {spec: {containers: [{name: "
	     "b}]}}}\n",
	        "Deployment", 0, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct foreign foreign = {0};
		struct try try;
		try_begin(&try);
		try_file(
		    &try, "reeve.yaml", files[i].text, strlen(files[i].text));
		read_good(&foreign, &try.arena, try.path);
		foreign_resolve(&foreign, &try.arena, NULL);
		assert_int_equal(foreign.ncomponents, files[i].components);
		assert_string_equal(foreign.components[0].kind, files[i].kind);
		assert_int_equal(
		    foreign.components[0].replicas, files[i].replicas);
		try_end(&try);
	}
}

static void
wrong_types_are_errors_with_their_place(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *says;
	} files[] = {
	    {"apiVersion: apps/v1\nkind: Deployment\nspec: 3\n", 3,
	        "must be a mapping"},
	    {"apiVersion: v1\nkind: Pod\nspec: {containers: {a: b}}\n", 3,
	        "must be a list"},
	    {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - env:\n"
	     "    - {name: A, value: 8080}\n",
	        6, "put it in quotes"},
	    {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
	     "spec:\n  replicas: two\n"
	     "  template: {spec: {containers: [{name: b}]}}\n",
	        5, "a whole number, not 'two'"},
	    {"services:\n  a:\n    environment: 3\n", 3,
	        "must be a mapping or a list"},
	    {"services: {a: [b]}\n", 1, "must be a mapping"},
	    {"services: &a {b: *a}\n", 1, "within its own anchor"},
	    {"services: {b: *a}\n", 1, "without its anchor"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct foreign foreign = {0};
		struct try try;
		try_begin(&try);
		try_file(
		    &try, "reeve.yaml", files[i].text, strlen(files[i].text));
		assert_int_equal(foreign_read(try.path, &foreign, &try.arena,
		                     NULL, &try.errors, &try.err),
		    -1);
		assert_true(try.errors.count > 0);
		assert_int_equal(
		    try.errors.errors[0].place.line, files[i].line);
		if (strstr(try.errors.errors[0].text, files[i].says) == NULL)
			fail_msg("%s", try.errors.errors[0].text);
		try_end(&try);
	}
}

/* Shared, not copied: nine levels of nine would be 387 million values. */
static void
an_alias_bomb_costs_nothing(void **state)
{
	static const char text[] =
	    "a: &a [x,x,x,x,x,x,x,x,x]\n"
	    "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
	    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
	    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
	    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
	    "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
	    "services: {s: {environment: *f, env_file: *f, command: *f}}\n";
	struct foreign foreign = {0};
	struct try try;

	(void)state;
	try_begin(&try);
	try_file(&try, "reeve.yaml", text, sizeof(text) - 1);
	assert_int_equal(foreign_read(try.path, &foreign, &try.arena, NULL,
	                     &try.errors, &try.err),
	    -1);
	assert_true(try.arena.used_bytes < 1000000);
	try_end(&try);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_incidents_deployment_is_read_with_its_places),
	    cmocka_unit_test(
	        compose_services_are_read_with_merges_files_and_defaults),
	    cmocka_unit_test(each_format_is_told_by_the_keys_at_its_top),
	    cmocka_unit_test(every_workload_kind_gives_its_containers),
	    cmocka_unit_test(wrong_types_are_errors_with_their_place),
	    cmocka_unit_test(an_alias_bomb_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
