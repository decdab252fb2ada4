/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <yaml.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/utf8.h"
#include "manifests/complaints.h"
#include "manifests/document.h"

/* --- the file --- */

static int
file_refuse(const char *path, const struct stat *st, struct err *err)
{
	if (S_ISDIR(st->st_mode))
		return err_set(
		    err, ERR_INPUT, "'%s' is a directory, not a file", path);
	if (!S_ISREG(st->st_mode))
		return err_set(
		    err, ERR_INPUT, "'%s' is not a regular file", path);
	if (st->st_size > DOCUMENT_BYTES_MAX)
		return err_set(err, ERR_CAPACITY,
		    "'%s' has %lld bytes; at most %d are read", path,
		    (long long)st->st_size, DOCUMENT_BYTES_MAX);
	return 0;
}

int
document_file(const char *path, struct buffer *text, struct err *err)
{
	struct stat st;

	buffer_init(text, DOCUMENT_BYTES_MAX + 1);
	/* O_NONBLOCK: a pipe without a writer must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return err_sys(err, "open '%s'", path);
	int rc = fstat(fd, &st) == -1 ? err_sys(err, "stat '%s'", path)
	                              : file_refuse(path, &st, err);
	if (rc == 0 && buffer_read_all(text, fd, err) == -1)
		rc = err_wrap(err, "read '%s'", path);
	fd_close(&fd);
	return rc;
}

/* --- bytes --- */

/* libyaml says neither line nor column of a wrong byte, and takes UTF-16. */
static int
check_bytes(const struct buffer *text, struct complaints *complaints)
{
	const unsigned char *p = (const unsigned char *)text->data;
	const unsigned char *end = p + text->len;
	int line = 1, column = 1;

	while (p < end) {
		size_t len = utf8_len(p, (size_t)(end - p));
		if (len == 0) {
			complain_at(complaints, line, column,
			    "this is not UTF-8 text (byte 0x%02X)", *p);
			return -1;
		}
		if ((*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') ||
		    *p == 0x7F) {
			complain_at(complaints, line, column,
			    "control character 0x%02X: this is not a text "
			    "file",
			    *p);
			return -1;
		}
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
		p += len;
	}
	return 0;
}

/* --- the tree --- */

struct anchor {
	const char *name;
	struct node *node;
	bool closed;
	struct anchor *before;
};

struct builder {
	struct arena *arena;
	struct complaints *complaints;
	bool loose;
	struct node *open[DOCUMENT_DEPTH_MAX];
	struct node *key[DOCUMENT_DEPTH_MAX]; /* read, awaits its value */
	size_t depth, nodes;
	struct node *first, *last; /* tops */
	struct anchor *anchors;
	size_t nanchors;
	struct anchor *open_anchor[DOCUMENT_DEPTH_MAX];
};

enum {
	ANCHORS_MAX = 1000
};

static int
refuse(struct builder *builder, const yaml_event_t *event, const char *why)
{
	complain_at(builder->complaints, (int)event->start_mark.line + 1,
	    (int)event->start_mark.column + 1, "%s", why);
	return -1;
}

static void
append(struct node *parent, struct node *child)
{
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	parent->count++;
}

/* Puts a new node where the document is; -1 when it can't stand there. */
static int
place_node(
    struct builder *builder, struct node *node, const yaml_event_t *event)
{
	if (builder->depth == 0) {
		if (builder->last == NULL)
			builder->first = node;
		else
			builder->last->next = node;
		builder->last = node;
		return 0;
	}
	struct node *parent = builder->open[builder->depth - 1];
	struct node **key = &builder->key[builder->depth - 1];
	if (parent->kind == NODE_MAPPING && *key == NULL) {
		if (node->kind != NODE_SCALAR)
			return refuse(
			    builder, event, "a key must be a single word");
		*key = node;
		return 0;
	}
	node->key = *key;
	*key = NULL;
	append(parent, node);
	return 0;
}

static struct node *
node_new(
    struct builder *builder, enum node_kind kind, const yaml_event_t *event)
{
	if (++builder->nodes > DOCUMENT_NODES_MAX) {
		(void)refuse(builder, event, "more than 100000 values");
		return NULL;
	}
	struct node *node = arena_alloc(builder->arena, sizeof(*node));
	node->kind = kind;
	node->line = (int)event->start_mark.line + 1;
	node->column = (int)event->start_mark.column + 1;
	return node;
}

static int
check_properties(struct builder *builder, const yaml_event_t *event,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL && !builder->loose)
		return refuse(builder, event,
		    "anchors ('&') and aliases ('*') are not allowed here");
	if (tag != NULL && !builder->loose)
		return refuse(builder, event, "tags ('!') are not allowed");
	if (anchor != NULL && builder->nanchors >= ANCHORS_MAX)
		return refuse(builder, event, "more than 1000 anchors");
	return 0;
}

/* Returns what must be closed when the node ends; NULL without an anchor. */
static struct anchor *
remember(struct builder *builder, const yaml_char_t *name, struct node *node)
{
	if (name == NULL)
		return NULL;
	struct anchor *it = arena_alloc(builder->arena, sizeof(*it));
	it->name = arena_text(builder->arena, (const char *)name);
	it->node = node;
	it->closed = node->kind == NODE_SCALAR;
	it->before = builder->anchors;
	builder->anchors = it;
	builder->nanchors++;
	return it;
}

static int
on_scalar(struct builder *builder, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (check_properties(builder, event, event->data.scalar.anchor,
	        event->data.scalar.tag) == -1)
		return -1;
	if (memchr(text, '\0', len) != NULL)
		return refuse(builder, event, "a text with a NUL in it");
	struct node *node = node_new(builder, NODE_SCALAR, event);
	if (node == NULL)
		return -1;
	node->text = arena_bytes(builder->arena, text, len);
	node->len = len;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	(void)remember(builder, event->data.scalar.anchor, node);
	return place_node(builder, node, event);
}

static int
on_start(struct builder *builder, const yaml_event_t *event,
    enum node_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (check_properties(builder, event, anchor, tag) == -1)
		return -1;
	if (builder->depth == DOCUMENT_DEPTH_MAX)
		return refuse(builder, event, "nested deeper than 64 levels");
	struct node *node = node_new(builder, kind, event);
	if (node == NULL)
		return -1;
	if (place_node(builder, node, event) == -1)
		return -1;
	builder->open_anchor[builder->depth] = remember(builder, anchor, node);
	builder->key[builder->depth] = NULL;
	builder->open[builder->depth++] = node;
	return 0;
}

static void
on_end(struct builder *builder)
{
	assert(builder->depth > 0);
	struct anchor *anchor = builder->open_anchor[--builder->depth];

	if (anchor != NULL)
		anchor->closed = true;
}

/* An alias shares its anchor's children: never copied, so never a bomb. */
static int
on_alias(struct builder *builder, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;

	if (!builder->loose)
		return refuse(builder, event,
		    "anchors ('&') and aliases ('*') are not allowed here");
	struct anchor *it = builder->anchors;
	while (it != NULL && !text_equal(it->name, name))
		it = it->before;
	if (it == NULL || !it->closed)
		return refuse(builder, event,
		    it == NULL ? "an alias without its anchor"
		               : "an alias within its own anchor");
	struct node *node = node_new(builder, it->node->kind, event);
	if (node == NULL)
		return -1;
	int line = node->line, column = node->column;
	*node = *it->node;
	node->line = line;
	node->column = column;
	node->key = node->next = NULL;
	return place_node(builder, node, event);
}

static int
on_event(struct builder *builder, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		builder->anchors = NULL;
		if (builder->first != NULL && !builder->loose)
			return refuse(builder, event,
			    "a second document ('---'): only one is read");
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(builder, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(builder, event, NODE_SEQUENCE,
		    event->data.sequence_start.anchor,
		    event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_start(builder, event, NODE_MAPPING,
		    event->data.mapping_start.anchor,
		    event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		on_end(builder);
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(builder, event);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	UNREACHABLE("an event of libyaml");
}

static void
complain_parser(const yaml_parser_t *parser, struct complaints *complaints)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		complain_at(complaints, 0, 0, "out of memory");
		return;
	}
	complain_at(complaints, (int)parser->problem_mark.line + 1,
	    (int)parser->problem_mark.column + 1, "not YAML: %s%s%s",
	    parser->problem == NULL ? "syntax error" : parser->problem,
	    parser->context == NULL ? "" : " ",
	    parser->context == NULL ? "" : parser->context);
}

static int
build(yaml_parser_t *parser, struct builder *builder)
{
	bool done = false;
	int rc = 0;

	while (rc == 0 && !done) {
		yaml_event_t event;
		if (yaml_parser_parse(parser, &event) == 0) {
			complain_parser(parser, builder->complaints);
			return -1;
		}
		done = event.type == YAML_STREAM_END_EVENT;
		rc = on_event(builder, &event);
		yaml_event_delete(&event);
	}
	return rc;
}

/* `---` with nothing, or comments only, is a plain scalar without text. */
static bool
is_nothing(const struct node *top)
{
	return top == NULL || (top->kind == NODE_SCALAR && top->plain &&
	                          top->len == 0 && top->next == NULL);
}

struct node *
document_parse(const struct buffer *text, unsigned how, struct arena *arena,
    struct complaints *complaints)
{
	struct builder builder = {.arena = arena,
	    .complaints = complaints,
	    .loose = (how & DOCUMENT_LOOSE) != 0};
	yaml_parser_t parser;

	if (check_bytes(text, complaints) == -1)
		return NULL;
	if (yaml_parser_initialize(&parser) == 0) {
		complain_at(complaints, 0, 0, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
	    &parser, (const unsigned char *)text->data, text->len);
	int rc = build(&parser, &builder);
	yaml_parser_delete(&parser);
	if (rc == -1)
		return NULL;
	if (is_nothing(builder.first)) {
		complain_at(complaints, 1, 1,
		    text->len == 0 ? "the file is empty"
		                   : "nothing is declared in this file");
		return NULL;
	}
	return builder.first;
}

/* --- looking at it --- */

static struct node *
get_own(const struct node *mapping, const char *key)
{
	for (struct node *it = mapping->first; it != NULL; it = it->next) {
		if (text_equal(it->key->text, key))
			return it;
	}
	return NULL;
}

struct node *
node_get(const struct node *mapping, const char *key)
{
	if (mapping == NULL || mapping->kind != NODE_MAPPING)
		return NULL;
	struct node *own = get_own(mapping, key);
	if (own != NULL)
		return own;
	const struct node *merge = get_own(mapping, "<<");
	if (merge == NULL)
		return NULL;
	if (merge->kind == NODE_MAPPING)
		return get_own(merge, key);
	for (const struct node *it = node_items(merge); it != NULL;
	     it = it->next) {
		own = it->kind == NODE_MAPPING ? get_own(it, key) : NULL;
		if (own != NULL)
			return own;
	}
	return NULL;
}

const char *
node_text(const struct node *node)
{
	return node != NULL && node->kind == NODE_SCALAR ? node->text : NULL;
}

struct node *
node_items(const struct node *sequence)
{
	return sequence != NULL && sequence->kind == NODE_SEQUENCE
	           ? sequence->first
	           : NULL;
}

static bool
one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* Decimal, octal, hexadecimal and floating point as YAML 1.1 and 1.2 read
 * them together: what either takes for a number is one to somebody. */
static bool
is_number(const char *text)
{
	static const char *const words[] = {
	    ".inf", ".Inf", ".INF", "+.inf", "-.inf", ".nan", ".NaN", ".NAN"};
	const char *p = text + strspn(text, "+-");
	char *end;

	if (one_of(text, words, ARRAY_LEN(words)))
		return true;
	if (p - text > 1 || strpbrk(p, "0123456789") == NULL)
		return false;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o' || p[1] == 'b'))
		return p[2] != '\0' &&
		       p[2 + strspn(p + 2, "0123456789abcdefABCDEF_")] == '\0';
	if (p[strspn(p, "0123456789_")] == '\0')
		return p[0] != '_';
	if (p[strspn(p, "0123456789.eE+-")] != '\0')
		return false;
	(void)strtod(p, &end);
	return *end == '\0';
}

const char *
node_not_text(const struct node *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const bools[] = {"true", "True", "TRUE", "false",
	    "False", "FALSE", "yes", "Yes", "YES", "no", "No", "NO", "on", "On",
	    "ON", "off", "Off", "OFF"};

	if (node->kind != NODE_SCALAR || !node->plain)
		return NULL;
	if (one_of(node->text, nulls, ARRAY_LEN(nulls)))
		return "empty";
	if (one_of(node->text, bools, ARRAY_LEN(bools)))
		return "a boolean";
	return is_number(node->text) ? "a number" : NULL;
}

const char *
node_what(const struct node *node)
{
	if (node->kind == NODE_SEQUENCE)
		return "a list";
	if (node->kind == NODE_MAPPING)
		return "a mapping";
	const char *what = node_not_text(node);
	return what == NULL ? "text" : what;
}
