/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_CONNECTIONS_H
#define REEVE_PROBES_CONNECTIONS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/*
 * The TCP connections of this network namespace, as the kernel lists them
 * (proc(5): /proc/net/tcp, tcp6), and which of them a process has open.
 */
enum {
	CONNECTION_ADDRESS = 16 /* IPv6, or IPv4 mapped into it */
};

struct connection_end {
	unsigned char address[CONNECTION_ADDRESS];
	unsigned port;
};

struct connection {
	uint64_t inode;
	struct connection_end local, remote;
	bool established;
};

typedef void connection_fn(void *arg, const struct connection *one);

/* Every one of them; one that belongs to nobody any more has no inode and is
 * left out. A kernel without IPv6 has only the first table. */
int connections_each(connection_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* "10.0.0.7:51234", "[::1]:51234" */
const char *connection_end_text(
    struct arena *arena, const struct connection_end *end);

/* The sockets that a process has open: descriptor and inode; false: they may
 * not be seen. */
typedef void socket_fn(void *arg, int fd, uint64_t inode);
bool connections_of(int64_t pid, socket_fn *fn, void *arg);

#endif
