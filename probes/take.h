/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_TAKE_H
#define REEVE_PROBES_TAKE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/json_read.h"
#include "probes/observed.h"

/*
 * For observed.c alone: the parts of a verdict line, out of its JSON into the
 * arena. Texts are copied, because the JSON is freed with the line. What is
 * absent leaves `ret` as it was, or as json_read.h says; what is of another
 * type, or more than anybody writes, is an error of kind ERR_INPUT.
 */
int take_result(const cJSON *object, const char *key, enum result *ret,
    struct err *err) MUST_CHECK;
int take_cause(
    const cJSON *object, enum cause *ret, struct err *err) MUST_CHECK;
/* An array of objects, at most `max`: how many there are, or -1. Absent: 0, and
 * *ret NULL. */
int take_array(const cJSON *object, const char *key, int max, const cJSON **ret,
    struct err *err) MUST_CHECK;

/* take_queue.c: what was read of a queue, of its jobs, of a move. */
int take_queue(struct arena *arena, const cJSON *line, struct queue_state **ret,
    struct err *err) MUST_CHECK;
int take_jobs(struct arena *arena, const cJSON *line,
    struct observed_jobs **ret, struct err *err) MUST_CHECK;
int take_moved(struct arena *arena, const cJSON *line,
    struct observed_moved **ret, struct err *err) MUST_CHECK;

/* take_supervisor.c: what a supervisor says of its workers, and the processes
 * that were found where there is none. */
int take_supervisor(struct arena *arena, const cJSON *line,
    struct observation *ret, struct err *err) MUST_CHECK;
int take_processes(struct arena *arena, const cJSON *line,
    struct observation *ret, struct err *err) MUST_CHECK;

#endif
