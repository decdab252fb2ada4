/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LINEFORM_H
#define REEVE_SUPERVISOR_INIT_LINEFORM_H

#include "base/base.h"
#include "supervisor/init/logger.h"

/*
 * How a captured line looks on its way out, prefixed or as JSON (plain lines
 * are not touched by anybody):
 *
 *     fileprocess/0 | the line
 *     fileprocess/0 + what follows of a line of more than LOGGER_LINE_MAX
 *
 *     {"at":…,"worker":…,"replica":0,"generation":1,"pid":77,
 *      "stream":"stdout","text":"the line"}
 *
 * with `"partial":true` where the line goes on in this stream's next object.
 * Any bytes give valid JSON: what is not UTF-8 is U+FFFD in `text`, and then
 * `base64` holds the bytes as they were.
 */
enum {
	LINEFORM_HEAD = 384 /* names, numbers, time and what is around them */
};

struct lineform {
	char *bytes; /* borrowed */
	size_t size, len;
	enum logs_format format; /* LOGS_PREFIX or LOGS_JSON */
	size_t head_len;
	char head[LINEFORM_HEAD]; /* what all lines of a batch begin with */
};

/* The most bytes that a line of `len` becomes. */
size_t lineform_most(size_t len);
/* For lines of one stream at one time; `at` as clock_text() writes it. */
void lineform_open(struct lineform *form, char *bytes, size_t size,
    const struct logger_message *who, const char *at);
/* Appends a line; there is room for lineform_most(). `continued`: its beginning
 * has passed already; `partial`: its end comes later. */
void lineform_add(struct lineform *form, const char *text, size_t len,
    bool continued, bool partial);

#endif
