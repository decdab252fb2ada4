/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ALERT_EVENTS_H
#define REEVE_SUPERVISOR_OPERATOR_ALERT_EVENTS_H

#include "base/base.h"
#include "supervisor/operator/alerts.h"

/*
 * What is said of an alert (reeve.alert/1) and to whom, put into the spool;
 * receivers.c brings it there.
 */

/* The kind of an alert that is only a test; its event says so too. */
#define ALERT_TEST_KIND "alert-test"

/* Writes an event down, for one receiver or (NULL) all that want it; "resolved"
 * for all that were told of the beginning. */
void alert_events_emit(struct alerts *alerts, struct alert *alert,
    const char *state, const struct alert_receiver *only);
/* Raises it to those that want it and weren't told: they were declared, or
 * their minSeverity was lowered, since. */
void alert_events_tell_late(struct alerts *alerts, struct alert *alert);
/* Begins to count anew until the next repeat. */
void alert_events_set_repeats(struct alerts *alerts, struct alert *alert);

#endif
