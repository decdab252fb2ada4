/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_FINDING_H
#define REEVE_BASE_FINDING_H

#include "base/arena.h"
#include "base/base.h"

/*
 * The vocabulary of verdicts. "I could not look" is the zero value and never
 * counts as passed.
 */
enum result {
	RESULT_UNKNOWN = 0, /* could not look, or not set */
	RESULT_PASSED,
	RESULT_FAILED,
	RESULT_BLOCKED, /* a precondition failed or is unknown */
	RESULT_SKIPPED, /* on purpose, with the reason */
	RESULT_WAIVED,  /* failed, and somebody answers for it until a date */
};
enum severity {
	SEVERITY_INFO,
	SEVERITY_WARNING,
	SEVERITY_ERROR,
	SEVERITY_CRITICAL
};
/* What a failed finding is to the others; set by the ranking. */
enum role {
	ROLE_NONE,
	ROLE_ROOT,
	ROLE_EXPLAINED,
	ROLE_LATENT,
	ROLE_UNEXPLAINED
};

const char *result_name(enum result result);       /* "unknown", "passed"… */
const char *severity_name(enum severity severity); /* "info"… */
const char *role_name(enum role role);             /* "root"…; NONE: "" */

/* One thing that was seen. Never a secret. All borrowed from the report's
 * arena. */
struct evidence {
	const char *source;   /* "redis 10.0.0.5:6379 db0", "reeve.yaml:31" */
	int64_t at_wall_ms;   /* when it was seen; 0: not a point in time */
	const char *observed; /* what was seen, one line */
	const char *expected; /* NULL: says itself */
	const char *scope;    /* of negative evidence: where was looked */
};

enum {
	FINDING_EVIDENCE_MAX = 16
};

struct finding {
	const char *id;   /* "RV301": static, of the table */
	const char *slug; /* "component-not-deployed" */
	enum result result;
	enum severity severity;
	enum role role;
	const char *subject; /* "worker fileprocess", "queue jobs" */
	const char *summary; /* one line; for unknown and blocked: why */
	struct evidence evidence[FINDING_EVIDENCE_MAX];
	size_t nevidence;
	const char *fix;         /* text; NULL: see `reeve explain` */
	const char *fix_command; /* NULL: none */
	const char *fix_patch;
	const char *fix_verify; /* the command that proves the fix */
	/* indices into the report of the findings that follow from this one */
	const uint32_t *explains;
	size_t nexplains;
	bool required; /* unknown makes the run inconclusive */
	bool writes;   /* impact of looking: rw */
	int64_t elapsed_ms;
	const char *waiver; /* who, why, until; NULL: none */
};

#endif
