/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/text.h"
#include "probes/json_read.h"

enum {
	PATH_PARTS_MAX = 8
};

/* Beyond it a double no longer holds every whole number. */
#define JSON_WHOLE_MAX 9007199254740992.0

/* cJSON keeps the same key twice and would hand out the first: what one reader
 * and another take from such text differs, so it is refused. Only siblings are
 * compared; objects here are small (bounded by the line). */
static const char *
repeated_key(const cJSON *object)
{
	enum {
		KEYS_CHECKED = 256
	};
	size_t n = 0;

	for (const cJSON *a = object->child; a != NULL; a = a->next) {
		if (++n > KEYS_CHECKED)
			break;
		for (const cJSON *b = a->next; b != NULL; b = b->next)
			if (strcmp(a->string, b->string) == 0)
				return a->string;
	}
	return NULL;
}

/* An escaped NUL would cut the text that cJSON hands out. */
static bool
escaped_nul(const char *text, size_t len)
{
	for (size_t i = 0; i + 6 <= len; i++) {
		if (text[i] != '\\')
			continue;
		if (memcmp(text + i, "\\u0000", 6) == 0)
			return true;
		i++; /* what an escape escapes begins none */
	}
	return false;
}

cJSON *
json_read(const char *text, size_t len, struct err *err)
{
	const char *end = NULL;
	CLEANUP(json_free) cJSON *json = NULL;

	/* cJSON stops at a NUL: what lies behind it would go unread */
	if (memchr(text, '\0', len) != NULL || escaped_nul(text, len)) {
		(void)err_set(err, ERR_INPUT, "JSON with a NUL byte");
		return NULL;
	}
	/* the terminator counts: it must be there for require_null_terminated
	 */
	json = cJSON_ParseWithLengthOpts(text, len + 1, &end, true);
	if (json == NULL) {
		(void)err_set(err, ERR_INPUT, "not valid JSON at byte %zu",
		    end == NULL ? 0 : (size_t)(end - text));
		return NULL;
	}
	const char *twice = cJSON_IsObject(json) ? repeated_key(json) : NULL;
	if (twice != NULL) {
		(void)err_set(
		    err, ERR_INPUT, "key '%.64s' is there twice", twice);
		return NULL;
	}
	cJSON *ret = json;
	json = NULL;
	return ret;
}

void
json_free(cJSON **json)
{
	cJSON_Delete(*json);
	*json = NULL;
}

/* NULL: absent or null. */
static const cJSON *
json_get(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNull(item) ? NULL : item;
}

int
json_item_text(const cJSON *item, const char **ret, struct err *err)
{
	if (!cJSON_IsString(item) || item->valuestring == NULL)
		return err_set(err, ERR_INPUT, "not a text");
	*ret = item->valuestring;
	return 0;
}

int
json_item_i64(const cJSON *item, int64_t *ret, struct err *err)
{
	if (!cJSON_IsNumber(item))
		return err_set(err, ERR_INPUT, "not a number");
	double value = item->valuedouble;
	if (!(fabs(value) <= JSON_WHOLE_MAX) || value != floor(value))
		return err_set(err, ERR_INPUT, "not a whole number in range");
	*ret = (int64_t)value;
	return 0;
}

int
json_text(const cJSON *object, const char *key, const char *absent,
    const char **ret, struct err *err)
{
	const cJSON *item = json_get(object, key);

	if (item == NULL) {
		*ret = absent;
		return 0;
	}
	if (json_item_text(item, ret, err) == -1)
		return err_wrap(err, "'%s'", key);
	return 0;
}

int
json_copy(struct arena *arena, const cJSON *object, const char *key,
    const char **ret, struct err *err)
{
	const char *text = "";

	if (json_text(object, key, "", &text, err) == -1)
		return -1;
	*ret = arena_text(arena, text);
	return 0;
}

int
json_i64(const cJSON *object, const char *key, int64_t absent, int64_t *ret,
    struct err *err)
{
	const cJSON *item = json_get(object, key);

	if (item == NULL) {
		*ret = absent;
		return 0;
	}
	if (json_item_i64(item, ret, err) == -1)
		return err_wrap(err, "'%s'", key);
	return 0;
}

int
json_bool(const cJSON *object, const char *key, bool absent, bool *ret,
    struct err *err)
{
	const cJSON *item = json_get(object, key);

	if (item != NULL && !cJSON_IsBool(item))
		return err_set(err, ERR_INPUT, "'%s': not true or false", key);
	*ret = item == NULL ? absent : cJSON_IsTrue(item);
	return 0;
}

int
json_object(
    const cJSON *object, const char *key, const cJSON **ret, struct err *err)
{
	const cJSON *item = json_get(object, key);

	if (item != NULL && !cJSON_IsObject(item))
		return err_set(err, ERR_INPUT, "'%s': not an object", key);
	const char *twice = item == NULL ? NULL : repeated_key(item);
	if (twice != NULL)
		return err_set(err, ERR_INPUT,
		    "'%s': key '%.64s' is there twice", key, twice);
	*ret = item;
	return 0;
}

int
json_array(
    const cJSON *object, const char *key, const cJSON **ret, struct err *err)
{
	const cJSON *item = json_get(object, key);

	if (item != NULL && !cJSON_IsArray(item))
		return err_set(err, ERR_INPUT, "'%s': not a list", key);
	*ret = item;
	return 0;
}

const cJSON *
json_at(const cJSON *json, const char *path, struct arena *arena)
{
	char *part = arena_text(arena, path);

	for (int i = 0; i < PATH_PARTS_MAX && json != NULL && part != NULL;
	     i++) {
		char *dot = strchr(part, '.');

		if (dot != NULL)
			*dot++ = '\0';
		int64_t index = -1;

		if (cJSON_IsArray(json))
			json = text_i64(part, 0, INT_MAX, &index, NULL) == 0
			           ? cJSON_GetArrayItem(json, (int)index)
			           : NULL;
		else
			json = cJSON_GetObjectItemCaseSensitive(json, part);
		part = dot;
	}
	return json;
}
