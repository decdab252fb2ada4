/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>

#include "manifests/complaints.h"

void
complaints_init(
    struct complaints *complaints, struct arena *arena, const char *file)
{
	*complaints = (struct complaints){.arena = arena, .file = file};
}

static struct manifest_error *
complaint_new(struct complaints *complaints)
{
	if (complaints->count == complaints->cap) {
		size_t cap = MAX(complaints->cap * 2, 16);
		struct manifest_error *list =
		    arena_array(complaints->arena, cap, sizeof(*list));
		if (complaints->count > 0)
			memcpy(list, complaints->list,
			    complaints->count * sizeof(*list));
		complaints->list = list;
		complaints->cap = cap;
	}
	return &complaints->list[complaints->count++];
}

static void PRINTF_LIKE(4, 0) add(struct complaints *complaints, int line,
    int column, const char *fmt, va_list args)
{
	if (complaints->count >= COMPLAINTS_MAX) {
		complaints->dropped++;
		return;
	}
	struct buffer text;
	char piece[2048];
	int len = vsnprintf(piece, sizeof(piece), fmt, args);

	/* Long lists of valid words are cut at the end, which is shown. */
	buffer_init(&text, sizeof(piece) + 8);
	buffer_text(&text, piece);
	if (len >= (int)sizeof(piece))
		buffer_text(&text, "…");
	struct manifest_error *error = complaint_new(complaints);
	error->place = (struct place){complaints->file, line, column};
	error->text = arena_bytes(complaints->arena, text.data, text.len);
	buffer_fini(&text);
}

void
complain_at(
    struct complaints *complaints, int line, int column, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(complaints, line, column, fmt, args);
	va_end(args);
}

void
complain(struct complaints *complaints, const struct node *node,
    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(complaints, node->line, node->column, fmt, args);
	va_end(args);
}

static int
by_place(const void *a, const void *b)
{
	const struct manifest_error *x = a, *y = b;

	if (x->place.line != y->place.line)
		return x->place.line < y->place.line ? -1 : 1;
	if (x->place.column != y->place.column)
		return x->place.column < y->place.column ? -1 : 1;
	return strcmp(x->text, y->text);
}

int
complaints_done(struct complaints *complaints, struct manifest_errors *ret)
{
	if (complaints->count > 0)
		qsort(complaints->list, complaints->count,
		    sizeof(*complaints->list), by_place);
	if (complaints->dropped > 0) {
		struct manifest_error *error = complaint_new(complaints);
		error->place = complaints->list[complaints->count - 2].place;
		error->text = arena_format(complaints->arena,
		    "%zu more errors are not shown", complaints->dropped);
	}
	if (ret != NULL)
		*ret = (struct manifest_errors){
		    complaints->list, complaints->count};
	return complaints->count > 0 ? -1 : 0;
}

const char *
words_listed(struct arena *arena, const char *const *words)
{
	struct buffer text;
	char *copy;

	buffer_init(&text, 4096);
	for (size_t i = 0; words[i] != NULL; i++) {
		if (i > 0)
			buffer_text(
			    &text, words[i + 1] == NULL ? " or " : ", ");
		buffer_text(&text, words[i]);
	}
	copy = arena_bytes(arena, text.data, text.len);
	buffer_fini(&text);
	return copy;
}
