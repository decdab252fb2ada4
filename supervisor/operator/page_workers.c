/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "supervisor/operator/html.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/page.h"
#include "worker/exit.h"

enum {
	NUMBER_MAX = 48,
	REPLICAS_SHOWN = 20,
};

static const char *
count_text(uint64_t count, char dst[NUMBER_MAX])
{
	(void)snprintf(dst, NUMBER_MAX, "%" PRIu64, count);
	return dst;
}

/* --- one process -----------------------------------------------------------
 */

static const char *
tone_of(const struct wire_instance *wire)
{
	switch ((enum instance_state)wire->state) {
	case INSTANCE_READY:
		return "good";
	case INSTANCE_FINISHED:
		return exit_classify(&wire->last_exit) == CLASS_CLEAN ? "good"
		                                                      : "bad";
	case INSTANCE_BACKOFF:
		return "bad";
	case INSTANCE_PENDING:
	case INSTANCE_STARTING:
	case INSTANCE_RUNNING:
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
	case INSTANCE_STOPPED:
		return "warn";
	case INSTANCE_NONE:
	case INSTANCE_STATES:
		break;
	}
	return "unknown";
}

/* Why it is as it is: what it waits for, what its probe or itself says. */
static void
write_words(struct buffer *out, const struct wire_instance *wire)
{
	const struct {
		const char *before, *text;
	} words[] = {
	    {"probe: ", wire->probe_text},
	    {"", wire->wait_text},
	    {"says: ", wire->status_text},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (*words[i].text != '\0')
			HTML(out, "<br>{}{}", words[i].before, words[i].text);
	if (wire->state == INSTANCE_BACKOFF && wire->next_start_wall_ms > 0) {
		buffer_text(out, "<br>started again ");
		page_time(out, wire->next_start_wall_ms);
	}
}

static void
write_replica(struct buffer *out, const struct wire_instance *wire)
{
	char number[NUMBER_MAX];
	char text[EXIT_TEXT_SIZE];

	HTML(out, "<tr class=\"replica\"><th scope=\"row\">replica {}</th><td>",
	    count_text(wire->replica, number));
	page_badge(out, tone_of(wire),
	    instance_state_name((enum instance_state)wire->state));
	write_words(out, wire);
	buffer_text(out, "</td><td data-label=\"since\">");
	page_time(out, wire->started_wall_ms);
	HTML(out,
	    "</td><td class=\"number\" data-label=\"restarts\">{}</td>"
	    "<td data-label=\"last exit\">",
	    count_text(wire->restarts, number));
	if (wire->last_exit.kind != EXIT_UNKNOWN) {
		HTML(out, "{}, ",
		    exit_text(&wire->last_exit, text, sizeof(text)));
		page_time(out, wire->last_exit_wall_ms);
	} else {
		buffer_text(out, "none yet");
	}
	buffer_text(out, "</td></tr>");
}

/* --- one worker -------------------------------------------------------------
 */

static void
write_worker_state(struct buffer *out, const struct tracked *tracked,
    const struct running_worker *worker)
{
	const struct wire_worker *wire = &worker->wire;
	char text[2 * NUMBER_MAX];

	(void)snprintf(text, sizeof(text), "%" PRIu32 " of %" PRIu32 " ready",
	    wire->ready, wire->desired);
	if (wire->held != 0)
		page_badge(out, "warn", "stopped by order");
	else if (wire->schedule[0] != '\0')
		page_badge(out, "good",
		    wire->suspended != 0 ? "suspended" : "scheduled");
	else
		page_badge(
		    out, wire->ready >= wire->desired ? "good" : "bad", text);
	if (tracked->held != NULL)
		HTML(out, "<br>not as declared: {}", tracked->held);
	if (wire->schedule[0] != '\0') {
		HTML(out, "<br><code>{}</code>, next ", wire->schedule);
		page_time(out, wire->next_run_wall_ms);
		buffer_text(out, ", last success ");
		page_time(out, wire->last_success_wall_ms);
	}
}

static void
write_worker(
    struct operator_core *op, struct buffer *out, struct running_worker *worker)
{
	uint64_t restarts = 0;
	char number[NUMBER_MAX];

	status_recount(worker);
	for (size_t i = 0; i < worker->ninstances; i++)
		restarts += worker->instances[i].wire.restarts;
	HTML(out, "<tr><th scope=\"row\">{}</th><td>", worker->wire.name);
	write_worker_state(out, operator_track(op, worker->wire.name), worker);
	HTML(out,
	    "</td><td></td><td class=\"number\" data-label=\"restarts\">{}</td>"
	    "<td></td></tr>",
	    count_text(restarts, number));
	for (size_t i = 0; i < worker->ninstances && i < REPLICAS_SHOWN; i++)
		if (worker->instances[i].wire.state != INSTANCE_NONE)
			write_replica(out, &worker->instances[i].wire);
	if (worker->ninstances > REPLICAS_SHOWN)
		HTML(out,
		    "<tr class=\"replica\"><th scope=\"row\">and {} more</th>"
		    "<td><code>reeve status</code></td><td></td><td></td>"
		    "<td></td></tr>",
		    count_text(worker->ninstances - REPLICAS_SHOWN, number));
}

/* Declared, and the init hasn't told of it. */
static void
write_missing(struct operator_core *op, struct buffer *out)
{
	size_t count = op->intent == NULL ? 0 : op->intent->declared->nworkers;

	for (size_t i = 0; i < count; i++) {
		const char *name = op->intent->declared->workers[i].name;
		const char *held = operator_track(op, name)->held;
		if (running_find(&op->running, name) != NULL)
			continue;
		HTML(out, "<tr><th scope=\"row\">{}</th><td>", name);
		page_badge(out, held == NULL ? "unknown" : "bad",
		    held == NULL ? "unknown" : "not started");
		HTML(out, "<br>{}</td><td></td><td></td><td></td></tr>",
		    held == NULL ? "the init has not told of it" : held);
	}
}

void
page_workers(struct operator_core *op, struct buffer *out)
{
	size_t declared =
	    op->intent == NULL ? 0 : op->intent->declared->nworkers;

	if (!op->running.known) {
		buffer_text(out, "<p class=\"none\">unknown: the init has not "
		                 "told yet what runs</p>");
		return;
	}
	if (op->running.count == 0 && declared == 0) {
		page_none(op, out);
		return;
	}
	buffer_text(out, "<div class=\"table\"><table><thead><tr><th>Worker"
	                 "</th><th>State</th><th>Started</th><th>Restarts</th>"
	                 "<th>Last exit</th></tr></thead><tbody>");
	for (size_t i = 0; i < op->running.count; i++)
		write_worker(op, out, &op->running.workers[i]);
	write_missing(op, out);
	buffer_text(out,
	    "</tbody></table></div><p class=\"none\">What a worker "
	    "wrote: <code>reeve logs</code>, and before its last "
	    "end <code>reeve logs --previous</code>.</p>");
}
