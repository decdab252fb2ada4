/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "supervisor/init/lineform.h"

enum {
	TAIL_MOST = 32, /* behind the text: "base64", "partial" */
	JSON_MOST = 6,  /* bytes that one becomes: \u00xx */
	BLOCK = 32,     /* of a fixed size: compilers make vectors of it */
};

size_t
lineform_most(size_t len)
{
	return LINEFORM_HEAD + TAIL_MOST + JSON_MOST * len + (len + 2) / 3 * 4;
}

static void
put(struct lineform *form, const char *bytes, size_t len)
{
	assert(len <= form->size - form->len);
	bytes_copy(form->bytes + form->len, bytes, len);
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

static bool
is_plain_block(const unsigned char *p)
{
	unsigned char special = 0;

	for (size_t i = 0; i < BLOCK; i++)
		special |= (unsigned char)!is_plain(p[i]);
	return special == 0;
}

/* How many bytes from `p` on are as they are in JSON too. */
static size_t
plain_run(const unsigned char *p, size_t len)
{
	size_t run = 0;

	while (len - run >= BLOCK && is_plain_block(p + run))
		run += BLOCK;
	while (run < len && is_plain(p[run]))
		run++;
	return run;
}

/* Returns whether all of it is UTF-8. */
static bool
put_json(struct lineform *form, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	bool whole = true;

	for (size_t i = 0; i < len;) {
		size_t plain = plain_run(p + i, len - i);
		put(form, text + i, plain);
		i += plain;
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
		    (char)(left > 1 ? digits[bits >> 6 & 63] : '='),
		    (char)(left > 2 ? digits[bits & 63] : '=')};
		put(form, four, sizeof(four));
	}
}

static void
open_prefix(struct lineform *head, const struct logger_message *who)
{
	put_text(head, who->worker);
	put(head, "/", 1);
	put_number(head, who->replica);
	put(head, " | ", 3);
}

static void
open_json(
    struct lineform *head, const struct logger_message *who, const char *at)
{
	put_text(head, "{\"at\":\"");
	put_text(head, at);
	put_text(head, "\",\"worker\":\"");
	(void)put_json(head, who->worker, strlen(who->worker));
	put_text(head, "\",\"replica\":");
	put_number(head, who->replica);
	put_text(head, ",\"generation\":");
	put_number(head, who->generation);
	put_text(head, ",\"pid\":");
	put_number(head, (uint64_t)MAX(who->pid, (int64_t)0));
	put_text(head, who->stream == LOGGER_STDOUT
	                   ? ",\"stream\":\"stdout\",\"text\":\""
	                   : ",\"stream\":\"stderr\",\"text\":\"");
}

void
lineform_open(struct lineform *form, char *bytes, size_t size,
    const struct logger_message *who, const char *at)
{
	form->bytes = form->head;
	form->size = sizeof(form->head);
	form->len = 0;
	form->format = who->logs.format;
	if (form->format == LOGS_JSON)
		open_json(form, who, at);
	else
		open_prefix(form, who);
	form->head_len = form->len;
	form->bytes = bytes;
	form->size = size;
	form->len = 0;
}

static void
add_json(struct lineform *form, const char *text, size_t len, bool partial)
{
	bool whole = put_json(form, text, len);

	if (!whole) {
		put_text(form, "\",\"base64\":\"");
		put_base64(form, text, len);
	}
	put_text(form, partial ? "\",\"partial\":true}\n" : "\"}\n");
}

void
lineform_add(struct lineform *form, const char *text, size_t len,
    bool continued, bool partial)
{
	if (form->format == LOGS_JSON) {
		put(form, form->head, form->head_len);
		add_json(form, text, len, partial);
		return;
	}
	char *to = form->bytes + form->len;

	assert(form->head_len + len < form->size - form->len);
	bytes_copy(to, form->head, form->head_len);
	if (continued) /* name/0 + … */
		to[form->head_len - 2] = '+';
	bytes_copy(to + form->head_len, text, len);
	to[form->head_len + len] = '\n';
	form->len += form->head_len + len + 1;
}
