/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_RULES_H
#define REEVE_SUPERVISOR_OPERATOR_RULES_H

#include "base/arena.h"
#include "base/base.h"
#include "base/finding.h"
#include "supervisor/operator/alerts.h"
#include "supervisor/operator/queues.h"

/*
 * What thresholds say of queues and workers: the objectives (objectives.c) and
 * the rules of alertPresets.default (preset.c). They are judged by the history,
 * at most once per round of looks; in between the conditions that they came to
 * hold. Each rule says PASSED, FAILED or UNKNOWN of each subject, so that a
 * rule that can't be judged isn't taken for one that is fine.
 */
struct operator_core;

struct rule_state {
	const char *rule;    /* "depth", "no-consumer"; a constant */
	const char *subject; /* "queue jobs" */
	enum result result;
	const char *why; /* UNKNOWN: what isn't known; else NULL */
};

struct rules {
	struct arena arena; /* of what is below; made anew each time */
	struct alert_condition *conditions;
	size_t nconditions;
	struct rule_state *states;
	size_t nstates;
	int64_t due_ms; /* monotonic: judged again from then on */
};

/* One queue as it is judged. */
struct rule_look {
	struct operator_core *op;
	struct rules *rules;
	const struct declared_queue *queue;
	const char *subject;
	struct queue_view view;
	int64_t now_wall_ms;
};

void rules_init(struct rules *rules);
void rules_fini(struct rules *rules);
/* Judges if it is time to, and hands over every condition. Returns when it is
 * time again; CLOCK_NEVER: nothing is declared. */
int64_t rules_judge(struct operator_core *op, int64_t now_ms,
    void (*fn)(void *, const struct alert_condition *), void *arg);
/* Elements of the array `rules` of reeve.status/1. */
void rules_write(const struct rules *rules, struct jsonw *json);

/* --- for those that judge --- */
void rules_say(struct rules *rules, const char *rule, const char *subject,
    enum result result, const char *why);
void rules_add(struct rules *rules, const struct alert_condition *condition);
/* Whether a look has it; else says UNKNOWN and why. */
bool rules_known(const struct rule_look *look, const char *rule,
    const struct queue_number *number);
/* "since 2026-…": a time, for evidence */
const char *rules_time(struct rules *rules, int64_t wall_ms);
const char *rules_age(struct rules *rules, int64_t ms);

/* --- objectives.c --- */
bool objectives_any(const struct declared_queue *queue);
void objectives_judge(const struct rule_look *look);

/* --- preset.c --- */
void preset_judge_queue(const struct rule_look *look);
void preset_judge_workers(
    struct operator_core *op, struct rules *rules, int64_t now_ms);

#endif
