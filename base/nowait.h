/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_NOWAIT_H
#define REEVE_BASE_NOWAIT_H

#include "base/base.h"

#include <sys/types.h>

/*
 * Writing to a descriptor that others share, without ever waiting for whoever
 * reads it, and without making it non-blocking for the others (decisions.md
 * 19). No allocation.
 */
enum nowait_way {
	NOWAIT_PWRITE = 0, /* pwritev2; turns into SPLICE where it isn't known
	                    */
	NOWAIT_WRITE,      /* regular files, and what is O_NONBLOCK already */
	NOWAIT_SOCKET,     /* send */
	NOWAIT_SPLICE,     /* from a pipe of our own */
	NOWAIT_TTY, /* poll and the length of the queue are asked before */
};

struct nowait {
	int fd;      /* the caller's */
	int own_fd;  /* the terminal opened again, non-blocking; or -1 */
	int pipe[2]; /* of NOWAIT_SPLICE; or -1 */
	enum nowait_way way;
};

#define NOWAIT_INIT(of_fd)                                      \
	{                                                       \
		.fd = (of_fd), .own_fd = -1, .pipe = { -1, -1 } \
	}

void nowait_open(struct nowait *out, int fd);
void nowait_close(struct nowait *out); /* not `fd` */
/* As write(2) on a non-blocking descriptor: the bytes taken, or -1 with EAGAIN
 * when there is no room now, or another errno. Up to PIPE_BUF go into a pipe
 * whole or not at all, except over NOWAIT_SPLICE on old kernels. */
ssize_t nowait_write(struct nowait *out, const char *bytes, size_t len);

#endif
