/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_BYTES_H
#define REEVE_BASE_BYTES_H

#include <string.h>

#include "base/base.h"

/*
 * Newlines and short copies where each line of a busy log passes: musl's
 * memchr, memrchr and memcpy take several times as long as these for a hundred
 * bytes.
 */
enum {
	BYTES_WORD = 8,
	BYTES_VECTOR = 16,
	BYTES_BLOCK = 128, /* of a fixed size: compilers make vectors of it */
	BYTES_SHORT = 512, /* a longer copy is memcpy's */
};

/* Is one of the eight bytes a newline? */
static inline bool
bytes_word_has_newline(const char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	word ^= UINT64_C(0x0a0a0a0a0a0a0a0a);
	return ((word - UINT64_C(0x0101010101010101)) & ~word &
	           UINT64_C(0x8080808080808080)) != 0;
}

/* Where the first newline of `len` bytes is; `len`: there is none. */
static inline size_t
bytes_newline(const char *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= BYTES_WORD && !bytes_word_has_newline(bytes + at))
		at += BYTES_WORD;
	while (at < len && bytes[at] != '\n')
		at++;
	return at;
}

/* The bytes up to the last newline, and with it; 0: there is none. */
static inline size_t
bytes_lines_end(const char *bytes, size_t len)
{
	while (len >= BYTES_WORD &&
	       !bytes_word_has_newline(bytes + len - BYTES_WORD))
		len -= BYTES_WORD;
	while (len > 0 && bytes[len - 1] != '\n')
		len--;
	return len;
}

static inline uint32_t
bytes_count_newlines(const char *bytes, size_t len)
{
	uint32_t count = 0;

	for (; len >= BYTES_BLOCK; len -= BYTES_BLOCK, bytes += BYTES_BLOCK) {
		uint8_t here = 0;
		for (size_t i = 0; i < BYTES_BLOCK; i++)
			here = (uint8_t)(here + (bytes[i] == '\n'));
		count += here;
	}
	for (size_t i = 0; i < len; i++)
		count += bytes[i] == '\n';
	return count;
}

/* memcpy, for what is mostly short. */
static inline void
bytes_copy(char *to, const char *from, size_t len)
{
	if (len > BYTES_SHORT) {
		memcpy(to, from, len);
		return;
	}
	if (len < BYTES_VECTOR) {
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
		return;
	}
	for (size_t i = 0; i < len - BYTES_VECTOR; i += BYTES_VECTOR)
		memcpy(to + i, from + i, BYTES_VECTOR);
	/* the last ones, some of them for the second time */
	memcpy(
	    to + len - BYTES_VECTOR, from + len - BYTES_VECTOR, BYTES_VECTOR);
}

#endif
