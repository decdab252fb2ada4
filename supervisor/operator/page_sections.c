/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/html.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/page.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/spool.h"

enum {
	WHY_MAX = 1 << 20,
	EVENTS_SHOWN = 40,
	EVENTS_BYTES_MAX = 1 << 20,
	DRIFT_SHOWN = 200,
	REASON_MAX = 640,
	COUNT_MAX = 32,
};

/* --- parts --------------------------------------------------------------- */

void
page_badge(struct buffer *out, const char *tone, const char *word)
{
	const char *sign = text_equal(tone, "good")   ? "✓"
	                   : text_equal(tone, "bad")  ? "✕"
	                   : text_equal(tone, "warn") ? "!"
	                                              : "?";

	HTML(out,
	    "<span class=\"badge {}\"><span aria-hidden=\"true\">{} "
	    "</span>{}</span>",
	    tone, sign, word);
}

void
page_time(struct buffer *out, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	if (wall_ms <= 0) {
		buffer_text(out, "never");
		return;
	}
	(void)clock_text(wall_ms, text);
	HTML(out, "<time datetime=\"{}\">{}</time>", text, text);
}

void
page_none(const struct operator_core *op, struct buffer *out)
{
	HTML(out, "<p class=\"none\">{}</p>",
	    op->intent != NULL
	        ? "none is declared"
	        : "unknown: this operator has read no manifest yet");
}

static void
fact(struct buffer *out, const char *name, const char *value)
{
	HTML(out, "<div><dt>{}</dt><dd>{}</dd></div>", name, value);
}

static void
fact_time(struct buffer *out, const char *name, int64_t wall_ms)
{
	HTML(out, "<div><dt>{}</dt><dd>", name);
	page_time(out, wall_ms);
	buffer_text(out, "</dd></div>");
}

/* --- the whole ------------------------------------------------------------ */

static void
write_reasons(struct buffer *out, const char *why)
{
	char line[REASON_MAX];

	buffer_text(out, "<ul class=\"why\">");
	while (*why != '\0') {
		size_t len = strcspn(why, "\n");
		(void)snprintf(line, sizeof(line), "%.*s", (int)len, why);
		HTML(out, "<li>{}</li>", line);
		why += len + (why[len] == '\n');
	}
	buffer_text(out, "</ul>");
}

void
page_summary(struct operator_core *op, struct buffer *out)
{
	const char *state = status_operator_state(op);
	char restarts[COUNT_MAX];
	struct buffer why;

	buffer_init(&why, WHY_MAX);
	bool ready = ready_judge(op, &why);
	bool unknown =
	    !ready && (!op->ready || !op->running.known || op->intent == NULL);

	buffer_text(out, "<div class=\"card\"><p class=\"big\">");
	page_badge(out,
	    ready     ? "good"
	    : unknown ? "unknown"
	              : "bad",
	    ready     ? "Ready"
	    : unknown ? "Unknown"
	              : "Not ready");
	HTML(out, "<span>{}</span></p>",
	    ready ? "everything that is declared runs" : "");
	if (!ready)
		write_reasons(out, why.data);
	buffer_fini(&why);
	(void)snprintf(restarts, sizeof(restarts), "%u",
	    (unsigned)op->running.snapshot.operator_restarts);
	buffer_text(out, "<dl class=\"facts\">");
	fact(out, "operator", state);
	fact(
	    out, "operator restarts", op->running.known ? restarts : "unknown");
	fact(out, "init", op->init.hello.version);
	fact_time(out, "started", op->init.hello.started_wall_ms);
	fact(out, "manifest", op->manifest);
	buffer_text(out, "</dl>");
	if (op->refusal.len > 0)
		HTML(out, "<p><strong>{}</strong> <code>{}</code></p>",
		    op->intent != NULL
		        ? "The manifest on disk is refused; the one before "
		          "is in force."
		        : "The manifest on disk can't be read, and this "
		          "operator has seen none before: the workers go on "
		          "as they were told.",
		    op->refusal.data);
	if (op->intent_refused)
		HTML(out,
		    "<p><strong>The init refuses what is declared; what runs "
		    "stays as it is.</strong> <code>{}</code></p>",
		    op->plan_refusal);
	if (op->alerts.trouble[0] != '\0')
		HTML(out,
		    "<p><strong>Alerts that wait are in memory only.</strong> "
		    "<code>{}</code></p>",
		    op->alerts.trouble);
	if (op->store.trouble[0] != '\0')
		HTML(out,
		    "<p><strong>The history isn't kept.</strong> "
		    "<code>{}</code></p>",
		    op->store.trouble);
	buffer_text(out, "</div>");
}

/* --- alerts --------------------------------------------------------------- */

/* What to do next, and where to read on. */
static void
write_advice(struct buffer *out, const struct alert *alert)
{
	if (alert->fix == NULL && alert->finding == NULL)
		return;
	buffer_text(out, "<p>");
	if (alert->fix != NULL)
		HTML(out,
		    "<span class=\"soft\">next</span> <code "
		    "class=\"do\">{}</code> ",
		    alert->fix);
	if (alert->finding != NULL)
		HTML(out,
		    "<span class=\"soft\">why</span> <code "
		    "class=\"do\">reeve explain {}</code>",
		    alert->finding);
	buffer_text(out, "</p>");
}

static const struct silence *
silence_of(const struct operator_core *op, int64_t id)
{
	for (size_t i = 0; i < op->alerts.silences.count; i++)
		if (op->alerts.silences.list[i].id == id)
			return &op->alerts.silences.list[i];
	return NULL;
}

static void
write_silence(struct buffer *out, const struct silence *silence)
{
	char id[24];

	(void)snprintf(id, sizeof(id), "%" PRId64, silence->id);
	HTML(out, "<p class=\"soft\">silence {} by {}: {}; until ", id,
	    silence->by, silence->reason);
	page_time(out, silence->until_wall_ms);
	buffer_text(out, "</p>");
}

static void
write_alert(const struct operator_core *op, struct buffer *out,
    const struct alert *alert)
{
	const struct silence *silence = silence_of(op, alert->silence);
	bool severe = silence == NULL && alert->severity >= SEVERITY_ERROR;

	HTML(out,
	    "<article class=\"card alert {}\"><div class=\"top\"><h3>{}</h3>",
	    severe ? "severe" : "", alert->subject);
	buffer_text(out, "<span>");
	page_badge(
	    out, severe ? "bad" : "warn", severity_name(alert->severity));
	if (silence != NULL)
		page_badge(out, "unknown", "silenced");
	HTML(out, "</span></div><p>{}</p>", alert->summary);
	if (alert->evidence != NULL && *alert->evidence != '\0')
		HTML(out, "<p class=\"soft\">{}</p>", alert->evidence);
	HTML(out, "<p class=\"soft\">{}, since ", alert->kind);
	page_time(out, alert->since_wall_ms);
	buffer_text(out, "</p>");
	if (silence != NULL)
		write_silence(out, silence);
	write_advice(out, alert);
	buffer_text(out, "</article>");
}

/* The worst first, and what is silenced last. */
void
page_alerts(struct operator_core *op, struct buffer *out)
{
	static const enum severity order[] = {
	    SEVERITY_CRITICAL, SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_INFO};
	bool any = false;

	for (size_t i = 0; i < 2 * ARRAY_LEN(order); i++)
		for (const struct alert *alert = op->alerts.known;
		     alert != NULL; alert = alert->next) {
			if ((!alert->told && !alert->quiet) ||
			    alert->severity != order[i % ARRAY_LEN(order)] ||
			    (silence_of(op, alert->silence) != NULL) !=
			        (i >= ARRAY_LEN(order)))
				continue;
			any = true;
			write_alert(op, out, alert);
		}
	if (!any)
		buffer_text(out, "<p class=\"none\">none is raised</p>");
}

/* --- drift ---------------------------------------------------------------- */

static void
write_drift(struct buffer *out, const struct drift *item)
{
	HTML(out,
	    "<tr><th scope=\"row\">{}</th><td data-label=\"class\">{}</td><td "
	    "data-label=\"key\"><code>{}</code></td><td>{}; runs {}, declared "
	    "{}</td><td data-label=\"policy\">{}</td></tr>",
	    item->worker, drift_class_name(item->kind), item->key,
	    item->summary, item->observed, item->expected,
	    drift_policy_name(item->policy));
}

void
page_drift(struct operator_core *op, struct buffer *out)
{
	if (!op->ready || op->intent == NULL) {
		buffer_text(out,
		    "<p class=\"none\">unknown: nothing was compared yet</p>");
		return;
	}
	if (op->drift.count == 0) {
		buffer_text(
		    out, "<p class=\"none\">what runs is what is declared</p>");
		return;
	}
	buffer_text(out, "<div class=\"table\"><table><thead><tr><th>Worker"
	                 "</th><th>Class</th><th>Key</th><th>Difference</th>"
	                 "<th>Policy</th></tr></thead><tbody>");
	for (size_t i = 0; i < op->drift.count && i < DRIFT_SHOWN; i++)
		write_drift(out, &op->drift.items[i]);
	buffer_text(out, "</tbody></table></div>");
	if (op->drift.count > DRIFT_SHOWN || op->drift.cut)
		buffer_text(out,
		    "<p class=\"none\">and more: <code>reeve diff</code></p>");
}

/* --- events --------------------------------------------------------------- */

static void
write_event(struct buffer *out, const cJSON *event)
{
	const cJSON *replica =
	    cJSON_GetObjectItemCaseSensitive(event, "replica");
	const char *at = record_text(event, "at", "");
	char number[COUNT_MAX] = "";

	if (cJSON_IsNumber(replica))
		(void)snprintf(
		    number, sizeof(number), "/%.0f", replica->valuedouble);
	HTML(out,
	    "<tr><td><time datetime=\"{}\">{}</time></td><td>{}</td><td>{}{}"
	    "</td><td>{}</td></tr>",
	    at, at, record_text(event, "kind", ""),
	    record_text(event, "worker", ""), number,
	    record_text(event, "text", ""));
}

/* The newest first. */
void
page_events(struct operator_core *op, struct buffer *out)
{
	struct events_query query = {.limit = EVENTS_SHOWN};
	struct err err = ERR_INIT;
	struct buffer text;

	buffer_init(&text, EVENTS_BYTES_MAX);
	bool known = op->events != NULL &&
	             events_write(op->events, &query, &text, &err) == 0;
	CLEANUP(record_free)
	cJSON *json = known ? record_parse(text.data, text.len) : NULL;
	const cJSON *list = record_array(json, "events");
	int count = cJSON_GetArraySize(list);

	buffer_fini(&text);
	if (count == 0) {
		HTML(out, "<p class=\"none\">{}</p>",
		    known ? "none" : "unknown: no history is kept");
		return;
	}
	buffer_text(out, "<div class=\"table\"><table><thead><tr><th>When</th>"
	                 "<th>What</th><th>Worker</th><th>How</th></tr></thead>"
	                 "<tbody>");
	for (int i = count - 1; i >= 0; i--)
		write_event(out, cJSON_GetArrayItem(list, i));
	buffer_text(out, "</tbody></table></div>");
}
