/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "manifests/inputs.h"

enum {
	MARK_TEXT = 'T',
	MARK_SOURCE = 'S',
	MARK_END = 'E',
	SOURCES_FIRST = 8,
	/* the smallest value: `known`, and two texts of no length */
	VALUE_LEAST = 1 + 4 + 4,
};

static const char MAGIC[4] = {'R', 'V', 'I', '1'};

/* --- writing ------------------------------------------------------------ */

static void
put_byte(struct buffer *out, unsigned value)
{
	uint8_t byte = (uint8_t)value;

	buffer_append(out, &byte, sizeof(byte));
}

static void
put_u32(struct buffer *out, size_t value)
{
	uint32_t word = (uint32_t)value;

	/* A buffer's maximum is far below it. */
	if (value > UINT32_MAX)
		out->overflow = true;
	buffer_append(out, &word, sizeof(word));
}

static void
put_bytes(struct buffer *out, const char *bytes, size_t len)
{
	put_u32(out, len);
	buffer_append(out, bytes, len);
}

static void
put_string(struct buffer *out, const char *text)
{
	put_bytes(
	    out, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
}

void
inputs_begin(struct buffer *out)
{
	buffer_append(out, MAGIC, sizeof(MAGIC));
}

void
inputs_put_text(struct buffer *out, const struct buffer *text)
{
	put_byte(out, MARK_TEXT);
	put_byte(out, ERR_NONE);
	put_bytes(out, text->data, text->len);
}

void
inputs_put_failure(struct buffer *out, const struct err *err)
{
	put_byte(out, MARK_TEXT);
	put_byte(out, err->kind == ERR_NONE ? ERR_SYSTEM : err->kind);
	put_string(out, err->text);
}

void
inputs_put_source(struct buffer *out, const struct source *source)
{
	put_byte(out, MARK_SOURCE);
	put_byte(out, source->declared->readable ? 1 : 0);
	put_byte(out, source->absence);
	put_string(out, source->declared->why);
	put_u32(out, source->count);
	for (size_t i = 0; i < source->count; i++) {
		const struct source_value *value = &source->values[i];
		put_byte(out, value->value != NULL ? 1 : 0);
		put_string(out, value->key);
		if (value->value != NULL)
			put_bytes(out, value->value, value->len);
		else
			put_string(out, value->why);
	}
}

void
inputs_end(struct buffer *out)
{
	put_byte(out, MARK_END);
}

/* --- reading ------------------------------------------------------------ */

struct cursor {
	const char *at, *end;
	struct arena *arena;
	bool wrong;
};

static size_t
left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

static unsigned
get_byte(struct cursor *cursor)
{
	if (cursor->wrong || left(cursor) == 0) {
		cursor->wrong = true;
		return 0;
	}
	return (unsigned char)*cursor->at++;
}

static uint32_t
get_u32(struct cursor *cursor)
{
	uint32_t word = 0;

	if (cursor->wrong || left(cursor) < sizeof(word)) {
		cursor->wrong = true;
		return 0;
	}
	memcpy(&word, cursor->at, sizeof(word));
	cursor->at += sizeof(word);
	return word;
}

/* A copy, terminated; "" once something was wrong. */
static const char *
get_text(struct cursor *cursor, size_t *ret_len)
{
	size_t len = get_u32(cursor);

	*ret_len = 0;
	if (cursor->wrong || len > left(cursor) ||
	    memchr(cursor->at, '\0', len) != NULL) {
		cursor->wrong = true;
		return "";
	}
	const char *copy = arena_bytes(cursor->arena, cursor->at, len);

	cursor->at += len;
	*ret_len = len;
	return copy;
}

/* The text is checked by who parses it: a NUL in it is an error of the
 * manifest, with its line. */
static void
get_manifest(struct cursor *cursor, struct inputs *ret)
{
	unsigned kind = get_byte(cursor);
	size_t len = get_u32(cursor);

	if (cursor->wrong || kind > ERR_UNSUPPORTED || len > left(cursor)) {
		cursor->wrong = true;
		return;
	}
	ret->text = arena_bytes(cursor->arena, cursor->at, len);
	ret->len = len;
	ret->whole = kind == ERR_NONE;
	if (!ret->whole)
		(void)err_set(
		    &ret->failed, (enum err_kind)kind, "%s", ret->text);
	cursor->at += len;
}

static void
get_values(struct cursor *cursor, struct source *source)
{
	size_t count = get_u32(cursor);
	size_t ignored = 0;

	if (cursor->wrong || count > left(cursor) / VALUE_LEAST) {
		cursor->wrong = true;
		return;
	}
	source->values =
	    arena_array(cursor->arena, count + 1, sizeof(*source->values));
	source->count = count;
	for (size_t i = 0; i < count && !cursor->wrong; i++) {
		struct source_value *value = &source->values[i];
		bool known = get_byte(cursor) != 0;
		value->key = get_text(cursor, &ignored);
		if (known)
			value->value = get_text(cursor, &value->len);
		else
			value->why = get_text(cursor, &ignored);
	}
}

static void
get_source(struct cursor *cursor, struct inputs *ret, size_t *room)
{
	size_t ignored = 0;

	if (ret->count == *room) {
		size_t more = MAX(*room * 2, (size_t)SOURCES_FIRST);
		struct source *sources =
		    arena_array(cursor->arena, more, sizeof(*sources));
		struct declared_source *of =
		    arena_array(cursor->arena, more, sizeof(*of));
		for (size_t i = 0; i < ret->count; i++) {
			sources[i] = ret->sources[i];
			of[i] = ret->of[i];
		}
		ret->sources = sources;
		ret->of = of;
		*room = more;
	}
	struct source *source = &ret->sources[ret->count];
	struct declared_source *of = &ret->of[ret->count++];

	of->readable = get_byte(cursor) != 0;
	unsigned absence = get_byte(cursor);
	if (absence > ABSENT_UNRESOLVABLE)
		cursor->wrong = true;
	else
		source->absence = (enum absence)absence;
	of->why = get_text(cursor, &ignored);
	get_values(cursor, source);
}

int
inputs_decode(const char *bytes, size_t len, struct arena *arena,
    struct inputs *ret, struct err *err)
{
	struct cursor cursor = {
	    .at = bytes, .end = bytes + len, .arena = arena};
	struct inputs inputs = {.failed = ERR_INIT};
	size_t room = 0;
	unsigned mark = 0;

	if (len < sizeof(MAGIC) || memcmp(bytes, MAGIC, sizeof(MAGIC)) != 0)
		return err_set(
		    err, ERR_INPUT, "what was read has no beginning");
	cursor.at += sizeof(MAGIC);
	if (get_byte(&cursor) != MARK_TEXT)
		cursor.wrong = true;
	get_manifest(&cursor, &inputs);
	while (!cursor.wrong && (mark = get_byte(&cursor)) == MARK_SOURCE)
		get_source(&cursor, &inputs, &room);
	if (cursor.wrong || mark != MARK_END || left(&cursor) != 0)
		return err_set(err, ERR_INPUT, "what was read isn't whole");
	*ret = inputs;
	return 0;
}

bool
inputs_take_source(
    struct inputs *inputs, struct arena *arena, struct source *source)
{
	if (inputs->taken == inputs->count)
		return false;
	const struct source *from = &inputs->sources[inputs->taken];
	const struct declared_source *of = &inputs->of[inputs->taken++];

	source->declared->readable = of->readable;
	source->declared->why =
	    of->readable ? NULL : arena_text(arena, of->why);
	source->absence = from->absence;
	source->values =
	    arena_array(arena, from->count + 1, sizeof(*source->values));
	source->count = from->count;
	for (size_t i = 0; i < from->count; i++) {
		const struct source_value *value = &from->values[i];
		source->values[i] = (struct source_value){
		    .key = arena_text(arena, value->key),
		    .value = value->value == NULL
		                 ? NULL
		                 : arena_bytes(arena, value->value, value->len),
		    .len = value->len,
		    .why = arena_text(arena, value->why)};
	}
	return true;
}
