/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/nats_answer.h"
#include "tests/unit/arena_try.h"

static cJSON *
read_answer(const char *text, struct nats_refusal *refusal)
{
	struct err err = ERR_INIT;

	return nats_answer_read(text, strlen(text), refusal, &err);
}

static void
a_subject_is_matched_token_by_token(void **state)
{
	static const struct {
		const char *filter, *subject;
		bool matches;
	} cases[] = {
	    {"a.b", "a.b", true},
	    {"a.b", "a.bc", false},
	    {"a.b", "a.b.c", false},
	    {"a.b.c", "a.b", false},
	    {"a.*", "a.b", true},
	    {"a.*", "a.b.c", false},
	    {"*.b", "a.b", true},
	    {"a.>", "a.b.c", true},
	    {"a.>", "a", false},
	    {">", "a", true},
	    {"a", "", false},
	    {"p8fs.storage.events.small", "p8fs.storage.events.smal", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
		    nats_subject_matches(cases[i].filter, cases[i].subject),
		    cases[i].matches);
}

static void
only_an_unfiltered_work_queue_shows_its_dead(void **state)
{
	const char *const subjects[] = {"s.a"};
	struct nats_stream stream = {.retention = "workqueue",
	    .subjects = {subjects, 1},
	    .messages = 10,
	    .consumers = 1};
	struct nats_consumer consumer = {
	    .filter = "", .acks = true, .pending = 3, .ack_pending = 2};

	(void)state;
	assert_int_equal(nats_dead(&stream, &consumer), 5);
	consumer.filter = "s.a"; /* all that the stream stores */
	assert_int_equal(nats_dead(&stream, &consumer), 5);
	consumer.filter = "s.b";
	assert_int_equal(nats_dead(&stream, &consumer), -1);
	consumer.filter = "";
	consumer.pending = 30; /* the two answers are a moment apart */
	assert_int_equal(nats_dead(&stream, &consumer), 0);
	stream.consumers = 2;
	assert_int_equal(nats_dead(&stream, &consumer), -1);
	stream.consumers = 1;
	stream.retention = "limits";
	assert_int_equal(nats_dead(&stream, &consumer), -1);
	stream.retention = "workqueue";
	consumer.acks = false;
	assert_int_equal(nats_dead(&stream, &consumer), -1);
}

static void
a_refusal_is_no_stream(void **state)
{
	struct nats_refusal refusal = {0};
	CLEANUP(json_free)
	cJSON *answer =
	    read_answer("{\"error\":{\"code\":404,\"err_code\":10059,"
	                "\"description\":\"stream not found\"}}",
	        &refusal);
	struct nats_stream stream;
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(answer);
	assert_int_equal(refusal.err_code, 10059);
	assert_string_equal(refusal.description, "stream not found");
	assert_int_equal(nats_stream_of(&arena, answer, &stream, &err), -1);
}

/* Beyond 2^53 a number can't be told exactly: then it isn't told. */
static void
a_sequence_too_large_for_a_double_is_refused(void **state)
{
	struct nats_refusal refusal = {0};
	CLEANUP(json_free)
	cJSON *answer = read_answer(
	    "{\"config\":{\"name\":\"S\"},\"state\":{\"messages\":1,"
	    "\"last_seq\":18446744073709551615}}",
	    &refusal);
	struct nats_stream stream;
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(answer);
	assert_int_equal(nats_stream_of(&arena, answer, &stream, &err), -1);
}

static void
a_messages_bytes_are_decoded_exactly(void **state)
{
	static const struct {
		const char *base64, *bytes;
		size_t len;
	} cases[] = {{"", "", 0}, {"YQ==", "a", 1}, {"YWI=", "ab", 2},
	    {"YWJj", "abc", 3}, {"AAEA", "\0\1\0", 3}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nats_refusal refusal = {0};
		struct nats_message message = {0};
		struct err err = ERR_INIT;
		CLEANUP(json_free)
		cJSON *answer = read_answer(
		    arena_format(&arena,
		        "{\"message\":{\"subject\":\"s\",\"seq\":7,\"data\":"
		        "\"%s\",\"time\":\"2026-11-22T08:56:44.876776352Z\"}}",
		        cases[i].base64),
		    &refusal);

		assert_non_null(answer);
		assert_int_equal(
		    nats_message_of(&arena, answer, &message, &err), 0);
		assert_int_equal(message.len, cases[i].len);
		assert_memory_equal(
		    message.data, cases[i].bytes, cases[i].len + 1);
		assert_int_equal(message.time_ms % 1000, 876);
	}
	struct nats_refusal refusal = {0};
	struct nats_message message = {0};
	struct err err = ERR_INIT;
	CLEANUP(json_free)
	cJSON *answer = read_answer(
	    "{\"message\":{\"seq\":1,\"data\":\"!!!!\"}}", &refusal);

	assert_int_equal(nats_message_of(&arena, answer, &message, &err), -1);
}

static void
what_is_asked_is_escaped(void **state)
{
	(void)state;
	assert_string_equal(nats_wanted(&arena, 7, "next_by_subj", "a\"b"),
	    "{\"seq\":7,\"next_by_subj\":\"a\\\"b\"}");
	assert_string_equal(nats_wanted(&arena, -1, NULL, NULL), "{}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_subject_is_matched_token_by_token),
	    cmocka_unit_test(only_an_unfiltered_work_queue_shows_its_dead),
	    cmocka_unit_test(a_refusal_is_no_stream),
	    cmocka_unit_test(a_sequence_too_large_for_a_double_is_refused),
	    cmocka_unit_test(a_messages_bytes_are_decoded_exactly),
	    cmocka_unit_test(what_is_asked_is_escaped),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
