/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/html.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/page.h"
#include "supervisor/operator/plot.h"

enum {
	WORDS_MAX = 64,
	STEPS_MAX = SAMPLE_FINE_COUNT,
};

struct writing {
	struct operator_core *op;
	struct buffer *out;
	size_t count;
};

static const char *
count_words(int64_t value, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%" PRId64, value);
	return dst;
}

struct fact {
	const char *name;
	const struct queue_number *number;
	const char *(*words)(int64_t value, char *dst, size_t size);
};

/* With how it is known. */
static void
write_known(struct buffer *out, const struct fact *fact)
{
	char text[WORDS_MAX];
	enum know know = fact->number->know;

	if (know == KNOW_UNKNOWN || know == KNOW_NOT_APPLICABLE)
		return;
	HTML(out, "<div><dt>{}</dt><dd>{}{}</dd></div>", fact->name,
	    know == KNOW_AT_LEAST   ? "at least "
	    : know == KNOW_ESTIMATE ? "about "
	                            : "",
	    fact->words(fact->number->value, text, sizeof(text)));
}

/* Unknown is never 0. */
static void
write_unknown(struct buffer *out, const struct fact *fact)
{
	const char *why = fact->number->why;

	if (fact->number->know == KNOW_UNKNOWN)
		HTML(out, "<li>{} unknown{}{}</li>", fact->name,
		    why == NULL ? "" : ": ", why);
}

static void
write_numbers(struct buffer *out, const struct queue_state *state)
{
	const struct fact facts[] = {
	    {"depth", &state->waiting, count_words},
	    {"oldest", &state->oldest_ms, text_ms_for_people},
	    {"active", &state->active, count_words},
	    {"delayed", &state->delayed, count_words},
	    {"dead", &state->dead, count_words},
	    {"lease expired", &state->lease_expired, count_words},
	    {"consumers", &state->consumers, count_words},
	};

	buffer_text(out, "<dl class=\"facts\">");
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		write_known(out, &facts[i]);
	buffer_text(out, "</dl><ul class=\"unknowns\">");
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		write_unknown(out, &facts[i]);
	buffer_text(out, "</ul>");
}

/* Depth, or age, over a time; the newest step may not have been looked at
 * yet. */
static void
write_plot(const struct writing *writing, const char *queue, bool age,
    int64_t step_ms, const char *span)
{
	/* Large, and one plot is written at a time. */
	static struct sample samples[STEPS_MAX];
	static int64_t values[STEPS_MAX];
	size_t count =
	    step_ms == SAMPLE_FINE_MS ? SAMPLE_FINE_COUNT : SAMPLE_COARSE_COUNT;
	struct plot plot = {
	    .title = age ? "Age of the oldest" : "Depth",
	    .span = span,
	    .values = values,
	    .count = count,
	    .words = age ? text_ms_for_people : count_words,
	};

	(void)queues_history(&writing->op->samples, queue, clock_wall_ms(),
	    step_ms, samples, count);
	for (size_t i = 0; i < count; i++)
		values[i] = age ? samples[i].oldest_ms : samples[i].depth;
	if (values[count - 1] < 0)
		plot.count = count - 1;
	plot_write(writing->out, &plot);
}

static const char *
queue_tone(const struct queue_view *view)
{
	if (view->trouble != NULL)
		return "unknown";
	return view->state->dead.know == KNOW_EXACT &&
	               view->state->dead.value > 0
	           ? "warn"
	           : "good";
}

static const char *
queue_word(const struct queue_view *view)
{
	if (view->trouble != NULL)
		return "unknown";
	if (view->state->paused == 1)
		return "paused";
	return view->state->dead.know == KNOW_EXACT &&
	               view->state->dead.value > 0
	           ? "dead letters"
	           : "seen";
}

static void
write_queue(void *arg, const struct queue_view *view)
{
	struct writing *writing = arg;
	struct buffer *out = writing->out;

	writing->count++;
	HTML(out,
	    "<article class=\"card\"><div class=\"top\"><h3>{} <span "
	    "class=\"soft\">{}</span></h3>",
	    view->name, view->kind);
	page_badge(out, queue_tone(view), queue_word(view));
	buffer_text(out, "</div>");
	if (view->trouble != NULL) {
		HTML(out, "<p>{}</p><p class=\"soft\">last looked at ",
		    view->trouble);
		page_time(out, view->at_wall_ms);
		buffer_text(out, "</p>");
	} else {
		write_numbers(out, view->state);
	}
	write_plot(writing, view->name, false, SAMPLE_FINE_MS, "1 h");
	write_plot(writing, view->name, true, SAMPLE_FINE_MS, "1 h");
	HTML(out, "<details id=\"day-{}\"><summary>the last day</summary>",
	    view->name);
	write_plot(writing, view->name, false, SAMPLE_COARSE_MS, "24 h");
	write_plot(writing, view->name, true, SAMPLE_COARSE_MS, "24 h");
	buffer_text(out, "</details></article>");
}

void
page_queues(struct operator_core *op, struct buffer *out)
{
	struct writing writing = {.op = op, .out = out};

	buffer_text(out, "<div class=\"grid\">");
	queues_view_each(op->queues, write_queue, &writing);
	buffer_text(out, "</div>");
	if (writing.count == 0)
		page_none(op, out);
}
