/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"

enum {
	BUFFER_FIRST = 256,
	BUFFER_READ = 16 * 1024
};

/* What an empty buffer's data points to; never written. */
static char buffer_nothing[1];

void
buffer_init(struct buffer *buffer, size_t max)
{
	*buffer = (struct buffer){.data = buffer_nothing, .max = max};
}

void
buffer_fini(struct buffer *buffer)
{
	if (buffer->cap > 0)
		free(buffer->data);
	buffer_init(buffer, buffer->max);
}

void
buffer_wipe(struct buffer *buffer)
{
	if (buffer->cap > 0)
		explicit_bzero(buffer->data, buffer->cap);
	buffer_fini(buffer);
}

void
buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
	buffer->overflow = false;
	if (buffer->cap > 0)
		buffer->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. Old memory is wiped, not only
 * freed: what grew may hold a secret. */
static bool
buffer_reserve(struct buffer *buffer, size_t more)
{
	if (buffer->overflow || more > buffer->max - buffer->len) {
		buffer->overflow = true;
		return false;
	}
	size_t need = buffer->len + more + 1;
	if (need <= buffer->cap)
		return true;
	size_t cap = MAX(buffer->cap, BUFFER_FIRST);
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	cap = MAX(need, MIN(cap, buffer->max + 1));
	char *data = malloc(cap);
	if (data == NULL) {
		buffer->overflow = true;
		return false;
	}
	memcpy(data, buffer->data, buffer->len);
	data[buffer->len] = '\0';
	if (buffer->cap > 0) {
		explicit_bzero(buffer->data, buffer->cap);
		free(buffer->data);
	}
	buffer->data = data;
	buffer->cap = cap;
	return true;
}

void
buffer_append(struct buffer *buffer, const void *bytes, size_t len)
{
	if (len == 0 || !buffer_reserve(buffer, len))
		return;
	memcpy(buffer->data + buffer->len, bytes, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

void
buffer_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_format(struct buffer *buffer, const char *fmt, ...)
{
	/* There mostly is room: formatting once is half the time. */
	size_t room = buffer->overflow || buffer->cap == 0
	                  ? 0
	                  : buffer->cap - buffer->len;
	char *end = room == 0 ? NULL : buffer->data + buffer->len;
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(end, room, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < room) {
		buffer->len += (size_t)len;
		return;
	}
	if (end != NULL)
		*end = '\0';
	if (len < 0) {
		buffer->overflow = true;
		return;
	}
	if (len == 0 || !buffer_reserve(buffer, (size_t)len))
		return;
	va_start(args, fmt);
	(void)vsnprintf(buffer->data + buffer->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buffer->len += (size_t)len;
}

void
buffer_drop_front(struct buffer *buffer, size_t len)
{
	size_t gone = MIN(len, buffer->len);

	if (gone == 0)
		return;
	memmove(buffer->data, buffer->data + gone, buffer->len - gone + 1);
	buffer->len -= gone;
}

/* Is there a byte after the maximum? */
static int
buffer_read_end(const struct buffer *buffer, int fd, struct err *err)
{
	char one;
	ssize_t n;

	do
		n = read(fd, &one, 1);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return err_sys(err, "read");
	if (n > 0)
		return err_set(
		    err, ERR_CAPACITY, "longer than %zu bytes", buffer->max);
	return 0;
}

int
buffer_read_all(struct buffer *buffer, int fd, struct err *err)
{
	for (;;) {
		size_t want = MIN(buffer->max - buffer->len, BUFFER_READ);

		if (want == 0)
			return buffer_read_end(buffer, fd, err);
		if (!buffer_reserve(buffer, want))
			return err_set(err, ERR_CAPACITY, "out of memory");
		ssize_t n = read(fd, buffer->data + buffer->len, want);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			buffer->data[buffer->len] = '\0';
			return err_sys(err, "read");
		}
		buffer->len += (size_t)n;
		buffer->data[buffer->len] = '\0';
		if (n == 0)
			return 0;
	}
}

static const char *
file_type(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a pipe";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

int
buffer_read_file(struct buffer *buffer, const char *path, struct err *err)
{
	/* O_NONBLOCK: opening a FIFO without a writer would wait for one */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc = -1;

	if (fd == -1)
		return err_sys(err, "open '%s'", path);
	if (fstat(fd, &st) == -1)
		(void)err_sys(err, "stat '%s'", path);
	else if (!S_ISREG(st.st_mode))
		(void)err_set(err, ERR_INPUT, "'%s' is %s, not a file", path,
		    file_type(st.st_mode));
	else if (buffer_read_all(buffer, fd, err) == -1)
		(void)err_wrap(err, "'%s'", path);
	else
		rc = 0;
	fd_close(&fd);
	return rc;
}
