/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/queue.h"
#include "worker/reference/job.h"

/* Claims on the embedded queue: two handles, as two workers. */
static char folder[] = "/tmp/reeve-queue.XXXXXX";
static const struct queue_consuming first = {
    .owner = "first", .lease_ms = 60000, .max_attempts = 2};
static const struct queue_consuming second = {
    .owner = "second", .lease_ms = 60000, .max_attempts = 2};

static void
open_as(struct queue *queue, const struct queue_consuming *who)
{
	struct arena arena;
	struct queue_spec spec;
	struct err err = ERR_INIT;

	arena_init(&arena, 64 << 10);
	const char *url = arena_format(
	    &arena, "sqlite://%s/q.db?queue=jobs&create=true", folder);

	assert_int_equal(queue_spec_from_url(&arena, url, &spec, &err), 0);
	assert_int_equal(queue_open_consuming(queue, &spec, who,
	                     clock_after(clock_ms(), 60000), &err),
	    0);
	arena_fini(&arena);
}

static void
put(struct queue *queue, const void *payload, size_t len)
{
	struct queue_submission job = {
	    .canary = "", .payload = payload, .len = len};
	struct arena arena;
	const char *receipt = NULL;
	struct err err = ERR_INIT;

	arena_init(&arena, 64 << 10);
	assert_int_equal(queue_submit(queue, &job, &arena, &receipt, &err), 0);
	assert_non_null(receipt);
	arena_fini(&arena);
}

static bool
claim(struct queue *queue, struct queue_job *job)
{
	bool got = false;
	struct err err = ERR_INIT;

	assert_int_equal(queue_claim(queue, 0, job, &got, &err), 0);
	return got;
}

struct two {
	struct queue a, b;
	struct queue_job job_a, job_b;
};
static struct two two;

static int
begin(void **state)
{
	(void)state;
	open_as(&two.a, &first);
	open_as(&two.b, &second);
	queue_job_init(&two.job_a);
	queue_job_init(&two.job_b);
	return 0;
}

static int
end(void **state)
{
	char path[64];

	(void)state;
	queue_close(&two.a);
	queue_close(&two.b);
	queue_job_fini(&two.job_a);
	queue_job_fini(&two.job_b);
	static const char *const names[] = {"q.db", "q.db-wal", "q.db-shm"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	return 0;
}

static void
a_job_is_given_to_one(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;

	(void)state;
	put(&two.a, "a\0b", 3);
	assert_true(claim(&two.a, &two.job_a));
	assert_false(claim(&two.b, &two.job_b));
	assert_int_equal(two.job_a.attempt, 1);
	assert_int_equal(two.job_a.payload.len, 3);
	assert_memory_equal(two.job_a.payload.data, "a\0b", 3);
	assert_int_equal(queue_finish(&two.a, &two.job_a, &held, &err), 0);
	assert_true(held);
	assert_false(claim(&two.b, &two.job_b));
}

static void
a_result_counts_only_once(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;

	(void)state;
	put(&two.a, "a", 1);
	assert_true(claim(&two.a, &two.job_a));
	assert_int_equal(queue_finish(&two.a, &two.job_a, &held, &err), 0);
	assert_true(held);
	assert_int_equal(queue_finish(&two.a, &two.job_a, &held, &err), 0);
	assert_false(held);
	assert_int_equal(queue_bury(&two.a, &two.job_a, "x", &held, &err), 0);
	assert_false(held);
}

static void
a_lost_lease_is_told_and_changes_nothing(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;

	(void)state;
	put(&two.a, "a", 1);
	assert_true(claim(&two.a, &two.job_a));
	two.a.consuming.lease_ms = -1000; /* extended into the past */
	assert_int_equal(queue_extend(&two.a, &two.job_a, &held, &err), 0);
	assert_true(held);
	assert_true(claim(&two.b, &two.job_b));
	assert_int_equal(two.job_b.attempt, 2);
	assert_int_equal(queue_finish(&two.a, &two.job_a, &held, &err), 0);
	assert_false(held);
	assert_int_equal(queue_extend(&two.a, &two.job_a, &held, &err), 0);
	assert_false(held);
	assert_int_equal(queue_fail(&two.a, &two.job_a, 0, &held, &err), 0);
	assert_false(held);
	assert_int_equal(queue_finish(&two.b, &two.job_b, &held, &err), 0);
	assert_true(held);
}

static void
a_job_whose_leases_expire_is_dead_after_its_attempts(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;
	struct arena arena;
	struct queue_state seen;

	(void)state;
	put(&two.a, "poison", 6);
	for (int i = 1; i <= 2; i++) {
		two.a.consuming.lease_ms = 60000;
		assert_true(claim(&two.a, &two.job_a));
		assert_int_equal(two.job_a.attempt, i);
		two.a.consuming.lease_ms = -1000;
		assert_int_equal(
		    queue_extend(&two.a, &two.job_a, &held, &err), 0);
	}
	assert_false(claim(&two.b, &two.job_b));
	arena_init(&arena, 1 << 20);
	assert_int_equal(queue_observe(&two.b, &arena, &seen, &err), 0);
	assert_int_equal(seen.dead.know, KNOW_EXACT);
	assert_int_equal(seen.dead.value, 1);
	assert_int_equal(seen.waiting.value, 0);
	arena_fini(&arena);
}

static void
a_job_given_back_has_not_been_tried(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;

	(void)state;
	put(&two.a, "a", 1);
	assert_true(claim(&two.a, &two.job_a));
	assert_int_equal(queue_release(&two.a, &two.job_a, &held, &err), 0);
	assert_true(held);
	assert_true(claim(&two.b, &two.job_b));
	assert_int_equal(two.job_b.attempt, 1);
}

static void
a_retry_waits_for_its_time(void **state)
{
	bool held = false;
	struct err err = ERR_INIT;

	(void)state;
	put(&two.a, "a", 1);
	assert_true(claim(&two.a, &two.job_a));
	assert_int_equal(
	    queue_fail(&two.a, &two.job_a, 3600000, &held, &err), 0);
	assert_true(held);
	assert_false(claim(&two.b, &two.job_b));
	put(&two.a, "b", 1);
	assert_true(claim(&two.b, &two.job_b));
	assert_int_equal(queue_fail(&two.b, &two.job_b, 0, &held, &err), 0);
	assert_true(claim(&two.b, &two.job_b));
	assert_int_equal(two.job_b.attempt, 2);
}

static int
exited(int code)
{
	return code << 8;
}

static void
an_exit_code_says_what_becomes_of_the_job(void **state)
{
	char text[32];

	(void)state;
	assert_int_equal(job_outcome_of(exited(0)), JOB_DONE);
	assert_int_equal(job_outcome_of(exited(75)), JOB_RETRY);
	assert_int_equal(job_outcome_of(exited(78)), JOB_DEAD);
	assert_int_equal(job_outcome_of(exited(1)), JOB_FAILED);
	assert_int_equal(job_outcome_of(exited(127)), JOB_FAILED);
	assert_int_equal(job_outcome_of(SIGKILL), JOB_FAILED);
	assert_string_equal(
	    job_status_text(exited(3), text, sizeof(text)), "exit 3");
	assert_string_equal(
	    job_status_text(SIGKILL, text, sizeof(text)), "signal 9");
}

static void
the_backoff_doubles_is_capped_and_spreads(void **state)
{
	(void)state;
	assert_int_equal(job_backoff_ms(1, 1000, 60000, 0), 500);
	assert_int_equal(job_backoff_ms(1, 1000, 60000, 500), 1000);
	assert_int_equal(job_backoff_ms(3, 1000, 60000, 0), 2000);
	assert_int_equal(job_backoff_ms(7, 1000, 60000, 0), 30000);
	assert_int_equal(job_backoff_ms(INT64_MAX, 1000, 60000, 30000), 60000);
	for (uint32_t noise = 0; noise < 10000; noise += 7) {
		int64_t ms = job_backoff_ms(2, 1000, 60000, noise);

		assert_true(ms >= 1000 && ms <= 2000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_job_is_given_to_one, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_result_counts_only_once, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_lost_lease_is_told_and_changes_nothing, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_job_whose_leases_expire_is_dead_after_its_attempts, begin,
	        end),
	    cmocka_unit_test_setup_teardown(
	        a_job_given_back_has_not_been_tried, begin, end),
	    cmocka_unit_test_setup_teardown(
	        a_retry_waits_for_its_time, begin, end),
	    cmocka_unit_test(an_exit_code_says_what_becomes_of_the_job),
	    cmocka_unit_test(the_backoff_doubles_is_capped_and_spreads),
	};

	if (mkdtemp(folder) == NULL)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	(void)rmdir(folder);
	return failed;
}
