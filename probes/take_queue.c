/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/base64.h"
#include "probes/take.h"
#include "probes/words.h"

/* What one line may hold; more is hostile or a bug. */
enum {
	WHO_MAX = 10000,
	NEAR_MAX = 1000,
	ITEMS_MAX = 1000, /* QUEUE_MOVE_MAX */
};

static int
take_number(struct arena *arena, const cJSON *object, const char *key,
    struct queue_number *ret, struct err *err)
{
	const cJSON *number = NULL;
	const char *word = NULL;

	if (json_object(object, key, &number, err) == -1)
		return -1;
	if (number == NULL) {
		*ret = (struct queue_number){.why = "not looked at"};
		return 0;
	}
	if (json_text(number, "know", "unknown", &word, err) == -1 ||
	    json_i64(number, "value", 0, &ret->value, err) == -1 ||
	    json_copy(arena, number, "why", &ret->why, err) == -1)
		return err_wrap(err, "'%s'", key);
	if (!know_parse(word, &ret->know))
		return err_set(err, ERR_INPUT,
		    "'%s': '%.64s' is no way of knowing", key, word);
	/* a number that is known is there */
	if (ret->know >= KNOW_EXACT && ret->know <= KNOW_ESTIMATE &&
	    !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(number, "value")))
		return err_set(err, ERR_INPUT, "'%s' has no value", key);
	return 0;
}

static int
take_flag(struct arena *arena, const cJSON *object, const char *key,
    struct queue_flag *ret, struct err *err)
{
	const cJSON *flag = NULL;
	const char *word = NULL;

	if (json_object(object, key, &flag, err) == -1)
		return -1;
	if (flag == NULL)
		return 0;
	if (json_text(flag, "is", "unknown", &word, err) == -1 ||
	    json_copy(arena, flag, "why", &ret->why, err) == -1)
		return err_wrap(err, "'%s'", key);
	if (!holds_parse(word, &ret->is))
		return err_set(
		    err, ERR_INPUT, "'%s': '%.64s' is no answer", key, word);
	return 0;
}

static int
take_who(struct arena *arena, const cJSON *object, struct queue_state *ret,
    struct err *err)
{
	const cJSON *who = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "who", WHO_MAX, &who, err);

	if (count <= 0)
		return count;
	struct queue_consumer *all =
	    arena_array(arena, (size_t)count, sizeof(*all));
	ret->who = all;
	cJSON_ArrayForEach(item, who)
	{
		struct queue_consumer *one = &all[ret->nwho++];
		int64_t proof = 0;
		if (json_copy(arena, item, "id", &one->id, err) == -1 ||
		    json_copy(arena, item, "address", &one->address, err) ==
		        -1 ||
		    json_copy(arena, item, "reads", &one->reads, err) == -1 ||
		    json_copy(arena, item, "where", &one->where, err) == -1 ||
		    json_copy(arena, item, "worker", &one->worker, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    json_i64(item, "session", -1, &one->session, err) == -1 ||
		    json_i64(item, "proof", 0, &proof, err) == -1 ||
		    take_number(arena, item, "held", &one->held, err) == -1)
			return err_wrap(err, "'who'");
		if (proof < 0 || proof > UINT32_MAX)
			return err_set(err, ERR_INPUT, "'proof' is no mask");
		one->proof = (unsigned)proof;
	}
	return 0;
}

static int
take_near(struct arena *arena, const cJSON *object, struct queue_state *ret,
    struct err *err)
{
	const cJSON *near = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "near", NEAR_MAX, &near, err);

	if (count <= 0)
		return count;
	struct queue_near *all =
	    arena_array(arena, (size_t)count, sizeof(*all));
	ret->near = all;
	cJSON_ArrayForEach(item, near)
	{
		struct queue_near *one = &all[ret->nnear++];
		int64_t distance = 0;
		if (json_copy(arena, item, "name", &one->name, err) == -1 ||
		    json_copy(arena, item, "where", &one->where, err) == -1 ||
		    json_copy(arena, item, "type", &one->type, err) == -1 ||
		    take_number(arena, item, "waiting", &one->waiting, err) ==
		        -1 ||
		    json_i64(item, "distance", 0, &distance, err) == -1)
			return err_wrap(err, "'near'");
		one->distance = (unsigned)MIN(MAX(distance, 0), 255);
	}
	return 0;
}

static int
take_queue_numbers(struct arena *arena, const cJSON *object,
    struct queue_state *ret, struct err *err)
{
	for (size_t i = 0; i < QUEUE_NUMBERS; i++)
		if (take_number(arena, object, queue_number_keys[i].key,
		        queue_state_number(ret, i), err) == -1)
			return -1;
	for (size_t i = 0; i < QUEUE_FLAGS; i++)
		if (take_flag(arena, object, queue_flag_keys[i].key,
		        queue_state_flag(ret, i), err) == -1)
			return -1;
	return 0;
}

int
take_queue(struct arena *arena, const cJSON *line, struct queue_state **ret,
    struct err *err)
{
	const cJSON *object = NULL;
	const char *exists = NULL;
	int64_t paused = -1;

	if (json_object(line, "queue", &object, err) == -1)
		return -1;
	if (object == NULL)
		return 0;
	struct queue_state *state = arena_alloc(arena, sizeof(*state));
	if (json_copy(arena, object, "engine", &state->engine, err) == -1 ||
	    json_copy(arena, object, "identity", &state->identity, err) == -1 ||
	    json_copy(arena, object, "target", &state->target, err) == -1 ||
	    json_copy(arena, object, "head", &state->head, err) == -1 ||
	    json_i64(object, "as_of", 0, &state->as_of_wall_ms, err) == -1 ||
	    json_text(object, "exists", "unknown", &exists, err) == -1 ||
	    json_i64(object, "paused", -1, &paused, err) == -1 ||
	    take_queue_numbers(arena, object, state, err) == -1 ||
	    take_who(arena, object, state, err) == -1 ||
	    take_near(arena, object, state, err) == -1)
		return err_wrap(err, "'queue'");
	if (!exists_parse(exists, &state->exists) || paused < -1 || paused > 1)
		return err_set(err, ERR_INPUT,
		    "'queue': 'exists' or 'paused' has no such value");
	state->paused = (int)paused;
	*ret = state;
	return 0;
}

static int
take_payload(struct arena *arena, const cJSON *item, struct queue_item *ret,
    struct err *err)
{
	const char *text = NULL;

	if (json_text(item, "payload", "", &text, err) == -1 ||
	    base64_decode(arena, text, &ret->payload, &ret->payload_len, err) ==
	        -1)
		return err_wrap(err, "'payload'");
	if (ret->payload_len > QUEUE_PEEK_MAX)
		return err_set(err, ERR_INPUT, "'payload' is longer than %d",
		    QUEUE_PEEK_MAX);
	return 0;
}

static int
take_items(struct arena *arena, const cJSON *object, struct queue_page *ret,
    struct err *err)
{
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "items", ITEMS_MAX, &list, err);

	if (count <= 0)
		return count;
	struct queue_item *items =
	    arena_array(arena, (size_t)count, sizeof(*items));
	ret->items = items;
	cJSON_ArrayForEach(item, list)
	{
		struct queue_item *one = &items[ret->count++];
		if (json_copy(arena, item, "id", &one->id, err) == -1 ||
		    json_copy(arena, item, "error", &one->error, err) == -1 ||
		    json_copy(arena, item, "owner", &one->owner, err) == -1 ||
		    take_payload(arena, item, one, err) == -1 ||
		    json_i64(item, "payload_bytes", -1, &one->payload_whole,
		        err) == -1 ||
		    json_i64(item, "age_ms", -1, &one->age_ms, err) == -1 ||
		    json_i64(item, "attempts", -1, &one->attempts, err) == -1)
			return err_wrap(err, "'items'");
	}
	return 0;
}

int
take_jobs(struct arena *arena, const cJSON *line, struct observed_jobs **ret,
    struct err *err)
{
	const cJSON *object = NULL;
	const char *part = NULL;

	if (json_object(line, "jobs", &object, err) == -1)
		return -1;
	if (object == NULL)
		return 0;
	struct observed_jobs *jobs = arena_alloc(arena, sizeof(*jobs));
	if (json_text(object, "part", "", &part, err) == -1 ||
	    take_number(arena, object, "total", &jobs->page.total, err) == -1 ||
	    take_items(arena, object, &jobs->page, err) == -1)
		return err_wrap(err, "'jobs'");
	if (!queue_part_parse(part, &jobs->part))
		return err_set(err, ERR_INPUT,
		    "'jobs': '%.64s' is no part of a queue", part);
	*ret = jobs;
	return 0;
}

/* A list of ids; `*ret` is NULL when it is absent. */
static int
take_ids(struct arena *arena, const cJSON *line, const char *key,
    const char *const **ret, size_t *ret_count, struct err *err)
{
	const cJSON *list = NULL;
	const cJSON *item = NULL;

	if (json_array(line, key, &list, err) == -1)
		return -1;
	if (list == NULL)
		return 0;
	int count = cJSON_GetArraySize(list);

	if (count > ITEMS_MAX)
		return err_set(err, ERR_INPUT, "'%s' has more than %d entries",
		    key, ITEMS_MAX);
	const char **ids = arena_array(arena, (size_t)count + 1, sizeof(*ids));

	cJSON_ArrayForEach(item, list)
	{
		const char *id = NULL;

		if (json_item_text(item, &id, err) == -1)
			return err_wrap(err, "'%s'", key);
		ids[(*ret_count)++] = arena_text(arena, id);
	}
	*ret = ids;
	return 0;
}

int
take_moved(struct arena *arena, const cJSON *line, struct observed_moved **ret,
    struct err *err)
{
	struct observed_moved moved = {.count = 0};
	size_t nas = 0;

	if (take_ids(arena, line, "moved", &moved.ids, &moved.count, err) ==
	        -1 ||
	    take_ids(arena, line, "movedAs", &moved.as, &nas, err) == -1)
		return -1;
	if (moved.as != NULL && nas != moved.count)
		return err_set(err, ERR_INPUT,
		    "'movedAs' names %zu of %zu that were moved", nas,
		    moved.count);
	if (moved.ids == NULL)
		return 0;
	*ret = arena_alloc(arena, sizeof(**ret));
	**ret = moved;
	return 0;
}
