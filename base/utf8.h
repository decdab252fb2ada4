/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_UTF8_H
#define REEVE_BASE_UTF8_H

#include "base/base.h"

/*
 * The length of the well-formed UTF-8 character at `p` (`left` bytes are
 * there), 0 when there is none: overlong forms, surrogates and what lies
 * beyond U+10FFFF are not well-formed (RFC 3629).
 */
static inline size_t
utf8_len(const unsigned char *p, size_t left)
{
	size_t len;

	if (left == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if ((p[0] & 0xF0) == 0xE0)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (left < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0) ||
	    (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] >= 0x90))
		return 0;
	return len;
}

/*
 * How many of `len` bytes may go without what follows them: all, or those
 * before a character at their end of which more bytes are to come.
 */
static inline size_t
utf8_whole(const unsigned char *p, size_t len)
{
	size_t last = 1; /* bytes of the last character */

	if (len == 0)
		return 0;
	while (last < MIN(len, (size_t)4) && (p[len - last] & 0xC0) == 0x80)
		last++;
	unsigned char lead = p[len - last];
	size_t most =
	    (size_t)1 + (lead >= 0xC2) + (lead >= 0xE0) + (lead >= 0xF0);
	return last < most ? len - last : len;
}

#endif
