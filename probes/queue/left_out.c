/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/queue/drivers.h"

/*
 * Rows of what this build was made without (the Makefile's BACKENDS): their
 * URLs are known, and looking at one says why it can't be.
 */
#ifndef WITH_NATS
const struct queue_driver queue_nats = {.kind = "nats",
    .schemes = (const char *const[]){"nats", "nats+nats", "nats+tls", NULL},
    .name_key = "stream",
    .keys = (const char *const[]){"stream", NULL},
    .any_key = true,
    .left_out = true};
#endif
