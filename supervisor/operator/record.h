/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_RECORD_H
#define REEVE_SUPERVISOR_OPERATOR_RECORD_H

#include "base/base.h"

#include <cjson/cJSON.h>

/* The only way in which the operator reads JSON: keys case-sensitive, types
 * checked, numbers exact. */

/* The whole of `len` bytes is one value, or NULL. */
cJSON *record_parse(const char *bytes, size_t len);
void record_free(cJSON **json); /* for CLEANUP */
/* The text, or `otherwise` if it isn't there or no text. */
const char *record_text(
    const cJSON *object, const char *key, const char *otherwise);
/* The whole number, or `otherwise` if it isn't there, none, or above 2^53. */
int64_t record_i64(const cJSON *object, const char *key, int64_t otherwise);
bool record_true(const cJSON *object, const char *key);
const cJSON *record_array(const cJSON *object, const char *key); /* or NULL */

/* A digest of 16 bytes as text, and back; false: it is none. */
enum {
	RECORD_HEX_SIZE = 33
};
const char *record_hex(const uint8_t digest[16], char dst[RECORD_HEX_SIZE]);
bool record_unhex(const char *text, uint8_t ret[16]);

#endif
