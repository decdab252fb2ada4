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
static struct declared declared;
static struct intent intent;
static struct declared_queue queues[MANY];
static char names[MANY][16];

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
	declared.supervisor.observe_every_ms = 1000;
	intent = (struct intent){.declared = &declared};
	op = (struct operator_core){.intent = &intent};
	if (loop_init(&op.loop, op.timers, ARRAY_LEN(op.timers), &err) == -1)
		fail_msg("%s", err.text);
	op.queues = queues_new(&op);
	assert_non_null(op.queues);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        thousands_of_queues_are_all_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_queue_without_a_url_says_so, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
