/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/deliver.h"
#include "supervisor/operator/record.h"

enum {
	SLACK_TEXT_MAX = 2900,    /* of 3000 in a section */
	PAGERDUTY_SUMMARY = 1000, /* of 1024 */
	PAGERDUTY_KEY = 255,
	RESENDS_MISSED = 4, /* as Prometheus: three may be lost */
	TEXT_MAX = 64 * 1024,
};

static bool
is_over(const cJSON *event)
{
	return text_equal(record_text(event, "state", ""), "resolved");
}

/* At most `max` bytes, cut before a character. */
static void
put_cut(struct jsonw *json, const char *key, const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len > max) {
		len = max;
		while (len > 0 && ((unsigned char)text[len] & 0xC0U) == 0x80U)
			len--;
	}
	jsonw_bytes(json, key, text, len);
}

/* Where to read on: a command, as `fix` is. */
static void
put_explain(struct jsonw *json, const cJSON *event)
{
	const char *finding = record_text(event, "finding", "");

	if (*finding != '\0')
		jsonw_format(json, "explain", "reeve explain %s", finding);
}

/* --- our own ----------------------------------------------------------- */

static int
raw_event(struct jsonw *json, const cJSON *event)
{
	char *text = cJSON_PrintUnformatted(event);

	if (text == NULL)
		return -1;
	jsonw_raw(json, NULL, text);
	cJSON_free(text);
	return 0;
}

/* reeve.alerts/1 where messages are grouped, of one event too: a receiver has
 * one form to read, not two. */
static int
own_body(const cJSON *request, struct buffer *body)
{
	const cJSON *events = record_array(request, "events");
	const cJSON *event = NULL;
	char id[256];
	struct jsonw json;
	int rc = 0;

	jsonw_init(&json, body, false);
	if (!record_true(request, "group"))
		return raw_event(&json, cJSON_GetArrayItem(events, 0));
	deliver_id(request, id, sizeof(id));
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.alerts/1");
	jsonw_text(&json, "id", id);
	jsonw_array(&json, "alerts");
	cJSON_ArrayForEach(event, events)
	{
		if (rc == 0)
			rc = raw_event(&json, event);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	return rc;
}

/* --- Slack ------------------------------------------------------------- */

/* What Slack takes for markup. */
static void
slack_escaped(struct buffer *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			buffer_text(out, "&amp;");
		else if (*text == '<')
			buffer_text(out, "&lt;");
		else if (*text == '>')
			buffer_text(out, "&gt;");
		else
			buffer_append(out, text, 1);
	}
}

static void
slack_line(
    struct buffer *out, const char *before, const char *text, const char *after)
{
	if (*text == '\0')
		return;
	buffer_text(out, before);
	slack_escaped(out, text);
	buffer_text(out, after);
}

static void
slack_section(struct jsonw *json, const cJSON *event)
{
	const cJSON *other = NULL;
	struct buffer text;

	buffer_init(&text, TEXT_MAX);
	slack_line(&text, "*", record_text(event, "state", ""), "* ");
	slack_line(&text, "", record_text(event, "severity", ""), " · ");
	slack_line(&text, "", record_text(event, "system", ""), " · ");
	slack_line(&text, "*", record_text(event, "subject", ""), "*\n");
	slack_line(&text, "", record_text(event, "summary", ""), "\n");
	slack_line(&text, "> ", record_text(event, "evidence", ""), "\n");
	/* nobody is to mend what is over */
	if (!is_over(event)) {
		slack_line(
		    &text, "fix: `", record_text(event, "fix", ""), "`\n");
		slack_line(&text, "why: `reeve explain ",
		    record_text(event, "finding", ""), "`\n");
	}
	cJSON_ArrayForEach(other, record_array(event, "explains"))
	{
		slack_line(
		    &text, "explains: ", record_text(other, "subject", ""), "");
		slack_line(
		    &text, ": ", record_text(other, "summary", ""), "\n");
	}
	slack_line(&text, "_since ", record_text(event, "since", ""), "_");
	jsonw_object(json, NULL);
	jsonw_text(json, "type", "section");
	jsonw_object(json, "text");
	jsonw_text(json, "type", "mrkdwn");
	put_cut(
	    json, "text", text.data == NULL ? "" : text.data, SLACK_TEXT_MAX);
	jsonw_end(json);
	jsonw_end(json);
	buffer_fini(&text);
}

/* `text` is what a notification shows, `blocks` what the channel does. */
static int
slack_body(const cJSON *request, struct buffer *body)
{
	const cJSON *events = record_array(request, "events");
	const cJSON *event = NULL;
	const cJSON *first = cJSON_GetArrayItem(events, 0);
	int count = cJSON_GetArraySize(events);
	struct buffer text;
	struct jsonw json;

	buffer_init(&text, TEXT_MAX);
	slack_line(&text, "[", record_text(first, "state", ""), "] ");
	slack_line(&text, "", record_text(first, "system", ""), ": ");
	slack_line(&text, "", record_text(first, "subject", ""), ": ");
	slack_line(&text, "", record_text(first, "summary", ""), "");
	if (count > 1)
		buffer_format(&text, " (and %d more)", count - 1);
	jsonw_init(&json, body, false);
	jsonw_object(&json, NULL);
	put_cut(
	    &json, "text", text.data == NULL ? "" : text.data, SLACK_TEXT_MAX);
	jsonw_array(&json, "blocks");
	cJSON_ArrayForEach(event, events) slack_section(&json, event);
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_fini(&text);
	return 0;
}

/* --- PagerDuty, Events API v2 ------------------------------------------ */

/* Of the alert, not of the event: what is repeated is the same incident, and
 * its end closes it. */
static int
pagerduty_key(struct jsonw *json, const cJSON *event)
{
	const char *system = record_text(event, "system", "");
	const char *key = record_text(event, "key", "");
	char text[PAGERDUTY_KEY + 1];
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (text_format(text, sizeof(text), NULL, "reeve:%s:%s", system, key) ==
	    -1) {
		if (EVP_Digest(key, strlen(key), digest, &len, EVP_sha256(),
		        NULL) != 1)
			return -1;
		(void)snprintf(text, sizeof(text), "reeve:%.100s:", system);
		(void)text_hex(digest, len, text + strlen(text));
	}
	jsonw_text(json, "dedup_key", text);
	return 0;
}

static void
pagerduty_payload(struct jsonw *json, const cJSON *event)
{
	static const char *const DETAILS[] = {
	    "evidence", "fix", "finding", "key", "queues", "since", "id"};
	struct buffer text;

	buffer_init(&text, TEXT_MAX);
	buffer_format(&text, "%s: %s: %s", record_text(event, "system", ""),
	    record_text(event, "subject", ""),
	    record_text(event, "summary", ""));
	jsonw_object(json, "payload");
	put_cut(json, "summary", text.data == NULL ? "" : text.data,
	    PAGERDUTY_SUMMARY);
	buffer_fini(&text);
	jsonw_text(json, "source", record_text(event, "system", "reeve"));
	jsonw_text(json, "severity", record_text(event, "severity", "error"));
	jsonw_text(json, "timestamp", record_text(event, "since", ""));
	jsonw_text(json, "component", record_text(event, "subject", ""));
	jsonw_text(json, "group", record_text(event, "system", ""));
	jsonw_text(json, "class", record_text(event, "kind", ""));
	jsonw_object(json, "custom_details");
	for (size_t i = 0; i < ARRAY_LEN(DETAILS); i++) {
		const char *value = record_text(event, DETAILS[i], "");
		if (*value != '\0')
			jsonw_text(json, DETAILS[i], value);
	}
	put_explain(json, event);
	jsonw_end(json);
	jsonw_end(json);
}

static int
pagerduty_body(const cJSON *request, struct buffer *body)
{
	const cJSON *event =
	    cJSON_GetArrayItem(record_array(request, "events"), 0);
	struct jsonw json;

	jsonw_init(&json, body, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "routing_key", record_text(request, "secret", ""));
	jsonw_text(
	    &json, "event_action", is_over(event) ? "resolve" : "trigger");
	if (pagerduty_key(&json, event) == -1)
		return -1;
	jsonw_text(&json, "client", "reeve");
	if (!is_over(event))
		pagerduty_payload(&json, event);
	jsonw_end(&json);
	return 0;
}

/* --- Alertmanager, API v2 ---------------------------------------------- */

/* Labels are the alert's identity there: what may change goes into the
 * annotations. An empty one is none. */
static void
alertmanager_pairs(struct jsonw *json, const cJSON *event,
    const char *const (*pairs)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = record_text(event, pairs[i][1], "");
		if (*value != '\0')
			jsonw_text(json, pairs[i][0], value);
	}
}

static void
alertmanager_alert(struct jsonw *json, const cJSON *event, int64_t resend_ms)
{
	static const char *const LABELS[][2] = {{"alertname", "kind"},
	    {"system", "system"}, {"severity", "severity"}, {"key", "key"},
	    {"worker", "worker"}};
	static const char *const ANNOTATIONS[][2] = {{"summary", "summary"},
	    {"description", "evidence"}, {"subject", "subject"}, {"fix", "fix"},
	    {"finding", "finding"}, {"queues", "queues"}, {"id", "id"}};
	char ends[CLOCK_TEXT_SIZE];
	int64_t lasts_ms =
	    clock_after(clock_wall_ms(), RESENDS_MISSED * resend_ms);

	jsonw_object(json, NULL);
	jsonw_object(json, "labels");
	alertmanager_pairs(json, event, LABELS, ARRAY_LEN(LABELS));
	jsonw_end(json);
	jsonw_object(json, "annotations");
	alertmanager_pairs(json, event, ANNOTATIONS, ARRAY_LEN(ANNOTATIONS));
	put_explain(json, event);
	jsonw_end(json);
	jsonw_text(json, "startsAt", record_text(event, "since", ""));
	jsonw_text(json, "endsAt",
	    is_over(event) ? record_text(event, "at", "")
	                   : clock_text(lasts_ms, ends));
	jsonw_end(json);
}

static int
alertmanager_body(const cJSON *request, struct buffer *body)
{
	const cJSON *event = NULL;
	int64_t resend_ms = record_i64(request, "resend_ms", 0);
	struct jsonw json;

	jsonw_init(&json, body, false);
	jsonw_array(&json, NULL);
	cJSON_ArrayForEach(event, record_array(request, "events"))
	    alertmanager_alert(&json, event, resend_ms);
	jsonw_end(&json);
	return 0;
}

/* --- which ------------------------------------------------------------- */

int
deliver_body(const cJSON *request, struct buffer *body)
{
	const char *kind = record_text(request, "kind", "");

	if (text_equal(record_text(request, "format", ""), "slack"))
		return slack_body(request, body);
	if (text_equal(kind, "pagerduty"))
		return pagerduty_body(request, body);
	if (text_equal(kind, "alertmanager"))
		return alertmanager_body(request, body);
	if (text_equal(kind, "webhook") || text_equal(kind, "command"))
		return own_body(request, body);
	return -1;
}

void
deliver_id(const cJSON *request, char *dst, size_t size)
{
	const cJSON *events = record_array(request, "events");
	int count = cJSON_GetArraySize(events);
	const char *first =
	    record_text(cJSON_GetArrayItem(events, 0), "id", "");
	const char *last =
	    record_text(cJSON_GetArrayItem(events, count - 1), "id", "");

	(void)snprintf(
	    dst, size, count > 1 ? "%.100s..%.100s" : "%.100s", first, last);
}

int
deliver_sign(const char *key, int64_t seconds, const struct buffer *body,
    char *dst, size_t size)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buffer text;
	int rc = 0;

	buffer_init(&text, body->len + 64);
	buffer_format(&text, "%" PRId64 ".", seconds);
	buffer_append(&text, body->data, body->len);
	if (text.overflow ||
	    HMAC(EVP_sha256(), key, (int)strlen(key),
	        (const unsigned char *)text.data, text.len, sum, &len) == NULL)
		rc = -1;
	buffer_fini(&text);
	if (rc == -1 ||
	    text_format(dst, size, NULL, "t=%" PRId64 ",v1=", seconds) == -1)
		return -1;
	size_t at = strlen(dst);

	if (size - at <= 2 * (size_t)len)
		return -1;
	(void)text_hex(sum, len, dst + at);
	return 0;
}
