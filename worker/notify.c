/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "worker/notify.h"

enum {
	NOTIFY_DIGITS = 19
};

/* What is asked of systemd, and of us in vain. */
static const char *const refused[] = {
    "MAINPID",
    "MAINPIDFDID",
    "FDSTORE",
    "FDSTOREREMOVE",
    "WATCHDOG_USEC",
};

/* C0, DEL and C1 (two bytes in UTF-8). */
static bool
is_control(const unsigned char *p, size_t len)
{
	return (len == 1 && (p[0] < 0x20 || p[0] == 0x7f)) ||
	       (len == 2 && p[0] == 0xC2 && p[1] < 0xA0);
}

void
notify_text(const char *bytes, size_t len, char *dst, size_t size)
{
	const unsigned char *p = (const unsigned char *)bytes;
	size_t used = 0;

	while (len > 0) {
		size_t step = utf8_len(p, len);
		bool plain = step > 0 && !is_control(p, step);
		size_t taken = plain ? step : 1;
		if (taken >= size - used)
			break;
		if (plain)
			memcpy(dst + used, p, step);
		else
			dst[used] = '?';
		used += taken;
		step = MAX(step, (size_t)1);
		p += step;
		len -= step;
	}
	dst[used] = '\0';
}

/* The value of the line when its name is `name`, or NULL. */
static const char *
value_of(const char *line, size_t len, const char *name, size_t *ret_len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || memcmp(line, name, name_len) != 0 ||
	    line[name_len] != '=')
		return NULL;
	*ret_len = len - name_len - 1;
	return line + name_len + 1;
}

static bool
line_is(const char *line, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(line, what, len) == 0;
}

static int64_t
microseconds(const char *value, size_t len)
{
	char digits[NOTIFY_DIGITS + 1];
	int64_t ret = 0;

	if (len == 0 || len > NOTIFY_DIGITS)
		return NOTIFY_NEVER;
	memcpy(digits, value, len);
	digits[len] = '\0';
	if (text_i64(digits, 0, INT64_MAX, &ret, NULL) == -1)
		return NOTIFY_NEVER;
	return ret;
}

static void
take_line(const char *line, size_t len, struct notify_message *ret)
{
	const char *value;
	size_t value_len = 0;

	if (line_is(line, len, "READY=1"))
		ret->ready = true;
	else if (line_is(line, len, "STOPPING=1"))
		ret->stopping = true;
	else if (line_is(line, len, "WATCHDOG=1"))
		ret->alive = true;
	else if (line_is(line, len, "WATCHDOG=trigger"))
		ret->trigger = true;
	value = value_of(line, len, "STATUS", &value_len);
	if (value != NULL) {
		ret->has_status = true;
		notify_text(value, value_len, ret->status, sizeof(ret->status));
	}
	value = value_of(line, len, "EXTEND_TIMEOUT_USEC", &value_len);
	if (value != NULL)
		ret->extend_us = microseconds(value, value_len);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (value_of(line, len, refused[i], &value_len) != NULL)
			ret->refused = refused[i];
}

void
notify_parse(const void *bytes, size_t len, struct notify_message *ret)
{
	const char *at = bytes;

	*ret = (struct notify_message){.extend_us = NOTIFY_NEVER};
	/* some clients send the end of their string too */
	while (len > 0 && at[len - 1] == '\0')
		len--;
	while (len > 0) {
		const char *end = memchr(at, '\n', len);
		size_t line = end == NULL ? len : (size_t)(end - at);
		take_line(at, line, ret);
		line = MIN(line + 1, len);
		at += line;
		len -= line;
	}
}
