/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_KEEP_H
#define REEVE_SUPERVISOR_INIT_KEEP_H

#include "base/base.h"
#include "base/err.h"
#include "worker/spec.h"

/*
 * The last lines of each worker instance (a worker's replica, over all its
 * restarts): a ring of fixed size each, the oldest line gives way. All memory
 * is mapped at the start and touched only when used.
 *
 * A place in a ring is an absolute offset that only grows; one that is below
 * the instance's `tail` has been overwritten.
 */
struct keep_line {
	uint32_t len;   /* of the text, without newline */
	uint32_t flags; /* enum logs_record_flags: LOGS_PARTIAL */
	uint32_t stream;
	uint32_t padding;
	uint64_t order;  /* over all instances: who came first */
	uint64_t number; /* within the instance, from 0, without gaps */
	uint64_t generation;
	int64_t pid;
	int64_t wall_ms;
};

struct keep_instance {
	char worker[WORKER_NAME_MAX + 1];
	uint32_t replica;
	uint32_t slot, incarnation; /* the init's name for it */
	int64_t pid, previous;      /* its last two processes; 0: none */
	uint64_t tail, head;        /* kept lines are at [tail, head) */
	uint64_t first;             /* number of the line at `tail` */
	uint64_t next;              /* number of the line that comes */
};

struct keep {
	struct keep_instance *instances;
	char *rings;
	uint32_t count, max;
	uint32_t ring_bytes; /* a power of two */
	uint64_t order;
};

/* Maps for `max` instances; takes smaller rings, and says so in `ring_bytes`,
 * when there isn't address space for what was asked. */
int keep_init(struct keep *keep, uint32_t max, uint32_t ring_bytes,
    struct err *err) MUST_CHECK;
void keep_fini(struct keep *keep);
/* That of `slot`, which is < max. When another instance had the slot before,
 * its lines are forgotten. */
struct keep_instance *keep_instance(struct keep *keep, uint32_t slot,
    uint32_t incarnation, const char *worker, uint32_t replica);
/* Another process of it begins to write. */
void keep_started(struct keep_instance *instance, int64_t pid);
/* Keeps a line, and `lines_max` in all; sets its order and number. Longer than
 * the ring, or none may be kept: it isn't. */
void keep_add(struct keep *keep, struct keep_instance *instance,
    uint32_t lines_max, struct keep_line *line, const char *text);
/* Of how many of the last lines of `bytes`, which ends with one, keep_add()
 * would leave something; they begin at `*ret_at`. */
uint32_t keep_last(const struct keep *keep, uint32_t lines_max,
    const char *bytes, size_t len, size_t *ret_at);
/* As `count` keep_add()s of lines that are pushed out again at once. */
void keep_skip(
    struct keep *keep, struct keep_instance *instance, uint32_t count);
/* Reads the line at `*at` (moved up to `tail` when that was overwritten) and
 * moves `*at` behind it. false: none is there yet. `text` may be NULL. */
bool keep_read(const struct keep *keep, const struct keep_instance *instance,
    uint64_t *at, struct keep_line *ret_line, char *ret_text);

#endif
