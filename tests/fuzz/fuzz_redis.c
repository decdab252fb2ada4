/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/redis_connection.h"
#include "tests/fuzz/fuzz.h"

/* What a server that says it is Redis answers. The Makefile wraps socket and
 * connect: the connection is to ourselves. */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(
    int fd, const struct sockaddr *address, socklen_t address_len);

static const uint8_t *answers;
static size_t answers_len;
static int other_end = -1;

int
__wrap_socket(int domain, int type, int protocol)
{
	int fds[2];

	(void)domain;
	(void)type;
	(void)protocol;
	assert(other_end == -1);
	fuzz_sockets(SOCK_STREAM, answers, answers_len, fds);
	other_end = fds[1];
	return fds[0];
}

int
__wrap_connect(int fd, const struct sockaddr *address, socklen_t address_len)
{
	(void)fd;
	(void)address;
	(void)address_len;
	return 0;
}

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

	answers = bytes;
	answers_len = len;
	arena_init(&arena, FUZZ_ARENA_MAX);
	ladder_init(&ladder, &arena, clock_after(clock_ms(), 1000));
	if (redis_connection_open("redis://u:secret@127.0.0.1:6379/1", NULL,
	        &ladder, &redis) == 0)
		use(redis, &arena);
	else
		assert(ladder.cause != CAUSE_NONE);
	redis_connection_close(redis);
	fd_close(&other_end);
	arena_fini(&arena);
	return 0;
}
