/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_GIVEN_H
#define REEVE_CHECKS_GIVEN_H

#include "checks/engine.h"

/* 1xx, what the workers are given: what checks of names and of values share. */

/* "reeve.yaml:31 (secret app key TOKEN)" */
const char *given_source(struct check *check, const struct declared_env *env);

/* One passed finding for a worker of which nothing is wrong, so that a green
 * report says what was looked at. */
void given_well(struct check *check, const struct declared_worker *worker,
    const char *what);

/* A line that several workers share is one fault: what it causes for the others
 * follows from the first. */
struct report_finding *given_begin(struct check *check,
    const struct subject *subject, const struct place *place);

#endif
