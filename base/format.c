/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"

enum {
	FORMAT_DIGITS = 20 /* of a 64-bit number in base 10 */
};

/* One conversion: "%.*s", "%llu". */
struct conversion {
	bool precise; /* ".*" */
	unsigned longs;
	bool size;
	char kind;
	size_t len; /* of its text, with the % */
};

/* False: it is none of ours. */
static bool
read_conversion(const char *at, struct conversion *ret)
{
	const char *p = at + 1;

	*ret = (struct conversion){.precise = p[0] == '.' && p[1] == '*'};
	p += ret->precise ? 2 : 0;
	for (; *p == 'l' && ret->longs < 2; p++)
		ret->longs++;
	ret->size = ret->longs == 0 && *p == 'z';
	p += ret->size;
	ret->kind = *p;
	ret->len = (size_t)(p - at) + 1;
	switch (*p) {
	case 'd':
	case 'i':
	case 'u':
	case 'x':
		return !ret->precise;
	case 's':
		return ret->longs == 0 && !ret->size;
	case 'c':
	case '%':
		return ret->longs == 0 && !ret->size && !ret->precise;
	default:
		return false;
	}
}

struct out {
	char *dst;
	size_t size, len; /* len: with what didn't fit */
};

static void
put(struct out *out, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && out->len + i + 1 < out->size; i++)
		out->dst[out->len + i] = bytes[i];
	out->len += len;
}

static void
put_number(struct out *out, uint64_t value, unsigned base, bool negative)
{
	char digits[FORMAT_DIGITS + 1];
	char *p = digits + sizeof(digits);

	do {
		*--p = "0123456789abcdef"[value % base];
		value /= base;
	} while (value > 0);
	if (negative)
		*--p = '-';
	put(out, p, (size_t)(digits + sizeof(digits) - p));
}

/* A list of arguments behind a pointer: so that a function can go on in it. */
struct list {
	va_list at;
};

/* NOLINTBEGIN(bugprone-branch-clone): the types differ. */
static void
put_signed(
    struct out *out, const struct conversion *conversion, struct list *args)
{
	int64_t value;

	if (conversion->longs == 2)
		value = va_arg(args->at, long long);
	else if (conversion->longs == 1)
		value = va_arg(args->at, long);
	else if (conversion->size)
		value = va_arg(args->at, ssize_t);
	else
		value = va_arg(args->at, int);
	put_number(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10,
	    value < 0);
}

static void
put_unsigned(
    struct out *out, const struct conversion *conversion, struct list *args)
{
	uint64_t value;

	if (conversion->longs == 2)
		value = va_arg(args->at, unsigned long long);
	else if (conversion->longs == 1)
		value = va_arg(args->at, unsigned long);
	else if (conversion->size)
		value = va_arg(args->at, size_t);
	else
		value = va_arg(args->at, unsigned);
	put_number(out, value, conversion->kind == 'x' ? 16 : 10, false);
}
/* NOLINTEND(bugprone-branch-clone) */

static void
put_text(
    struct out *out, const struct conversion *conversion, struct list *args)
{
	/* a negative precision is none */
	int most = conversion->precise ? va_arg(args->at, int) : -1;
	const char *text = va_arg(args->at, const char *);

	if (text == NULL) /* a mistake, and no reason to end */
		text = "(null)";
	put(out, text, most < 0 ? strlen(text) : strnlen(text, (size_t)most));
}

static void
put_conversion(
    struct out *out, const struct conversion *conversion, struct list *args)
{
	char byte = '%';

	switch (conversion->kind) {
	case 's':
		put_text(out, conversion, args);
		return;
	case 'd':
	case 'i':
		put_signed(out, conversion, args);
		return;
	case 'u':
	case 'x':
		put_unsigned(out, conversion, args);
		return;
	case 'c':
		byte = (char)va_arg(args->at, int);
		break;
	default:
		break;
	}
	put(out, &byte, 1);
}

static size_t
plain_len(const char *text)
{
	size_t len = 0;

	while (text[len] != '\0' && text[len] != '%')
		len++;
	return len;
}

int
format_args(char *dst, size_t size, const char *fmt, va_list args)
{
	struct out out = {.dst = dst, .size = size};
	struct conversion conversion;
	bool ours = true;
	struct list list;

	va_copy(list.at, args);
	for (const char *at = fmt; ours && *at != '\0';) {
		size_t plain = plain_len(at);
		put(&out, at, plain);
		at += plain;
		if (*at == '\0')
			break;
		ours = read_conversion(at, &conversion);
		if (ours)
			put_conversion(&out, &conversion, &list);
		at += conversion.len;
	}
	va_end(list.at);
	if (!ours)
		return vsnprintf(dst, size, fmt, args);
	if (size > 0)
		dst[MIN(out.len, size - 1)] = '\0';
	return out.len > INT_MAX ? -1 : (int)out.len;
}

int
format_text(char *dst, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int len = format_args(dst, size, fmt, args);
	va_end(args);
	return len;
}
