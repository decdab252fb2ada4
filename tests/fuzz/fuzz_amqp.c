/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/arena.h"
#include "probes/queue/amqp.h"
#include "tests/fuzz/fuzz.h"

/* What something that says it is RabbitMQ's management API answers. */

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct err err = ERR_INIT;
	struct amqp_counted counted = {0};
	struct queue_consumer who = {.id = ""};
	const char *channel = "c";
	struct amqp_counted one = {
	    .who = &who, .channels = &channel, .nwho = 1};

	arena_init(&arena, FUZZ_ARENA_MAX);
	CLEANUP(json_free)
	cJSON *answer = json_read(arena_bytes(&arena, bytes, len), len, &err);

	if (answer != NULL) {
		if (amqp_counted_of(&arena, answer, &counted, &err) == 0) {
			assert(counted.nwho <= QUEUE_WHO_MAX);
			assert(counted.dead_exchange != NULL);
		} else {
			assert(err.kind != ERR_NONE);
		}
		(void)amqp_alarm_of(&arena, answer);
		amqp_held_of(&one, answer);
		assert(who.held.know == KNOW_UNKNOWN || who.held.value >= 0);
	}
	arena_fini(&arena);
	return 0;
}
