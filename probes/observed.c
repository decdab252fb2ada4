/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/observed.h"
#include "probes/take.h"
#include "probes/words.h"

/* What one line may hold; more is hostile or a bug. */
enum {
	LINE_MAX_BYTES = 16 << 20,
	STEPS_MAX = 64,
	FACTS_MAX = 512,
	STAGES_MAX = 1000,
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
		    json_copy(arena, item, "detail", &step->detail, err) == -1)
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
		if (json_copy(arena, item, "key", &fact->key, err) == -1 ||
		    json_copy(arena, item, "value", &fact->value, err) == -1)
			return -1;
	}
	return 0;
}

static int
take_observation(struct arena *arena, const cJSON *line,
    struct observation *ret, struct err *err)
{
	if (json_copy(arena, line, "kind", &ret->kind, err) == -1 ||
	    json_copy(arena, line, "subject", &ret->subject, err) == -1 ||
	    json_copy(arena, line, "target", &ret->target, err) == -1 ||
	    take_result(line, "result", &ret->result, err) == -1 ||
	    take_cause(line, &ret->cause, err) == -1 ||
	    json_copy(arena, line, "code", &ret->code, err) == -1 ||
	    json_copy(arena, line, "summary", &ret->summary, err) == -1 ||
	    json_copy(arena, line, "identity", &ret->identity, err) == -1 ||
	    json_i64(line, "at", 0, &ret->at_wall_ms, err) == -1 ||
	    json_i64(line, "elapsed_ms", 0, &ret->elapsed_ms, err) == -1 ||
	    json_copy(arena, line, "tag", &ret->tag, err) == -1 ||
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
		if (json_copy(arena, item, "smoke", &one->smoke, err) == -1 ||
		    json_copy(arena, item, "stage", &one->stage, err) == -1 ||
		    take_result(item, "before", &one->before, err) == -1 ||
		    take_result(item, "after", &one->after, err) == -1 ||
		    json_copy(arena, item, "summary", &one->summary, err) ==
		        -1 ||
		    json_copy(arena, item, "by", &one->by, err) == -1 ||
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

	if (json_copy(arena, line, "name", &one.name, err) == -1 ||
	    json_bool(line, "submitted", false, &one.submitted, err) == -1 ||
	    json_copy(arena, line, "canary", &one.canary, err) == -1 ||
	    json_copy(arena, line, "summary", &one.summary, err) == -1 ||
	    json_i64(line, "submitted_at", 0, &one.submitted_wall_ms, err) ==
	        -1 ||
	    json_i64(line, "total_ms", 0, &one.total_ms, err) == -1 ||
	    take_cause(line, &one.cause, err) == -1 ||
	    json_bool(line, "cleaned", false, &one.cleaned, err) == -1 ||
	    json_copy(arena, line, "cleanup_summary", &one.cleanup_summary,
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

	if (json_copy(observed->arena, line, "vantage", &vantage, err) == -1 ||
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
