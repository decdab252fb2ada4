/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/text.h"

/*
 * What the init uses of base/ allocates nothing: malloc is ours here, for libc
 * too, and counts. (A sanitizer brings its own: there nothing is counted.)
 */
/* volatile: gcc knows that malloc changes no variable of ours */
static volatile unsigned long calls;

#if !defined(__SANITIZE_ADDRESS__)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *
malloc(size_t size)
{
	calls++;
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	calls++;
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	calls++;
	return __libc_realloc(old, size);
}

static void
the_counter_counts(void **state)
{
	(void)state;
	unsigned long before = calls;
	void *volatile piece = malloc(10); /* or gcc leaves it out */
	free(piece);
	assert_int_equal(calls - before, 1);
	piece = strdup("libc's own calls are seen too");
	free(piece);
	assert_int_equal(calls - before, 2);
}
#else
static void
the_counter_counts(void **state)
{
	(void)state;
	assert_int_equal(calls, 0);
}
#endif

static void
errors_and_texts_allocate_nothing(void **state)
{
	struct err err = ERR_INIT;
	char text[64];
	int64_t value;
	bool flag;
	double ratio;

	(void)state;
	unsigned long before = calls;
	for (int sys = 0; sys < 200; sys++) {
		errno = sys;
		(void)err_sys(&err, "open '%s' %d %lld %zu %p", "x", sys,
		    (long long)INT64_MIN, SIZE_MAX, (void *)text);
		(void)err_wrap(&err, "context %40s %-40s", "right", "left");
	}
	(void)!text_format(text, sizeof(text), &err, "%s", "text");
	(void)!text_i64("12x", 0, 5, &value, &err);
	(void)!text_bool("maybe", &flag, &err);
	(void)!text_duration_ms("1h30m", &value, &err);
	(void)!text_quantity("1.5Gi", &value, &err);
	(void)!text_ratio("12.5%", &ratio, &err);
	(void)text_distance("VOYAGE_API_KEY", "VOYAGEAI_API_KEY", 9);
	(void)text_ms_for_people(INT64_MAX, text, sizeof(text));
	assert_int_equal(calls - before, 0);
}

static void
the_log_allocates_nothing(void **state)
{
	int fds[2];
	char text[4096];

	(void)state;
	memset(text, '\x1b', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	unsigned long before = calls;
	for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
		log_open(fds[1], (enum log_format)format, LOG_DEBUG, "init");
		for (int i = 0; i < 100; i++) /* until it is full, and after */
			log_error("worker.ended", "pid=%d why='%s'", i, text);
	}
	assert_int_equal(calls - before, 0);
	assert_true(log_dropped() > 0);
	log_open(STDERR_FILENO, LOG_TEXT, LOG_INFO, NULL);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void
nothing_to_do(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
}

static void
nothing_due(struct loop_timer *timer, int64_t now_ms)
{
	(void)timer;
	(void)now_ms;
}

static void
the_loop_and_messages_allocate_nothing(void **state)
{
	struct loop loop;
	struct loop_timer *heap[1];
	struct loop_timer timer = {.fire = nothing_due};
	struct loop_source source = {.ready = nothing_to_do};
	struct err err = ERR_INIT;
	struct fingerprint_key key;
	char text[FINGERPRINT_TEXT_SIZE];
	char at[CLOCK_TEXT_SIZE];
	char byte;
	int fds[2];
	int got[2];

	(void)state;
	unsigned long before = calls;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	source.fd = fds[1];
	assert_int_equal(loop_init(&loop, heap, 1, &err), 0);
	assert_int_equal(loop_add(&loop, &source, EPOLLOUT, &err), 0);
	assert_int_equal(loop_timer_set(&loop, &timer, 0, &err), 0);
	assert_int_equal(loop_turn(&loop, CLOCK_NEVER, &err), 0);
	loop_remove(&loop, &source);
	loop_fini(&loop);
	assert_int_equal(fd_send(fds[0], "x", 1, fds, 2, &err), -1);
	assert_int_equal(fd_receive(fds[0], &byte, 1, got, 2, &err), -1);
	fingerprint_key_random(&key);
	struct fingerprint print = fingerprint_of(&key, "secret", 6);
	(void)fingerprint_text(&print, text);
	(void)clock_text(clock_wall_ms(), at);
	assert_int_equal(calls - before, 0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_counter_counts),
	    cmocka_unit_test(errors_and_texts_allocate_nothing),
	    cmocka_unit_test(the_log_allocates_nothing),
	    cmocka_unit_test(the_loop_and_messages_allocate_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
