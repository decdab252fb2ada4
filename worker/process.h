/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_PROCESS_H
#define REEVE_WORKER_PROCESS_H

#include "base/base.h"

/*
 * What a worker's process is given between clone and exec beside its ids:
 * limits, priorities, CPUs, capabilities. Numbers without pointers or gaps: a
 * plan carries this struct as it stands, and its bytes are part of the
 * configuration's identity. All zero: everything as the init has it.
 */

/* ROW(id, name): RLIMIT_<id>, and the key of the manifest's `limits`. */
#define WORKER_LIMIT_ROWS(ROW)        \
	ROW(AS, "as")                 \
	ROW(CORE, "core")             \
	ROW(CPU, "cpu")               \
	ROW(DATA, "data")             \
	ROW(FSIZE, "fsize")           \
	ROW(LOCKS, "locks")           \
	ROW(MEMLOCK, "memlock")       \
	ROW(MSGQUEUE, "msgqueue")     \
	ROW(NICE, "nice")             \
	ROW(NOFILE, "nofile")         \
	ROW(NPROC, "nproc")           \
	ROW(RSS, "rss")               \
	ROW(RTPRIO, "rtprio")         \
	ROW(RTTIME, "rttime")         \
	ROW(SIGPENDING, "sigpending") \
	ROW(STACK, "stack")

enum worker_limit_id {
#define WORKER_LIMIT_ID(id, name) WORKER_LIMIT_##id,
	WORKER_LIMIT_ROWS(WORKER_LIMIT_ID)
#undef WORKER_LIMIT_ID
	WORKER_LIMITS
};

#define WORKER_UNLIMITED UINT64_MAX /* RLIM_INFINITY */

struct worker_limit {
	uint64_t soft, hard;
};

enum worker_scheduling {
	SCHEDULING_OTHER,
	SCHEDULING_BATCH,
	SCHEDULING_IDLE,
	SCHEDULINGS
};

/* As the kernel numbers them. */
enum worker_io_class {
	IO_CLASS_NONE,
	IO_CLASS_REALTIME,
	IO_CLASS_BEST_EFFORT,
	IO_CLASS_IDLE,
	IO_CLASSES
};

/* Which of the following were declared. */
enum {
	PROCESS_NICE = 1 << 0,
	PROCESS_SCHEDULING = 1 << 1,
	PROCESS_IO = 1 << 2,
	PROCESS_OOM = 1 << 3,
	PROCESS_CPUS = 1 << 4,
	PROCESS_CAPABILITIES = 1 << 5,
	PROCESS_ALL = (1 << 6) - 1,
};

enum {
	WORKER_CPUS_MAX = 1024,
	WORKER_CPU_WORDS = WORKER_CPUS_MAX / 64,
	WORKER_IO_LEVELS = 8,
	WORKER_NICE_MIN = -20,
	WORKER_NICE_MAX = 19,
	WORKER_OOM_MAX = 1000, /* and its negative */
};

struct worker_process {
	uint32_t declared; /* PROCESS_… */
	uint32_t limited;  /* bit i: limits[i] was declared */
	struct worker_limit limits[WORKER_LIMITS];
	int32_t nice;
	uint32_t scheduling; /* enum worker_scheduling */
	uint32_t io_class;   /* enum worker_io_class */
	uint32_t io_level;   /* 0 (first) to 7 */
	int32_t oom_score_adj;
	uint32_t zero;
	uint64_t cpus[WORKER_CPU_WORDS]; /* bit of each that it may run on */
	/* bit of each capability; all bits: what the init has, or all */
	uint64_t cap_add, cap_drop;
};

/* "nofile" */
const char *worker_limit_name(enum worker_limit_id id);
/* WORKER_LIMITS: there is none of that name. */
enum worker_limit_id worker_limit_find(const char *name);

#endif
