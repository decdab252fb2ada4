/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/exitcode.h"

/* Under AddressSanitizer each piece is a block of its own: a pool would hide
 * an overflow from one piece into the next. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_BLOCK_BYTES ((size_t)1)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_BLOCK_BYTES ((size_t)1)
#endif
#endif
#ifndef ARENA_BLOCK_BYTES
#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)
#endif
/* The first block: many arenas hold a few short texts. */
#define ARENA_FIRST_BYTES MIN(ARENA_BLOCK_BYTES, (size_t)1024)

struct arena_block {
	struct arena_block *before;
	size_t size;
	size_t used;
	alignas(max_align_t) char data[];
};

static NORETURN void
arena_die(const char *why)
{
	char text[160];
	int len = snprintf(text, sizeof(text), "reeve: %s\n", why);

	if (len > 0)
		(void)!write(
		    STDERR_FILENO, text, MIN((size_t)len, sizeof(text) - 1));
	_exit(EXIT_BUG);
}

void
arena_init(struct arena *arena, size_t max_bytes)
{
	*arena = (struct arena){.max_bytes = max_bytes};
}

void
arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->last;

	while (block != NULL) {
		struct arena_block *before = block->before;
		free(block);
		block = before;
	}
	*arena = (struct arena){0};
}

void
arena_wipe(struct arena *arena)
{
	for (struct arena_block *b = arena->last; b != NULL; b = b->before)
		explicit_bzero(b->data, b->size);
	arena_fini(arena);
}

static struct arena_block *
arena_grow(struct arena *arena, size_t bytes)
{
	size_t wanted =
	    MIN(MAX(arena->used_bytes, ARENA_FIRST_BYTES), ARENA_BLOCK_BYTES);
	size_t size = MAX(bytes, wanted);
	struct arena_block *block = NULL;

	if (size < SIZE_MAX - sizeof(*block))
		block = calloc(1, sizeof(*block) + size);
	if (block == NULL)
		arena_die("out of memory");
	block->size = size;
	block->before = arena->last;
	arena->last = block;
	return block;
}

void *
arena_alloc(struct arena *arena, size_t bytes)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *block = arena->last;

	if (bytes > SIZE_MAX - align)
		arena_die("out of memory");
	bytes = (MAX(bytes, 1) + align - 1) / align * align;
	if (bytes > arena->max_bytes - MIN(arena->used_bytes, arena->max_bytes))
		arena_die("what was read is too large: a limit of memory was "
		          "reached");
	if (block == NULL || block->size - block->used < bytes)
		block = arena_grow(arena, bytes);
	void *piece = block->data + block->used;
	block->used += bytes;
	arena->used_bytes += bytes;
	return piece;
}

void *
arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		arena_die("out of memory");
	return arena_alloc(arena, bytes);
}

char *
arena_bytes(struct arena *arena, const void *bytes, size_t len)
{
	if (len == SIZE_MAX)
		arena_die("out of memory");
	char *copy = arena_alloc(arena, len + 1);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

char *
arena_text(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_bytes(arena, text, strlen(text));
}

char *
arena_format(struct arena *arena, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		arena_die("a text could not be formatted");
	char *text = arena_alloc(arena, (size_t)len + 1);
	va_start(args, fmt);
	(void)vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}
