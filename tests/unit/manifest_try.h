/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_UNIT_MANIFEST_TRY_H
#define REEVE_TESTS_UNIT_MANIFEST_TRY_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/text.h"
#include "manifests/declared.h"

/*
 * A manifest's text, loaded from a file in a directory of its own. For the
 * unit tests of manifests/ only.
 */
enum {
	TRY_ARENA_MAX = 256 * 1024 * 1024
};

#define TRY_HEAD "apiVersion: reeve/v1\nname: a\n"

struct
try {
	struct arena arena;
	char dir[64];
	char path[96];
	struct declared *declared; /* NULL: refused */
	struct manifest_errors errors;
	struct err err;
};

static inline void
try_file(const struct try *try, const char *name, const void *bytes, size_t len)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", try->dir, name);
	/* Not truncated in place: ext4 would flush it to disk each time. */
	(void)unlink(path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline void
try_begin(struct try *try)
{
	*try = (struct try){.err = ERR_INIT};
	arena_init(&try->arena, TRY_ARENA_MAX);
	(void)snprintf(try->dir, sizeof(try->dir), "/tmp/reeve-try-XXXXXX");
	assert_non_null(mkdtemp(try->dir));
	(void)snprintf(try->path, sizeof(try->path), "%s/reeve.yaml", try->dir);
}

static inline void
try_load(
    struct try *try, const char *text, const struct declared_options *options)
{
	static const char *const environment[] = {
	    "PATH=/usr/bin:/bin", "HOME=/root", NULL};
	static const struct declared_options usual = {.environ = environment};

	try_file(try, "reeve.yaml", text, strlen(text));
	try->declared = NULL;
	int rc = declared_load(try->path, options == NULL ? &usual : options,
	    &try->arena, NULL, &try->declared, &try->errors, &try->err);
	assert_int_equal(rc, try->declared == NULL ? -1 : 0);
}

static inline void
try_end(struct try *try)
{
	static const char *const names[] = {"reeve.yaml", "a.env", "secret/A",
	    "secret/B", "secret/..data/A", "secret/..data/B", "secret/..data",
	    "secret/sub", "secret", "run.sh", "ran"};
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", try->dir, names[i]);
		if (unlink(path) == -1)
			(void)rmdir(path);
	}
	(void)rmdir(try->dir);
	arena_fini(&try->arena);
}

/* Prints what is wrong when it should be right. */
static inline void
try_good(struct try *try)
{
	for (size_t i = 0; i < try->errors.count; i++)
		print_error("%d:%d: %s\n", try->errors.errors[i].place.line,
		    try->errors.errors[i].place.column,
		    try->errors.errors[i].text);
	if (try->declared == NULL)
		print_error("%s\n", try->err.text);
	assert_non_null(try->declared);
}

#endif
