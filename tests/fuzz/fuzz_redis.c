/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/redis_connection.h"
#include "tests/fuzz/server.h"

/* What a server that says it is Redis answers. */

static void
use(struct redis_connection *redis, struct arena *arena)
{
	int64_t deadline_ms = clock_after(clock_ms(), 1000);
	const char *code = NULL;

	(void)redis_connection_run_id(redis);
	(void)redis_connection_version(redis);
	for (;;) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		struct err err = ERR_INIT;
		if (redis_connection_do(redis, deadline_ms, &reply, &err,
		        "LLEN", "jobs", NULL) == -1) {
			assert(redis_connection_cause(redis) != CAUSE_NONE);
			assert(err.kind != ERR_TIMEOUT);
			return;
		}
		if (reply->type == REDIS_REPLY_ERROR)
			(void)redis_error_cause(reply, arena, &code);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct ladder ladder;
	struct redis_connection *redis = NULL;

	fuzz_server_begin(bytes, len);
	arena_init(&arena, FUZZ_ARENA_MAX);
	ladder_init(&ladder, &arena, clock_after(clock_ms(), 1000));
	if (redis_connection_open("redis://u:secret@127.0.0.1:6379/1", NULL,
	        &ladder, &redis) == 0)
		use(redis, &arena);
	else
		assert(ladder.cause != CAUSE_NONE);
	redis_connection_close(redis);
	fuzz_server_end();
	arena_fini(&arena);
	return 0;
}
