/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_DEATHS_H
#define REEVE_SUPERVISOR_OPERATOR_DEATHS_H

#include "base/base.h"
#include "supervisor/operator/queues.h"
#include "supervisor/wire/messages.h"

/*
 * What a process held when it ended is given back at once, where the queue says
 * which process holds what (probes/queue/owner.h): its leases are ended, and
 * the next claim of any worker takes the jobs back, by the queue's own rules.
 * Asking is a prober's business, killed when it takes too long; asked twice, it
 * ends nothing twice. Which processes are over is found out there, from the
 * kernel: an end that we missed is as good as one that we saw.
 */
struct operator_core;
struct deaths;

struct deaths *deaths_new(struct operator_core *op);
void deaths_free(struct deaths *deaths);
/* News of an instance, before op->running has it: was that its end? */
void deaths_instance(struct deaths *deaths, const struct wire_instance *wire);
/* The first look at a queue: whoever died while no operator was there to see it
 * may still hold jobs of it. */
void deaths_queue(struct deaths *deaths, const struct queue_view *view);

#endif
