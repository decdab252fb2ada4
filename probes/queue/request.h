/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REQUEST_H
#define REEVE_PROBES_QUEUE_REQUEST_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/observed.h"

struct cJSON;

/*
 * The prober's side of kind "queue" (probes/request.h):
 *   {"kind":"queue","queueKind":"redis","url":…,"options":{…},
 *    "op":"observe|submit|follow|remove","near":true,
 *    "canary":UUID,"payload":…,"receipt":…}
 * Without "queueKind", "url" is the one-URL form. Handles stay open between
 * requests of one prober and are opened again when they fail.
 *
 * Answers: observe fills `ret->queue` (near names only with "near":true; when
 * the queue itself is absent the result is failed with CAUSE_NOT_FOUND, and
 * `ret->queue` is there all the same). The others answer in facts:
 *   submit  receipt
 *   follow  state ("visible", "taken", "gone", "dead"; "" unknown: summary says
 *           why), done ("yes" where success is known), by, attempts, detail
 *   remove  removed ("yes", "no")
 * $(CANARY) in "payload" is replaced by the canary's id; give the same payload
 * and receipt to all three. Never fails: trouble is an unknown or failed
 * observation with its cause. Texts go into `arena`; `ret->subject` and times
 * are the caller's.
 */
void probe_queue(const struct cJSON *request, struct arena *arena,
    int64_t deadline_ms, struct observation *ret);
/* Closes what is kept open. */
void probe_queue_close(void);

#endif
