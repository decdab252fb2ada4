/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_PIDS_H
#define REEVE_PROBES_PIDS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/json_read.h"

/* Processes that somebody knows already, thousands of them at times. Borrowed.
 */
struct pids {
	const int64_t *all; /* ascending; NULL: nobody said */
	size_t count;
};

bool pids_have(const struct pids *pids, int64_t pid);
/* Of a list of numbers in any order; all NULL where the key is absent. */
int pids_read(struct arena *arena, const cJSON *object, const char *key,
    struct pids *ret, struct err *err) MUST_CHECK;

#endif
