/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SILENCES_H
#define REEVE_SUPERVISOR_OPERATOR_SILENCES_H

#include "base/base.h"
#include "base/err.h"
#include "base/jsonw.h"

/*
 * Alerts of which nobody wants to be told for a while, because somebody is at
 * it: by whom, why and until when. They lie beside the alerts, in
 * DIR/silences.json, and outlive the operator. What is silenced is still
 * listed, and recorded; only no receiver hears of it. Who was told of an alert
 * before hears of its end all the same.
 */
enum {
	SILENCES_MAX = 64,
	SILENCE_TEXT_MAX = 200, /* of a pattern, and of a reason */
};
#define SILENCE_LEAST_MS INT64_C(1000)
#define SILENCE_MOST_MS  (INT64_C(30) * 24 * 3600 * 1000)

struct silence {
	int64_t id;                       /* never used again; 0: none */
	char match[SILENCE_TEXT_MAX + 1]; /* a pattern as of a shell */
	char reason[SILENCE_TEXT_MAX + 1];
	char by[64]; /* "uid 1000" */
	int64_t since_wall_ms, until_wall_ms;
	int64_t until_ms; /* monotonic: a clock that is set lengthens none */
};

struct silences {
	struct silence list[SILENCES_MAX]; /* oldest first */
	size_t count;
	int64_t next; /* the next id */
};

/* What a pattern is held against: any of them, whole. NULL: it hasn't got it.
 */
struct silence_subject {
	const char *key, *kind, *subject, *finding;
};

/* `dir` NULL: none is kept. */
void silences_read(struct silences *silences, const char *dir);
/* ERR_INPUT: what is asked for is wrong; ERR_CAPACITY: too many. */
int silences_add(struct silences *silences, const char *dir,
    const struct silence *wanted, int64_t for_ms, int64_t *ret_id,
    struct err *err) MUST_CHECK;
/* Returns whether there was one of that id. */
bool silences_remove(struct silences *silences, const char *dir, int64_t id);
/* Drops what is over; `over` is called with each of them. */
void silences_expire(struct silences *silences, const char *dir, int64_t now_ms,
    void (*over)(void *, const struct silence *), void *arg);
/* The id of one that fits; 0: none does. */
int64_t silences_find(
    const struct silences *silences, const struct silence_subject *subject);
/* When the next one ends; CLOCK_NEVER. */
int64_t silences_wake_ms(const struct silences *silences);

#endif
