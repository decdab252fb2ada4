/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/notify.h"

/* A datagram of a worker: whatever is in it, what is kept of it is one line of
 * well-formed text without control characters. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct notify_message message;
	char *copy = fuzz_text(bytes, len);

	notify_parse(copy, len, &message);
	free(copy);
	assert(message.extend_us >= NOTIFY_NEVER);
	assert(message.refused == NULL || *message.refused != '\0');
	assert(memchr(message.status, '\0', sizeof(message.status)) != NULL);
	assert(message.has_status || message.status[0] == '\0');
	const unsigned char *p = (const unsigned char *)message.status;
	for (size_t left = strlen(message.status); left > 0;) {
		size_t step = utf8_len(p, left);
		assert(step > 0);
		assert(*p >= 0x20 && *p != 0x7f);
		assert(step != 2 || p[0] != 0xC2 || p[1] >= 0xA0);
		p += step;
		left -= step;
	}
	return 0;
}
