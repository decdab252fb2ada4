/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/format.h"
#include "base/log.h"
#include "base/nowait.h"
#include "base/utf8.h"

enum {
	LOG_TEXT_MAX = 2048, /* of an event's own text, before escaping */
	LOG_LINE_MAX = 4096, /* PIPE_BUF: a line is written whole or not */
	LOG_TAIL = 64,       /* kept for what comes after the text */
};

static struct {
	struct nowait out;
	enum log_format format;
	enum log_level least;
	const char *who;
	uint64_t dropped;
	uint64_t unreported;
	bool torn; /* the last line got out in part: end it first */
	void (*look)(void *of);
	void *look_of;
} log_state = {.out = NOWAIT_INIT(STDERR_FILENO), .least = LOG_INFO};

void
log_open(int fd, enum log_format format, enum log_level least, const char *who)
{
	nowait_close(&log_state.out);
	nowait_open(&log_state.out, fd);
	log_state.format = format;
	log_state.least = least;
	log_state.who = who;
	log_state.torn = false;
}

void
log_reopen(void)
{
	int fd = log_state.out.fd;

	nowait_close(&log_state.out);
	nowait_open(&log_state.out, fd);
}

void
log_before_line(void (*look)(void *of), void *of)
{
	log_state.look = look;
	log_state.look_of = of;
}

uint64_t
log_dropped(void)
{
	return log_state.dropped;
}

/* --- writing ------------------------------------------------------------- */

static void
write_line(const char *line, size_t len)
{
	int sys = errno;

	if (log_state.look != NULL)
		log_state.look(log_state.look_of);
	ssize_t n = nowait_write(&log_state.out, line, len);

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
	/* short: a call of musl's memcpy takes longer than all of them */
	for (size_t i = 0; i < len; i++)
		line->text[line->len + i] = bytes[i];
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

/* How many characters from `p` on stand for themselves: most lines are made of
 * nothing else. */
static size_t
plain_len(const unsigned char *p, size_t left, bool json)
{
	size_t len = 0;

	while (len < left && p[len] >= 0x20 && p[len] < 0x7F &&
	       p[len] != '\\' && (!json || p[len] != '"'))
		len++;
	return len;
}

/* As many of them as fit. */
static void
put_plain(struct line *line, const unsigned char *p, size_t len)
{
	size_t room = LOG_LINE_MAX - LOG_TAIL -
	              MIN(line->len, (size_t)LOG_LINE_MAX - LOG_TAIL);

	if (line->full)
		return;
	put(line, (const char *)p, MIN(len, room));
	line->full = len > room;
}

static void
put_all_escaped(struct line *line, const char *text, bool json)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text);

	while (left > 0) {
		size_t plain = plain_len(p, left, json);

		put_plain(line, p, plain);
		p += plain;
		left -= plain;
		if (left == 0)
			break;
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
	static const char column[] = "        "; /* as wide as "warning " */
	const char *name = level_name(level);
	char count[LOG_TAIL];

	put_text(line, at);
	put_text(line, " ");
	put_text(line, name);
	put_text(line, column + strlen(name));
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

bool
log_wants(enum log_level level)
{
	return level >= log_state.least;
}

void
log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	char at[CLOCK_TEXT_SIZE];
	struct line line;
	va_list args;

	if (!log_wants(level))
		return;
	line.len = 0;
	line.full = false;
	va_start(args, fmt);
	int len = format_args(text, sizeof(text), fmt, args);
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
