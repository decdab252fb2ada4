/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

/*
 * `reeve plan`, of workers that are given: the real reconcile(), run forward.
 * What the init has, and what it is to have, is the test's.
 */
enum {
	WORKERS_MAX = 2,
	REPLICAS_MAX = 4,
	OUT_MAX = 1 << 20
};

static struct operator_core op;
static struct intent intent;
static struct declared declared;
static struct arena arena;
static struct declared_worker *workers;
static struct worker_spec *chosen, *applied; /* of "a" and "b" */
static const char *held[WORKERS_MAX];
static struct reconcile_worker views[WORKERS_MAX];
static struct reconcile_instance instances[WORKERS_MAX][REPLICAS_MAX];
static struct reconcile_memory memories[WORKERS_MAX];
static struct drift differs;
static bool has_drift;
static cJSON *plan;

bool __wrap_plans_choice(const struct operator_core *core,
    const struct intent *wanted, size_t which, struct worker_spec *ret,
    const char **ret_held);
bool
__wrap_plans_choice(const struct operator_core *core,
    const struct intent *wanted, size_t which, struct worker_spec *ret,
    const char **ret_held)
{
	(void)core;
	(void)wanted;
	*ret = chosen[which];
	*ret_held = held[which];
	return true;
}

struct reconcile_worker *__wrap_views_make(struct operator_core *core,
    const struct intent *wanted, bool planned, struct arena *arena,
    struct drift_list *list, int64_t now_ms);
struct reconcile_worker *
__wrap_views_make(struct operator_core *core, const struct intent *wanted,
    bool planned, struct arena *own, struct drift_list *list, int64_t now_ms)
{
	(void)own;
	(void)core;
	(void)wanted;
	(void)now_ms;
	assert_true(planned);
	/* the one before is in an arena that is gone */
	for (size_t i = 0; i < WORKERS_MAX; i++)
		views[i].memory = &memories[i];
	if (has_drift)
		drift_add(list, &differs);
	return views;
}

int32_t __wrap_plan_worker_find(const struct plan *of, const char *name);
int32_t
__wrap_plan_worker_find(const struct plan *of, const char *name)
{
	for (uint32_t i = 0; i < of->nworkers; i++)
		if (text_equal(applied[i].name, name))
			return (int32_t)i;
	return -1;
}

void __wrap_plan_worker(
    const struct plan *of, uint32_t index, struct worker_spec *ret);
void
__wrap_plan_worker(
    const struct plan *of, uint32_t index, struct worker_spec *ret)
{
	assert_true(index < of->nworkers);
	*ret = applied[index];
}

/* Worker "a" with three replicas that are as they should be. */
static int
setup(void **state)
{
	static const char *const names[WORKERS_MAX] = {"a", "b"};

	(void)state;
	arena_init(&arena, OUT_MAX);
	workers = arena_array(&arena, WORKERS_MAX, sizeof(*workers));
	chosen = arena_array(&arena, WORKERS_MAX, sizeof(*chosen));
	applied = arena_array(&arena, WORKERS_MAX, sizeof(*applied));
	op = (struct operator_core){.judged = true};
	op.applied.known = true;
	op.applied.plan.nworkers = 1;
	declared = (struct declared){.workers = workers, .nworkers = 1};
	intent = (struct intent){.declared = &declared};
	op.intent = &intent;
	memset(memories, 0, sizeof(memories));
	has_drift = false;
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		held[i] = NULL;
		workers[i] = (struct declared_worker){.name = names[i]};
		applied[i] = chosen[i] = (struct worker_spec){
		    .name = names[i], .executable = "/bin/a", .replicas = 3};
		views[i] = (struct reconcile_worker){
		    .name = names[i],
		    .replicas = 3,
		    .max_unavailable = 1,
		    .known = true,
		    .budget_ms = 1000,
		    .instances = instances[i],
		    .ninstances = 3,
		    .memory = &memories[i],
		};
		for (uint32_t k = 0; k < REPLICAS_MAX; k++)
			instances[i][k] = (struct reconcile_instance){
			    .index = k,
			    .state = RECONCILE_UP,
			    .ready = true,
			    .since_ms = clock_ms() - 1000,
			};
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	record_free(&plan);
	arena_fini(&arena);
	return 0;
}

static void
preview(const struct intent *wanted)
{
	struct buffer out;

	buffer_init(&out, OUT_MAX);
	preview_write(&op, wanted, &out);
	record_free(&plan);
	plan = record_parse(out.data, out.len);
	assert_non_null(plan);
	buffer_fini(&out);
}

static void
verdict_is(const char *verdict, int exit_code, int actions)
{
	assert_string_equal(record_text(plan, "verdict", ""), verdict);
	assert_int_equal(record_i64(plan, "exit", -1), exit_code);
	assert_int_equal(
	    cJSON_GetArraySize(record_array(plan, "actions")), actions);
}

/* Row `at`; `replica` -1: none in particular. */
static void
row_is(int at, const char *action, const char *worker, int64_t replica,
    const char *key)
{
	const cJSON *row =
	    cJSON_GetArrayItem(record_array(plan, "actions"), at);

	assert_string_equal(record_text(row, "action", ""), action);
	assert_string_equal(record_text(row, "worker", ""), worker);
	assert_int_equal(record_i64(row, "replica", -1), replica);
	assert_string_equal(record_text(row, "key", ""), key);
}

static void
what_is_not_known_is_not_nothing(void **state)
{
	(void)state;
	preview(NULL);
	verdict_is("unknown", EXIT_INCONCLUSIVE, 0);
	op.judged = false;
	preview(&intent);
	verdict_is("unknown", EXIT_INCONCLUSIVE, 0);
	assert_string_equal(
	    record_text(plan, "why", ""), "no pass since the last reading yet");
	op.judged = op.draining = true;
	preview(&intent);
	verdict_is("unknown", EXIT_INCONCLUSIVE, 0);
	assert_string_equal(
	    record_text(plan, "why", ""), "the supervisor is draining");
}

static void
what_is_as_declared_needs_nothing(void **state)
{
	(void)state;
	preview(&intent);
	verdict_is("nothing", EXIT_PASSED, 0);
	/* told of, and left: no action follows */
	has_drift = true;
	differs = (struct drift){.worker = "a",
	    .instances = "0",
	    .policy = DRIFT_ALERT,
	    .key = "LABEL",
	    .summary = "",
	    .observed = "",
	    .expected = "",
	    .source = ""};
	preview(&intent);
	verdict_is("nothing", EXIT_PASSED, 0);
	const cJSON *left = cJSON_GetArrayItem(record_array(plan, "left"), 0);
	assert_string_equal(record_text(left, "key", ""), "LABEL");
	assert_string_equal(record_text(left, "policy", ""), "alert");
	/* waiting is no change */
	held[0] = "its value is missing";
	preview(&intent);
	verdict_is("nothing", EXIT_PASSED, 1);
	row_is(0, "wait", "a", -1, "held");
}

static void
replicas_that_come_and_go_are_named(void **state)
{
	(void)state;
	chosen[0].replicas = 4;
	views[0].replicas = 4;
	views[0].ninstances = 4;
	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 1);
	row_is(0, "start", "a", 3, "replicas");
	chosen[0].replicas = 1;
	views[0].replicas = 1;
	views[0].ninstances = 3;
	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 2);
	row_is(0, "stop", "a", 1, "replicas");
	row_is(1, "stop", "a", 2, "replicas");
}

static void
workers_that_come_and_go_are_named(void **state)
{
	(void)state;
	declared.nworkers = 2;
	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 3);
	for (int i = 0; i < 3; i++)
		row_is(i, "start", "b", i, "worker");
	declared.nworkers = 1;
	op.applied.plan.nworkers = 2;
	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 3);
	for (int i = 0; i < 3; i++)
		row_is(i, "stop", "b", i, "worker");
}

static void
another_program_or_user_is_said_before_the_init_refuses_it(void **state)
{
	(void)state;
	chosen[0].executable = "/bin/other";
	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 1);
	row_is(0, "exec", "a", -1, "command");
	chosen[0].executable = applied[0].executable;
	chosen[0].uid = 1000;
	preview(&intent);
	row_is(0, "exec", "a", -1, "runAsUser");
}

/* All three are replaced, no two at one step, for the key that differs. */
static void
rolls_by(const char *key)
{
	const cJSON *row = NULL;
	unsigned replicas = 0;
	int64_t step = 0;

	preview(&intent);
	verdict_is("changes", EXIT_FAILED, 3);
	cJSON_ArrayForEach(row, record_array(plan, "actions"))
	{
		assert_string_equal(record_text(row, "action", ""), "restart");
		assert_string_equal(record_text(row, "key", ""), key);
		assert_true(record_i64(row, "step", -1) > step);
		step = record_i64(row, "step", -1);
		replicas |= 1U << record_i64(row, "replica", 31);
	}
	assert_int_equal(replicas, 7);
}

static void
a_roll_is_foreseen_step_by_step_and_changes_nothing(void **state)
{
	struct reconcile_memory before = memories[0];

	(void)state;
	has_drift = true;
	differs = (struct drift){.worker = "a",
	    .instances = "0, 1, 2",
	    .policy = DRIFT_RESTART,
	    .key = "LABEL",
	    .summary = "",
	    .observed = "",
	    .expected = "",
	    .source = ""};
	for (size_t k = 0; k < 3; k++)
		instances[0][k].repair = true;
	rolls_by("LABEL");
	assert_memory_equal(&memories[0], &before, sizeof(before));
	has_drift = false;
	for (size_t k = 0; k < 3; k++)
		instances[0][k].repair = true;
	rolls_by("configuration");
	/* ordered, whatever differs besides */
	views[0].generation = 1;
	for (size_t k = 0; k < 3; k++)
		instances[0][k].generation = 0;
	rolls_by("generation");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_not_known_is_not_nothing),
	    TEST(what_is_as_declared_needs_nothing),
	    TEST(replicas_that_come_and_go_are_named),
	    TEST(workers_that_come_and_go_are_named),
	    TEST(another_program_or_user_is_said_before_the_init_refuses_it),
	    TEST(a_roll_is_foreseen_step_by_step_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
