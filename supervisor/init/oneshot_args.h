/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_ONESHOT_ARGS_H
#define REEVE_SUPERVISOR_INIT_ONESHOT_ARGS_H

#include "base/base.h"

#include <signal.h>

#include "base/err.h"

/*
 * The options of `reeve run … -- CMD ARG…`: those of tini 0.19 and dumb-init
 * 1.2.5 with their meaning, spelled as getopt takes them (-vv, -sg, -e143,
 * --rewrite=15:3), and our own --grace. Their environment variables are not
 * read: what is in an image's ENV must not change what its ENTRYPOINT says.
 */

enum {
	ONESHOT_CODES = 256
};

struct oneshot_args {
	char **command;   /* CMD and its arguments, ends with NULL */
	bool to_group;    /* -g */
	bool to_one;      /* -c: said; it is what happens without -g */
	unsigned verbose; /* how many -v */
	bool say_reaped;  /* -w, or the second -v */
	int64_t grace_ms; /* --grace */
	int parent_death; /* -p; 0: nothing */
	bool as_zero[ONESHOT_CODES]; /* -e */
	uint8_t sent_as[NSIG];       /* -r: by signal received; 0: dropped */
};

/* `argv` are the arguments after "run", with "--" and a command among them.
 * -1: ERR_INPUT, which says what would be right; `ret` is undefined then. */
int oneshot_args_read(int argc, char *argv[], struct oneshot_args *ret,
    struct err *err) MUST_CHECK;

/* An option that stands before a command and nowhere else: whoever writes it
 * means one, also where the "--" is missing. */
bool oneshot_args_alone(const char *arg);

#endif
