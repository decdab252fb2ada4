/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

/* Its own functions, without a network between. */
#include "supervisor/init/probe.c"
#include "tests/fuzz/fuzz.h"

/* What an HTTP probe is answered. */

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char line[STATUS_LINE_MAX];
	struct err err = ERR_INIT;
	int fds[2];

	memset(line, 0xa5, sizeof(line));
	fuzz_sockets(SOCK_STREAM, bytes, len, fds);
	int rc =
	    read_status_line(fds[0], line, clock_after(clock_ms(), 1000), &err);
	if (rc == 0) {
		assert(strnlen(line, sizeof(line)) < sizeof(line));
		rc = judge_status(line, &err);
	}
	assert(rc == 0 || err.kind == ERR_REFUSED);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return 0;
}
