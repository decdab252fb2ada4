/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_JSON_READ_H
#define REEVE_PROBES_JSON_READ_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

#include <cjson/cJSON.h>

/*
 * The only door through which probes/ reads JSON (style.md 7.3): keys are
 * case-sensitive, types are checked, numbers are whole and within 2^53, text
 * after the value is refused, and so is the same key twice.
 */

/* `len` bytes and a NUL behind them: one value and nothing else. NULL with
 * ERR_INPUT. */
cJSON *json_read(const char *text, size_t len, struct err *err);
/* For CLEANUP(). */
void json_free(cJSON **json);

/* Absent (and null) gives the default and 0; another type gives -1. */
int json_text(const cJSON *object, const char *key, const char *absent,
    const char **ret, struct err *err) MUST_CHECK;
/* A copy in `arena`, "" when absent; `object` may be NULL. */
int json_copy(struct arena *arena, const cJSON *object, const char *key,
    const char **ret, struct err *err) MUST_CHECK;
int json_i64(const cJSON *object, const char *key, int64_t absent, int64_t *ret,
    struct err *err) MUST_CHECK;
int json_bool(const cJSON *object, const char *key, bool absent, bool *ret,
    struct err *err) MUST_CHECK;
/* *ret is NULL when absent. */
int json_object(const cJSON *object, const char *key, const cJSON **ret,
    struct err *err) MUST_CHECK;
int json_array(const cJSON *object, const char *key, const cJSON **ret,
    struct err *err) MUST_CHECK;
/* What lies at a path ("order.id", "args.0") of an object; NULL: nothing. */
const cJSON *json_at(const cJSON *json, const char *path, struct arena *arena);
/* One value by itself, of an array: -1 when it is no text / number. */
int json_item_text(
    const cJSON *item, const char **ret, struct err *err) MUST_CHECK;
int json_item_i64(const cJSON *item, int64_t *ret, struct err *err) MUST_CHECK;

#endif
