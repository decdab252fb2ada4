/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_SAMPLE_H
#define REEVE_PROBES_QUEUE_SAMPLE_H

#include "probes/look.h"
#include "probes/queue/queue.h"

/*
 * Looks into the first jobs that wait, without touching them, where the request
 * says what for: "sample": {"id": FIELD, "version": FIELD}, paths into a
 * payload of JSON. Facts: sampled (how many), "version V" (how many of each;
 * "none": without one; "odd": something else stands there), duplicates (how
 * many share one id) and duplicate-of (the first of them, by the queue's own
 * id), or sample-unknown (why not). Nothing else of a payload is told.
 */
void queue_sample(struct look *look, struct queue *queue);

/* A job's payload where that is a JSON object, for json_free(); NULL: it isn't,
 * or is longer than what is shown of it. */
cJSON *sample_payload(struct arena *arena, const struct queue_item *item);
/* A field of it as text; NULL: it isn't there, or is no plain value. */
const char *sample_field(
    struct arena *arena, const cJSON *json, const char *path);

#endif
