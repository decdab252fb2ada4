/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_FUZZ_FUZZ_H
#define REEVE_TESTS_FUZZ_FUZZ_H

#include "base/base.h"

#include <sys/mman.h>
#include <sys/socket.h>

/*
 * A target is one program: libFuzzer calls its function with bytes of its own
 * making, replay.c with those of tests/fuzz/corpus/. It reads them as reeve
 * would, uses what was accepted, and asserts what must hold of it.
 */
enum {
	FUZZ_ARENA_MAX = 1 << 30
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A terminated copy, exactly so long that a sanitizer sees a read beyond. */
static inline char *
fuzz_text(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1);

	assert(text != NULL);
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	return text;
}

/* The bytes as a regular file without a name; close the descriptor. */
static inline int
fuzz_file(const uint8_t *bytes, size_t len, char *path, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	assert(fd != -1);
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, bytes + at, len - at);
		assert(n > 0);
		at += (size_t)n;
	}
	(void)snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

/* A socket on whose other end the bytes were written, and then nothing more;
 * what doesn't fit is left out. Close both. */
static inline void
fuzz_sockets(int type, const uint8_t *bytes, size_t len, int ret_fds[2])
{
	int rc = socketpair(
	    AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds);

	assert(rc == 0);
	for (size_t at = 0; at < len;) {
		ssize_t n =
		    send(ret_fds[1], bytes + at, len - at, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	rc = shutdown(ret_fds[1], SHUT_WR);
	assert(rc == 0);
}

#endif
