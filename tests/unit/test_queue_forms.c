/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "manifests/queue_form.h"
#include "manifests/table.h"
#include "probes/queue/queue.h"
#include "tests/unit/arena_try.h"

/*
 * The manifest's table and the drivers know a queue's URL each for itself,
 * since the one room may not ask the other: what the command line takes must be
 * what reeve.yaml takes.
 */
/* "SCHEME://h/db?…" with the keys that a queue of this kind needs. */
static const char *
whole_url(enum queue_kind_id kind, const char *scheme)
{
	const struct mapping *queue = mapping_of(MAPPING_queue);
	const char *text = arena_format(&arena, "%s://h/db", scheme);
	char sign = '?';

	for (size_t i = 0; i < queue->nrows; i++) {
		const struct row *row = &queue->rows[i];
		if ((row->needed_by & (UINT64_C(1) << kind)) == 0)
			continue;
		text = arena_format(&arena, "%s%c%s=v", text, sign, row->key);
		sign = '&';
	}
	return text;
}

static bool
needed(enum queue_kind_id kind, const char *key)
{
	const struct row *row = mapping_row(mapping_of(MAPPING_queue), key);

	return row != NULL && (row->needed_by & (UINT64_C(1) << kind)) != 0;
}

/* redis+unix:// and unix:// are one to the driver. */
static const char *
plain(const char *url)
{
	return text_starts(url, "redis+") ? url + strlen("redis+") : url;
}

/* Both take `text`, and to the same end. */
static void
both_take(const char *kind, const char *text)
{
	struct queue_form form;
	struct queue_spec spec;
	struct err err = ERR_INIT;

	if (queue_spec_from_url(&arena, text, &spec, &err) == -1)
		fail_msg("the driver, of '%s': %s", text, err.text);
	if (queue_form_take(&arena, text, &form, &err) == -1)
		fail_msg("the manifest, of '%s': %s", text, err.text);
	assert_string_equal(spec.kind, kind);
	assert_string_equal(queue_kinds[form.kind].word, kind);
	assert_string_equal(plain(form.url), plain(spec.url));
	assert_int_equal(form.noptions, spec.noptions);
}

static void
every_url_of_a_driver_may_stand_in_a_manifest(void **state)
{
	size_t count = 0;
	const struct queue_driver *const *drivers = queue_drivers(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct queue_driver *driver = drivers[i];
		enum queue_kind_id kind = queue_kind_find(driver->kind);

		assert_true(kind < QUEUE_KINDS);
		for (const char *const *s = driver->schemes; *s != NULL; s++) {
			const char *text = whole_url(kind, *s);

			both_take(driver->kind, text);
			/* beside `kind`, as well */
			if (queue_form_plain(kind, text) == NULL)
				fail_msg("kind: %s, url: %s", driver->kind, *s);
		}
	}
}

static void
every_key_of_a_driver_may_stand_in_a_manifest(void **state)
{
	size_t count = 0;
	const struct queue_driver *const *drivers = queue_drivers(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct queue_driver *driver = drivers[i];
		enum queue_kind_id kind = queue_kind_find(driver->kind);
		const char *text = whole_url(kind, driver->schemes[0]);
		char sign = strchr(text, '?') == NULL ? '?' : '&';

		for (const char *const *key = driver->keys; *key != NULL;
		     key++) {
			/* `dlq` there, and each once */
			if (!text_equal(*key, "deadLetter") &&
			    !needed(kind, *key))
				both_take(driver->kind,
				    arena_format(
				        &arena, "%s%c%s=v", text, sign, *key));
		}
		for (const char *const *key = driver->client_keys;
		     key != NULL && *key != NULL; key++)
			both_take(driver->kind,
			    arena_format(&arena, "%s%c%s=v", text, sign, *key));
		if (driver->any_key)
			both_take(
			    driver->kind, arena_format(&arena,
			                      "%s%cany_other=v", text, sign));
	}
}

static void
every_scheme_of_the_manifest_has_a_driver(void **state)
{
	(void)state;
	for (enum queue_kind_id kind = 0; kind < QUEUE_KINDS; kind++) {
		const char *word = queue_kinds[kind].word;

		for (const char *p = queue_kinds[kind].schemes; *p != '\0';) {
			size_t len = strcspn(p, " ");
			bool own = text_starts(p, word);

			both_take(word,
			    whole_url(kind, arena_format(&arena, "%s%s%.*s",
			                        own ? "" : word, own ? "" : "+",
			                        (int)len, p)));
			p += len + (p[len] == ' ');
		}
	}
}

static void
what_kinds_say_in_their_own_way_is_taken_alike(void **state)
{
	(void)state;
	both_take("redis", "redis+unix:///run/redis/r.sock?db=2&list=a");
	both_take("bullmq", "bullmq+unix:///run/redis/r.sock?queue=a");
	both_take("rq", "rq+rediss+sentinel://u:p@a:1,b:2/0?master=m&queue=q");
	both_take("sqlite", "sqlite:///var/lib/q.db?queue=a");
	both_take("sqs", "sqs://eu-west-1/123456789012/jobs");
	both_take("servicebus", "servicebus://p@n.servicebus.windows.net/t/s");
	both_take("nats", "nats+tls://h:4222?stream=S&tls.ca=%2Fca.pem");
	both_take("kafka",
	    "kafka+tls://u:p@a:1,b:2?topic=t&group=g&mechanism=SCRAM-SHA-512");
	both_take("amqp", "amqps://u@h/%2F?queue=q&mgmt=http%3A%2F%2Fh%3A1");
}

static void
what_is_no_queues_url_says_what_would_be(void **state)
{
	static const struct {
		const char *url, *error;
	} cases[] = {
	    {"redsi://h/0?list=a",
	        "'redsi' is no kind of queue; did you mean 'redis'?"},
	    {"redis://h/0?lits=a", "'lits' is no key of a queue of kind redis; "
	                           "did you mean 'list'?"},
	    {"postgresql://h/d?table=t",
	        "'postgresql://' doesn't say what the queue is made of: write "
	        "KIND+postgresql://…, such as pgtable+postgresql://…"},
	    {"kafka+amqp://h?topic=t&group=g",
	        "a queue of kind kafka has a URL of scheme kafka tls, not "
	        "'kafka+amqp'"},
	};
	struct queue_form form;
	struct queue_spec spec;
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
		    queue_form_take(&arena, cases[i].url, &form, &err), -1);
		assert_string_equal(err.text, cases[i].error);
		assert_int_equal(
		    queue_spec_from_url(&arena, cases[i].url, &spec, &err), -1);
	}
	/* all that there are fit into the message */
	assert_int_equal(
	    queue_spec_from_url(&arena, "http://h", &spec, &err), -1);
	assert_non_null(strstr(err.text, "kafka"));
	assert_non_null(strstr(err.text, "beanstalk"));
}

/* A worker calls what only some drivers have. */
static void
whoever_cant_be_consumed_from_is_refused_before_any_server_is_asked(
    void **state)
{
	const struct queue_consuming consuming = {
	    .owner = "w/0", .lease_ms = 1000, .max_attempts = 5};
	size_t count = 0, refused = 0;
	const struct queue_driver *const *all = queue_drivers(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct queue_spec spec = {
		    .kind = all[i]->kind, .url = "x://127.0.0.1:1/q"};
		struct queue queue;
		struct err err = ERR_INIT;

		if (all[i]->left_out)
			continue;
		if (all[i]->consumes) {
			assert_non_null(all[i]->claim);
			assert_non_null(all[i]->bury);
			continue;
		}
		assert_int_equal(queue_open_consuming(&queue, &spec, &consuming,
		                     CLOCK_NEVER, &err),
		    -1);
		assert_int_equal(queue.cause, CAUSE_URL);
		assert_non_null(strstr(err.text, all[i]->kind));
		assert_non_null(
		    strstr(err.text, "it does from redis, pgtable"));
		queue_close(&queue);
		refused++;
	}
	assert_true(refused > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        whoever_cant_be_consumed_from_is_refused_before_any_server_is_asked,
	        begin, end),
	    cmocka_unit_test_setup_teardown(
	        every_url_of_a_driver_may_stand_in_a_manifest, begin, end),
	    cmocka_unit_test_setup_teardown(
	        every_key_of_a_driver_may_stand_in_a_manifest, begin, end),
	    cmocka_unit_test_setup_teardown(
	        every_scheme_of_the_manifest_has_a_driver, begin, end),
	    cmocka_unit_test_setup_teardown(
	        what_kinds_say_in_their_own_way_is_taken_alike, begin, end),
	    cmocka_unit_test_setup_teardown(
	        what_is_no_queues_url_says_what_would_be, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
