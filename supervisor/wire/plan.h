/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_PLAN_H
#define REEVE_SUPERVISOR_WIRE_PLAN_H

#include "base/base.h"
#include "base/err.h"
#include "worker/spec.h"

#include <sys/types.h>

/*
 * The plan: everything that the init needs to run the workers, as one block of
 * bytes. Written by the tool (plan_encode.h), carried in a sealed memfd or in
 * a file, copied by the init into a mapping of its own, validated whole, and
 * only then used. docs/design/plan.md describes the bytes.
 *
 * All numbers are little endian. A reference is {offset, length} from the
 * start of the plan. Lists of texts are arrays of 8-byte slots, so that a
 * validated copy can be turned in place into arrays of pointers for execve:
 * nothing is allocated for a start.
 */
enum {
	PLAN_VERSION = 1,
	PLAN_BYTES_MAX = 256 * 1024 * 1024,
	PLAN_WORKERS_MAX = 10000,
	PLAN_LIST_MAX = 65536,       /* texts of one list */
	PLAN_TEXT_MAX = 1024 * 1024, /* bytes of one text */
	PLAN_NAME_MAX = WORKER_NAME_MAX,
	PLAN_GROUPS_MAX = 1024,
	PLAN_PORTS_MAX = 64,
	PLAN_RANK_MAX = 255, /* workers in a chain of dependencies */
};

enum plan_second_term {
	SECOND_TERM_IGNORE = 0,
	SECOND_TERM_HASTEN, /* the rest of the budget is halved */
	SECOND_TERM_KILL,
};

enum plan_exit_code {
	EXIT_CODE_WORST = 0, /* the highest code of a worker that finished */
	EXIT_CODE_FIRST,     /* the first that wasn't 0 */
	EXIT_CODE_FIXED,     /* 70 when any failed */
};

/* supervisor.* of the manifest (product.md, decisions.md 12). */
struct plan_settings {
	const char *name;       /* the system's; names socket and state */
	int64_t grace_ms;       /* the container's budget; -1: none known */
	int32_t exit_on_term;   /* 0 or 143 */
	uint32_t second_term;   /* enum plan_second_term */
	uint32_t exit_code;     /* enum plan_exit_code */
	uint32_t liveness_port; /* 0: none */
	uint32_t logs; /* enum logs_format: of the logger's own lines */
	/* group whose members may use the control socket, as number; -1 */
	int64_t control_gid;
	bool log_json; /* the init's own log lines */
	/* plain SHA-256 of the manifest without secrets, for reports */
	uint8_t manifest_digest[32];
};

/* The init's side. ------------------------------------------------------ */

struct plan {
	uint8_t *bytes; /* private mapping; NULL: no plan */
	size_t size;    /* of the plan */
	size_t mapped;
	uint32_t nworkers;
	uint64_t number; /* given by the init when it applies it: 1, 2, … */
	int fd;          /* a memfd of the plan as it came, or -1 */
};

#define PLAN_INIT ((struct plan){.fd = -1})

/*
 * Copies a plan out of `fd` into an own mapping, validates it whole and turns
 * its references into pointers. `sealed`: requires a memfd with all seals (a
 * plan that came over a socket); else any regular file. On success `ret` owns
 * the mapping and a CLOEXEC duplicate of `fd` (a memfd copy for a file).
 * Never allocates but for the mapping.
 */
int plan_open(
    int fd, bool sealed, struct plan *ret, struct err *err) MUST_CHECK;
/* Validates and relocates `size` bytes in place, at an 8-byte aligned address;
 * for plan_open and tests. */
int plan_decode(
    void *bytes, size_t size, struct plan *ret, struct err *err) MUST_CHECK;
void plan_close(struct plan *plan); /* wipes (it may hold secrets) */

void plan_settings_of(const struct plan *plan, struct plan_settings *ret);
/* Fills a view whose pointers lie in the plan; cheap. index < nworkers. */
void plan_worker(
    const struct plan *plan, uint32_t index, struct worker_spec *ret);
const char *plan_worker_name(const struct plan *plan, uint32_t index);
/* -1 when there is no such worker. */
int32_t plan_worker_find(const struct plan *plan, const char *name);

#endif
