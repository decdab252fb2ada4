/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_FINDING_TABLE_H
#define REEVE_CHECKS_FINDING_TABLE_H

#include "base/base.h"
#include "base/finding.h"

/*
 * The findings: one row each in checks/findings.def. A row says what it is
 * called, how bad it is, when it is looked for, what must hold before it can
 * be judged, and what follows from it. Ids are stable and never reused.
 */

/* When a row is looked for; the sets are or-ed together. */
enum stage {
	STAGE_LINT = 1 << 0,     /* offline: from the declaration alone */
	STAGE_CHECK = 1 << 1,    /* preflight: declared + observed */
	STAGE_SMOKE = 1 << 2,    /* a canary's travel */
	STAGE_GATE = 1 << 3,     /* only in the gate */
	STAGE_DIAGNOSE = 1 << 4, /* symptoms: why is it not draining? */
	STAGE_ALERT = 1 << 5,    /* over time, by the operator; nothing here
	                            judges it */
};

/* How deep a cause lies: of two that explain each other the deeper is it. */
enum layer {
	LAYER_HOST,
	LAYER_NETWORK,
	LAYER_NAME,
	LAYER_CONFIG,
	LAYER_SCHEMA,
	LAYER_PROCESS,
	LAYER_BROKER,
	LAYER_JOB,
	LAYER_END_TO_END,
	LAYER_METRIC,
};

/* What a finding's subject is about. An edge between two findings counts only
 * where the labels that it names are equal on both sides; one that is missing
 * on a side is never equal. */
enum label_kind {
	LABEL_WORKER = 1 << 0,
	LABEL_QUEUE = 1 << 1,
	LABEL_ENV = 1 << 2,
	LABEL_CHECK = 1 << 3,
	LABEL_SMOKE = 1 << 4,
	LABEL_STAGE = 1 << 5,
	LABEL_PRODUCER = 1 << 6,
	LABEL_ENDPOINT = 1 << 7, /* host:port or host of a target */
};

struct row_edge {
	unsigned id;
	unsigned guard; /* LABEL_… that must be equal */
};

struct check;
/* Judges one row for every subject that it has. */
typedef void check_fn(struct check *check);

struct finding_row {
	unsigned number;
	const char *id; /* "RV301" */
	const char *slug;
	const char *title; /* one line, for lists */
	enum severity severity;
	unsigned stages;
	enum layer layer;
	bool required; /* unknown makes the run inconclusive */
	bool writes;   /* looking changes something */
	check_fn *run; /* NULL: made by a command, not by checks_run */
	/* Ids that must have passed for the same subject, else it is blocked;
	 * ends with 0. */
	const unsigned *needs;
	/* What follows from it; ends with id 0. */
	const struct row_edge *explains;
};

extern const struct finding_row finding_rows[];
extern const size_t finding_rows_count;

/* By "RV301", "rv301", "301" or the slug; NULL: no such finding. */
const struct finding_row *finding_row_find(const char *id_or_slug);
const struct finding_row *finding_row_number(unsigned number);

#endif
