/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_FD_H
#define REEVE_BASE_FD_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

/* File descriptors. All are close-on-exec from birth. No allocation. */

void fd_close(int *fd); /* closes if >= 0, keeps errno, sets -1 */
/* Blocking, retries EINTR; for files and pipes of the tool, not for the init.
 */
int fd_write_all(
    int fd, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int fd_nonblock(int fd, bool on, struct err *err) MUST_CHECK;
/* Replaces `path` by write to a temporary beside it, fsync and rename. */
int fd_replace_file(const char *path, unsigned mode, const void *bytes,
    size_t len, struct err *err) MUST_CHECK;
/* Makes the directory and its missing parents, `mode` on those it makes. */
int fd_make_dirs(const char *path, unsigned mode, struct err *err) MUST_CHECK;

/* One message with up to `fds_max` descriptors over a unix socket. Sending
 * never blocks: EAGAIN is ERR_CAPACITY. */
int fd_send(int socket, const void *bytes, size_t len, const int *fds,
    size_t nfds, struct err *err) MUST_CHECK;
/* Returns the length, 0 at end of stream, or -1 (kind ERR_CAPACITY with sys
 * EAGAIN when nothing waits). MSG_TRUNC or MSG_CTRUNC is an error and every
 * descriptor that came is closed: half a message is no message (pid1.md M12).
 * What came before a reset is still delivered, then the end of stream.
 * Descriptors received are CLOEXEC; unused entries are -1. */
ssize_t fd_receive(int socket, void *bytes, size_t size, int *fds,
    size_t fds_max, struct err *err) MUST_CHECK;

#endif
