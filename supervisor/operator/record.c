/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/operator/record.h"

/* Beyond it, doubles skip whole numbers. */
static const double EXACT_MAX = 9007199254740992.0;

cJSON *
record_parse(const char *bytes, size_t len)
{
	/* The terminator belongs to what must be there (cJSON 1.7.15). */
	return cJSON_ParseWithLengthOpts(bytes, len + 1, NULL, 1);
}

void
record_free(cJSON **json)
{
	cJSON_Delete(*json);
	*json = NULL;
}

const char *
record_text(const cJSON *object, const char *key, const char *otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : otherwise;
}

int64_t
record_i64(const cJSON *object, const char *key, int64_t otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!cJSON_IsNumber(item) || item->valuedouble > EXACT_MAX ||
	    item->valuedouble < -EXACT_MAX)
		return otherwise;
	int64_t value = (int64_t)item->valuedouble;

	return (double)value < item->valuedouble ||
	               (double)value > item->valuedouble
	           ? otherwise
	           : value;
}

bool
record_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

const cJSON *
record_array(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsArray(item) ? item : NULL;
}

const char *
record_hex(const uint8_t digest[16], char dst[RECORD_HEX_SIZE])
{
	return text_hex(digest, 16, dst);
}

bool
record_unhex(const char *text, uint8_t ret[16])
{
	uint8_t bytes[16];

	if (text == NULL || strlen(text) != RECORD_HEX_SIZE - 1)
		return false;
	for (size_t i = 0; i < 16; i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], '\0'};
		char *end = NULL;
		bytes[i] = (uint8_t)strtoul(byte, &end, 16);
		if (end != byte + 2)
			return false;
	}
	memcpy(ret, bytes, 16);
	return true;
}
