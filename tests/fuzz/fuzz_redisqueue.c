/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/redis_server.h"
#include "tests/fuzz/queue.h"
#include "tests/fuzz/server.h"

/*
 * What a Redis answers to each kind of queue on it: replies, the libraries'
 * jobs within them, MOVED and ASK. The first byte says which kind, the second
 * what is asked, the rest is the server's.
 */

static const char RECEIPT[] =
    "reeve-canary-7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1 0-0";
static const char *const urls[] = {
    "redis://127.0.0.1:6379/0?list=jobs",
    "redisstream+redis://127.0.0.1:6379/0?stream=jobs&group=workers&idle=1m",
    "bullmq+redis://127.0.0.1:6379/0?queue=jobs",
    "bull+redis://127.0.0.1:6379/0?queue=jobs",
    "bee+redis://127.0.0.1:6379/0?queue=jobs",
    "rq+redis://127.0.0.1:6379/0?queue=jobs",
    "celery+redis://127.0.0.1:6379/0?queue=jobs",
    "sidekiq+redis://127.0.0.1:6379/0?queue=jobs",
    "resque+redis://127.0.0.1:6379/0?queue=jobs",
};

static void
redirect(const uint8_t *bytes, size_t len)
{
	char *text = fuzz_text(bytes, len);
	char host[64] = "";
	bool asks = false;
	unsigned slot = 0;
	int port = 0;

	if (redis_redirect_parse(
	        text, &asks, &slot, host, sizeof(host), &port)) {
		assert(slot < REDIS_SLOTS && port > 0 && port <= 65535);
		assert(strnlen(host, sizeof(host)) < sizeof(host));
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 2)
		return 0;
	redirect(bytes + 2, len - 2);
	fuzz_server_begin(bytes + 2, len - 2);
	fuzz_queue(urls[bytes[0] % ARRAY_LEN(urls)], RECEIPT, bytes[1]);
	fuzz_server_end();
	return 0;
}
