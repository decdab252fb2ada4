/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"

enum {
	TIMERS = 200
};

struct probe {
	struct loop_source source;
	struct loop *loop;
	struct probe *victim; /* removed by the callback */
	int runs;
	uint32_t events;
	int fds[2];
};

static void
probe_ready(struct loop_source *source, uint32_t events)
{
	struct probe *probe = source->owner;

	probe->runs++;
	probe->events = events;
	if (probe->victim != NULL)
		loop_remove(probe->loop, &probe->victim->source);
}

static void
probe_open(struct probe *probe, struct loop *loop, bool readable)
{
	*probe = (struct probe){.loop = loop};
	assert_int_equal(pipe2(probe->fds, O_CLOEXEC | O_NONBLOCK), 0);
	probe->source = (struct loop_source){
	    .fd = probe->fds[0], .ready = probe_ready, .owner = probe};
	assert_int_equal(loop_add(loop, &probe->source, EPOLLIN, NULL), 0);
	if (readable)
		assert_int_equal(fd_write_all(probe->fds[1], "x", 1, NULL), 0);
}

static void
probe_close(struct probe *probe)
{
	loop_remove(probe->loop, &probe->source);
	fd_close(&probe->fds[0]);
	fd_close(&probe->fds[1]);
}

static void
loop_open(struct loop *loop, struct loop_timer **heap, uint32_t max)
{
	assert_int_equal(loop_init(loop, heap, max, NULL), 0);
	assert_true((fcntl(loop->epoll_fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void
a_source_that_is_ready_runs_until_it_is_read(void **state)
{
	(void)state;
	struct loop loop;
	struct probe probe;
	char byte;

	loop_open(&loop, NULL, 0);
	probe_open(&probe, &loop, true);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(probe.runs, 2); /* level-triggered */
	assert_int_equal(read(probe.fds[0], &byte, 1), 1);
	assert_int_equal(loop_turn(&loop, 0, NULL), 0);
	assert_int_equal(probe.runs, 2);
	fd_close(&probe.fds[1]);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_true((probe.events & EPOLLHUP) != 0);
	probe_close(&probe);
	loop_fini(&loop);
}

static void
what_a_source_waits_for_can_change(void **state)
{
	(void)state;
	struct loop loop;
	struct probe probe;

	loop_open(&loop, NULL, 0);
	probe_open(&probe, &loop, true);
	assert_int_equal(loop_change(&loop, &probe.source, 0, NULL), 0);
	assert_int_equal(loop_turn(&loop, 0, NULL), 0);
	assert_int_equal(probe.runs, 0);
	assert_int_equal(loop_change(&loop, &probe.source, EPOLLIN, NULL), 0);
	assert_int_equal(loop_turn(&loop, 0, NULL), 0);
	assert_int_equal(probe.runs, 1);
	probe_close(&probe);
	loop_fini(&loop);
}

static void
a_source_removed_by_another_callback_of_the_turn_does_not_run(void **state)
{
	(void)state;
	struct loop loop;
	struct probe a;
	struct probe b;

	loop_open(&loop, NULL, 0);
	probe_open(&a, &loop, true);
	probe_open(&b, &loop, true);
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(a.runs + b.runs, 1); /* whoever came first */
	probe_close(&a);
	probe_close(&b);
	loop_fini(&loop);
}

static void
a_source_may_remove_itself(void **state)
{
	(void)state;
	struct loop loop;
	struct probe a;

	loop_open(&loop, NULL, 0);
	probe_open(&a, &loop, true);
	a.victim = &a;
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(loop_turn(&loop, 0, NULL), 0);
	assert_int_equal(a.runs, 1);
	loop_remove(&loop, &a.source); /* twice is nothing */
	probe_close(&a);
	loop_fini(&loop);
}

static void
a_descriptor_that_is_none_is_an_error(void **state)
{
	(void)state;
	struct loop loop;
	struct err err = ERR_INIT;
	struct loop_source source = {.fd = -1, .ready = probe_ready};

	loop_open(&loop, NULL, 0);
	assert_int_equal(loop_add(&loop, &source, EPOLLIN, &err), -1);
	assert_false(source.added);
	loop_fini(&loop);
}

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	struct alarm *victim;
	int runs;
	bool again;
};

static int64_t last_fired_ms;

static void
alarm_fire(struct loop_timer *timer, int64_t now_ms)
{
	struct alarm *alarm = timer->owner;

	alarm->runs++;
	assert_true(timer->at_ms <= now_ms);
	assert_true(timer->at_ms >= last_fired_ms);
	last_fired_ms = timer->at_ms;
	if (alarm->victim != NULL)
		loop_timer_clear(alarm->loop, &alarm->victim->timer);
	if (alarm->again)
		assert_int_equal(
		    loop_timer_set(alarm->loop, timer, now_ms, NULL), 0);
}

static void
alarm_init(struct alarm *alarm, struct loop *loop)
{
	*alarm = (struct alarm){
	    .timer = {.fire = alarm_fire, .owner = alarm}, .loop = loop};
}

static void
a_turn_ends_when_a_timer_is_due(void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[1];
	struct alarm alarm;

	last_fired_ms = 0;
	loop_open(&loop, heap, 1);
	alarm_init(&alarm, &loop);
	int64_t at_ms = clock_ms() + 20;
	assert_int_equal(loop_timer_set(&loop, &alarm.timer, at_ms, NULL), 0);
	while (alarm.runs == 0)
		assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_true(clock_ms() >= at_ms);
	assert_int_equal(alarm.timer.slot, 0);
	loop_fini(&loop);
}

static void
a_full_heap_refuses_but_still_moves_what_is_in_it(void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[1];
	struct alarm a;
	struct alarm b;
	struct err err = ERR_INIT;

	loop_open(&loop, heap, 1);
	alarm_init(&a, &loop);
	alarm_init(&b, &loop);
	assert_int_equal(loop_timer_set(&loop, &a.timer, 5, &err), 0);
	assert_int_equal(loop_timer_set(&loop, &b.timer, 5, &err), -1);
	assert_int_equal(err.kind, ERR_CAPACITY);
	assert_int_equal(loop_timer_set(&loop, &a.timer, 9, &err), 0);
	loop_timer_clear(&loop, &a.timer);
	loop_timer_clear(&loop, &a.timer);
	assert_int_equal(loop_timer_set(&loop, &b.timer, 5, &err), 0);
	loop_fini(&loop);
	assert_int_equal(b.timer.slot, 0);
}

static void
a_timer_that_sets_itself_to_now_runs_once_a_turn(void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[1];
	struct alarm alarm;

	last_fired_ms = 0;
	loop_open(&loop, heap, 1);
	alarm_init(&alarm, &loop);
	alarm.again = true;
	assert_int_equal(loop_timer_set(&loop, &alarm.timer, 0, NULL), 0);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(alarm.runs, 1);
	loop_fini(&loop);
}

static void
a_timer_cleared_by_another_does_not_fire(void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[2];
	struct alarm a;
	struct alarm b;

	last_fired_ms = 0;
	loop_open(&loop, heap, 2);
	alarm_init(&a, &loop);
	alarm_init(&b, &loop);
	a.victim = &b;
	assert_int_equal(loop_timer_set(&loop, &a.timer, 1, NULL), 0);
	assert_int_equal(loop_timer_set(&loop, &b.timer, 2, NULL), 0);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, NULL), 0);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
	loop_fini(&loop);
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* Which ones are due at `now`, in the model: all that are set. */
static int
model_due(const int64_t *model, int64_t now_ms)
{
	int due = 0;

	for (int i = 0; i < TIMERS; i++)
		due += model[i] >= 0 && model[i] <= now_ms ? 1 : 0;
	return due;
}

static void
check_heap(const struct loop *loop, const int64_t *model)
{
	uint32_t set = 0;

	for (int i = 0; i < TIMERS; i++)
		set += model[i] >= 0 ? 1 : 0;
	assert_int_equal(loop->heap_len, set);
	for (uint32_t i = 0; i < loop->heap_len; i++) {
		assert_int_equal(loop->heap[i]->slot, i + 1);
		if (i > 0)
			assert_true(loop->heap[(i - 1) / 2]->at_ms <=
			            loop->heap[i]->at_ms);
	}
}

static void
random_setting_moving_and_clearing_fires_in_order_as_the_model_says(
    void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[TIMERS];
	static struct alarm alarms[TIMERS];
	int64_t model[TIMERS];
	uint32_t seed = 20261122;

	loop_open(&loop, heap, TIMERS);
	for (int i = 0; i < TIMERS; i++) {
		alarm_init(&alarms[i], &loop);
		model[i] = -1;
	}
	for (int step = 0; step < 20000; step++) {
		uint32_t i = next_random(&seed) % TIMERS;
		if (next_random(&seed) % 3 == 0) {
			loop_timer_clear(&loop, &alarms[i].timer);
			model[i] = -1;
		} else {
			model[i] = next_random(&seed) % 1000;
			assert_int_equal(loop_timer_set(&loop, &alarms[i].timer,
			                     model[i], NULL),
			    0);
		}
		check_heap(&loop, model);
		if (step % 500 != 499)
			continue;
		/* all lie in the past: the turn fires them in order */
		int due = model_due(model, clock_ms());
		int fired = 0;
		last_fired_ms = 0;
		assert_int_equal(loop_turn(&loop, 0, NULL), 0);
		for (int k = 0; k < TIMERS; k++) {
			fired += alarms[k].runs;
			assert_int_equal(alarms[k].runs, model[k] >= 0 ? 1 : 0);
			alarms[k].runs = 0;
			model[k] = -1;
		}
		assert_int_equal(fired, due);
		assert_int_equal(loop.heap_len, 0);
	}
	loop_fini(&loop);
}

static void
a_freeze_is_credited_to_every_timer_but_never(void **state)
{
	(void)state;
	struct loop loop;
	struct loop_timer *heap[3];
	struct alarm alarms[3];
	static const int64_t at_ms[] = {100, 50, CLOCK_NEVER};

	loop_open(&loop, heap, 3);
	for (int i = 0; i < 3; i++) {
		alarm_init(&alarms[i], &loop);
		assert_int_equal(
		    loop_timer_set(&loop, &alarms[i].timer, at_ms[i], NULL), 0);
	}
	loop_credit(&loop, 1000);
	assert_int_equal(alarms[0].timer.at_ms, 1100);
	assert_int_equal(alarms[1].timer.at_ms, 1050);
	assert_true(alarms[2].timer.at_ms == CLOCK_NEVER);
	loop_fini(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_source_that_is_ready_runs_until_it_is_read),
	    cmocka_unit_test(what_a_source_waits_for_can_change),
	    cmocka_unit_test(
	        a_source_removed_by_another_callback_of_the_turn_does_not_run),
	    cmocka_unit_test(a_source_may_remove_itself),
	    cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
	    cmocka_unit_test(a_turn_ends_when_a_timer_is_due),
	    cmocka_unit_test(a_full_heap_refuses_but_still_moves_what_is_in_it),
	    cmocka_unit_test(a_timer_that_sets_itself_to_now_runs_once_a_turn),
	    cmocka_unit_test(a_timer_cleared_by_another_does_not_fire),
	    cmocka_unit_test(
	        random_setting_moving_and_clearing_fires_in_order_as_the_model_says),
	    cmocka_unit_test(a_freeze_is_credited_to_every_timer_but_never),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
