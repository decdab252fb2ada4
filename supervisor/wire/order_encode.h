/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_ORDER_ENCODE_H
#define REEVE_SUPERVISOR_WIRE_ORDER_ENCODE_H

#include "base/base.h"
#include "base/err.h"
#include "worker/spec.h"

/*
 * The rank of each worker: 0 without dependencies, else one more than the
 * highest of those that it depends on; one that isn't among them counts for
 * nothing. Fails with the names of a whole cycle. The list is the caller's
 * (free).
 */
int plan_ranks(const struct worker_spec *specs, size_t count,
    uint32_t **ret_ranks, struct err *err) MUST_CHECK;

#endif
