/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REQUEST_H
#define REEVE_PROBES_QUEUE_REQUEST_H

#include "probes/look.h"

/*
 * The prober's side of kind "queue".
 *   {"kind":"queue","queueKind":"redis","url":…,"options":{…},
 *    "op":"observe|submit|follow|remove|list|move|reap|arrivals","near":true,
 *    "canary":UUID,"payload":…,"receipt":…,"workers":[…],
 *    "part":"waiting|active|delayed|dead|expired","limit":20,"ids":[…]}
 * Without "queueKind", "url" is the one-URL form; "op" is observe if absent.
 * Handles stay open between the requests of one prober.
 *
 * Answers: observe fills `out.queue` (near names only with "near":true). When
 * the queue itself is absent (no such table, no such file) the result is
 * failed with CAUSE_NOT_FOUND, and `out.queue` is there with its near names if
 * the server could be asked. The others answer in facts:
 *   submit  receipt
 *   follow  state ("visible", "taken", "gone", "dead"; "" unknown, and the
 *           summary says why), done ("yes" where success is known), by (absent
 *           when unknown), attempts (absent when unknown), detail
 *   remove  removed ("yes", "no")
 *   reap    count: leases of dead processes of "workers" that were ended;
 *           reaped, one for each of the first few: "ID held by OWNER"
 *   arrivals  whether jobs can be seen before their row: arrivals.h
 *   list    `out.jobs`: so many jobs of that part, the oldest first, as fit
 *           into an answer
 *   move    `out.moved`: which of "ids" were moved back. Failed: the server
 *           said no, and nothing was moved. Unknown: they may have been,
 *           unless the fact "asked" is "no".
 * What a technology can't do is unknown with the code "unsupported".
 * $(CANARY) in "payload" is replaced by the canary's id: give the same payload,
 * canary and receipt to follow and remove as to submit.
 */
look_fn probe_queue;

/* Whether the request is a look that shares its round trips with others of its
 * server; of an unknown kind, or one that is asked for alone, it isn't. */
bool probe_queue_joins(const struct look *look);
/* Many such, each with an answer of its own afterwards. */
void probe_queues(struct look *looks, size_t count);

#endif
