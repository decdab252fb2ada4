/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SETTINGS_H
#define REEVE_SUPERVISOR_OPERATOR_SETTINGS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "manifests/declared.h"
#include "worker/spec.h"

/*
 * A worker's ids, limits and priorities as numbers: here users and groups are
 * looked up, for the init can't. What this host doesn't have (a user, a CPU)
 * is an error with the place of the declaration.
 */
int settings_make(struct arena *arena, const struct declared_worker *from,
    struct worker_spec *to, struct err *err) MUST_CHECK;

#endif
