/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_SYNTHETIC_H
#define REEVE_CHECKS_SYNTHETIC_H

#include "base/base.h"
#include "checks/engine.h"
#include "manifests/foreign.h"

/*
 * The descriptions of one form as a declaration like reeve.yaml's, so that the
 * rows that judge a manifest can judge them: each container is a worker, with
 * what `declared` (reeve.yaml; may be NULL) says that this worker requires and
 * consumes. What can't be known from files goes into the report as not
 * checked. `ret` lives in the report's arena and borrows from both.
 */
void synthetic_make(struct check *check, const struct declared *declared,
    const struct foreign *foreign, enum foreign_format format,
    struct declared *ret);

#endif
