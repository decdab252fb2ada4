/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* The length of `text` cut to at most `max` bytes, not inside a character. */
static size_t
err_cut(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len <= max)
		return len;
	len = max;
	while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

/* Puts "head" + "tail" into the error; where both don't fit, `head` is cut, so
 * that the reason at the end survives. The arguments may alias err->text. */
static void
err_store(struct err *err, const char *head, const char *tail)
{
	char text[ERR_TEXT_MAX];
	size_t tail_len = err_cut(tail, ERR_TEXT_MAX / 2);
	size_t head_len = err_cut(head, ERR_TEXT_MAX - 1 - tail_len);
	size_t room = ERR_TEXT_MAX - 1 - head_len;

	tail_len = err_cut(tail, room);
	memcpy(text, head, head_len);
	memcpy(text + head_len, tail, tail_len);
	text[head_len + tail_len] = '\0';
	memcpy(err->text, text, head_len + tail_len + 1);
}

static void PRINTF_LIKE(3, 0)
    err_vformat(char *dst, size_t size, const char *fmt, va_list args)
{
	if (vsnprintf(dst, size, fmt, args) < 0)
		dst[0] = '\0';
}

int(err_set)(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX + 8];
	va_list args;

	if (err == NULL)
		return -1;
	va_start(args, fmt);
	err_vformat(text, sizeof(text), fmt, args);
	va_end(args);
	err_store(err, text, "");
	err->kind = kind;
	err->sys = 0;
	return -1;
}

/* Not glibc's strerror: it translates, and so may load a locale. */
static const char *
describe(int sys)
{
#ifdef __GLIBC__
	return strerrordesc_np(sys);
#else
	return strerror(sys);
#endif
}

int(err_sys)(struct err *err, const char *fmt, ...)
{
	int sys = errno;
	char text[ERR_TEXT_MAX + 8];
	char reason[96];
	va_list args;

	if (err == NULL)
		return -1;
	va_start(args, fmt);
	err_vformat(text, sizeof(text), fmt, args);
	va_end(args);
	const char *name = describe(sys);
	if (name != NULL)
		(void)snprintf(reason, sizeof(reason), ": %s", name);
	else
		(void)snprintf(reason, sizeof(reason), ": error %d", sys);
	err_store(err, text, reason);
	err->kind = ERR_SYSTEM;
	err->sys = sys;
	errno = sys;
	return -1;
}

int(err_wrap)(struct err *err, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX + 8];
	char tail[ERR_TEXT_MAX + 2] = ": ";
	va_list args;

	if (err == NULL)
		return -1;
	va_start(args, fmt);
	err_vformat(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(tail + 2, err->text, err_cut(err->text, ERR_TEXT_MAX - 1));
	err_store(err, text, err->text[0] == '\0' ? "" : tail);
	return -1;
}
