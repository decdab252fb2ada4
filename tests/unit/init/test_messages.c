/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/wire/messages.h"

static union wire_message message;

static void
make(enum wire_type type)
{
	memset(&message, 0, sizeof(message));
	wire_prepare(&message, type, 7);
}

static int
check(size_t len)
{
	struct err err = ERR_INIT;
	int rc = wire_check(&message, len, &err);

	assert_true(rc == 0 || err.kind == ERR_INPUT);
	return rc;
}

static void
every_type_that_is_prepared_is_accepted(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		size_t length = wire_length((enum wire_type)type);
		if (length == 0)
			continue;
		known++;
		make((enum wire_type)type);
		assert_int_equal(check(length), 0);
		assert_int_equal(message.head.sequence, 7);
		assert_true(length <= WIRE_MESSAGE_MAX);
	}
	assert_int_equal(known, 11 + 21);
}

static void
a_wrong_head_is_refused(void **state)
{
	(void)state;
	make(WIRE_STOP);
	message.head.magic++;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_STOP);
	message.head.version++;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_STOP);
	message.head.type = 63;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_STOP);
	message.head.type = 60000;
	assert_int_equal(check(message.head.length), -1);
}

static void
any_other_length_is_refused(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		size_t length = wire_length((enum wire_type)type);
		for (size_t len = 0; length > 0 && len <= sizeof(message);
		     len++) {
			if (len == length)
				continue;
			make((enum wire_type)type);
			assert_int_equal(check(len), -1);
			message.head.length = (uint32_t)len;
			assert_int_equal(check(len), -1);
		}
	}
}

static void
a_text_without_end_is_refused(void **state)
{
	(void)state;
	make(WIRE_STOP);
	memset(message.order.name, 'a', sizeof(message.order.name));
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_REPLY);
	memset(message.reply.text, 'a', sizeof(message.reply.text));
	assert_int_equal(check(message.head.length), -1);
	message.reply.text[WIRE_TEXT_MAX - 1] = '\0';
	assert_int_equal(check(message.head.length), 0);
}

static void
numbers_out_of_range_are_refused(void **state)
{
	(void)state;
	make(WIRE_EXTEND);
	message.order.value = 1000;
	assert_int_equal(check(message.head.length), 0);
	message.order.replica = WIRE_ALL_REPLICAS;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_EXTEND);
	message.order.value = -1;
	assert_int_equal(check(message.head.length), -1);
	message.order.value = WIRE_EXTEND_MAX_MS + 1;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_SCALE);
	message.order.value = -1;
	assert_int_equal(check(message.head.length), -1);
	message.order.value = WORKER_REPLICAS_MAX + 1;
	assert_int_equal(check(message.head.length), -1);
	message.order.value = WORKER_REPLICAS_MAX;
	assert_int_equal(check(message.head.length), 0);
	make(WIRE_RESTART);
	message.order.replica = -2;
	assert_int_equal(check(message.head.length), -1);
	make(WIRE_INSTANCE);
	message.instance.state = INSTANCE_STATES;
	assert_int_equal(check(message.head.length), -1);
}

static void
names_of_what_does_not_exist_are_words_too(void **state)
{
	(void)state;
	assert_string_equal(instance_state_name(INSTANCE_STATES), "unknown");
	assert_string_equal(instance_event_name(EVENT_COUNT), "unknown");
	assert_string_equal(instance_why_name(WHY_COUNT), "unknown");
	assert_string_equal(wire_operator_name(99), "unknown");
	for (int i = 0; i < INSTANCE_STATES; i++)
		assert_string_not_equal(
		    instance_state_name((enum instance_state)i), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_type_that_is_prepared_is_accepted),
	    cmocka_unit_test(a_wrong_head_is_refused),
	    cmocka_unit_test(any_other_length_is_refused),
	    cmocka_unit_test(a_text_without_end_is_refused),
	    cmocka_unit_test(numbers_out_of_range_are_refused),
	    cmocka_unit_test(names_of_what_does_not_exist_are_words_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
