/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "probes/inspect.h"
#include "supervisor/operator/history.h"
#include "supervisor/operator/names.h"
#include "supervisor/operator/running.h"
#include "supervisor/operator/specs.h"
#include "supervisor/wire/plan_encode.h"

/* What the operator finds by name, and what it takes for news. */
enum {
	MANY = 5000
};
static struct {
	char name[16];
} list[MANY];

static const char *
at(const void *from, size_t index)
{
	(void)from;
	return list[index].name;
}

static void
every_name_is_found_where_it_is_and_no_other(void **state)
{
	struct names names = {0};

	(void)state;
	assert_int_equal(names_find(&names, "w0", at, list), NAMES_NONE);
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(list[i].name, sizeof(list[i].name), "w%zu", i);
		names_add(&names, list[i].name, i);
	}
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(names_find(&names, list[i].name, at, list), i);
	assert_int_equal(names_find(&names, "w", at, list), NAMES_NONE);
	assert_int_equal(names_find(&names, "w5000", at, list), NAMES_NONE);
	names_set(&names, 10, at, list);
	assert_int_equal(names_find(&names, "w9", at, list), 9);
	assert_int_equal(names_find(&names, "w10", at, list), NAMES_NONE);
	names_fini(&names);
	assert_int_equal(names_find(&names, "w9", at, list), NAMES_NONE);
}

static const char *const ENVIRONMENT[] = {"A=1", "B=2", NULL};
static const char *const TURNED[] = {
    "REEVE_REPLICA=0", "B=2", "PWD=/", "A=1", NULL};
static const char *const CHANGED[] = {"A=1", "B=3", NULL};

static struct fingerprint
print_of(const struct fingerprint_key *key, const char *const *envp)
{
	struct fingerprint print = {.bytes = {0}};

	for (; *envp != NULL; envp++)
		if (inspect_compares(*envp))
			inspect_print(key, *envp, &print);
	return print;
}

static void
an_environment_has_one_print_whatever_its_order_and_what_is_added(void **state)
{
	struct fingerprint_key key = {.bytes = {7}};
	struct fingerprint one = print_of(&key, ENVIRONMENT);
	struct fingerprint turned = print_of(&key, TURNED);
	struct fingerprint changed = print_of(&key, CHANGED);

	(void)state;
	assert_true(fingerprint_equal(&one, &turned));
	assert_false(fingerprint_equal(&one, &changed));
}

static void
what_ran_is_remembered_by_name_and_digest_until_nobody_wants_it(void **state)
{
	static const char *const argv[] = {"/w", NULL};
	struct fingerprint_key key = {.bytes = {7}};
	struct history *history = calloc(1, sizeof(*history));
	struct worker_spec spec = {.executable = "/w", .argv = argv};
	struct worker_spec found;
	uint8_t other[16] = {9};

	(void)state;
	assert_non_null(history);
	spec.envp = ENVIRONMENT;
	/* the same configuration under many names */
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(list[i].name, sizeof(list[i].name), "w%zu", i);
		spec.name = list[i].name;
		history_add(history, &spec);
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_true(history_find(
		    history, list[i].name, spec.config_digest, &found));
		assert_string_equal(found.name, list[i].name);
	}
	assert_false(history_find(history, "w1", other, &found));
	struct fingerprint expected = print_of(&key, ENVIRONMENT);
	const struct fingerprint *print =
	    history_print(history, &key, "w1", spec.config_digest);
	assert_true(fingerprint_equal(print, &expected));
	history_prune(history); /* all were added since */
	history_want(history, "w1", spec.config_digest);
	history_prune(history);
	assert_true(history_find(history, "w1", spec.config_digest, &found));
	assert_false(history_find(history, "w2", spec.config_digest, &found));
	history_fini(history);
	free(history);
}

/* A plan of w0 … with that argument, as it is when it is in force. */
static struct plan
plan_of(unsigned count, const char *argument)
{
	const char *const argv[] = {"/w", argument, NULL};
	struct worker_spec *specs = calloc(count, sizeof(*specs));
	struct plan_settings settings;
	struct plan plan = PLAN_INIT;
	struct err err = ERR_INIT;
	struct buffer bytes;
	int fd = -1;

	assert_non_null(specs);
	plan_settings_default(&settings);
	buffer_init(&bytes, PLAN_BYTES_MAX);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(list[i].name, sizeof(list[i].name), "w%u", i);
		specs[i] = (struct worker_spec){.name = list[i].name,
		    .executable = "/w",
		    .argv = argv,
		    .envp = ENVIRONMENT,
		    .umask = UINT32_MAX,
		    .drain_signal = SIGTERM,
		    .config_digest = {(uint8_t)*argument}};
	}
	if (plan_encode(specs, count, &settings, &bytes, &err) == -1 ||
	    plan_memfd(bytes.data, bytes.len, &fd, &err) == -1 ||
	    plan_open(fd, true, &plan, &err) == -1)
		fail_msg("%s", err.text);
	fd_close(&fd);
	buffer_fini(&bytes);
	free(specs);
	return plan;
}

static bool
lies_in(const struct plan *plan, const char *text)
{
	const char *bytes = (const char *)plan->bytes;

	return text >= bytes && text < bytes + plan->size;
}

static void
a_plan_in_force_is_not_copied_and_what_only_it_had_outlives_it(void **state)
{
	const uint8_t first[16] = {'a'}, second[16] = {'b'};
	struct fingerprint_key key = {.bytes = {7}};
	struct history *history = calloc(1, sizeof(*history));
	struct plan old = plan_of(3, "a");
	struct worker_spec found;

	(void)state;
	assert_non_null(history);
	history_force(history, &old);
	history_prune(history); /* it stays though nobody asks for it */
	history_prune(history);
	assert_true(history_find(history, "w2", first, &found));
	assert_true(lies_in(&old, found.argv[1]));
	/* the same plan again, and one that has two of them otherwise */
	struct plan same = plan_of(3, "a");
	history_force(history, &same);
	plan_close(&old);
	struct plan other = plan_of(2, "b");
	history_force(history, &other);
	plan_close(&same);
	assert_true(history_find(history, "w0", second, &found));
	assert_string_equal(found.argv[1], "b");
	assert_true(history_find(history, "w0", first, &found));
	assert_string_equal(found.argv[1], "a");
	assert_string_equal(found.name, "w0");
	struct fingerprint expected = print_of(&key, ENVIRONMENT);
	assert_true(fingerprint_equal(
	    history_print(history, &key, "w2", first), &expected));
	/* back again: and what nobody wants is forgotten */
	struct plan again = plan_of(2, "a");
	history_force(history, &again);
	plan_close(&other);
	history_want(history, "w2", first);
	history_prune(history);
	history_prune(history);
	assert_true(history_find(history, "w1", first, &found));
	assert_true(lies_in(&again, found.argv[1]));
	assert_false(history_find(history, "w1", second, &found));
	assert_false(history_find(history, "w2", first, &found));
	history_fini(history);
	plan_close(&again);
	free(history);
}

static union wire_message
instance(enum wire_type type, enum instance_state state, int32_t pid)
{
	union wire_message message;

	memset(&message, 0, sizeof(message));
	wire_prepare(&message, type, 0);
	if (type != WIRE_INSTANCE)
		return message;
	(void)snprintf(
	    message.instance.name, sizeof(message.instance.name), "w");
	message.instance.state = state;
	message.instance.pid = pid;
	return message;
}

static bool
take(struct running *running, union wire_message message)
{
	return running_take(running, &message, clock_ms(), clock_wall_ms());
}

static bool
snapshot(struct running *running, enum instance_state state, int32_t pid)
{
	union wire_message worker;
	bool news = take(running, instance(WIRE_SNAPSHOT_BEGIN, state, pid));

	memset(&worker, 0, sizeof(worker));
	wire_prepare(&worker, WIRE_WORKER, 0);
	(void)snprintf(worker.worker.name, sizeof(worker.worker.name), "w");
	news = take(running, worker) || news;
	news = take(running, instance(WIRE_INSTANCE, state, pid)) || news;
	return take(running, instance(WIRE_SNAPSHOT_END, state, pid)) || news;
}

static void
a_snapshot_that_says_the_same_again_is_no_news(void **state)
{
	struct running running = {0};

	(void)state;
	assert_true(snapshot(&running, INSTANCE_READY, 7));
	assert_false(snapshot(&running, INSTANCE_READY, 7));
	assert_true(snapshot(&running, INSTANCE_RUNNING, 7));
	assert_true(snapshot(&running, INSTANCE_RUNNING, 8));
	assert_false(snapshot(&running, INSTANCE_RUNNING, 8));
	/* a change is one, even where it leads back */
	union wire_message change =
	    instance(WIRE_INSTANCE, INSTANCE_RUNNING, 8);
	change.instance.event = EVENT_READY;
	assert_true(take(&running, change));
	/* and so is a snapshot in which it isn't any more */
	union wire_message begin =
	    instance(WIRE_SNAPSHOT_BEGIN, INSTANCE_NONE, 0);
	begin.snapshot.number = 2;
	(void)take(&running, begin);
	union wire_message end = instance(WIRE_SNAPSHOT_END, INSTANCE_NONE, 0);
	end.snapshot.number = 2;
	assert_true(take(&running, end));
	assert_int_equal(running.count, 0);
	running_fini(&running);
}

static void
beats_are_the_same_for_all(void **state)
{
	(void)state;
	assert_int_equal(clock_beat(12345, 10000), 20000);
	assert_int_equal(clock_beat(19999, 10000), 20000);
	assert_int_equal(clock_beat(20000, 10000), 30000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_name_is_found_where_it_is_and_no_other),
	    cmocka_unit_test(
	        an_environment_has_one_print_whatever_its_order_and_what_is_added),
	    cmocka_unit_test(
	        a_plan_in_force_is_not_copied_and_what_only_it_had_outlives_it),
	    cmocka_unit_test(
	        what_ran_is_remembered_by_name_and_digest_until_nobody_wants_it),
	    cmocka_unit_test(a_snapshot_that_says_the_same_again_is_no_news),
	    cmocka_unit_test(beats_are_the_same_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
