/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/outlet.h"
#include "worker/spec.h"

#define OWN_SLOT UINT32_MAX /* of a line of our own */

enum {
	LINES_COMPACT = 65536,
	DROP_AT_ONCE = OUTLET_LIMIT / 8, /* so that few scans are needed */
};

/* --- counting --- */

/* Of the instance that the line came from, unless its slot is another's now. */
static struct tally *
tally_of(const struct outlet *outlet, const struct outlet_line *line)
{
	if (line->slot == OWN_SLOT)
		return NULL;
	struct tally *tally = &outlet->tallies->slots[line->slot];

	return tally->incarnation == line->incarnation ? tally : NULL;
}

static void
count_written(
    const struct outlet *outlet, const struct outlet_line *line, uint32_t count)
{
	struct tally *tally = tally_of(outlet, line);

	if (tally != NULL)
		tally_add(&tally->written, count, line->raw_len);
}

static void
count_dropped(struct outlet *outlet, const struct outlet_line *line)
{
	struct tally *tally = tally_of(outlet, line);

	if (tally != NULL)
		tally_add(&tally->dropped, 1, line->raw_len);
	outlet->dropped_lines++;
	outlet->dropped_bytes += line->raw_len;
}

/* Around what is written and counted: of a logger that is killed in between it
 * isn't known which of it was done. */
static void
begin_writing(const struct outlet *outlet)
{
	outlet->tallies->writing = 1;
	tally_in_order();
}

static void
end_writing(const struct outlet *outlet)
{
	tally_in_order();
	outlet->tallies->writing = 0;
}

/* --- the queue --- */

/* `sent`: so many of its bytes are written already. */
static void
append(struct outlet *outlet, const char *bytes, const struct outlet_line *line,
    size_t sent)
{
	size_t len = line->out_len - sent;

	if (outlet->start >= OUTLET_LIMIT) {
		memmove(
		    outlet->queue, outlet->queue + outlet->start, outlet->len);
		outlet->start = 0;
	}
	if (outlet->first >= LINES_COMPACT) {
		memmove(outlet->lines, outlet->lines + outlet->first,
		    outlet->nlines * sizeof(*line));
		outlet->first = 0;
	}
	if (outlet->start + outlet->len + len > OUTLET_BYTES ||
	    outlet->first + outlet->nlines == OUTLET_LINES) {
		count_dropped(outlet, line);
		return;
	}
	memcpy(outlet->queue + outlet->start + outlet->len, bytes + sent, len);
	outlet->len += len;
	outlet->lines[outlet->first + outlet->nlines++] = *line;
	if (sent > 0)
		outlet->sent = sent;
}

/* Bytes of line `i` that lie in the queue. */
static size_t
lies(const struct outlet *outlet, uint32_t i)
{
	return outlet->lines[outlet->first + i].out_len -
	       (i == 0 ? outlet->sent : 0);
}

/* Takes the dead ones of the first `count` lines out: the others move up to
 * those that stay behind. */
static void
remove_dead(struct outlet *outlet, uint32_t count)
{
	struct outlet_line *lines = outlet->lines + outlet->first;
	char *queue = outlet->queue + outlet->start;
	size_t from = 0;
	uint32_t into = count;

	for (uint32_t i = 0; i < count; i++)
		from += lies(outlet, i);
	size_t to = from;

	for (uint32_t i = count; i-- > 0;) {
		size_t len = lies(outlet, i);
		from -= len;
		if (lines[i].dead)
			continue;
		to -= len;
		memmove(queue + to, queue + from, len);
		lines[--into] = lines[i];
	}
	outlet->start += to;
	outlet->len -= to;
	outlet->first += into;
	outlet->nlines -= into;
}

/* Room at the cost of the oldest lines that may go; one that is partly written
 * stays. */
static void
drop_oldest(struct outlet *outlet, size_t want)
{
	size_t freed = 0;
	uint32_t at = outlet->sent > 0 ? 1 : 0;

	want = MAX(want, (size_t)DROP_AT_ONCE);
	for (; at < outlet->nlines && freed < want; at++) {
		struct outlet_line *line = &outlet->lines[outlet->first + at];
		if (line->policy != LOGS_DROP_OLDEST)
			continue;
		count_dropped(outlet, line);
		freed += line->out_len;
		line->dead = 1;
	}
	remove_dead(outlet, at);
}

static void
queue_line(
    struct outlet *outlet, const char *bytes, const struct outlet_line *line)
{
	bool fits = outlet->len + line->out_len <= OUTLET_LIMIT;

	if (!fits && !outlet->closed && line->policy == LOGS_DROP_OLDEST) {
		drop_oldest(outlet, outlet->len + line->out_len - OUTLET_LIMIT);
		fits = outlet->len + line->out_len <= OUTLET_LIMIT;
	}
	if (outlet->closed || (!fits && line->policy != LOGS_BLOCK))
		count_dropped(outlet, line);
	else
		append(outlet, bytes, line, 0);
}

/* --- writing --- */

/* Everything up to the last newline within PIPE_BUF, so that a write ends where
 * a line ends; a longer line goes in pieces. */
static size_t
next_piece(const struct outlet *outlet, const char *bytes, size_t len)
{
	if (outlet->is_file)
		return len;
	len = MIN(len, (size_t)PIPE_BUF);
	size_t lines = bytes_lines_end(bytes, len);

	return lines == 0 ? len : lines;
}

static void
want_room(struct outlet *outlet, bool want)
{
	if (!want) {
		loop_remove(outlet->loop, &outlet->source);
		return;
	}
	if (!outlet->source.added && !outlet->no_room &&
	    loop_add(outlet->loop, &outlet->source, EPOLLOUT, NULL) == 0)
		return;
	/* a full disk, or a kind that epoll doesn't know */
	if (!outlet->source.added)
		(void)!loop_timer_set(outlet->loop, &outlet->timer,
		    clock_after(clock_ms(), OUTLET_RETRY_MS), NULL);
}

void
outlet_close(struct outlet *outlet)
{
	outlet->closed = true;
	for (; outlet->nlines > 0; outlet->nlines--, outlet->first++)
		count_dropped(outlet, &outlet->lines[outlet->first]);
	outlet->len = outlet->start = outlet->sent = 0;
	outlet->first = 0;
	want_room(outlet, false);
	loop_timer_clear(outlet->loop, &outlet->timer);
}

bool
outlet_is_no_room(int sys)
{
	return sys == ENOSPC || sys == EDQUOT || sys == EFBIG || sys == ENOMEM;
}

/* One write. Returns what it took; 0: no more now, or never. */
static size_t
write_piece(struct outlet *outlet, const char *bytes, size_t len)
{
	ssize_t n;

	/* the init sees by them that we hang */
	outlet->tallies->writes++;
	outlet->tallies->write_ms = clock_ms();
	do
		n = nowait_write(
		    &outlet->out, bytes, next_piece(outlet, bytes, len));
	while (n == -1 && errno == EINTR);
	outlet->tallies->write_ms = 0;
	if (n > 0) {
		outlet->no_room = false;
		return (size_t)n;
	}
	if (n == 0 || errno == EAGAIN) {
		outlet->no_room = false;
		return 0;
	}
	struct err err = ERR_INIT;

	(void)err_sys(&err, "descriptor %d", outlet->out.fd);
	if (outlet_is_no_room(err.sys)) {
		if (!outlet->no_room)
			log_error("logger.no-room", "%s; it is tried again",
			    err.text);
		outlet->no_room = true;
		return 0;
	}
	log_warning("logger.closed",
	    "%s; from now on output is counted, not written", err.text);
	outlet_close(outlet); /* EPIPE, EIO, EBADF: for good */
	return 0;
}

/* `n` more bytes of the queue are written. */
static void
advance(struct outlet *outlet, size_t n)
{
	outlet->start += n;
	outlet->len -= n;
	outlet->sent += n;
	while (outlet->nlines > 0 &&
	       outlet->sent >= outlet->lines[outlet->first].out_len) {
		outlet->sent -= outlet->lines[outlet->first].out_len;
		count_written(outlet, &outlet->lines[outlet->first++], 1);
		outlet->nlines--;
	}
	if (outlet->nlines == 0)
		outlet->first = 0;
}

void
outlet_flush(struct outlet *outlet)
{
	begin_writing(outlet);
	while (outlet->len > 0) {
		size_t n = write_piece(
		    outlet, outlet->queue + outlet->start, outlet->len);
		if (n == 0)
			break;
		advance(outlet, n);
	}
	end_writing(outlet);
	want_room(outlet, outlet->len > 0);
	if (outlet->len > 0)
		return;
	outlet->start = 0;
	if (outlet->dropped_lines > 0 && !outlet->closed &&
	    outlet->flows != NULL)
		outlet->flows(outlet);
}

/* Past the queue, while nothing waits in it. Returns how much went. */
static size_t
write_straight(struct outlet *outlet, const char *bytes, size_t len)
{
	size_t sent = 0;

	if (outlet->len > 0 || outlet->closed || outlet->no_room ||
	    outlet->source.added || outlet->dropped_lines > 0)
		return 0;
	while (sent < len) {
		size_t n = write_piece(outlet, bytes + sent, len - sent);
		if (n == 0)
			break;
		sent += n;
	}
	return sent;
}

/* `sent` bytes, from this line's first on, are out. */
static void
settle_line(struct outlet *outlet, const char *bytes,
    const struct outlet_line *line, size_t sent)
{
	if (sent >= line->out_len)
		count_written(outlet, line, 1);
	else if (sent > 0 && !outlet->closed)
		append(outlet, bytes, line, sent);
	else
		queue_line(outlet, bytes, line);
}

/* All lines of a batch are of one instance: gone in one go, they are counted
 * in one go. Of what didn't go each line is looked at. */
void
outlet_send(struct outlet *outlet, const char *bytes,
    const struct outlet_line *lines, uint32_t count)
{
	size_t at = 0;

	if (count == 0)
		return;
	struct outlet_line all = lines[0];
	for (uint32_t i = 1; i < count; i++) {
		all.out_len += lines[i].out_len;
		all.raw_len += lines[i].raw_len;
	}
	begin_writing(outlet);
	size_t sent = write_straight(outlet, bytes, all.out_len);

	if (sent == all.out_len)
		count_written(outlet, &all, count);
	else
		for (uint32_t i = 0; i < count; at += lines[i++].out_len)
			settle_line(outlet, bytes + at, &lines[i],
			    sent - MIN(sent, at));
	end_writing(outlet);
	if (outlet->len > 0 && !outlet->source.added)
		want_room(outlet, true);
}

void
outlet_send_plain(struct outlet *outlet, const char *bytes,
    const struct outlet_line *all, uint32_t count)
{
	struct outlet_line line = *all;

	begin_writing(outlet);
	size_t sent = write_straight(outlet, bytes, all->out_len);

	if (sent == all->out_len)
		count_written(outlet, all, count);
	else
		for (size_t at = 0; at < all->out_len; at += line.out_len) {
			line.out_len = (uint32_t)bytes_newline(
			                   bytes + at, all->out_len - at) +
			               1;
			line.raw_len = line.out_len;
			settle_line(
			    outlet, bytes + at, &line, sent - MIN(sent, at));
		}
	end_writing(outlet);
	if (outlet->len > 0 && !outlet->source.added)
		want_room(outlet, true);
}

void
outlet_say(struct outlet *outlet, const char *text)
{
	const struct outlet_line line = {.out_len = (uint32_t)strlen(text),
	    .slot = OWN_SLOT,
	    .policy = LOGS_BLOCK};

	if (!outlet->closed)
		append(outlet, text, &line, 0);
	outlet_flush(outlet);
}

bool
outlet_empty(const struct outlet *outlet)
{
	return outlet->len == 0;
}

bool
outlet_full(const struct outlet *outlet)
{
	return outlet->len >= OUTLET_LIMIT / 2;
}

/* --- its beginning --- */

static void
outlet_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	outlet_flush(source->owner);
}

static void
outlet_again(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	outlet_flush(timer->owner);
}

bool
outlet_ends_torn(int of_fd)
{
	char path[32];
	struct stat st;
	char last = 0;

	if (fstat(of_fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", of_fd);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	/* what can't be read is taken for torn: better an empty line */
	bool whole = fd != -1 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
	             last == '\n';

	fd_close(&fd);
	return !whole;
}

void
outlet_mend(struct outlet *outlet)
{
	if (outlet_ends_torn(outlet->out.fd))
		outlet_say(outlet, "\n");
}

static void *
map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int
outlet_init(struct outlet *outlet, struct loop *loop, int fd,
    struct tallies *tallies, struct err *err)
{
	struct stat st;

	*outlet = (struct outlet){.loop = loop, .tallies = tallies};
	outlet->queue = map(OUTLET_BYTES);
	outlet->lines = map(OUTLET_LINES * sizeof(*outlet->lines));
	if (outlet->queue == NULL || outlet->lines == NULL)
		return err_sys(err, "map a queue");
	nowait_open(&outlet->out, fd);
	outlet->is_file =
	    fstat(fd, &st) == 0 &&
	    (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd) != 1));
	/* a terminal that was opened again is the one to wait for as well */
	outlet->source = (struct loop_source){
	    .fd = outlet->out.own_fd >= 0 ? outlet->out.own_fd : fd,
	    .ready = outlet_ready,
	    .owner = outlet};
	outlet->timer =
	    (struct loop_timer){.fire = outlet_again, .owner = outlet};
	return 0;
}
