/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_LOG_H
#define REEVE_BASE_LOG_H

#include "base/base.h"

/*
 * The program's own log: one event a line, never blocking, never allocating;
 * a line that can't be written at once is dropped and counted, and the count
 * is logged with the next line that gets through (decisions.md 19).
 *
 *     log_info("worker.started", "worker=%s pid=%d", name, pid);
 *     text: 2026-11-22T02:18:00.123Z info  worker.started worker=a/0 pid=17
 *     json: {"at":"…","level":"info","event":"worker.started","text":"…"}
 *
 * `event` is a constant dotted name. Control characters, backslashes and
 * invalid UTF-8 in the text are escaped, in JSON quotes too; what is longer
 * than a line of 4096 bytes ends in "...". Never pass a secret. SIGPIPE is the
 * caller's to block or ignore.
 */
enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR
};
enum log_format {
	LOG_TEXT,
	LOG_JSON
};

/* `fd` stays the caller's. `who` ("init", "operator", "logger") is put into
 * every line, before the event or as "who"; a constant, or NULL. */
void log_open(
    int fd, enum log_format format, enum log_level least, const char *who);
/* What the descriptor leads to has changed. */
void log_reopen(void);
/* Called before each line is written, with `of`, for who knows when writing to
 * the descriptor would hang: it may lead it elsewhere first (log_reopen). NULL:
 * nobody. */
void log_before_line(void (*look)(void *of), void *of);
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Such a line would be written: for who makes its text at some cost. */
bool log_wants(enum log_level level);
uint64_t log_dropped(void);

#define log_debug(...)   log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_event(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_event(LOG_ERROR, __VA_ARGS__)

#endif
