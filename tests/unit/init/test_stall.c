/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"

/* Time stands still but where the test says how long something takes. */
static int64_t fake_now_ms, fake_cpu_ms, wait_takes_ms;

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_cpu_ms(void);
int __wrap_epoll_wait(
    int epoll_fd, struct epoll_event *events, int most, int timeout_ms);

int64_t
__wrap_clock_ms(void)
{
	return fake_now_ms;
}

int64_t
__wrap_clock_cpu_ms(void)
{
	return fake_cpu_ms;
}

int
__wrap_epoll_wait(
    int epoll_fd, struct epoll_event *events, int most, int timeout_ms)
{
	(void)epoll_fd;
	(void)events;
	(void)most;
	(void)timeout_ms;
	fake_now_ms += wait_takes_ms;
	return 0;
}

static unsigned fired;

static void
fire(struct loop_timer *timer, int64_t now_ms)
{
	(void)timer;
	(void)now_ms;
	fired++;
}

static struct loop loop;
static struct loop_timer *heap[4];
static struct loop_timer near_one = {.fire = fire}, far_one = {.fire = fire};

/* One deadline in a second, one in an hour, and a wait of so many ms. */
static void
wait_for(int64_t ms)
{
	struct err err = ERR_INIT;

	fired = 0;
	fake_now_ms = 1000;
	wait_takes_ms = ms;
	near_one.slot = far_one.slot = 0;
	assert_int_equal(loop_init(&loop, heap, 4, &err), 0);
	loop.stall_ms = 2000;
	assert_int_equal(loop_timer_set(&loop, &near_one, 2000, &err), 0);
	assert_int_equal(loop_timer_set(&loop, &far_one, 3601000, &err), 0);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, &err), 0);
}

static void
a_little_late_is_only_late(void **state)
{
	(void)state;
	wait_for(2999);
	assert_int_equal(fired, 1);
	assert_int_equal(loop.credited_ms, 0);
	assert_int_equal(far_one.at_ms, 3601000);
	loop_fini(&loop);
}

static void
a_freeze_is_credited_to_every_deadline(void **state)
{
	(void)state;
	/* two hours: else both would fire */
	wait_for(7200000);
	assert_int_equal(loop.credited_ms, 7199000);
	assert_int_equal(fired, 1);
	assert_int_equal(far_one.at_ms, 3601000 + 7199000);
	loop_fini(&loop);
}

/* After a turn that begins at 1000, and whose callbacks end at `ms` and have
 * computed for `cpu_ms`. */
static void
turn_until(int64_t ms, int64_t cpu_ms)
{
	struct err err = ERR_INIT;

	wait_for(0);
	fake_now_ms = ms;
	fake_cpu_ms += cpu_ms;
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, &err), 0);
}

static void
a_turn_that_takes_a_while_is_no_freeze(void **state)
{
	(void)state;
	turn_until(2999, 0);
	assert_int_equal(loop.credited_ms, 0);
	assert_int_equal(fired, 1);
	loop_fini(&loop);
}

static void
a_freeze_within_a_turn_is_credited_too(void **state)
{
	(void)state;
	turn_until(100000, 500);
	assert_int_equal(loop.credited_ms, 98500);
	assert_int_equal(fired, 0);
	assert_int_equal(near_one.at_ms, 2000 + 98500);
	loop_fini(&loop);
}

static void
what_a_turn_computes_is_no_freeze(void **state)
{
	(void)state;
	turn_until(100000, 98000);
	assert_int_equal(loop.credited_ms, 0);
	assert_int_equal(fired, 1);
	loop_fini(&loop);
}

/* The loop tells of it before it runs what is due. */
static void
times_that_timers_are_made_of_move_too(void **state)
{
	static struct core core;
	static struct instance instances[3];
	static struct past pasts[3];
	static struct run runs[1];
	struct err err = ERR_INIT;

	(void)state;
	fake_now_ms = 1000;
	wait_takes_ms = 600000;
	near_one.slot = 0;
	assert_int_equal(loop_init(&core.loop, heap, 4, &err), 0);
	core.loop.stall_ms = 2000;
	core.loop.stalled = core_stalled;
	core.instances = instances;
	core.pasts = pasts;
	core.runs = runs;
	core.slots_used = 3;
	core.nruns = 1;
	instances[0] = (struct instance){.state = INSTANCE_STOPPING,
	    .rows = ROW_PAST,
	    .started_ms = 10,
	    .ready_ms = 20,
	    .active_ms = 700};
	pasts[0] = (struct past){.kill_at_ms = 5000, .watchdog_at_ms = 4000};
	instances[1] =
	    (struct instance){.state = INSTANCE_BACKOFF, .rows = ROW_PAST};
	pasts[1] = (struct past){.next_start_ms = 3000};
	/* a row that isn't in use is not touched */
	instances[2] = (struct instance){.state = INSTANCE_READY};
	pasts[2] = (struct past){.kill_at_ms = 7};
	runs[0].limit.full_at_us = 2000000;
	core.drain_started_ms = 900;
	core.drain_deadline_ms = 9000;
	core.operate.heard_ms = 800;
	assert_int_equal(loop_timer_set(&core.loop, &near_one, 2000, &err), 0);
	assert_int_equal(loop_turn(&core.loop, CLOCK_NEVER, &err), 0);
	assert_int_equal(core.loop.credited_ms, 599000);
	assert_int_equal(pasts[0].kill_at_ms, 604000);
	assert_int_equal(pasts[0].watchdog_at_ms, 603000);
	assert_int_equal(instances[0].active_ms, 599700);
	assert_int_equal(core.operate.heard_ms, 599800);
	assert_int_equal(pasts[2].kill_at_ms, 7);
	assert_int_equal(pasts[1].next_start_ms, 602000);
	assert_int_equal(runs[0].limit.full_at_us, 601000000);
	assert_int_equal(core.drain_started_ms, 599900);
	assert_int_equal(core.drain_deadline_ms, 608000);
	/* what wasn't set stays so, and the past stays what it was */
	assert_int_equal(pasts[0].next_start_ms, 0);
	assert_int_equal(pasts[1].kill_at_ms, 0);
	assert_int_equal(pasts[1].watchdog_at_ms, 0);
	assert_int_equal(instances[1].active_ms, 0);
	assert_int_equal(instances[0].started_ms, 10);
	assert_int_equal(instances[0].ready_ms, 20);
	loop_fini(&core.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_little_late_is_only_late),
	    cmocka_unit_test(a_freeze_is_credited_to_every_deadline),
	    cmocka_unit_test(a_turn_that_takes_a_while_is_no_freeze),
	    cmocka_unit_test(a_freeze_within_a_turn_is_credited_too),
	    cmocka_unit_test(what_a_turn_computes_is_no_freeze),
	    cmocka_unit_test(times_that_timers_are_made_of_move_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
