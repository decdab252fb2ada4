/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

enum {
	JUDGE_EVERY_MS = 5 * 1000, /* a round of looks */
	RULES_BYTES_MAX = 64 << 20,
	CONDITIONS_MAX = 2048,
	STATES_MAX = 65536,
	RULES_OF_QUEUE = 16, /* and of a worker, at most */
};

void
rules_say(struct rules *rules, const char *rule, const char *subject,
    enum result result, const char *why)
{
	if (rules->nstates < STATES_MAX)
		rules->states[rules->nstates++] = (struct rule_state){
		    .rule = rule,
		    .subject = subject,
		    .result = result,
		    .why = result == RESULT_UNKNOWN
		               ? arena_text(&rules->arena, why)
		               : NULL,
		};
}

void
rules_add(struct rules *rules, const struct alert_condition *condition)
{
	if (rules->nconditions < CONDITIONS_MAX)
		rules->conditions[rules->nconditions++] = *condition;
}

bool
rules_known(const struct rule_look *look, const char *rule,
    const struct queue_number *number)
{
	const char *why = look->view.trouble != NULL ? look->view.trouble
	                  : number->why != NULL      ? number->why
	                                             : "it can't be seen";

	if (number->know != KNOW_UNKNOWN && number->know != KNOW_NOT_APPLICABLE)
		return true;
	if (look->view.trouble == NULL && number->know == KNOW_NOT_APPLICABLE)
		why = "this kind of queue doesn't have it";
	rules_say(look->rules, rule, look->subject, RESULT_UNKNOWN, why);
	return false;
}

const char *
rules_time(struct rules *rules, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	return arena_text(&rules->arena, clock_text(wall_ms, text));
}

const char *
rules_age(struct rules *rules, int64_t ms)
{
	char text[32];

	return arena_text(
	    &rules->arena, text_ms_for_people(ms, text, sizeof(text)));
}

static void
judge_all(struct operator_core *op, struct rules *rules, int64_t now_ms)
{
	const struct declared *declared = op->intent->declared;
	size_t subjects = declared->nqueues + declared->nworkers;

	arena_fini(&rules->arena);
	arena_init(&rules->arena, RULES_BYTES_MAX);
	rules->nconditions = rules->nstates = 0;
	rules->conditions = arena_array(
	    &rules->arena, CONDITIONS_MAX, sizeof(*rules->conditions));
	rules->states = arena_array(&rules->arena,
	    MIN(RULES_OF_QUEUE * subjects, (size_t)STATES_MAX) + 1,
	    sizeof(*rules->states));
	for (size_t i = 0; i < declared->nqueues; i++) {
		struct rule_look look = {
		    .op = op,
		    .rules = rules,
		    .queue = &declared->queues[i],
		    .subject = arena_format(
		        &rules->arena, "queue %s", declared->queues[i].name),
		    .now_wall_ms = clock_wall_ms(),
		};
		if (!queues_view_find(op->queues, look.queue->name, &look.view))
			continue;
		objectives_judge(&look);
		if (declared->preset.on)
			preset_judge_queue(&look);
	}
	if (declared->preset.on)
		preset_judge_workers(op, rules, now_ms);
	rules->due_ms = clock_beat(now_ms, JUDGE_EVERY_MS);
}

int64_t
rules_judge(struct operator_core *op, int64_t now_ms,
    void (*fn)(void *, const struct alert_condition *), void *arg)
{
	struct rules *rules = &op->rules;

	if (op->intent == NULL || (op->intent->declared->nqueues == 0 &&
	                              !op->intent->declared->preset.on))
		return CLOCK_NEVER;
	if (now_ms >= rules->due_ms)
		judge_all(op, rules, now_ms);
	for (size_t i = 0; i < rules->nconditions; i++)
		fn(arg, &rules->conditions[i]);
	return rules->due_ms;
}

void
rules_write(const struct rules *rules, struct jsonw *json)
{
	for (size_t i = 0; i < rules->nstates; i++) {
		const struct rule_state *state = &rules->states[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "rule", state->rule);
		jsonw_text(json, "subject", state->subject);
		jsonw_text(json, "result", result_name(state->result));
		jsonw_text(json, "why", state->why);
		jsonw_end(json);
	}
}

void
rules_init(struct rules *rules)
{
	*rules = (struct rules){0};
	arena_init(&rules->arena, RULES_BYTES_MAX);
}

void
rules_fini(struct rules *rules)
{
	arena_fini(&rules->arena);
	*rules = (struct rules){0};
}
