/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_ARRIVALS_H
#define REEVE_PROBES_QUEUE_ARRIVALS_H

#include "probes/look.h"
#include "probes/queue/queue.h"

/*
 * Watches jobs arrive, for two seconds and without touching them, and asks for
 * the row that each refers to, at once and over a connection of its own. A row
 * that isn't there is asked for again, for up to five seconds: when it comes
 * then, the job could be seen, and taken, before its producer had committed.
 * The request: "id", a path into a payload of JSON; "rowKind", "postgres",
 * "mysql" or "sqlite"; and "row", that kind's parameters with a "query" that
 * gives a row or none, its $(JOB) bound to the job's id. Facts:
 *   looks     at the queue            jobs     whose row was asked for
 *   early     of them, before their row
 *   early-ms, early-job, early-from, early-to   the longest of these: how long,
 *             the queue's own id, when the job was seen and when its row was
 *             (this host's clock)
 *   never     whose row didn't come    never-job  the first of these
 *   undecided the look ended first, or more rows were missing than are asked
 *             for again
 *   unread    jobs that are no JSON or have no such field
 *   odd       whose id the database can't even compare with
 * A row that can't be asked for at all, and a query that finds one for a job
 * that doesn't exist, are unknown. -1: the queue can't be looked at.
 */
int queue_arrivals(
    struct look *look, struct queue *queue, struct err *err) MUST_CHECK;

#endif
