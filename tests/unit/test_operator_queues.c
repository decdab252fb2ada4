/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/operator/operator.h"

enum {
	MANY = 6000
};

static struct operator_core op;
static struct loop_timer *heap[64];
static struct declared declared;
static struct intent intent;
static struct declared_queue queues[MANY];
static char names[MANY][16];

/* What a prober was asked; the first `fails` don't start. */
static char *asked;
static unsigned starts, fails;

int __wrap_helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err);
int
__wrap_helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err)
{
	(void)argv;
	(void)deadline_ms;
	free(asked);
	asked = strdup(helper->in.data);
	if (starts++ < fails)
		return err_set(err, ERR_SYSTEM, "no process left");
	buffer_clear(&helper->in);
	op.stop = true;
	return 0;
}

/* Who goes by what was seen isn't here. */
void __wrap_trend_add(struct trend *trend, const struct queue_view *view,
    size_t count, int64_t every_ms);
void
__wrap_trend_add(struct trend *trend, const struct queue_view *view,
    size_t count, int64_t every_ms)
{
	(void)trend;
	(void)view;
	(void)count;
	(void)every_ms;
}

void __wrap_scaling_saw(
    struct operator_core *core, const struct queue_view *view);
void
__wrap_scaling_saw(struct operator_core *core, const struct queue_view *view)
{
	(void)core;
	(void)view;
}

void __wrap_leases_saw(
    struct operator_core *core, const struct queue_view *view);
void
__wrap_leases_saw(struct operator_core *core, const struct queue_view *view)
{
	(void)core;
	(void)view;
}

void __wrap_deaths_queue(struct deaths *deaths, const struct queue_view *view);
void
__wrap_deaths_queue(struct deaths *deaths, const struct queue_view *view)
{
	(void)deaths;
	(void)view;
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "q%d", i);
		queues[i] = (struct declared_queue){.name = names[i],
		    .kind = "redis",
		    .url = "redis://worker:a-long-password@redis.example/0"};
	}
	declared = (struct declared){.queues = queues, .nqueues = MANY};
	declared.supervisor.observe_every_ms = 1;
	intent = (struct intent){.declared = &declared};
	op = (struct operator_core){.intent = &intent};
	starts = fails = 0;
	if (loop_init(&op.loop, heap, ARRAY_LEN(heap), &err) == -1)
		fail_msg("%s", err.text);
	op.queues = queues_new(&op);
	assert_non_null(op.queues);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(asked);
	asked = NULL;
	queues_free(op.queues);
	loop_fini(&op.loop);
	return 0;
}

/* Their URLs were once hidden in one memory of a fixed size, at whose end the
 * operator ended, again and again. */
static void
thousands_of_queues_are_all_there(void **state)
{
	struct queue_view view;

	(void)state;
	queues_set(op.queues);
	for (int i = 0; i < MANY; i++) {
		assert_true(queues_view_find(op.queues, names[i], &view));
		assert_string_equal(
		    view.url, "redis://worker:***@redis.example/0");
		assert_string_equal(view.trouble, "not looked at yet");
	}
}

static void
a_queue_without_a_url_says_so(void **state)
{
	struct queue_view view;

	(void)state;
	queues[1].url = NULL;
	queues_set(op.queues);
	assert_true(queues_view_find(op.queues, "q1", &view));
	assert_string_equal(view.trouble, "its URL is not resolved");
	assert_true(queues_view_find(op.queues, "q2", &view));
	assert_string_equal(view.trouble, "not looked at yet");
	assert_false(queues_view_find(op.queues, "other", &view));
}

/* Turns until a prober was started. */
static void
turn_until_asked(void)
{
	struct err err = ERR_INIT;

	while (!op.stop)
		if (loop_turn(&op.loop, CLOCK_NEVER, &err) == -1)
			fail_msg("%s", err.text);
}

static size_t
times(const char *text, const char *what)
{
	size_t count = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		count++;
	return count;
}

static void
a_prober_is_asked_for_some_at_once(void **state)
{
	(void)state;
	queues_set(op.queues);
	turn_until_asked();
	assert_int_equal(times(asked, "\n"), 1);
	assert_int_equal(times(asked, "\"unless\":\"\""), 1000);
}

/* A prober answers in the order of the questions. If those of a round that came
 * to nothing were still there, its answers would be taken for other queues'. */
static void
what_could_not_be_asked_is_not_asked_later(void **state)
{
	struct queue_view view;

	(void)state;
	fails = 2;
	queues_set(op.queues);
	turn_until_asked();
	assert_int_equal(starts, 3);
	assert_int_equal(times(asked, "\n"), 1);
	assert_int_equal(times(asked, "\"queue q2\""), 1);
	assert_true(queues_view_find(op.queues, "q5", &view));
	assert_string_equal(view.trouble, "no process left");
}

static void
a_line_for_a_prober_is_bounded(void **state)
{
	static char url[4096];
	size_t len = sizeof(url) - 1;

	(void)state;
	memset(url, 'x', len);
	memcpy(url, "redis://", strlen("redis://"));
	for (size_t i = 0; i < MANY; i++)
		queues[i].url = url;
	queues_set(op.queues);
	turn_until_asked();
	assert_true(strlen(asked) > 1 << 20);
	assert_true(strlen(asked) < (1 << 20) + 2 * sizeof(url));
	assert_int_equal(times(asked, "\n"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        thousands_of_queues_are_all_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_queue_without_a_url_says_so, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_prober_is_asked_for_some_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_could_not_be_asked_is_not_asked_later, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_line_for_a_prober_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
