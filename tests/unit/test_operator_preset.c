/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

/*
 * Each rule of alertPresets: broken, kept, and not known. The history is a real
 * one; what the last look saw is given.
 */
#define S      INT64_C(1000)
#define MIN_MS INT64_C(60000)

static struct operator_core op;
static struct loop_timer *heap[8];
static struct declared declared;
static struct declared_queue queue;
static struct declared_worker worker;
static struct worker_spec spec;
static struct running_worker running;
static struct running_instance instance;
static struct intent intent;
static struct queue_state state;
static struct queue_view view;
static int64_t now_ms; /* wall time */

bool __wrap_queues_view_find(
    const struct queues *queues, const char *name, struct queue_view *ret);
bool
__wrap_queues_view_find(
    const struct queues *queues, const char *name, struct queue_view *ret)
{
	(void)queues;
	(void)name;
	*ret = view;
	return true;
}

void __wrap_intent_spec(
    const struct intent *of, size_t which, struct worker_spec *ret);
void
__wrap_intent_spec(
    const struct intent *of, size_t which, struct worker_spec *ret)
{
	(void)of;
	(void)which;
	*ret = spec;
}

static struct queue_number
exactly(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_EXACT};
}

/* As the presets set them. */
static void
declare(void)
{
	declared = (struct declared){
	    .queues = &queue,
	    .nqueues = 1,
	    .workers = &worker,
	    .nworkers = 1,
	    .preset =
	        {
	            .on = true,
	            .no_consumer_ms = 2 * MIN_MS,
	            .lease_expired_ms = 2 * MIN_MS,
	            .absent_ms = MIN_MS,
	            .window_ms = 10 * MIN_MS,
	            .oldest_factor = 5,
	            .success_factor = 10,
	            .canary_factor = 2,
	            .attempts = 10,
	            .dead_letters = 0,
	            .min_count = 20,
	        },
	};
	queue = (struct declared_queue){
	    .name = "jobs",
	    .objectives = {50, -1, 10, 0.10, 0.05, 0, 10 * MIN_MS, 20},
	};
	worker = (struct declared_worker){.name = "w"};
	spec = (struct worker_spec){.name = "w"};
	intent = (struct intent){.declared = &declared};
}

static int
setup(void **unused)
{
	(void)unused;
	op = (struct operator_core){0};
	now_ms = clock_wall_ms();
	if (loop_init(&op.loop, heap, ARRAY_LEN(heap), NULL) == -1 ||
	    store_open(&op.store, NULL, NULL) == -1)
		return -1;
	op.trend = trend_new(&op.store, &op.loop, NULL);
	declare();
	op.intent = &intent;
	rules_init(&op.rules);
	state = (struct queue_state){.paused = -1};
	view = (struct queue_view){.name = "jobs", .state = &state};
	instance = (struct running_instance){
	    .wire = {.state = INSTANCE_READY}, .since_ms = clock_ms()};
	running = (struct running_worker){
	    .wire = {.name = "w", .desired = 1},
	    .instances = &instance,
	    .ninstances = 1,
	};
	op.running.workers = &running;
	op.running.count = 1;
	names_add(&op.running.names, "w", 0);
	op.init.hello.started_wall_ms = now_ms;
	return sqlite3_exec(op.store.db, "INSERT INTO queues VALUES(1, 'jobs')",
	    NULL, NULL, NULL);
}

static int
teardown(void **unused)
{
	(void)unused;
	rules_fini(&op.rules);
	names_fini(&op.running.names);
	trend_free(op.trend);
	store_close(&op.store);
	loop_fini(&op.loop);
	return 0;
}

/* A look `ago_ms` ago; `columns` and `values` are SQL. */
static void
seen(const char *table, int64_t ago_ms, const char *columns, const char *values)
{
	char sql[256];

	(void)snprintf(sql, sizeof(sql),
	    "INSERT INTO %s(queue, at, %s) VALUES(1, %" PRId64 ", %s)", table,
	    columns, now_ms - ago_ms, values);
	assert_int_equal(
	    sqlite3_exec(op.store.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void
look(int64_t ago_ms, const char *columns, const char *values)
{
	seen("queue_looks", ago_ms, columns, values);
}

static void
forget(void)
{
	assert_int_equal(sqlite3_exec(op.store.db,
	                     "DELETE FROM queue_looks;"
	                     "DELETE FROM queue_minutes",
	                     NULL, NULL, NULL),
	    SQLITE_OK);
	op.rules.due_ms = 0;
}

static size_t nconditions;
static void
count_one(void *arg, const struct alert_condition *condition)
{
	(void)arg;
	(void)condition;
	nconditions++;
}

static enum result
judged(const char *rule)
{
	enum result found = RESULT_SKIPPED;

	op.rules.due_ms = 0;
	(void)rules_judge(&op, clock_ms(), count_one, NULL);
	for (size_t i = 0; i < op.rules.nstates; i++) {
		const struct rule_state *one = &op.rules.states[i];
		if (!text_equal(one->rule, rule))
			continue;
		assert_int_equal(found, RESULT_SKIPPED); /* said once */
		found = one->result;
		assert_int_equal(one->why != NULL, found == RESULT_UNKNOWN);
	}
	return found;
}

static const struct alert_condition *
alert_of(const char *key)
{
	for (size_t i = 0; i < op.rules.nconditions; i++)
		if (text_equal(op.rules.conditions[i].key, key))
			return &op.rules.conditions[i];
	return NULL;
}

static void
nobody_consumes(void **unused)
{
	(void)unused;
	assert_int_equal(judged("no-consumer"), RESULT_UNKNOWN);
	state.waiting = exactly(3);
	assert_int_equal(judged("no-consumer"), RESULT_UNKNOWN);
	state.consumers = exactly(0);
	look(119 * S, "waiting, consumers", "3, 0");
	look(0, "waiting, consumers", "3, 0");
	assert_int_equal(judged("no-consumer"), RESULT_PASSED);
	look(121 * S, "waiting, consumers", "3, 0");
	assert_int_equal(judged("no-consumer"), RESULT_FAILED);
	assert_int_equal(
	    alert_of("no-consumer:jobs")->severity, SEVERITY_CRITICAL);
	assert_string_equal(alert_of("no-consumer:jobs")->finding, "RV701");
	/* somebody was there for a moment: not for long enough */
	look(60 * S, "waiting, consumers", "3, 1");
	assert_int_equal(judged("no-consumer"), RESULT_PASSED);
	forget();
	look(121 * S, "waiting, consumers", "3, NULL");
	look(0, "waiting, consumers", "3, NULL");
	assert_int_equal(judged("no-consumer"), RESULT_PASSED);
	state.consumers = (struct queue_number){.why = "no permission"};
	assert_int_equal(judged("no-consumer"), RESULT_UNKNOWN);
	/* what isn't known any more isn't over */
	forget();
	look(131 * S, "waiting, consumers", "3, 0");
	look(10 * S, "waiting, consumers", "3, 0");
	look(0, "waiting, consumers", "NULL, NULL");
	assert_int_equal(judged("no-consumer"), RESULT_FAILED);
	state.waiting = exactly(0);
	assert_int_equal(judged("no-consumer"), RESULT_PASSED);
}

static void
older_than_usual(void **unused)
{
	(void)unused;
	assert_int_equal(judged("oldest-unusual"), RESULT_UNKNOWN);
	state.waiting = exactly(3);
	state.oldest_ms = exactly(200 * S);
	assert_int_equal(judged("oldest-unusual"), RESULT_UNKNOWN);
	for (int i = 0; i < 20; i++)
		seen("queue_minutes", (i + 10) * MIN_MS, "oldest_ms", "30000");
	look(61 * S, "oldest_ms", "151000");
	look(0, "oldest_ms", "200000");
	assert_int_equal(judged("oldest-unusual"), RESULT_FAILED);
	assert_non_null(alert_of("oldest-unusual:jobs"));
	look(30 * S, "oldest_ms", "149000");
	assert_int_equal(judged("oldest-unusual"), RESULT_PASSED);
	state.oldest_ms = exactly(60 * S);
	assert_int_equal(judged("oldest-unusual"), RESULT_PASSED);
}

static void
nothing_succeeds(void **unused)
{
	(void)unused;
	state.waiting = exactly(3);
	state.completed = (struct queue_number){.why = "not counted"};
	assert_int_equal(judged("no-success"), RESULT_UNKNOWN);
	state.completed = exactly(7);
	assert_int_equal(judged("no-success"), RESULT_UNKNOWN);
	look(11 * MIN_MS, "waiting, completed", "3, 6");
	look(599 * S, "waiting, completed", "3, 7");
	look(5 * MIN_MS, "waiting, completed", "4, 7");
	look(0, "waiting, completed", "3, 7");
	assert_int_equal(judged("no-success"), RESULT_FAILED);
	/* usually one in five minutes: ten of these may pass */
	seen("queue_minutes", 100 * MIN_MS, "completed", "1");
	seen("queue_minutes", 50 * MIN_MS, "completed", "11");
	assert_int_equal(judged("no-success"), RESULT_PASSED);
	/* usually one in a minute: one ten minutes ago is too long ago */
	seen("queue_minutes", 49 * MIN_MS, "completed", "52");
	assert_int_equal(judged("no-success"), RESULT_FAILED);
	forget();
	/* it was empty in between */
	look(599 * S, "waiting, completed", "3, 7");
	look(5 * MIN_MS, "waiting, completed", "0, 7");
	look(0, "waiting, completed", "3, 7");
	assert_int_equal(judged("no-success"), RESULT_PASSED);
	state.waiting = exactly(0);
	assert_int_equal(judged("no-success"), RESULT_PASSED);
}

static void
tried_again_and_again(void **unused)
{
	(void)unused;
	assert_int_equal(judged("retry-storm"), RESULT_UNKNOWN);
	state.attempts_max = exactly(9);
	assert_int_equal(judged("retry-storm"), RESULT_PASSED);
	state.attempts_max = exactly(10);
	assert_int_equal(judged("retry-storm"), RESULT_UNKNOWN);
	look(5 * MIN_MS, "completed", "7");
	look(0, "completed", "7");
	assert_int_equal(judged("retry-storm"), RESULT_FAILED);
	assert_non_null(alert_of("retry-storm:jobs"));
	look(1 * S, "completed", "8");
	assert_int_equal(judged("retry-storm"), RESULT_PASSED);
}

static void
dead_letters_are_added(void **unused)
{
	(void)unused;
	assert_int_equal(judged("dead-letters-grow"), RESULT_UNKNOWN);
	state.dead = exactly(4);
	look(20 * MIN_MS, "dead", "3");
	look(5 * MIN_MS, "dead", "4");
	look(0, "dead", "4");
	assert_int_equal(judged("dead-letters-grow"), RESULT_PASSED);
	look(9 * MIN_MS, "dead", "3");
	assert_int_equal(judged("dead-letters-grow"), RESULT_FAILED);
	assert_string_equal(
	    alert_of("dead-letters-grow:jobs")->finding, "RV715");
	declared.preset.dead_letters = 1;
	assert_int_equal(judged("dead-letters-grow"), RESULT_PASSED);
}

static void
leases_stay_expired(void **unused)
{
	(void)unused;
	assert_int_equal(judged("lease-not-reclaimed"), RESULT_UNKNOWN);
	state.lease_expired = exactly(1);
	look(119 * S, "lease_expired", "1");
	look(0, "lease_expired", "1");
	assert_int_equal(judged("lease-not-reclaimed"), RESULT_PASSED);
	look(121 * S, "lease_expired", "2");
	assert_int_equal(judged("lease-not-reclaimed"), RESULT_FAILED);
	assert_string_equal(
	    alert_of("lease-not-reclaimed:jobs")->finding, "RV416");
	look(60 * S, "lease_expired", "0");
	assert_int_equal(judged("lease-not-reclaimed"), RESULT_PASSED);
}

static void
no_process(void **unused)
{
	(void)unused;
	assert_int_equal(judged("worker-absent"), RESULT_PASSED);
	instance.wire.state = INSTANCE_BACKOFF;
	assert_int_equal(judged("worker-absent"), RESULT_PASSED);
	instance.since_ms = clock_ms() - MIN_MS;
	assert_int_equal(judged("worker-absent"), RESULT_FAILED);
	assert_string_equal(alert_of("worker-absent:w")->finding, "RV301");
	instance.wire.state = INSTANCE_STOPPED; /* by order */
	assert_int_equal(judged("worker-absent"), RESULT_PASSED);
	instance.wire.state = INSTANCE_BACKOFF;
	running.wire.desired = 0; /* scaled to none */
	assert_int_equal(judged("worker-absent"), RESULT_PASSED);
	names_fini(&op.running.names); /* it is gone */
	assert_int_equal(judged("worker-absent"), RESULT_UNKNOWN);
}

static void
a_canary_is_late(void **unused)
{
	(void)unused;
	assert_int_equal(judged("schedule-late"), RESULT_SKIPPED);
	worker.schedule.text = "* * * * *";
	spec.schedule.rule = (struct calendar_rule){
	    .minutes = UINT64_MAX >> 4,
	    .hours = (1U << 24) - 1,
	    .days = ~1U,
	    .months = (1U << 13) - 2,
	    .weekdays = 127,
	};
	running.wire.last_success_wall_ms = now_ms - 2 * MIN_MS + S;
	assert_int_equal(judged("schedule-late"), RESULT_PASSED);
	running.wire.last_success_wall_ms = now_ms - 3 * MIN_MS - S;
	assert_int_equal(judged("schedule-late"), RESULT_FAILED);
	assert_non_null(alert_of("schedule-late:w"));
	/* never, and not due yet; never, and long due */
	running.wire.last_success_wall_ms = 0;
	assert_int_equal(judged("schedule-late"), RESULT_PASSED);
	op.init.hello.started_wall_ms = now_ms - 4 * MIN_MS;
	assert_int_equal(judged("schedule-late"), RESULT_FAILED);
	names_fini(&op.running.names); /* it is gone */
	assert_int_equal(judged("schedule-late"), RESULT_UNKNOWN);
}

/* --- the thresholds of incident 003 --------------------------------------- */

static void
depth_and_dead_letters(void **unused)
{
	(void)unused;
	assert_int_equal(judged("depth"), RESULT_UNKNOWN);
	assert_int_equal(judged("deadLetters"), RESULT_UNKNOWN);
	state.waiting = exactly(50);
	state.dead = exactly(10);
	look(0, "waiting, dead", "50, 10");
	assert_int_equal(judged("depth"), RESULT_PASSED);
	assert_int_equal(judged("deadLetters"), RESULT_PASSED);
	forget();
	look(0, "waiting, dead", "51, 11");
	assert_int_equal(judged("depth"), RESULT_FAILED);
	assert_int_equal(judged("deadLetters"), RESULT_FAILED);
	assert_string_equal(alert_of("objective:jobs:depth")->finding, "RV702");
	assert_string_equal(
	    alert_of("objective:jobs:deadLetters")->finding, "RV715");
	queue.objectives.hold_ms = MIN_MS;
	assert_int_equal(judged("depth"), RESULT_PASSED);
}

static void
failures_of_enough(void **unused)
{
	(void)unused;
	assert_int_equal(judged("failureRatio"), RESULT_UNKNOWN);
	look(9 * MIN_MS, "completed, failed", "0, 0");
	look(1 * S, "completed, failed", "17, 2");
	assert_int_equal(judged("failureRatio"), RESULT_UNKNOWN); /* 19 */
	look(0, "completed, failed", "18, 2");
	assert_int_equal(judged("failureRatio"), RESULT_PASSED);
	look(-1 * S, "completed, failed", "18, 3");
	assert_int_equal(judged("failureRatio"), RESULT_FAILED);
	assert_string_equal(
	    alert_of("objective:jobs:failureRatio")->finding, "RV703");
}

static void
leases_of_enough_attempts(void **unused)
{
	(void)unused;
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_UNKNOWN);
	look(9 * MIN_MS, "completed, failed, lease_expired", "0, 0, 0");
	look(5 * MIN_MS, "completed, failed, lease_expired", "10, 0, 1");
	look(1 * S, "completed, failed, lease_expired", "18, 0, 0");
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_UNKNOWN); /* 19 */
	look(0, "completed, failed, lease_expired", "19, 0, 0");
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_PASSED);
	look(-1 * S, "completed, failed, lease_expired", "19, 0, 1");
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_FAILED);
	assert_string_equal(
	    alert_of("objective:jobs:leaseExpiryRatio")->finding, "RV721");
	/* without counters: of what is in hand */
	forget();
	state.lease_expired = exactly(2);
	look(0, "active, lease_expired", "20, 1");
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_PASSED);
	forget();
	look(0, "active, lease_expired", "20, 2");
	assert_int_equal(judged("leaseExpiryRatio"), RESULT_FAILED);
}

static void
judged_once_a_round(void **unused)
{
	(void)unused;
	state.waiting = exactly(51);
	look(0, "waiting", "51");
	assert_int_equal(judged("depth"), RESULT_FAILED);
	size_t all = op.rules.nconditions;

	forget();
	op.rules.due_ms = clock_ms() + MIN_MS;
	nconditions = 0;
	assert_int_equal(
	    rules_judge(&op, clock_ms(), count_one, NULL), op.rules.due_ms);
	assert_int_equal(nconditions, all);
	assert_true(all > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nobody_consumes),
	    TEST(older_than_usual),
	    TEST(nothing_succeeds),
	    TEST(tried_again_and_again),
	    TEST(dead_letters_are_added),
	    TEST(leases_stay_expired),
	    TEST(no_process),
	    TEST(a_canary_is_late),
	    TEST(depth_and_dead_letters),
	    TEST(failures_of_enough),
	    TEST(leases_of_enough_attempts),
	    TEST(judged_once_a_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
