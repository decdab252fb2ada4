/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/alerts.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/spool.h"

enum {
	DELIVER_TIMEOUT_MS = 10 * 1000,
	DELIVER_KILL_MS = 12 * 1000,
	RETRY_FIRST_MS = 1000,
	RETRY_CAP_MS = 60 * 1000,
	RETRY_DOUBLINGS = 6,
	REQUEST_MAX = 256 * 1024,
};

static void next_delivery(struct alert_receiver *receiver);

static void
alert_free(struct alert *alert)
{
	free(alert->key);
	free(alert->kind);
	free(alert->subject);
	free(alert->summary);
	free(alert->evidence);
	free(alert);
}

static struct alert **
find(struct alerts *alerts, const char *key)
{
	struct alert **at = &alerts->raised;

	while (*at != NULL && !text_equal((*at)->key, key))
		at = &(*at)->next;
	return at;
}

/* --- deliveries -------------------------------------------------------- */

static void
event_done(struct alert_receiver *receiver, struct alert_event *event)
{
	struct alerts *alerts = receiver->alerts;

	spool_delivered(event, receiver->name);
	if (event->npending > 0) {
		spool_keep(alerts, event);
		return;
	}
	struct alert_event **at = &alerts->events;

	while (*at != event)
		at = &(*at)->next;
	*at = event->next;
	alerts->nevents--;
	spool_forget(alerts, event);
}

static void
failed(struct alert_receiver *receiver, const char *why)
{
	struct err err = ERR_INIT;
	unsigned doublings = MIN(receiver->attempts, (unsigned)RETRY_DOUBLINGS);
	int64_t delay_ms =
	    MIN((int64_t)RETRY_FIRST_MS << doublings, (int64_t)RETRY_CAP_MS);

	receiver->attempts++;
	receiver->sending = 0;
	log_warning("alert.undelivered",
	    "receiver=%s attempt=%u retry_in_ms=%" PRId64 " why=\"%s\"",
	    receiver->name, receiver->attempts, delay_ms, why);
	if (loop_timer_set(receiver->alerts->loop, &receiver->retry,
	        clock_after(clock_ms(), delay_ms), &err) == -1)
		log_error(
		    "alert.stuck", "receiver=%s %s", receiver->name, err.text);
}

static void
delivery_over(struct helper *helper, int status, bool killed)
{
	struct alert_receiver *receiver = helper->owner;
	struct alert_event *event = receiver->alerts->events;

	while (event != NULL && event->number != receiver->sending)
		event = event->next;
	if (killed) {
		failed(receiver, "no answer in time");
		return;
	}
	if (status != 0) {
		CLEANUP(record_free)
		cJSON *answer = record_parse(helper->out.data, helper->out.len);
		failed(receiver, record_text(answer, "error", "it failed"));
		return;
	}
	receiver->sending = 0;
	receiver->attempts = 0;
	if (event != NULL)
		event_done(receiver, event);
	next_delivery(receiver);
}

static void
write_request(struct alert_receiver *receiver, const struct alert_event *event)
{
	struct jsonw json;

	jsonw_init(&json, &receiver->helper.in, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "kind", receiver->kind);
	jsonw_text(&json, "url", receiver->url);
	jsonw_text(&json, "format", receiver->format);
	jsonw_i64(&json, "timeout_ms", DELIVER_TIMEOUT_MS);
	jsonw_array(&json, "command");
	for (size_t i = 0; receiver->command[i] != NULL; i++)
		jsonw_text(&json, NULL, receiver->command[i]);
	jsonw_end(&json);
	jsonw_raw(&json, "payload", event->json);
	jsonw_end(&json);
	buffer_text(&receiver->helper.in, "\n");
}

static void
say(const struct alert_receiver *receiver, const struct alert_event *event)
{
	CLEANUP(record_free)
	cJSON *json = record_parse(event->json, strlen(event->json));
	const char *state = record_text(json, "state", "");
	const char *evidence = record_text(json, "evidence", "");

	log_event(text_equal(state, "resolved") ? LOG_INFO : LOG_WARNING,
	    "alert", "state=%s kind=%s subject=\"%s\" receiver=%s %s%s%s",
	    state, record_text(json, "kind", ""),
	    record_text(json, "subject", ""), receiver->name,
	    record_text(json, "summary", ""), *evidence == '\0' ? "" : ": ",
	    evidence);
}

static bool
to_stderr(const struct alert_receiver *receiver)
{
	return text_equal(receiver->kind, "stderr");
}

/* In order: the oldest event that this receiver hasn't taken, one at a time. */
static void
next_delivery(struct alert_receiver *receiver)
{
	static const char *const DELIVER[] = {NULL, "deliver", NULL};
	struct err err = ERR_INIT;
	struct alert_event *event = receiver->alerts->events;

	while (event != NULL) {
		struct alert_event *next = event->next;
		if (!spool_waits_for(event, receiver->name)) {
			event = next;
			continue;
		}
		if (!to_stderr(receiver))
			break;
		say(receiver, event);
		event_done(receiver, event);
		event = next;
	}
	if (event == NULL || helper_runs(&receiver->helper) ||
	    receiver->retry.slot != 0)
		return;
	buffer_clear(&receiver->helper.in);
	write_request(receiver, event);
	receiver->sending = event->number;
	if (helper_start(&receiver->helper, DELIVER,
	        clock_after(clock_ms(), DELIVER_KILL_MS), &err) == -1 &&
	    !helper_runs(&receiver->helper))
		failed(receiver, err.text);
}

static void
try_again(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	next_delivery(timer->owner);
}

/* --- events ------------------------------------------------------------ */

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
	jsonw_format(&json, "id", "%s-%" PRIu64,
	    alerts->system == NULL ? "" : alerts->system, alerts->next);
	jsonw_text(&json, "state", state);
	jsonw_text(&json, "system", alerts->system);
	jsonw_text(&json, "key", alert->key);
	jsonw_text(&json, "kind", alert->kind);
	jsonw_text(&json, "severity", severity_name(alert->severity));
	jsonw_text(&json, "subject", alert->subject);
	jsonw_text(&json, "summary", alert->summary);
	jsonw_text(&json, "evidence", alert->evidence);
	jsonw_text(&json, "since", clock_text(alert->since_wall_ms, since));
	jsonw_text(&json, "at", clock_text(clock_wall_ms(), at));
	jsonw_i64(&json, "since_ms", alert->since_wall_ms);
	jsonw_i64(&json, "hold_ms", alert->hold_ms);
	jsonw_end(&json);
}

/* `only`: to one receiver, else to all. */
static void
emit(struct alerts *alerts, const struct alert *alert, const char *state,
    const struct alert_receiver *only)
{
	const char *names[ALERT_RECEIVERS_MAX];
	size_t count = 0;
	struct buffer text;

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		if (receiver->used && (only == NULL || only == receiver))
			names[count++] = receiver->name;
	}
	buffer_init(&text, REQUEST_MAX);
	write_event(alerts, alert, state, &text);
	if (!text.overflow)
		spool_append(alerts, text.data, names, count);
	buffer_fini(&text);
}

static void
set_repeats(struct alerts *alerts, struct alert *alert)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		alert->repeat_at_ms[i] =
		    receiver->used && receiver->repeat_ms > 0
		        ? clock_after(now_ms, receiver->repeat_ms)
		        : CLOCK_NEVER;
	}
}

static bool
replace_text(char **at, const char *text)
{
	if (text_equal(*at, text))
		return false;
	free(*at);
	*at = strdup(text == NULL ? "" : text);
	return true;
}

static void
alert_fill(struct alert *alert, const struct alert_condition *from)
{
	(void)replace_text(&alert->key, from->key);
	(void)replace_text(&alert->kind, from->kind);
	(void)replace_text(&alert->subject, from->subject);
	(void)replace_text(&alert->summary, from->summary);
	(void)replace_text(&alert->evidence, from->evidence);
	alert->severity = from->severity;
	alert->hold_ms = from->hold_ms;
}

static void
tell(const struct alerts *alerts, const struct alert *alert, const char *state)
{
	if (alerts->told != NULL)
		alerts->told(alerts->told_arg, alert, state);
}

static bool
raise_one(struct alerts *alerts, const struct alert_condition *condition)
{
	struct alert **at = find(alerts, condition->key);

	if (*at != NULL) {
		/* Text may follow how things develop; it's the same alert. */
		alert_fill(*at, condition);
		(*at)->holds = true;
		return false;
	}
	struct alert *alert = calloc(1, sizeof(*alert));

	if (alert == NULL)
		return false;
	alert_fill(alert, condition);
	alert->since_wall_ms = clock_wall_ms();
	alert->holds = true;
	set_repeats(alerts, alert);
	*at = alert;
	emit(alerts, alert, "raised", NULL);
	tell(alerts, alert, "raised");
	return true;
}

static void
repeat(struct alerts *alerts, struct alert *alert)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		struct alert_receiver *receiver = &alerts->receivers[i];
		if (!receiver->used || alert->repeat_at_ms[i] > now_ms)
			continue;
		alert->repeat_at_ms[i] =
		    clock_after(now_ms, receiver->repeat_ms);
		emit(alerts, alert, "repeated", receiver);
	}
}

void
alerts_judge(struct alerts *alerts, const struct alert_condition *conditions,
    size_t count)
{
	uint64_t before = alerts->next;
	struct alert **at = &alerts->raised;

	for (struct alert *alert = alerts->raised; alert != NULL;
	     alert = alert->next)
		alert->holds = false;
	for (size_t i = 0; i < count; i++)
		(void)raise_one(alerts, &conditions[i]);
	while (*at != NULL) {
		struct alert *alert = *at;
		if (alert->holds) {
			alert->restored = false;
			repeat(alerts, alert);
			at = &alert->next;
			continue;
		}
		if (alert->restored && clock_after(alerts->restored_ms,
		                           alert->hold_ms) > clock_ms()) {
			at = &alert->next;
			continue;
		}
		emit(alerts, alert, "resolved", NULL);
		tell(alerts, alert, "resolved");
		*at = alert->next;
		alert_free(alert);
	}
	if (alerts->next == before)
		return;
	spool_checkpoint(alerts);
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (alerts->receivers[i].used)
			next_delivery(&alerts->receivers[i]);
}

int64_t
alerts_wake_ms(const struct alerts *alerts)
{
	int64_t wake_ms = CLOCK_NEVER;

	for (const struct alert *alert = alerts->raised; alert != NULL;
	     alert = alert->next) {
		for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
			wake_ms = MIN(wake_ms, alert->repeat_at_ms[i]);
		if (alert->restored)
			wake_ms = MIN(wake_ms,
			    clock_after(alerts->restored_ms, alert->hold_ms));
	}
	return wake_ms;
}

/* --- receivers --------------------------------------------------------- */

static void
receiver_clear(struct alert_receiver *receiver)
{
	if (!receiver->used)
		return;
	helper_fini(&receiver->helper);
	loop_timer_clear(receiver->alerts->loop, &receiver->retry);
	free(receiver->name);
	free(receiver->kind);
	free(receiver->url);
	free(receiver->format);
	for (size_t i = 0; receiver->command[i] != NULL; i++)
		free(receiver->command[i]);
	*receiver = (struct alert_receiver){0};
}

static bool
receiver_same(const struct alert_receiver *receiver,
    const struct declared_alert *declared)
{
	size_t i = 0;

	if (!receiver->used || !text_equal(receiver->name, declared->name) ||
	    !text_equal(receiver->kind, declared->kind) ||
	    !text_equal(receiver->url, declared->url) ||
	    !text_equal(receiver->format, declared->format) ||
	    receiver->repeat_ms != declared->repeat_ms)
		return false;
	for (; receiver->command[i] != NULL && declared->command != NULL &&
	       declared->command[i] != NULL;
	     i++)
		if (!text_equal(receiver->command[i], declared->command[i]))
			return false;
	return receiver->command[i] == NULL &&
	       (declared->command == NULL || declared->command[i] == NULL);
}

static char *
copy(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

static void
receiver_set(struct alerts *alerts, struct alert_receiver *receiver,
    const struct declared_alert *declared)
{
	receiver_clear(receiver);
	*receiver = (struct alert_receiver){
	    .used = true,
	    .name = copy(declared->name),
	    .kind = copy(declared->kind),
	    .url = copy(declared->url),
	    .format = copy(declared->format),
	    .repeat_ms = declared->repeat_ms,
	    .retry = {.fire = try_again, .owner = receiver},
	    .alerts = alerts,
	};
	for (size_t i = 0;
	     declared->command != NULL && declared->command[i] != NULL &&
	     i < ALERT_COMMAND_MAX;
	     i++)
		receiver->command[i] = copy(declared->command[i]);
	helper_init(&receiver->helper, alerts->loop, delivery_over, receiver);
}

void
alerts_receivers(
    struct alerts *alerts, const struct declared_alert *declared, size_t count)
{
	static const struct declared_alert standard = {
	    .name = "stderr",
	    .kind = "stderr",
	};

	if (count == 0) {
		declared = &standard;
		count = 1;
	}
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		struct alert_receiver *receiver = &alerts->receivers[i];
		if (i >= count)
			receiver_clear(receiver);
		else if (!receiver_same(receiver, &declared[i]))
			receiver_set(alerts, receiver, &declared[i]);
	}
	spool_prune(alerts);
	for (struct alert *alert = alerts->raised; alert != NULL;
	     alert = alert->next)
		set_repeats(alerts, alert);
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (alerts->receivers[i].used)
			next_delivery(&alerts->receivers[i]);
}

/* --- life -------------------------------------------------------------- */

void
alerts_init(struct alerts *alerts, struct loop *loop, const char *system,
    const char *dir)
{
	*alerts = (struct alerts){
	    .loop = loop,
	    .system = copy(system),
	    .next = 1,
	    .restored_ms = clock_ms(),
	};
	spool_open(alerts, dir);
}

void
alerts_fini(struct alerts *alerts)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		receiver_clear(&alerts->receivers[i]);
	while (alerts->raised != NULL) {
		struct alert *alert = alerts->raised;
		alerts->raised = alert->next;
		alert_free(alert);
	}
	spool_close(alerts);
	free(alerts->system);
	free(alerts->dir);
	*alerts = (struct alerts){0};
}

static size_t
waiting(const struct alerts *alerts, const struct alert *alert)
{
	size_t count = 0;

	for (const struct alert_event *event = alerts->events; event != NULL;
	     event = event->next)
		if (text_equal(event->key, alert->key))
			count++;
	return count;
}

void
alerts_write(const struct alerts *alerts, struct jsonw *json)
{
	char at[CLOCK_TEXT_SIZE];

	for (const struct alert *alert = alerts->raised; alert != NULL;
	     alert = alert->next) {
		jsonw_object(json, NULL);
		jsonw_text(json, "key", alert->key);
		jsonw_text(json, "kind", alert->kind);
		jsonw_text(json, "severity", severity_name(alert->severity));
		jsonw_text(json, "subject", alert->subject);
		jsonw_text(json, "summary", alert->summary);
		jsonw_text(json, "evidence", alert->evidence);
		jsonw_text(json, "since", clock_text(alert->since_wall_ms, at));
		jsonw_i64(json, "undelivered", (int64_t)waiting(alerts, alert));
		jsonw_end(json);
	}
}
