/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/base64.h"
#include "probes/json_read.h"
#include "probes/observed.h"
#include "probes/words.h"

/* What one line may hold; more is hostile or a bug. */
enum {
	LINE_MAX_BYTES = 16 << 20,
	STEPS_MAX = 64,
	FACTS_MAX = 512,
	WHO_MAX = 10000,
	NEAR_MAX = 1000,
	WORKERS_MAX = 10000,
	INSTANCES_MAX = 10000,
	DRIFT_MAX = 10000,
	PROCESSES_MAX = 10000,
	STAGES_MAX = 1000,
	ITEMS_MAX = 1000, /* QUEUE_MOVE_MAX */
	OBSERVATIONS_FIRST = 16
};

void
observed_init(struct observed *observed, struct arena *arena)
{
	*observed = (struct observed){.arena = arena,
	    .vantage = "",
	    .processes_scope = "nobody looked",
	    .supervisor = {
	        .why = "nobody looked", .name = "", .operator_state = ""}};
}

/* Texts are copied: the JSON is freed with the line. */
static int
take_text(struct arena *arena, const cJSON *object, const char *key,
    const char **ret, struct err *err)
{
	const char *text = "";

	if (json_text(object, key, "", &text, err) == -1)
		return -1;
	*ret = arena_text(arena, text);
	return 0;
}

static int
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

static int
take_cause(const cJSON *object, enum cause *ret, struct err *err)
{
	const char *word = NULL;

	if (json_text(object, "cause", "none", &word, err) == -1)
		return -1;
	if (!cause_parse(word, ret))
		return err_set(err, ERR_INPUT, "'%.64s' is no cause", word);
	return 0;
}

/* An array of objects, at most `max`; *ret NULL and 0 when absent. */
static int
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

static int
take_steps(struct arena *arena, const cJSON *object, struct observation *ret,
    struct err *err)
{
	const cJSON *steps = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "steps", STEPS_MAX, &steps, err);

	if (count <= 0)
		return count;
	ret->steps = arena_array(arena, (size_t)count, sizeof(*ret->steps));
	cJSON_ArrayForEach(item, steps)
	{
		struct step *step = &ret->steps[ret->nsteps++];
		const char *word = NULL;
		if (json_text(item, "step", "", &word, err) == -1 ||
		    take_result(item, "result", &step->result, err) == -1 ||
		    json_i64(item, "elapsed_ms", 0, &step->elapsed_ms, err) ==
		        -1 ||
		    take_text(arena, item, "detail", &step->detail, err) == -1)
			return -1;
		if (!step_parse(word, &step->kind))
			return err_set(
			    err, ERR_INPUT, "'%.64s' is no step", word);
	}
	return 0;
}

static int
take_facts(struct arena *arena, const cJSON *object, struct observation *ret,
    struct err *err)
{
	const cJSON *facts = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "facts", FACTS_MAX, &facts, err);

	if (count <= 0)
		return count;
	ret->facts = arena_array(arena, (size_t)count, sizeof(*ret->facts));
	cJSON_ArrayForEach(item, facts)
	{
		struct fact *fact = &ret->facts[ret->nfacts++];
		if (take_text(arena, item, "key", &fact->key, err) == -1 ||
		    take_text(arena, item, "value", &fact->value, err) == -1)
			return -1;
	}
	return 0;
}

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
	    take_text(arena, number, "why", &ret->why, err) == -1)
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
	    take_text(arena, flag, "why", &ret->why, err) == -1)
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
		if (take_text(arena, item, "id", &one->id, err) == -1 ||
		    take_text(arena, item, "address", &one->address, err) ==
		        -1 ||
		    take_text(arena, item, "reads", &one->reads, err) == -1 ||
		    take_text(arena, item, "where", &one->where, err) == -1 ||
		    take_text(arena, item, "worker", &one->worker, err) == -1 ||
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
		if (take_text(arena, item, "name", &one->name, err) == -1 ||
		    take_text(arena, item, "where", &one->where, err) == -1 ||
		    take_text(arena, item, "type", &one->type, err) == -1 ||
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

static int
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
	if (take_text(arena, object, "engine", &state->engine, err) == -1 ||
	    take_text(arena, object, "identity", &state->identity, err) == -1 ||
	    take_text(arena, object, "target", &state->target, err) == -1 ||
	    take_text(arena, object, "head", &state->head, err) == -1 ||
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
		if (take_text(arena, item, "id", &one->id, err) == -1 ||
		    take_text(arena, item, "error", &one->error, err) == -1 ||
		    take_text(arena, item, "owner", &one->owner, err) == -1 ||
		    take_payload(arena, item, one, err) == -1 ||
		    json_i64(item, "payload_bytes", -1, &one->payload_whole,
		        err) == -1 ||
		    json_i64(item, "age_ms", -1, &one->age_ms, err) == -1 ||
		    json_i64(item, "attempts", -1, &one->attempts, err) == -1)
			return err_wrap(err, "'items'");
	}
	return 0;
}

static int
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

static int
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

static int
take_instances(struct arena *arena, const cJSON *object,
    struct observed_worker *ret, struct err *err)
{
	const cJSON *instances = NULL;
	const cJSON *item = NULL;
	int count =
	    take_array(object, "instances", INSTANCES_MAX, &instances, err);

	if (count <= 0)
		return count;
	ret->instances =
	    arena_array(arena, (size_t)count, sizeof(*ret->instances));
	cJSON_ArrayForEach(item, instances)
	{
		struct observed_instance *one =
		    &ret->instances[ret->ninstances++];
		if (json_i64(item, "index", 0, &one->index, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    take_text(arena, item, "state", &one->state, err) == -1 ||
		    json_bool(item, "ready", false, &one->ready, err) == -1 ||
		    json_i64(item, "restarts", 0, &one->restarts, err) == -1 ||
		    json_i64(item, "started_at", 0, &one->started_wall_ms,
		        err) == -1 ||
		    take_text(arena, item, "config_digest", &one->config_digest,
		        err) == -1 ||
		    take_text(arena, item, "last_exit", &one->last_exit, err) ==
		        -1 ||
		    take_text(arena, item, "waits_for", &one->waits_for, err) ==
		        -1)
			return err_wrap(err, "'instances'");
	}
	return 0;
}

static int
take_workers(struct arena *arena, const cJSON *object,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *workers = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "workers", WORKERS_MAX, &workers, err);

	if (count <= 0)
		return count;
	ret->workers = arena_array(arena, (size_t)count, sizeof(*ret->workers));
	cJSON_ArrayForEach(item, workers)
	{
		struct observed_worker *one = &ret->workers[ret->nworkers++];
		if (take_text(arena, item, "name", &one->name, err) == -1 ||
		    take_text(arena, item, "held", &one->held, err) == -1 ||
		    take_text(arena, item, "under_way", &one->under_way, err) ==
		        -1 ||
		    json_i64(item, "desired", 0, &one->desired, err) == -1 ||
		    json_i64(item, "ready", 0, &one->ready, err) == -1 ||
		    take_instances(arena, item, one, err) == -1)
			return err_wrap(err, "'workers'");
	}
	return 0;
}

static int
take_drift(struct arena *arena, const cJSON *object,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *drift = NULL;
	const cJSON *item = NULL;
	int count = take_array(object, "drift", DRIFT_MAX, &drift, err);

	if (count <= 0)
		return count;
	ret->drift = arena_array(arena, (size_t)count, sizeof(*ret->drift));
	cJSON_ArrayForEach(item, drift)
	{
		struct observed_drift *one = &ret->drift[ret->ndrift++];
		if (take_text(arena, item, "worker", &one->worker, err) == -1 ||
		    take_text(arena, item, "class", &one->class, err) == -1 ||
		    take_text(arena, item, "key", &one->key, err) == -1 ||
		    take_text(arena, item, "summary", &one->summary, err) ==
		        -1 ||
		    take_text(arena, item, "evidence", &one->evidence, err) ==
		        -1)
			return err_wrap(err, "'drift'");
	}
	return 0;
}

static int
take_supervisor(struct arena *arena, const cJSON *line, struct observation *ret,
    struct err *err)
{
	const cJSON *object = NULL;

	if (json_object(line, "supervisor", &object, err) == -1)
		return -1;
	if (object == NULL)
		return 0;
	struct observed_supervisor *sup = arena_alloc(arena, sizeof(*sup));
	if (take_result(object, "reached", &sup->reached, err) == -1 ||
	    take_text(arena, object, "why", &sup->why, err) == -1 ||
	    take_text(arena, object, "name", &sup->name, err) == -1 ||
	    take_text(arena, object, "operator_state", &sup->operator_state,
	        err) == -1 ||
	    take_text(arena, object, "limits_missing", &sup->limits_missing,
	        err) == -1 ||
	    take_text(arena, object, "limits_why", &sup->limits_why, err) ==
	        -1 ||
	    take_text(arena, object, "manifest_digest", &sup->manifest_digest,
	        err) == -1 ||
	    take_workers(arena, object, sup, err) == -1 ||
	    take_drift(arena, object, sup, err) == -1)
		return err_wrap(err, "'supervisor'");
	ret->supervisor = sup;
	return 0;
}

static int
take_processes(struct arena *arena, const cJSON *line, struct observation *ret,
    struct err *err)
{
	const cJSON *processes = NULL;
	const cJSON *item = NULL;
	int count =
	    take_array(line, "processes", PROCESSES_MAX, &processes, err);

	if (count == -1)
		return -1;
	if (processes == NULL)
		return 0;
	struct observed_process *all =
	    arena_array(arena, (size_t)count + 1, sizeof(*all));
	ret->processes = all;
	cJSON_ArrayForEach(item, processes)
	{
		struct observed_process *one = &all[ret->nprocesses++];
		if (take_text(arena, item, "worker", &one->worker, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    take_text(arena, item, "command", &one->command, err) ==
		        -1 ||
		    json_i64(item, "started_at", 0, &one->started_wall_ms,
		        err) == -1)
			return err_wrap(err, "'processes'");
	}
	return 0;
}

static int
take_observation(struct arena *arena, const cJSON *line,
    struct observation *ret, struct err *err)
{
	if (take_text(arena, line, "kind", &ret->kind, err) == -1 ||
	    take_text(arena, line, "subject", &ret->subject, err) == -1 ||
	    take_text(arena, line, "target", &ret->target, err) == -1 ||
	    take_result(line, "result", &ret->result, err) == -1 ||
	    take_cause(line, &ret->cause, err) == -1 ||
	    take_text(arena, line, "code", &ret->code, err) == -1 ||
	    take_text(arena, line, "summary", &ret->summary, err) == -1 ||
	    take_text(arena, line, "identity", &ret->identity, err) == -1 ||
	    json_i64(line, "at", 0, &ret->at_wall_ms, err) == -1 ||
	    json_i64(line, "elapsed_ms", 0, &ret->elapsed_ms, err) == -1 ||
	    take_text(arena, line, "tag", &ret->tag, err) == -1 ||
	    take_steps(arena, line, ret, err) == -1 ||
	    take_facts(arena, line, ret, err) == -1 ||
	    take_queue(arena, line, &ret->queue, err) == -1 ||
	    take_jobs(arena, line, &ret->jobs, err) == -1 ||
	    take_moved(arena, line, &ret->moved, err) == -1 ||
	    take_supervisor(arena, line, ret, err) == -1 ||
	    take_processes(arena, line, ret, err) == -1)
		return -1;
	if (ret->kind[0] == '\0' || ret->subject[0] == '\0')
		return err_set(
		    err, ERR_INPUT, "a verdict line without kind or subject");
	if (ret->result == RESULT_PASSED && ret->cause != CAUSE_NONE)
		return err_set(err, ERR_INPUT, "passed, with a cause");
	return 0;
}

/* Room for one more; the array doubles inside the arena. */
static void
observations_grow(struct observed *observed)
{
	if (observed->nobservations < observed->observations_max)
		return;
	size_t max = MAX(2 * observed->nobservations, OBSERVATIONS_FIRST);
	struct observation *more =
	    arena_array(observed->arena, max, sizeof(*more));
	if (observed->nobservations > 0)
		memcpy(more, observed->observations,
		    observed->nobservations * sizeof(*more));
	observed->observations = more;
	observed->observations_max = max;
}

/* Smokes are few, and also appended to by whoever runs them. */
static void
smokes_grow(struct observed *observed)
{
	struct observed_smoke *more =
	    arena_array(observed->arena, observed->nsmokes + 1, sizeof(*more));

	if (observed->nsmokes > 0)
		memcpy(
		    more, observed->smokes, observed->nsmokes * sizeof(*more));
	observed->smokes = more;
}

/* What two kinds found has a place of its own. A look that never came back says
 * why by itself. */
static void
put_parts(struct observed *observed, const struct observation *one)
{
	if (text_equal(one->kind, "supervisor")) {
		if (one->supervisor != NULL)
			observed->supervisor = *one->supervisor;
		else
			observed->supervisor =
			    (struct observed_supervisor){.why = one->summary,
			        .name = "",
			        .operator_state = ""};
	}
	if (text_equal(one->kind, "processes")) {
		observed->processes = one->processes;
		observed->nprocesses = one->nprocesses;
		observed->processes_searched = one->result;
		observed->processes_scope = one->summary;
	}
}

static int
add_observation(struct observed *observed, const cJSON *line, struct err *err)
{
	struct observation one = {.result = RESULT_UNKNOWN};

	if (take_observation(observed->arena, line, &one, err) == -1)
		return -1;
	observations_grow(observed);
	observed->observations[observed->nobservations++] = one;
	put_parts(observed, &one);
	return 0;
}

static int
take_stages(struct arena *arena, const cJSON *line, struct observed_smoke *ret,
    struct err *err)
{
	const cJSON *stages = NULL;
	const cJSON *item = NULL;
	int count = take_array(line, "stages", STAGES_MAX, &stages, err);

	if (count <= 0)
		return count;
	ret->stages = arena_array(arena, (size_t)count, sizeof(*ret->stages));
	cJSON_ArrayForEach(item, stages)
	{
		struct observed_stage *one = &ret->stages[ret->nstages++];
		if (take_text(arena, item, "smoke", &one->smoke, err) == -1 ||
		    take_text(arena, item, "stage", &one->stage, err) == -1 ||
		    take_result(item, "before", &one->before, err) == -1 ||
		    take_result(item, "after", &one->after, err) == -1 ||
		    take_text(arena, item, "summary", &one->summary, err) ==
		        -1 ||
		    take_text(arena, item, "by", &one->by, err) == -1 ||
		    take_cause(item, &one->cause, err) == -1 ||
		    json_i64(item, "reached_ms", -1, &one->reached_ms, err) ==
		        -1)
			return err_wrap(err, "'stages'");
	}
	return 0;
}

static int
add_smoke(struct observed *observed, const cJSON *line, struct err *err)
{
	struct arena *arena = observed->arena;
	struct observed_smoke one = {.submitted = false};

	if (take_text(arena, line, "name", &one.name, err) == -1 ||
	    json_bool(line, "submitted", false, &one.submitted, err) == -1 ||
	    take_text(arena, line, "canary", &one.canary, err) == -1 ||
	    take_text(arena, line, "summary", &one.summary, err) == -1 ||
	    json_i64(line, "submitted_at", 0, &one.submitted_wall_ms, err) ==
	        -1 ||
	    json_i64(line, "total_ms", 0, &one.total_ms, err) == -1 ||
	    take_cause(line, &one.cause, err) == -1 ||
	    json_bool(line, "cleaned", false, &one.cleaned, err) == -1 ||
	    take_text(arena, line, "cleanup_summary", &one.cleanup_summary,
	        err) == -1 ||
	    take_stages(arena, line, &one, err) == -1)
		return -1;
	if (one.name[0] == '\0')
		return err_set(err, ERR_INPUT, "a smoke without a name");
	smokes_grow(observed);
	observed->smokes[observed->nsmokes++] = one;
	return 0;
}

static int
add_vantage(struct observed *observed, const cJSON *line, struct err *err)
{
	const char *vantage = NULL;
	int64_t at_wall_ms = 0;

	if (take_text(observed->arena, line, "vantage", &vantage, err) == -1 ||
	    json_i64(line, "at", 0, &at_wall_ms, err) == -1)
		return -1;
	observed->vantage = vantage;
	observed->at_wall_ms = at_wall_ms;
	return 0;
}

int
observed_add_line(
    struct observed *observed, const char *line, size_t len, struct err *err)
{
	const char *schema = NULL;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len > LINE_MAX_BYTES)
		return err_set(err, ERR_INPUT,
		    "a verdict line of more than %d bytes", LINE_MAX_BYTES);
	/* the reader wants a NUL behind it */
	char *copy = strndup(line, len);
	if (copy == NULL)
		return err_set(err, ERR_SYSTEM, "out of memory");
	CLEANUP(json_free)
	cJSON *json = strlen(copy) == len ? json_read(copy, len, err) : NULL;
	if (strlen(copy) != len)
		(void)err_set(err, ERR_INPUT, "a verdict line with a NUL byte");
	free(copy);
	if (json == NULL)
		return err_wrap(err, "verdict line");
	if (!cJSON_IsObject(json))
		return err_set(err, ERR_INPUT, "a verdict line is an object");
	if (json_text(json, "schema", "", &schema, err) == -1)
		return err_wrap(err, "verdict line");
	int rc = -1;
	if (text_equal(schema, OBSERVATION_SCHEMA))
		rc = add_observation(observed, json, err);
	else if (text_equal(schema, SMOKE_SCHEMA))
		rc = add_smoke(observed, json, err);
	else if (text_equal(schema, VANTAGE_SCHEMA))
		rc = add_vantage(observed, json, err);
	else
		return err_set(err, ERR_INPUT,
		    "'%.64s' is no schema of a verdict line", schema);
	return rc == 0 ? 0 : err_wrap(err, "verdict line");
}

const struct observation *
observed_find(const struct observed *observed, const char *subject)
{
	const struct observation *found = NULL;

	/* the latest: a second look replaces the first */
	for (size_t i = 0; i < observed->nobservations; i++)
		if (text_equal(observed->observations[i].subject, subject))
			found = &observed->observations[i];
	return found;
}
