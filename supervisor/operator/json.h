/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_JSON_H
#define REEVE_SUPERVISOR_OPERATOR_JSON_H

#include "base/base.h"

#include <cjson/cJSON.h>

/* The only way in which the operator reads JSON: keys case-sensitive, types
 * checked, numbers exact. */

/* The whole of `len` bytes is one value, or NULL. */
cJSON *json_parse(const char *bytes, size_t len);
void json_free(cJSON **json); /* for CLEANUP */
/* The text, or `otherwise` if it isn't there or no text. */
const char *json_text(
    const cJSON *object, const char *key, const char *otherwise);
/* The whole number, or `otherwise` if it isn't there, none, or above 2^53. */
int64_t json_i64(const cJSON *object, const char *key, int64_t otherwise);
bool json_true(const cJSON *object, const char *key);
const cJSON *json_array(const cJSON *object, const char *key); /* or NULL */

#endif
