/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/alert_events.h"
#include "supervisor/operator/spool.h"

enum {
	EVENT_MAX = 256 * 1024,
	EXPLAINED_SHOWN = 16,
};

/* What it explains goes with it, so that nobody has to be told of that. */
static void
write_explained(
    const struct alerts *alerts, const struct alert *root, struct jsonw *json)
{
	size_t count = 0;

	jsonw_array(json, "explains");
	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		if (alert->cause != root || count++ >= EXPLAINED_SHOWN)
			continue;
		jsonw_object(json, NULL);
		jsonw_text(json, "key", alert->key);
		jsonw_text(json, "subject", alert->subject);
		jsonw_text(json, "summary", alert->summary);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_event(struct alerts *alerts, const struct alert *alert, const char *state,
    struct buffer *out)
{
	char at[CLOCK_TEXT_SIZE];
	char since[CLOCK_TEXT_SIZE];
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.alert/1");
	jsonw_format(&json, "id", "%s-%s-%" PRIu64,
	    alerts->system == NULL ? "" : alerts->system, alerts->nonce,
	    alerts->next);
	jsonw_text(&json, "state", state);
	jsonw_text(&json, "system", alerts->system);
	jsonw_text(&json, "key", alert->key);
	jsonw_text(&json, "kind", alert->kind);
	jsonw_text(&json, "severity", severity_name(alert->severity));
	jsonw_text(&json, "subject", alert->subject);
	jsonw_text(&json, "summary", alert->summary);
	jsonw_text(&json, "evidence", alert->evidence);
	jsonw_text(&json, "worker", alert->worker);
	jsonw_text(&json, "queues", alert->queues);
	jsonw_text(&json, "finding", alert->finding);
	jsonw_text(&json, "fix", alert->fix);
	write_explained(alerts, alert, &json);
	jsonw_text(&json, "since", clock_text(alert->since_wall_ms, since));
	jsonw_text(&json, "at", clock_text(clock_wall_ms(), at));
	jsonw_i64(&json, "since_ms", alert->since_wall_ms);
	jsonw_i64(&json, "hold_ms", alert->hold_ms);
	jsonw_bool(&json, "test", text_equal(alert->kind, ALERT_TEST_KIND));
	jsonw_end(&json);
}

/* The end is for those who heard of the beginning: what they want to hear of
 * may have been declared anew since. */
static bool
is_for(const struct alert_receiver *receiver, const struct alert *alert,
    bool over, const struct alert_receiver *only)
{
	if (!receiver->used || only != NULL)
		return receiver->used && receiver == only;
	return over ? spool_was_told(alert, receiver->name)
	            : alert->severity >= receiver->min_severity;
}

void
alert_events_emit(struct alerts *alerts, struct alert *alert, const char *state,
    const struct alert_receiver *only)
{
	const char *names[ALERT_RECEIVERS_MAX];
	bool over = text_equal(state, "resolved");
	size_t count = 0;
	struct buffer text;

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (is_for(&alerts->receivers[i], alert, over, only))
			names[count++] = alerts->receivers[i].name;
	buffer_init(&text, EVENT_MAX);
	write_event(alerts, alert, state, &text);
	if (text.overflow) {
		/* All of it is in the status; that it is so must be told. */
		struct alert brief = *alert;
		brief.evidence = brief.queues = NULL;
		buffer_clear(&text);
		write_event(alerts, &brief, state, &text);
	}
	if (!text.overflow)
		spool_append(alerts, text.data, names, count);
	for (size_t i = 0; !over && i < count; i++)
		spool_note_told(alert, names[i]);
	buffer_fini(&text);
}

void
alert_events_tell_late(struct alerts *alerts, struct alert *alert)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		if (receiver->used &&
		    alert->severity >= receiver->min_severity &&
		    !spool_was_told(alert, receiver->name))
			alert_events_emit(alerts, alert, "raised", receiver);
	}
}

void
alert_events_set_repeats(struct alerts *alerts, struct alert *alert)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		alert->repeat_at_ms[i] =
		    receiver->used && receiver->repeat_ms > 0 &&
		            alert->severity >= receiver->min_severity
		        ? clock_after(now_ms, receiver->repeat_ms)
		        : CLOCK_NEVER;
	}
}
