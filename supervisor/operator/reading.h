/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_READING_H
#define REEVE_SUPERVISOR_OPERATOR_READING_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "supervisor/operator/helper.h"
#include "supervisor/operator/intent.h"

/*
 * One reading of a manifest and of its secrets, by a child with a deadline
 * (`reeve-tool read`): a `command:` that hangs or a directory on a dead network
 * disk holds nobody but it. The child hands over bytes (manifests/inputs.h);
 * what they mean is found out here.
 *
 * One JSON request on its stdin:
 * {"manifest":PATH,"secrets":["NAME=dir:PATH"…]}.
 */
struct reading;

/* It is over: `intent` is the callee's; NULL: refused, `why` has every error,
 * one a line. The reading is freed after this. */
typedef void reading_done_fn(
    void *arg, struct intent *intent, const struct buffer *why);

struct reading_of {
	const char *path;
	const char *const *environment; /* NULL-terminated, as the next */
	const char *const *secrets;     /* --secret, as given; or NULL */
	const struct fingerprint_key *key;
	uint32_t max_workers; /* that the init has room for; 0: not known */
};

/* What `of` points to must live until it is over. NULL: no child could be
 * started, and `done` won't be called. */
struct reading *reading_start(struct loop *loop, const struct reading_of *of,
    reading_done_fn *done, void *arg, struct err *err);
/* Ends it without calling `done`; accepts NULL. */
void reading_cancel(struct reading *reading);

/* The child; returns its exit code. */
int reading_serve(int in, int out);

#endif
