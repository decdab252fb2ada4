/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/utf8.h"
#include "supervisor/operator/html.h"

enum {
	SPACE = 0x20,
	DELETE = 0x7F
};

static const char *
entity_of(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

static bool
is_control(unsigned char c)
{
	return (c < SPACE && c != '\n' && c != '\t') || c == DELETE;
}

void
html_text(struct buffer *out, const char *text)
{
	size_t left = text == NULL ? 0 : strlen(text);

	while (left > 0) {
		const unsigned char *at = (const unsigned char *)text;
		size_t len = utf8_len(at, left);
		const char *entity = entity_of(*text);
		if (len == 0 || is_control(*at))
			buffer_text(out, "\xEF\xBF\xBD");
		else if (entity != NULL)
			buffer_text(out, entity);
		else
			buffer_append(out, text, len);
		len = MAX(len, (size_t)1);
		text += len;
		left -= len;
	}
}

void
html_fill(struct buffer *out, const char *markup, const char *const *texts)
{
	const char *hole;

	while ((hole = strstr(markup, "{}")) != NULL) {
		buffer_append(out, markup, (size_t)(hole - markup));
		html_text(out, *texts++);
		markup = hole + 2;
	}
	buffer_text(out, markup);
}
