/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_ALERT_CAUSE_H
#define REEVE_SUPERVISOR_OPERATOR_ALERT_CAUSE_H

#include "base/base.h"
#include "supervisor/operator/alerts.h"

/*
 * Which alert follows from which: the relation `explains` of
 * checks/findings.def, by the findings that the alerts stand for, and a few
 * edges between kinds that no finding has. A label that is missing on a side
 * is never equal. Of two that would explain each other, the one that stands
 * higher in the table does.
 */

/* Sets `cause` of every alert: the root that it follows from, or NULL. */
void alert_cause_find(struct alerts *alerts);

#endif
