/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_HTML_H
#define REEVE_SUPERVISOR_OPERATOR_HTML_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * The only door through which a text gets into HTML, between tags or into an
 * attribute within double quotes. Invalid UTF-8 and control characters become
 * U+FFFD.
 */
void html_text(struct buffer *out, const char *text);

/* Markup of ours in which each "{}" is the next text, escaped; NULL is "". */
void html_fill(
    struct buffer *out, const char *markup, const char *const *texts);
#define HTML(out, markup, ...) \
	html_fill(out, markup, (const char *const[]){__VA_ARGS__})

#endif
