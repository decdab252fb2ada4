/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/nowait.h"

#ifndef RWF_NOWAIT /* musl 1.2.3 has neither */
#define RWF_NOWAIT 0x8

static ssize_t
pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	return syscall(SYS_pwritev2, fd, iov, (long)count, offset, 0L, flags);
}
#endif

enum {
	TTY_ROOM = 1024 /* of a terminal's output queue */
};

static enum nowait_way
choose_way(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags != -1 && (flags & O_NONBLOCK) != 0)
		return NOWAIT_WRITE;
	if (fstat(fd, &st) == -1)
		return NOWAIT_PWRITE;
	if (S_ISREG(st.st_mode))
		return NOWAIT_WRITE;
	if (S_ISSOCK(st.st_mode))
		return NOWAIT_SOCKET;
	if (S_ISCHR(st.st_mode) && isatty(fd) == 1)
		return NOWAIT_TTY;
	return NOWAIT_PWRITE;
}

/* A terminal opened again has flags of its own, so that it can be made
 * non-blocking without a word to those who share it. */
static int
open_again(int fd)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void
nowait_close(struct nowait *out)
{
	fd_close(&out->own_fd);
	fd_close(&out->pipe[0]);
	fd_close(&out->pipe[1]);
}

void
nowait_open(struct nowait *out, int fd)
{
	*out = (struct nowait)NOWAIT_INIT(fd);
	out->way = choose_way(fd);
	if (out->way == NOWAIT_TTY) {
		out->own_fd = open_again(fd);
		if (out->own_fd >= 0)
			out->way = NOWAIT_WRITE;
	}
}

/* Moves the bytes over a pipe of our own: splice knows a flag for "don't wait"
 * where write has none. */
static ssize_t
write_splice(struct nowait *out, const char *bytes, size_t len)
{
	char rest[512];

	if (out->pipe[0] == -1 &&
	    pipe2(out->pipe, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	ssize_t in = write(out->pipe[1], bytes, len);
	if (in <= 0)
		return -1;
	ssize_t moved = splice(
	    out->pipe[0], NULL, out->fd, NULL, (size_t)in, SPLICE_F_NONBLOCK);
	int sys = errno;
	/* what didn't go stays the caller's: empty the pipe for next time */
	if (moved < in) {
		while (read(out->pipe[0], rest, sizeof(rest)) > 0)
			continue;
	}
	errno = sys;
	return moved;
}

static ssize_t
write_tty(const struct nowait *out, const char *bytes, size_t len)
{
	struct pollfd poll_fd = {.fd = out->fd, .events = POLLOUT};
	int queued = 0;

	if (poll(&poll_fd, 1, 0) != 1 || (poll_fd.revents & POLLOUT) == 0 ||
	    (ioctl(out->fd, TIOCOUTQ, &queued) == 0 && queued > TTY_ROOM)) {
		errno = EAGAIN;
		return -1;
	}
	return write(out->fd, bytes, len);
}

static ssize_t
write_pwrite(struct nowait *out, const char *bytes, size_t len)
{
	char *base = NULL;
	/* only read; the type of iov_base can't say so */
	memcpy(&base, &bytes, sizeof(base));
	struct iovec iov = {.iov_base = base, .iov_len = len};

	/* offset -1: at the file's own position, as write does */
	ssize_t n = pwritev2(out->fd, &iov, 1, -1, RWF_NOWAIT);
	if (n == -1 &&
	    (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
		out->way = NOWAIT_SPLICE;
		return write_splice(out, bytes, len);
	}
	return n;
}

ssize_t
nowait_write(struct nowait *out, const char *bytes, size_t len)
{
	switch (out->way) {
	case NOWAIT_WRITE:
		return write(
		    out->own_fd >= 0 ? out->own_fd : out->fd, bytes, len);
	case NOWAIT_SOCKET:
		return send(out->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case NOWAIT_PWRITE:
		return write_pwrite(out, bytes, len);
	case NOWAIT_SPLICE:
		return write_splice(out, bytes, len);
	case NOWAIT_TTY:
		return write_tty(out, bytes, len);
	}
	UNREACHABLE("a way to write that is none");
}
