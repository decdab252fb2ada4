/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

enum {
	FDS_MAX = 253 /* SCM_MAX_FD of the kernel: more are refused by it */
};

void
fd_close(int *fd)
{
	int sys = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = sys;
}

int
fd_write_all(int fd, const void *bytes, size_t len, struct err *err)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_sys(err, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
fd_nonblock(int fd, bool on, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return err_sys(err, "read the flags of a descriptor");
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(fd, F_SETFL, flags) == -1)
		return err_sys(err, "set the flags of a descriptor");
	return 0;
}

/* Makes the rename itself last: the directory's entry is data of its own.
 * `path` is cut to its directory. */
static int
sync_directory_of(char *path, struct err *err)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		memcpy(path, ".", 2);
	else if (slash == path)
		slash[1] = '\0';
	else
		slash[0] = '\0';
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(err, "open '%s'", path);
	/* EINVAL: a file system that can't, and needn't */
	int rc = fsync(fd) == -1 && errno != EINVAL
	             ? err_sys(err, "fsync '%s'", path)
	             : 0;
	fd_close(&fd);
	return rc;
}

static int
fill_file(int fd, unsigned mode, const void *bytes, size_t len, struct err *err)
{
	if (fchmod(fd, (mode_t)mode) == -1)
		return err_sys(err, "chmod");
	if (fd_write_all(fd, bytes, len, err) == -1)
		return -1;
	if (fsync(fd) == -1)
		return err_sys(err, "fsync");
	return 0;
}

int
fd_replace_file(const char *path, unsigned mode, const void *bytes, size_t len,
    struct err *err)
{
	char temporary[PATH_MAX];

	if (text_format(temporary, sizeof(temporary), err, "%s.XXXXXX", path) ==
	    -1)
		return -1;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd == -1)
		return err_sys(err, "create a file beside '%s'", path);
	int rc = fill_file(fd, mode, bytes, len, err);
	fd_close(&fd);
	if (rc == -1)
		(void)err_wrap(err, "'%s'", temporary);
	else if (rename(temporary, path) == -1)
		rc = err_sys(err, "rename '%s' to '%s'", temporary, path);
	else
		return sync_directory_of(temporary, err);
	(void)unlink(temporary);
	return rc;
}

/* One directory; one that is there already is good. */
static int
make_dir(const char *path, unsigned mode, struct err *err)
{
	struct stat st;

	if (mkdir(path, (mode_t)mode) == 0) {
		/* the umask isn't asked */
		if (chmod(path, (mode_t)mode) == -1)
			return err_sys(err, "chmod '%s'", path);
		return 0;
	}
	int sys = errno;
	/* EROFS and EACCES come before EEXIST on some file systems */
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		return err_set(
		    err, ERR_SYSTEM, "'%s' is not a directory", path);
	}
	errno = sys;
	return err_sys(err, "make directory '%s'", path);
}

int
fd_make_dirs(const char *path, unsigned mode, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0)
		return err_set(err, ERR_INPUT, "the directory's name is empty");
	if (text_copy(part, sizeof(part), path, err) == -1)
		return -1;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		if (path[i - 1] == '/')
			continue;
		part[i] = '\0';
		if (make_dir(part, mode, err) == -1)
			return -1;
		part[i] = path[i];
	}
	return 0;
}

union fd_control {
	/* what the kernel may put beside the bytes: descriptors, and the
	 * sender's credentials where the socket asks for them */
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int)) +
	           CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

int
fd_send(int socket, const void *bytes, size_t len, const int *fds, size_t nfds,
    struct err *err)
{
	union fd_control control;
	char *base = NULL;
	/* sendmsg only reads it; the type of iov_base can't say so */
	memcpy(&base, &bytes, sizeof(base));
	struct iovec iov = {.iov_base = base, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nfds > FDS_MAX)
		return err_set(err, ERR_CAPACITY,
		    "%zu descriptors in one message, at most %d fit", nfds,
		    FDS_MAX);
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
		assert(head != NULL);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(head), fds, nfds * sizeof(int));
	}
	do
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n == -1) {
		(void)err_sys(err, "send");
		if (err != NULL && errno == EAGAIN)
			err->kind = ERR_CAPACITY;
		return -1;
	}
	if ((size_t)n != len)
		return err_set(err, ERR_SYSTEM,
		    "only %zd of %zu bytes of a message were sent", n, len);
	return 0;
}

/* Takes the descriptors of a message over into `got`; returns how many. */
static size_t
take_fds(struct msghdr *msg, int got[FDS_MAX])
{
	size_t count = 0;

	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL;
	     head = CMSG_NXTHDR(msg, head)) {
		if (head->cmsg_level != SOL_SOCKET ||
		    head->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		n = MIN(n, FDS_MAX - count);
		memcpy(got + count, CMSG_DATA(head), n * sizeof(int));
		count += n;
	}
	return count;
}

ssize_t
fd_receive(int socket, void *bytes, size_t size, int *fds, size_t fds_max,
    struct err *err)
{
	union fd_control control;
	int got[FDS_MAX];
	struct iovec iov = {.iov_base = bytes, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	for (size_t i = 0; i < fds_max; i++)
		fds[i] = -1;
	/* ECONNRESET: the other side closed without having read all of ours.
	 * The kernel says so once, before what it had sent us, which we want */
	for (int resets = 0;;) {
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n != -1 || (errno != EINTR && errno != ECONNRESET))
			break;
		if (errno == ECONNRESET && ++resets > 1)
			break;
	}
	if (n == -1) {
		(void)err_sys(err, "receive");
		if (err != NULL && errno == EAGAIN)
			err->kind = ERR_CAPACITY;
		return -1;
	}
	size_t count = take_fds(&msg, got);
	/* M12: near the limit of descriptors the kernel drops some of them and
	 * says so here only */
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    count <= fds_max) {
		if (count > 0)
			memcpy(fds, got, count * sizeof(int));
		return n;
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&got[i]);
	return err_set(err, ERR_SYSTEM, "half a message: %s",
	    (msg.msg_flags & MSG_TRUNC) != 0 ? "it is longer than it may be"
	                                     : "descriptors were lost");
}
