/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"

int
loop_init(struct loop *loop, struct loop_timer **heap, uint32_t heap_max,
    struct err *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "epoll_create1");
	*loop = (struct loop){.epoll_fd = fd,
	    .heap = heap,
	    .heap_max = heap_max,
	    .now_ms = clock_ms()};
	return 0;
}

void
loop_fini(struct loop *loop)
{
	for (uint32_t i = 0; i < loop->heap_len; i++)
		loop->heap[i]->slot = 0;
	loop->heap_len = 0;
	fd_close(&loop->epoll_fd);
}

static int
loop_control(struct loop *loop, int what, struct loop_source *source,
    uint32_t events, struct err *err)
{
	struct epoll_event event = {.events = events, .data = {.ptr = source}};

	if (epoll_ctl(loop->epoll_fd, what, source->fd, &event) == -1)
		return err_sys(err, "epoll_ctl");
	return 0;
}

int
loop_add(struct loop *loop, struct loop_source *source, uint32_t events,
    struct err *err)
{
	assert(!source->added && source->ready != NULL);
	if (loop_control(loop, EPOLL_CTL_ADD, source, events, err) == -1)
		return -1;
	source->added = true;
	return 0;
}

int
loop_change(struct loop *loop, struct loop_source *source, uint32_t events,
    struct err *err)
{
	assert(source->added);
	return loop_control(loop, EPOLL_CTL_MOD, source, events, err);
}

void
loop_remove(struct loop *loop, struct loop_source *source)
{
	struct epoll_event *events = loop->batch;

	if (!source->added)
		return;
	source->added = false;
	/* fails when the descriptor was closed before: then it is out already,
	 * unless a duplicate lives on; owners close after they remove */
	(void)loop_control(loop, EPOLL_CTL_DEL, source, 0, NULL);
	for (int i = 0; i < loop->batch_len; i++) {
		if (events[i].data.ptr == source)
			events[i].data.ptr = NULL;
	}
}

/* --- timers: a binary heap; slot is the index + 1 ------------------------- */

static void
heap_put(struct loop *loop, uint32_t at, struct loop_timer *timer)
{
	loop->heap[at] = timer;
	timer->slot = at + 1;
}

static void
heap_up(struct loop *loop, uint32_t at)
{
	struct loop_timer *timer = loop->heap[at];

	while (at > 0) {
		uint32_t parent = (at - 1) / 2;
		if (loop->heap[parent]->at_ms <= timer->at_ms)
			break;
		heap_put(loop, at, loop->heap[parent]);
		at = parent;
	}
	heap_put(loop, at, timer);
}

static void
heap_down(struct loop *loop, uint32_t at)
{
	struct loop_timer *timer = loop->heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= loop->heap_len)
			break;
		if (child + 1 < loop->heap_len &&
		    loop->heap[child + 1]->at_ms < loop->heap[child]->at_ms)
			child++;
		if (timer->at_ms <= loop->heap[child]->at_ms)
			break;
		heap_put(loop, at, loop->heap[child]);
		at = child;
	}
	heap_put(loop, at, timer);
}

int
loop_timer_set(
    struct loop *loop, struct loop_timer *timer, int64_t at_ms, struct err *err)
{
	assert(timer->fire != NULL);
	if (timer->slot == 0) {
		if (loop->heap_len == loop->heap_max)
			return err_set(err, ERR_CAPACITY,
			    "all %lu timers are in use",
			    (unsigned long)loop->heap_max);
		heap_put(loop, loop->heap_len++, timer);
	}
	timer->at_ms = at_ms;
	heap_up(loop, timer->slot - 1);
	heap_down(loop, timer->slot - 1);
	return 0;
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	if (timer->slot == 0)
		return;
	uint32_t at = timer->slot - 1;
	struct loop_timer *last = loop->heap[--loop->heap_len];

	timer->slot = 0;
	if (last == timer)
		return;
	heap_put(loop, at, last);
	heap_up(loop, at);
	heap_down(loop, last->slot - 1);
}

void
loop_credit(struct loop *loop, int64_t gap_ms)
{
	/* the order stays: all move by the same, and never past the end */
	for (uint32_t i = 0; i < loop->heap_len; i++)
		loop->heap[i]->at_ms =
		    clock_after(loop->heap[i]->at_ms, gap_ms);
}

static void
run_timers(struct loop *loop)
{
	/* A timer that sets itself to now runs once a turn, not for ever. */
	uint32_t budget = loop->heap_len;

	while (budget-- > 0 && loop->heap_len > 0 &&
	       loop->heap[0]->at_ms <= loop->now_ms) {
		struct loop_timer *timer = loop->heap[0];
		loop_timer_clear(loop, timer);
		timer->fire(timer, loop->now_ms);
	}
}

static void
run_sources(struct loop *loop, struct epoll_event *events, int count)
{
	loop->batch = events;
	loop->batch_len = count;
	for (int i = 0; i < count; i++) {
		struct loop_source *source = events[i].data.ptr;
		if (source != NULL)
			source->ready(source, events[i].events);
	}
	loop->batch = NULL;
	loop->batch_len = 0;
}

static int
wait_ms(const struct loop *loop, int64_t deadline_ms)
{
	int64_t at_ms = deadline_ms;
	int64_t now_ms = clock_ms();
	int64_t gap_ms;

	if (loop->heap_len > 0)
		at_ms = MIN(at_ms, loop->heap[0]->at_ms);
	if (at_ms == CLOCK_NEVER)
		return -1;
	if (at_ms <= now_ms)
		return 0;
	/* not clock_timeout: its minute would wake a process at rest */
	if (__builtin_sub_overflow(at_ms, now_ms, &gap_ms))
		return INT_MAX;
	return (int)MIN(gap_ms, INT_MAX);
}

static void
credit_stall(struct loop *loop, int64_t late_ms)
{
	if (loop->stall_ms == 0 || late_ms < loop->stall_ms)
		return;
	loop_credit(loop, late_ms);
	loop->credited_ms += late_ms;
	if (loop->stalled != NULL)
		loop->stalled(loop, late_ms);
}

/* CLOCK_NEVER: nothing is to come, so nothing can be late. */
static int64_t
next_due(const struct loop *loop, int64_t deadline_ms)
{
	return loop->heap_len == 0 ? deadline_ms
	                           : MIN(deadline_ms, loop->heap[0]->at_ms);
}

/* A freeze may hit within the turn that ends now, too; what that has computed
 * is none. */
static void
credit_turn(struct loop *loop, int64_t now_ms, int64_t deadline_ms)
{
	if (loop->stall_ms == 0)
		return;
	int64_t cpu_ms = clock_cpu_ms();
	int64_t ran_ms = cpu_ms - loop->cpu_ms;

	loop->cpu_ms = cpu_ms;
	if (next_due(loop, deadline_ms) != CLOCK_NEVER)
		credit_stall(loop, now_ms - loop->now_ms - ran_ms);
}

int
loop_turn(struct loop *loop, int64_t deadline_ms, struct err *err)
{
	struct epoll_event events[LOOP_BATCH];
	int64_t began_ms = clock_ms();

	credit_turn(loop, began_ms, deadline_ms);
	int64_t due_ms = next_due(loop, deadline_ms);

	assert(loop->batch == NULL); /* a callback must not turn its own loop */
	int count = epoll_wait(
	    loop->epoll_fd, events, LOOP_BATCH, wait_ms(loop, deadline_ms));
	if (count == -1 && errno != EINTR)
		return err_sys(err, "epoll_wait");
	loop->now_ms = clock_ms();
	if (due_ms != CLOCK_NEVER)
		credit_stall(loop, loop->now_ms - MAX(began_ms, due_ms));
	if (count > 0)
		run_sources(loop, events, count);
	run_timers(loop);
	return 0;
}
