/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_BUFFER_H
#define REEVE_BASE_BUFFER_H

#include "base/base.h"
#include "base/err.h"

/*
 * Growable bytes with a maximum that is set at init: whatever reads from
 * outside is bounded. `data` is always NUL-terminated after `len`. An append
 * that would pass the maximum changes nothing but `overflow`, which stays set:
 * write freely and check once at the end.
 */
struct buffer {
	char *data;
	size_t len;
	size_t cap;
	size_t max;
	bool overflow; /* something was refused: too big, or no memory */
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_fini(struct buffer *buffer);
void buffer_wipe(struct buffer *buffer);  /* zeroes, then frees: for secrets */
void buffer_clear(struct buffer *buffer); /* keeps memory; clears overflow */
void buffer_append(struct buffer *buffer, const void *bytes, size_t len);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
void buffer_drop_front(struct buffer *buffer, size_t len);
/* Reads `fd` to its end or the maximum (ERR_CAPACITY). */
int buffer_read_all(struct buffer *buffer, int fd, struct err *err) MUST_CHECK;
/* Reads a regular file (a directory, a FIFO or a device is ERR_INPUT, found
 * without blocking). */
int buffer_read_file(
    struct buffer *buffer, const char *path, struct err *err) MUST_CHECK;

#endif
