/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/utf8.h"
#include "supervisor/init/lineform.h"

enum {
	HEAD_MOST = 384, /* names, numbers, time and the quotes around them */
	JSON_MOST = 6,   /* bytes that one becomes: \u00xx */
};

size_t
lineform_most(size_t len)
{
	return HEAD_MOST + JSON_MOST * len + (len + 2) / 3 * 4;
}

static void
put(struct lineform *form, const char *bytes, size_t len)
{
	assert(len <= form->size - form->len);
	memcpy(form->bytes + form->len, bytes, len);
	form->len += len;
}

static void
put_text(struct lineform *form, const char *text)
{
	put(form, text, strlen(text));
}

static void
put_number(struct lineform *form, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(form, digits + at, sizeof(digits) - at);
}

void
lineform_prefix(struct lineform *form, const struct logger_message *who,
    const char *text, size_t len, bool continued)
{
	put_text(form, who->worker);
	put(form, "/", 1);
	put_number(form, who->replica);
	put(form, continued ? " + " : " | ", 3);
	put(form, text, len);
	put(form, "\n", 1);
}

static void
put_escaped(struct lineform *form, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (c == '"' || c == '\\') {
		text[1] = (char)c;
		put(form, text, 2);
	} else {
		put(form, text, sizeof(text));
	}
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Returns whether all of it is UTF-8. */
static bool
put_json(struct lineform *form, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	bool whole = true;

	for (size_t i = 0; i < len;) {
		size_t plain = i;
		while (plain < len && is_plain(p[plain]))
			plain++;
		put(form, text + i, plain - i);
		i = plain;
		if (i == len)
			break;
		size_t n = utf8_len(p + i, len - i);
		if (n == 0) {
			put_text(form, "\\ufffd");
			whole = false;
			n = 1;
		} else if (n == 1) {
			put_escaped(form, p[i]);
		} else {
			put(form, text + i, n);
		}
		i += n;
	}
	return whole;
}

static void
put_base64(struct lineform *form, const char *text, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t bits = (uint32_t)p[i] << 16;
		if (left > 1)
			bits |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			bits |= p[i + 2];
		const char four[4] = {digits[bits >> 18],
		    digits[bits >> 12 & 63],
		    left > 1 ? digits[bits >> 6 & 63] : '=',
		    left > 2 ? digits[bits & 63] : '='};
		put(form, four, sizeof(four));
	}
}

void
lineform_json(struct lineform *form, const struct logger_message *who,
    const char *at, const char *text, size_t len, bool partial)
{
	put_text(form, "{\"at\":\"");
	put_text(form, at);
	put_text(form, "\",\"worker\":\"");
	(void)put_json(form, who->worker, strlen(who->worker));
	put_text(form, "\",\"replica\":");
	put_number(form, who->replica);
	put_text(form, ",\"generation\":");
	put_number(form, who->generation);
	put_text(form, ",\"pid\":");
	put_number(form, (uint64_t)MAX(who->pid, (int64_t)0));
	put_text(form, who->stream == LOGGER_STDOUT
	                   ? ",\"stream\":\"stdout\",\"text\":\""
	                   : ",\"stream\":\"stderr\",\"text\":\"");
	bool whole = put_json(form, text, len);
	put_text(form, "\"");
	if (!whole) {
		put_text(form, ",\"base64\":\"");
		put_base64(form, text, len);
		put_text(form, "\"");
	}
	put_text(form, partial ? ",\"partial\":true}\n" : "}\n");
}
