/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "probes/queue/asked.h"

enum {
	OPTIONS_MAX = 64,
	LIST_DEFAULT = 20,
};

static int
read_options(struct look *look, struct queue_spec *spec)
{
	struct err err = ERR_INIT;
	const cJSON *object = NULL;
	const cJSON *item = NULL;
	struct queue_option *options = NULL;
	size_t count = 0;

	if (json_object(look->request, "options", &object, &err) == -1)
		goto bad;
	options = arena_array(look->arena, OPTIONS_MAX, sizeof(*options));
	cJSON_ArrayForEach(item, object)
	{
		if (count == OPTIONS_MAX) {
			(void)err_set(&err, ERR_CAPACITY,
			    "a queue has at most %d options", OPTIONS_MAX);
			goto bad;
		}
		options[count].key = item->string;
		if (json_item_text(item, &options[count].value, &err) == -1)
			goto bad;
		count++;
	}
	spec->options = options;
	spec->noptions = count;
	return 0;
bad:
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

/* A list of texts, `most` at most. */
static int
read_texts(struct look *look, const char *key, int most,
    const char *const **ret, size_t *ret_count)
{
	struct err err = ERR_INIT;
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	const char **texts =
	    arena_array(look->arena, (size_t)most, sizeof(*texts));

	*ret_count = 0;
	if (json_array(look->request, key, &list, &err) == -1)
		goto bad;
	if (cJSON_GetArraySize(list) > most) {
		(void)err_set(&err, ERR_CAPACITY, "more than %d %s", most, key);
		goto bad;
	}
	cJSON_ArrayForEach(item, list)
	{
		if (json_item_text(item, &texts[*ret_count], &err) == -1)
			goto bad;
		(*ret_count)++;
	}
	*ret = texts;
	return 0;
bad:
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

static int
read_pids(struct look *look, struct asked *ret)
{
	struct err err = ERR_INIT;

	if (pids_read(look->arena, look->request, "pids", &ret->own, &err) == 0)
		return 0;
	look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
	return -1;
}

/* What list and move need. */
static int
read_part(struct look *look, struct asked *ret)
{
	const char *part = NULL;

	if (look_text(look, "part", "waiting", &part) == -1 ||
	    look_i64(look, "limit", LIST_DEFAULT, &ret->limit) == -1 ||
	    look_bool(look, "force", false, &ret->move.force) == -1 ||
	    read_texts(look, "ids", QUEUE_MOVE_MAX, &ret->move.ids,
	        &ret->move.nids) == -1 ||
	    read_texts(look, "workers", QUEUE_REAP_MAX, &ret->reap.workers,
	        &ret->reap.nworkers) == -1)
		return -1;
	if (!queue_part_parse(part, &ret->part)) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "a queue has no part '%.40s'", part);
		return -1;
	}
	ret->limit = MIN(MAX(ret->limit, 1), (int64_t)QUEUE_MOVE_MAX);
	ret->move.from = ret->part;
	return 0;
}

int
asked_read(struct look *look, struct asked *ret)
{
	const char *payload = NULL;

	if (look_text(look, "queueKind", "", &ret->spec.kind) == -1 ||
	    look_need(look, "url", &ret->spec.url) == -1 ||
	    look_text(look, "op", "observe", &ret->op) == -1 ||
	    look_bool(look, "near", false, &ret->near) == -1 ||
	    look_text(look, "payload", "", &payload) == -1 ||
	    look_text(look, "receipt", NULL, &ret->job.receipt) == -1 ||
	    look_i64(look, "countTo", 0, &ret->spec.count_to) == -1 ||
	    read_options(look, &ret->spec) == -1 ||
	    read_pids(look, ret) == -1 || read_part(look, ret) == -1)
		return -1;
	ret->job.canary = look->canary != NULL ? look->canary : "";
	ret->job.payload = look_canary(look, payload, false);
	ret->job.len = strlen(ret->job.payload);
	return 0;
}

const char *
asked_key(struct look *look, const struct queue_spec *spec)
{
	const char *key = spec->url;

	for (size_t i = 0; i < spec->noptions; i++)
		key = arena_format(look->arena, "%s\n%s=%s", key,
		    spec->options[i].key, spec->options[i].value);
	return arena_format(look->arena, "%s\n%" PRId64 "\n%s", spec->kind,
	    spec->count_to, key);
}
