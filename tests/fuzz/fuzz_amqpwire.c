/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tests/fuzz/queue.h"
#include "tests/fuzz/server.h"

/* What a server that says it is RabbitMQ answers: librabbitmq takes the frames
 * apart, we the methods, headers and bodies in them. The first byte says what
 * is asked. */

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 1)
		return 0;
	fuzz_server_begin(bytes + 1, len - 1);
	fuzz_queue("amqp://127.0.0.1:5672/%2F?queue=jobs&dlq=jobs.dead", "1",
	    bytes[0]);
	fuzz_server_end();
	return 0;
}
