/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_SOURCE_H
#define REEVE_MANIFESTS_SOURCE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "manifests/declared.h"
#include "manifests/document.h"

/*
 * A secret or a config, read: keys with the exact bytes of their values. What
 * can't be read is recorded with the reason, and is nobody's error here.
 */
struct source_value {
	const char *key;
	const char *value; /* NULL: see why */
	size_t len;
	const char *why;
};

struct source {
	struct declared_source *declared;
	enum absence absence;        /* of every key, when it isn't readable */
	struct source_value *values; /* sorted by key */
	size_t count;
};

struct source_reader {
	struct arena *arena;
	struct redactor *redactor; /* NULL: none */
	const struct declared_options *options;
};

/* Where to read from; exactly one is not NULL. */
struct source_from {
	const char *dir, *env_file;
	const char *const *command; /* NULL-terminated */
	const struct node *data;
	const char *env_prefix; /* --secret NAME=env:PREFIX */
};

/* `source->declared` has its name, place and whether it is secret; the rest is
 * filled here. */
void source_read(const struct source_reader *reader,
    const struct source_from *from, struct source *source);
/* NULL: no such key. */
const struct source_value *source_find(
    const struct source *source, const char *key);

#endif
