/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_COMMAND_H
#define REEVE_PROBES_COMMAND_H

#include "base/base.h"
#include "base/buffer.h"
#include "probes/look.h"

/*
 * A command within a look. It runs in the prober's own process group, so that
 * whatever it leaves behind ends with the prober; nothing on its stdin, output
 * (both streams) bounded.
 */
enum {
	COMMAND_ARGV_MAX = 256
};

/* The request's list of words under `key`, $(CANARY) replaced, NULL at its
 * end; room for `most`. -1: the answer is set. */
int command_argv(
    struct look *look, const char *key, size_t most, char **argv) MUST_CHECK;
/* Runs it to its end. -1: it didn't run or end, the answer is set. `out` is
 * initialised in either case, at most `most` bytes: the caller wipes it. */
int command_run(struct look *look, char *const *argv, size_t most,
    struct buffer *out, int *ret_status) MUST_CHECK;

#endif
