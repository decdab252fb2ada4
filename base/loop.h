/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_LOOP_H
#define REEVE_BASE_LOOP_H

#include "base/base.h"
#include "base/err.h"

/*
 * One wait, level-triggered epoll, and one heap of timers. No allocation: the
 * sources are embedded in their owners, the heap's slots are the owner's array.
 * A source or timer may be removed from within any callback.
 */
struct loop_source;
struct loop_timer;
typedef void loop_source_fn(struct loop_source *source, uint32_t events);
typedef void loop_timer_fn(struct loop_timer *timer, int64_t now_ms);

struct loop_source {
	loop_source_fn *ready; /* EPOLLIN, EPOLLOUT, EPOLLHUP… in `events` */
	void *owner;
	int fd;
	bool added;
};

struct loop_timer {
	int64_t at_ms; /* monotonic */
	loop_timer_fn *fire;
	void *owner;
	uint32_t slot; /* 1-based place in the heap; 0: not set */
};

enum {
	LOOP_BATCH = 64
};

struct loop {
	int epoll_fd;
	struct loop_timer **heap;
	uint32_t heap_len, heap_max;
	void *
	    batch; /* events of the turn under way, to forget removed sources */
	int batch_len;
	int64_t now_ms; /* read once a turn */
	/* A wait that ends so much later than it should, or a turn that takes
	 * so much longer than it computes (the container was frozen, the
	 * machine slept), is credited to all timers; 0: never. */
	int64_t stall_ms;
	int64_t credited_ms; /* all that was credited so far */
	int64_t cpu_ms;      /* clock_cpu_ms() before the last wait */
	/* told of it before anything else runs; may be NULL */
	void (*stalled)(struct loop *loop, int64_t gap_ms);
};

int loop_init(struct loop *loop, struct loop_timer **heap, uint32_t heap_max,
    struct err *err) MUST_CHECK;
void loop_fini(struct loop *loop);
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events,
    struct err *err) MUST_CHECK;
int loop_change(struct loop *loop, struct loop_source *source, uint32_t events,
    struct err *err) MUST_CHECK;
void loop_remove(struct loop *loop, struct loop_source *source);
/* Sets or moves the timer; fails only when the heap is full (ERR_CAPACITY). */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms,
    struct err *err) MUST_CHECK;
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
/* The only place that sleeps. Waits until a source is ready, a timer is due or
 * `deadline_ms` passes; runs what is due. */
int loop_turn(
    struct loop *loop, int64_t deadline_ms, struct err *err) MUST_CHECK;
/* Adds `gap_ms` to every timer: a freeze is credited, not charged. */
void loop_credit(struct loop *loop, int64_t gap_ms);

#endif
