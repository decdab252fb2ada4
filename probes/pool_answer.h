/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_POOL_ANSWER_H
#define REEVE_PROBES_POOL_ANSWER_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/base.h"
#include "probes/observed.h"
#include "probes/request.h"

/*
 * What the pool answers in a prober's place: each call writes a whole verdict
 * line into `request->answer`, in `arena`.
 */

/* Where a prober that is late was last heard of. */
struct pool_hang {
	int64_t asked_ms; /* monotonic */
	enum step_kind step;
	bool any_step;
	const char *detail;
};
void pool_answer_deadline(struct arena *arena, struct probe_request *request,
    const struct pool_hang *hang);
/* `status` as of waitpid; `words`: the beginning of its stderr, from which the
 * request's secrets are taken out. */
struct pool_crash {
	int64_t asked_ms;
	int status;
	char *words;
	size_t len;
};
void pool_answer_crash(struct arena *arena, struct probe_request *request,
    const struct pool_crash *crash);
void pool_answer_garbage(struct arena *arena, struct probe_request *request,
    int64_t asked_ms, const char *why);
void pool_answer_not_asked(struct arena *arena, struct probe_request *request,
    enum cause cause, const char *why);

/* Whether a verdict would be the same for whatever else is asked of that
 * endpoint: nobody listens there, or doesn't let us in. */
bool pool_answer_of_endpoint(const cJSON *verdict);
/* The same verdict on another request of the endpoint. */
void pool_answer_alike(
    struct arena *arena, struct probe_request *request, const cJSON *verdict);

#endif
