/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "supervisor/operator/alert_events.h"
#include "supervisor/operator/receivers.h"
#include "supervisor/operator/spool.h"

static void
receiver_clear(struct alert_receiver *receiver)
{
	if (!receiver->used)
		return;
	helper_fini(&receiver->helper);
	loop_timer_clear(receiver->alerts->loop, &receiver->retry);
	free(receiver->name);
	free(receiver->kind);
	free(receiver->format);
	secret_free(receiver->url);
	secret_free(receiver->secret);
	for (size_t i = 0; receiver->command[i] != NULL; i++)
		free(receiver->command[i]);
	*receiver = (struct alert_receiver){0};
}

void
receivers_clear(struct alerts *alerts)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		receiver_clear(&alerts->receivers[i]);
}

static bool
same_command(const struct alert_receiver *receiver, const char *const *command)
{
	size_t i = 0;

	for (; receiver->command[i] != NULL && command != NULL &&
	       command[i] != NULL;
	     i++)
		if (!text_equal(receiver->command[i], command[i]))
			return false;
	return receiver->command[i] == NULL &&
	       (command == NULL || command[i] == NULL);
}

static bool
receiver_same(const struct alert_receiver *receiver,
    const struct declared_alert *declared)
{
	return receiver->used && text_equal(receiver->name, declared->name) &&
	       text_equal(receiver->kind, declared->kind) &&
	       text_equal(receiver->url, declared->url) &&
	       text_equal(receiver->secret, declared->key) &&
	       text_equal(receiver->format, declared->format) &&
	       receiver->repeat_ms == declared->repeat_ms &&
	       receiver->group_wait_ms == declared->group_wait_ms &&
	       receiver->by_subject == declared->by_subject &&
	       receiver->min_severity == declared->min_severity &&
	       same_command(receiver, declared->command);
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
	    .secret = copy(declared->key),
	    .format = copy(declared->format),
	    .repeat_ms = declared->repeat_ms,
	    .group_wait_ms = declared->group_wait_ms,
	    .by_subject = declared->by_subject,
	    .min_severity = declared->min_severity,
	    .alerts = alerts,
	};
	for (size_t i = 0;
	     declared->command != NULL && declared->command[i] != NULL &&
	     i < ALERT_COMMAND_MAX;
	     i++)
		receiver->command[i] = copy(declared->command[i]);
	receiver_begin(receiver);
}

void
alerts_receivers(
    struct alerts *alerts, const struct declared_alert *declared, size_t count)
{
	static const struct declared_alert standard = {
	    .name = "stderr", .kind = "stderr"};

	if (count > ALERT_RECEIVERS_MAX) {
		log_error("alert.receivers", "only the first %d are used",
		    (int)ALERT_RECEIVERS_MAX);
		count = ALERT_RECEIVERS_MAX;
	}
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
	for (struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next) {
		spool_forget_told(alerts, alert);
		alert_events_set_repeats(alerts, alert);
	}
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (alerts->receivers[i].used)
			receiver_next(&alerts->receivers[i]);
}
