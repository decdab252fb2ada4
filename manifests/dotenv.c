/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include "base/buffer.h"
#include "base/text.h"
#include "manifests/dotenv.h"

enum {
	ENTRIES_MAX = 10000,
	VALUE_MAX = 1024 * 1024
};

struct reader {
	const char *p, *end;
	int line;
	struct arena *arena;
	struct dotenv_entry *entries;
	size_t count, cap;
};

static bool
at_end_of_line(const struct reader *reader)
{
	return reader->p == reader->end || *reader->p == '\n' ||
	       (*reader->p == '\r' && reader->p + 1 < reader->end &&
	           reader->p[1] == '\n');
}

static void
skip_blanks(struct reader *reader)
{
	while (reader->p < reader->end &&
	       (*reader->p == ' ' || *reader->p == '\t'))
		reader->p++;
}

static void
skip_line(struct reader *reader)
{
	while (reader->p < reader->end && *reader->p != '\n')
		reader->p++;
	if (reader->p < reader->end) {
		reader->p++;
		reader->line++;
	}
}

static void
put(struct reader *reader, const char *name, const char *value, size_t len,
    int line)
{
	for (size_t i = 0; i < reader->count; i++) {
		if (text_equal(reader->entries[i].name, name)) {
			reader->entries[i].value =
			    arena_bytes(reader->arena, value, len);
			reader->entries[i].len = len;
			reader->entries[i].line = line;
			return;
		}
	}
	if (reader->count == reader->cap) {
		size_t cap = MAX(reader->cap * 2, 16);
		struct dotenv_entry *entries =
		    arena_array(reader->arena, cap, sizeof(*entries));
		if (reader->count > 0)
			memcpy(entries, reader->entries,
			    reader->count * sizeof(*entries));
		reader->entries = entries;
		reader->cap = cap;
	}
	reader->entries[reader->count++] = (struct dotenv_entry){
	    name, arena_bytes(reader->arena, value, len), len, line};
}

static int
read_name(struct reader *reader, const char **ret, struct err *err)
{
	const char *start = reader->p;

	if (reader->end - start > 7 && strncmp(start, "export", 6) == 0 &&
	    (start[6] == ' ' || start[6] == '\t')) {
		reader->p += 6;
		skip_blanks(reader);
		start = reader->p;
	}
	while (reader->p < reader->end &&
	       (isalnum((unsigned char)*reader->p) ||
	           strchr("_.-", *reader->p) != NULL) &&
	       *reader->p != '\0')
		reader->p++;
	const char *name_end = reader->p;
	skip_blanks(reader);
	if (name_end == start || reader->p == reader->end || *reader->p != '=')
		return err_set(
		    err, ERR_INPUT, "line %d is not NAME=value", reader->line);
	reader->p++;
	*ret = arena_bytes(reader->arena, start, (size_t)(name_end - start));
	return 0;
}

/* To the end of the line or a ' #'; blanks around it are not part of it. */
static void
read_bare(struct reader *reader, struct buffer *value)
{
	const char *start = reader->p;

	while (!at_end_of_line(reader)) {
		if (*reader->p == '#' && reader->p > start &&
		    (reader->p[-1] == ' ' || reader->p[-1] == '\t'))
			break;
		reader->p++;
	}
	const char *end = reader->p;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	buffer_append(value, start, (size_t)(end - start));
}

static char
unescaped(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '"':
	case '\\':
	case '$':
		return c;
	default:
		return '\0';
	}
}

static int
read_quoted(struct reader *reader, struct buffer *value, struct err *err)
{
	char quote = *reader->p++;
	int line = reader->line;

	while (reader->p < reader->end && *reader->p != quote) {
		char plain = '\0';
		if (*reader->p == '\\' && quote == '"' &&
		    reader->p + 1 < reader->end)
			plain = unescaped(reader->p[1]);
		if (*reader->p == '\n')
			reader->line++;
		buffer_append(value, plain == '\0' ? reader->p : &plain, 1);
		reader->p += plain == '\0' ? 1 : 2;
	}
	if (reader->p == reader->end)
		return err_set(
		    err, ERR_INPUT, "line %d: the quote is never closed", line);
	reader->p++;
	skip_blanks(reader);
	if (!at_end_of_line(reader) && *reader->p != '#')
		return err_set(err, ERR_INPUT,
		    "line %d: something stands after the closing quote",
		    reader->line);
	return 0;
}

static int
read_entry(struct reader *reader, struct buffer *value, struct err *err)
{
	const char *name = NULL;
	int line = reader->line;

	if (read_name(reader, &name, err) == -1)
		return -1;
	buffer_clear(value);
	skip_blanks(reader);
	bool quoted = reader->p < reader->end &&
	              (*reader->p == '\'' || *reader->p == '"');
	if (!quoted)
		read_bare(reader, value);
	else if (read_quoted(reader, value, err) == -1)
		return -1;
	if (value->overflow || reader->count == ENTRIES_MAX)
		return err_set(err, ERR_CAPACITY,
		    "line %d: more than is read at most", line);
	put(reader, name, value->len == 0 ? "" : value->data, value->len, line);
	return 0;
}

int
dotenv_parse(const char *text, size_t len, struct arena *arena,
    struct dotenv_entry **ret, size_t *ret_count, struct err *err)
{
	struct reader reader = {
	    .p = text, .end = text + len, .line = 1, .arena = arena};
	struct buffer value;
	int rc = 0;

	if (len > 0 && memchr(text, '\0', len) != NULL)
		return err_set(err, ERR_INPUT, "a NUL byte: not a text file");
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		reader.p += 3;
	buffer_init(&value, VALUE_MAX);
	while (rc == 0 && reader.p < reader.end) {
		skip_blanks(&reader);
		if (!at_end_of_line(&reader) && *reader.p != '#')
			rc = read_entry(&reader, &value, err);
		skip_line(&reader);
	}
	buffer_wipe(&value);
	if (rc == -1)
		return -1;
	*ret = reader.entries;
	*ret_count = reader.count;
	return 0;
}
