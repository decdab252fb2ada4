/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_REPORT_H
#define REEVE_CHECKS_REPORT_H

#include "base/arena.h"
#include "base/base.h"

#include <stdarg.h>

#include "base/buffer.h"
#include "base/exitcode.h"
#include "base/finding.h"
#include "base/secret.h"
#include "checks/finding_table.h"

/*
 * What a command has to say: findings with their labels, what was looked at,
 * what was not, the verdict and the exit code. Everything lives in the arena
 * of its caller. Every text in it has passed the redactor: a secret may stand
 * in a path, a host or a query of the manifest, and in a library's words about
 * it.
 */

enum verdict {
	VERDICT_INCONCLUSIVE = 0, /* "inconclusive" */
	VERDICT_PASSED,
	VERDICT_FAILED,
	VERDICT_EMPTY, /* nothing was checked */
};
const char *verdict_name(enum verdict verdict);

struct label {
	enum label_kind kind;
	const char *value;
	bool cause; /* what it may follow from, not what follows from it */
};

struct report_finding {
	struct finding finding;
	const struct finding_row *row;
	struct label *labels;
	size_t nlabels;
	size_t evidence_left_out;
	bool confirmed; /* seen by a probe, not only concluded */
};

/* Who answered: so that a green report of the wrong server is seen. */
struct report_target {
	const char *what;     /* "queue jobs" */
	const char *target;   /* redacted URL or path */
	const char *identity; /* run_id, system identifier; "" unknown */
};

/* A queue's state in one line, for the head of `diagnose`. */
struct report_queue {
	const char *name;
	const char *text; /* "37 waiting, oldest 41 min, 0 consumers" */
	bool backlog;     /* known to hold jobs that wait */
};

struct report_coverage {
	size_t checks; /* findings with any result */
	size_t passed, failed, unknown, blocked, skipped, waived;
	size_t stages_declared, stages_reached; /* of the smokes */
	size_t workers, queues;
};

struct report {
	struct arena *arena;
	const char *command; /* "check" */
	const char *name;    /* of the system; NULL: none declared */
	const char *file;
	const char *digest; /* SHA-256 of the declaration, or NULL */
	const char *vantage;
	const char *version;
	/* -f, where it isn't what a command takes by itself: belongs to every
	 * command that is suggested */
	const char *manifest;
	/* borrowed; what it knows is in no text that is set below. NULL: the
	 * texts are as they come */
	const struct redactor *redactor;
	int64_t started_wall_ms, finished_wall_ms;

	/* policy: set by the command between report_init and the first run */
	enum severity fail_on; /* SEVERITY_ERROR */
	bool strict;           /* only warnings: exit 2 */
	bool deadline_hit;     /* the whole run's: exit 124 */

	unsigned stages_run;              /* STAGE_… that were judged */
	struct report_finding **findings; /* in the order of judging */
	size_t nfindings, findings_max;
	/* Indices of the failed findings as people should read them: roots in
	 * the order of the ranking, unexplained, latent, explained. */
	uint32_t *ranked;
	size_t nranked;

	struct report_target *targets;
	size_t ntargets, targets_max;
	struct report_queue *queues;
	size_t nqueues, queues_max;
	const char **not_checked;
	size_t nnot_checked, not_checked_max;
	struct report_coverage coverage;
	enum verdict verdict;
	int exit; /* enum exit_code */
};

/* Formatted into the report's arena, whole. */
const char *report_format_v(struct report *report, const char *fmt,
    va_list args) __attribute__((format(printf, 2, 0)));

/* `command` and `version` are borrowed. fail_on is SEVERITY_ERROR. */
void report_init(struct report *report, struct arena *arena,
    const char *command, const char *version);

/* What a finding is about; NULL: not about one. Its text becomes the finding's
 * subject ("worker a env DATABASE_URL", "queue jobs"); its members, and what
 * report_label adds, are the labels. */
struct subject {
	const char *worker, *producer, *queue, *env, *check, *smoke, *stage;
	const char *other; /* instead: a text of its own ("configuration") */
};

/* A new finding with result unknown. A number that the table doesn't know is a
 * bug and asserts. */
struct report_finding *report_add(
    struct report *report, unsigned number, const struct subject *subject);
void report_label(struct report *report, struct report_finding *finding,
    enum label_kind kind, const char *value);
/* A label by which others explain this finding, and it explains none. */
void report_label_cause(struct report *report, struct report_finding *finding,
    enum label_kind kind, const char *value);
/* Each sets result and summary; `severity` stays the row's. */
void report_set(struct report *report, struct report_finding *finding,
    enum result result, const char *fmt, ...) PRINTF_LIKE(4, 5);
void report_set_v(struct report *report, struct report_finding *finding,
    enum result result, const char *fmt, va_list args)
    __attribute__((format(printf, 4, 0)));
/* `evidence`'s texts are borrowed: of the arena, or constants. When there are
 * more than FINDING_EVIDENCE_MAX the last one says how many were left out. */
void report_evidence(struct report *report, struct report_finding *finding,
    const struct evidence *evidence);
void report_fix(struct report *report, struct report_finding *finding,
    const char *fix, const char *command, const char *verify);
void report_not_checked(struct report *report, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
void report_target(struct report *report, const char *what, const char *target,
    const char *identity);
void report_queue(
    struct report *report, const char *name, const char *text, bool backlog);

/* Ranks causes, counts, and computes the verdict and the exit code. Call it
 * once all findings are there (again after more): checks_run() does not. A
 * report without any judged finding gets RV911. */
void report_conclude(struct report *report);

/* --- writers ---------------------------------------------------------------
 */
struct report_style {
	bool color;
	bool verbose; /* everything: passed ones, explained ones, evidence */
	bool quiet;   /* text: only when it didn't pass */
};
typedef void report_write_fn(const struct report *report,
    const struct report_style *style, struct buffer *out);
struct report_writer {
	const char *format; /* "text", "json", "junit" */
	report_write_fn *write;
};
extern const struct report_writer report_writers[]; /* ends with NULL format */
const struct report_writer *report_writer_find(const char *format);

report_write_fn report_text;
report_write_fn report_json;
report_write_fn report_junit;

#endif
