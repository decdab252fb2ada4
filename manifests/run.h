/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_RUN_H
#define REEVE_MANIFESTS_RUN_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"

/*
 * Runs the `command:` of a secret: its own process group, no shell, nothing on
 * stdin, killed at the deadline. Whatever it prints is bounded.
 */
struct run_options {
	const char *const *argv;    /* NULL-terminated; argv[0] by PATH */
	const char *const *environ; /* NULL: this process' own */
	int64_t timeout_ms;
};

/* Fills `out` with its stdout when it exits with 0. Else -1; `complaint` then
 * has what it wrote to stderr, which may hold a secret. Both initialised by
 * the caller. */
int run_command(const struct run_options *options, struct buffer *out,
    struct buffer *complaint, struct err *err) MUST_CHECK;

#endif
