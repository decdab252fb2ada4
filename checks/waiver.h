/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_WAIVER_H
#define REEVE_CHECKS_WAIVER_H

#include "checks/engine.h"

/* A waiver names the id, the subject, who, why and until when. Failed findings
 * that one covers become waived; one that has lapsed, or that covers nothing,
 * is a finding itself (RV904). "Today" is the report's start in UTC; a waiver
 * holds until the end of its last day. */
void waivers_apply(struct check *check);

#endif
