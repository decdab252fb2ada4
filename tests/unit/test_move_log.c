/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fd.h"
#include "supervisor/operator/move_log.h"

static struct arena arena;
static char path[] = "/tmp/reeve-move-log.XXXXXX";
static struct move_log logged = {.path = path, .fd = -1};

static int
begin(void **state)
{
	(void)state;
	arena_init(&arena, 64 << 20);
	(void)snprintf(path, sizeof(path), "/tmp/reeve-move-log.XXXXXX");
	logged.fd = mkostemp(path, O_APPEND | O_CLOEXEC);
	return logged.fd == -1 ? -1 : 0;
}

static int
end(void **state)
{
	(void)state;
	move_log_close(&logged);
	(void)unlink(path);
	arena_fini(&arena);
	return 0;
}

static const struct queue_item items[] = {
    {.id = "7", .error = "timed out after 31 ms"},
    {.id = "8", .error = ""},
};

static void
begun(const char *move, const char *queue)
{
	const struct move_entry entry = {.move = move,
	    .verb = "requeue",
	    .queue = queue,
	    .items = items,
	    .nitems = ARRAY_LEN(items)};
	struct err err = ERR_INIT;

	if (move_log_begun(&logged, &entry, &err) == -1)
		fail_msg("%s", err.text);
}

static void
ended(const char *move, const char *queue, enum move_outcome outcome)
{
	static const char *const ids[] = {"7", "8"};
	const struct move_entry entry = {.move = move,
	    .verb = "requeue",
	    .queue = queue,
	    .items = items,
	    .nitems = ARRAY_LEN(items),
	    .outcome = outcome,
	    .ids = ids,
	    .nids = 2};
	struct err err = ERR_INIT;

	if (move_log_ended(&logged, &entry, &err) == -1)
		fail_msg("%s", err.text);
}

static struct move_history
history_of(const char *queue)
{
	struct move_history history;
	struct err err = ERR_INIT;

	if (move_log_read(&logged, &arena, queue, &history, &err) == -1)
		fail_msg("%s", err.text);
	return history;
}

/* A job of that id with that error would be held back. */
static bool
is_known(const struct move_history *history, const char *id, const char *error)
{
	const struct queue_item item = {.id = id, .error = error};
	struct storm_choice choice;

	storm_choose(&arena,
	    &(struct storm_question){.found = &item,
	        .nfound = 1,
	        .limit = 1,
	        .before = history->jobs,
	        .nbefore = history->count},
	    &choice);
	return choice.nheld == 1;
}

static void
what_was_moved_is_known_again_by_id_and_error(void **state)
{
	(void)state;
	begun("m1", "a");
	ended("m1", "a", MOVE_MOVED);
	struct move_history history = history_of("a");

	assert_int_equal(history.count, 2);
	assert_int_equal(history.nopen, 0);
	assert_true(is_known(&history, "7", "timed out after 2901 ms"));
	assert_false(is_known(&history, "7", "connection refused"));
	assert_false(is_known(&history, "9", "timed out after 31 ms"));
	assert_true(is_known(&history, "8", ""));
	assert_int_equal(history_of("b").count, 0);
}

static void
only_what_was_moved_counts_and_an_end_that_lacks_is_told(void **state)
{
	(void)state;
	begun("m1", "a");
	ended("m1", "a", MOVE_REFUSED);
	begun("m2", "a");
	ended("m2", "a", MOVE_UNKNOWN);
	begun("m3", "a");
	begun("m4", "b");
	struct move_history history = history_of("a");

	assert_int_equal(history.count, 0);
	assert_int_equal(history.nopen, 1);
	assert_string_equal(history.open[0].move, "m3");
	assert_int_equal(history.open[0].jobs, 2);
}

static void
lines_that_are_none_are_passed_over(void **state)
{
	static const char garbage[] =
	    "\n\0\xff{}\n[[[[\n{\"schema\":\"reeve.move/1\",\"queue\":7}\n"
	    "{\"schema\":\"reeve.move/1\",\"queue\":\"a\",\"state\":\"moved\","
	    "\"jobs\":{\"id\":1}}\n"
	    "{\"schema\":\"reeve.move/1\",\"queue\":\"a\",\"state\":\"moved\","
	    "\"jobs\":[7,null,\"x\"]}\n"
	    "{\"schema\":\"reeve.move/1\",\"state\":\"begun\",\"queue\":\"a\","
	    "\"move\":\"cut";

	(void)state;
	assert_int_equal(
	    fd_write_all(logged.fd, garbage, sizeof(garbage) - 1, NULL), 0);
	begun("m1", "a");
	ended("m1", "a", MOVE_MOVED);
	struct move_history history = history_of("a");

	assert_true(is_known(&history, "7", "timed out after 3 ms"));
	assert_int_equal(history.nopen, 0);
}

static void
a_job_that_got_another_id_is_known_by_that(void **state)
{
	static const char *const ids[] = {"7"};
	static const char *const as[] = {"1700-0"};
	const struct move_entry entry = {.move = "m1",
	    .verb = "requeue",
	    .queue = "a",
	    .items = items,
	    .nitems = 1,
	    .outcome = MOVE_MOVED,
	    .ids = ids,
	    .as = as,
	    .nids = 1};

	(void)state;
	assert_int_equal(move_log_ended(&logged, &entry, NULL), 0);
	struct move_history history = history_of("a");

	assert_true(is_known(&history, "1700-0", "timed out after 3 ms"));
	assert_false(is_known(&history, "7", "timed out after 3 ms"));
}

static const char *
key_of(const char *kind, const char *url, const char *option)
{
	static struct declared_option options[1];
	const struct declared_queue queue = {.kind = kind,
	    .url = url,
	    .real_name = "jobs",
	    .real_key = "list",
	    .options = options,
	    .noptions = option != NULL};

	options[0].key = option;
	options[0].value = "x";
	return move_log_key(&arena, &queue);
}

static void
a_queue_has_one_key_however_its_url_is_written(void **state)
{
	static const struct {
		const char *kind, *a, *b;
		bool same;
	} rows[] = {
	    {"redis", "redis://h", "redis://u:pw@H:6379/0", true},
	    {"redis", "redis://h/0", "rediss://h:6379?tls.ca=/a", true},
	    {"redis", "redis://h/0", "redis://h/1", false},
	    {"redis", "redis://h", "redis://g", false},
	    {"redis", "redis://h", "redis://h:6380", false},
	    {"redis", "redis+unix:///s", "redis+unix:///s?db=1", false},
	    {"redis", "redis+sentinel://a,b?master=m",
	        "redis+sentinel://u:pw@A,B?master=m", true},
	    {"redis", "redis+sentinel://a?master=m",
	        "redis+sentinel://a?master=n", false},
	    {"amqp", "amqp://h", "amqp://guest@h:5672/%2F", true},
	    {"amqp", "amqp://h", "amqp://h/v", false},
	    {"amqp", "amqp://h", "amqps://h", false},
	    {"pgtable", "postgres://a@H/d", "postgresql://b:c@h:5432/d", true},
	    {"pgtable", "postgres://h/d", "postgres://h/e", false},
	    {"sqs", "sqs://K:S@r/1/q", "sqs://r/1/q", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *a = key_of(rows[i].kind, rows[i].a, NULL);
		const char *b = key_of(rows[i].kind, rows[i].b, NULL);

		if ((strcmp(a, b) == 0) != rows[i].same)
			fail_msg("'%s' and '%s'", a, b);
		assert_null(strstr(b, "pw"));
	}
	/* what only says how to look doesn't tell queues apart */
	assert_string_equal(key_of("redis", "redis://h", "timeout"),
	    key_of("redis", "redis://h", NULL));
	assert_string_not_equal(key_of("redis", "redis://h", "group"),
	    key_of("redis", "redis://h", NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_moved_is_known_again_by_id_and_error),
	    TEST(only_what_was_moved_counts_and_an_end_that_lacks_is_told),
	    TEST(lines_that_are_none_are_passed_over),
	    TEST(a_job_that_got_another_id_is_known_by_that),
	    TEST(a_queue_has_one_key_however_its_url_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
