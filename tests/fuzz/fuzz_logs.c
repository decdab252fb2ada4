/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/fd.h"
#include "supervisor/wire/logs_client.h"
#include "tests/fuzz/fuzz.h"

/* The records of the logger. */

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static char text[LOGS_TEXT_MAX];
	struct logs_record record;
	struct err err = ERR_INIT;
	int fds[2], rc;

	fuzz_sockets(SOCK_STREAM, bytes, len, fds);
	while ((rc = logs_next(fds[0], &record, text, 1000, &err)) == 1) {
		assert(record.len <= sizeof(text));
		assert(strnlen(record.worker, sizeof(record.worker)) <
		       sizeof(record.worker));
	}
	assert(rc == 0 || (err.kind != ERR_NONE && err.kind != ERR_TIMEOUT));
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return 0;
}
