/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/alert_cause.h"
#include "supervisor/operator/alert_events.h"
#include "supervisor/operator/alerts.h"
#include "supervisor/operator/receivers.h"
#include "supervisor/operator/spool.h"

enum {
	MARGIN_MS = 15 * 1000
};

static char *
copy(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

static bool
replace_text(char **at, const char *text)
{
	if (text_equal(*at, text))
		return false;
	free(*at);
	*at = copy(text);
	return true;
}

static const struct declared_alert_rule *
rule_of(const struct alerts *alerts, const char *kind)
{
	for (size_t i = 0; i < alerts->nrules; i++)
		if (text_equal(alerts->rules[i].kind, kind))
			return &alerts->rules[i];
	return NULL;
}

/* Text may follow how things develop; it's the same alert. */
static void
fill(const struct alerts *alerts, struct alert *alert,
    const struct alert_condition *from)
{
	const struct declared_alert_rule *rule = rule_of(alerts, from->kind);

	(void)replace_text(&alert->key, from->key);
	(void)replace_text(&alert->kind, from->kind);
	(void)replace_text(&alert->subject, from->subject);
	(void)replace_text(&alert->summary, from->summary);
	(void)replace_text(&alert->evidence, from->evidence);
	(void)replace_text(&alert->worker, from->worker);
	(void)replace_text(&alert->queues, from->queues);
	(void)replace_text(&alert->finding, from->finding);
	(void)replace_text(&alert->fix, from->fix);
	alert->hold_ms = from->hold_ms;
	alert->for_ms = rule == NULL ? from->for_ms : rule->for_ms;
	alert->muted = rule != NULL && !rule->send;
	if (!alert->told)
		alert->severity = rule != NULL && rule->has_severity
		                      ? rule->severity
		                      : from->severity;
}

static void
tell(const struct alerts *alerts, const struct alert *alert, const char *state)
{
	if (alerts->told != NULL)
		alerts->told(alerts->told_arg, alert, state);
}

/* --- a pass ------------------------------------------------------------ */

static void
take(struct alerts *alerts, const struct alert_condition *condition)
{
	struct alert **at = &alerts->known;

	while (*at != NULL && !text_equal((*at)->key, condition->key))
		at = &(*at)->next;
	if (*at == NULL) {
		struct alert *alert = calloc(1, sizeof(*alert));
		if (alert == NULL)
			return;
		alert->since_wall_ms = clock_wall_ms();
		alert->since_ms = clock_ms();
		for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
			alert->repeat_at_ms[i] = CLOCK_NEVER;
		*at = alert;
		alerts->changed = true;
	}
	fill(alerts, *at, condition);
	(*at)->holds = true;
	(*at)->restored = false;
}

/* Until when one that a predecessor knew needn't be seen. Whoever measures how
 * long something has lasted began anew, and later than we did: without a margin
 * it would be over just before it is found again. */
static int64_t
restored_until_ms(const struct alerts *alerts, const struct alert *alert)
{
	int64_t hold_ms =
	    alert->hold_ms == 0 ? 0 : clock_after(alert->hold_ms, MARGIN_MS);

	return clock_after(alerts->restored_ms, hold_ms);
}

/* Those that are over go; who was told of one is told that. */
static void
resolve(struct alerts *alerts)
{
	struct alert **at = &alerts->known;

	while (*at != NULL) {
		struct alert *alert = *at;
		bool waits = alert->restored &&
		             restored_until_ms(alerts, alert) > clock_ms();
		if (alert->holds || waits) {
			at = &alert->next;
			continue;
		}
		alert->cause = NULL;
		*at = alert->next;
		if (alert->told) {
			alert_events_emit(alerts, alert, "resolved", NULL);
			tell(alerts, alert, "resolved");
		} else if (alert->quiet) {
			tell(alerts, alert, "resolved");
		}
		alerts->changed = true;
		spool_free_alert(alert);
	}
}

static void
raise_those_due(struct alerts *alerts)
{
	int64_t now_ms = clock_ms();

	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		int64_t due_ms = clock_after(alert->since_ms, alert->for_ms);
		if (alert->told || alert->muted || !alert->holds ||
		    alert->cause != NULL)
			continue;
		if (due_ms > now_ms) {
			alerts->wake_ms = MIN(alerts->wake_ms, due_ms);
			continue;
		}
		if (alert->silence != 0) {
			if (!alert->quiet)
				tell(alerts, alert, "silenced");
			alerts->changed = alerts->changed || !alert->quiet;
			alert->quiet = true;
			continue;
		}
		alert->told = true;
		alert->quiet = false;
		alert_events_set_repeats(alerts, alert);
		alert_events_emit(alerts, alert, "raised", NULL);
		tell(alerts, alert, "raised");
	}
}

/* What waits says already that it lasts. */
static void
repeat(struct alerts *alerts, struct alert *alert)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		struct alert_receiver *receiver = &alerts->receivers[i];
		/* An Alertmanager that hears nothing takes it for over. */
		if (!receiver->used || alert->repeat_at_ms[i] > now_ms ||
		    (alert->silence != 0 &&
		        !text_equal(receiver->kind, "alertmanager")))
			continue;
		alert->repeat_at_ms[i] =
		    clock_after(now_ms, receiver->repeat_ms);
		if (!receivers_waits(receiver, alert))
			alert_events_emit(alerts, alert, "repeated", receiver);
	}
}

static void
silence_over(void *arg, const struct silence *silence)
{
	struct alerts *alerts = arg;

	if (alerts->silence_over != NULL)
		alerts->silence_over(alerts->told_arg, silence);
}

static int64_t
silence_of(const struct alerts *alerts, const struct alert *alert)
{
	return silences_find(&alerts->silences,
	    &(struct silence_subject){
	        alert->key, alert->kind, alert->subject, alert->finding});
}

void
alerts_judge(struct alerts *alerts, const struct alert_condition *conditions,
    size_t count)
{
	uint64_t before = alerts->next;

	/* No manifest could be read yet: whom to tell isn't known, and what
	 * is told to nobody would be lost. */
	if (!alerts->receivers[0].used)
		return;
	alerts->wake_ms = CLOCK_NEVER;
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		alert->holds = false;
		alert->cause = NULL;
	}
	for (size_t i = 0; i < count; i++)
		take(alerts, &conditions[i]);
	resolve(alerts);
	alert_cause_find(alerts);
	silences_expire(
	    &alerts->silences, alerts->dir, clock_ms(), silence_over, alerts);
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		alert->silence = silence_of(alerts, alert);
	raise_those_due(alerts);
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		if (alert->told && alert->holds) {
			if (alert->silence == 0 && !alert->muted &&
			    alert->cause == NULL)
				alert_events_tell_late(alerts, alert);
			repeat(alerts, alert);
		}
	if (alerts->changed) {
		spool_checkpoint(alerts);
		spool_prune(alerts); /* what is for nobody */
	} else {
		spool_save_again(alerts);
	}
	if (alerts->next != before)
		receivers_send(alerts);
}

int64_t
alerts_wake_ms(const struct alerts *alerts)
{
	int64_t wake_ms =
	    MIN(alerts->wake_ms, silences_wake_ms(&alerts->silences));

	/* Nothing is judged before it is known whom to tell. */
	if (!alerts->receivers[0].used)
		return CLOCK_NEVER;
	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		for (size_t i = 0; alert->told && alert->silence == 0 &&
		                   i < ALERT_RECEIVERS_MAX;
		     i++)
			wake_ms = MIN(wake_ms, alert->repeat_at_ms[i]);
		if (alert->restored)
			wake_ms =
			    MIN(wake_ms, restored_until_ms(alerts, alert));
	}
	return wake_ms;
}

/* --- life -------------------------------------------------------------- */

static void
forget_rules(struct alerts *alerts)
{
	for (size_t i = 0; i < alerts->nrules; i++) {
		char *kind = NULL;
		memcpy(&kind, &alerts->rules[i].kind, sizeof(kind));
		free(kind);
	}
	free(alerts->rules);
	alerts->rules = NULL;
	alerts->nrules = 0;
}

void
alerts_rules(struct alerts *alerts, const struct declared_alert_rule *rules,
    size_t count)
{
	forget_rules(alerts);
	if (count == 0)
		return;
	alerts->rules = calloc(count, sizeof(*alerts->rules));
	for (size_t i = 0; alerts->rules != NULL && i < count; i++) {
		alerts->rules[i] = rules[i];
		alerts->rules[i].kind = copy(rules[i].kind);
		alerts->rules[i].place = (struct place){0};
		alerts->nrules++;
	}
}

void
alerts_init(struct alerts *alerts, struct loop *loop, const char *system,
    const char *dir)
{
	uint32_t nonce = 0;

	*alerts = (struct alerts){
	    .loop = loop,
	    .system = copy(system),
	    .next = 1,
	    .restored_ms = clock_ms(),
	    .wake_ms = CLOCK_NEVER,
	};
	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(nonce))
		nonce = (uint32_t)clock_wall_ms();
	(void)snprintf(
	    alerts->nonce, sizeof(alerts->nonce), "%08" PRIx32, nonce);
	spool_open(alerts, dir);
	silences_read(&alerts->silences, alerts->dir);
}

void
alerts_fini(struct alerts *alerts)
{
	receivers_clear(alerts);
	forget_rules(alerts);
	while (alerts->known != NULL) {
		struct alert *alert = alerts->known;
		alerts->known = alert->next;
		spool_free_alert(alert);
	}
	spool_close(alerts);
	free(alerts->system);
	free(alerts->dir);
	*alerts = (struct alerts){0};
}

/* --- silences ---------------------------------------------------------- */

static size_t
silenced_by(const struct alerts *alerts, int64_t id)
{
	size_t count = 0;

	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		count += silence_of(alerts, alert) == id;
	return count;
}

int
alerts_silence(struct alerts *alerts, const struct silence *wanted,
    int64_t for_ms, int64_t *ret_id, size_t *ret_count, struct err *err)
{
	if (silences_add(&alerts->silences, alerts->dir, wanted, for_ms, ret_id,
	        err) == -1)
		return -1;
	*ret_count = silenced_by(alerts, *ret_id);
	return 0;
}

bool
alerts_unsilence(struct alerts *alerts, int64_t id)
{
	return silences_remove(&alerts->silences, alerts->dir, id);
}

void
alerts_write_silences(const struct alerts *alerts, struct jsonw *json)
{
	char at[CLOCK_TEXT_SIZE];

	for (size_t i = 0; i < alerts->silences.count; i++) {
		const struct silence *one = &alerts->silences.list[i];
		jsonw_object(json, NULL);
		jsonw_i64(json, "id", one->id);
		jsonw_text(json, "match", one->match);
		jsonw_text(json, "reason", one->reason);
		jsonw_text(json, "by", one->by);
		jsonw_text(json, "since", clock_text(one->since_wall_ms, at));
		jsonw_text(json, "until", clock_text(one->until_wall_ms, at));
		jsonw_i64(
		    json, "alerts", (int64_t)silenced_by(alerts, one->id));
		jsonw_end(json);
	}
}

/* --- status ------------------------------------------------------------ */

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

static const char *
state_name(const struct alert *alert)
{
	return alert->silence != 0    ? "silenced"
	       : alert->told          ? "raised"
	       : alert->muted         ? "muted"
	       : alert->cause != NULL ? "explained"
	                              : "pending";
}

void
alerts_write(const struct alerts *alerts, struct jsonw *json)
{
	char at[CLOCK_TEXT_SIZE];

	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		jsonw_object(json, NULL);
		jsonw_text(json, "key", alert->key);
		jsonw_text(json, "kind", alert->kind);
		jsonw_text(json, "state", state_name(alert));
		jsonw_text(json, "explained_by",
		    alert->cause == NULL ? NULL : alert->cause->key);
		if (alert->silence == 0)
			jsonw_null(json, "silenced_by");
		else
			jsonw_i64(json, "silenced_by", alert->silence);
		jsonw_text(json, "severity", severity_name(alert->severity));
		jsonw_text(json, "subject", alert->subject);
		jsonw_text(json, "summary", alert->summary);
		jsonw_text(json, "evidence", alert->evidence);
		jsonw_text(json, "finding", alert->finding);
		jsonw_text(json, "fix", alert->fix);
		jsonw_text(json, "since", clock_text(alert->since_wall_ms, at));
		jsonw_i64(json, "undelivered", (int64_t)waiting(alerts, alert));
		jsonw_end(json);
	}
}
