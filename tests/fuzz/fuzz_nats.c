/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/arena.h"
#include "probes/queue/nats_answer.h"
#include "tests/fuzz/fuzz.h"

/* What a server that says it is NATS answers, on the client port and on the
 * monitoring port. */

static void
take_apart(struct arena *arena, const cJSON *answer)
{
	struct nats_stream stream = {0};
	struct nats_consumer consumer = {0};
	struct nats_message message = {0};
	struct nats_names names = {0};
	struct err err = ERR_INIT;
	const char *text = NULL;
	int64_t seq = 0;
	bool duplicate = false;

	if (nats_stream_of(arena, answer, &stream, &err) == 0)
		assert(stream.messages >= 0 && stream.name != NULL);
	if (nats_consumer_of(arena, answer, &consumer, &err) == 0) {
		assert(consumer.pending >= 0 && consumer.ack_pending >= 0);
		(void)nats_subject_matches(consumer.filter, consumer.deliver);
		if (stream.name != NULL)
			assert(nats_dead(&stream, &consumer) >= -1);
	}
	if (nats_message_of(arena, answer, &message, &err) == 0)
		assert(message.data[message.len] == '\0');
	if (nats_names_of(arena, answer, "streams", &names, &err) == 0)
		assert(names.count <= NATS_NAMES_MAX);
	if (nats_stored_of(arena, answer, &text, &seq, &duplicate, &err) == 0)
		assert(seq > 0);
	(void)nats_monitored(answer, NULL, "S", "c", &text);
	(void)nats_monitored(answer, "A", "S", NULL, &text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct err err = ERR_INIT;
	struct nats_refusal refusal = {0};

	arena_init(&arena, FUZZ_ARENA_MAX);
	CLEANUP(json_free)
	cJSON *answer = nats_answer_read(
	    arena_bytes(&arena, bytes, len), len, &refusal, &err);

	if (answer != NULL)
		take_apart(&arena, answer);
	else
		assert(err.kind != ERR_NONE);
	arena_fini(&arena);
	return 0;
}
