/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_URL_SPAN_H
#define REEVE_BASE_URL_SPAN_H

#include "base/base.h"

/*
 * Parts of a URL's text where they stand, for url.c, which reads one, and
 * url_hide.c, which takes the secrets out of one that may not be readable.
 */

/* A part of the text: from `at`, `len` bytes. */
struct span {
	const char *at;
	size_t len;
};

static inline struct span
span_of(const char *at, const char *end)
{
	return (struct span){at, (size_t)(end - at)};
}

static inline const char *
span_end(struct span span)
{
	return span.at + span.len;
}

static inline const char *
span_last(struct span span, char c)
{
	return span.len == 0 ? NULL : memrchr(span.at, c, span.len);
}

static inline const char *
span_first(struct span span, char c)
{
	return span.len == 0 ? NULL : memchr(span.at, c, span.len);
}

static inline bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
is_scheme_char(char c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
	       c == '.';
}

static inline bool
is_name_char(char c)
{
	return is_scheme_char(c) || c == '_';
}

/* Where a part ends that goes up to the first of `stops`, or to the end. */
static inline const char *
span_up_to(const char *text, const char *stops)
{
	return text + strcspn(text, stops);
}

/* --- url_hide.c --- */
/* Is the word that ends before this '=' one whose value is a secret? */
bool url_ends_secret_key(const char *text, const char *equals);

#endif
