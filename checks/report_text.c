/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"
#include "checks/report.h"

/*
 * For people: the cause first, in words that can be pasted; little when all is
 * well, more when not (product.md has the shape).
 */

enum {
	EVIDENCE_SHOWN = 5,
	EXPLAINS_SHOWN = 12,
	ROOTS_IN_FULL = 10,
	ALSO_SHOWN = 20,
	LEFT_WIDTH = 12
};

struct text {
	const struct report *report;
	const struct report_style *style;
	struct buffer *out;
};

/* What others wrote (a server's error) must not steer the terminal. */
static void
put_safe(const struct text *t, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = text == NULL ? 0 : strlen(text);

	while (left > 0) {
		size_t len = utf8_len(p, left);
		/* C1 controls are two bytes in UTF-8: C2 80 … C2 9F. */
		bool control = p[0] < 0x20 || p[0] == 0x7f ||
		               (len == 2 && p[0] == 0xC2 && p[1] < 0xA0);

		if (p[0] == '\n' || p[0] == '\t' || p[0] == '\r')
			buffer_text(t->out, " ");
		else if (control || len == 0)
			buffer_format(t->out, "\\x%02x",
			    (unsigned)p[control && len == 2 ? 1 : 0]);
		else
			buffer_append(t->out, p, len);
		p += MAX(len, (size_t)1);
		left -= MAX(len, (size_t)1);
	}
}

static void
put(const struct text *t, const char *text)
{
	buffer_text(t->out, text);
}

enum color {
	COLOR_PLAIN,
	COLOR_RED,
	COLOR_YELLOW,
	COLOR_GREEN,
	COLOR_BOLD,
	COLOR_DIM
};

static void
put_colored(const struct text *t, enum color color, const char *text)
{
	static const char *const codes[] = {
	    [COLOR_PLAIN] = "",
	    [COLOR_RED] = "\033[1;31m",
	    [COLOR_YELLOW] = "\033[33m",
	    [COLOR_GREEN] = "\033[32m",
	    [COLOR_BOLD] = "\033[1m",
	    [COLOR_DIM] = "\033[2m",
	};
	bool on = t->style->color && color != COLOR_PLAIN;

	if (on)
		put(t, codes[color]);
	put_safe(t, text);
	if (on)
		put(t, "\033[0m");
}

/* The word at the left, padded. */
static void
put_left(const struct text *t, enum color color, const char *word)
{
	size_t len = strlen(word);

	put_colored(t, color, word);
	for (size_t i = len; i < LEFT_WIDTH; i++)
		put(t, " ");
}

/* --- the head --------------------------------------------------------------
 */

static bool
has_backlog(const struct report *report)
{
	for (size_t i = 0; i < report->nqueues; i++)
		if (report->queues[i].backlog)
			return true;
	return false;
}

static const char *
diagnose_word(const struct report *report, enum color *ret)
{
	switch (report->verdict) {
	case VERDICT_FAILED:
		*ret = COLOR_RED;
		return has_backlog(report) ? "NOT DRAINING" : "NOT HEALTHY";
	case VERDICT_PASSED:
		*ret = COLOR_GREEN;
		return "NO CAUSE FOUND";
	case VERDICT_INCONCLUSIVE:
		*ret = COLOR_YELLOW;
		return "CAN'T SAY";
	case VERDICT_EMPTY:
		*ret = COLOR_YELLOW;
		return "NOTHING LOOKED AT";
	}
	UNREACHABLE("a verdict that is none");
}

static const char *
verdict_word(const struct report *report, enum color *ret)
{
	switch (report->verdict) {
	case VERDICT_FAILED:
		*ret = COLOR_RED;
		return "FAILED";
	case VERDICT_PASSED:
		*ret = COLOR_GREEN;
		return "PASSED";
	case VERDICT_INCONCLUSIVE:
		*ret = COLOR_YELLOW;
		return "INCONCLUSIVE";
	case VERDICT_EMPTY:
		*ret = COLOR_YELLOW;
		return "EMPTY: NOTHING WAS CHECKED";
	}
	UNREACHABLE("a verdict that is none");
}

static void
put_head(const struct text *t)
{
	const struct report *r = t->report;
	enum color color = COLOR_PLAIN;
	bool diagnose = text_equal(r->command, "diagnose");
	const char *word =
	    diagnose ? diagnose_word(r, &color) : verdict_word(r, &color);

	put_colored(t, COLOR_BOLD, r->name == NULL ? "reeve" : r->name);
	put(t, ": ");
	if (!diagnose) {
		put_safe(t, r->command);
		put(t, " ");
	}
	put_colored(t, color, word);
	if (r->deadline_hit)
		put(t, " (out of time)");
	for (size_t i = 0; i < r->nqueues; i++) {
		put(t, i == 0 ? "   " : "\n    ");
		put_safe(t, r->queues[i].name);
		put(t, ": ");
		put_safe(t, r->queues[i].text);
	}
	put(t, "\n");
}

/* --- one finding in full ---------------------------------------------------
 */

static void
put_line(const struct text *t, const char *left, const char *text)
{
	put(t, "  ");
	put_left(t, COLOR_DIM, left);
	put_safe(t, text);
	put(t, "\n");
}

static void
put_evidence(const struct text *t, const struct finding *f)
{
	size_t shown = t->style->verbose
	                   ? f->nevidence
	                   : MIN(f->nevidence, (size_t)EVIDENCE_SHOWN);

	for (size_t i = 0; i < shown; i++) {
		const struct evidence *e = &f->evidence[i];
		char at[CLOCK_TEXT_SIZE];

		put(t, "  ");
		put_left(t, COLOR_DIM, i == 0 ? "evidence" : "");
		put_safe(t, e->source);
		put(t, ": ");
		put_safe(t, e->observed);
		if (e->expected != NULL) {
			put(t, "; expected: ");
			put_safe(t, e->expected);
		}
		if (e->scope != NULL && e->scope[0] != '\0') {
			put(t, " [");
			put_safe(t, e->scope);
			put(t, "]");
		}
		if (t->style->verbose && e->at_wall_ms > 0) {
			put(t, " at ");
			put(t, clock_text(e->at_wall_ms, at));
		}
		put(t, "\n");
	}
	if (shown < f->nevidence)
		buffer_format(t->out, "  %*s%zu more with --verbose\n",
		    LEFT_WIDTH, "", f->nevidence - shown);
}

static void
put_explains(const struct text *t, const struct finding *f)
{
	if (f->nexplains == 0)
		return;
	put(t, "  ");
	put_left(t, COLOR_DIM, "explains");
	size_t shown = t->style->verbose
	                   ? f->nexplains
	                   : MIN(f->nexplains, (size_t)EXPLAINS_SHOWN);

	for (size_t i = 0; i < shown; i++) {
		const struct finding *s =
		    &t->report->findings[f->explains[i]]->finding;

		if (i > 0)
			put(t, ", ");
		put(t, s->id);
		put(t, " ");
		put(t, s->slug);
		if (!text_equal(s->subject, f->subject)) {
			put(t, " (");
			put_safe(t, s->subject);
			put(t, ")");
		}
	}
	if (shown < f->nexplains)
		buffer_format(t->out, " and %zu more", f->nexplains - shown);
	put(t, "\n");
}

static void
put_finding(const struct text *t, const char *heading, const struct finding *f)
{
	put_left(t, f->severity >= SEVERITY_ERROR ? COLOR_RED : COLOR_YELLOW,
	    heading);
	put_colored(t, COLOR_BOLD, f->id);
	put(t, " ");
	put_colored(t, COLOR_BOLD, f->slug);
	put(t, "  ");
	put_safe(t, f->subject);
	put(t, ": ");
	put_safe(t, f->summary);
	if (f->severity != SEVERITY_ERROR) {
		put(t, " (");
		put(t, severity_name(f->severity));
		put(t, ")");
	}
	put(t, "\n");
	put_evidence(t, f);
	if (f->fix != NULL)
		put_line(t, "fix", f->fix);
	if (f->fix_command != NULL) {
		put(t, "  ");
		put_left(t, COLOR_DIM, "");
		put(t, "$ ");
		put_safe(t, f->fix_command);
		put(t, "\n");
	}
	if (f->fix_verify != NULL)
		put_line(t, "verify", f->fix_verify);
	put_explains(t, f);
}

/* --- the sections ----------------------------------------------------------
 */

static const struct finding *
ranked(const struct report *report, size_t i)
{
	return &report->findings[report->ranked[i]]->finding;
}

/* Roots, and what fails without a known cause, at the same rank; a warning
 * that explains nothing is no cause. */
static bool
is_main(const struct finding *f)
{
	return f->role == ROLE_ROOT ||
	       (f->role == ROLE_UNEXPLAINED && f->severity >= SEVERITY_ERROR);
}

static void
put_main(const struct text *t)
{
	size_t count = 0, left_out = 0;

	for (size_t i = 0; i < t->report->nranked; i++) {
		const struct finding *f = ranked(t->report, i);

		if (!is_main(f))
			continue;
		if (count++ >= ROOTS_IN_FULL && !t->style->verbose) {
			left_out++;
			continue;
		}
		put_finding(
		    t, f->role == ROLE_ROOT ? "ROOT CAUSE" : "UNEXPLAINED", f);
	}
	if (left_out > 0)
		buffer_format(
		    t->out, "%zu more causes with --verbose\n", left_out);
}

static void
put_short(const struct text *t, const char *heading, const struct finding *f,
    const char *word)
{
	put_left(t, COLOR_YELLOW, heading);
	put(t, f->id);
	put(t, " ");
	put(t, f->slug);
	put(t, "  ");
	put_safe(t, f->subject);
	put(t, ": ");
	put_safe(t, f->summary);
	put(t, " (");
	put_safe(t, word);
	put(t, ")\n");
}

static void
put_also(const struct text *t)
{
	size_t count = 0, left_out = 0;

	for (size_t i = 0; i < t->report->nranked; i++) {
		const struct finding *f = ranked(t->report, i);

		if (is_main(f) || f->role == ROLE_EXPLAINED)
			continue;
		if (t->style->verbose)
			put_finding(t, "ALSO", f);
		else if (count < ALSO_SHOWN)
			put_short(t, count == 0 ? "ALSO" : "", f,
			    severity_name(f->severity));
		else
			left_out++;
		count++;
	}
	if (left_out > 0)
		buffer_format(t->out, "%*s%zu more with --verbose\n",
		    LEFT_WIDTH, "", left_out);
}

static void
put_explained(const struct text *t)
{
	size_t count = 0;

	for (size_t i = 0; i < t->report->nranked; i++) {
		const struct finding *f = ranked(t->report, i);

		if (f->role != ROLE_EXPLAINED)
			continue;
		count++;
		if (t->style->verbose)
			put_finding(t, "FOLLOWS", f);
	}
	if (count > 0 && !t->style->verbose)
		buffer_format(t->out,
		    "%-*s%zu finding%s follow%s from the above; --verbose "
		    "shows %s\n",
		    LEFT_WIDTH, "HIDDEN", count, count == 1 ? "" : "s",
		    count == 1 ? "s" : "", count == 1 ? "it" : "them");
}

/* What could not be looked at. Blocked ones repeat what blocks them, so they
 * are counted unless nothing else says why. */
static void
put_not_looked(const struct text *t)
{
	const struct report *r = t->report;
	const char *heading = "NOT LOOKED";

	for (size_t i = 0; i < r->nfindings; i++) {
		const struct finding *f = &r->findings[i]->finding;
		/* What a canary left unproven is said also when it passed. */
		bool unproven = r->findings[i]->row->layer == LAYER_END_TO_END;
		bool shown = f->result == RESULT_UNKNOWN &&
		             (f->required || unproven || t->style->verbose);

		if (f->result == RESULT_BLOCKED)
			shown = t->style->verbose ||
			        (f->required && r->coverage.failed == 0 &&
			            r->coverage.unknown == 0);
		if (!shown)
			continue;
		put_short(t, heading, f, result_name(f->result));
		heading = "";
	}
	if (!t->style->verbose && r->verdict == VERDICT_PASSED)
		return;
	for (size_t i = 0; i < r->nnot_checked; i++) {
		put_left(t, COLOR_YELLOW, heading);
		put_safe(t, r->not_checked[i]);
		put(t, "\n");
		heading = "";
	}
}

static void
put_waived(const struct text *t)
{
	for (size_t i = 0; i < t->report->nfindings; i++) {
		const struct finding *f = &t->report->findings[i]->finding;

		if (f->result == RESULT_WAIVED)
			put_short(t, "WAIVED", f, f->waiver);
	}
}

static void
put_rest(const struct text *t)
{
	const struct report *r = t->report;

	if (!t->style->verbose)
		return;
	for (size_t i = 0; i < r->nfindings; i++) {
		const struct finding *f = &r->findings[i]->finding;

		if (f->result == RESULT_PASSED || f->result == RESULT_SKIPPED)
			put_short(t,
			    f->result == RESULT_PASSED ? "passed" : "skipped",
			    f,
			    f->result == RESULT_PASSED ? "ok" : "on purpose");
	}
	for (size_t i = 0; i < r->ntargets; i++) {
		put_left(t, COLOR_DIM, "target");
		put_safe(t, r->targets[i].what);
		put(t, ": ");
		put_safe(t, r->targets[i].target);
		if (r->targets[i].identity != NULL &&
		    r->targets[i].identity[0] != '\0') {
			put(t, ", ");
			put_safe(t, r->targets[i].identity);
		}
		put(t, "\n");
	}
	if (r->vantage != NULL) {
		put_left(t, COLOR_DIM, "from");
		put_safe(t, r->vantage);
		put(t, "\n");
	}
}

static void
put_count(
    const struct text *t, const char **comma, size_t count, const char *word)
{
	if (count == 0)
		return;
	buffer_format(t->out, "%s%zu %s", *comma, count, word);
	*comma = ", ";
}

static void
put_foot(const struct text *t)
{
	const struct report_coverage *c = &t->report->coverage;
	const char *comma = "";

	put_left(t, COLOR_DIM, "checks");
	put_count(t, &comma, c->passed, "passed");
	put_count(t, &comma, c->failed, "failed");
	put_count(t, &comma, c->unknown, "unknown");
	put_count(t, &comma, c->blocked, "blocked");
	put_count(t, &comma, c->skipped, "skipped");
	put_count(t, &comma, c->waived, "waived");
	if (c->stages_declared > 0)
		buffer_format(t->out, "; %zu of %zu stages of the smoke",
		    c->stages_reached, c->stages_declared);
	if (t->report->exit != 0)
		buffer_format(t->out, "; exit %d", t->report->exit);
	put(t, "\n");
	if (t->report->coverage.failed > 0 && !t->style->verbose)
		put(t, "            what a finding means: reeve explain ID\n");
}

void
report_text(const struct report *report, const struct report_style *style,
    struct buffer *out)
{
	const struct text t = {report, style, out};

	if (style->quiet && report->exit == EXIT_PASSED)
		return;
	put_head(&t);
	put_main(&t);
	put_also(&t);
	put_explained(&t);
	put_not_looked(&t);
	put_waived(&t);
	put_rest(&t);
	put_foot(&t);
}
