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
#include "probes/inspect.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

/*
 * What live.c asks of a look at the processes, and what it makes of the answer:
 * the child is the test's, and the clock too.
 */
enum {
	PID = 4711,
	ARENA_BYTES = 16 << 20,
	SECOND_MS = 1000,
	MINUTE_MS = 60 * 1000,
	HEX_SIZE = 33
};

static struct operator_core op;
static struct loop_timer *heap[64];
static struct declared declared;
static struct declared_worker worker;
static struct intent intent;
static struct running_worker running;
static struct running_instance instance;
static struct worker_spec spec;
static struct arena arena;
static struct drift_list list;
static struct helper *child;
static unsigned asked, waited_s, woken;
static int64_t now_ms;
static bool may_start;

int64_t __wrap_clock_ms(void);
int64_t
__wrap_clock_ms(void)
{
	return now_ms;
}

int __wrap_helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err);
int
__wrap_helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err)
{
	assert_string_equal(argv[1], "inspect");
	assert_in_range(deadline_ms, now_ms + 1, now_ms + MINUTE_MS);
	if (!may_start)
		return err_set(err, ERR_SYSTEM, "no more processes");
	child = helper;
	asked++;
	return 0;
}

/* A pass is made. */
static void
wake(struct loop_timer *timer, int64_t at_ms)
{
	(void)timer;
	(void)at_ms;
	woken++;
}

static const char *const ENVIRONMENT[] = {"LABEL=a", "OTHER=b", NULL};
static const char *const COMMAND[] = {"worker", "x.py", NULL};

static int
setup(void **state)
{
	(void)state;
	now_ms = 1000000;
	may_start = true;
	child = NULL;
	asked = woken = 0;
	op = (struct operator_core){.ready = true, .key = {.bytes = {1}}};
	if (loop_init(&op.loop, heap, ARRAY_LEN(heap), NULL) == -1)
		return -1;
	op.pass_timer.fire = wake;
	worker = (struct declared_worker){.name = "w", .command = COMMAND};
	declared = (struct declared){.workers = &worker, .nworkers = 1};
	intent = (struct intent){.declared = &declared};
	names_add(&intent.names, "w", 0);
	op.intent = &intent;
	instance = (struct running_instance){.wire = {.name = "w",
	                                         .state = INSTANCE_READY,
	                                         .pid = PID,
	                                         .started_wall_ms = 77,
	                                         .config_digest = {9}}};
	running = (struct running_worker){
	    .wire = {.name = "w"}, .instances = &instance, .ninstances = 1};
	op.running.workers = &running;
	op.running.count = 1;
	spec = (struct worker_spec){.name = "w",
	    .executable = "/bin/worker",
	    .argv = COMMAND,
	    .envp = ENVIRONMENT,
	    .config_digest = {9},
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE};
	history_add(&op.history, &spec);
	arena_init(&arena, ARENA_BYTES);
	list = (struct drift_list){.arena = &arena};
	op.live = live_new(&op);
	live_begin(op.live);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	live_free(op.live);
	history_fini(&op.history);
	names_fini(&intent.names);
	loop_fini(&op.loop);
	arena_fini(&arena);
	return 0;
}

static void
turn(void)
{
	struct err err = ERR_INIT;

	assert_int_equal(loop_turn(&op.loop, now_ms, &err), 0);
}

/* Time passes until the next question; returns it. */
static cJSON *
question(void)
{
	unsigned before = asked;

	for (waited_s = 0; waited_s < 12; waited_s++) {
		turn();
		if (asked > before)
			break;
		now_ms += SECOND_MS;
	}
	assert_int_equal(asked, before + 1);
	cJSON *json = record_parse(child->in.data, child->in.len);

	assert_non_null(json);
	return json;
}

static void
answer(const char *text)
{
	buffer_text(&child->out, text);
	child->over(child, 0, false);
}

static void
print_hex(const char *const *envp, char hex[HEX_SIZE])
{
	struct fingerprint print = {.bytes = {0}};

	for (; *envp != NULL; envp++)
		inspect_print(&op.key, *envp, &print);
	for (size_t i = 0; i < sizeof(print.bytes); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", print.bytes[i]);
}

/* An answer about the one process, with `more` members. */
static void
answer_target(const char *const *envp, const char *more)
{
	char text[1024];
	char hex[HEX_SIZE];

	print_hex(envp, hex);
	(void)snprintf(text, sizeof(text),
	    "{\"targets\":[{\"pid\":%d,\"uid\":0,\"gid\":0,\"why\":\"\","
	    "\"print\":\"%s\"%s}],\"strangers\":[],\"scope\":\"\","
	    "\"whole\":true}",
	    PID, hex, more);
	answer(text);
}

static bool
compare(void)
{
	list.count = list.nunknown = 0;
	return live_compare(op.live, &list, &worker, &spec, &instance);
}

static const char *const CHANGED[] = {"LABEL=b", "OTHER=b", NULL};

static void
nothing_is_said_of_what_was_not_looked_at(void **state)
{
	(void)state;
	assert_false(compare());
	assert_int_equal(list.count, 0);
	CLEANUP(record_free) cJSON *json = question();
	assert_int_equal(
	    record_i64(cJSON_GetArrayItem(record_array(json, "targets"), 0),
	        "pid", -1),
	    PID);
	assert_int_equal(
	    cJSON_GetArrayItem(record_array(json, "workers"), 0)->valuedouble,
	    PID);
	const cJSON *command =
	    cJSON_GetArrayItem(record_array(json, "commands"), 0);
	assert_string_equal(record_text(command, "name", ""), "w");
	answer_target(ENVIRONMENT, "");
	assert_false(compare());
	assert_int_equal(list.count, 0);
	assert_int_equal(list.nunknown, 0);
}

static void
another_environment_is_asked_for_by_name_and_named(void **state)
{
	char more[128];

	(void)state;
	record_free(&(cJSON *){question()});
	answer_target(CHANGED, "");
	assert_false(compare()); /* which of them isn't known yet */
	assert_int_equal(list.count, 0);
	CLEANUP(record_free) cJSON *json = question();
	assert_int_equal(waited_s, 0);
	const cJSON *names = record_array(
	    cJSON_GetArrayItem(record_array(json, "targets"), 0), "env");
	assert_int_equal(cJSON_GetArraySize(names), 2);
	struct fingerprint other = fingerprint_of(&op.key, "b", 1);
	char hex[HEX_SIZE];
	for (size_t i = 0; i < sizeof(other.bytes); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", other.bytes[i]);
	(void)snprintf(more, sizeof(more),
	    ",\"env\":{\"LABEL\":null,\"OTHER\":\"%s\"}", hex);
	answer_target(CHANGED, more);
	assert_false(compare()); /* the policy is alert */
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].key, "LABEL");
	assert_string_equal(list.items[0].observed, "not set");
	assert_int_equal(list.items[0].kind, DRIFT_CLASS_ENV);
	assert_int_equal(list.items[0].policy, DRIFT_ALERT);
}

static void
a_restart_that_mended_nothing_is_not_tried_again(void **state)
{
	(void)state;
	worker.on_drift.user = DRIFT_RESTART;
	spec.uid = 1000;
	record_free(&(cJSON *){question()});
	answer_target(ENVIRONMENT, "");
	assert_true(compare());
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].key, "runAsUser");
	assert_string_equal(list.items[0].observed, "0");
	assert_string_equal(list.items[0].expected, "1000");
	assert_true(compare()); /* until it is another process */
	instance.wire.started_wall_ms++;
	assert_false(compare()); /* which nobody has seen */
	assert_int_equal(list.count, 0);
	instance.wire.pid = PID + 1;
	record_free(&(cJSON *){question()});
	char hex[HEX_SIZE];
	char text[256];
	print_hex(ENVIRONMENT, hex);
	(void)snprintf(text, sizeof(text),
	    "{\"targets\":[{\"pid\":%d,\"uid\":0,\"gid\":0,\"why\":\"\","
	    "\"print\":\"%s\"}],\"strangers\":[],\"whole\":true}",
	    PID + 1, hex);
	answer(text);
	assert_false(compare());
	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].policy, DRIFT_ALERT);
	assert_non_null(
	    strstr(list.items[0].summary, "a restart did not mend it"));
}

static void
a_look_that_failed_is_unknown_not_well(void **state)
{
	(void)state;
	may_start = false;
	turn();
	assert_false(compare());
	assert_int_equal(list.nunknown, 1);
	may_start = true;
	record_free(&(cJSON *){question()});
	child->over(child, 9, true); /* it hung */
	assert_false(compare());
	assert_int_equal(list.nunknown, 1);
	assert_non_null(strstr(list.unknown[0], "took too long"));
	record_free(&(cJSON *){question()});
	answer("no JSON");
	assert_false(compare());
	assert_non_null(strstr(list.unknown[0], "failed"));
	record_free(&(cJSON *){question()});
	answer_target(ENVIRONMENT, "");
	assert_false(compare());
	assert_int_equal(list.nunknown, 0);
	/* what can't be read of a process is said too */
	record_free(&(cJSON *){question()});
	answer("{\"targets\":[{\"pid\":4711,\"why\":\"hidden\","
	       "\"print\":null}],\"whole\":true}");
	assert_false(compare());
	assert_int_equal(list.count, 0);
	assert_int_equal(list.nunknown, 1);
	assert_non_null(strstr(list.unknown[0], "hidden"));
}

static void
who_was_there_once_only_is_no_stranger(void **state)
{
	static const char there[] =
	    "{\"targets\":[],\"strangers\":[{\"pid\":5000,\"worker\":\"w\","
	    "\"command\":\"worker x.py\"},{\"pid\":5001,\"worker\":\"\","
	    "\"command\":\"sh\"}],\"scope\":\"half\",\"whole\":false}";

	(void)state;
	record_free(&(cJSON *){question()});
	answer(there);
	live_strangers(op.live, &list);
	assert_int_equal(list.count, 0);
	assert_int_equal(list.nunknown, 1); /* not all could be seen */
	record_free(&(cJSON *){question()});
	assert_in_range(waited_s, 0, 2); /* soon */
	answer(there);
	live_strangers(op.live, &list);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[0].worker, "w");
	assert_string_equal(list.items[0].key, "pid 5000");
	assert_string_equal(list.items[1].worker, "");
	assert_int_equal(list.items[1].policy, DRIFT_ALERT);
}

static void
an_answer_without_news_makes_no_pass(void **state)
{
	(void)state;
	record_free(&(cJSON *){question()});
	answer_target(ENVIRONMENT, "");
	now_ms += SECOND_MS;
	turn();
	unsigned before = woken;
	assert_int_equal(before, 1);
	record_free(&(cJSON *){question()});
	answer_target(ENVIRONMENT, "");
	now_ms += SECOND_MS;
	turn();
	assert_int_equal(woken, before);
	record_free(&(cJSON *){question()});
	answer_target(CHANGED, "");
	now_ms += SECOND_MS;
	turn();
	assert_int_equal(woken, before + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_said_of_what_was_not_looked_at),
	    TEST(another_environment_is_asked_for_by_name_and_named),
	    TEST(a_restart_that_mended_nothing_is_not_tried_again),
	    TEST(a_look_that_failed_is_unknown_not_well),
	    TEST(who_was_there_once_only_is_no_stranger),
	    TEST(an_answer_without_news_makes_no_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
