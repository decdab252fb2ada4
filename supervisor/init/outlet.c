/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#include "supervisor/init/outlet.h"

static void
outlet_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	outlet_flush(source->owner);
}

void
outlet_init(
    struct outlet *outlet, struct loop *loop, int fd, char *queue, size_t size)
{
	*outlet = (struct outlet){.loop = loop, .size = size};
	outlet->queue = queue;
	nowait_open(&outlet->out, fd);
	/* a terminal that was opened again is the one to wait for as well */
	outlet->source = (struct loop_source){
	    .fd = outlet->out.own_fd >= 0 ? outlet->out.own_fd : fd,
	    .ready = outlet_ready,
	    .owner = outlet};
}

bool
outlet_empty(const struct outlet *outlet)
{
	return outlet->len == 0 || outlet->closed;
}

/* Everything up to the last newline within PIPE_BUF, so that a write ends where
 * a line ends; a longer line goes in pieces. */
static size_t
next_piece(const struct outlet *outlet)
{
	const char *bytes = outlet->queue + outlet->start;
	size_t len = MIN(outlet->len, (size_t)PIPE_BUF);
	const char *end = memrchr(bytes, '\n', len);

	return end == NULL ? len : (size_t)(end - bytes) + 1;
}

static void
want_room(struct outlet *outlet, bool want)
{
	if (want && !outlet->source.added &&
	    loop_add(outlet->loop, &outlet->source, EPOLLOUT, NULL) == -1)
		return; /* a kind that is always ready: the next line tries */
	if (!want)
		loop_remove(outlet->loop, &outlet->source);
}

static void
gone(struct outlet *outlet)
{
	outlet->closed = true;
	outlet->len = 0;
	want_room(outlet, false);
}

void
outlet_flush(struct outlet *outlet)
{
	while (outlet->len > 0 && !outlet->closed) {
		ssize_t n = nowait_write(&outlet->out,
		    outlet->queue + outlet->start, next_piece(outlet));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN) {
			gone(outlet); /* EPIPE, EIO, EBADF: for good */
			return;
		}
		if (n <= 0) {
			want_room(outlet, true);
			return;
		}
		outlet->start += (size_t)n;
		outlet->len -= (size_t)n;
	}
	outlet->start = 0;
	want_room(outlet, false);
	if (outlet->dropped_lines > 0 && !outlet->closed &&
	    outlet->flows != NULL)
		outlet->flows(outlet);
}

void
outlet_put(struct outlet *outlet, const char *bytes, size_t len)
{
	if (!outlet->closed && len > outlet->size - outlet->len)
		outlet_flush(outlet);
	if (outlet->closed || len > outlet->size - outlet->len) {
		outlet->dropped_lines++;
		outlet->dropped_bytes += len;
		return;
	}
	if (len > outlet->size - outlet->start - outlet->len) {
		memmove(
		    outlet->queue, outlet->queue + outlet->start, outlet->len);
		outlet->start = 0;
	}
	memcpy(outlet->queue + outlet->start + outlet->len, bytes, len);
	outlet->len += len;
}
