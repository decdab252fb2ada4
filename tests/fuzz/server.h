/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_FUZZ_SERVER_H
#define REEVE_TESTS_FUZZ_SERVER_H

#include "base/base.h"

#include <errno.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

/*
 * For targets that are clients of a server: the Makefile wraps socket and
 * connect, the first connection is to ourselves and hears the bytes, others
 * hear nothing.
 */
enum {
	FUZZ_ENDS_MAX = 64
};
static struct {
	const uint8_t *answers;
	size_t len;
	int ends[FUZZ_ENDS_MAX];
	size_t nends;
} fuzz_server;

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(
    int fd, const struct sockaddr *address, socklen_t address_len);

int
__wrap_socket(int domain, int type, int protocol)
{
	int fds[2];

	(void)domain, (void)type, (void)protocol;
	if (fuzz_server.nends == FUZZ_ENDS_MAX) {
		errno = EMFILE;
		return -1;
	}
	fuzz_sockets(SOCK_STREAM, fuzz_server.answers,
	    fuzz_server.nends == 0 ? fuzz_server.len : 0, fds);
	fuzz_server.ends[fuzz_server.nends++] = fds[1];
	return fds[0];
}

int
__wrap_connect(int fd, const struct sockaddr *address, socklen_t address_len)
{
	(void)fd, (void)address, (void)address_len;
	return 0;
}

static inline void
fuzz_server_begin(const uint8_t *answers, size_t len)
{
	fuzz_server.answers = answers;
	fuzz_server.len = len;
	fuzz_server.nends = 0;
}

static inline void
fuzz_server_end(void)
{
	for (size_t i = 0; i < fuzz_server.nends; i++)
		fd_close(&fuzz_server.ends[i]);
}

#endif
