/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>

#include "base/buffer.h"
#include "base/text.h"
#include "checks/finding_table.h"
#include "probes/queue/near.h"
#include "probes/queue/queue.h"
#include "probes/queue/redis.h"
#include "probes/queue/timestamp.h"
#include "tests/unit/arena_try.h"

static const char *
option_of(const struct queue_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->noptions; i++) {
		if (text_equal(spec->options[i].key, key))
			return spec->options[i].value;
	}
	return NULL;
}

static void
a_queues_url_is_taken_apart(void **state)
{
	static const struct {
		const char *url, *kind, *rest, *key, *value;
	} cases[] = {
	    {"redis://h:6379/0?list=a:b", "redis", "redis://h:6379/0", "list",
	        "a:b"},
	    {"rediss://u:p%40@h/2?list=a&tls.ca=%2Fx&dlq=d", "redis",
	        "rediss://u:p%40@h/2?tls.ca=/x", "dlq", "d"},
	    {"pgtable+postgresql://u@h/db?sslmode=require&table=t&where=a%3D1",
	        "pgtable", "postgresql://u@h/db?sslmode=require", "where",
	        "a=1"},
	    {"sqlite:///var/q.db?queue=jobs", "sqlite", "sqlite:///var/q.db",
	        "queue", "jobs"},
	    {"sqlitetable+file:///q.db?table=t", "sqlitetable", "file:///q.db",
	        "table", "t"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct queue_spec spec;
		struct err err = ERR_INIT;

		assert_int_equal(
		    queue_spec_from_url(&arena, cases[i].url, &spec, &err), 0);
		assert_string_equal(spec.kind, cases[i].kind);
		assert_string_equal(
		    option_of(&spec, cases[i].key), cases[i].value);
		assert_null(strstr(spec.url, "table="));
		assert_int_equal(strncmp(spec.url, cases[i].rest, 8), 0);
	}
}

static void
a_queues_url_that_is_wrong_says_what(void **state)
{
	static const struct {
		const char *url, *text;
	} cases[] = {
	    {"redis://h/0?list=a?db=1", "second '?'"},
	    {"redis://h/0/jobs?list=a", "second path"},
	    {"redis://h/0?lst=a", "no key 'lst'; did you mean 'list'?"},
	    {"redis://h/0?list=a&list=b", "twice"},
	    {"mqtt://h/?topic=a", "not the URL of a queue"},
	    {"postgresql://h/db?table=a", "not the URL of a queue"},
	    {"jobs", "not the URL of a queue"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct queue_spec spec;
		struct err err = ERR_INIT;

		assert_int_equal(
		    queue_spec_from_url(&arena, cases[i].url, &spec, &err), -1);
		assert_non_null(strstr(err.text, cases[i].text));
	}
}

static void
a_wrong_url_never_shows_its_password(void **state)
{
	struct queue_spec spec;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(queue_spec_from_url(&arena,
	                     "mqtt://user:hidden-word@h/?topic=a", &spec, &err),
	    -1);
	assert_null(strstr(err.text, "hidden-word"));
	assert_int_equal(queue_spec_from_url(&arena,
	                     "redis://user:hidden-word@h/0?x=a", &spec, &err),
	    -1);
	assert_null(strstr(err.text, "hidden-word"));
}

static void
names_that_differ_in_separators_or_case_are_nearest(void **state)
{
	(void)state;
	assert_int_equal(
	    near_distance("fileprocess:jobs", "fileprocess-jobs"), 1);
	assert_int_equal(
	    near_distance("fileprocess:jobs", "FileProcess.Jobs"), 1);
	assert_int_equal(
	    near_distance("fileprocess:jobs", "fileprocess:job"), 1);
	assert_true(near_distance("fileprocess:jobs", "jobs") < UINT_MAX);
	assert_true(near_distance("jobs", "api:jobs") < UINT_MAX);
	assert_int_equal(near_distance("jobs", "sessions"), UINT_MAX);
	assert_int_equal(near_distance("ab", "xy"), UINT_MAX);
}

static void
only_the_nearest_names_are_kept_in_order(void **state)
{
	struct queue_state queue_state = {0};
	struct near near;

	(void)state;
	near_init(&near, &arena, "abcdefghijkl");
	near_offer(&near, "abcdefghixxx", "", "list");
	for (int i = 0; i < 3 * QUEUE_NEAR_MAX; i++)
		near_offer(&near, arena_format(&arena, "abcdefghij%02d", i), "",
		    "list");
	near_offer(&near, "abcdefghijk", "", "list");
	near_offer(&near, "abcdefghijk", "", "list");  /* seen */
	near_offer(&near, "abcdefghijkl", "", "list"); /* itself */
	near_offer(&near, "abcdefghijkl", "db 1", "list");
	near_finish(&near, &queue_state);
	assert_int_equal(queue_state.nnear, QUEUE_NEAR_MAX);
	assert_string_equal(queue_state.near[0].where, "db 1");
	assert_string_equal(queue_state.near[1].name, "abcdefghijk");
	for (size_t i = 1; i < queue_state.nnear; i++)
		assert_true(queue_state.near[i].distance >=
		            queue_state.near[i - 1].distance);
}

static void
candidates_are_bounded_and_never_the_name_itself(void **state)
{
	const char *names[NEAR_CANDIDATES_MAX];
	size_t count = near_candidates(&arena, "a:b:c:d:e:f:g:h:i:j", names);
	bool dashed = false;

	(void)state;
	assert_true(count > 10 && count <= NEAR_CANDIDATES_MAX);
	for (size_t i = 0; i < count; i++) {
		assert_string_not_equal(names[i], "a:b:c:d:e:f:g:h:i:j");
		dashed = dashed || text_equal(names[i], "a-b-c-d-e-f-g-h-i-j");
	}
	assert_true(dashed);
}

/* As Redis 7.0.15 wrote them (queues.md part 5). */
static const char blocked[] =
    "id=7 addr=10.0.0.7:51234 laddr=10.0.0.5:6379 fd=8 name= age=3 idle=1 "
    "flags=b db=2 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 argv-mem=23 cmd=brpop "
    "user=default redir=-1 resp=2";

static void
a_client_is_read_out_of_its_line(void **state)
{
	struct redis_client client;

	(void)state;
	assert_true(
	    redis_client_parse(&arena, blocked, strlen(blocked), &client));
	assert_int_equal(client.id, 7);
	assert_int_equal(client.db, 2);
	assert_int_equal(client.argv_mem, 23);
	assert_string_equal(client.address, "10.0.0.7:51234");
	assert_string_equal(client.name, "");
	assert_string_equal(client.flags, "b");
	assert_string_equal(client.command, "brpop");
	assert_false(redis_client_parse(&arena, "nonsense", 8, &client));
	assert_false(redis_client_parse(&arena, "", 0, &client));
}

static void
arguments_that_are_too_short_exclude_a_list(void **state)
{
	struct redis_client client;

	(void)state;
	assert_true(
	    redis_client_parse(&arena, blocked, strlen(blocked), &client));
	/* 23 = brpop + fileprocess:jobs2 + 0 */
	assert_true(redis_client_may_wait(&client, "fileprocess:jobs2"));
	assert_true(redis_client_may_wait(&client, "fileprocess-jobs2"));
	assert_false(redis_client_may_wait(&client, "fileprocess:jobs22"));
	client.argv_mem = -1; /* an older server doesn't say */
	assert_true(redis_client_may_wait(&client, "fileprocess:jobs22"));
	client.argv_mem = 23;
	client.flags = "N"; /* between two waits */
	assert_true(redis_client_may_wait(&client, "fileprocess:jobs22"));
	client.command = "lpush";
	assert_false(redis_client_may_wait(&client, "fileprocess:jobs2"));
	client.command = "evalsha";
	assert_true(redis_client_may_wait(&client, "fileprocess:jobs2"));
}

static void
a_workers_name_survives_its_encoding(void **state)
{
	static const char *const queues[] = {
	    "fileprocess:jobs", "a b|c%d", "", "ümlaut", "probe"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
		const char *name =
		    redis_client_name(&arena, queues[i], "w/0:12 34");
		const char *key = NULL;
		const char *owner = NULL;

		for (const char *c = name; *c != '\0'; c++)
			assert_true(*c > ' ' && *c <= '~');
		assert_true(
		    redis_client_name_parse(&arena, name, &key, &owner));
		assert_string_equal(key, queues[i]);
		assert_string_equal(owner, "w/0:12 34");
	}
	const char *key = NULL;
	const char *owner = NULL;

	assert_false(
	    redis_client_name_parse(&arena, "reeve:probe", &key, &owner));
	assert_false(redis_client_name_parse(&arena, "api|x", &key, &owner));
}

static void
a_digest_is_what_the_server_computes(void **state)
{
	char digest[QUEUE_DIGEST_SIZE];

	(void)state;
	queue_digest("abc", 3, digest); /* FIPS 180-2, appendix A.1 */
	assert_string_equal(digest, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

static void
times_are_read_as_payloads_write_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
	    {"1970-01-01T00:00:00Z", 0},
	    {"2026-11-22T02:18:00.123Z", 1795313880123},
	    {"2026-11-22 02:18:00", 1795313880000},
	    {"2026-11-22T03:18:00+01:00", 1795313880000},
	    {"2026-11-21T18:18:00.5-0800", 1795313880500},
	};
	static const char *const bad[] = {"", "2026-11-22",
	    "2026-13-01T00:00:00Z", "2026-11-22T02:18:00Zx",
	    "2026-11-22T02:18:00+1", "now"};
	int64_t ms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(timestamp_parse(good[i].text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(timestamp_parse(bad[i], &ms), -1);
	assert_int_equal(timestamp_of_number(1795313880), 1795313880000);
	assert_int_equal(timestamp_of_number(1795313880123), 1795313880123);
	assert_int_equal(timestamp_of_number(-1), -1);
}

static void
a_cluster_points_to_the_node_that_has_a_key(void **state)
{
	/* slots as CLUSTER KEYSLOT of Redis 7.0.15 says them */
	static const struct {
		const char *key;
		unsigned slot;
	} slots[] = {{"foo", 12182}, {"{foo}:wait", 12182}, {"a{foo}b", 12182}};
	static const char *const bad[] = {"", "MOVED", "MOVED ", "MOVED 1",
	    "MOVED 1 ", "MOVED 16384 h:1", "MOVED -1 h:1", "MOVED 1 h:0",
	    "MOVED 1 h:65536", "MOVED 1 h", "ASK  h:1", "MOVED 123456789 h:1",
	    "ERR MOVED 1 h:1", "MOVED 1 0123456789abcdefghij:1"};
	char host[16];
	bool asks = false;
	unsigned slot = 0;
	int port = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(redis_slot(slots[i].key, strlen(slots[i].key)),
		    slots[i].slot);
	assert_int_equal(redis_slot("", 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(redis_redirect_parse(
		    bad[i], &asks, &slot, host, sizeof(host), &port));
	assert_true(redis_redirect_parse("ASK 3999 127.0.0.1:6381", &asks,
	    &slot, host, sizeof(host), &port));
	assert_true(asks);
	assert_int_equal(slot, 3999);
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(port, 6381);
	assert_true(redis_redirect_parse(
	    "MOVED 1 :7000", &asks, &slot, host, sizeof(host), &port));
	assert_string_equal(host, "");
}

/* A row of the guide's table, as the driver's own functions have it. */
static const char *
ability_row(const struct queue_driver *driver)
{
	static const char *const words[] = {"–", "yes"};

	return arena_format(&arena, "| `%s` | %s | %s | %s | %s | %s |\n",
	    driver->kind, words[driver->near != NULL],
	    words[driver->submit != NULL && driver->follow != NULL],
	    words[driver->list != NULL], words[driver->move != NULL],
	    words[driver->consumes]);
}

static void
the_guide_says_what_each_kind_can_do(void **state)
{
	static const char head[] =
	    "| kind | near names | canary | peek, dead | "
	    "requeue, reclaim | `reeve worker` |\n";
	struct err err = ERR_INIT;
	struct buffer guide;
	size_t count = 0;
	size_t rows = 0;
	const struct queue_driver *const *drivers = queue_drivers(&count);

	(void)state;
	buffer_init(&guide, 1 << 20);
	if (buffer_read_file(&guide, "docs/queues.md", &err) == -1)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < count; i++) {
		const char *row = ability_row(drivers[i]);

		if (strstr(guide.data, row) == NULL)
			fail_msg("docs/queues.md lacks: %s", row);
	}
	const char *at = strstr(guide.data, head);

	assert_non_null(at);
	/* no row too many: the head, the line below it, then the rows */
	for (at = strstr(at, "|\n| `"); at != NULL && text_starts(at, "|\n| `");
	     at = strstr(at + 1, "|\n"))
		rows++;
	if (rows < count)
		fail_msg("%zu rows of %zu kinds", rows, count);
	buffer_fini(&guide);
}

/* Whether one of the files that a row, up to its last bar, names in its last
 * cell ("`a`, `b`") is there and speaks of the kind. */
static bool
is_shown(const char *row, size_t len, const char *kind)
{
	const char *cell = row + len - 1;
	bool shown = false;

	while (cell > row && *cell != '|')
		cell--;
	for (const char *at = memchr(cell, '`', (size_t)(row + len - cell));
	     at != NULL && at < row + len && !shown;
	     at = memchr(at, '`', (size_t)(row + len - at))) {
		size_t name = strcspn(at + 1, "`");
		struct err err = ERR_INIT;
		struct buffer suite;

		buffer_init(&suite, 1 << 20);
		if (buffer_read_file(&suite,
		        arena_format(&arena, "tests/service/queue_%.*s.bats",
		            (int)name, at + 1),
		        &err) == -1)
			fail_msg("%s", err.text);
		shown = strstr(suite.data, kind) != NULL;
		buffer_fini(&suite);
		at += name + 2;
	}
	return shown;
}

/* The rows below `head`: each kind has one, and its last cell names a test that
 * speaks of it. `judge` (may be NULL) is called with each such row. */
static void
each_kind_is_shown(const char *head, void (*judge)(const char *row))
{
	struct err err = ERR_INIT;
	struct buffer guide;
	size_t count = 0;
	const struct queue_driver *const *drivers = queue_drivers(&count);

	buffer_init(&guide, 1 << 20);
	if (buffer_read_file(&guide, "docs/queues.md", &err) == -1)
		fail_msg("%s", err.text);
	const char *table = strstr(guide.data, head);

	assert_non_null(table);
	for (size_t i = 0; i < count; i++) {
		const char *kind = drivers[i]->kind;
		const char *name = arena_format(&arena, "`%s`", kind);
		const char *row = strstr(table, "\n| `");
		bool shown = false;

		for (; row != NULL && !shown; row = strstr(row + 1, "\n| `")) {
			const char *end = strstr(row + 3, " | ");
			const char *found = strstr(row, name);

			if (end == NULL || found == NULL || found > end)
				continue;
			size_t len = strcspn(row + 1, "\n");

			shown = is_shown(row + 1, len - 1, kind);
			if (judge != NULL)
				judge(arena_bytes(&arena, row + 1, len));
			break;
		}
		if (!shown)
			fail_msg("no row with a test that shows '%s'", kind);
	}
	buffer_fini(&guide);
}

static void
the_guide_says_which_test_shows_each_kind(void **state)
{
	(void)state;
	each_kind_is_shown("## What was held against what\n", NULL);
}

/* Every finding that a row names is one. */
static void
names_findings(const char *row)
{
	enum {
		LEAST = 2
	};
	size_t named = 0;

	for (const char *at = strstr(row, "RV"); at != NULL;
	     at = strstr(at + 1, "RV"), named++) {
		const char *id = arena_format(&arena, "%.5s", at);

		if (finding_row_find(id) == NULL)
			fail_msg("no finding '%s' in: %s", id, row);
	}
	if (named < LEAST)
		fail_msg("only %zu findings in: %s", named, row);
}

static void
the_guide_says_what_each_wrong_thing_is(void **state)
{
	(void)state;
	each_kind_is_shown("## What people get wrong\n", names_findings);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_queues_url_is_taken_apart),
	    cmocka_unit_test(a_queues_url_that_is_wrong_says_what),
	    cmocka_unit_test(a_wrong_url_never_shows_its_password),
	    cmocka_unit_test(
	        names_that_differ_in_separators_or_case_are_nearest),
	    cmocka_unit_test(only_the_nearest_names_are_kept_in_order),
	    cmocka_unit_test(candidates_are_bounded_and_never_the_name_itself),
	    cmocka_unit_test(a_client_is_read_out_of_its_line),
	    cmocka_unit_test(arguments_that_are_too_short_exclude_a_list),
	    cmocka_unit_test(a_workers_name_survives_its_encoding),
	    cmocka_unit_test(a_digest_is_what_the_server_computes),
	    cmocka_unit_test(a_cluster_points_to_the_node_that_has_a_key),
	    cmocka_unit_test(a_cluster_points_to_the_node_that_has_a_key),
	    cmocka_unit_test(the_guide_says_what_each_kind_can_do),
	    cmocka_unit_test(the_guide_says_which_test_shows_each_kind),
	    cmocka_unit_test(the_guide_says_what_each_wrong_thing_is),
	    cmocka_unit_test(times_are_read_as_payloads_write_them),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
