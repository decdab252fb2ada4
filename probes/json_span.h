/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_JSON_SPAN_H
#define REEVE_PROBES_JSON_SPAN_H

#include "base/base.h"

/*
 * Parts of a JSON text as the bytes that they are. What a library put in must
 * go back as it was: written anew by cJSON, a large number would be another,
 * and by Lua an empty list an object.
 *
 * For text that json_read accepted; of any other the answer may be wrong, but
 * never outside of it.
 */
struct json_span {
	const char *at;
	size_t len;
};

/* The value of a key, which is compared as it is written; false: `of` is no
 * object, or has no such key. */
bool json_span_member(
    struct json_span of, const char *key, struct json_span *ret);
/* The element at an index from 0 on. */
bool json_span_element(
    struct json_span of, size_t index, struct json_span *ret);

#endif
