/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "base/text.h"
#include "checks/engine.h"
#include "checks/gate.h"

static const int64_t ROLLOUT_LOOK_EVERY_MS = 250;

struct gate {
	const struct declared *declared;
	const struct gate_options *options;
	struct observed *observed;
	struct report *report;
};

static void
enter(const struct gate *gate, const char *phase)
{
	if (gate->options->phase != NULL)
		gate->options->phase(gate->options->arg, phase);
}

static int64_t
no_later(const struct gate *gate, int64_t delay_ms)
{
	return MIN(clock_after(clock_ms(), delay_ms),
	    gate->options->smoke.gather.deadline_ms);
}

static void
wait_until(int64_t until_ms)
{
	for (int64_t now = clock_ms(); now < until_ms; now = clock_ms())
		(void)poll(NULL, 0, clock_timeout(now, until_ms));
}

/* What has ended and need not run again isn't waited for. */
static int64_t
count_finished(const struct observed_worker *worker)
{
	int64_t count = 0;

	for (size_t i = 0; i < worker->ninstances; i++)
		count += text_equal(worker->instances[i].state, "finished");
	return count;
}

/* What of a rollout the supervisor itself has begun and not ended; NULL:
 * nothing. */
static const struct observed_worker *
under_way(const struct observed *observed)
{
	const struct observed_supervisor *supervisor = &observed->supervisor;

	for (size_t i = 0;
	     supervisor->reached == RESULT_PASSED && i < supervisor->nworkers;
	     i++)
		if (supervisor->workers[i].under_way[0] != '\0')
			return &supervisor->workers[i];
	return NULL;
}

/* What more waiting may bring: the supervisor answers, and has not read this
 * manifest yet, is in the middle of something, or wants somebody who isn't
 * ready. NULL: nothing. */
static const char *
awaited(const struct gate *gate, const struct observed *observed)
{
	const struct observed_supervisor *supervisor = &observed->supervisor;
	const struct observed_worker *busy = under_way(observed);
	struct arena *arena = observed->arena;

	if (supervisor->reached != RESULT_PASSED)
		return NULL;
	if (supervisor->manifest_digest[0] != '\0' &&
	    !text_equal(supervisor->manifest_digest, gate->declared->digest))
		return "the supervisor to go by this manifest";
	if (busy != NULL)
		return arena_format(
		    arena, "worker %s: %s", busy->name, busy->under_way);
	for (size_t i = 0; i < supervisor->nworkers; i++) {
		const struct observed_worker *one = &supervisor->workers[i];
		int64_t there = one->ready + count_finished(one);

		if (there < one->desired)
			return arena_format(arena,
			    "worker %s: %" PRId64 " of %" PRId64 " are ready",
			    one->name, there, one->desired);
	}
	return NULL;
}

static int
wait_for_rollout(const struct gate *gate, struct err *err)
{
	int64_t until_ms = no_later(gate, gate->options->rollout_ms);

	enter(gate, "rollout");
	for (;;) {
		struct observed now;

		observed_init(&now, gate->observed->arena);
		if (gather_supervisor(gate->declared,
		        &gate->options->smoke.gather, &now, err) == -1)
			return -1;
		const char *what = awaited(gate, &now);

		if (what == NULL || clock_ms() >= until_ms)
			return 0;
		if (gate->options->waits != NULL)
			gate->options->waits(gate->options->arg, what);
		wait_until(MIN(
		    until_ms, clock_after(clock_ms(), ROLLOUT_LOOK_EVERY_MS)));
	}
}

static const struct finding *
first_failure(const struct report *report)
{
	for (size_t i = 0; i < report->nfindings; i++) {
		const struct finding *f = &report->findings[i]->finding;

		if (f->result == RESULT_FAILED &&
		    f->severity >= report->fail_on)
			return f;
	}
	return NULL;
}

static int
run_smokes(const struct gate *gate, struct err *err)
{
	const struct finding *failure = first_failure(gate->report);

	for (size_t i = 0; i < gate->declared->nsmokes; i++) {
		const struct declared_smoke *smoke = &gate->declared->smokes[i];

		if (failure != NULL)
			report_not_checked(gate->report,
			    "smoke '%s': not sent, %s (%s) fails already",
			    smoke->name, failure->id, failure->subject);
		else if (smoke_run(smoke, &gate->options->smoke, gate->observed,
		             err) == -1)
			return -1;
	}
	if (failure == NULL)
		checks_run(
		    gate->declared, gate->observed, STAGE_SMOKE, gate->report);
	return 0;
}

/* What the canary's work broke shows only after it. */
static int
settle(const struct gate *gate, struct err *err)
{
	enter(gate, "settle");
	wait_until(no_later(gate, gate->options->settle_ms));
	if (gather_supervisor(gate->declared, &gate->options->smoke.gather,
	        gate->observed, err) == -1)
		return -1;
	checks_run(gate->declared, gate->observed, STAGE_GATE, gate->report);
	return 0;
}

/* In the middle of a rollout a canary would prove something of workers that
 * are about to go. RV327 says so, of this same look. */
static void
judge_no_further(const struct gate *gate, const struct observed_worker *busy)
{
	for (size_t i = 0; i < gate->declared->nsmokes; i++)
		report_not_checked(gate->report,
		    "smoke '%s': not sent, worker %s: %s",
		    gate->declared->smokes[i].name, busy->name,
		    busy->under_way);
	checks_run(gate->declared, gate->observed, STAGE_GATE, gate->report);
}

int
gate_run(const struct declared *declared, const struct gate_options *options,
    struct observed *observed, struct report *report, struct err *err)
{
	struct gate gate = {declared, options, observed, report};

	if (wait_for_rollout(&gate, err) == -1)
		return -1;
	enter(&gate, "check");
	if (gather(declared, &options->smoke.gather, observed, err) == -1)
		return -1;
	checks_run(declared, observed, STAGE_LINT | STAGE_CHECK, report);
	const struct observed_worker *busy = under_way(observed);
	if (busy != NULL) {
		judge_no_further(&gate, busy);
		return 0;
	}
	enter(&gate, "smoke");
	if (run_smokes(&gate, err) == -1)
		return -1;
	return settle(&gate, err);
}
