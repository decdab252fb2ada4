/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_ANSWER_H
#define REEVE_CLI_ANSWER_H

/* What the operator answered, in JSON, read leniently: it is shown to people,
 * and an older or newer operator may say less or more. */

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "cli/cli.h"

enum {
	ANSWER_MAX = 64 << 20
};

/* A member that is a text; "" where it is something else or isn't there. It
 * lives as long as the object. */
const char *answer_text(const cJSON *object, const char *key);

/* A number in the arena's memory, or "?" where it isn't known. */
const char *answer_number(
    struct arena *arena, const cJSON *object, const char *key);

/* One of a queue's numbers as people read it: "5001+" counted to a bound, "40~"
 * an estimate, "?" not known, "-" no such thing. `dead` is what failed, where
 * that is all that a kind has of it, as in `queue ls`. */
const char *answer_queue_number(
    struct arena *arena, const cJSON *queue, const char *key);

/* A member, meant to be walked: NULL where it isn't there. */
const cJSON *answer_list(const cJSON *object, const char *key);

/* Writes an answer wherever --output said: as it came, or as `print` tells it
 * to people. *ret_exit (may be NULL) is the exit code that it names,
 * inconclusive where it names none. Returns an exit code. */
int answer_print(struct cli *cli, const struct buffer *answer,
    void (*print)(struct arena *, struct buffer *, const cJSON *),
    int *ret_exit) MUST_CHECK;

#endif
