/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "checks/names.h"
#include "checks/rank.h"
#include "checks/report.h"

const char *
verdict_name(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_INCONCLUSIVE:
		return "inconclusive";
	case VERDICT_PASSED:
		return "passed";
	case VERDICT_FAILED:
		return "failed";
	case VERDICT_EMPTY:
		return "empty";
	}
	UNREACHABLE("a verdict that is none");
}

void
report_init(struct report *report, struct arena *arena, const char *command,
    const char *version)
{
	*report = (struct report){
	    .arena = arena,
	    .command = command,
	    .version = version,
	    .fail_on = SEVERITY_ERROR,
	};
}

/* Makes room for one more of `size` bytes in an array of the arena. */
static void *
grown(struct arena *arena, void *array, size_t count, size_t *max, size_t size)
{
	if (count < *max)
		return array;
	size_t wanted = *max == 0 ? 16 : *max * 2;
	char *bigger = arena_array(arena, wanted, size);

	if (count > 0)
		memcpy(bigger, array, count * size);
	*max = wanted;
	return bigger;
}

const char *
report_format_v(struct report *report, const char *fmt, va_list args)
{
	char *text = NULL;
	int len = vasprintf(&text, fmt, args);

	assert(len >= 0 && text != NULL);
	const char *copy = arena_text(report->arena, text);

	free(text);
	return copy;
}

/* The text as it may be shown. */
static const char *
shown(const struct report *report, const char *text)
{
	return report->redactor == NULL
	           ? text
	           : redactor_clean(report->redactor, report->arena, text);
}

static const char *
subject_text(struct arena *arena, const struct subject *subject)
{
	const struct {
		const char *word, *name;
	} parts[] = {
	    {"producer ", subject->producer},
	    {"worker ", subject->worker},
	    {"queue ", subject->queue},
	    {"env ", subject->env},
	    {"check ", subject->check},
	    {"smoke ", subject->smoke},
	    {"stage ", subject->stage},
	};
	const char *text = NULL;

	if (subject->other != NULL)
		return arena_text(arena, subject->other);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].name == NULL)
			continue;
		text = arena_format(arena, "%s%s%s%s", text == NULL ? "" : text,
		    text == NULL ? "" : " ", parts[i].word, parts[i].name);
	}
	assert(text != NULL);
	return text;
}

static void
add_label(struct report *report, struct report_finding *finding,
    enum label_kind kind, const char *value, bool cause)
{
	if (value == NULL || value[0] == '\0')
		return;
	for (size_t i = 0; i < finding->nlabels; i++)
		if (finding->labels[i].kind == kind &&
		    strcmp(finding->labels[i].value, value) == 0)
			return;
	struct label *labels =
	    arena_array(report->arena, finding->nlabels + 1, sizeof(*labels));

	if (finding->nlabels > 0)
		memcpy(labels, finding->labels,
		    finding->nlabels * sizeof(*labels));
	labels[finding->nlabels] =
	    (struct label){kind, arena_text(report->arena, value), cause};
	finding->labels = labels;
	finding->nlabels++;
}

void
report_label(struct report *report, struct report_finding *finding,
    enum label_kind kind, const char *value)
{
	add_label(report, finding, kind, value, false);
}

void
report_label_cause(struct report *report, struct report_finding *finding,
    enum label_kind kind, const char *value)
{
	add_label(report, finding, kind, value, true);
}

struct report_finding *
report_add(
    struct report *report, unsigned number, const struct subject *subject)
{
	const struct finding_row *row = finding_row_number(number);

	assert(row != NULL);
	struct report_finding *finding =
	    arena_alloc(report->arena, sizeof(*finding));

	finding->row = row;
	finding->finding = (struct finding){
	    .id = row->id,
	    .slug = row->slug,
	    .severity = row->severity,
	    .required = row->required,
	    .writes = row->writes,
	    .subject = subject_text(report->arena, subject),
	    .summary = "not judged",
	};
	report_label(report, finding, LABEL_WORKER, subject->worker);
	report_label(report, finding, LABEL_PRODUCER, subject->producer);
	report_label(report, finding, LABEL_QUEUE, subject->queue);
	report_label(report, finding, LABEL_ENV, subject->env);
	report_label(report, finding, LABEL_CHECK, subject->check);
	report_label(report, finding, LABEL_SMOKE, subject->smoke);
	report_label(report, finding, LABEL_STAGE, subject->stage);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	const size_t size = sizeof(*report->findings);

	report->findings = grown(report->arena, report->findings,
	    report->nfindings, &report->findings_max, size);
	report->findings[report->nfindings++] = finding;
	return finding;
}

void
report_set_v(struct report *report, struct report_finding *finding,
    enum result result, const char *fmt, va_list args)
{
	finding->finding.result = result;
	finding->finding.summary =
	    shown(report, report_format_v(report, fmt, args));
}

void
report_set(struct report *report, struct report_finding *finding,
    enum result result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_set_v(report, finding, result, fmt, args);
	va_end(args);
}

void
report_evidence(struct report *report, struct report_finding *finding,
    const struct evidence *evidence)
{
	struct finding *f = &finding->finding;

	if (f->nevidence < FINDING_EVIDENCE_MAX) {
		struct evidence *added = &f->evidence[f->nevidence++];

		*added = *evidence;
		added->source = shown(report, evidence->source);
		added->observed = shown(report, evidence->observed);
		added->expected = shown(report, evidence->expected);
		return;
	}
	finding->evidence_left_out += finding->evidence_left_out == 0 ? 2 : 1;
	f->evidence[FINDING_EVIDENCE_MAX - 1] = (struct evidence){
	    .source = "reeve",
	    .observed = arena_format(
	        report->arena, "and %zu more", finding->evidence_left_out),
	};
}

/* A command of ours as it must be typed to be about this manifest. */
static const char *
with_manifest(const struct report *report, const char *command)
{
	if (report->manifest == NULL || command == NULL ||
	    !text_starts(command, "reeve ") || strstr(command, " -f ") != NULL)
		return command;
	return arena_format(report->arena, "%s -f %s", command,
	    shell_quote(report->arena, report->manifest));
}

void
report_fix(struct report *report, struct report_finding *finding,
    const char *fix, const char *command, const char *verify)
{
	finding->finding.fix = shown(report, fix);
	finding->finding.fix_command =
	    shown(report, with_manifest(report, command));
	finding->finding.fix_verify =
	    shown(report, with_manifest(report, verify));
}

void
report_not_checked(struct report *report, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	const char *text = shown(report, report_format_v(report, fmt, args));

	va_end(args);
	for (size_t i = 0; i < report->nnot_checked; i++)
		if (strcmp(report->not_checked[i], text) == 0)
			return;
	report->not_checked =
	    grown(report->arena, report->not_checked, report->nnot_checked,
	        &report->not_checked_max, sizeof(*report->not_checked));
	report->not_checked[report->nnot_checked++] = text;
}

void
report_target(struct report *report, const char *what, const char *target,
    const char *identity)
{
	for (size_t i = 0; i < report->ntargets; i++)
		if (text_equal(report->targets[i].what, what))
			return;
	report->targets = grown(report->arena, report->targets,
	    report->ntargets, &report->targets_max, sizeof(*report->targets));
	report->targets[report->ntargets++] = (struct report_target){
	    what, shown(report, target), shown(report, identity)};
}

void
report_queue(
    struct report *report, const char *name, const char *text, bool backlog)
{
	struct report_queue queue = {name, shown(report, text), backlog};

	for (size_t i = 0; i < report->nqueues; i++)
		if (text_equal(report->queues[i].name, name)) {
			report->queues[i] = queue;
			return;
		}
	report->queues = grown(report->arena, report->queues, report->nqueues,
	    &report->queues_max, sizeof(*report->queues));
	report->queues[report->nqueues++] = queue;
}

/* --- ranking ---------------------------------------------------------------
 */

/* Are all labels that the guard names equal? A finding may have several values
 * of a kind (a worker's queues): one in common is enough; none on a side is
 * never equal. */
static bool
guard_holds(const struct report_finding *cause,
    const struct report_finding *symptom, unsigned guard)
{
	for (unsigned kind = 1; kind <= guard; kind <<= 1) {
		bool equal = false;

		if ((guard & kind) == 0)
			continue;
		for (size_t a = 0; a < cause->nlabels && !equal; a++)
			for (size_t b = 0; b < symptom->nlabels && !equal; b++)
				equal = !cause->labels[a].cause &&
				        cause->labels[a].kind == kind &&
				        symptom->labels[b].kind == kind &&
				        strcmp(cause->labels[a].value,
				            symptom->labels[b].value) == 0;
		if (!equal)
			return false;
	}
	return true;
}

static bool
is_failed(const struct report_finding *finding)
{
	return finding->finding.result == RESULT_FAILED;
}

/* The findings by row: those of row r are at[first[r]] … at[first[r + 1] - 1].
 */
struct by_row {
	uint32_t *first, *at;
};

static void
group_by_row(const struct report *report, struct by_row *rows)
{
	size_t n = finding_rows_count;

	rows->first = arena_array(report->arena, n + 2, sizeof(uint32_t));
	rows->at =
	    arena_array(report->arena, report->nfindings + 1, sizeof(uint32_t));
	for (size_t i = 0; i < report->nfindings; i++)
		rows->first[report->findings[i]->row - finding_rows + 2]++;
	for (size_t r = 2; r < n + 2; r++)
		rows->first[r] += rows->first[r - 1];
	for (uint32_t i = 0; i < report->nfindings; i++)
		rows->at[rows->first[report->findings[i]->row - finding_rows +
		                     1]++] = i;
}

struct ranking {
	const struct report *report;
	struct arena *arena;
	struct by_row rows;
	uint32_t *failed;  /* indices into the report */
	uint32_t *node_of; /* and back; of failed ones only */
	struct rank rank;
	struct rank_node *nodes;
	struct rank_edge *edges;
	size_t edges_max;
};

/* Did a canary get through although this cause should have stopped it? Then it
 * does not hurt today, however wrong it is. That a queue is short, or a process
 * runs, contradicts nothing. */
static bool
contradicted(const struct ranking *r, const struct report_finding *cause)
{
	for (const struct row_edge *edge = cause->row->explains; edge->id != 0;
	     edge++) {
		const struct finding_row *row = finding_row_number(edge->id);
		size_t number = (size_t)(row - finding_rows);

		if ((row->stages & STAGE_SMOKE) == 0)
			continue;
		for (uint32_t i = r->rows.first[number];
		     i < r->rows.first[number + 1]; i++) {
			const struct report_finding *f =
			    r->report->findings[r->rows.at[i]];

			if (f->finding.result == RESULT_PASSED &&
			    guard_holds(cause, f, edge->guard))
				return true;
		}
	}
	return false;
}

static void
add_edge(struct ranking *r, uint32_t cause, uint32_t symptom)
{
	r->edges = grown(r->arena, r->edges, r->rank.nedges, &r->edges_max,
	    sizeof(*r->edges));
	r->edges[r->rank.nedges++] = (struct rank_edge){cause, symptom};
}

/* Of many findings of one row about one place only the first explains the
 * others: so is `from` the first? */
static bool
is_first_of_its_place(const struct ranking *r,
    const struct report_finding *from, const struct row_edge *edge)
{
	size_t number = (size_t)(from->row - finding_rows);

	for (uint32_t i = r->rows.first[number]; i < r->rows.first[number + 1];
	     i++) {
		const struct report_finding *other =
		    r->report->findings[r->rows.at[i]];

		if (other == from)
			return true;
		if (is_failed(other) && guard_holds(from, other, edge->guard) &&
		    guard_holds(other, from, edge->guard))
			return false;
	}
	return true;
}

static void
add_edges_of(struct ranking *r, uint32_t cause)
{
	const struct report_finding *from =
	    r->report->findings[r->failed[cause]];

	for (const struct row_edge *edge = from->row->explains; edge->id != 0;
	     edge++) {
		const struct finding_row *row = finding_row_number(edge->id);
		size_t number = (size_t)(row - finding_rows);

		if (row == from->row && !is_first_of_its_place(r, from, edge))
			continue;
		for (uint32_t i = r->rows.first[number];
		     i < r->rows.first[number + 1]; i++) {
			uint32_t at = r->rows.at[i];
			const struct report_finding *to =
			    r->report->findings[at];

			if (to != from && is_failed(to) &&
			    guard_holds(from, to, edge->guard))
				add_edge(r, cause, r->node_of[at]);
		}
	}
}

/* What a cause explains, directly, as indices into the report. */
static void
note_explained(struct report *report, const struct ranking *r)
{
	size_t e = 0;

	/* the edges stand in the order of their causes */
	for (size_t i = 0; i < r->rank.nnodes; i++) {
		struct finding *f = &report->findings[r->failed[i]]->finding;
		uint32_t *list = NULL;
		size_t max = 0;

		f->role = r->rank.roles[i];
		f->nexplains = 0;
		for (; e < r->rank.nedges && r->edges[e].cause == i; e++) {
			bool known = false;

			if (r->rank.edge_dropped[e])
				continue;
			uint32_t symptom = r->failed[r->edges[e].symptom];

			for (size_t k = 0; k < f->nexplains && !known; k++)
				known = list[k] == symptom;
			if (known)
				continue;
			list = grown(
			    r->arena, list, f->nexplains, &max, sizeof(*list));
			list[f->nexplains++] = symptom;
		}
		f->explains = list;
	}
}

static void
rank_findings(struct report *report)
{
	struct ranking r = {.report = report, .arena = report->arena};
	uint32_t nfailed = 0;

	group_by_row(report, &r.rows);
	r.failed = arena_array(
	    report->arena, report->nfindings + 1, sizeof(*r.failed));
	r.node_of = arena_array(
	    report->arena, report->nfindings + 1, sizeof(*r.node_of));
	for (uint32_t i = 0; i < report->nfindings; i++) {
		report->findings[i]->finding.role = ROLE_NONE;
		report->findings[i]->finding.nexplains = 0;
		if (!is_failed(report->findings[i]))
			continue;
		r.node_of[i] = nfailed;
		r.failed[nfailed++] = i;
	}
	r.nodes = arena_array(report->arena, nfailed + 1, sizeof(*r.nodes));
	r.rank.nnodes = nfailed;
	for (uint32_t i = 0; i < nfailed; i++) {
		const struct report_finding *f = report->findings[r.failed[i]];

		r.nodes[i] = (struct rank_node){
		    .layer = f->row->layer,
		    .severity = f->finding.severity,
		    .candidate = f->row->explains[0].id != 0,
		    .confirmed = f->confirmed,
		    .specific = (unsigned)f->nlabels,
		    .hurts = f->finding.severity >= SEVERITY_ERROR &&
		             !contradicted(&r, f),
		};
		add_edges_of(&r, i);
	}
	r.rank.nodes = r.nodes;
	r.rank.edges = r.edges;
	rank_run(&r.rank, report->arena);
	note_explained(report, &r);
	report->ranked =
	    arena_array(report->arena, nfailed + 1, sizeof(*report->ranked));
	report->nranked = nfailed;
	for (size_t i = 0; i < nfailed; i++)
		report->ranked[i] = r.failed[r.rank.order[i]];
}

/* --- verdict ---------------------------------------------------------------
 */

static void
count_results(struct report *report)
{
	struct report_coverage *c = &report->coverage;

	c->checks = report->nfindings;
	c->passed = c->failed = c->unknown = 0;
	c->blocked = c->skipped = c->waived = 0;
	for (size_t i = 0; i < report->nfindings; i++)
		switch (report->findings[i]->finding.result) {
		case RESULT_UNKNOWN:
			c->unknown++;
			break;
		case RESULT_PASSED:
			c->passed++;
			break;
		case RESULT_FAILED:
			c->failed++;
			break;
		case RESULT_BLOCKED:
			c->blocked++;
			break;
		case RESULT_SKIPPED:
			c->skipped++;
			break;
		case RESULT_WAIVED:
			c->waived++;
			break;
		}
}

/* Nothing was judged: only skipped, or not even that. That is a failure of the
 * run itself (seed: every anchor has a way to pass against nothing). */
static bool
nothing_judged(const struct report *report)
{
	for (size_t i = 0; i < report->nfindings; i++)
		if (report->findings[i]->finding.result != RESULT_SKIPPED &&
		    report->findings[i]->row->number != 911)
			return false;
	return true;
}

static void
add_empty(struct report *report)
{
	const struct subject subject = {.other = "configuration"};
	struct report_finding *finding;

	for (size_t i = 0; i < report->nfindings; i++)
		if (report->findings[i]->row->number == 911)
			return;
	finding = report_add(report, 911, &subject);
	report_set(report, finding, RESULT_FAILED,
	    report->nfindings == 1
	        ? "no check ran: what is declared asks for none"
	        : "every check was skipped");
	report_fix(report, finding,
	    "declare what should exist: workers with what they require, "
	    "queues, checks and a smoke",
	    NULL, "reeve lint");
}

/* The one place where the exit code is made: a failure, then the deadline, then
 * what could not be looked at, then nothing at all, then warnings. */
static void
conclude(struct report *report, bool empty)
{
	bool failed = false, inconclusive = false, warned = false;

	for (size_t i = 0; i < report->nfindings; i++) {
		const struct finding *f = &report->findings[i]->finding;

		if (f->result == RESULT_FAILED)
			*(f->severity >= report->fail_on ? &failed : &warned) =
			    true;
		if (f->required && (f->result == RESULT_UNKNOWN ||
		                       f->result == RESULT_BLOCKED))
			inconclusive = true;
	}
	if (empty) {
		report->verdict = VERDICT_EMPTY;
		report->exit =
		    report->deadline_hit ? EXIT_DEADLINE : EXIT_NOTHING;
	} else if (failed) {
		report->verdict = VERDICT_FAILED;
		report->exit = EXIT_FAILED;
	} else if (report->deadline_hit || inconclusive) {
		report->verdict = VERDICT_INCONCLUSIVE;
		report->exit =
		    report->deadline_hit ? EXIT_DEADLINE : EXIT_INCONCLUSIVE;
	} else {
		report->verdict = VERDICT_PASSED;
		report->exit =
		    warned && report->strict ? EXIT_WARNINGS : EXIT_PASSED;
	}
}

void
report_conclude(struct report *report)
{
	bool empty = nothing_judged(report);

	if (empty)
		add_empty(report);
	rank_findings(report);
	count_results(report);
	conclude(report, empty);
}
