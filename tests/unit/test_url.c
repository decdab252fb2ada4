/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "tests/unit/arena_try.h"

struct url_row {
	const char *text;
	const char *scheme, *user, *password, *host;
	int port;
	const char *path;
};

static void
urls_are_taken_apart(void **state)
{
	(void)state;
	static const struct url_row rows[] = {
	    {"redis://h", "redis", NULL, NULL, "h", -1, ""},
	    {"REDIS://H:6379/0", "redis", NULL, NULL, "H", 6379, "/0"},
	    {"redis://:pw@h/1", "redis", "", "pw", "h", -1, "/1"},
	    {"amqp://u:p@h:5672/%2F", "amqp", "u", "p", "h", 5672, "//"},
	    {"postgresql://u@h/db", "postgresql", "u", NULL, "h", -1, "/db"},
	    {"postgresql://u:@h/db", "postgresql", "u", "", "h", -1, "/db"},
	    {"a://u:p:q@h", "a", "u", "p:q", "h", -1, ""},
	    {"a://u:p%40ss%2F%3A@h", "a", "u", "p@ss/:", "h", -1, ""},
	    {"a://u:p@ss@h", "a", "u", "p@ss", "h", -1, ""},
	    {"a://[::1]:80/x", "a", NULL, NULL, "::1", 80, "/x"},
	    {"a://[::1]", "a", NULL, NULL, "::1", -1, ""},
	    {"sqlitetable+file:///p.db?table=t", "sqlitetable+file", NULL, NULL,
	        "", -1, "/p.db"},
	    {"kafka://b1:9092,b2:9092?topic=t", "kafka", NULL, NULL,
	        "b1:9092,b2:9092", -1, ""},
	    {"a://%2Frun%2Fpg/db", "a", NULL, NULL, "/run/pg", -1, "/db"},
	    {"a://h:65535", "a", NULL, NULL, "h", 65535, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct url_row *row = &rows[i];
		struct err err = ERR_INIT;
		struct url url;

		if (url_parse(&arena, row->text, &url, &err) == -1)
			fail_msg("%s: %s", row->text, err.text);
		assert_string_equal(url.scheme, row->scheme);
		assert_true(text_equal(url.user, row->user));
		assert_true(text_equal(url.password, row->password));
		assert_string_equal(url.host, row->host);
		assert_int_equal(url.port, row->port);
		assert_string_equal(url.path, row->path);
	}
}

static void
what_is_no_url_is_refused_and_no_password_is_said(void **state)
{
	(void)state;
	static const char *const wrong[] = {
	    "",
	    "h:6379",
	    "://h",
	    "1a://h",
	    "redis:/h",
	    "redis://h:0",
	    "redis://h:65536",
	    "redis://h:",
	    "redis://h:12x",
	    "redis://h: 80",
	    "redis://:hunter2@[::1",
	    "redis://:hunter2@[::1]80",
	    "redis://u:hunter2/x@h",
	    "redis://u:hunter2?x@h",
	    "redis://u:hunter2#x@h",
	    "redis://u:hunter2 @h",
	    "redis://u:hunter2\n@h",
	    "redis://u:hunter2%@h",
	    "redis://u:hunter2%4@h",
	    "redis://u:hunter2%zz@h",
	    "redis://u:hunter2%00@h",
	    "redis://%zz:hunter2@h",
	    "redis://u:hunter2@%zz",
	    "redis://u:hunter2@h/%zz",
	    "redis://u:hunter2@h/?a=%zz",
	    "postgresql://h/d?password=a&hunter2",
	    "postgresql://h/d?password=a&&x=hunter2",
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;
		struct url url = {.port = 17};

		if (url_parse(&arena, wrong[i], &url, &err) == 0)
			fail_msg("'%s' was accepted", wrong[i]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_null(strstr(err.text, "hunter2"));
		assert_int_equal(url.port, 17);
	}
}

static void
the_query_is_decoded_and_looked_up_by_its_exact_key(void **state)
{
	(void)state;
	struct url url;

	assert_int_equal(
	    url_parse(&arena,
	        "a://h?list=file%3Ajobs&&empty=&flag&x=a=b&list=second&p=a+b",
	        &url, NULL),
	    0);
	assert_int_equal(url.nquery, 6);
	assert_string_equal(url_query(&url, "list"), "file:jobs");
	assert_string_equal(url_query(&url, "empty"), "");
	assert_string_equal(url_query(&url, "flag"), "");
	assert_string_equal(url_query(&url, "x"), "a=b");
	assert_string_equal(url_query(&url, "p"), "a+b");
	assert_null(url_query(&url, "List"));
	assert_int_equal(url_parse(&arena, "a://h?", &url, NULL), 0);
	assert_int_equal(url.nquery, 0);
}

static void
passwords_are_hidden_in_what_parses_and_in_what_does_not(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
	    {"redis://h:6379/0", "redis://h:6379/0"},
	    {"redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"},
	    {"amqp://u:hunter2@h", "amqp://u:***@h"},
	    {"postgresql://u@h/db", "postgresql://u@h/db"},
	    {"a://u:x:hunter2@h", "a://u:***@h"},
	    {"a://u:p@hunter2@h", "a://u:***@h"},
	    {"a://u:hun/ter2@h/db", "a://u:***@h/db"},
	    {"a://u:hun?ter2@h/db", "a://u:***@h/db"},
	    {"a://u:hun#ter2@h/db", "a://u:***@h/db"},
	    {"a://u:hunter2 @h", "a://u:***@h"},
	    {"a://hun@ter2@h", "a://***@h"},
	    {"a://u:hunter2%zz@h", "a://u:***@h"},
	    {"http://h:80/a@b", "http://h:80/a@b"},
	    {"http://h/a@b:c", "http://h/a@b:c"},
	    {"https://hunter2@h/x", "https://***@h/x"},
	    {"nats://hunter2@h:4222?stream=S", "nats://***@h:4222?stream=S"},
	    {"nats+tls://hunter2@h", "nats+tls://***@h"},
	    {"nats://hun?ter2@h?stream=S", "nats://***@h?stream=S"},
	    {"bullmq+redis://hunter2@h/0", "bullmq+redis://***@h/0"},
	    {"a://u:hun@t:er/2?@h/db", "a://u:***@h/db"},
	    {"a://u:hun@ter/2@h/db?x=1", "a://u:***@h/db?x=1"},
	    {"a://u:123/hunter2@h/db?x=1", "a://u:***@h/db?x=1"},
	    {"a://u:123?hunter2@h/db?x=1", "a://u:***@h/db?x=1"},
	    {"a://h:6379/0?list=a@b", "a://h:6379/0?list=a@b"},
	    {"a://u:hunter2@h/0?list=a@b", "a://u:***@h/0?list=a@b"},
	    {"a://u:hunter2@h1:1,h2:2/0", "a://u:***@h1:1,h2:2/0"},
	    {"file:///a@b/c.db?table=t", "file:///a@b/c.db?table=t"},
	    {"amqp://h/a@b", "amqp://h/a@b"},
	    {"a://u@h:1/db?password=hun@t/e?r 2&t=t",
	        "a://u@h:1/db?password=***&t=t"},
	    {"http://[::1]/x@y", "http://[::1]/x@y"},
	    {"postgresql:///db?user=u&password=hunter2&a=b",
	        "postgresql:///db?user=u&password=***&a=b"},
	    {"postgresql:///db?password=hun&ter2&&a=b&c",
	        "postgresql:///db?password=***&a=b&c"},
	    {"postgresql:///db?password=hun&ter2",
	        "postgresql:///db?password=***"},
	    {"postgresql:///db?password=hun'ter\"2, x)&a=b",
	        "postgresql:///db?password=***&a=b"},
	    {"amqp://h?mgmt=http://u:hunter2@h:15672",
	        "amqp://h?mgmt=http://u:***@h:15672"},
	    {"amqp://h?mgmt=http%3A%2F%2Fu%3Ahunter2%40h&queue=q",
	        "amqp://h?mgmt=***&queue=q"},
	    {"amqp://u:hun/ter2@h/v?mgmt=http%3A%2F%2Fu%3Ahun'ter2%40h",
	        "amqp://u:***@h/v?mgmt=***"},
	    {"amqp://h?mgmt=http%3A%2F%2Fh&queue=q",
	        "amqp://h?mgmt=http%3A%2F%2Fh&queue=q"},
	    {"not a url", "not a url"},
	    {"", ""},
	    {"://@", "://@"},
	    {"a://@", "a://@"},
	    {"a://", "a://"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(
		    url_redacted(&arena, rows[i][0]), rows[i][1]);
}

static void
within_free_text_a_url_ends_at_white_space_or_a_quote(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
	    {"open redis://:hunter2@h: refused, ask a@b",
	        "open redis://:***@h: refused, ask a@b"},
	    {"\"a://u:hunter2@h\",\"c@d\"", "\"a://u:***@h\",\"c@d\""},
	    {"two: a://u:p1@h b://u:p2@h", "two: a://u:***@h b://u:***@h"},
	    {"host=h password=hunter2 user=u", "host=h password=*** user=u"},
	    {"host=h password='hun ter2' user=u", "host=h password=*** user=u"},
	    {"DB_PASSWORD=hunter2", "DB_PASSWORD=***"},
	    {"bypass=one", "bypass=one"},
	    {"pass=hunter2", "pass=***"},
	    {"ask 'a://h?token=hun'ter,2', or", "ask 'a://h?token=***', or"},
	    {"a://u@h?pass=env:PW", "a://u@h?pass=env:PW"},
	    {"a://u@h?pass=file:/run/pw", "a://u@h?pass=file:/run/pw"},
	    {"(a://h?token=hunter2)", "(a://h?token=***)"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(
		    url_redacted_text(&arena, rows[i][0]), rows[i][1]);
}

static void
our_own_keys_are_taken_off(void **state)
{
	(void)state;
	static const char *const drop[] = {"list", "dlq", NULL};
	static const char *const rows[][2] = {
	    {"redis://h/0?list=a", "redis://h/0"},
	    {"redis://h/0?list=a&dlq=b&x=1", "redis://h/0?x=1"},
	    {"redis://h/0?x=1&list=a&y=%20", "redis://h/0?x=1&y=%20"},
	    {"redis://h/0?l%69st=a&listen=1", "redis://h/0?listen=1"},
	    {"redis://u:p%40@h", "redis://u:p%40@h"},
	    {"redis://h?list", "redis://h"},
	    {"redis://h?", "redis://h?"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(
		    url_without(&arena, rows[i][0], drop), rows[i][1]);
}

static void
all_but_the_unreserved_is_encoded(void **state)
{
	(void)state;
	assert_string_equal(url_encode(&arena, "aZ09-._~"), "aZ09-._~");
	assert_string_equal(
	    url_encode(&arena, "p@ss/:%\xC3\xA9 "), "p%40ss%2F%3A%25%C3%A9%20");
	assert_string_equal(url_encode(&arena, ""), "");
}

static void
what_was_encoded_is_decoded_to_the_same(void **state)
{
	(void)state;
	char all[256];
	struct url url;

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	const char *text =
	    arena_format(&arena, "a://u:%s@h", url_encode(&arena, all));
	assert_int_equal(url_parse(&arena, text, &url, NULL), 0);
	assert_string_equal(url.password, all);
}

static void
what_should_be_a_url_and_is_none_is_not_shown(void **state)
{
	(void)state;
	assert_string_equal(url_shown(&arena, "s3cret-pw\n"), "(no URL)");
	assert_string_equal(url_shown(&arena, "user:s3cret@host"), "(no URL)");
	assert_string_equal(
	    url_shown(&arena, "redis://:s3cret@host/0"), "redis://:***@host/0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(urls_are_taken_apart),
	    cmocka_unit_test(what_is_no_url_is_refused_and_no_password_is_said),
	    cmocka_unit_test(
	        the_query_is_decoded_and_looked_up_by_its_exact_key),
	    cmocka_unit_test(
	        passwords_are_hidden_in_what_parses_and_in_what_does_not),
	    cmocka_unit_test(
	        within_free_text_a_url_ends_at_white_space_or_a_quote),
	    cmocka_unit_test(what_should_be_a_url_and_is_none_is_not_shown),
	    cmocka_unit_test(our_own_keys_are_taken_off),
	    cmocka_unit_test(all_but_the_unreserved_is_encoded),
	    cmocka_unit_test(what_was_encoded_is_decoded_to_the_same),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
