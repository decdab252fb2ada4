/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_COMPLAINTS_H
#define REEVE_MANIFESTS_COMPLAINTS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "manifests/declared.h"
#include "manifests/document.h"

/*
 * Everything that is wrong with one file, collected: a reader that stops at
 * the first error makes people run it ten times.
 */
enum {
	COMPLAINTS_MAX = 500
};

struct complaints {
	struct arena *arena;
	const char *file;
	struct manifest_error *list;
	size_t count, cap, dropped;
};

void complaints_init(
    struct complaints *complaints, struct arena *arena, const char *file);
void complain_at(struct complaints *complaints, int line, int column,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
void complain(struct complaints *complaints, const struct node *node,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Sorted by place; `ret` may be NULL. Returns -1 if there are any. */
int complaints_done(
    struct complaints *complaints, struct manifest_errors *ret) MUST_CHECK;

/* "a, b or c"; `words` NULL-terminated. */
const char *words_listed(struct arena *arena, const char *const *words);

#endif
