/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/take.h"
#include "probes/words.h"

int
take_result(
    const cJSON *object, const char *key, enum result *ret, struct err *err)
{
	const char *word = NULL;

	if (json_text(object, key, "unknown", &word, err) == -1)
		return -1;
	if (!result_parse(word, ret))
		return err_set(
		    err, ERR_INPUT, "'%s': '%.64s' is no result", key, word);
	return 0;
}

int
take_cause(const cJSON *object, enum cause *ret, struct err *err)
{
	const char *word = NULL;

	if (json_text(object, "cause", "none", &word, err) == -1)
		return -1;
	if (!cause_parse(word, ret))
		return err_set(err, ERR_INPUT, "'%.64s' is no cause", word);
	return 0;
}

int
take_array(const cJSON *object, const char *key, int max, const cJSON **ret,
    struct err *err)
{
	const cJSON *item = NULL;
	int count = 0;

	if (json_array(object, key, ret, err) == -1)
		return -1;
	cJSON_ArrayForEach(item, *ret)
	{
		if (++count > max)
			return err_set(err, ERR_INPUT,
			    "'%s' has more than %d entries", key, max);
		if (!cJSON_IsObject(item))
			return err_set(err, ERR_INPUT,
			    "'%s' holds something that is no object", key);
	}
	return count;
}
