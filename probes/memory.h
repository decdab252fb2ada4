/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_MEMORY_H
#define REEVE_PROBES_MEMORY_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

/*
 * What the processes of a session hold in memory, read from /proc. The
 * resident pages (RSS) of several processes count a page that they share once
 * for each; the proportional share (PSS, smaps_rollup) counts it once, but
 * costs a walk of every page table and the right to trace them. So RSS, which
 * is never less, tells who may be above a limit, and PSS who is.
 */
struct memory_session {
	pid_t id;         /* as asked */
	uint64_t rss;     /* of all its processes, bytes; 0: none was seen */
	uint64_t largest; /* RSS of the largest */
	unsigned processes;
};

/* One walk over /proc for all of them; sorts them by `id`. */
int memory_look(
    struct memory_session *sessions, size_t count, struct err *err) MUST_CHECK;
/* The session `id` of those that memory_look filled in, or NULL. */
const struct memory_session *memory_find(
    const struct memory_session *sessions, size_t count, pid_t id);
/* Bytes that the session holds for certain: its PSS, or, where that may not be
 * read, the RSS of its largest process. */
uint64_t memory_certain(const struct memory_session *session);

#endif
