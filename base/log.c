/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/utf8.h"

enum {
	LOG_TEXT_MAX = 2048, /* of an event's own text, before escaping */
	LOG_LINE_MAX = 4096, /* PIPE_BUF: a line is written whole or not */
	LOG_TAIL = 64,       /* kept for what comes after the text */
	TTY_ROOM = 1024,     /* of a terminal's output queue */
};

/* How a line gets out without ever waiting (decisions.md 19). */
enum log_way {
	WAY_WRITE,  /* regular files, and what is O_NONBLOCK already */
	WAY_SOCKET, /* send */
	WAY_NOWAIT, /* pwritev2; turns into WAY_SPLICE where it isn't known */
	WAY_SPLICE, /* from a pipe of our own */
	WAY_TTY,    /* poll and the length of the queue are asked before */
};

static struct {
	int fd;
	int own_fd;  /* the terminal opened again, non-blocking; or -1 */
	int pipe[2]; /* of WAY_SPLICE; or -1 */
	enum log_way way;
	enum log_format format;
	enum log_level least;
	const char *who;
	uint64_t dropped;
	uint64_t unreported;
	bool torn; /* the last line got out in part: end it first */
} log_state = {.fd = STDERR_FILENO,
    .own_fd = -1,
    .pipe = {-1, -1},
    .way = WAY_NOWAIT,
    .least = LOG_INFO};

static enum log_way
choose_way(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags != -1 && (flags & O_NONBLOCK) != 0)
		return WAY_WRITE;
	if (fstat(fd, &st) == -1)
		return WAY_NOWAIT;
	if (S_ISREG(st.st_mode))
		return WAY_WRITE;
	if (S_ISSOCK(st.st_mode))
		return WAY_SOCKET;
	if (S_ISCHR(st.st_mode) && isatty(fd) == 1)
		return WAY_TTY;
	return WAY_NOWAIT;
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
log_open(int fd, enum log_format format, enum log_level least, const char *who)
{
	fd_close(&log_state.own_fd);
	fd_close(&log_state.pipe[0]);
	fd_close(&log_state.pipe[1]);
	log_state.fd = fd;
	log_state.way = choose_way(fd);
	if (log_state.way == WAY_TTY) {
		log_state.own_fd = open_again(fd);
		if (log_state.own_fd >= 0)
			log_state.way = WAY_WRITE;
	}
	log_state.format = format;
	log_state.least = least;
	log_state.who = who;
	log_state.torn = false;
}

uint64_t
log_dropped(void)
{
	return log_state.dropped;
}

/* --- writing ------------------------------------------------------------- */

/* Moves the line over a pipe of our own: splice knows a flag for "don't wait"
 * where write has none. */
static ssize_t
write_splice(const char *line, size_t len)
{
	char rest[512];

	if (log_state.pipe[0] == -1 &&
	    pipe2(log_state.pipe, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	ssize_t in = write(log_state.pipe[1], line, len);
	if (in <= 0)
		return -1;
	ssize_t out = splice(log_state.pipe[0], NULL, log_state.fd, NULL,
	    (size_t)in, SPLICE_F_NONBLOCK);
	/* what didn't go is dropped: the pipe is empty for the next line */
	if (out < in) {
		while (read(log_state.pipe[0], rest, sizeof(rest)) > 0)
			continue;
	}
	return out;
}

static ssize_t
write_tty(const char *line, size_t len)
{
	struct pollfd poll_fd = {.fd = log_state.fd, .events = POLLOUT};
	int queued = 0;

	if (poll(&poll_fd, 1, 0) != 1 || (poll_fd.revents & POLLOUT) == 0)
		return -1;
	if (ioctl(log_state.fd, TIOCOUTQ, &queued) == 0 && queued > TTY_ROOM)
		return -1;
	return write(log_state.fd, line, len);
}

static ssize_t
write_nowait(const char *line, size_t len)
{
	char *base = NULL;
	/* only read; the type of iov_base can't say so */
	memcpy(&base, &line, sizeof(base));
	struct iovec iov = {.iov_base = base, .iov_len = len};

	/* offset -1: at the file's own position, as write does */
	ssize_t n = pwritev2(log_state.fd, &iov, 1, -1, RWF_NOWAIT);
	if (n == -1 &&
	    (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
		log_state.way = WAY_SPLICE;
		return write_splice(line, len);
	}
	return n;
}

static ssize_t
write_some(const char *line, size_t len)
{
	switch (log_state.way) {
	case WAY_WRITE:
		return write(
		    log_state.own_fd >= 0 ? log_state.own_fd : log_state.fd,
		    line, len);
	case WAY_SOCKET:
		return send(
		    log_state.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case WAY_NOWAIT:
		return write_nowait(line, len);
	case WAY_SPLICE:
		return write_splice(line, len);
	case WAY_TTY:
		return write_tty(line, len);
	}
	UNREACHABLE("a way to write that is none");
}

static void
write_line(const char *line, size_t len)
{
	int sys = errno;
	ssize_t n = write_some(line, len);

	errno = sys;
	if (n == (ssize_t)len) {
		log_state.torn = false;
		log_state.unreported = 0;
		return;
	}
	log_state.torn = log_state.torn || n > 0;
	log_state.dropped++;
	log_state.unreported++;
}

/* --- a line -------------------------------------------------------------- */

struct line {
	char text[LOG_LINE_MAX];
	size_t len;
	bool full;
};

/* Puts `len` bytes or, when they don't fit, none: an escape is never cut. */
static void
put(struct line *line, const char *bytes, size_t len)
{
	if (line->full || line->len + len > LOG_LINE_MAX - LOG_TAIL) {
		line->full = true;
		return;
	}
	memcpy(line->text + line->len, bytes, len);
	line->len += len;
}

static void
put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* What comes after the text; room for it is kept. */
static void
put_tail(struct line *line, const char *text)
{
	size_t len = MIN(strlen(text), LOG_LINE_MAX - line->len);

	memcpy(line->text + line->len, text, len);
	line->len += len;
}

/* `len` bytes at `p` are one character, or one byte that is none. */
static void
put_escaped(
    struct line *line, const unsigned char *p, size_t len, bool json, bool good)
{
	char escape[8];

	if (!good)
		(void)snprintf(
		    escape, sizeof(escape), json ? "\\ufffd" : "\\x%02x", *p);
	else if (*p == '\n')
		(void)snprintf(escape, sizeof(escape), "\\n");
	else if (*p == '\t')
		(void)snprintf(escape, sizeof(escape), "\\t");
	else if (*p == '\r')
		(void)snprintf(escape, sizeof(escape), "\\r");
	else if (*p == '\\' || (json && *p == '"'))
		(void)snprintf(escape, sizeof(escape), "\\%c", *p);
	else if (*p < 0x20 || *p == 0x7F)
		(void)snprintf(
		    escape, sizeof(escape), json ? "\\u%04x" : "\\x%02x", *p);
	else if (*p == 0xC2 && p[1] < 0xA0) /* C1: terminals obey them */
		(void)snprintf(escape, sizeof(escape), "\\u%04x", p[1]);
	else {
		put(line, (const char *)p, len);
		return;
	}
	put_text(line, escape);
}

static void
put_all_escaped(struct line *line, const char *text, bool json)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text);

	while (left > 0) {
		size_t len = utf8_len(p, left);
		bool good = len > 0;

		len = good ? len : 1;
		put_escaped(line, p, len, json, good);
		p += len;
		left -= len;
	}
	if (line->full)
		put_tail(line, "...");
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARNING:
		return "warning";
	case LOG_ERROR:
		return "error";
	}
	UNREACHABLE("a level of the log that is none");
}

static void
make_text(struct line *line, const char *at, enum log_level level,
    const char *event, const char *text)
{
	char head[16];
	char count[LOG_TAIL];

	(void)snprintf(head, sizeof(head), " %-7s ", level_name(level));
	put_text(line, at);
	put_text(line, head);
	if (log_state.who != NULL) {
		put_text(line, log_state.who);
		put_text(line, " ");
	}
	put_text(line, event);
	if (text[0] != '\0')
		put_text(line, " ");
	put_all_escaped(line, text, false);
	if (log_state.unreported > 0) {
		(void)snprintf(count, sizeof(count), " dropped=%llu",
		    (unsigned long long)log_state.unreported);
		put_tail(line, count);
	}
	put_tail(line, "\n");
}

static void
make_json(struct line *line, const char *at, enum log_level level,
    const char *event, const char *text)
{
	char count[LOG_TAIL];

	put_text(line, "{\"at\":\"");
	put_text(line, at);
	put_text(line, "\",\"level\":\"");
	put_text(line, level_name(level));
	if (log_state.who != NULL) {
		put_text(line, "\",\"who\":\"");
		put_text(line, log_state.who);
	}
	put_text(line, "\",\"event\":\"");
	put_all_escaped(line, event, true);
	put_text(line, "\",\"text\":\"");
	put_all_escaped(line, text, true);
	put_tail(line, "\"");
	if (log_state.unreported > 0) {
		(void)snprintf(count, sizeof(count), ",\"dropped\":%llu",
		    (unsigned long long)log_state.unreported);
		put_tail(line, count);
	}
	put_tail(line, "}\n");
}

void
log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	char at[CLOCK_TEXT_SIZE];
	struct line line;
	va_list args;

	if (level < log_state.least)
		return;
	line.len = 0;
	line.full = false;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0)
		text[0] = '\0';
	else if ((size_t)len >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	if (log_state.torn)
		put_text(&line, "\n");
	(void)clock_text(clock_wall_ms(), at);
	if (log_state.format == LOG_JSON)
		make_json(&line, at, level, event, text);
	else
		make_text(&line, at, level, event, text);
	write_line(line.text, line.len);
}
