/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/clock.h"
#include "supervisor/operator/reconcile.h"

enum {
	/* A new configuration whose instance came to nothing this often has
	 * failed, whatever is left of its time. */
	FAILURES_MAX = 3
};

/* How one worker stands, counted once. */
struct tally {
	uint32_t expected;    /* replicas that ought to work */
	uint32_t excused;     /* replicas that need not */
	uint32_t unavailable; /* of them, don't */
	uint32_t stale;       /* of them, to be replaced */
	uint32_t fresh_ready; /* with the applied configuration, available */
	uint32_t fresh_not;   /* with the applied configuration, not yet */
	uint32_t failures;    /* the most in a row, among the fresh */
	int64_t settles_ms;   /* when the next one will have settled */
};

struct pass {
	const struct reconcile_input *input;
	struct action *actions;
	size_t count, max;
	int64_t wake_ms;
};

static bool
digest_equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, RECONCILE_DIGEST) == 0;
}

static void
act(struct pass *pass, enum action_kind kind, size_t worker, uint32_t index)
{
	if (pass->count == pass->max)
		return;
	pass->actions[pass->count++] =
	    (struct action){.kind = kind, .worker = worker, .index = index};
}

static void
wake_at(struct pass *pass, int64_t at_ms)
{
	pass->wake_ms = MIN(pass->wake_ms, at_ms);
}

bool
reconcile_available(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance, int64_t now_ms)
{
	return instance->state == RECONCILE_UP && instance->ready &&
	       clock_after(instance->since_ms, worker->settle_ms) <= now_ms;
}

/* Replicas that are expected to work: not those that are being scaled away,
 * were stopped on order, or have done their job. */
static bool
expected(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance)
{
	return instance->index < worker->replicas &&
	       instance->state != RECONCILE_HELD &&
	       instance->state != RECONCILE_FINISHED;
}

bool
reconcile_stale(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance)
{
	const struct reconcile_memory *memory = worker->memory;

	/* What drains is on its way out already, and what has no process
	 * starts with the new plan by itself. */
	if (!worker->known || !expected(worker, instance) ||
	    instance->state == RECONCILE_DRAINING ||
	    instance->state == RECONCILE_DOWN)
		return false;
	if (instance->generation < worker->generation)
		return true;
	if (memory->has_bad && digest_equal(instance->digest, memory->bad) &&
	    !digest_equal(worker->applied, memory->bad))
		return true;
	return instance->repair;
}

static bool
fresh(const struct reconcile_worker *worker,
    const struct reconcile_instance *instance)
{
	return digest_equal(instance->digest, worker->applied) &&
	       instance->state != RECONCILE_DRAINING &&
	       instance->state != RECONCILE_DOWN;
}

static struct tally
count_up(const struct reconcile_worker *worker, int64_t now_ms)
{
	struct tally tally = {.settles_ms = CLOCK_NEVER};

	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct reconcile_instance *instance =
		    &worker->instances[i];
		if (!expected(worker, instance)) {
			if (instance->index < worker->replicas)
				tally.excused++;
			continue;
		}
		bool works = reconcile_available(worker, instance, now_ms);
		tally.expected++;
		tally.unavailable += works ? 0 : 1;
		if (!works && instance->ready)
			tally.settles_ms = MIN(tally.settles_ms,
			    clock_after(instance->since_ms, worker->settle_ms));
		if (reconcile_stale(worker, instance)) {
			tally.stale++;
			continue;
		}
		if (!fresh(worker, instance))
			continue;
		if (works) {
			tally.fresh_ready++;
			continue;
		}
		tally.fresh_not++;
		tally.failures = MAX(tally.failures, instance->failures);
	}
	return tally;
}

/* The trial of a configuration that isn't known to be good begins when the
 * init has it, and its clock starts anew whenever one more instance works. */
static void
trial_follow(
    struct reconcile_worker *worker, const struct tally *tally, int64_t now_ms)
{
	struct reconcile_memory *memory = worker->memory;

	if (!memory->on_trial ||
	    !digest_equal(memory->trial, worker->applied)) {
		memory->on_trial = true;
		memory->failed = false;
		memcpy(memory->trial, worker->applied, RECONCILE_DIGEST);
		memory->progress_ms = now_ms;
		memory->best = tally->fresh_ready;
	}
	/* Nobody is on the way: nothing to be late. */
	if (tally->fresh_not == 0)
		memory->progress_ms = now_ms;
	if (tally->fresh_ready > memory->best) {
		memory->best = tally->fresh_ready;
		memory->progress_ms = now_ms;
		memory->failed = false;
	}
}

static void
trial_won(struct pass *pass, size_t which)
{
	struct reconcile_worker *worker = &pass->input->workers[which];
	struct reconcile_memory *memory = worker->memory;

	memory->on_trial = false;
	memory->failed = false;
	if (memory->has_good && digest_equal(memory->good, worker->applied))
		return;
	memory->has_good = true;
	memcpy(memory->good, worker->applied, RECONCILE_DIGEST);
	act(pass, ACTION_GOOD, which, 0);
}

/* Returns whether the trial was lost in this pass. */
static bool
trial_lost(struct pass *pass, size_t which, const struct tally *tally)
{
	struct reconcile_worker *worker = &pass->input->workers[which];
	struct reconcile_memory *memory = worker->memory;
	int64_t late_ms = clock_after(memory->progress_ms, worker->budget_ms);

	if (tally->fresh_not == 0)
		return false;
	if (tally->failures < FAILURES_MAX && pass->input->now_ms < late_ms) {
		wake_at(pass, late_ms);
		return false;
	}
	if (!memory->has_good) {
		memory->failed = true;
		return false;
	}
	memory->has_bad = true;
	memcpy(memory->bad, worker->applied, RECONCILE_DIGEST);
	memory->on_trial = false;
	act(pass, ACTION_ROLLBACK, which, 0);
	return true;
}

/* Returns whether the choice of configuration changed: the plan comes first. */
static bool
judge(struct pass *pass, size_t which)
{
	struct reconcile_worker *worker = &pass->input->workers[which];
	struct reconcile_memory *memory = worker->memory;
	struct tally tally = count_up(worker, pass->input->now_ms);

	if (memory->has_bad && !digest_equal(memory->bad, worker->declared))
		memory->has_bad = false; /* declared anew: a new chance */
	if (!worker->known)
		return false;
	if (memory->has_good && digest_equal(memory->good, worker->applied)) {
		memory->on_trial = false;
		memory->failed = false;
		return false;
	}
	trial_follow(worker, &tally, pass->input->now_ms);
	if (tally.expected > 0 && tally.fresh_ready == tally.expected &&
	    tally.expected + tally.excused == worker->replicas) {
		trial_won(pass, which);
		return false;
	}
	return trial_lost(pass, which, &tally);
}

/* Whether a worker is in the middle of being replaced, and may go on. One that
 * has been waiting for an instance for longer than an instance may take (an
 * outage, say) doesn't keep the others waiting. */
static bool
rolling(struct pass *pass, const struct reconcile_worker *worker,
    const struct tally *tally)
{
	struct reconcile_memory *memory = worker->memory;

	if (!worker->known || memory->failed)
		return false;
	if (tally->stale == 0 || tally->unavailable == 0)
		memory->waits = false;
	if (tally->stale == 0)
		return memory->on_trial && tally->fresh_not > 0;
	if (tally->unavailable == 0)
		return true;
	if (!memory->waits) {
		memory->waits = true;
		memory->waits_since_ms = pass->input->now_ms;
	}
	int64_t late_ms =
	    clock_after(memory->waits_since_ms, worker->budget_ms);
	if (pass->input->now_ms >= late_ms)
		return false;
	wake_at(pass, late_ms);
	return true;
}

struct reconcile_standing
reconcile_standing(const struct reconcile_worker *worker, int64_t now_ms)
{
	struct tally tally = count_up(worker, now_ms);
	bool goes_on = worker->known && !worker->memory->failed;

	return (struct reconcile_standing){
	    .replicas = tally.expected,
	    .stale = goes_on ? tally.stale : 0,
	    .coming = goes_on && worker->memory->on_trial ? tally.fresh_not : 0,
	};
}

uint32_t
reconcile_portion(int64_t amount, bool percent, uint32_t replicas)
{
	int64_t portion = percent ? amount * (int64_t)replicas / 100 : amount;

	return (uint32_t)MAX(MIN(portion, (int64_t)INT32_MAX), (int64_t)1);
}

/* What doesn't work can be replaced at no cost; what works, only while no more
 * than max_unavailable would be missing. */
static void
replace(struct pass *pass, size_t which, bool may_disturb)
{
	const struct reconcile_worker *worker = &pass->input->workers[which];
	int64_t now_ms = pass->input->now_ms;
	struct tally tally = count_up(worker, now_ms);
	uint32_t max = MAX(worker->max_unavailable, 1U);

	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct reconcile_instance *instance =
		    &worker->instances[i];
		if (reconcile_stale(worker, instance) &&
		    !reconcile_available(worker, instance, now_ms))
			act(pass, ACTION_RESTART, which, instance->index);
	}
	/* also for whose turn it isn't: it may be, when one more works */
	if (tally.stale > 0)
		wake_at(pass, tally.settles_ms);
	if (!may_disturb)
		return;
	for (size_t i = 0; i < worker->ninstances; i++) {
		const struct reconcile_instance *instance =
		    &worker->instances[i];
		if (tally.unavailable >= max)
			break;
		if (!reconcile_stale(worker, instance) ||
		    !reconcile_available(worker, instance, now_ms))
			continue;
		act(pass, ACTION_RESTART, which, instance->index);
		tally.unavailable++;
	}
}

bool
reconcile_held(const struct reconcile_memory *memory,
    const uint8_t declared[RECONCILE_DIGEST])
{
	return memory->has_bad && memory->has_good &&
	       digest_equal(memory->bad, declared);
}

size_t
reconcile(const struct reconcile_input *input, struct action *actions,
    size_t max, int64_t *ret_wake_ms)
{
	struct pass pass = {
	    .input = input,
	    .actions = actions,
	    .max = max,
	    .wake_ms = CLOCK_NEVER,
	};
	bool chosen_anew = false;
	bool one_rolls = false;

	for (size_t i = 0; i < input->nworkers; i++)
		if (judge(&pass, i))
			chosen_anew = true;
	if (!input->plan_pending && (!input->plan_current || chosen_anew)) {
		act(&pass, ACTION_PLAN, 0, 0);
	} else if (input->plan_current && !input->plan_pending) {
		/* At most one worker is being rolled at a time: the first. */
		for (size_t i = 0; i < input->nworkers; i++) {
			struct tally tally =
			    count_up(&input->workers[i], input->now_ms);
			bool rolls = rolling(&pass, &input->workers[i], &tally);
			replace(&pass, i, rolls && !one_rolls);
			one_rolls = one_rolls || rolls;
			if (input->workers[i].memory->on_trial)
				wake_at(&pass, tally.settles_ms);
		}
	}
	*ret_wake_ms = pass.wake_ms;
	return pass.count;
}
