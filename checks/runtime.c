/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/deploy.h"
#include "checks/rows.h"

/* 5xx: it is there; does it run, and has it kept running? */

/* Restarts that are a loop where the manifest doesn't say (alertAfter). */
static const int64_t LOOP_RESTARTS = 3;

/* So young, after so many restarts, that it only looks well. */
static const int64_t YOUNG_MS = 30000;

static bool
is_looping(const struct check *check, const struct worker_look *look,
    const struct observed_instance *instance)
{
	int64_t limit = look->worker->alert_after_count > 0
	                    ? look->worker->alert_after_count
	                    : LOOP_RESTARTS;

	int64_t age_ms =
	    check->observed->at_wall_ms - instance->started_wall_ms;
	bool young = check->observed->at_wall_ms > 0 &&
	             instance->started_wall_ms > 0 && age_ms < YOUNG_MS;

	return (!instance->ready || young) && instance->restarts >= limit;
}

/* --- RV506 crash-loop ------------------------------------------------------
 */

static void
judge_loop(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};
	const struct observed_instance *worst = NULL;

	if (look->supervised == NULL)
		return;
	for (size_t i = 0; i < look->supervised->ninstances; i++) {
		const struct observed_instance *instance =
		    &look->supervised->instances[i];

		if (is_looping(check, look, instance) &&
		    (worst == NULL || instance->restarts > worst->restarts))
			worst = instance;
	}
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (worst == NULL) {
		check_set(check, finding, RESULT_PASSED, "it does not loop");
		return;
	}
	const char *last = worst->last_exit == NULL ? "" : worst->last_exit;

	check_set(check, finding, RESULT_FAILED,
	    "started again %lld times, and still not ready%s%s",
	    (long long)worst->restarts,
	    last[0] == '\0' ? "" : "; last ended: ", last);
	finding->confirmed = true;
	say_instances(check, finding, look);
	check_fix(check, finding,
	    text_starts(last, "exec:")
	        ? "the command can't be executed: correct the path, or install "
	          "it"
	        : "read its last words",
	    check_text(check, "reeve logs %s", look->worker->name),
	    "reeve status");
}

void
check_rv506(struct check *check)
{
	workers_each(check, judge_loop);
}

/* --- RV507 process-absent --------------------------------------------------
 */

static bool
is_held(const struct observed_worker *worker)
{
	return worker->held != NULL && worker->held[0] != '\0';
}

static void
judge_present(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};

	if (look->supervised == NULL)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	const char *last = NULL;
	bool gave_up = worker_gave_up(look, &last);
	if (look->running > 0 || (worker_is_finished(look) && !gave_up)) {
		check_set(check, finding, RESULT_PASSED, "%zu of %lld run",
		    look->running, (long long)look->worker->replicas);
		return;
	}
	finding->confirmed = true;
	if (worker_waits(check, finding, look)) {
		say_instances(check, finding, look);
		return;
	}
	if (gave_up)
		check_set(check, finding, RESULT_FAILED,
		    "it has failed and isn't started again: %s", last);
	else
		check_set(check, finding, RESULT_FAILED,
		    "the supervisor knows it, and none of %lld runs",
		    (long long)look->worker->replicas);
	check_evidence(check, finding, check_place(check, &look->worker->place),
	    check_text(check, "%lld replicas declared",
	        (long long)look->worker->replicas),
	    NULL);
	say_instances(check, finding, look);
	if (look->supervised->desired == 0)
		check_evidence(check, finding, "supervisor",
		    is_held(look->supervised)
		        ? check_text(check, "it is not started: %s",
		              look->supervised->held)
		        : "it was scaled to 0, or stopped, by hand",
		    check_text(
		        check, "%lld", (long long)look->worker->replicas));
	check_fix(check, finding, "start it; if it ends at once, read why",
	    check_text(check, "reeve start %s", look->worker->name),
	    "reeve status");
}

void
check_rv507(struct check *check)
{
	workers_each(check, judge_present);
}

/* --- RV327 rollout-unfinished ----------------------------------------------
 */

static void
judge_under_way(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};

	if (look->supervised == NULL)
		return;
	struct report_finding *finding = check_begin(check, &subject);
	const char *what = look->supervised->under_way;

	if (finding == NULL)
		return;
	if (what == NULL || what[0] == '\0') {
		check_set(
		    check, finding, RESULT_PASSED, "nothing is under way");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "the rollout wasn't over in time: %s", what);
	finding->confirmed = true;
	say_instances(check, finding, look);
	check_fix(check, finding, "wait for it, or give the gate more time",
	    "reeve gate --rollout 10m", "reeve status");
}

void
check_rv327(struct check *check)
{
	workers_each(check, judge_under_way);
}

/* --- RV501 restarted-since-start -------------------------------------------
 */

static void
judge_restarts(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};

	if (look->supervised == NULL)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (look->restarts == 0) {
		check_set(check, finding, RESULT_PASSED, "no restart");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "restarted %lld time%s: never 'expected' without a reason",
	    (long long)look->restarts, look->restarts == 1 ? "" : "s");
	finding->confirmed = true;
	say_instances(check, finding, look);
	check_fix(check, finding, "read why it ended",
	    check_text(check, "reeve logs %s", look->worker->name),
	    "reeve status");
}

void
check_rv501(struct check *check)
{
	workers_each(check, judge_restarts);
}
