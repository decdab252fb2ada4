/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/alert_events.h"
#include "supervisor/operator/receivers.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/sending.h"
#include "supervisor/operator/spool.h"

enum {
	DELIVER_TIMEOUT_MS = 10 * 1000,
	DELIVER_KILL_MS = 12 * 1000,
	RETRY_FIRST_MS = 1000,
	RETRY_CAP_MS = 60 * 1000,
	RETRY_DOUBLINGS = 6,
	RETRY_ASKED_CAP_MS = 60 * 60 * 1000,
	MESSAGE_MAX = 1024 * 1024,
};

static bool
is(const struct alert_receiver *receiver, const char *kind)
{
	return text_equal(receiver->kind, kind);
}

/* --- what follows from an answer --------------------------------------- */

enum receiver_fault
receiver_fault(int64_t http_status)
{
	switch (http_status) {
	case 400:
	case 413:
	case 415:
	case 422:
		return FAULT_CONTENT;
	case 408:
	case 425:
	case 429:
		return FAULT_FOR_NOW;
	default:
		return http_status >= 300 && http_status <= 499 ? FAULT_ADDRESS
		                                                : FAULT_FOR_NOW;
	}
}

int64_t
receiver_delay_ms(
    enum receiver_fault fault, unsigned attempts, int64_t asked_ms)
{
	unsigned doublings = MIN(attempts, (unsigned)RETRY_DOUBLINGS);
	int64_t delay_ms =
	    MIN((int64_t)RETRY_FIRST_MS << doublings, (int64_t)RETRY_CAP_MS);

	if (fault != FAULT_FOR_NOW)
		return RETRY_SLOW_MS;
	return MAX(delay_ms, MIN(asked_ms, (int64_t)RETRY_ASKED_CAP_MS));
}

static void
told(const struct alert_receiver *receiver, const char *why)
{
	const struct alerts *alerts = receiver->alerts;

	if (alerts->receiver_told != NULL)
		alerts->receiver_told(alerts->told_arg, receiver->name, why);
}

static void
works(struct alert_receiver *receiver)
{
	receiver->attempts = 0;
	receiver->why[0] = '\0';
	if (receiver->failing_since_wall_ms == 0)
		return;
	receiver->failing_since_wall_ms = 0;
	log_info(
	    "alert.receiver", "receiver=%s takes alerts again", receiver->name);
	told(receiver, NULL);
}

static void
wait_until(struct alert_receiver *receiver, int64_t at_ms)
{
	struct err err = ERR_INIT;

	receiver->only_aside = false;
	if (loop_timer_set(
	        receiver->alerts->loop, &receiver->retry, at_ms, &err) == -1)
		log_error(
		    "alert.stuck", "receiver=%s %s", receiver->name, err.text);
}

/* The timer runs, and not only for what was set aside. */
static bool
must_wait(const struct alert_receiver *receiver)
{
	return receiver->retry.slot != 0 && !receiver->only_aside;
}

/* A test is for the one who waits for its answer: it isn't tried again. */
static void
drop_test(struct alert_receiver *receiver)
{
	struct alert_event *next = NULL;

	for (struct alert_event *event = receiver->alerts->events;
	     event != NULL; event = next) {
		next = event->next;
		if (!event->test ||
		    spool_waits_for(event, receiver->name) == NULL)
			continue;
		(void)snprintf(receiver->test_why, sizeof(receiver->test_why),
		    "%s", receiver->why);
		spool_delivered(receiver->alerts, event, receiver->name);
	}
}

/* One of several is what it doesn't take: each by itself, then; and a single
 * one is set aside. */
static void
content_refused(struct alert_receiver *receiver)
{
	struct alert_event *event =
	    spool_find(receiver->alerts, receiver->sending[0]);
	struct alert_pending *pending =
	    event == NULL ? NULL : spool_waits_for(event, receiver->name);

	if (receiver->nsending > 1)
		receiver->singly = (unsigned)receiver->nsending;
	else if (pending != NULL)
		pending->not_before_ms = clock_after(clock_ms(), RETRY_SLOW_MS);
	receiver->nsending = 0;
}

static void
failed(struct alert_receiver *receiver, const char *why, int64_t status,
    int64_t asked_ms)
{
	enum receiver_fault fault = receiver_fault(status);
	int64_t delay_ms =
	    receiver_delay_ms(fault, receiver->attempts, asked_ms);

	receiver->attempts++;
	(void)snprintf(receiver->why, sizeof(receiver->why), "%s%s", why,
	    fault == FAULT_ADDRESS   ? ": look at its URL and key"
	    : fault == FAULT_CONTENT ? ": the message was refused"
	                             : "");
	log_warning("alert.undelivered",
	    "receiver=%s attempt=%u retry_in_ms=%" PRId64 " why=\"%s\"",
	    receiver->name, receiver->attempts, delay_ms, receiver->why);
	if (receiver->failing_since_wall_ms == 0) {
		receiver->failing_since_wall_ms = clock_wall_ms();
		told(receiver, receiver->why);
	}
	if (fault == FAULT_CONTENT)
		content_refused(receiver);
	/* Without an answer it may have it all the same: the next message is
	 * this one again, so that it can be known by its id. */
	receiver->unsure = status == 0 && receiver->nsending > 0;
	if (!receiver->unsure) {
		receiver->nsending = 0;
		sending_is_over(receiver);
	}
	drop_test(receiver);
	if (fault == FAULT_CONTENT)
		receiver_next(receiver);
	else
		wait_until(receiver, clock_after(clock_ms(), delay_ms));
}

static void
delivery_over(struct helper *helper, int status, bool killed)
{
	struct alert_receiver *receiver = helper->owner;

	if (killed) {
		failed(receiver, "no answer in time", 0, 0);
		return;
	}
	if (status != 0) {
		CLEANUP(record_free)
		cJSON *answer = record_parse(helper->out.data, helper->out.len);
		failed(receiver, record_text(answer, "error", "it failed"),
		    record_i64(answer, "status", 0),
		    record_i64(answer, "retry_after_ms", 0));
		return;
	}
	spool_delivered_all(receiver);
	sending_is_over(receiver);
	works(receiver);
	receiver_next(receiver);
}

/* --- the next message -------------------------------------------------- */

/* How many events the receiver's message can hold. */
static size_t
batch_max(const struct alert_receiver *receiver)
{
	if (receiver->singly > 0 || is(receiver, "pagerduty"))
		return 1;
	if (receiver->group_wait_ms > 0 || is(receiver, "alertmanager") ||
	    text_equal(receiver->format, "slack"))
		return ALERT_BATCH_MAX;
	return 1;
}

/* The events of one alert go in their order, one a message: an end must not
 * pass its beginning. */
static bool
is_next_of_its_key(
    const struct alert_receiver *receiver, const struct alert_event *event)
{
	for (struct alert_event *before = receiver->alerts->events;
	     before != event; before = before->next)
		if (text_equal(before->key, event->key) &&
		    spool_waits_for(before, receiver->name) != NULL)
			return false;
	return true;
}

/* The message of which it isn't known whether the receiver has it. */
static size_t
the_same_again(struct alert_receiver *receiver,
    const struct alert_event *batch[ALERT_BATCH_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < receiver->nsending; i++) {
		struct alert_event *event =
		    spool_find(receiver->alerts, receiver->sending[i]);
		if (event != NULL &&
		    spool_waits_for(event, receiver->name) != NULL)
			batch[count++] = event;
	}
	receiver->unsure = false;
	return count;
}

/* Fills `batch`; else `ret_ms` is when something that was set aside may be
 * tried again. */
static size_t
choose(struct alert_receiver *receiver,
    const struct alert_event *batch[ALERT_BATCH_MAX], int64_t *ret_ms)
{
	int64_t now_ms = clock_ms();
	size_t max = batch_max(receiver);
	size_t count = 0;
	size_t bytes = 0;

	*ret_ms = CLOCK_NEVER;
	if (receiver->unsure)
		count = the_same_again(receiver, batch);
	if (count > 0)
		return count;
	for (struct alert_event *event = receiver->alerts->events;
	     event != NULL && count < max && bytes < MESSAGE_MAX;
	     event = event->next) {
		const struct alert_pending *pending =
		    spool_waits_for(event, receiver->name);
		if (pending == NULL || !is_next_of_its_key(receiver, event))
			continue;
		if (pending->not_before_ms > now_ms) {
			*ret_ms = MIN(*ret_ms, pending->not_before_ms);
			continue;
		}
		if (count > 0 && receiver->by_subject &&
		    !text_equal(batch[0]->subject, event->subject))
			continue;
		batch[count++] = event;
		bytes += strlen(event->json);
	}
	return count;
}

static void
write_request(struct alert_receiver *receiver,
    const struct alert_event *const *batch, size_t count,
    const struct sending_paths *paths)
{
	struct jsonw json;

	buffer_clear(&receiver->helper.in);
	jsonw_init(&json, &receiver->helper.in, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "kind", receiver->kind);
	jsonw_text(&json, "url", receiver->url);
	jsonw_text(&json, "secret", receiver->secret);
	jsonw_text(&json, "format", receiver->format);
	jsonw_bool(&json, "group", receiver->group_wait_ms > 0);
	jsonw_i64(&json, "resend_ms", receiver->repeat_ms);
	jsonw_i64(&json, "timeout_ms", DELIVER_TIMEOUT_MS);
	jsonw_text(&json, "sending", paths->sending);
	jsonw_text(&json, "taken", paths->taken);
	jsonw_array(&json, "command");
	for (size_t i = 0; receiver->command[i] != NULL; i++)
		jsonw_text(&json, NULL, receiver->command[i]);
	jsonw_end(&json);
	jsonw_array(&json, "events");
	for (size_t i = 0; i < count; i++)
		jsonw_raw(&json, NULL, batch[i]->json);
	jsonw_end(&json);
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
	bool over = text_equal(state, "resolved");
	/* nobody is to mend what is over */
	const char *fix = over ? "" : record_text(json, "fix", "");
	const char *finding = over ? "" : record_text(json, "finding", "");

	log_event(over ? LOG_INFO : LOG_WARNING, "alert",
	    "state=%s kind=%s subject=\"%s\" receiver=%s %s%s%s%s%s%s%s", state,
	    record_text(json, "kind", ""), record_text(json, "subject", ""),
	    receiver->name, record_text(json, "summary", ""),
	    *evidence == '\0' ? "" : ": ", evidence,
	    *fix == '\0' ? "" : "; fix: ", fix,
	    *finding == '\0' ? "" : "; why: reeve explain ", finding);
}

static void
say_all(struct alert_receiver *receiver)
{
	struct alert_event *next = NULL;

	for (struct alert_event *event = receiver->alerts->events;
	     event != NULL; event = next) {
		next = event->next;
		if (spool_waits_for(event, receiver->name) == NULL)
			continue;
		say(receiver, event);
		spool_delivered(receiver->alerts, event, receiver->name);
	}
}

void
receiver_next(struct alert_receiver *receiver)
{
	static const char *const DELIVER[] = {NULL, "deliver", NULL};
	const struct alert_event *batch[ALERT_BATCH_MAX];
	struct sending_paths paths;
	struct err err = ERR_INIT;
	int64_t again_ms = CLOCK_NEVER;

	if (is(receiver, "stderr")) {
		say_all(receiver);
		return;
	}
	if (helper_runs(&receiver->helper) || must_wait(receiver))
		return;
	size_t count = choose(receiver, batch, &again_ms);

	if (count == 0) {
		if (again_ms != CLOCK_NEVER)
			wait_until(receiver, again_ms);
		receiver->only_aside = true;
		return;
	}
	loop_timer_clear(receiver->alerts->loop, &receiver->retry);
	if (receiver->singly > 0)
		receiver->singly--;
	receiver->nsending = count;
	for (size_t i = 0; i < count; i++)
		receiver->sending[i] = batch[i]->number;
	sending_begins(receiver, &paths);
	write_request(receiver, batch, count, &paths);
	if (helper_start(&receiver->helper, DELIVER,
	        clock_after(clock_ms(), DELIVER_KILL_MS), &err) == -1 &&
	    !helper_runs(&receiver->helper))
		failed(receiver, err.text, 0, 0);
}

static void
try_again(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	receiver_next(timer->owner);
}

void
receiver_begin(struct alert_receiver *receiver)
{
	receiver->retry =
	    (struct loop_timer){.fire = try_again, .owner = receiver};
	helper_init(
	    &receiver->helper, receiver->alerts->loop, delivery_over, receiver);
	sending_resume(receiver);
}

static size_t
waiting(const struct alert_receiver *receiver, bool tests)
{
	size_t count = 0;

	for (struct alert_event *event = receiver->alerts->events;
	     event != NULL; event = event->next)
		if (event->test == tests &&
		    spool_waits_for(event, receiver->name) != NULL)
			count++;
	return count;
}

void
receivers_send(struct alerts *alerts)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		struct alert_receiver *receiver = &alerts->receivers[i];
		if (!receiver->used)
			continue;
		if (receiver->group_wait_ms > 0 && !must_wait(receiver) &&
		    !helper_runs(&receiver->helper) &&
		    waiting(receiver, false) > 0)
			wait_until(receiver,
			    clock_after(clock_ms(), receiver->group_wait_ms));
		else
			receiver_next(receiver);
	}
}

bool
receivers_waits(
    const struct alert_receiver *receiver, const struct alert *alert)
{
	for (struct alert_event *event = receiver->alerts->events;
	     event != NULL; event = event->next)
		if (text_equal(event->key, alert->key) &&
		    spool_waits_for(event, receiver->name) != NULL)
			return true;
	return false;
}

/* --- a test ------------------------------------------------------------ */

size_t
alerts_test(struct alerts *alerts, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		struct alert_receiver *receiver = &alerts->receivers[i];
		char key[] = ALERT_TEST_KIND, kind[] = ALERT_TEST_KIND;
		char subject[] = "reeve";
		char summary[] = "this is a test: nothing is wrong";
		char evidence[] = "sent by 'reeve alert test'";
		struct alert test = {
		    .key = key,
		    .kind = kind,
		    .subject = subject,
		    .summary = summary,
		    .evidence = evidence,
		    .severity = MAX(receiver->min_severity, SEVERITY_INFO),
		    .since_wall_ms = clock_wall_ms(),
		};
		if (!receiver->used ||
		    (name != NULL && !text_equal(receiver->name, name)))
			continue;
		count++;
		receiver->test_why[0] = '\0';
		alert_events_emit(alerts, &test, "raised", receiver);
		alert_events_emit(alerts, &test, "resolved", receiver);
		spool_free_told(&test);
		/* Not when it would be its turn: now. */
		loop_timer_clear(alerts->loop, &receiver->retry);
	}
	if (count == 0)
		return 0;
	spool_checkpoint(alerts);
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (alerts->receivers[i].used)
			receiver_next(&alerts->receivers[i]);
	return count;
}

bool
alerts_testing(const struct alerts *alerts)
{
	for (const struct alert_event *event = alerts->events; event != NULL;
	     event = event->next)
		if (event->test)
			return true;
	return false;
}

void
alerts_write_receivers(const struct alerts *alerts, struct jsonw *json)
{
	char at[CLOCK_TEXT_SIZE];

	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		if (!receiver->used)
			continue;
		bool fails = receiver->failing_since_wall_ms != 0;
		jsonw_object(json, NULL);
		jsonw_text(json, "name", receiver->name);
		jsonw_text(json, "kind", receiver->kind);
		jsonw_i64(
		    json, "undelivered", (int64_t)waiting(receiver, false));
		jsonw_text(json, "error", fails ? receiver->why : NULL);
		jsonw_text(json, "failing_since",
		    fails ? clock_text(receiver->failing_since_wall_ms, at)
		          : NULL);
		jsonw_i64(json, "attempts", receiver->attempts);
		jsonw_bool(json, "testing", waiting(receiver, true) > 0);
		jsonw_text(json, "test_error",
		    *receiver->test_why == '\0' ? NULL : receiver->test_why);
		jsonw_end(json);
	}
}
