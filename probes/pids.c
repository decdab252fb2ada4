/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "probes/pids.h"

static int
by_number(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

bool
pids_have(const struct pids *pids, int64_t pid)
{
	return pids->count > 0 && bsearch(&pid, pids->all, pids->count,
	                              sizeof(pid), by_number) != NULL;
}

int
pids_read(struct arena *arena, const cJSON *object, const char *key,
    struct pids *ret, struct err *err)
{
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	size_t count = 0;

	if (json_array(object, key, &list, err) == -1)
		return -1;
	if (list == NULL)
		return 0;
	int64_t *all = arena_array(
	    arena, (size_t)cJSON_GetArraySize(list) + 1, sizeof(*all));

	cJSON_ArrayForEach(item, list)
	{
		if (json_item_i64(item, &all[count++], err) == -1)
			return err_wrap(err, "'%s'", key);
	}
	qsort(all, count, sizeof(*all), by_number);
	*ret = (struct pids){all, count};
	return 0;
}
