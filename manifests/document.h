/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_DOCUMENT_H
#define REEVE_MANIFESTS_DOCUMENT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"

/*
 * YAML from outside as a tree in which every value knows its place, within
 * stated limits whatever the text is: built from libyaml's events, so that
 * depth and number are counted before anything is kept. Means nothing yet.
 */
enum {
	DOCUMENT_BYTES_MAX = 1024 * 1024,
	DOCUMENT_DEPTH_MAX = 64,
	DOCUMENT_NODES_MAX = 100000,
};

enum node_kind {
	NODE_SCALAR,
	NODE_SEQUENCE,
	NODE_MAPPING
};

struct node {
	enum node_kind kind;
	int line, column; /* 1-based */
	/* scalar */
	const char *text; /* holds no NUL */
	size_t len;
	bool plain; /* written without quotes */
	/* sequence, mapping */
	struct node *first, *last;
	size_t count;
	struct node *key;  /* of a mapping's value: its key, a scalar */
	struct node *next; /* sibling; of a top: the next document */
};

enum {
	DOCUMENT_STRICT = 0,
	/* Several documents, and anchors with aliases (shared, not copied). */
	DOCUMENT_LOOSE = 1,
};

struct complaints;

/*
 * Reads a regular file of at most DOCUMENT_BYTES_MAX. A directory, a pipe and
 * a larger file are errors at once, without reading. `text` is initialised
 * here; the caller ends it with buffer_wipe().
 */
int document_file(
    const char *path, struct buffer *text, struct err *err) MUST_CHECK;

/*
 * The tops of the documents in `text`, or NULL: then the reasons are in
 * `complaints`. No document at all is such a reason.
 */
struct node *document_parse(const struct buffer *text, unsigned how,
    struct arena *arena, struct complaints *complaints);

/* The value of `key`; NULL when absent, or when `mapping` is NULL or not a
 * mapping. Follows merge keys (`<<`), which only a loose document has. */
struct node *node_get(const struct node *mapping, const char *key);
/* The text of a scalar, else NULL. */
const char *node_text(const struct node *node);
/* First item of a sequence (walk by `next`); NULL for anything else. */
struct node *node_items(const struct node *sequence);
/* What a plain scalar is to YAML, for messages: "a number", "a boolean",
 * "empty"; NULL when it is text. */
const char *node_not_text(const struct node *node);
/* "a list", "a mapping", "text"…: what stands there. */
const char *node_what(const struct node *node);

#endif
