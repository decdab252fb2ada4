/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/base64.h"
#include "probes/observation_write.h"
#include "probes/words.h"

static void
number_write(
    struct jsonw *json, const char *key, const struct queue_number *number)
{
	jsonw_object(json, key);
	jsonw_text(json, "know", know_name(number->know));
	if (number->know == KNOW_UNKNOWN || number->know == KNOW_NOT_APPLICABLE)
		jsonw_null(json, "value");
	else
		jsonw_i64(json, "value", number->value);
	if (number->why != NULL)
		jsonw_text(json, "why", number->why);
	jsonw_end(json);
}

/* What nobody looked at isn't written: most technologies have few of them. */
static void
flag_write(struct jsonw *json, const char *key, const struct queue_flag *flag)
{
	if (flag->is == HOLDS_UNKNOWN && flag->why == NULL)
		return;
	jsonw_object(json, key);
	jsonw_text(json, "is", holds_name(flag->is));
	jsonw_text(json, "why", flag->why != NULL ? flag->why : "");
	jsonw_end(json);
}

static void
consumers_write(struct jsonw *json, const struct queue_state *state)
{
	jsonw_array(json, "who");
	for (size_t i = 0; i < state->nwho; i++) {
		const struct queue_consumer *who = &state->who[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "id", who->id);
		jsonw_text(json, "address", who->address);
		jsonw_text(json, "reads", who->reads);
		jsonw_text(json, "where", who->where != NULL ? who->where : "");
		jsonw_text(json, "worker", who->worker);
		jsonw_i64(json, "pid", who->pid);
		if (who->session > 0)
			jsonw_i64(json, "session", who->session);
		jsonw_i64(json, "proof", (int64_t)who->proof);
		if (who->held.know != KNOW_UNKNOWN)
			number_write(json, "held", &who->held);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
near_write(struct jsonw *json, const struct queue_state *state)
{
	jsonw_array(json, "near");
	for (size_t i = 0; i < state->nnear; i++) {
		const struct queue_near *near = &state->near[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "name", near->name);
		jsonw_text(json, "where", near->where);
		jsonw_text(json, "type", near->type);
		number_write(json, "waiting", &near->waiting);
		jsonw_i64(json, "distance", (int64_t)near->distance);
		jsonw_end(json);
	}
	jsonw_end(json);
}

/* The queue part by itself, as the object `key` of something that is being
 * written (NULL inside arrays). */
static void
queue_state_write(
    struct jsonw *json, const char *key, const struct queue_state *state)
{
	jsonw_object(json, key);
	jsonw_text(json, "engine", state->engine);
	jsonw_text(json, "identity", state->identity);
	jsonw_text(json, "target", state->target);
	jsonw_i64(json, "as_of", state->as_of_wall_ms);
	jsonw_text(json, "exists", exists_name(state->exists));
	jsonw_i64(json, "paused", state->paused);
	for (size_t i = 0; i < QUEUE_NUMBERS; i++)
		number_write(json, queue_number_keys[i].key,
		    (const void *)((const char *)state +
		                   queue_number_keys[i].offset));
	for (size_t i = 0; i < QUEUE_FLAGS; i++)
		flag_write(json, queue_flag_keys[i].key,
		    (const void *)((const char *)state +
		                   queue_flag_keys[i].offset));
	consumers_write(json, state);
	near_write(json, state);
	jsonw_text(json, "head", state->head);
	jsonw_end(json);
}

static void
jobs_write(struct jsonw *json, const struct observed_jobs *jobs)
{
	jsonw_object(json, "jobs");
	jsonw_text(json, "part", queue_part_name(jobs->part));
	number_write(json, "total", &jobs->page.total);
	jsonw_array(json, "items");
	for (size_t i = 0; i < jobs->page.count; i++) {
		const struct queue_item *item = &jobs->page.items[i];
		struct buffer payload;

		buffer_init(&payload, BASE64_SIZE(QUEUE_PEEK_MAX));
		base64_encode(&payload, item->payload, item->payload_len);
		jsonw_object(json, NULL);
		jsonw_text(json, "id", item->id);
		jsonw_text(json, "error", item->error);
		jsonw_text(json, "owner", item->owner);
		jsonw_text(
		    json, "payload", payload.len > 0 ? payload.data : "");
		jsonw_i64(json, "payload_bytes", item->payload_whole);
		jsonw_i64(json, "age_ms", item->age_ms);
		jsonw_i64(json, "attempts", item->attempts);
		jsonw_end(json);
		buffer_wipe(&payload);
	}
	jsonw_end(json);
	jsonw_end(json);
}

static void
moved_write(struct jsonw *json, const struct observed_moved *moved)
{
	jsonw_array(json, "moved");
	for (size_t i = 0; i < moved->count; i++)
		jsonw_text(json, NULL, moved->ids[i]);
	jsonw_end(json);
	if (moved->as == NULL)
		return;
	jsonw_array(json, "movedAs");
	for (size_t i = 0; i < moved->count; i++)
		jsonw_text(json, NULL, moved->as[i]);
	jsonw_end(json);
}

static void
instances_write(struct jsonw *json, const struct observed_worker *worker)
{
	jsonw_array(json, "instances");
	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct observed_instance *one = &worker->instances[i];
		jsonw_object(json, NULL);
		jsonw_i64(json, "index", one->index);
		jsonw_i64(json, "pid", one->pid);
		jsonw_text(json, "state", one->state);
		jsonw_bool(json, "ready", one->ready);
		jsonw_i64(json, "restarts", one->restarts);
		jsonw_i64(json, "started_at", one->started_wall_ms);
		jsonw_text(json, "config_digest", one->config_digest);
		jsonw_text(json, "last_exit", one->last_exit);
		jsonw_text(json, "waits_for", one->waits_for);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
supervisor_write(
    struct jsonw *json, const char *key, const struct observed_supervisor *sup)
{
	jsonw_object(json, key);
	jsonw_text(json, "reached", result_name(sup->reached));
	jsonw_text(json, "why", sup->why);
	jsonw_text(json, "name", sup->name);
	jsonw_text(json, "operator_state", sup->operator_state);
	jsonw_text(json, "manifest_digest", sup->manifest_digest);
	jsonw_text(json, "limits_missing", sup->limits_missing);
	jsonw_text(json, "limits_why", sup->limits_why);
	jsonw_array(json, "workers");
	for (size_t i = 0; i < sup->nworkers; i++) {
		const struct observed_worker *worker = &sup->workers[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "name", worker->name);
		jsonw_i64(json, "desired", worker->desired);
		jsonw_text(json, "held", worker->held);
		jsonw_text(json, "under_way", worker->under_way);
		jsonw_i64(json, "ready", worker->ready);
		instances_write(json, worker);
		jsonw_end(json);
	}
	jsonw_end(json);
	jsonw_array(json, "drift");
	for (size_t i = 0; i < sup->ndrift; i++) {
		const struct observed_drift *drift = &sup->drift[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "worker", drift->worker);
		jsonw_text(json, "class", drift->class);
		jsonw_text(json, "key", drift->key);
		jsonw_text(json, "summary", drift->summary);
		jsonw_text(json, "evidence", drift->evidence);
		jsonw_end(json);
	}
	jsonw_end(json);
	jsonw_end(json);
}

static void
processes_write(struct jsonw *json, const struct observation *observation)
{
	jsonw_array(json, "processes");
	for (size_t i = 0; i < observation->nprocesses; i++) {
		const struct observed_process *one = &observation->processes[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "worker", one->worker);
		jsonw_i64(json, "pid", one->pid);
		jsonw_text(json, "command", one->command);
		jsonw_i64(json, "started_at", one->started_wall_ms);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
steps_write(struct jsonw *json, const struct observation *observation)
{
	jsonw_array(json, "steps");
	for (size_t i = 0; i < observation->nsteps; i++) {
		const struct step *step = &observation->steps[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "step", step_name(step->kind));
		jsonw_text(json, "result", result_name(step->result));
		jsonw_i64(json, "elapsed_ms", step->elapsed_ms);
		jsonw_text(json, "detail", step->detail);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
facts_write(struct jsonw *json, const struct observation *observation)
{
	jsonw_array(json, "facts");
	for (size_t i = 0; i < observation->nfacts; i++) {
		jsonw_object(json, NULL);
		jsonw_text(json, "key", observation->facts[i].key);
		jsonw_text(json, "value", observation->facts[i].value);
		jsonw_end(json);
	}
	jsonw_end(json);
}

void
observation_write(struct buffer *out, const struct observation *observation)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", OBSERVATION_SCHEMA);
	jsonw_text(&json, "kind", observation->kind);
	jsonw_text(&json, "subject", observation->subject);
	jsonw_text(&json, "target", observation->target);
	jsonw_text(&json, "result", result_name(observation->result));
	jsonw_text(&json, "cause", cause_name(observation->cause));
	jsonw_text(&json, "code", observation->code);
	jsonw_text(&json, "summary", observation->summary);
	jsonw_text(&json, "identity", observation->identity);
	jsonw_i64(&json, "at", observation->at_wall_ms);
	jsonw_i64(&json, "elapsed_ms", observation->elapsed_ms);
	if (observation->tag != NULL && observation->tag[0] != '\0')
		jsonw_text(&json, "tag", observation->tag);
	steps_write(&json, observation);
	facts_write(&json, observation);
	if (observation->queue != NULL)
		queue_state_write(&json, "queue", observation->queue);
	if (observation->jobs != NULL)
		jobs_write(&json, observation->jobs);
	if (observation->moved != NULL)
		moved_write(&json, observation->moved);
	if (observation->supervisor != NULL)
		supervisor_write(&json, "supervisor", observation->supervisor);
	if (observation->processes != NULL)
		processes_write(&json, observation);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

void
observed_smoke_write(struct buffer *out, const struct observed_smoke *smoke)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", SMOKE_SCHEMA);
	jsonw_text(&json, "name", smoke->name);
	jsonw_bool(&json, "submitted", smoke->submitted);
	jsonw_text(&json, "canary", smoke->canary);
	jsonw_text(&json, "summary", smoke->summary);
	jsonw_i64(&json, "submitted_at", smoke->submitted_wall_ms);
	jsonw_i64(&json, "total_ms", smoke->total_ms);
	jsonw_text(&json, "cause", cause_name(smoke->cause));
	jsonw_array(&json, "stages");
	for (size_t i = 0; i < smoke->nstages; i++) {
		const struct observed_stage *stage = &smoke->stages[i];
		jsonw_object(&json, NULL);
		jsonw_text(&json, "smoke", stage->smoke);
		jsonw_text(&json, "stage", stage->stage);
		jsonw_text(&json, "before", result_name(stage->before));
		jsonw_text(&json, "after", result_name(stage->after));
		jsonw_text(&json, "summary", stage->summary);
		jsonw_text(&json, "by", stage->by);
		jsonw_text(&json, "cause", cause_name(stage->cause));
		jsonw_i64(&json, "reached_ms", stage->reached_ms);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_bool(&json, "cleaned", smoke->cleaned);
	jsonw_text(&json, "cleanup_summary", smoke->cleanup_summary);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
clean(const struct redactor *redactor, struct arena *arena, const char **text)
{
	if (*text != NULL && (*text)[0] != '\0')
		*text = redactor_clean(redactor, arena, *text);
}

static void
queue_clean(const struct redactor *redactor, struct arena *arena,
    struct queue_state *state)
{
	clean(redactor, arena, &state->target);
	clean(redactor, arena, &state->head);
	for (size_t i = 0; i < QUEUE_NUMBERS; i++)
		clean(redactor, arena, &queue_state_number(state, i)->why);
	for (size_t i = 0; i < QUEUE_FLAGS; i++)
		clean(redactor, arena, &queue_state_flag(state, i)->why);
}

/* An id stays as it is: `move` must find the job by it. */
static void
jobs_clean(const struct redactor *redactor, struct arena *arena,
    struct observed_jobs *jobs)
{
	struct queue_item *items =
	    arena_array(arena, jobs->page.count + 1, sizeof(*items));

	clean(redactor, arena, &jobs->page.total.why);
	for (size_t i = 0; i < jobs->page.count; i++) {
		items[i] = jobs->page.items[i];
		clean(redactor, arena, &items[i].error);
		clean(redactor, arena, &items[i].owner);
		items[i].payload = redactor_clean_bytes(redactor, arena,
		    items[i].payload, items[i].payload_len,
		    items[i].payload_whole != (int64_t)items[i].payload_len,
		    &items[i].payload_len);
	}
	jobs->page.items = items;
}

void
observation_redact(struct observation *observation,
    const struct redactor *redactor, struct arena *arena)
{
	clean(redactor, arena, &observation->target);
	clean(redactor, arena, &observation->summary);
	clean(redactor, arena, &observation->identity);
	for (size_t i = 0; i < observation->nsteps; i++)
		clean(redactor, arena, &observation->steps[i].detail);
	for (size_t i = 0; i < observation->nfacts; i++)
		clean(redactor, arena, &observation->facts[i].value);
	if (observation->queue != NULL)
		queue_clean(redactor, arena, observation->queue);
	if (observation->jobs != NULL)
		jobs_clean(redactor, arena, observation->jobs);
}
