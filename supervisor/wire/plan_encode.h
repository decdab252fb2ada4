/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_PLAN_ENCODE_H
#define REEVE_SUPERVISOR_WIRE_PLAN_ENCODE_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "supervisor/wire/plan.h"

/*
 * The tool's side of the plan: writes it. Everything that plan_decode refuses
 * is refused here first, with the worker and the key named.
 */

/* Appends a whole plan to `out` (which must be empty; its maximum bounds the
 * plan). The result may hold secrets: buffer_wipe it. */
int plan_encode(const struct worker_spec *specs, size_t nspecs,
    const struct plan_settings *settings, struct buffer *out,
    struct err *err) MUST_CHECK;
/* A CLOEXEC memfd with these bytes and all seals (write, grow, shrink, seal).
 * The caller closes it. */
int plan_memfd(
    const void *bytes, size_t len, int *ret_fd, struct err *err) MUST_CHECK;
/* The defaults: grace unknown, exit 0, ignore, worst, plain, 1000 lines. */
void plan_settings_default(struct plan_settings *ret);

#endif
