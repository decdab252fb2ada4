/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/operator/reconcile.h"

/*
 * A model of the init: it starts, loses, drains and restarts instances as the
 * real one does, so that sequences of facts are plausible ones. Configurations
 * are small numbers; the odd ones never become ready.
 */
enum {
	WORKERS = 3,
	REPLICAS_MAX = 5,
	BUDGET_MS = 3000,
	SETTLE_MS = 100,
	STEP_MS = 50,
	REST_PASSES_MAX =
	    2000, /* until nothing is left to do; some 40 are usual */
};

/* A plan on its way to the init. */
struct model_plan {
	uint8_t config;
	uint64_t generation;
	uint32_t replicas;
};

struct model_worker {
	uint8_t declared; /* configuration number */
	uint8_t applied;
	uint8_t good; /* what ACTION_GOOD said last; 0 none */
	uint64_t generation, generation_applied;
	uint32_t replicas, replicas_applied;
	uint32_t max_unavailable;
	bool repair; /* policy */
	struct reconcile_instance instances[REPLICAS_MAX];
	int64_t due_ms[REPLICAS_MAX]; /* of the next step of an instance */
	unsigned bad_plans; /* how often a failing one was put in force */
};

struct model {
	struct model_worker workers[WORKERS];
	struct reconcile_memory memory[WORKERS];
	struct model_plan sent[WORKERS];
	int64_t sent_ms; /* when the init has it; 0: none is under way */
	bool slow_plans;
	int64_t now_ms;
	int64_t wake_ms; /* as reconcile() said last */
	uint64_t seed;
	unsigned restarts;
	size_t nactions;
};

static uint32_t
noise(struct model *model, uint32_t below)
{
	model->seed =
	    model->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(model->seed >> 33) % below;
}

static void
digest(uint8_t dst[RECONCILE_DIGEST], uint8_t config)
{
	memset(dst, 0, RECONCILE_DIGEST);
	dst[0] = config;
}

static bool
works(uint8_t config)
{
	return config % 2 == 0;
}

static void
instance_start(struct model *model, struct model_worker *worker, uint32_t i)
{
	struct reconcile_instance *instance = &worker->instances[i];

	instance->state = RECONCILE_STARTING;
	instance->ready = false;
	instance->generation = worker->generation_applied;
	digest(instance->digest, worker->applied);
	worker->due_ms[i] = model->now_ms + noise(model, 200);
	instance->since_ms = model->now_ms;
}

static void
instance_step(struct model *model, struct model_worker *worker, uint32_t i)
{
	struct reconcile_instance *instance = &worker->instances[i];

	instance->index = i;
	if (i >= worker->replicas_applied) {
		if (instance->state != RECONCILE_DOWN &&
		    instance->state != RECONCILE_DRAINING) {
			instance->state = RECONCILE_DRAINING;
			instance->ready = false;
			worker->due_ms[i] = model->now_ms + noise(model, 300);
		} else if (model->now_ms >= worker->due_ms[i]) {
			instance->state = RECONCILE_DOWN;
		}
		return;
	}
	if (model->now_ms < worker->due_ms[i])
		return;
	switch (instance->state) {
	case RECONCILE_DOWN:
	case RECONCILE_WAITING:
	case RECONCILE_DRAINING:
		instance_start(model, worker, i);
		break;
	case RECONCILE_STARTING:
		instance->state = RECONCILE_UP;
		instance->since_ms = model->now_ms;
		worker->due_ms[i] = works(instance->digest[0])
		                        ? model->now_ms + noise(model, 400)
		                        : INT64_MAX;
		break;
	case RECONCILE_UP:
		if (!instance->ready) {
			instance->ready = true;
			instance->failures = 0;
			instance->since_ms = model->now_ms;
		}
		break;
	case RECONCILE_HELD:
	case RECONCILE_FINISHED:
		break;
	}
}

static void
instance_crash(struct model *model, struct model_worker *worker, uint32_t i)
{
	struct reconcile_instance *instance = &worker->instances[i];

	if (instance->state != RECONCILE_UP)
		return;
	instance->state = RECONCILE_WAITING;
	instance->ready = false;
	instance->failures++;
	worker->due_ms[i] = model->now_ms + noise(model, 500);
}

static void
instance_release(struct model *model, struct model_worker *worker, uint32_t i)
{
	if (worker->instances[i].state != RECONCILE_HELD)
		return;
	worker->instances[i].state = RECONCILE_DOWN;
	worker->due_ms[i] = model->now_ms;
}

static struct reconcile_worker
worker_view(struct model *model, size_t which)
{
	struct model_worker *worker = &model->workers[which];
	struct reconcile_worker view = {
	    .name = "w",
	    .replicas = worker->replicas_applied,
	    .max_unavailable = worker->max_unavailable,
	    .generation = worker->generation_applied,
	    .known = worker->applied != 0,
	    .budget_ms = BUDGET_MS,
	    .settle_ms = SETTLE_MS,
	    .instances = worker->instances,
	    .ninstances = REPLICAS_MAX,
	    .memory = &model->memory[which],
	};
	digest(view.declared, worker->declared);
	digest(view.applied, worker->applied);
	for (uint32_t i = 0; i < REPLICAS_MAX; i++)
		worker->instances[i].repair =
		    worker->repair &&
		    worker->instances[i].digest[0] != worker->applied;
	return view;
}

static uint8_t
target(struct model *model, size_t which)
{
	struct model_worker *worker = &model->workers[which];
	uint8_t declared[RECONCILE_DIGEST];

	digest(declared, worker->declared);
	if (reconcile_held(&model->memory[which], declared))
		return model->memory[which].good[0];
	return worker->declared;
}

static bool
plan_is_current(struct model *model)
{
	for (size_t i = 0; i < WORKERS; i++) {
		struct model_worker *worker = &model->workers[i];
		if (worker->applied != target(model, i) ||
		    worker->generation != worker->generation_applied ||
		    worker->replicas != worker->replicas_applied)
			return false;
	}
	return true;
}

static void
plan_apply(struct model *model)
{
	model->sent_ms = 0;
	for (size_t i = 0; i < WORKERS; i++) {
		struct model_worker *worker = &model->workers[i];
		const struct model_plan *plan = &model->sent[i];
		if (!works(plan->config) && worker->applied != plan->config)
			worker->bad_plans++;
		worker->applied = plan->config;
		worker->generation_applied = plan->generation;
		worker->replicas_applied = plan->replicas;
	}
}

static void
plan_send(struct model *model)
{
	assert_int_equal(model->sent_ms, 0);
	for (size_t i = 0; i < WORKERS; i++)
		model->sent[i] = (struct model_plan){target(model, i),
		    model->workers[i].generation, model->workers[i].replicas};
	if (model->slow_plans)
		model->sent_ms = model->now_ms + 1 + noise(model, 200);
	else
		plan_apply(model);
}

static void
check_restart(struct model *model, struct reconcile_worker *views,
    const struct action *action, unsigned *disturbed)
{
	struct reconcile_worker *view = &views[action->worker];
	struct reconcile_instance *instance =
	    &model->workers[action->worker].instances[action->index];
	uint32_t missing = 0;

	assert_int_not_equal(instance->state, RECONCILE_DRAINING);
	assert_int_not_equal(instance->state, RECONCILE_HELD);
	assert_int_not_equal(instance->state, RECONCILE_FINISHED);
	assert_int_not_equal(instance->state, RECONCILE_DOWN);
	assert_true(action->index < view->replicas);
	if (!reconcile_available(view, instance, model->now_ms))
		return;
	/* What worked is taken down: the others must be there. */
	for (uint32_t i = 0; i < view->replicas; i++) {
		const struct reconcile_instance *other = &view->instances[i];
		if (other->state != RECONCILE_HELD &&
		    other->state != RECONCILE_FINISHED &&
		    !reconcile_available(view, other, model->now_ms))
			missing++;
	}
	assert_true(missing < view->max_unavailable);
	disturbed[action->worker] = 1;
}

static void
carry_out(struct model *model, struct reconcile_worker *views,
    const struct action *actions, size_t count)
{
	unsigned disturbed[WORKERS] = {0};

	for (size_t i = 0; i < count; i++) {
		const struct action *action = &actions[i];
		struct model_worker *worker = &model->workers[action->worker];

		if (action->kind == ACTION_PLAN)
			plan_send(model);
		if (action->kind == ACTION_GOOD)
			worker->good = worker->applied;
		if (action->kind != ACTION_RESTART)
			continue;
		check_restart(model, views, action, disturbed);
		struct reconcile_instance *instance =
		    &worker->instances[action->index];
		instance->ready = false;
		instance->failures = 0;
		instance->state = instance->state == RECONCILE_WAITING
		                      ? RECONCILE_DOWN
		                      : RECONCILE_DRAINING;
		worker->due_ms[action->index] =
		    model->now_ms + noise(model, 300);
		model->restarts++;
	}
	assert_true(disturbed[0] + disturbed[1] + disturbed[2] <= 1);
}

static size_t
pass(struct model *model)
{
	struct reconcile_worker views[WORKERS];
	struct action actions[64];
	int64_t wake_ms = 0;

	for (size_t i = 0; i < WORKERS; i++)
		views[i] = worker_view(model, i);
	struct reconcile_input input = {
	    .workers = views,
	    .nworkers = WORKERS,
	    .plan_current = plan_is_current(model),
	    .plan_pending = model->sent_ms != 0,
	    .now_ms = model->now_ms,
	};
	size_t count = reconcile(&input, actions, ARRAY_LEN(actions), &wake_ms);
	assert_true(count <= ARRAY_LEN(actions));
	/* or the operator would turn without an end */
	assert_true(wake_ms > model->now_ms);
	model->wake_ms = wake_ms;
	carry_out(model, views, actions, count);
	model->nactions += count;
	return count;
}

static void
world_step(struct model *model)
{
	if (model->sent_ms != 0 && model->now_ms >= model->sent_ms)
		plan_apply(model);
	for (size_t w = 0; w < WORKERS; w++)
		for (uint32_t i = 0; i < REPLICAS_MAX; i++)
			instance_step(model, &model->workers[w], i);
}

static void
step(struct model *model)
{
	world_step(model);
	(void)pass(model);
	model->now_ms += STEP_MS;
}

/* When an instance does something by itself; CLOCK_NEVER. */
static int64_t
instance_due_ms(const struct model_worker *worker, uint32_t i)
{
	const struct reconcile_instance *instance = &worker->instances[i];

	switch (instance->state) {
	case RECONCILE_DRAINING:
	case RECONCILE_STARTING:
		return worker->due_ms[i];
	case RECONCILE_UP:
		return instance->ready ? CLOCK_NEVER : worker->due_ms[i];
	case RECONCILE_DOWN:
	case RECONCILE_WAITING:
		return i < worker->replicas_applied ? worker->due_ms[i]
		                                    : CLOCK_NEVER;
	case RECONCILE_HELD:
	case RECONCILE_FINISHED:
		break;
	}
	return CLOCK_NEVER;
}

/* When the next thing happens, by itself or because reconcile() asked to be
 * woken; CLOCK_NEVER: nothing will, ever. */
static int64_t
next_ms(const struct model *model)
{
	int64_t at_ms = model->wake_ms;

	if (model->sent_ms != 0)
		at_ms = MIN(at_ms, model->sent_ms);
	for (size_t w = 0; w < WORKERS; w++)
		for (uint32_t i = 0; i < REPLICAS_MAX; i++)
			at_ms =
			    MIN(at_ms, instance_due_ms(&model->workers[w], i));
	return at_ms;
}

/* Goes from one event to the next until nothing will happen any more, as the
 * operator does: it isn't asked in between, so a wake-up that reconcile()
 * forgets to ask for is a model that comes to rest in the wrong place. */
static void
come_to_rest(struct model *model)
{
	for (unsigned i = 0; i < REST_PASSES_MAX; i++) {
		world_step(model);
		bool acted = pass(model) > 0;
		int64_t at_ms = next_ms(model);

		if (!acted && at_ms == CLOCK_NEVER)
			return;
		/* what was done may have made something due in the past */
		model->now_ms =
		    acted ? model->now_ms + 1 : MAX(at_ms, model->now_ms + 1);
	}
	fail_msg("no rest after %d passes", (int)REST_PASSES_MAX);
}

static void
disturb(struct model *model)
{
	struct model_worker *worker = &model->workers[noise(model, WORKERS)];
	uint32_t i = noise(model, REPLICAS_MAX);
	struct reconcile_instance *instance = &worker->instances[i];

	switch (noise(model, 9)) {
	case 0:
		worker->declared = (uint8_t)(1 + noise(model, 6));
		break;
	case 1:
		worker->replicas = noise(model, REPLICAS_MAX + 1);
		break;
	case 2:
		worker->generation++;
		break;
	case 3:
		instance_crash(model, worker, i);
		break;
	case 4:
		if (i < worker->replicas_applied) {
			instance->state = RECONCILE_HELD;
			instance->ready = false;
		}
		break;
	case 5:
		instance_release(model, worker, i);
		break;
	case 6: /* the operator died; it finds the good one again, or not */
		for (size_t w = 0; w < WORKERS; w++) {
			struct reconcile_memory old = model->memory[w];
			model->memory[w] = (struct reconcile_memory){0};
			if (noise(model, 2) == 0)
				continue;
			model->memory[w].has_good = old.has_good;
			memcpy(
			    model->memory[w].good, old.good, RECONCILE_DIGEST);
		}
		break;
	case 7:
		worker->repair = noise(model, 4) != 0;
		break;
	default:
		worker->max_unavailable = 1 + noise(model, 2);
		break;
	}
}

static void
model_init(struct model *model, uint64_t seed)
{
	*model = (struct model){.seed = seed, .now_ms = 1000};
	for (size_t w = 0; w < WORKERS; w++) {
		model->workers[w].declared = 2;
		model->workers[w].replicas = 1 + noise(model, REPLICAS_MAX);
		model->workers[w].max_unavailable = 1;
		model->workers[w].repair = true;
		for (uint32_t i = 0; i < REPLICAS_MAX; i++)
			model->workers[w].instances[i].index = i;
	}
}

static void
settle(struct model *model, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++)
		step(model);
}

static void
assert_quiet(struct model *model)
{
	size_t before = model->nactions;

	settle(model, 400);
	assert_int_equal(model->nactions, before);
}

/* RECONCILE_SEQUENCES=100000: a long run. */
static uint64_t
sequences(void)
{
	const char *text = getenv("RECONCILE_SEQUENCES");
	int64_t count = 10000;

	if (text != NULL)
		assert_int_equal(text_i64(text, 1, 1 << 30, &count, NULL), 0);
	return (uint64_t)count;
}

/* Every replica has what is declared and is ready; and asked at any later time
 * there is nothing to be done. */
static void
assert_converged(struct model *model)
{
	static const int64_t later_ms[] = {0, 1, SETTLE_MS, BUDGET_MS,
	    INT64_C(10) * BUDGET_MS, 24LL * 60 * 60 * 1000};

	for (size_t w = 0; w < WORKERS; w++) {
		const struct model_worker *worker = &model->workers[w];
		for (uint32_t i = 0; i < worker->replicas; i++) {
			const struct reconcile_instance *instance =
			    &worker->instances[i];
			assert_int_equal(instance->digest[0], worker->declared);
			assert_int_equal(
			    instance->generation, worker->generation);
			assert_true(instance->ready);
		}
		for (uint32_t i = worker->replicas; i < REPLICAS_MAX; i++)
			assert_int_equal(
			    worker->instances[i].state, RECONCILE_DOWN);
	}
	for (size_t i = 0; i < ARRAY_LEN(later_ms); i++) {
		model->now_ms += later_ms[i];
		assert_int_equal(pass(model), 0);
		assert_int_equal(model->wake_ms, CLOCK_NEVER);
	}
	for (size_t w = 0; w < WORKERS; w++) {
		struct reconcile_worker view = worker_view(model, w);
		struct reconcile_standing standing =
		    reconcile_standing(&view, model->now_ms);
		/* whoever waits for it to be over may go on */
		assert_int_equal(standing.stale, 0);
		assert_int_equal(standing.coming, 0);
		assert_int_equal(standing.replicas, model->workers[w].replicas);
	}
}

static void
random_sequences_converge_and_disturb_no_more_than_allowed(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= sequences(); seed++) {
		struct model model;
		model_init(&model, seed);
		model.slow_plans = noise(&model, 2) == 0;
		for (unsigned i = 0; i < 300; i++) {
			if (noise(&model, 10) == 0)
				disturb(&model);
			step(&model);
		}
		/* Then the world is left alone, with a good declaration. */
		for (size_t w = 0; w < WORKERS; w++) {
			struct model_worker *worker = &model.workers[w];
			worker->declared = (uint8_t)(2 + 2 * noise(&model, 3));
			worker->repair = true;
			for (uint32_t i = 0; i < REPLICAS_MAX; i++)
				instance_release(&model, worker, i);
		}
		come_to_rest(&model);
		assert_converged(&model);
	}
}

static void
nothing_differs_nothing_is_done_also_after_a_restart_of_the_operator(
    void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 7);
	settle(&model, 200);
	assert_quiet(&model);
	memset(model.memory, 0, sizeof(model.memory));
	unsigned before = model.restarts;
	settle(&model, 400);
	assert_int_equal(model.restarts, before);
}

static void
a_configuration_that_never_becomes_ready_is_rolled_back_and_held_down(
    void **state)
{
	struct model model;
	struct model_worker *worker = &model.workers[0];

	(void)state;
	model_init(&model, 11);
	worker->replicas = 3;
	settle(&model, 200);
	assert_int_equal(worker->good, 2);
	worker->declared = 3; /* never ready */
	settle(&model, 600);
	assert_int_equal(worker->bad_plans, 1);
	assert_int_equal(worker->applied, 2);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(worker->instances[i].digest[0], 2);
		assert_true(worker->instances[i].ready);
	}
	/* Only the one that tried it was touched: there and back. */
	assert_int_equal(model.restarts, 2);
	assert_quiet(&model);
	/* Another declaration is a new chance, and so is it afterwards. */
	worker->declared = 4;
	settle(&model, 600);
	assert_int_equal(worker->good, 4);
	worker->declared = 3;
	settle(&model, 600);
	assert_int_equal(worker->bad_plans, 2);
	assert_int_equal(worker->applied, 4);
}

static void
a_first_configuration_that_fails_pauses_and_takes_nothing_else_down(
    void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 13);
	model.workers[0].declared = 3;
	model.workers[0].replicas = 2;
	settle(&model, 400);
	assert_true(model.memory[0].failed);
	assert_int_equal(model.restarts, 0);
	/* The other workers roll all the same. */
	model.workers[1].declared = 4;
	settle(&model, 600);
	assert_int_equal(model.workers[1].good, 4);
}

static void
what_the_policy_only_alerts_about_is_not_restarted(void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 17);
	model.workers[0].repair = false;
	model.workers[0].replicas = 2;
	settle(&model, 200);
	model.workers[0].declared = 4;
	settle(&model, 400);
	assert_int_equal(model.restarts, 0);
	assert_int_equal(model.workers[0].applied, 4);
	assert_int_equal(model.workers[0].instances[0].digest[0], 2);
	/* Asked for, it is. */
	model.workers[0].generation++;
	settle(&model, 400);
	assert_int_equal(model.restarts, 2);
	assert_int_equal(model.workers[0].instances[0].digest[0], 4);
	assert_int_equal(model.workers[0].instances[1].digest[0], 4);
}

static void
a_roll_waits_for_the_replaced_instance_to_be_ready(void **state)
{
	struct model model;
	struct model_worker *worker = &model.workers[0];

	(void)state;
	model_init(&model, 19);
	worker->replicas = 3;
	settle(&model, 200);
	worker->generation++;
	for (unsigned i = 0; i < 600; i++) {
		uint32_t missing = 0;
		step(&model);
		for (uint32_t k = 0; k < 3; k++)
			missing += worker->instances[k].ready ? 0 : 1;
		assert_true(missing <= 1);
	}
	assert_int_equal(model.restarts, 3);
}

static void
a_full_list_of_actions_is_continued_with_the_next_pass(void **state)
{
	struct model model;
	struct reconcile_worker view;
	struct action actions[1];
	int64_t wake_ms = 0;

	(void)state;
	model_init(&model, 23);
	model.workers[0].replicas = 3;
	settle(&model, 200);
	model.workers[0].generation = model.workers[0].generation_applied = 9;
	for (uint32_t i = 0; i < 3; i++)
		model.workers[0].instances[i].ready = false;
	view = worker_view(&model, 0);
	struct reconcile_input input = {.workers = &view,
	    .nworkers = 1,
	    .plan_current = true,
	    .now_ms = model.now_ms};
	assert_int_equal(reconcile(&input, actions, 1, &wake_ms), 1);
	assert_int_equal(actions[0].kind, ACTION_RESTART);
	assert_int_equal(actions[0].index, 0);
}

static void
a_percentage_is_rounded_down_to_at_least_one(void **state)
{
	(void)state;
	assert_int_equal(reconcile_portion(3, false, 100), 3);
	assert_int_equal(reconcile_portion(25, true, 10), 2);
	assert_int_equal(reconcile_portion(25, true, 12), 3);
	assert_int_equal(reconcile_portion(25, true, 3), 1);
	assert_int_equal(reconcile_portion(1, true, 0), 1);
	assert_int_equal(reconcile_portion(100, true, 7), 7);
	assert_int_equal(reconcile_portion(0, false, 7), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_percentage_is_rounded_down_to_at_least_one),
	    cmocka_unit_test(
	        random_sequences_converge_and_disturb_no_more_than_allowed),
	    cmocka_unit_test(
	        nothing_differs_nothing_is_done_also_after_a_restart_of_the_operator),
	    cmocka_unit_test(
	        a_configuration_that_never_becomes_ready_is_rolled_back_and_held_down),
	    cmocka_unit_test(
	        a_first_configuration_that_fails_pauses_and_takes_nothing_else_down),
	    cmocka_unit_test(
	        what_the_policy_only_alerts_about_is_not_restarted),
	    cmocka_unit_test(
	        a_roll_waits_for_the_replaced_instance_to_be_ready),
	    cmocka_unit_test(
	        a_full_list_of_actions_is_continued_with_the_next_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
