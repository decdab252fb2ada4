/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_DOTENV_H
#define REEVE_MANIFESTS_DOTENV_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/*
 * Files of `NAME=value` lines: `envFile`, what a `command` prints, Compose's
 * env_file. The rules are stated in docs/manifest.md; nothing is expanded.
 */
struct dotenv_entry {
	const char *name;
	const char *value; /* no NUL within */
	size_t len;
	int line;
};

/* A later line of the same name wins. The error names the line, never its
 * text. */
int dotenv_parse(const char *text, size_t len, struct arena *arena,
    struct dotenv_entry **ret, size_t *ret_count, struct err *err) MUST_CHECK;

#endif
